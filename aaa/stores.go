package aaa

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Entity names a kind of thing in the change feed.
type Entity string

// The entities of the change feed, named after their tables.
const (
	EntityUser  Entity = "users"
	EntityPlan  Entity = "plans"
	EntityGroup Entity = "groups"
	EntityNAS   Entity = "nas"
)

// Change says that something was made, changed or deleted. It carries no
// content: who follows the feed reads the thing again, and takes its absence as
// deletion, so that a change seen twice or out of order does no harm.
type Change struct {
	Entity Entity
	ID     uuid.UUID
}

// ChangeCursor is a place in the change feed, opaque to all but the store. The
// empty cursor is the beginning.
type ChangeCursor string

// ErrCursorExpired means that the store cannot tell what was committed after a
// cursor: it is too old, or the database is another one or was restored. The
// follower takes a new cursor and loads everything again.
var ErrCursorExpired = errors.New("the change feed's cursor has expired")

// DirectoryStore is where a [Directory] gets its content from. All methods may
// block; none is called while a request is being answered.
type DirectoryStore interface {
	// ChangeCursor returns the present end of the feed. Taken before a load, no
	// change is missed: what commits later is after the cursor.
	ChangeCursor(ctx context.Context) (ChangeCursor, error)
	// Changes returns what was committed after the cursor, including changes
	// that took their sequence number earlier but committed later, and the
	// cursor to go on from. It returns at once; no changes is not an error. It
	// fails with ErrCursorExpired if it cannot tell.
	Changes(ctx context.Context, after ChangeCursor) ([]Change, ChangeCursor, error)
	Plans(ctx context.Context) ([]Plan, error)
	Groups(ctx context.Context) ([]Group, error)
	NASes(ctx context.Context) ([]NAS, error)
	// EachUser calls fn for every user. The user belongs to fn only during the
	// call unless fn copies it; the slices within may be kept.
	EachUser(ctx context.Context, fn func(*User) error) error
	// UsersByID returns those of the users that exist.
	UsersByID(ctx context.Context, ids []uuid.UUID) ([]User, error)
}

// AuthRecordStore keeps decisions. Appending the same record twice keeps one.
type AuthRecordStore interface {
	// AppendAuthRecords keeps the decisions of a batch, which it does not hold on to.
	// After an error some of them may be there; the batch is to be appended again.
	AppendAuthRecords(ctx context.Context, batch *AuthBatch) error
}

// Boot is an Accounting-On or Accounting-Off: no session of the NAS that began
// before it goes on after it (RFC 2866 §5.1).
type Boot struct {
	NASID         uuid.UUID // as in Record
	NASAddr       netip.Addr
	NASIdentifier string
	Status        AcctStatus // AcctOn or AcctOff
	At            time.Time
}

// DailyUsage is one row of usage_daily.
type DailyUsage struct {
	Username string
	Day      time.Time // midnight in the configured time zone
	Usage
}

// SessionStore is what the live sessions are rebuilt from at start.
type SessionStore interface {
	// EachSession calls fn for every session that is open or stopped since.
	EachSession(ctx context.Context, since time.Time, fn func(*Session) error) error
	// Boots returns those that happened since. Every NAS's latest AcctOn must
	// remain known however old it is, because the ids of sessions depend on it.
	Boots(ctx context.Context, since time.Time) ([]Boot, error)
	// EachUsage calls fn for each user with what was used from each of the starts,
	// which are days in ascending order, up to the next one: Day is that start. What
	// was used before the first has a zero Day, and may come in parts. A user without
	// usage in a span is left out of it.
	EachUsage(ctx context.Context, starts []time.Time, fn func(DailyUsage) error) error
}

// UsageAccount is what a user has used as of one moment, and which sessions'
// counters are contained in it.
type UsageAccount struct {
	Username string
	Ever     Usage
	Days     []DailyUsage
	Sessions []SessionUsage
}

// SessionUsage is the counters of a session.
type SessionUsage struct {
	ID        uuid.UUID
	UpdatedAt time.Time
	Usage
}

// FirstUseStore keeps when users who are vouchers have logged in for the first time.
type FirstUseStore interface {
	// RecordFirstUses begins the validity of the vouchers. Of one that has begun, the
	// earlier time counts; of one that is none or was revoked, nothing changes. Doing it
	// again changes nothing.
	RecordFirstUses(ctx context.Context, uses []FirstUse) error
	// LostFirstUses returns the first sessions since a time of vouchers whose validity has
	// not begun all the same.
	LostFirstUses(ctx context.Context, since time.Time) ([]FirstUse, error)
}
