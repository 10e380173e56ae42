package operator

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// SessionLife is how long one sign-in lasts at most.
	SessionLife = 30 * 24 * time.Hour
	// SessionIdle is how long it lasts without a refresh.
	SessionIdle = 7 * 24 * time.Hour
	// maxSessions is how many sign-ins of one operator go on at once.
	maxSessions = 50

	refreshPrefix = "rdr_"
	refreshOctets = 32
)

// Tokens are what a signed-in operator carries. They are secrets.
type Tokens struct {
	// Access goes with every request.
	Access          string
	AccessExpiresAt time.Time
	// Refresh is exchanged, once, for the next Tokens.
	Refresh          string
	RefreshExpiresAt time.Time
	OperatorID       uuid.UUID
	SessionID        uuid.UUID
}

// newRefresh returns a new refresh token and what is kept of it.
func (s *Service) newRefresh() (text string, hash [32]byte, err error) {
	b := make([]byte, refreshOctets)
	if _, err := io.ReadFull(s.random, b); err != nil {
		return "", hash, fmt.Errorf("make a refresh token: %w", err)
	}
	text = refreshPrefix + base64.RawURLEncoding.EncodeToString(b)
	return text, sha256.Sum256([]byte(text)), nil
}

// hashRefresh returns what is kept of a refresh token, if it has the form of one.
func hashRefresh(text string) (hash [32]byte, ok bool) {
	encoded, ok := strings.CutPrefix(text, refreshPrefix)
	if !ok || len(encoded) != base64.RawURLEncoding.EncodedLen(refreshOctets) {
		return hash, false
	}
	return sha256.Sum256([]byte(text)), true
}

// openSession begins a session for an operator who has shown who he is. at is when
// he began to.
func (s *Service) openSession(ctx context.Context, operatorID uuid.UUID, methods []string, at time.Time, addr netip.Addr) (*Tokens, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	text, hash, err := s.newRefresh()
	if err != nil {
		return nil, err
	}
	c := claims{Subject: operatorID, SessionID: id, Methods: methods}
	session := &Session{ID: id, OperatorID: operatorID, MFA: c.mfa(), Addr: addr, StartedAt: at, LastUsedAt: at, ExpiresAt: at.Add(SessionLife)}
	token := RefreshToken{Hash: hash, ExpiresAt: at.Add(SessionIdle)}
	if err := s.store.OpenSession(ctx, session, token, maxSessions); err != nil {
		return nil, unavailable(err)
	}
	access, err := s.sign(ctx, forAccess, c, at, AccessTokenLife)
	if err != nil {
		return nil, err
	}
	return &Tokens{Access: access, AccessExpiresAt: at.Add(AccessTokenLife), Refresh: text, RefreshExpiresAt: token.ExpiresAt,
		OperatorID: operatorID, SessionID: id}, nil
}

// Refresh exchanges a refresh token for new Tokens. A token that was exchanged
// before ends its session for good, whoever holds the newest one (RFC 9700 section
// 4.14.2); so a client sends one refresh at a time. It fails with
// ErrUnauthenticated, and then the operator must sign in again.
func (s *Service) Refresh(ctx context.Context, refresh string, addr netip.Addr) (*Tokens, error) {
	hash, ok := hashRefresh(refresh)
	if !ok {
		return nil, ErrUnauthenticated
	}
	at := s.now().UTC().Truncate(time.Microsecond)
	text, nextHash, err := s.newRefresh()
	if err != nil {
		return nil, err
	}
	next := RefreshToken{Hash: nextHash, ExpiresAt: at.Add(SessionIdle)}
	session, outcome, err := s.store.RotateRefresh(ctx, hash, next, at, addr)
	if err != nil {
		return nil, unavailable(err)
	}
	switch outcome {
	case RefreshReused:
		s.directory.invalidate()
		s.tell(ctx, SignInEvent{Kind: RefreshTokenReused, OperatorID: session.OperatorID, SessionID: session.ID, Addr: addr})
		return nil, ErrUnauthenticated
	case RefreshRotated:
	default:
		return nil, ErrUnauthenticated
	}
	c := claims{Subject: session.OperatorID, SessionID: session.ID}
	if session.MFA {
		c.Methods = []string{byMFA}
	}
	access, err := s.sign(ctx, forAccess, c, at, AccessTokenLife)
	if err != nil {
		return nil, err
	}
	expires := next.ExpiresAt
	if session.ExpiresAt.Before(expires) {
		expires = session.ExpiresAt
	}
	return &Tokens{Access: access, AccessExpiresAt: at.Add(AccessTokenLife), Refresh: text, RefreshExpiresAt: expires,
		OperatorID: session.OperatorID, SessionID: session.ID}, nil
}
