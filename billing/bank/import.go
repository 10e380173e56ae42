package bank

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"

	"radiusd/billing"
)

// Provider is what payments from bank statements have as their provider.
const Provider = "bank"

// Books keep entries and book payments.
type Books interface {
	Lookup
	// EntryByReference returns an entry as it is kept; nil: there is none.
	EntryByReference(ctx context.Context, reference string) (*Record, error)
	// EqualEntry returns the nth of the entries whose reference begins with equal and a
	// hyphen; nil: there are fewer.
	EqualEntry(ctx context.Context, equal string, nth int) (*Record, error)
	// TakeEntry keeps an entry and, if its state is Booked, books its payment in the
	// same transaction. One that is kept already is taken only if it waits for a person
	// and now does so no more, or is proposed now; else taken is false and the record
	// becomes the one that is kept. So it is with one of which another statement has an
	// equal entry by now (EqualEntry), if Equal is set. It fails with a *billing.FieldError
	// on allocations if the invoices are not what they were when the entry was matched.
	TakeEntry(ctx context.Context, r *Record, allocations []billing.Allocation) (taken bool, err error)
	// BeginStatement and FinishStatement write down that a file is imported, and what
	// was in it.
	BeginStatement(ctx context.Context, s *Statement) error
	FinishStatement(ctx context.Context, s *Statement) error
}

// Outcome says what an import did with an entry, or would do.
type Outcome string

// The outcomes.
const (
	OutcomeBooked    Outcome = "booked"
	OutcomeProposed  Outcome = "proposed"
	OutcomeUnmatched Outcome = "unmatched"
	OutcomeIgnored   Outcome = "ignored"
	OutcomePending   Outcome = "pending" // not booked by the bank: it is not kept
	OutcomeKnown     Outcome = "known"   // was imported before
	OutcomeWrong     Outcome = "wrong"   // could not be read
)

// Line is what was done with an entry of a file.
type Line struct {
	Record      // as it is kept now; of OutcomeWrong nothing but its Line
	Outcome     Outcome
	Allocations []billing.Allocation // of OutcomeBooked
	Err         error                // of OutcomeWrong
}

// matchAttempts is how often an entry is matched if the invoices change meanwhile.
const matchAttempts = 3

// Import takes the entries of a statement into the books, each in a transaction of its
// own: what is cut off is imported again, and nothing is booked twice. An entry that the bank
// has no reference for and that equals one of another statement is the same one if it is of a
// day within the statement, as statements have all of a day. On its first or last day it may
// be another one: it is kept as unmatched, for a person to decide. It calls fn for each entry, sets the statement's ID, times and counts, and with dryRun writes nothing. An
// entry that is wrong is told to fn and counted, and the others go on; the error is of the
// file as a whole, the books, or fn.
func Import(ctx context.Context, books Books, s *Statement, entries iter.Seq2[Entry, error], dryRun bool, fn func(*Line) error) error {
	if !dryRun {
		if err := books.BeginStatement(ctx, s); err != nil {
			return err
		}
	}
	var within map[string]bool // references of a dry run
	if dryRun {
		within = map[string]bool{}
	}
	days := map[int]*bookedDays{} // of each statement
	var doubtful []doubt
	for e, err := range entries {
		line := &Line{Outcome: OutcomeWrong}
		var wrong *EntryError
		switch {
		case errors.As(err, &wrong):
			line.Entry.Line, line.Err, line.Reason = wrong.Line, wrong.Err, wrong.Err.Error()
		case err != nil:
			return err
		default:
			if days[e.Statement] == nil {
				days[e.Statement] = &bookedDays{}
			}
			days[e.Statement].add(&e)
			r := NewRecord(&e, s.ID)
			equal, err := equalOf(ctx, books, &r)
			if err != nil {
				return fmt.Errorf("the entry in line %d: %w", e.Line, err)
			}
			if equal != nil {
				doubtful = append(doubtful, doubt{r, equal})
				continue
			}
			if line, err = take(ctx, books, r, dryRun); err != nil {
				return fmt.Errorf("the entry in line %d: %w", e.Line, err)
			}
			if r.Equal != "" && line.Outcome == OutcomeKnown && line.Reference != r.Reference { // another import was faster
				doubtful = append(doubtful, doubt{r, &line.Record})
				continue
			}
			if dryRun && within[e.Reference] {
				line.Outcome, line.Allocations = OutcomeKnown, nil
			}
			if dryRun {
				within[e.Reference] = true
			}
		}
		s.count(line.Outcome)
		if err := fn(line); err != nil {
			return err
		}
	}
	for _, d := range doubtful {
		line := knownLine(d.equal, d.Line)
		whole := days[d.Statement].whole(d.BookedOn)
		switch {
		case whole && (d.equal.State == Unmatched || d.equal.State == Proposed): // by now it may match
			r := d.Record
			r.ID, r.Reference, r.Equal = d.equal.ID, d.equal.Reference, ""
			var err error
			if line, err = take(ctx, books, r, dryRun); err != nil {
				return fmt.Errorf("the entry in line %d: %w", d.Line, err)
			}
		case !whole && (d.NoPayment() == "" || d.Reversal):
			line = &Line{Record: d.Record, Outcome: OutcomeUnmatched}
			line.State, line.Reason, line.Equal = Unmatched, equalReason, ""
			if !dryRun {
				if taken, err := books.TakeEntry(ctx, &line.Record, nil); err != nil {
					return fmt.Errorf("the entry in line %d: %w", d.Line, err)
				} else if !taken {
					line = knownLine(&line.Record, d.Line)
				}
			}
		}
		s.count(line.Outcome)
		if err := fn(line); err != nil {
			return err
		}
	}
	if dryRun {
		return nil
	}
	return books.FinishStatement(ctx, s)
}

