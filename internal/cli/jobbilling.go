package cli

import (
	"context"
	"log/slog"
	"time"

	"radiusd/billing"
	"radiusd/jobs"
)

// billingRun is the job of a billing run.
type billingRun struct {
	AsOf billing.Date `json:"as_of"`
}

// Kind implements jobs.Args.
func (billingRun) Kind() string { return "billing.run" }

// registerBilling adds billing runs, nightly at a time like 04:00 of the zone; empty: not
// by themselves. bill does one for a day, or goes on with the one that was interrupted,
// and tells of its progress.
func registerBilling(queue *jobs.Queue, runAt string, zone *time.Location, bill func(context.Context, billing.Date, func(billing.Run)) (billing.Run, error), log *slog.Logger) error {
	handle := func(ctx context.Context, args billingRun) error {
		run, err := bill(ctx, args.AsOf, func(run billing.Run) { jobs.Progress(ctx, int64(run.Accounts), 0) })
		if err == nil && run.Failed > 0 {
			log.Warn("some accounts could not be billed, see the run's failures", "run", run.ID, "accounts", run.Failed)
		}
		return err
	}
	kind, err := jobs.Register(queue, handle, jobs.Policy{
		Timeout: 6 * time.Hour, Attempts: 20, Pause: time.Minute, Unique: true, Show: []string{"as_of"},
	})
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
