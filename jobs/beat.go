package jobs

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/riverqueue/river/rivertype"
)

// sign is the last sign of life of a job that another process runs, and since when it is
// the last, by this process's clock: clocks that differ do no harm.
type sign struct {
	attempt, beat int64
	since         time.Time
}

// begin notes that a job runs here.
func (q *Queue) begin(ctx context.Context, id int64, r *run) error {
	q.mu.Lock()
	q.running[id] = r
	q.mu.Unlock()
	if _, err := q.options.Writer.ExecContext(ctx, beginRun, id, r.attempt); err != nil {
		q.forget(id, r)
		return err
	}
	r.begun.Store(true)
	return nil
}

// end notes that a job does not run here any more. What it did last is shown if the
// database takes it.
func (q *Queue) end(id int64, r *run) {
	q.forget(id, r)
	ctx, cancel := context.WithTimeout(context.Background(), q.options.Heartbeat)
	defer cancel()
	if _, err := q.options.Writer.ExecContext(ctx, beatRun, id, r.attempt, r.done.Load(), r.total.Load()); err != nil {
		q.log.Debug("the last progress of a job is not kept", "kind", r.kind, "job", id, "error", err)
	}
}

func (q *Queue) forget(id int64, r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running[id] == r { // else it was taken over and runs again
		delete(q.running, id)
	}
}

// here returns the jobs that run in this process.
func (q *Queue) here() map[int64]*run {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.running)
}

// beat gives signs of life and watches those of others until ctx is done.
func (q *Queue) beat(ctx context.Context) {
	ticker := time.NewTicker(q.options.Heartbeat)
	defer ticker.Stop()
	for {
		q.beatOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (q *Queue) beatOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, q.options.Lease)
	defer cancel()
	report := func(err error) {
		if ctx.Err() == nil {
			q.log.Warn("jobs cannot be watched, trying again", "error", err)
		}
	}
	for id, r := range q.here() {
		if !r.begun.Load() {
			continue // there is no row to be found yet: it was not taken over
		}
		result, err := q.options.Writer.ExecContext(ctx, beatRun, id, r.attempt, r.done.Load(), r.total.Load())
		if err != nil {
			report(err)
			return
		}
		if n, err := result.RowsAffected(); err == nil && n == 0 && q.here()[id] == r {
			r.cancel(errTakenOver)
		}
	}
	if err := q.watch(ctx); err != nil {
		report(err)
	}
	if err := q.measure(ctx); err != nil {
		report(err)
	}
}

// watched is a job that runs somewhere.
type watched struct {
	id, attempt, beat, attempts int64
	kind                        string
	cancelled                   bool
}