// bookedDays are the first and the last day of which a statement has something that the bank
// has booked.
type bookedDays struct{ first, last billing.Date }

func (d *bookedDays) add(e *Entry) {
	if e.Pending {
		return
	}
	if d.first.IsZero() || e.BookedOn.Before(d.first) {
		d.first = e.BookedOn
	}
	if d.last.Before(e.BookedOn) {
		d.last = e.BookedOn
	}
}

// whole reports whether the statement has all of a day.
func (d *bookedDays) whole(day billing.Date) bool { return d.first.Before(day) && day.Before(d.last) }

// doubt is an entry that may be one of another statement.
type doubt struct {
	Record
	equal *Record
}

// equalReason is why an entry waits that is as one of another statement.
const equalReason = "another statement has an equal entry of that day: assign it if it is another payment, dismiss it if it is the same"

// equalOf returns the entry of another statement that equals one which is not kept yet; nil:
// there is none.
func equalOf(ctx context.Context, books Books, r *Record) (*Record, error) {
	if r.Equal == "" || r.Pending {
		return nil, nil
	}
	if kept, err := books.EntryByReference(ctx, r.Reference); err != nil || kept != nil {
		return nil, err
	}
	return books.EqualEntry(ctx, r.Equal, r.Nth)
}

func (c *Counts) count(o Outcome) {
	c.Entries++
	switch o {
	case OutcomeBooked:
		c.Booked++
	case OutcomeProposed:
		c.Proposed++
	case OutcomeUnmatched:
		c.Unmatched++
	case OutcomeIgnored:
		c.Ignored++
	case OutcomePending:
		c.Pending++
	case OutcomeKnown:
		c.Known++
	case OutcomeWrong:
		c.Wrong++
	}
}

// take matches an entry and keeps it.
func take(ctx context.Context, books Books, r Record, dryRun bool) (*Line, error) {
	if r.Pending {
		r.Reason = r.NoPayment()
		return &Line{Record: r, Outcome: OutcomePending}, nil
	}
	kept, err := books.EntryByReference(ctx, r.Reference)
	if err != nil {
		return nil, err
	}
	if kept != nil && (kept.State != Unmatched && kept.State != Proposed || kept.Reason == equalReason) {
		return knownLine(kept, r.Entry.Line), nil
	}
	for attempt := 1; ; attempt++ {
		match, err := Match(ctx, &r.Entry, books)
		if err != nil {
			return nil, err
		}
		line := &Line{Record: r}
		line.decide(&match)
		if kept != nil && (line.State == kept.State || line.State == Unmatched) {
			return knownLine(kept, r.Entry.Line), nil
		}
		if dryRun {
			return line, nil
		}
		taken, err := books.TakeEntry(ctx, &line.Record, line.Allocations)
		var changed *billing.FieldError
		if errors.As(err, &changed) && changed.Field == "allocations" && attempt < matchAttempts {
			continue // somebody paid one of the invoices at the same moment
		}
		if err != nil {
			return nil, err
		}
		if !taken {
			return knownLine(&line.Record, r.Entry.Line), nil
		}
		return line, nil
	}
}

func knownLine(kept *Record, at int) *Line {
	line := &Line{Record: *kept, Outcome: OutcomeKnown}
	line.Entry.Line = at
	return line
}

// decide gives an entry the state that follows from its match.
func (l *Line) decide(match *Result) {
	l.Reason = match.Reason
	switch {
	case l.Reversal: // it is to be seen to: what it undoes may have been booked
		l.State, l.Outcome = Unmatched, OutcomeUnmatched
	case l.NoPayment() != "":
		l.State, l.Outcome = Ignored, OutcomeIgnored
	case match.Confidence == Certain:
		l.State, l.Outcome = Booked, OutcomeBooked
		l.UserID, l.Allocations = match.UserID, match.Allocations
	case match.Confidence == Likely:
		l.State, l.Outcome, l.UserID = Proposed, OutcomeProposed, match.UserID
	default:
		l.State, l.Outcome, l.UserID = Unmatched, OutcomeUnmatched, uuid.Nil
	}
}

// Payment is the payment of a record's entry by its user.
func (r *Record) Payment(allocations []billing.Allocation) billing.Payment {
	return billing.Payment{
		UserID: r.UserID, Method: billing.PaidBank, Currency: r.Currency, Amount: r.Amount,
		Provider: Provider, Reference: r.Reference, ReceivedOn: r.BookedOn, Allocations: allocations,
	}
}
