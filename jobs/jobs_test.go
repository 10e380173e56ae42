package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
	"radiusd/jobs"
	"radiusd/store"
	"radiusd/store/seal"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerURL) != "" || os.Getenv(workerPath) != "" {
		os.Exit(workUntilKilled())
	}
	os.Exit(testserver.Main(m))
}

// patience bounds what is waited for.
const patience = 20 * time.Second

// engines runs a test on both engines, each time on a new database.
func engines(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newEngine(t, teststore.SQLite(t)))
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newEngine(t, teststore.Postgres(t)))
	})
}

type engine struct {
	t       *testing.T
	options store.Options
	store   *store.Store
}

func newEngine(t *testing.T, options store.Options) *engine {
	s := openStore(t, options)
	return &engine{t: t, options: options, store: s}
}

func openStore(t testing.TB, options store.Options) *store.Store {
	options.Sealer = seal.New(seal.Key{1})
	s, err := store.Open(context.Background(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// queue returns a queue that is quick.
func (e *engine) queue(change func(*jobs.Options)) *jobs.Queue {
	return newQueue(e.t, e.store, change)
}

func newQueue(t testing.TB, s *store.Store, change func(*jobs.Options)) *jobs.Queue {
	handles := s.Handles()
	options := jobs.Options{
		Postgres: handles.Pool, Writer: handles.Writer, Reader: handles.Reader, Workers: 4,
		Heartbeat: 50 * time.Millisecond, Lease: patience, Poll: 100 * time.Millisecond, Grace: patience,
	}
	if change != nil {
		change(&options)
	}
	q, err := jobs.New(options)
	require.NoError(t, err)
	return q
}

// start runs q until the test ends or stop is called.
func start(t *testing.T, q *jobs.Queue) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// state waits until a job is in a state.
func state(t *testing.T, q *jobs.Queue, id int64, want jobs.State) (job jobs.Job) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		var err error
		job, err = q.Get(t.Context(), id)
		require.NoError(c, err)
		assert.Equal(c, want, job.State)
	}, patience, 20*time.Millisecond)
	return job
}

type mail struct {
	To       string `json:"to"`
	Password string `json:"password"`
}

func (mail) Kind() string { return "test.mail" }

func register(t *testing.T, q *jobs.Queue, handler func(context.Context, mail) error, policy jobs.Policy) *jobs.Kind[mail] {
	t.Helper()
	k, err := jobs.Register(q, handler, policy)
	require.NoError(t, err)
	return k
}

func TestJobRuns(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		registry := prometheus.NewRegistry()
		// The last progress of a job is kept if the database takes it within a heartbeat.
		q := e.queue(func(o *jobs.Options) { o.Registerer, o.Heartbeat = registry, patience })
		got := make(chan mail, 1)
		k := register(t, q, func(ctx context.Context, m mail) error {
			jobs.Progress(ctx, 3, 4)
			got <- m
			return nil
		}, jobs.Policy{Show: []string{"to"}})
		// Who looks and adds needs no worker, nor to know the kind.
		id, added, err := k.Insert(t.Context(), mail{To: "alice", Password: "secret"})
		require.NoError(t, err)
		assert.True(t, added)
		other := e.queue(nil)
		job, err := other.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, jobs.Waiting, job.State)
		assert.Equal(t, map[string]any{"to": "alice"}, job.Args, "only what the kind shows")

		stop := start(t, q)
		assert.Equal(t, mail{To: "alice", Password: "secret"}, <-got)
		job = state(t, other, id, jobs.Completed)
		assert.Equal(t, 1, job.Attempt)
		assert.Empty(t, job.Failures)
		assert.Equal(t, int64(3), job.Done)
		assert.Equal(t, int64(4), job.Total)
		assert.WithinDuration(t, time.Now(), job.FinishedAt, time.Minute)
		assert.WithinDuration(t, time.Now(), job.StartedAt, time.Minute)
		stop()
		assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP radiusd_jobs_total Attempts of background jobs that ended, by kind and outcome.
