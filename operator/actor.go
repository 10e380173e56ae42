package operator

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
)

// ActorKind says what kind of somebody acts.
type ActorKind uint8

// The kinds of actors. The zero value is the program itself.
const (
	// ActorSystem is radiusd by itself: maintenance, a limit that was reached.
	ActorSystem ActorKind = iota
	// ActorOperator is a person who signed in to the admin API.
	ActorOperator
	// ActorToken is a machine with an API token.
	ActorToken
	// ActorLocal is a user of the operating system at the command line.
	ActorLocal
)

var actorKindNames = [...]string{"system", "operator", "token", "local"}

func (k ActorKind) String() string {
	if int(k) < len(actorKindNames) {
		return actorKindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseActorKind reads a kind as String writes it.
func ParseActorKind(s string) (ActorKind, error) {
	for i, name := range actorKindNames {
		if s == name {
			return ActorKind(i), nil
		}
	}
	return 0, fmt.Errorf("unknown kind of actor %q", s)
}

// MarshalText writes the kind as String does.
func (k ActorKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *ActorKind) UnmarshalText(text []byte) (err error) {
	*k, err = ParseActorKind(string(text))
	return err
}

// Actor is who does something, and in which request. The zero value is the
// program itself.
type Actor struct {
	Kind ActorKind
	// ID is the operator's or the API token's; zero for others.
	ID uuid.UUID
	// Name is the operator's, the token's or the operating system user's.
	Name string
	// RequestID is the admin API's id of the request; empty outside of one.
	RequestID string
	// Addr is where the request came from; invalid outside of one.
	Addr netip.Addr
}

// Key tells actors apart: an operator keeps it when renamed.
func (a Actor) Key() string {
	if a.ID != uuid.Nil {
		return a.Kind.String() + ":" + a.ID.String()
	}
	return a.Kind.String() + ":" + a.Name
}

type actorKey struct{}

// WithActor returns a context in which a acts: every change of the store made with
// it is written to the audit log under a's name.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf returns who acts in ctx; without WithActor, the system.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
