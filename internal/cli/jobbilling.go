package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"radiusd/billing"
	"radiusd/dictionary"
	"radiusd/jobs"
	"radiusd/store"
)

// billingRun is the job of a billing run.
type billingRun struct {
	AsOf billing.Date `json:"as_of"`
}

// Kind implements jobs.Args.
func (billingRun) Kind() string { return "billing.run" }

// billingDunning is the job of a dunning run.
type billingDunning struct {
	AsOf billing.Date `json:"as_of"`
}

// Kind implements jobs.Args.
func (billingDunning) Kind() string { return "billing.dunning" }

// registerDunning adds dunning runs. Who bills adds them, each night after that.
func registerDunning(queue *jobs.Queue, dun func(context.Context, billing.Date) error) (*jobs.Kind[billingDunning], error) {
	return jobs.Register(queue, func(ctx context.Context, args billingDunning) error { return dun(ctx, args.AsOf) }, billingPolicy())
}

// dunningStarter is billingStarter for dunning runs.
func dunningStarter(queue *jobs.Queue) (func(ctx context.Context, asOf billing.Date) (jobID int64, err error), error) {
	kind, err := jobs.Register[billingDunning](queue, nil, billingPolicy())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, asOf billing.Date) (int64, error) {
		id, _, err := kind.Insert(ctx, billingDunning{AsOf: asOf})
		return id, err
	}, nil
}

// billingPolicy is how billing and dunning runs are run.
func billingPolicy() jobs.Policy {
	return jobs.Policy{Timeout: 6 * time.Hour, Attempts: 20, Pause: time.Minute, Unique: true, Show: []string{"as_of"}}
}

// billingStarter adds billing runs to the jobs, which another part or process may run.
func billingStarter(queue *jobs.Queue) (func(ctx context.Context, asOf billing.Date) (jobID int64, err error), error) {
	kind, err := jobs.Register[billingRun](queue, nil, billingPolicy())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, asOf billing.Date) (int64, error) {
		id, _, err := kind.Insert(ctx, billingRun{AsOf: asOf})
		return id, err
	}, nil
}

// registerBilling adds billing runs, nightly at a time like 04:00 of the zone; empty: not
// by themselves. bill does what is due on a day, or goes on with what was interrupted, and
// tells of its progress. then is what follows it.
func registerBilling(queue *jobs.Queue, runAt string, zone *time.Location, bill func(context.Context, billing.Date, func(billing.Run)) (billing.Run, error),
	then func(context.Context, billing.Date) error, log *slog.Logger) error {
	handle := func(ctx context.Context, args billingRun) error {
		run, err := bill(ctx, args.AsOf, func(run billing.Run) { jobs.Progress(ctx, int64(run.Accounts), 0) })
		if err == nil && run.Failed > 0 {
			log.Warn("some accounts could not be billed, see the run's failures", "run", run.ID, "accounts", run.Failed)
		}
		if err != nil {
			return err
		}
		return then(ctx, args.AsOf)
	}
	kind, err := jobs.Register(queue, handle, billingPolicy())
	if err != nil || runAt == "" {
		return err
	}
	nightly, err := jobs.ParseDaily(runAt, zone)
	if err != nil {
		return err
	}
	kind.Schedule(nightly, func(due time.Time) billingRun { return billingRun{AsOf: billing.DateOf(due, zone)} })
	return nil
}

// nightBilling is what is done for billing by itself, each night.
type nightBilling struct {
	store *store.Store
	dict  *dictionary.Dictionary
	zone  *time.Location
	now   func() time.Time
	log   *slog.Logger
}

// bill finishes what earlier nights have left unfinished, and then bills what is due on
// the day. While nobody has set billing up it does nothing.
func (n *nightBilling) bill(ctx context.Context, asOf billing.Date, progress func(billing.Run)) (billing.Run, error) {
	_, changed, err := n.store.BillingSettings(ctx)
	if err != nil {
		return billing.Run{}, err
	}
	if changed.IsZero() {
		n.log.Info("billing is not set up, so there is no nightly run; see radiusd billing set")
		return billing.Run{}, nil
	}
	unfinished, err := n.store.UnfinishedRuns(ctx, asOf)
	if err != nil {
		return billing.Run{}, err
	}
	for _, day := range unfinished {
		if run, err := n.billDay(ctx, day, progress); err != nil {
			return run, fmt.Errorf("finish the run for %s: %w", day, err)
		}
	}
	return n.billDay(ctx, asOf, progress)
}

func (n *nightBilling) billDay(ctx context.Context, day billing.Date, progress func(billing.Run)) (billing.Run, error) {
	o, err := runOptions(ctx, n.store, day, n.zone, n.now())
	if err != nil {
		return billing.Run{}, err
	}
	run, err := billing.BillAll(ctx, n.store, o, progress)
	if err == nil {
		n.log.Info("billed", "as_of", day.String(), "accounts", run.Accounts, "charges", run.Charges, "invoices", run.Invoices, "failed", run.Failed)
	}
	return run, err
}

// dun takes the steps that are due about what is not paid. Accounts for which that fails do
// not keep it from the others; the job fails for their sake once all are done.
func (n *nightBilling) dun(ctx context.Context, asOf billing.Date) error {
	run, err := dunAll(ctx, n.store, n.dict, asOf, n.zone, n.now(), func(run store.DunningRun) { jobs.Progress(ctx, int64(run.Accounts), 0) })
	if err != nil {
		return err
	}
	for _, f := range run.Failures {
		n.log.Warn("the steps about what is overdue could not be taken", "user", f.Username, "error", f.Error)
	}
	if run.Accounts > 0 {
		n.log.Info("took steps about what is overdue", "as_of", asOf.String(), "accounts", run.Accounts, "reminded", run.Reminded,
			"restricted", run.Restricted, "suspended", run.Suspended, "ended", run.Ended, "failed", run.Failed)
	}
	if run.Failed == 0 {
		return nil
	}
	f := run.Failures[0]
	return jobs.Permanent(fmt.Errorf("the steps of %d of %d accounts could not be taken, of user %s for one: %s", run.Failed, run.Accounts, f.UserID, f.Error))
}

// runOptions are what a run for a day goes by.
func runOptions(ctx context.Context, s *store.Store, day billing.Date, zone *time.Location, now time.Time) (billing.RunOptions, error) {
	settings, _, err := s.BillingSettings(ctx)
	if err != nil {
		return billing.RunOptions{}, err
	}
	taxes, err := s.TaxRates(ctx)
	return settings.RunOptions(day, zone, taxes, now), err
}
