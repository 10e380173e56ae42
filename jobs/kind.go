package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Args are the arguments of a kind of job: a struct that encoding/json keeps. Kind may
// not depend on its fields.
type Args interface{ Kind() string }

// Policy says how a kind of job is run. Its zero value is of use.
type Policy struct {
	// Timeout is how long an attempt may take; zero: an hour.
	Timeout time.Duration
	// Attempts is how often a job is tried; zero: 10.
	Attempts int
	// Pause is the time before the second attempt; each later one is twice as long, up to
	// LongestPause, and varies by a tenth. Zero: 10 s, and an hour.
	Pause, LongestPause time.Duration
	// Unique refuses a job while one with the same arguments waits or runs.
	Unique bool
	// Show names the fields of the arguments, as in JSON, that people may see in lists.
	Show []string
}

// errPermanent marks what another attempt does not mend.
type errPermanent struct{ error }

func (e errPermanent) Unwrap() error { return e.error }

// Permanent marks a handler's error: the job has failed and is not tried again by itself.
func Permanent(err error) error { return errPermanent{err} }

// envelope is the arguments as they are stored.
type envelope[T Args] struct {
	Args json.RawMessage `json:"args"`
	// Due is when a schedule wanted it, which makes it unique.
	Due string `json:"due,omitempty"`
}

// Kind implements river.JobArgs.
func (envelope[T]) Kind() string {
	var args T
	return args.Kind()
}

// Kind adds jobs of one kind.
type Kind[T Args] struct {
	queue  *Queue
	name   string
	policy Policy
}

// Register adds a kind of job. A process that adds jobs and does not run them may give
// no handler. An error that the handler returns is kept and shown to operators, so it
// holds no secret.
func Register[T Args](q *Queue, handler func(ctx context.Context, args T) error, policy Policy) (*Kind[T], error) {
	var args T
	k := &Kind[T]{queue: q, name: args.Kind(), policy: policy}
	setDefault(&k.policy.Timeout, time.Hour)
	setDefault(&k.policy.Pause, 10*time.Second)
	setDefault(&k.policy.LongestPause, max(time.Hour, k.policy.Pause))
	if k.policy.Attempts <= 0 {
		k.policy.Attempts = 10
	}
	if slices.Contains(q.kinds, k.name) {
		return nil, fmt.Errorf("jobs: kind %q is registered twice", k.name)
	}
	if handler != nil {
		if err := river.AddWorkerSafely(q.workers, &worker[T]{kind: k, handler: handler}); err != nil {
			return nil, fmt.Errorf("jobs: %w", err)
		}
		q.kinds = append(q.kinds, k.name)
		q.metrics.begin(k.name)
	}
	return k, nil
}

// Insert adds a job, to be run now. It returns the job's id, and false if the kind is
// unique and such a job waits or runs, whose id it is then.
func (k *Kind[T]) Insert(ctx context.Context, args T) (id int64, added bool, err error) {
	return k.InsertAt(ctx, args, time.Time{})
}

// InsertAt is Insert for a job that is to be run at a time; the zero time is now.
func (k *Kind[T]) InsertAt(ctx context.Context, args T, at time.Time) (id int64, added bool, err error) {
	stored, options, err := k.prepare(args, time.Time{})
	if err != nil {
		return 0, false, err
	}
	options.ScheduledAt = at
	result, err := k.queue.client.Insert(ctx, stored, options)
	if err != nil {
		return 0, false, fmt.Errorf("add job %s: %w", k.name, err)
	}
	return result.Job.ID, !result.UniqueSkippedAsDuplicate, nil
}

// notFinished are the states of a job that waits or runs.
var notFinished = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

func (k *Kind[T]) prepare(args T, due time.Time) (stored envelope[T], options *river.InsertOpts, err error) {
	if stored.Args, err = json.Marshal(args); err != nil {
		return stored, nil, fmt.Errorf("add job %s: %w", k.name, err)
	}
	options = &river.InsertOpts{MaxAttempts: k.policy.Attempts, Queue: queueName}
	if options.Metadata, err = k.shown(stored.Args); err != nil {
		return stored, nil, fmt.Errorf("add job %s: %w", k.name, err)
	}
	switch {
	case !due.IsZero():
		// Once, whatever became of it.
		stored.Due = due.UTC().Format(time.RFC3339)
		options.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: rivertype.JobStates()}
	case k.policy.Unique:
		options.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: notFinished}
	}
	return stored, options, nil
}

// metadata is what is kept with a job besides its arguments.
type metadata struct {
	Shown             map[string]any `json:"shown,omitempty"`
	CancelAttemptedAt *time.Time     `json:"cancel_attempted_at,omitempty"` // River's
}

// shown keeps of the arguments what people may see, so that whoever lists jobs need not
// know their kinds.
func (k *Kind[T]) shown(args json.RawMessage) ([]byte, error) {
	var m metadata
	if len(k.policy.Show) > 0 {
		if err := json.Unmarshal(args, &m.Shown); err != nil {
			return nil, err
		}
		maps.DeleteFunc(m.Shown, func(name string, _ any) bool { return !slices.Contains(k.policy.Show, name) })
	}
	return json.Marshal(m)
}

// Schedule adds a job at each time of the schedule, once for all processes, with the
// arguments that args makes for the time when it is due. If no process ran at the last
// such time, the job is added at the start. It is to be called before Run.
func (k *Kind[T]) Schedule(schedule Schedule, args func(due time.Time) T) {
	q := k.queue
	insert := func() (river.JobArgs, *river.InsertOpts) {
		due := schedule.Last(q.now())
		stored, options, err := k.prepare(args(due), due)
		if err != nil {
			q.log.Error("a scheduled job cannot be added", "kind", k.name, "error", err)
			return nil, nil // adds none
		}
		return stored, options
	}
	q.periodic = append(q.periodic, river.NewPeriodicJob(nextOf{schedule}, insert, &river.PeriodicJobOpts{RunOnStart: true}))
}

// nextOf is a schedule as River takes it.
type nextOf struct{ Schedule }

// pause returns the time between an attempt, the first being 1, and the next.
func (p *Policy) pause(attempt int) time.Duration {
	pause := p.Pause
	for n := 1; n < attempt && pause < p.LongestPause; n++ {
		pause *= 2
	}
	pause = min(pause, p.LongestPause)
	return pause + time.Duration((rand.Float64()-0.5)/5*float64(pause))
}

// isPermanent reports whether another attempt is of no use.
func isPermanent(err error) bool {
	var permanent errPermanent
	return errors.As(err, &permanent)
}
