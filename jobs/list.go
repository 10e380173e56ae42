package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// State is where a job is.
type State string

// The states of a job.
const (
	Waiting   State = "waiting"   // to be run as soon as somebody can
	Scheduled State = "scheduled" // for a later time
	Running   State = "running"
	Retrying  State = "retrying" // it failed and waits for its next attempt
	Completed State = "completed"
	Failed    State = "failed" // for good
	Cancelled State = "cancelled"
)

// stateNames are River's states of each State.
var stateNames = map[State][]rivertype.JobState{
	Waiting: {rivertype.JobStateAvailable, rivertype.JobStatePending}, Scheduled: {rivertype.JobStateScheduled}, Running: {rivertype.JobStateRunning},
	Retrying: {rivertype.JobStateRetryable}, Completed: {rivertype.JobStateCompleted}, Failed: {rivertype.JobStateDiscarded}, Cancelled: {rivertype.JobStateCancelled},
}

func stateOf(name rivertype.JobState) State {
	for state, names := range stateNames {
		for _, n := range names {
			if n == name {
				return state
			}
		}
	}
	return Waiting
}

// ParseState returns the state of a name.
func ParseState(name string) (State, error) {
	if _, ok := stateNames[State(name)]; !ok {
		return "", fmt.Errorf("%q is no state of a job, want waiting, scheduled, running, retrying, completed, failed or cancelled", name)
	}
	return State(name), nil
}

// What Get, Retry and Cancel refuse.
var (
	ErrNotFound = errors.New("there is no such job")
	// ErrState: a job that runs or is completed cannot be retried, one that has ended not
	// be cancelled.
	ErrState = errors.New("the job's state does not allow it")
)

// Failure is an attempt that failed.
type Failure struct {
	At      time.Time
	Attempt int
	Error   string
}

// Job is a job as people see it.
type Job struct {
	ID    int64
	Kind  string
	State State
	// Args are those of its arguments that its kind shows.
	Args map[string]any
	// Attempt counts from 1 when it first runs.
	Attempt, Attempts int
	Failures          []Failure
	// Done of Total is how far its latest attempt came; Total is 0 if it did not tell.
	Done, Total int64
	CreatedAt   time.Time
	ScheduledAt time.Time // when it is run next, or was to be
	StartedAt   time.Time // of the latest attempt; zero: none
	FinishedAt  time.Time // zero: it has not
	// Cancelling says that it runs and has been told to end.
	Cancelling bool
}

// Filter says which jobs are wanted. Its zero value is all.
type Filter struct {
	Kind   string
	States []State
	// Before continues a list behind the job with this id; 0: from the newest.
	Before int64
	// Limit is between 1 and 1000; 0: 100.
	Limit int
}

// MaxLimit bounds a page of List.
const MaxLimit = 1000

// List returns jobs, the newest first, and whether there are more.
func (q *Queue) List(ctx context.Context, f Filter) (list []Job, more bool, err error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	f.Limit = min(f.Limit, MaxLimit)
	params := river.NewJobListParams().First(f.Limit+1).OrderBy(river.JobListOrderByID, river.SortOrderDesc)
	if f.Kind != "" {
		params = params.Kinds(f.Kind)
	}
	if len(f.States) > 0 {
		var states []rivertype.JobState
		for _, s := range f.States {
			states = append(states, stateNames[s]...)
		}
		params = params.States(states...)
	}
	if f.Before > 0 {
		params = params.Where("id < @before", river.NamedArgs{"before": f.Before})
	}
	result, err := q.looker.JobList(ctx, params)
	if err != nil {
		return nil, false, fmt.Errorf("list jobs: %w", err)
	}
	for _, row := range result.Jobs[:min(f.Limit, len(result.Jobs))] {
		job, err := q.job(ctx, row)
		if err != nil {
			return nil, false, fmt.Errorf("list jobs: %w", err)
		}
		list = append(list, job)
	}
	return list, len(result.Jobs) > f.Limit, nil
}

