package operator

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Store is what a Service keeps its things in. Its errors wrap ErrNotFound,
// ErrExists, ErrInUse, ErrUnknownRole, ErrLastOwner where these apply. All changes
// are made under the name of ActorOf(ctx). It is shared by all processes.
type Store interface {
	OperatorStore
	RoleStore
	SessionStore
	TokenStore
	FactorStore
	KeyStore
	AttemptStore
	AuditAppender
}

// OperatorStore keeps operators.
type OperatorStore interface {
	// CreateOperator adds an operator and sets ID, if that is zero, and times.
	CreateOperator(ctx context.Context, o *Operator) error
	// CreateFirstOperator adds an operator if there is none, and reports whether it
	// did. Of several processes one does.
	CreateFirstOperator(ctx context.Context, o *Operator) (bool, error)
	// ChangeOperator lets fn change an operator and writes it whole. fn may be called
	// more than once. It fails with ErrLastOwner if no active owner would be left
	// where there was one.
	ChangeOperator(ctx context.Context, id uuid.UUID, fn func(*Operator) error) error
	// RemoveOperator deletes an operator, with sessions and tokens, if check allows
	// it. It fails with ErrLastOwner as ChangeOperator does.
	RemoveOperator(ctx context.Context, id uuid.UUID, check func(*Operator) error) error
	OperatorByID(ctx context.Context, id uuid.UUID) (*Operator, error)
	OperatorByName(ctx context.Context, name string) (*Operator, error)
	OperatorBySubject(ctx context.Context, subject Subject) (*Operator, error)
	// OperatorsByEmail returns who has the address, in whatever case.
	OperatorsByEmail(ctx context.Context, email string) ([]Operator, error)
	// ListOperators returns a page of operators by name.
	ListOperators(ctx context.Context, filter OperatorFilter) ([]Operator, error)
	// AccessList returns what every operator may do at present.
	AccessList(ctx context.Context) ([]Access, error)
}

// OperatorFilter selects operators and one page of them. The zero value is the first page
// of all.
type OperatorFilter struct {
	Search string // in name, display name or e-mail address
	Status *Status
	Role   string
	After  string // the last name of the page before
	Limit  int    // zero: 1000
}

// Access is what an operator may do at present.
type Access struct {
	OperatorID      uuid.UUID
	Name            string
	Active          bool
	Permissions     PermissionSet // of all his roles
	TokensNotBefore time.Time
}

// RoleStore keeps roles.
type RoleStore interface {
	CreateRole(ctx context.Context, r *Role) error
	// ChangeRole fails with ErrBuiltIn for a built-in role.
	ChangeRole(ctx context.Context, id uuid.UUID, fn func(*Role) error) error
	// RemoveRole fails with ErrInUse while operators have the role.
	RemoveRole(ctx context.Context, id uuid.UUID, check func(*Role) error) error
	// Roles returns all roles by name.
	Roles(ctx context.Context) ([]Role, error)
	RoleByID(ctx context.Context, id uuid.UUID) (*Role, error)
}

// Session is one sign-in: the family of refresh tokens that began with it.
type Session struct {
	ID         uuid.UUID
	OperatorID uuid.UUID
	// MFA says that a second factor was shown.
	MFA  bool
	Addr netip.Addr // where it was last refreshed from
	// StartedAt is when the sign-in began, before the password was checked.
	StartedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
	// ClosedAt is when it was signed out or revoked; zero: it was not.
	ClosedAt time.Time
}

// RefreshToken is one of a session's tokens, of which one is good at a time.
type RefreshToken struct {
	Hash      [32]byte
	ExpiresAt time.Time
}

// Rotation is what became of a refresh token.
type Rotation uint8

// The outcomes. Rotated alone gives a new token.
const (
	RefreshUnknown Rotation = iota
	RefreshExpired          // or its session is closed, or its operator is disabled
	RefreshReused           // its session was closed for it
	RefreshRotated
)

