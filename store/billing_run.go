package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/journal"
	"radiusd/operator"
)

var _ billing.RunStore = (*Store)(nil)

func runFields(r *billing.Run) []field {
	return []field{
		{"id", id{&r.ID}},
		{"as_of", civil{&r.AsOf}},
		{"position", nullID{&r.Cursor}},
		{"accounts", whole[int]{&r.Accounts}},
		{"charges", whole[int]{&r.Charges}},
		{"invoices", whole[int]{&r.Invoices}},
		{"failed", whole[int]{&r.Failed}},
		{"started_at", moment{&r.StartedAt}},
		{"finished_at", moment{&r.FinishedAt}},
	}
}

// runSpace is the name space of the ids of runs (UUIDv5): the nth run of a day has the
// same one in a database that was restored and runs again.
var runSpace = uuid.MustParse("2f0c1a52-7f0e-5d5b-8d2e-7261646975af")

// BeginRun implements [billing.RunStore]. On Postgres the right to bill is an advisory
// lock of a connection, on SQLite the lock of a file beside the database; either is free
// as soon as the process that had it is gone.
func (s *Store) BeginRun(ctx context.Context, asOf billing.Date) (run billing.Run, release func(), err error) {
	if asOf.IsZero() {
		return billing.Run{}, nil, &billing.FieldError{Field: "as_of", Message: "a run needs the day that it is for"}
	}
	release, err = s.lockBilling(ctx)
	if err != nil {
		return billing.Run{}, nil, err
	}
	err = s.write(ctx, func(tx *writeTx) error {
		run = billing.Run{}
		fields := runFields(&run)
		err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM billing_runs WHERE as_of = $1 AND finished_at IS NULL", civil{&asOf}).Scan(targets(fields)...)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		var before int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM billing_runs WHERE as_of = $1", civil{&asOf}).Scan(&before); err != nil {
			return err
		}
		run = billing.Run{ID: uuid.NewSHA1(runSpace, fmt.Appendf(nil, "%s %d", asOf, before)), AsOf: asOf, StartedAt: s.timestamp()}
		if err := insert(ctx, tx.Tx, "billing_runs", runFields(&run)); err != nil {
			return err
		}
		return tx.record(ctx, operator.AuditEntry{Action: "billing_runs.begin", EntityKind: "billing_run", EntityID: run.ID, EntityName: asOf.String()}, "billing_run.begun")
	})
	if err != nil {
		release()
		return billing.Run{}, nil, s.failed("begin billing run", err)
	}
	return run, release, nil
}

// UnfinishedRuns returns the days before a day whose billing run was begun and not
// finished, in order.
func (s *Store) UnfinishedRuns(ctx context.Context, before billing.Date) (days []billing.Date, err error) {
	var day billing.Date
	err = eachRow(ctx, s.reader, "SELECT as_of FROM billing_runs WHERE finished_at IS NULL AND as_of < $1 ORDER BY as_of", []any{civil{&before}}, []any{civil{&day}}, func() error {
		days = append(days, day)
		return nil
	})
	return days, s.failed("read unfinished billing runs", err)
}

// lockBilling takes the only right to bill.
func (s *Store) lockBilling(ctx context.Context) (release func(), err error) {
	if s.pool == nil {
		var held io.Closer
		held, err = journal.LockFile(s.path + ".billing")
		if errors.Is(err, journal.ErrLocked) {
			return nil, billing.ErrRunning
		}
		if err != nil {
			return nil, fmt.Errorf("lock billing: %w", err)
		}
		return func() { _ = held.Close() }, nil
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return nil, s.failed("lock billing", err)
	}
	var locked bool
	if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(hashtext('radiusd billing'))").Scan(&locked); err != nil || !locked {
		_ = conn.Close()
		if err == nil {
			return nil, billing.ErrRunning
		}
		return nil, s.failed("lock billing", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock(hashtext('radiusd billing'))"); err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closed, it has no lock
		}
		_ = conn.Close()
	}, nil
}

// releaseTimeout bounds how long the right to bill is given back.
const releaseTimeout = 5 * time.Second

// BillAccounts implements [billing.RunStore]. Accounts that the database refuses the bill
// of are found by halving the limit.
func (s *Store) BillAccounts(ctx context.Context, run billing.Run, o billing.RunOptions, limit int, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error)) (billing.Run, error) {
	if limit < 1 {
		return run, errors.New("bill accounts: the limit must be 1 or more")
	}
	o.AsOf, o.RunID = run.AsOf, run.ID
	if o.Location == nil {
		o.Location = s.location
	}
	for {
		next, refused, err := s.billBatch(ctx, run, o, limit, compute, nil)
		switch {
		case err == nil:
			return next, nil
		case !refused || ctx.Err() != nil:
			return run, s.failed("bill accounts", err)
		case limit > 1:
			limit = (limit + 1) / 2
			continue
		}
		next, _, err = s.billBatch(ctx, run, o, 1, compute, err)
		if err != nil {
			return run, s.failed("bill accounts", err)
		}
		return next, nil
	}
}

