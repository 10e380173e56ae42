package operator

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// Principal is who makes a request, and what he may.
type Principal struct {
	// Actor has no RequestID yet.
	Actor Actor
	// OperatorID is the operator, also if one of his API tokens is used. Zero at the
	// command line.
	OperatorID uuid.UUID
	// TokenID is the API token; zero if there is none.
	TokenID uuid.UUID
	// SessionID is the sign-in; zero if there is none.
	SessionID   uuid.UUID
	Permissions PermissionSet
	// MFA says that a second factor was shown at sign-in.
	MFA bool
}

// Local returns the principal of the command line, who may do everything: he has
// the database and the master key. name is the operating system's user.
func Local(name string) Principal {
	return Principal{Actor: Actor{Kind: ActorLocal, Name: name}, Permissions: AllPermissions}
}

// Can reports whether the principal has the permission.
func (p Principal) Can(permission Permission) bool { return p.Permissions.Has(permission) }

// Require fails with a *ForbiddenError if the principal lacks one of the permissions.
func (p Principal) Require(permissions ...Permission) error {
	if missing := NewPermissionSet(permissions...).Without(p.Permissions); missing != 0 {
		return &ForbiddenError{Missing: missing}
	}
	return nil
}

// requireSession fails if the principal is not an operator who signed in: a machine
// has no business with a person's password.
func (p Principal) requireSession() error {
	if p.OperatorID == uuid.Nil || p.TokenID != uuid.Nil {
		return &ForbiddenError{Reason: "this is for an operator who signed in"}
	}
	return nil
}

// Authenticate returns who carries the token, an access token or an API token, in a
// request from addr. It fails with ErrUnauthenticated, whatever is wrong with the
// token, or with ErrUnavailable. It works from memory; a change of operators, roles
// and tokens is in force at once in the process that makes it, within half a minute in
// others, and within a minute if the store does not answer.
func (s *Service) Authenticate(ctx context.Context, bearer string, addr netip.Addr) (Principal, error) {
	if strings.HasPrefix(bearer, apiTokenPrefix) {
		return s.authenticateToken(ctx, bearer, addr)
	}
	c, err := s.verify(ctx, forAccess, bearer)
	if err != nil {
		return Principal{}, err
	}
	known, err := s.directory.access(ctx)
	if err != nil {
		return Principal{}, err
	}
	access, ok := known.operators[c.Subject]
	_, closed := known.closed[c.SessionID]
	if !ok || closed || !access.Active || !c.issuedAt().After(access.TokensNotBefore) {
		return Principal{}, ErrUnauthenticated
	}
	return Principal{
		Actor:      Actor{Kind: ActorOperator, ID: access.OperatorID, Name: access.Name, Addr: addr},
		OperatorID: access.OperatorID, SessionID: c.SessionID, Permissions: access.Permissions, MFA: c.mfa(),
	}, nil
}

func (s *Service) authenticateToken(ctx context.Context, bearer string, addr netip.Addr) (Principal, error) {
	id, hash, err := parseAPIToken(bearer)
	if err != nil {
		return Principal{}, ErrUnauthenticated
	}
	token, touch, err := s.directory.token(ctx, id)
	if err != nil {
		if isNotFound(err) {
			return Principal{}, ErrUnauthenticated
		}
		return Principal{}, unavailable(err)
	}
	known, err := s.directory.access(ctx)
	if err != nil {
		return Principal{}, err
	}
	access, ok := known.operators[token.OperatorID]
	if !ok || !access.Active || !token.good(hash, s.now(), addr) {
		return Principal{}, ErrUnauthenticated
	}
	if touch {
		if err := s.store.TouchAPIToken(ctx, id, s.now().UTC(), addr); err != nil {
			s.logger.Warn("the use of an API token cannot be noted", "token", id, "error", err)
		}
	}
	return Principal{
		Actor:      Actor{Kind: ActorToken, ID: id, Name: token.Name, Addr: addr},
		OperatorID: token.OperatorID, TokenID: id, Permissions: token.Permissions & access.Permissions,
	}, nil
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
