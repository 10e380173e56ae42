package operator

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// APIToken is what a machine carries instead of a sign-in. It may do what it was
// made for and its operator may do at present, and nothing once he is disabled.
type APIToken struct {
	ID         uuid.UUID
	OperatorID uuid.UUID // who made it, and is responsible for it
	Name       string
	// Hash is all that is kept of the token itself.
	Hash        []byte
	Permissions PermissionSet
	// Sources are where it may be used from; none: from anywhere.
	Sources []netip.Prefix
	// ExpiresAt zero: it does not expire.
	ExpiresAt time.Time
	// LastUsedAt and LastUsedFrom are of the last use, to the minute.
	LastUsedAt           time.Time
	LastUsedFrom         netip.Addr
	CreatedAt, UpdatedAt time.Time
}

const (
	apiTokenPrefix = "rd_"
	apiTokenSecret = 32 // octets
	apiTokenOctets = 16 + apiTokenSecret + crc32.Size
	// maxAPITokens is how many tokens one operator may have, maxSources from how many
	// prefixes one may be used.
	maxAPITokens = 100
	maxSources   = 32
)

// newAPIToken returns the text of a token: rd_, and in base32 the id, a secret and a
// checksum by which scanners for leaked secrets tell a token from a mere text.
func newAPIToken(random io.Reader, id uuid.UUID) (text string, hash []byte, err error) {
	b := make([]byte, 0, apiTokenOctets)
	b = append(b, id[:]...)
	b = b[:len(id)+apiTokenSecret]
	if _, err := io.ReadFull(random, b[len(id):]); err != nil {
		return "", nil, fmt.Errorf("make an API token: %w", err)
	}
	sum := sha256.Sum256(b)
	b = binary.BigEndian.AppendUint32(b, tokenChecksum(b))
	return apiTokenPrefix + strings.ToLower(base32Text.EncodeToString(b)), sum[:], nil
}

func tokenChecksum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE([]byte(apiTokenPrefix)), crc32.IEEETable, b)
}

var errTokenForm = errors.New("this is not an API token")

// parseAPIToken returns the id and the hash of a token. Only the text that
// newAPIToken gave is taken.
func parseAPIToken(text string) (id uuid.UUID, hash [sha256.Size]byte, err error) {
	encoded, ok := strings.CutPrefix(text, apiTokenPrefix)
	if !ok || len(encoded) != base32Text.EncodedLen(apiTokenOctets) || encoded != strings.ToLower(encoded) {
		return id, hash, errTokenForm
	}
	b, err := base32Text.DecodeString(strings.ToUpper(encoded))
	if err != nil || len(b) != apiTokenOctets || strings.ToLower(base32Text.EncodeToString(b)) != encoded {
		return id, hash, errTokenForm
	}
	body, sum := b[:apiTokenOctets-crc32.Size], b[apiTokenOctets-crc32.Size:]
	if binary.BigEndian.Uint32(sum) != tokenChecksum(body) {
		return id, hash, errTokenForm
	}
	return uuid.UUID(body[:16]), sha256.Sum256(body), nil
}

