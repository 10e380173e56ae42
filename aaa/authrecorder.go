package aaa

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// AuthRecorderOptions are what an AuthRecorder needs. Stores are required.
type AuthRecorderOptions struct {
	// Stores take the decisions, each at its own pace: one that is slow or away
	// delays no other.
	Stores []AuthStore
	// Memory is how many octets of decisions wait at most for a store that is slow
	// or away: a half is for those that were accepted and a half for those that were
	// refused, so that many of the former displace none of the latter. Beyond that the
	// oldest are dropped and counted. Zero: 32 MiB, some 200,000 decisions; others are
	// rounded up to a power of two.
	Memory int
	// RefusedOnly leaves out the decisions to accept.
	RefusedOnly bool
	Registerer  prometheus.Registerer // nil: no metrics
	Logger      *slog.Logger          // nil: discards
}

// AuthStore is a store of decisions and how it wants them.
type AuthStore struct {
	Name  string // in logs, and as a label of metrics
	Store AuthRecordStore
	// Batch is how many are written at once at most; zero: 8192.
	Batch int
	// Interval is how long decisions are collected before they are written, unless
	// a batch is full; zero: 200 ms.
	Interval time.Duration
}

// AuthRecorder writes decisions to stores, in batches and from a goroutine for each
// store, at a [Pace]. It never makes an answer wait.
type AuthRecorder struct {
	log         *slog.Logger
	queues      []*authQueue
	nonce       uint64 // of this recorder: what its ids are counted from
	refusedOnly bool

	mu     sync.Mutex
	rings  [2]authRing // of the refused and of the accepted
	number uint64      // of decisions
}

// The rings, in the order in which they are written.
const (
	ringRefused = iota
	ringAccepted
)

// authQueue is what a store has still to take: the decisions of the rings from its
// own marks on.
type authQueue struct {
	AuthStore
	recorder *AuthRecorder
	marks    [2]authMark   // under the recorder's lock
	wake     chan struct{} // holds a value when a batch is full
	pending  AuthBatch     // what is being written; belongs to run

	dropped prometheus.Counter
	written prometheus.Counter
	failed  prometheus.Counter
}

const (
	// authBatch is how many records are written at once unless a store says otherwise.
	authBatch = 8192
	// authMemory is for how many octets of decisions there is room unless options say
	// otherwise; minAuthMemory is the least.
	authMemory    = 32 << 20
	minAuthMemory = 8 << 10
	// authCopy is how many octets are copied at once while a listener may wait.
	authCopy = 32 << 10
)

// NewAuthRecorder returns a recorder; nothing is written until Run.
func NewAuthRecorder(options AuthRecorderOptions) (*AuthRecorder, error) {
	if options.Memory <= 0 {
		options.Memory = authMemory
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AuthRecorder{log: options.Logger, nonce: rand.Uint64(), refusedOnly: options.RefusedOnly}
	for i := range r.rings {
		r.rings[i].memory = make([]byte, 1<<bits.Len(uint(max(options.Memory, minAuthMemory)/2-1)))
	}
	byStore := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"store"})
	}
	dropped := byStore("radiusd_auth_records_dropped_total", "Decisions not recorded because the store was slow or away.")
	written := byStore("radiusd_auth_records_written_total", "Decisions written to the store.")
	failed := byStore("radiusd_auth_record_write_errors_total", "Attempts to write decisions that failed.")
	for _, store := range options.Stores {
		if store.Batch <= 0 {
			store.Batch = authBatch
		}
		if store.Interval <= 0 {
			store.Interval = 200 * time.Millisecond
		}
		r.queues = append(r.queues, &authQueue{
			AuthStore: store, recorder: r, wake: make(chan struct{}, 1),
			dropped: dropped.WithLabelValues(store.Name), written: written.WithLabelValues(store.Name), failed: failed.WithLabelValues(store.Name),
		})
	}
	if options.Registerer != nil {
		for _, c := range []prometheus.Collector{dropped, written, failed} {
			if err := options.Registerer.Register(c); err != nil {
				return nil, fmt.Errorf("register metrics of the auth recorder: %w", err)
			}
		}
	}
	return r, nil
}

// add takes a decision. It copies what it needs of x.
func (r *AuthRecorder) add(x *exchange, d Decision) {
	if r.refusedOnly && d.Accepted() {
		return
	}
	e := AuthEntry{
		At: x.request.Received, Accepted: d.Accepted(), Reason: d.Reason, Method: d.Method,
		Username: clipText(x.username),
	}
	if x.shown != nil {
		e.Username = clipText(x.shown)
	}
	x.describe(&e)
	ring := ringRefused
	if e.Accepted {
		ring, e.SessionNonce = ringAccepted, x.nonce
	}
	detail := clip(d.Detail, maxDetail)
	size := e.size(detail)
	r.mu.Lock()
	r.number++
	e.ID = authID(e.At, r.nonce+r.number)
	e.put(r.room(ring, size), detail)
	for _, q := range r.queues {
		q.added(ring)
	}
	r.mu.Unlock()
}