// Get returns a job, or ErrNotFound.
func (q *Queue) Get(ctx context.Context, id int64) (Job, error) {
	return q.found(ctx, "read", id, q.looker.JobGet)
}

// Retry runs a job again, now, that has failed, was cancelled or waits for its time.
// Else it returns ErrNotFound or ErrState.
func (q *Queue) Retry(ctx context.Context, id int64) (Job, error) {
	again := func(ctx context.Context, id int64) (*rivertype.JobRow, error) {
		// Else it would be cancelled again.
		if _, err := q.options.Writer.ExecContext(ctx, q.dialect.renew, id); err != nil {
			return nil, err
		}
		return q.client.JobRetry(ctx, id)
	}
	return q.change(ctx, "retry", id, again, func(s State) bool { return s != Running && s != Completed })
}

// Cancel ends a job that has not ended: one that waits at once, one that runs as soon as
// its handler heeds its context. Else it returns ErrNotFound or ErrState.
func (q *Queue) Cancel(ctx context.Context, id int64) (Job, error) {
	return q.change(ctx, "cancel", id, q.client.JobCancel, func(s State) bool { return s != Completed && s != Failed && s != Cancelled })
}

func (q *Queue) change(ctx context.Context, verb string, id int64, do func(context.Context, int64) (*rivertype.JobRow, error), allowed func(State) bool) (Job, error) {
	job, err := q.found(ctx, verb, id, q.looker.JobGet)
	if err != nil {
		return Job{}, err
	}
	if !allowed(job.State) {
		return job, fmt.Errorf("%s job %d: %w: it is %s", verb, id, ErrState, job.State)
	}
	return q.found(ctx, verb, id, func(ctx context.Context, id int64) (*rivertype.JobRow, error) {
		row, err := do(ctx, id)
		if err != nil && isUnique(err) {
			return nil, fmt.Errorf("%w: another one like it waits or runs", ErrState)
		}
		return row, err
	})
}

func (q *Queue) found(ctx context.Context, verb string, id int64, do func(context.Context, int64) (*rivertype.JobRow, error)) (Job, error) {
	row, err := do(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		err = ErrNotFound
	}
	if err != nil {
		return Job{}, fmt.Errorf("%s job %d: %w", verb, id, err)
	}
	job, err := q.job(ctx, row)
	if err != nil {
		return Job{}, fmt.Errorf("%s job %d: %w", verb, id, err)
	}
	return job, nil
}

// job makes of a row what people see.
func (q *Queue) job(ctx context.Context, row *rivertype.JobRow) (Job, error) {
	var m metadata
	if err := json.Unmarshal(row.Metadata, &m); err != nil {
		return Job{}, fmt.Errorf("what is kept with it cannot be read: %w", err)
	}
	j := Job{
		ID: row.ID, Kind: row.Kind, State: stateOf(row.State), Args: m.Shown, Attempt: row.Attempt, Attempts: row.MaxAttempts,
		CreatedAt: row.CreatedAt, ScheduledAt: row.ScheduledAt, Cancelling: row.State == rivertype.JobStateRunning && m.CancelAttemptedAt != nil,
	}
	if j.State == Waiting && row.Attempt > 0 && row.ScheduledAt.After(q.now()) {
		j.State = Retrying // River makes short pauses in this state
	}
	if row.AttemptedAt != nil {
		j.StartedAt = *row.AttemptedAt
	}
	if row.FinalizedAt != nil {
		j.FinishedAt = *row.FinalizedAt
	}
	for _, e := range row.Errors {
		j.Failures = append(j.Failures, Failure{At: e.At, Attempt: e.Attempt, Error: e.Error})
	}
	err := q.options.Reader.QueryRowContext(ctx, progress, row.ID).Scan(&j.Done, &j.Total)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Job{}, err
	}
	return j, nil
}
