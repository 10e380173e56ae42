package bank

import (
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// State says what has become of an entry.
type State string

// The states of entries.
const (
	Booked    State = "booked"    // as a payment
	Proposed  State = "proposed"  // likely to be for what Reason says: a person decides
	Unmatched State = "unmatched" // nobody knows yet what it is for
	Ignored   State = "ignored"   // no payment of a customer, or a person said so
)

// States returns the states.
func States() []State { return []State{Booked, Proposed, Unmatched, Ignored} }

// Waiting are the states of entries that a person has to see to.
func Waiting() []State { return []State{Proposed, Unmatched} }

// Record is an entry as it is kept.
type Record struct {
	ID uuid.UUID // made of the entry's reference
	Entry
	StatementID uuid.UUID // the first one that had it
	State       State
	Reason      string    // in words
	UserID      uuid.UUID // who paid, or is proposed; zero: unknown
	Username    string    // as the user is called now; not written
	PaymentID   uuid.UUID // of Booked
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// entrySpace is the name space of the ids of entries (UUIDv5, RFC 9562 5.5).
var entrySpace = uuid.MustParse("b4a1c0de-5f0a-5d0e-8a53-7261646975af")

// NewRecord returns an entry as it is to be kept, without a state.
func NewRecord(e *Entry, statementID uuid.UUID) Record {
	return Record{ID: uuid.NewSHA1(entrySpace, []byte(e.Reference)), Entry: *e, StatementID: statementID}
}

// Statement is a file that was imported, and what was in it.
type Statement struct {
	ID     uuid.UUID // UUIDv7
	Name   string    // of the file
	Format string    // camt or csv
	Counts
	StartedAt  time.Time
	FinishedAt time.Time // zero: the import goes on, or was cut off
}

// Counts are how many entries of a file had which outcome.
type Counts struct {
	Entries   int // all of them, those that were wrong too
	Booked    int
	Proposed  int
	Unmatched int
	Ignored   int
	Pending   int // not booked by the bank
	Known     int // were imported before
	Wrong     int // could not be read
}

// Filter selects entries: those to which all of it applies. A zero field selects all.
type Filter struct {
	States      []State // one of them
	UserID      uuid.UUID
	StatementID uuid.UUID
	// BookedFrom is contained, BookedBefore is not.
	BookedFrom, BookedBefore billing.Date
}

// Sorts are the sorts of entries; the first is what a list is sorted by unless something
// else is asked for.
func Sorts() []string { return []string{"-booked_on"} }