// billBatch is BillAccounts, in one transaction. refused reports that the database did
// not take what it would write. failed is why the only account of the batch has failed.
func (s *Store) billBatch(ctx context.Context, run billing.Run, o billing.RunOptions, limit int, compute func(*billing.Account, billing.RunOptions) (*billing.Bill, error), failed error) (next billing.Run, refused bool, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		refused = false
		if err := tx.lockRun(ctx, run); err != nil {
			return err
		}
		next = run
		if o.Location == nil {
			o.Location = s.location
		}
		o.Now = s.timestamp()
		users, err := tx.billable(ctx, run.Cursor, o, limit)
		if err != nil {
			return err
		}
		b := billWriter{tx: tx, o: o, run: &next}
		if failed != nil {
			for _, userID := range users {
				b.fail(userID, failed)
			}
		} else if err := b.compute(ctx, users, compute); err != nil {
			return err
		}
		refused = true
		if err := b.write(ctx); err != nil {
			refused = kindOf(err) != kindRetry
			return err
		}
		refused = false
		if err := tx.completeOrders(ctx, b.users); err != nil { // from what the charges have left
			return err
		}
		next.Accounts += len(users)
		if len(users) > 0 {
			next.Cursor = users[len(users)-1]
		}
		if len(users) < limit {
			next.FinishedAt = s.timestamp()
			err = tx.record(ctx, operator.AuditEntry{Action: "billing_runs.finish", EntityKind: "billing_run", EntityID: next.ID, EntityName: next.AsOf.String()}, "billing_run.finished")
			if err != nil {
				return err
			}
		}
		return update(ctx, tx.Tx, "billing_runs", runFields(&next))
	})
	return next, refused && err != nil, err
}

// lockRun fails unless the run is where the caller has left it.
func (tx *writeTx) lockRun(ctx context.Context, run billing.Run) error {
	var now billing.Run
	fields := runFields(&now)
	err := tx.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM billing_runs WHERE id = $1"+tx.forUpdate(), run.ID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return notFound("billing run", run.ID.String())
	}
	if err == nil && (now.Cursor != run.Cursor || !now.FinishedAt.IsZero()) {
		return billing.ErrRunning
	}
	return err
}

var runLists = lister[billing.Run]{
	name: "billing runs", sorts: billing.RunSorts(),
	keys: map[string]sortKey[billing.Run]{"started_at": timeKey("started_at", func(r *billing.Run) time.Time { return r.StartedAt })},
	id:   idKey("id", func(r *billing.Run) uuid.UUID { return r.ID }),
}

// ListRunsPage returns a page of billing runs, and the cursor of the next page; empty:
// there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListRunsPage(ctx context.Context, page aaa.Page) ([]billing.Run, string, error) {
	return listRows(ctx, s, runLists, "billing_runs", runFields, conditions{}, nil, page)
}

// RunByID returns a billing run. It fails with ErrNotFound.
func (s *Store) RunByID(ctx context.Context, runID uuid.UUID) (*billing.Run, error) {
	var r billing.Run
	fields := runFields(&r)
	err := s.reader.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM billing_runs WHERE id = $1", runID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		err = notFound("billing run", runID.String())
	}
	if err != nil {
		return nil, s.failed("read billing run "+runID.String(), err)
	}
	return &r, nil
}

// maxRunFailures bounds how many failures of a run are returned.
const maxRunFailures = 1000

// RunFailures returns the accounts that a run could not bill, and why: the first
// thousand.
func (s *Store) RunFailures(ctx context.Context, runID uuid.UUID) (list []billing.RunFailure, err error) {
	var f billing.RunFailure
	err = eachRow(ctx, s.reader, "SELECT user_id, "+usernameOf("billing_run_failures")+", at, error FROM billing_run_failures WHERE run_id = $1 ORDER BY user_id LIMIT "+
		fmt.Sprint(maxRunFailures), []any{runID.String()}, []any{id{&f.UserID}, text{&f.Username}, moment{&f.At}, text{&f.Error}}, func() error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		return nil, s.failed("read failures of billing run "+runID.String(), err)
	}
	return list, nil
}

// PreviewBills returns the accounts after a user id, at most limit, that may have something
// to charge, as BillAccounts does. It writes nothing. The last of them is where to go on;
// without any, there were none left.
func (s *Store) PreviewBills(ctx context.Context, after uuid.UUID, o billing.RunOptions, limit int) (accounts []*billing.Account, err error) {
	if o.Location == nil {
		o.Location = s.location
	}
	err = s.look(ctx, func(tx *writeTx) error {
		users, err := tx.billable(ctx, after, o, limit)
		if err != nil {
			return err
		}
		accounts, err = tx.readAccounts(ctx, users, o)
		return err
	})
	return accounts, s.failed("preview bills", err)
}