// watch cancels what runs here and is to be cancelled, and puts back what runs nowhere.
func (q *Queue) watch(ctx context.Context) error {
	rows, err := q.options.Reader.QueryContext(ctx, q.dialect.running)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []watched
	for rows.Next() {
		var w watched
		if err := rows.Scan(&w.id, &w.attempt, &w.attempts, &w.kind, &w.beat, &w.cancelled); err != nil {
			return err
		}
		list = append(list, w)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	here, before := q.here(), q.watched
	q.watched = make(map[int64]sign)
	for _, w := range list {
		if r := here[w.id]; r != nil && int64(r.attempt) == w.attempt {
			if w.cancelled && !r.cancelled.Swap(true) {
				r.cancel(errCancelled)
			}
			continue
		}
		s, known := before[w.id]
		if !known || s.attempt != w.attempt || s.beat != w.beat {
			s = sign{w.attempt, w.beat, q.now()}
		}
		q.watched[w.id] = s
		if q.now().Sub(s.since) >= q.options.Lease {
			if err := q.rescue(ctx, w); err != nil {
				return err
			}
		}
	}
	return nil
}

// rescue puts back a job whose process is gone.
func (q *Queue) rescue(ctx context.Context, w watched) error {
	state := rivertype.JobStateAvailable
	switch {
	case w.cancelled:
		state = rivertype.JobStateCancelled
	case w.attempt >= w.attempts:
		state = rivertype.JobStateDiscarded
	}
	failure, err := json.Marshal(rivertype.AttemptError{At: q.now().UTC(), Attempt: int(w.attempt), Error: "the process that ran it is gone"})
	if err != nil {
		return err
	}
	final := state != rivertype.JobStateAvailable
	result, err := q.options.Writer.ExecContext(ctx, q.dialect.rescue, w.id, w.attempt, string(state), final, string(failure))
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 { // somebody was faster, or it has ended after all
		return err
	}
	q.metrics.ended(w.kind, outcomeAbandoned)
	q.log.Warn("the process that ran a job is gone", "kind", w.kind, "job", w.id, "attempt", w.attempt, "state", state)
	return nil
}

// measure counts what waits.
func (q *Queue) measure(ctx context.Context) error {
	rows, err := q.options.Reader.QueryContext(ctx, q.dialect.waiting)
	if err != nil {
		return err
	}
	defer rows.Close()
	waiting := make(map[string]backlog)
	for rows.Next() {
		var kind string
		var b backlog
		if err := rows.Scan(&kind, &b.jobs, &b.oldest); err != nil {
			return err
		}
		waiting[kind] = b
	}
	if err := rows.Err(); err != nil {
		return err
	}
	q.metrics.wait(q.kinds, waiting)
	return nil
}

// dialect is the statements that differ between the engines.
type dialect struct {
	running string // id, attempt, attempts allowed, kind, beat, whether it is to be cancelled
	rescue  string // id, attempt, new state, whether that is final, the error
	waiting string // kind, number, age of the oldest in seconds
	renew   string // of a job that was cancelled
}

const (
	beginRun = `INSERT INTO job_runs (job_id, attempt, beat) VALUES ($1, $2, 0)
		ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt, beat = job_runs.beat + 1, done = 0, total = 0`
	beatRun  = `UPDATE job_runs SET beat = beat + 1, done = $3, total = $4 WHERE job_id = $1 AND attempt = $2`
	progress = `SELECT done, total FROM job_runs WHERE job_id = $1`
)

var onPostgres = dialect{
	running: `SELECT j.id, j.attempt, j.max_attempts, j.kind, coalesce(r.beat, -1), jsonb_exists(j.metadata, 'cancel_attempted_at')
		FROM river_job j LEFT JOIN job_runs r ON r.job_id = j.id AND r.attempt = j.attempt WHERE j.state = 'running'`,
	rescue: `UPDATE river_job SET state = $3::text::river_job_state, finalized_at = CASE WHEN $4::boolean THEN now() END, scheduled_at = now(),
		errors = array_append(errors, $5::text::jsonb) WHERE id = $1 AND attempt = $2 AND state = 'running'`,
	waiting: `SELECT kind, count(*), extract(epoch FROM now() - min(scheduled_at))::float8 FROM river_job
		WHERE state IN ('available', 'retryable', 'scheduled') AND scheduled_at <= now() GROUP BY kind`,
	renew: `UPDATE river_job SET metadata = metadata - 'cancel_attempted_at' WHERE id = $1 AND state = 'cancelled'`,
}

var onSQLite = dialect{
	running: `SELECT j.id, j.attempt, j.max_attempts, j.kind, coalesce(r.beat, -1), json_extract(j.metadata, '$.cancel_attempted_at') IS NOT NULL
		FROM river_job j LEFT JOIN job_runs r ON r.job_id = j.id AND r.attempt = j.attempt WHERE j.state = 'running'`,
	rescue: `UPDATE river_job SET state = $3, finalized_at = CASE WHEN $4 THEN datetime('now', 'subsec') END, scheduled_at = datetime('now', 'subsec'),
		errors = json_insert(coalesce(errors, json('[]')), '$[#]', json($5)) WHERE id = $1 AND attempt = $2 AND state = 'running'`,
	waiting: `SELECT kind, count(*), (julianday('now') - julianday(min(scheduled_at))) * 86400.0 FROM river_job
		WHERE state IN ('available', 'retryable', 'scheduled') AND scheduled_at <= datetime('now', 'subsec') GROUP BY kind`,
	renew: `UPDATE river_job SET metadata = json_remove(metadata, '$.cancel_attempted_at') WHERE id = $1 AND state = 'cancelled'`,
}
