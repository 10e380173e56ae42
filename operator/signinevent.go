package operator

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// SignInEventKind is what happened at sign-in.
type SignInEventKind string

// What may happen.
const (
	SignedIn           SignInEventKind = "operator.signed_in"
	SignInFailed       SignInEventKind = "operator.sign_in_failed"
	SignedOut          SignInEventKind = "operator.signed_out"
	RefreshTokenReused SignInEventKind = "operator.refresh_token_reused"
)

// SignInEvent is something that happened at sign-in. It is in the audit log and the outbox too.
type SignInEvent struct {
	Kind SignInEventKind
	// OperatorID is zero if nobody has the name that was given, which is not told:
	// it may be a password.
	OperatorID uuid.UUID
	Name       string
	SessionID  uuid.UUID
	Addr       netip.Addr
	// Method is password, totp, recovery_code or oidc.
	Method string
	// Reason says why it failed, for operators, never for who tried.
	Reason string
}

// tell writes what happened into the audit log and the outbox, and notifies.
func (s *Service) tell(ctx context.Context, event SignInEvent) {
	actor := Actor{Kind: ActorOperator, ID: event.OperatorID, Name: event.Name, RequestID: ActorOf(ctx).RequestID, Addr: event.Addr}
	if event.OperatorID == uuid.Nil {
		actor.Kind = ActorSystem
	}
	details := map[string]string{}
	for name, value := range map[string]string{"method": event.Method, "reason": event.Reason} {
		if value != "" {
			details[name] = value
		}
	}
	if event.SessionID != uuid.Nil {
		details["session_id"] = event.SessionID.String()
	}
	changes, err := json.Marshal(details)
	if err == nil {
		_, verb, _ := strings.Cut(string(event.Kind), ".")
		err = s.store.AppendAudit(WithActor(context.WithoutCancel(ctx), actor), AuditEntry{Action: "operators." + verb, EntityKind: "operator",
			EntityID: event.OperatorID, EntityName: event.Name, Changes: changes}, string(event.Kind))
	}
	if err != nil {
		s.logger.Error("a sign-in is not in the audit log", "event", event.Kind, "operator", event.OperatorID, "error", err)
	}
	s.notify(ctx, event)
}
