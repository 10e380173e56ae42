package aaa

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// PseudonymPrefix is what the names begin with that stand for erased persons.
const PseudonymPrefix = "erased-"

// ErasureState is how far an erasure is.
type ErasureState string

// The states of an erasure.
const (
	ErasureRunning ErasureState = "running"
	ErasureDone    ErasureState = "done"
	ErasureFailed  ErasureState = "failed" // it is tried again every hour
)

// ErasureFilter selects erasures.
type ErasureFilter struct {
	UserID uuid.UUID
	State  ErasureState // empty: any
}

// CloseOptions say how the account of a user who goes is billed for the last time.
type CloseOptions struct {
	// WithoutUsageAtHours leaves out usage whose charge depends on certain hours of the day
	// where it cannot be told any more, since accounting records of its sessions are gone.
	// Otherwise an account with such usage is not closed.
	WithoutUsageAtHours bool
}

// EraseOptions says what becomes of the user.
type EraseOptions struct {
	CloseOptions
	// KeepUser keeps the user's row, pseudonymised, disabled and without a password, for
	// what refers to it. Otherwise the user is deleted. The subscriptions end in both cases.
	KeepUser bool
}

// Erasure is the erasure of one person's data.
type Erasure struct {
	ID, UserID uuid.UUID
	// Pseudonym stands for the person in what is kept.
	Pseudonym string
	KeepUser  bool
	State     ErasureState
	// Rows counts the rows pseudonymised or deleted so far.
	Rows int64
	// Detail is what went wrong last.
	Detail string
	// Watched says that the person's records are still looked for, which may come late
	// out of a node's journal.
	Watched              bool
	CreatedAt, UpdatedAt time.Time
	FinishedAt           time.Time // zero: it is not done
}

// PersonEraser is another database that holds records by user name. ErasePerson replaces
// the name for good by the pseudonym in the records between its times, and blanks addresses
// and stations; it may be called again and again.
type PersonEraser interface {
	ErasePerson(ctx context.Context, name UserName, pseudonym string) error
}

// UserName is a name under which a user's records are: the one that the user has, or one
// that it had before it was renamed.
type UserName struct {
	Name string
	// From and Before bound the user's records of that name: what is older or newer is
	// somebody else's who had or has it. Zero: no bound. If nobody else had the name they
	// are wide, since clocks differ.
	From, Before time.Time
}
