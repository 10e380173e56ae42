package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/jobs"
	"radiusd/operator"
	"radiusd/store"
)

func (a *app) jobCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "job",
		Short: "Background jobs: what waits, runs and has failed",
		Long: `Background jobs are what is done besides requests, like billing runs. They are
in the store; adminapi serve, or radiusd serve --admin, runs them. A job that
fails is tried again, with longer and longer pauses, until its attempts are used
up. Completed jobs are kept for a week, failed and cancelled ones for 30 days.`,
		Example: `  radiusd job list
  radiusd job list --state failed`,
	}
	c.AddCommand(a.jobListCommand(), a.jobShowCommand(), a.jobRetryCommand(), a.jobCancelCommand())
	return c
}

// jobColumns describe a job, named as in the API.
var jobColumns = []column[jobs.Job]{
	{name: "id", value: func(j *jobs.Job) any { return j.ID }},
	{name: "kind", value: func(j *jobs.Job) any { return j.Kind }},
	{name: "state", value: func(j *jobs.Job) any { return string(j.State) }},
	{name: "attempt", value: func(j *jobs.Job) any { return j.Attempt }, human: func(j *jobs.Job) string { return fmt.Sprintf("%d of %d", j.Attempt, j.Attempts) }},
	{name: "max_attempts", value: func(j *jobs.Job) any { return j.Attempts }, detail: true},
	{name: "done", value: func(j *jobs.Job) any { return j.Done }, human: jobProgress},
	{name: "total", value: func(j *jobs.Job) any { return j.Total }, detail: true},
	{name: "canceling", value: func(j *jobs.Job) any { return j.Cancelling }, detail: true},
	{name: "created_at", value: func(j *jobs.Job) any { return j.CreatedAt }, detail: true},
	{name: "scheduled_at", value: func(j *jobs.Job) any { return j.ScheduledAt }},
	{name: "started_at", value: func(j *jobs.Job) any { return j.StartedAt }},
	{name: "finished_at", value: func(j *jobs.Job) any { return j.FinishedAt }},
	{name: "args", value: func(j *jobs.Job) any { return jobArgs(j) }, detail: true},
	{name: "error", value: func(j *jobs.Job) any { return lastFailure(j) }},
	{name: "failures", value: func(j *jobs.Job) any { return jobFailures(j) }, detail: true},
}

func jobProgress(j *jobs.Job) string {
	switch {
	case j.Total > 0:
		return fmt.Sprintf("%d of %d", j.Done, j.Total)
	case j.Done > 0:
		return strconv.FormatInt(j.Done, 10)
	}
	return ""
}

// jobArgs are the arguments that may be seen, as JSON.
func jobArgs(j *jobs.Job) string {
	if len(j.Args) == 0 {
		return ""
	}
	text, err := json.Marshal(j.Args)
	if err != nil { // what was read from JSON can be written
		return ""
	}
	return string(text)
}

func lastFailure(j *jobs.Job) string {
	if n := len(j.Failures); n > 0 {
		return j.Failures[n-1].Error
	}
	return ""
}

func jobFailures(j *jobs.Job) []string {
	texts := make([]string, len(j.Failures))
	for i, f := range j.Failures {
		texts[i] = fmt.Sprintf("%s attempt %d: %s", tableTime(f.At), f.Attempt, f.Error)
	}
	return texts
}

// withJobs calls fn with the jobs of the configured store.
func (a *app) withJobs(ctx context.Context, fn func(s *store.Store, queue *jobs.Queue) error) error {
	return a.withStore(ctx, func(cfg *config.Config, s *store.Store) error {
		queue, err := jobs.New(jobOptions(s, a.logger(cfg, nil)))
		if err != nil {
			return err
		}
		return fn(s, queue)
	})
}

func (a *app) jobListCommand() *cobra.Command {
	kind, limit := "", 0
	var states []string
	c := &cobra.Command{
		Use:   "list",
		Short: "List background jobs, the latest first",
		Example: `  radiusd job list
  radiusd job list --state failed,retrying
  radiusd job list --kind billing.run -o json`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef("--limit must not be negative")
			}
			filter := jobs.Filter{Kind: kind}
			for _, text := range states {
				state, err := jobs.ParseState(text)
				if err != nil {
					return usagef("--state: %v", err)
				}
				filter.States = append(filter.States, state)
			}
			return a.withJobs(c.Context(), func(_ *store.Store, queue *jobs.Queue) error {
				return writeList(a, jobColumns, eachJob(c.Context(), queue, filter, limit))
			})
		},
	}
	c.Flags().StringVar(&kind, "kind", "", "only of this `KIND`, like billing.run")
	c.Flags().StringSliceVar(&states, "state", nil, "only in this `STATE`: waiting, scheduled, running, retrying, completed, failed, cancelled (repeated)")
	c.Flags().IntVar(&limit, "limit", 1000, "at most `N` jobs; 0 for all")
	completeFlag(c, "state", "waiting", "scheduled", "running", "retrying", "completed", "failed", "cancelled")
	completeFlagFunc(c, "kind", cobra.NoFileCompletions)
	a.outputFlag(c)
	return c
}

// eachJob gives the jobs that the filter selects, the latest first; limit zero: all.
func eachJob(ctx context.Context, queue *jobs.Queue, filter jobs.Filter, limit int) iter.Seq2[*jobs.Job, error] {
	return eachPage(limit, func(size int, last *jobs.Job) ([]jobs.Job, error) {
		filter.Before, filter.Limit = 0, size
		if last != nil {
			filter.Before = last.ID
		}
		list, _, err := queue.List(ctx, filter)
		return list, err
	})
}

// jobCommandOf is a command about one job. action names it in the audit log; empty: it
// changes nothing.
func (a *app) jobCommandOf(use, short, action string, do func(*jobs.Queue, context.Context, int64) (jobs.Job, error)) *cobra.Command {
	c := &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Example: fmt.Sprintf(`  radiusd job %[1]s 42
  radiusd job %[1]s 42 -o json`, use),
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return usagef("%q is not the id of a job", args[0])
			}
			return a.withJobs(c.Context(), func(s *store.Store, queue *jobs.Queue) error {
				job, err := do(queue, c.Context(), id)
				if err != nil {
					return err
				}
				if action != "" {
					entry := operator.AuditEntry{Action: action, EntityKind: "job", EntityName: args[0], Changes: json.RawMessage(fmt.Sprintf(`{"kind":%q}`, job.Kind))}
					if err := s.AppendAudit(c.Context(), entry, ""); err != nil {
						return err
					}
				}
				return writeOne(a, jobColumns, &job)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) jobShowCommand() *cobra.Command {
	return a.jobCommandOf("show", "Show a background job", "", (*jobs.Queue).Get)
}

func (a *app) jobRetryCommand() *cobra.Command {
	c := a.jobCommandOf("retry", "Run a background job again, now", "jobs.retry", (*jobs.Queue).Retry)
	c.Long = "Runs a job again, now, that has failed, was cancelled or waits for its time."
	return c
}

func (a *app) jobCancelCommand() *cobra.Command {
	c := a.jobCommandOf("cancel", "End a background job that waits or runs", "jobs.cancel", (*jobs.Queue).Cancel)
	c.Long = "Ends a job that waits, or tells one that runs to end, which takes a few seconds."
	return c
}