# TYPE radiusd_jobs_total counter
radiusd_jobs_total{kind="test.mail",outcome="abandoned"} 0
radiusd_jobs_total{kind="test.mail",outcome="cancelled"} 0
radiusd_jobs_total{kind="test.mail",outcome="completed"} 1
radiusd_jobs_total{kind="test.mail",outcome="failed"} 0
radiusd_jobs_total{kind="test.mail",outcome="put_back"} 0
radiusd_jobs_total{kind="test.mail",outcome="retried"} 0
`), "radiusd_jobs_total"))
	})
}

func TestJobIsTriedAgain(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		var tries atomic.Int32
		k := register(t, q, func(context.Context, mail) error {
			if tries.Add(1) < 3 {
				return fmt.Errorf("the mail server is away\x00\xff")
			}
			return nil
		}, jobs.Policy{Pause: 10 * time.Millisecond})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		start(t, q)
		job := state(t, q, id, jobs.Completed)
		assert.Equal(t, 3, job.Attempt)
		require.Len(t, job.Failures, 2)
		assert.Equal(t, "the mail server is away\uFFFD\uFFFD", job.Failures[1].Error)
		assert.Equal(t, 2, job.Failures[1].Attempt)
	})
}

func TestJobFails(t *testing.T) {
	cases := map[string]struct {
		handler  func(context.Context, mail) error
		policy   jobs.Policy
		attempts int
		tells    string
	}{
		"attempts used up": {
			func(context.Context, mail) error { return errors.New("refused") },
			jobs.Policy{Attempts: 2, Pause: time.Millisecond}, 2, "refused",
		},
		"permanent": {
			func(context.Context, mail) error {
				return fmt.Errorf("mail: %w", jobs.Permanent(errors.New("no such person")))
			},
			jobs.Policy{Attempts: 9}, 1, "mail: no such person",
		},
		"panic": {
			func(context.Context, mail) error { panic("out of paper") },
			jobs.Policy{Attempts: 2, Pause: time.Millisecond}, 2, "panic: out of paper",
		},
		"timeout": {
			func(ctx context.Context, _ mail) error { <-ctx.Done(); return ctx.Err() },
			jobs.Policy{Attempts: 1, Timeout: 20 * time.Millisecond}, 1, "the time for an attempt is over",
		},
	}
	engines(t, func(t *testing.T, e *engine) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				q := e.queue(nil)
				k := register(t, q, c.handler, c.policy)
				id, _, err := k.Insert(t.Context(), mail{})
				require.NoError(t, err)
				stop := start(t, q)
				defer stop()
				job := state(t, q, id, jobs.Failed)
				assert.Equal(t, c.attempts, job.Attempt)
				require.Len(t, job.Failures, c.attempts)
				assert.Contains(t, job.Failures[0].Error, c.tells)
			})
		}
	})
}

func TestFailedJobIsRetriedByHand(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		var mended atomic.Bool
		k := register(t, q, func(context.Context, mail) error {
			if !mended.Load() {
				return jobs.Permanent(errors.New("no mail server is configured"))
			}
			return nil
		}, jobs.Policy{})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		start(t, q)
		state(t, q, id, jobs.Failed)
		mended.Store(true)
		_, err = q.Cancel(t.Context(), id)
		require.ErrorIs(t, err, jobs.ErrState)
		_, err = q.Retry(t.Context(), id)
		require.NoError(t, err)
		state(t, q, id, jobs.Completed)
		_, err = q.Retry(t.Context(), id)
		require.ErrorIs(t, err, jobs.ErrState)
		_, err = q.Retry(t.Context(), id+1000)
		require.ErrorIs(t, err, jobs.ErrNotFound)
	})
}

// TestPoison has arguments that no handler can read.
func TestPoison(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		k := register(t, q, func(context.Context, mail) error { return nil }, jobs.Policy{})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		poison := `UPDATE river_job SET args = $1`
		if e.store.Engine() == "postgres" {
			poison = `UPDATE river_job SET args = $1::text::jsonb`
		}
		_, err = e.store.Handles().Writer.ExecContext(t.Context(), poison, `{"args": {"to": ["a list"]}}`)
		require.NoError(t, err)
		start(t, q)
		job := state(t, q, id, jobs.Failed)
		assert.Equal(t, 1, job.Attempt)
		assert.Contains(t, job.Failures[0].Error, "the arguments cannot be read")
		// The queue goes on.
		id, _, err = k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		state(t, q, id, jobs.Completed)
	})
}

func TestUnique(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		gate := make(chan struct{})
		k := register(t, q, func(context.Context, mail) error { <-gate; return nil }, jobs.Policy{Unique: true})
		var group sync.WaitGroup
		var added atomic.Int32
		var first atomic.Int64
		for range 8 {
			group.Go(func() {
				for range 5 {
					id, isNew, err := k.Insert(t.Context(), mail{To: "alice"})
					assert.NoError(t, err)
					if isNew {
						added.Add(1)
					}
					if before := first.Swap(id); before != 0 {
						assert.Equal(t, before, id)
					}
				}
			})
		}
		group.Wait()
		assert.Equal(t, int32(1), added.Load())
		_, isNew, err := k.Insert(t.Context(), mail{To: "bob"})
		require.NoError(t, err)
		assert.True(t, isNew, "other arguments")
		start(t, q)
		state(t, q, first.Load(), jobs.Running)
		_, isNew, err = k.Insert(t.Context(), mail{To: "alice"})
		require.NoError(t, err)
		assert.False(t, isNew, "it runs")
		close(gate)
		state(t, q, first.Load(), jobs.Completed)
		_, isNew, err = k.Insert(t.Context(), mail{To: "alice"})
		require.NoError(t, err)
		assert.True(t, isNew, "the one before has ended")
	})
}

func TestCancel(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		running := make(chan struct{}, 9)
		var obedient atomic.Bool
		k := register(t, q, func(ctx context.Context, _ mail) error {
			running <- struct{}{}
			if obedient.Load() {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, jobs.Policy{})
		waits, _, err := k.InsertAt(t.Context(), mail{}, time.Now().Add(time.Hour))
		require.NoError(t, err)
		runs, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		start(t, q)
		<-running
		other := e.queue(nil)
		job, err := other.Cancel(t.Context(), waits)
		require.NoError(t, err)
		assert.Equal(t, jobs.Cancelled, job.State)
		job, err = other.Cancel(t.Context(), runs)
		require.NoError(t, err)
		assert.True(t, job.Cancelling || job.State == jobs.Cancelled)
		job = state(t, q, runs, jobs.Cancelled)
		assert.Equal(t, 1, job.Attempt)

		obedient.Store(true)
		_, err = other.Retry(t.Context(), runs)
		require.NoError(t, err)
		<-running
		state(t, q, runs, jobs.Completed)
	})
}

// TestStopPutsBack ends a process in the middle of a job that needs longer.
func TestStopPutsBack(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		// The first half is waited for in vain, in the second one the job is put back.
		q := e.queue(func(o *jobs.Options) { o.Grace = 5 * time.Second })
		running := make(chan struct{}, 1)
		k := register(t, q, func(ctx context.Context, _ mail) error {
			running <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}, jobs.Policy{Attempts: 1})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		stop := start(t, q)
		<-running
		stop()
		job, err := q.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, jobs.Waiting, job.State)
		assert.Zero(t, job.Attempt, "the attempt does not count")
		assert.Empty(t, job.Failures)

		next := e.queue(nil)
		register(t, next, func(context.Context, mail) error { return nil }, jobs.Policy{})
		start(t, next)
		state(t, next, id, jobs.Completed)
	})
}

// TestStopWaits lets a job end that needs less than the grace.
func TestStopWaits(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		running, finish := make(chan struct{}), make(chan struct{})
		k := register(t, q, func(ctx context.Context, _ mail) error {
			close(running)
			<-finish
			return ctx.Err()
		}, jobs.Policy{})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		stop := start(t, q)
		<-running
		time.AfterFunc(50*time.Millisecond, func() { close(finish) })
		stop()
		state(t, q, id, jobs.Completed)
	})
}

func TestList(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(nil)
		k := register(t, q, func(context.Context, mail) error { return nil }, jobs.Policy{})
		var ids []int64
		for range 5 {
			id, _, err := k.InsertAt(t.Context(), mail{}, time.Now().Add(time.Hour))
			require.NoError(t, err)
			ids = append([]int64{id}, ids...)
		}
		_, err := q.Cancel(t.Context(), ids[1])
		require.NoError(t, err)
		var got []int64
		filter := jobs.Filter{Kind: "test.mail", Limit: 2}
		for more := true; more; {
			var page []jobs.Job
			page, more, err = q.List(t.Context(), filter)
			require.NoError(t, err)
			for _, j := range page {
				got = append(got, j.ID)
				filter.Before = j.ID
			}
		}
		assert.Equal(t, ids, got)
		page, _, err := q.List(t.Context(), jobs.Filter{States: []jobs.State{jobs.Cancelled}})
		require.NoError(t, err)
		require.Len(t, page, 1)
		assert.Equal(t, ids[1], page[0].ID)
		page, _, err = q.List(t.Context(), jobs.Filter{Kind: "another"})
		require.NoError(t, err)
		assert.Empty(t, page)
	})
}

// What the process that is killed is told.
const (
	workerURL  = "JOBS_TEST_WORKER_URL"
	workerPath = "JOBS_TEST_WORKER_PATH"
)

// workUntilKilled is another process, which begins a job and never ends it.
func workUntilKilled() int {
	s, err := store.Open(context.Background(), store.Options{URL: os.Getenv(workerURL), Path: os.Getenv(workerPath), Sealer: seal.New(seal.Key{1})})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h := s.Handles()
	q, err := jobs.New(jobs.Options{Postgres: h.Pool, Writer: h.Writer, Reader: h.Reader, Workers: 1, Heartbeat: 50 * time.Millisecond, Poll: 100 * time.Millisecond})
	if err == nil {
		_, err = jobs.Register(q, func(context.Context, mail) error {
			fmt.Println("running")
			select {}
		}, jobs.Policy{})
	}
	if err == nil {
		err = q.Run(context.Background())
	}
	fmt.Println(err)
	return 1
}

// TestKill kills a process in the middle of a job, which is run again by another one,
// and not before its lease is over.
func TestKill(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		const lease = 10 * time.Second
		q := e.queue(func(o *jobs.Options) { o.Lease = lease })
		k := register(t, q, func(context.Context, mail) error { return nil }, jobs.Policy{})
		id, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)

		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), workerURL+"="+e.options.URL, workerPath+"="+e.options.Path)
		out, err := process.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, process.Start())
		t.Cleanup(func() { _ = process.Process.Kill() })
		said := make([]byte, len("running"))
		_, err = out.Read(said)
		require.NoError(t, err)
		require.Equal(t, "running", string(said))

		stop := start(t, q)
		second, _, err := k.Insert(t.Context(), mail{})
		require.NoError(t, err)
		state(t, q, second, jobs.Completed)
		// Longer than the lease: the signs of life keep it.
		began := time.Now()
		require.Never(t, func() bool {
			job, err := q.Get(t.Context(), id)
			return err != nil || job.State != jobs.Running || job.Attempt != 1
		}, lease+time.Second, 100*time.Millisecond, "it began %v ago", time.Since(began))
		stop()

		require.NoError(t, process.Process.Kill()) // SIGKILL
		_ = process.Wait()
		again := e.queue(func(o *jobs.Options) { o.Lease = time.Second })
		register(t, again, func(context.Context, mail) error { return nil }, jobs.Policy{})
		start(t, again)
		job := state(t, again, id, jobs.Completed)
		assert.Equal(t, 2, job.Attempt)
		require.Len(t, job.Failures, 1)
		assert.Equal(t, "the process that ran it is gone", job.Failures[0].Error)
	})
}

// TestScheduleOnTwoNodes has two nodes with one schedule: each time is one job.
func TestScheduleOnTwoNodes(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		var mu sync.Mutex
		var ran []string
		var nodes []*jobs.Queue
		for range 2 {
			s := e.store
			if e.options.URL != "" {
				s = openStore(t, e.options)
			}
			q := newQueue(t, s, nil)
			k := register(t, q, func(_ context.Context, m mail) error {
				mu.Lock()
				defer mu.Unlock()
				ran = append(ran, m.To)
				return nil
			}, jobs.Policy{})
			k.Schedule(jobs.Every(time.Second), func(due time.Time) mail { return mail{To: due.Format(time.RFC3339)} })
			nodes = append(nodes, q)
		}
		stop := start(t, nodes[0])
		start(t, nodes[1])
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(ran)
		}
		require.Eventually(t, func() bool { return count() >= 3 }, patience, 20*time.Millisecond)
		stop() // the other goes on
		before := count()
		require.Eventually(t, func() bool { return count() >= before+2 }, patience, 20*time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		seen := map[string]bool{}
		for _, due := range ran {
			assert.False(t, seen[due], "%s ran twice", due)
			seen[due] = true
		}
	})
}

// TestScheduleMakesUp has a server that was down when a job was due.
func TestScheduleMakesUp(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		now := time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)
		for round := range 2 {
			ran := make(chan string, 9)
			q := e.queue(func(o *jobs.Options) { o.Now = func() time.Time { return now } })
			k := register(t, q, func(_ context.Context, m mail) error { ran <- m.To; return nil }, jobs.Policy{})
			k.Schedule(jobs.Daily(4, 0, time.UTC), func(due time.Time) mail { return mail{To: due.Format(time.DateTime)} })
			mark, _, err := k.Insert(t.Context(), mail{To: "mark"})
			require.NoError(t, err)
			stop := start(t, q)
			if round == 0 {
				got := []string{<-ran, <-ran}
				assert.Contains(t, got, "2026-03-10 04:00:00")
			} else { // it has been done
				state(t, q, mark, jobs.Completed)
			}
			require.Eventually(t, func() bool {
				list, _, err := q.List(t.Context(), jobs.Filter{States: []jobs.State{jobs.Completed}})
				return err == nil && len(list) == 2+round
			}, patience, 20*time.Millisecond)
			stop()
			assert.Len(t, ran, round)
		}
	})
}

// TestSignsOfLifeWhileJobsBegin has heartbeats all the time, and so between a job's start
// and the row that they look for.
func TestSignsOfLifeWhileJobsBegin(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		q := e.queue(func(o *jobs.Options) { o.Heartbeat = 100 * time.Microsecond })
		k := register(t, q, func(context.Context, mail) error { return nil }, jobs.Policy{Attempts: 1})
		var ids []int64
		for range 20 {
			id, _, err := k.Insert(t.Context(), mail{})
			require.NoError(t, err)
			ids = append(ids, id)
		}
		start(t, q)
		for _, id := range ids {
			state(t, q, id, jobs.Completed)
		}
	})
}