// SessionStore keeps sessions and refresh tokens.
type SessionStore interface {
	// OpenSession adds a session with its first refresh token, and notes the
	// operator's last sign-in. It keeps at most so many open sessions of an operator
	// by ending the oldest.
	OpenSession(ctx context.Context, session *Session, token RefreshToken, keep int) error
	// RotateRefresh replaces a token that was not used, and is good at the time at, by
	// the next. Of several calls with one token one rotates it; the others are a
	// reuse, and close the session.
	RotateRefresh(ctx context.Context, hash [32]byte, next RefreshToken, at time.Time, addr netip.Addr) (Session, Rotation, error)
	// CloseSession ends a session; one that does not exist, or not for this operator,
	// is ErrNotFound.
	CloseSession(ctx context.Context, operatorID, sessionID uuid.UUID, at time.Time) error
	// OpenSessions returns the sessions of an operator that go on at the time.
	OpenSessions(ctx context.Context, operatorID uuid.UUID, at time.Time) ([]Session, error)
	// SessionsClosedSince returns sessions whose access tokens may still be around.
	SessionsClosedSince(ctx context.Context, since time.Time) ([]uuid.UUID, error)
}

// TokenStore keeps API tokens.
type TokenStore interface {
	CreateAPIToken(ctx context.Context, t *APIToken) error
	ChangeAPIToken(ctx context.Context, id uuid.UUID, fn func(*APIToken) error) error
	RemoveAPIToken(ctx context.Context, id uuid.UUID, check func(*APIToken) error) error
	APITokenByID(ctx context.Context, id uuid.UUID) (*APIToken, error)
	// ListAPITokens returns a page of tokens by id, which is by age.
	ListAPITokens(ctx context.Context, filter TokenFilter) ([]APIToken, error)
	// TouchAPIToken notes a use.
	TouchAPIToken(ctx context.Context, id uuid.UUID, at time.Time, addr netip.Addr) error
}

// TokenFilter selects API tokens and one page of them.
type TokenFilter struct {
	OperatorID uuid.UUID // zero: of all
	After      uuid.UUID // the last of the page before
	Limit      int       // zero: 1000
}

// FactorStore keeps what may be used once.
type FactorStore interface {
	// UseTOTPStep notes that a code of the step was used; false: one of it or of a
	// later one was used before.
	UseTOTPStep(ctx context.Context, operatorID uuid.UUID, step uint64) (bool, error)
	// SetRecoveryCodes replaces all recovery codes of an operator.
	SetRecoveryCodes(ctx context.Context, operatorID uuid.UUID, hashes [][32]byte) error
	// UseRecoveryCode deletes a recovery code and reports whether it was there.
	UseRecoveryCode(ctx context.Context, operatorID uuid.UUID, hash [32]byte) (bool, error)
	// SpendToken notes the use of a token that is good once; false: it was used.
	SpendToken(ctx context.Context, id uuid.UUID, expiresAt time.Time) (bool, error)
}

// SigningKey signs access tokens.
type SigningKey struct {
	ID uuid.UUID
	// Seed is the private key of Ed25519 (RFC 8032 section 5.1.5).
	Seed []byte
	// Follows is the key it took over from; zero for the first. No two keys follow
	// the same.
	Follows   uuid.UUID
	CreatedAt time.Time
}

// KeyStore keeps signing keys.
type KeyStore interface {
	// SigningKeys returns all keys, the newest last.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddSigningKey adds a key unless there is one that follows the same.
	AddSigningKey(ctx context.Context, key SigningKey) error
	// RemoveSigningKeys deletes keys that were followed by another before the time.
	RemoveSigningKeys(ctx context.Context, followedBefore time.Time) error
}

// Attempts is what is known of failed sign-ins for an account or an address.
type Attempts struct {
	Key         string
	Failures    int
	LastAt      time.Time
	LockedUntil time.Time
}

// AttemptStore keeps failed sign-ins.
type AttemptStore interface {
	// LockedUntil returns until when one of the keys is locked; zero: none is. It only
	// reads.
	LockedUntil(ctx context.Context, keys []string) (time.Time, error)
	// ChangeAttempts lets fn change what is known for the keys, in their order, in one
	// transaction. What has no failures afterwards is deleted. fn may be called more
	// than once.
	ChangeAttempts(ctx context.Context, keys []string, fn func([]Attempts) error) error
	// ForgetAttempts deletes what is older and not locked, and the oldest of more than
	// so many.
	ForgetAttempts(ctx context.Context, before time.Time, keep int) error
}

// AuditAppender takes entries about what no change of the store stands for.
type AuditAppender interface {
	// AppendAudit adds an entry by ActorOf(ctx), and an event of the kind to the outbox.
	AppendAudit(ctx context.Context, e AuditEntry, eventKind string) error
}
