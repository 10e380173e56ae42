package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// run is a job that this process runs.
type run struct {
	kind        string
	attempt     int
	cancel      context.CancelCauseFunc
	begun       atomic.Bool // the database knows of the attempt
	cancelled   atomic.Bool // by an operator
	done, total atomic.Int64
}

type runKey struct{}

// Progress tells how far the job that ctx is of has come: so many of a total, 0 if that
// is not known. It may be called as often as one likes; elsewhere it does nothing.
func Progress(ctx context.Context, done, total int64) {
	if r, ok := ctx.Value(runKey{}).(*run); ok {
		r.done.Store(done)
		r.total.Store(total)
	}
}

// What ends the context of a job.
var (
	errCancelled = errors.New("cancelled by an operator")
	errTakenOver = errors.New("another process has taken the job over")
)

// worker is a handler as River takes it.
type worker[T Args] struct {
	river.WorkerDefaults[envelope[T]]
	kind    *Kind[T]
	handler func(ctx context.Context, args T) error
}

// Timeout implements river.Worker.
func (w *worker[T]) Timeout(*river.Job[envelope[T]]) time.Duration { return w.kind.policy.Timeout }

// NextRetry implements river.Worker.
func (w *worker[T]) NextRetry(job *river.Job[envelope[T]]) time.Time {
	return w.kind.queue.now().Add(w.kind.policy.pause(job.Attempt))
}

// Work implements river.Worker.
func (w *worker[T]) Work(ctx context.Context, job *river.Job[envelope[T]]) error {
	q := w.kind.queue
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{kind: job.Kind, attempt: job.Attempt, cancel: cancel}
	if err := q.begin(ctx, job.ID, r); err != nil {
		return q.settle(ctx, job.JobRow, r, fmt.Errorf("begin: %w", err))
	}
	began := q.now()
	err := w.handle(context.WithValue(ctx, runKey{}, r), job.Args.Args)
	q.end(job.ID, r)
	q.metrics.took(job.Kind, q.now().Sub(began))
	return q.settle(ctx, job.JobRow, r, err)
}

// handle calls the handler. A panic is an error of the job, not the end of the process.
func (w *worker[T]) handle(ctx context.Context, stored json.RawMessage) (err error) {
	var args T
	if err := json.Unmarshal(stored, &args); err != nil {
		return Permanent(fmt.Errorf("the arguments cannot be read: %w", err))
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
			w.kind.queue.log.Error("a job panicked", "kind", args.Kind(), "error", err, "stack", string(debug.Stack()))
		}
	}()
	return w.handler(ctx, args)
}

// settle turns what became of an attempt into what River makes of it.
func (q *Queue) settle(ctx context.Context, job *rivertype.JobRow, r *run, err error) error {
	cause := context.Cause(ctx)
	log := q.log.With("kind", job.Kind, "job", job.ID, "attempt", job.Attempt)
	switch {
	case err == nil:
		q.metrics.ended(job.Kind, outcomeCompleted)
		return nil
	case r.cancelled.Load() || errors.Is(cause, rivertype.ErrJobCancelledRemotely):
		q.metrics.ended(job.Kind, outcomeCancelled)
		log.Info("job cancelled")
		return river.JobCancel(errCancelled)
	case cause != nil && q.stopping.Load():
		q.metrics.ended(job.Kind, outcomePutBack)
		log.Info("job put back: the process ends")
		return river.JobSnooze(0) // the attempt does not count
	case errors.Is(cause, context.DeadlineExceeded):
		err = fmt.Errorf("the time for an attempt is over: %w", err)
	}
	if isPermanent(err) {
		job.MaxAttempts = job.Attempt // River discards a job after its last attempt
	}
	err = errors.New(readable(err.Error()))
	if job.Attempt >= job.MaxAttempts {
		q.metrics.ended(job.Kind, outcomeFailed)
		log.Error("job failed for good", "error", err)
	} else {
		q.metrics.ended(job.Kind, outcomeRetried)
		log.Warn("job failed, it is tried again", "error", err)
	}
	return err
}

// maxErrorLength bounds what is kept of an error, in octets.
const maxErrorLength = 2000

// readable returns a text as a database can hold it.
func readable(text string) string {
	if len(text) > maxErrorLength {
		text = text[:maxErrorLength] + "…"
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
