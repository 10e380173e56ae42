package billing

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrRunning means that another process bills at the moment.
var ErrRunning = errors.New("another billing run is at work")

// Run is a billing run for a day. A run that was killed is found again and goes on
// after its cursor.
type Run struct {
	ID         uuid.UUID
	AsOf       Date
	Cursor     uuid.UUID // the last account that is done
	Accounts   int       // looked at
	Charges    int
	Invoices   int
	Failed     int // accounts that could not be billed; why stands in billing_run_failures
	StartedAt  time.Time
	FinishedAt time.Time // zero: unfinished
}

// RunStore is what a billing run works on.
type RunStore interface {
	// BeginRun returns the unfinished run of that day, or a new one, and holds the only
	// right to bill until release is called or the process ends. It fails with
	// ErrRunning if somebody else has it.
	BeginRun(ctx context.Context, asOf Date) (run Run, release func(), err error)
	// BillAccounts reads the next accounts after the run's cursor, at most limit, that
	// may have something to charge, in the order of their ids, has compute (see Compute)
	// make a bill of each, writes the bills, gives the invoices their numbers in that
	// order, posts them, and moves the cursor, all in one transaction. Of o it sets AsOf,
	// RunID and Now. Credit that a user has is allocated to the new invoice. An account
	// that compute or its bill fails for is counted and left as it was. The run that it
	// returns is finished when there were none left. compute may be called more than once
	// for an account. It fails with ErrRunning if somebody else has gone on with the run.
	BillAccounts(ctx context.Context, run Run, o RunOptions, limit int, compute func(*Account, RunOptions) (*Bill, error)) (Run, error)
	// ExpireCredit takes credit whose last day (Payment.ExpiresOn) is before a day from the
	// next users after one, in the order of their ids, at most limit, in one transaction,
	// and returns the last of them; zero: there were none left. What is charged and on no
	// invoice yet is not taken, of what ends first. To do it again changes nothing.
	ExpireCredit(ctx context.Context, asOf Date, after uuid.UUID, limit int) (last uuid.UUID, err error)
}

// RunFailure is an account that a run could not bill.
type RunFailure struct {
	UserID   uuid.UUID
	Username string // as the user is called now
	At       time.Time
	Error    string
}

// accountsAtOnce is how many accounts a transaction of a run bills: enough that the
// statements and the commit are shared, few enough that a kill repeats little.
const accountsAtOnce = 500

// BillAll does a billing run for o.AsOf, or finishes the one that was begun for that day:
// whoever calls it again has the same charges and invoices. progress is called after
// each transaction and may be nil. It fails with [ErrRunning] while another process
// bills.
func BillAll(ctx context.Context, store RunStore, o RunOptions, progress func(Run)) (Run, error) {
	run, release, err := store.BeginRun(ctx, o.AsOf)
	if err != nil {
		return run, err
	}
	defer release()
	for run.FinishedAt.IsZero() {
		if run, err = store.BillAccounts(ctx, run, o, accountsAtOnce, Compute); err != nil {
			return run, err
		}
		if progress != nil {
			progress(run)
		}
	}
	// What the day has charged comes out of credit that ended the day before: usage of its
	// last day is charged only now.
	for last := uuid.Nil; ; {
		if last, err = store.ExpireCredit(ctx, o.AsOf, last, accountsAtOnce); err != nil || last == uuid.Nil {
			return run, err
		}
	}
}