// describe notes what a record tells of the NAS and the station.
func (x *exchange) describe(e *AuthEntry) {
	e.NASPortID, e.CallingStationID, e.CalledStationID = x.sent.nasPortID, x.sent.callingStationID, x.sent.calledStationID
	e.NASAddr = x.nasAddr()
	if x.nas != nil {
		e.NASID = x.nas.ID
	}
}

// room returns memory for a decision, under the lock. Who is furthest behind loses
// the oldest for it.
func (r *AuthRecorder) room(ring, size int) []byte {
	l := &r.rings[ring]
	idle := true
	for _, q := range r.queues {
		idle = idle && q.marks[ring].waits == 0
	}
	if idle {
		end := l.rewind()
		for _, q := range r.queues {
			q.marks[ring].at = end
		}
	}
	if end := l.reach(size); end > uint64(len(l.memory)) {
		for _, q := range r.queues {
			if n := l.drop(&q.marks[ring], end-uint64(len(l.memory))); n > 0 {
				q.dropped.Add(float64(n))
			}
		}
	}
	return l.grow(size)
}

// authID makes the id of a decision, a UUIDv7 (RFC 9562 section 5.7): the time in
// steps of 1/4096 ms (section 6.2, method 3), and a number that counts on from a
// random one, so that ids of the same time are in order.
func authID(at time.Time, number uint64) (id uuid.UUID) {
	micros := uint64(at.UnixMicro())
	millis, rest := micros/1000, micros%1000
	binary.BigEndian.PutUint64(id[:8], millis<<16|7<<12|rest*4096/1000)
	binary.BigEndian.PutUint64(id[8:], 1<<63|number&(1<<62-1))
	return id
}

// added is called when a ring has one more, under the lock.
func (q *authQueue) added(ring int) {
	q.marks[ring].waits++
	if q.marks[ringRefused].waits+q.marks[ringAccepted].waits == q.Batch {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes decisions until ctx is done, then what is left, for which it takes
// no longer than five seconds.
func (r *AuthRecorder) Run(ctx context.Context) {
	var stores sync.WaitGroup
	for _, q := range r.queues {
		stores.Go(func() { q.run(ctx) })
	}
	stores.Wait()
}

func (q *authQueue) run(ctx context.Context) {
	ticker := time.NewTicker(q.Interval)
	defer ticker.Stop()
	log := q.recorder.log.With("store", q.Name)
	failing := false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := q.flush(last); err != nil {
				log.Error("decisions were not recorded", "error", err)
			}
			return
		case <-ticker.C:
		case <-q.wake:
		}
		err := q.flush(WithPace(ctx))
		if err != nil && !failing && ctx.Err() == nil {
			log.Error("decisions cannot be recorded for now", "error", err)
		}
		if err == nil && failing {
			log.Info("decisions are recorded again")
		}
		failing = err != nil
	}
}

// flush writes what waits: one batch, and more as long as they are full. A batch
// that cannot be written is tried again, with the same ids, before anything else.
func (q *authQueue) flush(ctx context.Context) error {
	for {
		again := q.pending.Len() > 0
		if !again {
			q.take(PaceOf(ctx))
		}
		n := q.pending.Len()
		if n == 0 {
			return nil
		}
		if err := q.Store.AppendAuthRecords(ctx, &q.pending); err != nil {
			q.failed.Inc()
			return err
		}
		q.written.Add(float64(n))
		q.pending.reset()
		if n < q.Batch && !again {
			return nil
		}
	}
}

// take copies the oldest decisions to pending, a batch at most: those that were
// refused first, and each kind has a half of the batch if there are as many.
func (q *authQueue) take(pace *Pace) {
	q.takeFrom(ringRefused, (q.Batch+1)/2, pace)
	q.takeFrom(ringAccepted, q.Batch, pace)
	q.takeFrom(ringRefused, q.Batch, pace)
}

// takeFrom copies decisions of a ring until pending has so many. The lock is held for
// some at a time, so that no listener waits for long.
func (q *authQueue) takeFrom(ring, until int, pace *Pace) {
	r := q.recorder
	for q.pending.Len() < until {
		q.pending.reserve(authCopy)
		r.mu.Lock()
		n := r.rings[ring].copyTo(&q.pending, &q.marks[ring], until-q.pending.Len(), authCopy)
		r.mu.Unlock()
		if n == 0 {
			return
		}
		pace.Step()
	}
}