// good reports whether a token with this hash may be used now and from there.
func (t *APIToken) good(hash [sha256.Size]byte, now time.Time, addr netip.Addr) bool {
	if subtle.ConstantTimeCompare(t.Hash, hash[:]) != 1 || !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) {
		return false
	}
	addr = addr.Unmap().WithZone("")
	return len(t.Sources) == 0 || slices.ContainsFunc(t.Sources, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Validate checks what a token may be given, and brings it into its form.
func (t *APIToken) Validate() error {
	t.Name = strings.TrimSpace(t.Name)
	switch {
	case t.Name == "":
		return &FieldError{"name", "is empty"}
	case t.Permissions == 0:
		return &FieldError{"permissions", "are empty: the token could do nothing"}
	case len(t.Sources) > maxSources:
		return &FieldError{"sources", fmt.Sprintf("are more than %d", maxSources)}
	}
	var sources []netip.Prefix
	for _, p := range t.Sources {
		if !p.IsValid() {
			return &FieldError{"sources", "have one that is no prefix"}
		}
		sources = append(sources, p.Masked())
	}
	t.Sources = sources
	return validateText("name", t.Name, maxDisplayName)
}

// NewAPIToken is what an API token is to be.
type NewAPIToken struct {
	Name        string
	Permissions PermissionSet
	Sources     []netip.Prefix
	ExpiresAt   time.Time // zero: it does not expire
}

// CreateAPIToken makes a token of the principal's operator and returns its text, which
// cannot be read again. It may do no more than the principal; a token that makes
// tokens makes none that outlive it or work from elsewhere.
func (s *Service) CreateAPIToken(ctx context.Context, by Principal, n NewAPIToken) (*APIToken, string, error) {
	if err := by.Require(TokensWrite); err != nil {
		return nil, "", err
	}
	if by.OperatorID == uuid.Nil {
		return nil, "", &ForbiddenError{Reason: "a token belongs to an operator"}
	}
	if missing := n.Permissions.Without(by.Permissions); missing != 0 {
		return nil, "", &ForbiddenError{Missing: missing, Reason: "nobody may grant what he may not"}
	}
	if by.TokenID != uuid.Nil {
		if err := s.narrow(ctx, by.TokenID, &n); err != nil {
			return nil, "", err
		}
	}
	t := &APIToken{OperatorID: by.OperatorID, Name: n.Name, Permissions: n.Permissions, Sources: n.Sources}
	if !n.ExpiresAt.IsZero() {
		t.ExpiresAt = n.ExpiresAt.UTC().Truncate(time.Microsecond)
		if !t.ExpiresAt.After(s.now()) {
			return nil, "", &FieldError{"expires_at", "is past"}
		}
	}
	if err := t.Validate(); err != nil {
		return nil, "", err
	}
	have, err := s.store.ListAPITokens(ctx, TokenFilter{OperatorID: by.OperatorID, Limit: maxAPITokens})
	if err != nil {
		return nil, "", err
	}
	if len(have) >= maxAPITokens {
		return nil, "", fmt.Errorf("API tokens: %w", ErrTooMany)
	}
	if t.ID, err = uuid.NewV7(); err != nil {
		return nil, "", fmt.Errorf("make an API token: %w", err)
	}
	text, hash, err := newAPIToken(s.random, t.ID)
	if err != nil {
		return nil, "", err
	}
	t.Hash = hash
	if err := s.store.CreateAPIToken(acting(ctx, by), t); err != nil {
		return nil, "", err
	}
	return t, text, nil
}

// narrow keeps a new token within the one that makes it.
func (s *Service) narrow(ctx context.Context, maker uuid.UUID, n *NewAPIToken) error {
	m, err := s.store.APITokenByID(ctx, maker)
	if err != nil {
		return err
	}
	if !m.ExpiresAt.IsZero() && (n.ExpiresAt.IsZero() || n.ExpiresAt.After(m.ExpiresAt)) {
		return &ForbiddenError{Reason: "a token makes none that outlives it"}
	}
	if len(m.Sources) > 0 && len(n.Sources) == 0 {
		return &ForbiddenError{Reason: "a token makes none that works from elsewhere"}
	}
	for _, p := range n.Sources {
		within := func(o netip.Prefix) bool { return o.Contains(p.Addr()) && p.Bits() >= o.Bits() }
		if len(m.Sources) > 0 && !slices.ContainsFunc(m.Sources, within) {
			return &ForbiddenError{Reason: "a token makes none that works from elsewhere"}
		}
	}
	return nil
}

// APITokens returns a page of tokens: of the principal's operator, or of any if he
// has tokens:read.
func (s *Service) APITokens(ctx context.Context, by Principal, filter TokenFilter) ([]APIToken, error) {
	if filter.OperatorID == uuid.Nil || filter.OperatorID != by.OperatorID {
		if err := by.Require(TokensRead); err != nil {
			return nil, err
		}
	}
	return s.store.ListAPITokens(ctx, filter)
}

// APIToken returns a token: of the principal's operator, or any if he has
// tokens:read; else ErrNotFound.
func (s *Service) APIToken(ctx context.Context, by Principal, id uuid.UUID) (*APIToken, error) {
	t, err := s.store.APITokenByID(ctx, id)
	if err == nil && t.OperatorID != by.OperatorID && !by.Can(TokensRead) {
		return nil, fmt.Errorf("API token %s: %w", id, ErrNotFound)
	}
	return t, err
}

// RevokeAPIToken deletes a token: one's own, or another operator's if one has
// tokens:write and may act on him. check, which may be nil, may refuse.
func (s *Service) RevokeAPIToken(ctx context.Context, by Principal, id uuid.UUID, check func(*APIToken) error) error {
	t, err := s.APIToken(ctx, by, id)
	if err != nil {
		return err
	}
	if t.OperatorID != by.OperatorID || by.TokenID != uuid.Nil {
		if err := by.Require(TokensWrite); err != nil {
			return err
		}
		o, err := s.store.OperatorByID(ctx, t.OperatorID)
		if err != nil {
			return err
		}
		if o.ID != by.OperatorID {
			if err := s.mayActOn(ctx, by, o); err != nil {
				return err
			}
		}
	}
	defer s.directory.invalidate()
	return s.store.RemoveAPIToken(acting(ctx, by), id, func(t *APIToken) error {
		if check != nil {
			return check(t)
		}
		return nil
	})
}
