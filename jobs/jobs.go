// Package jobs runs work in the background: billing runs, reminders, mail. A job is a
// kind and arguments in the store's database. It is run by one of the processes that run
// workers, at least once, and again after a failure, until its attempts are used up.
//
// The queue is River (docs/decisions/0011-jobs.md). What River leaves out is here: jobs
// of a process that was killed are taken up by another one within a minute however long
// jobs may run, a running job can be cancelled on SQLite too, jobs tell how far they are,
// schedules follow local time and make up for what fell into a standstill.
//
// A handler must bear to be run twice, even at the same time as its own earlier run if
// that process was stopped for longer than the lease and went on.
package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
)

// How long finished jobs are kept.
const (
	keepDone   = 7 * 24 * time.Hour // longer than between two runs of a schedule
	keepFailed = 30 * 24 * time.Hour
)

// queueName is the one queue of all kinds.
const queueName = river.QueueDefault

// listenerConns is how many connections a pool must have to spare one for LISTEN.
const listenerConns = 4

// Options says where jobs are and how they are run.
type Options struct {
	// Postgres is the database's pool; nil: SQLite.
	Postgres *pgxpool.Pool
	// Writer and Reader are the same database through database/sql. For SQLite, Writer
	// has one connection and takes the write lock when a transaction begins. The caller
	// closes them, after Run has returned. Required.
	Writer, Reader *sql.DB
	// Workers is how many jobs this process runs at once; 0: none, it only adds jobs and
	// looks at them.
	Workers int
	// Grace is how long jobs may go on when Run is told to end, before their context is
	// cancelled and they are put back. Zero: 3 s.
	Grace time.Duration
	// Heartbeat is how often a running job gives a sign of life, is told that it was
	// cancelled, and shows its progress. Zero: 5 s.
	Heartbeat time.Duration
	// Lease is after how long without a sign of life a job is taken for abandoned, by the
	// clock of who watches. Zero: 30 s.
	Lease time.Duration
	// Poll is how often this process looks for jobs to run, besides being told by
	// Postgres. Zero: 1 s.
	Poll time.Duration
	// Registerer takes the metrics. Nil: there are none.
	Registerer prometheus.Registerer
	// Logger takes failures. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock of schedules, pauses and leases. Nil: time.Now.
	Now func() time.Time
}

// Queue adds jobs, looks at them and, if Run is called, runs them. All methods may be
// called concurrently, but kinds are registered before Run.
type Queue struct {
	options Options
	dialect dialect
	client  client // writes
	looker  client // reads; SQLite: on its own connections
	workers *river.Workers
	metrics *metrics
	log     *slog.Logger
	now     func() time.Time

	periodic []*river.PeriodicJob
	kinds    []string
	stopping atomic.Bool

	mu      sync.Mutex
	running map[int64]*run
	watched map[int64]sign // of others' jobs; Run's alone
}

// client is what is used of a River client; its type depends on the engine.
type client interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
	Stopped() <-chan struct{}
	Insert(ctx context.Context, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error)
	JobGet(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobRetry(ctx context.Context, id int64) (*rivertype.JobRow, error)
	JobCancel(ctx context.Context, id int64) (*rivertype.JobRow, error)
}

// New returns a queue in a database whose schema is up to date. Register adds what it
// can run.
func New(options Options) (*Queue, error) {
	if options.Writer == nil || options.Reader == nil {
		return nil, errors.New("jobs: no database")
	}
	setDefault(&options.Grace, 3*time.Second)
	setDefault(&options.Heartbeat, 5*time.Second)
	setDefault(&options.Lease, 30*time.Second)
	setDefault(&options.Poll, time.Second)
	q := &Queue{
		options: options, dialect: onSQLite, log: options.Logger, now: options.Now, workers: river.NewWorkers(),
		running: make(map[int64]*run), watched: make(map[int64]sign),
	}
	if options.Postgres != nil {
		q.dialect = onPostgres
	}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	if q.now == nil {
		q.now = time.Now
	}
	var err error
	if q.metrics, err = newMetrics(options.Registerer); err != nil {
		return nil, err
	}
	q.looker, err = q.newClient(options.Reader, &river.Config{Logger: q.riverLog()})
	if err == nil {
		q.client, err = q.newClient(options.Writer, &river.Config{Logger: q.riverLog()})
	}
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return q, nil
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// newClient makes River's client; db is for SQLite.
func (q *Queue) newClient(db *sql.DB, config *river.Config) (client, error) {
	if q.options.Postgres != nil {
		return river.NewClient(riverpgxv5.New(q.options.Postgres), config)
	}
	return river.NewClient(riversqlite.New(db), config)
}

// riverLog takes of what River logs only what somebody must mend: that jobs fail and are
// tried again is logged here, with their kind.
func (q *Queue) riverLog() *slog.Logger { return slog.New(errorsOnly{q.log.Handler()}) }

// Run runs jobs until ctx is done, then gives those that run the time of Options.Grace
// and puts back those that need more. With no workers it does nothing. It may be called
// once.
func (q *Queue) Run(ctx context.Context) error {
	if q.options.Workers <= 0 || len(q.kinds) == 0 {
		<-ctx.Done()
		return nil
	}
	worker, err := q.newClient(q.options.Writer, &river.Config{
		Logger: q.riverLog(), Workers: q.workers, PeriodicJobs: q.periodic,
		Queues:            map[string]river.QueueConfig{queueName: {MaxWorkers: q.options.Workers}},
		FetchPollInterval: q.options.Poll, FetchCooldown: min(q.options.Poll, river.FetchCooldownDefault),
		PollOnly:   q.options.Postgres != nil && q.options.Postgres.Config().MaxConns < listenerConns,
		JobTimeout: -1, // each kind has its own
		// River takes a job that runs for long as abandoned; here signs of life tell.
		RescueStuckJobsAfter:        10 * 365 * 24 * time.Hour,
		CompletedJobRetentionPeriod: keepDone, CancelledJobRetentionPeriod: keepFailed, DiscardedJobRetentionPeriod: keepFailed,
	})
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	// Not ctx, the end of which would cancel all jobs at once.
	if err := worker.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start jobs: %w", err)
	}
	beating, rest := context.WithCancel(context.WithoutCancel(ctx))
	var beats sync.WaitGroup
	beats.Go(func() { q.beat(beating) })
	<-ctx.Done()
	err = q.stop(ctx, worker)
	rest()
	beats.Wait()
	return err
}

// stop ends the workers.
func (q *Queue) stop(ctx context.Context, worker client) error {
	ctx = context.WithoutCancel(ctx)
	soft, cancel := context.WithTimeout(ctx, q.options.Grace)
	defer cancel()
	if worker.Stop(soft) == nil {
		return nil
	}
	q.stopping.Store(true)
	hard, cancel := context.WithTimeout(ctx, q.options.Grace)
	defer cancel()
	if err := worker.StopAndCancel(hard); err != nil {
		return errors.New("stop jobs: some do not end when they are told to; another process takes them up")
	}
	return nil
}

// errorsOnly lets errors pass.
type errorsOnly struct{ slog.Handler }

func (h errorsOnly) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}
func (h errorsOnly) WithAttrs(attributes []slog.Attr) slog.Handler {
	return errorsOnly{h.Handler.WithAttrs(attributes)}
}
func (h errorsOnly) WithGroup(name string) slog.Handler { return errorsOnly{h.Handler.WithGroup(name)} }
