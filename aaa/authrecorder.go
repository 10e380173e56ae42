package aaa

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"radiusd/radius"
)

// AuthRecorderOptions are what an AuthRecorder needs. Stores are required.
type AuthRecorderOptions struct {
	// Stores take all decisions, each at its own pace: one that is slow or away
	// delays no other.
	Stores []AuthStore
	// Capacity is how many decisions wait at most for a store that is slow or
	// away; the oldest are dropped and counted beyond that. Zero: 65536.
	Capacity   int
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: discards
}

// AuthStore is a store of decisions and how it wants them.
type AuthStore struct {
	Name  string // in logs, and as a label of metrics
	Store AuthRecordStore
	// Batch is how many are written at once at most; zero: 500.
	Batch int
	// Interval is how long decisions are collected before they are written, unless
	// a batch is full; zero: 200 ms.
	Interval time.Duration
}

// AuthRecorder writes decisions to stores, in batches and from a goroutine for each
// store. It never makes an answer wait.
type AuthRecorder struct {
	log    *slog.Logger
	queues []*authQueue

	mu   sync.Mutex
	ring []authSlot // a decision is in the slot of its number, modulo the length
	next uint64     // the number of the next decision
}

// authQueue is what a store has still to take: the decisions of the ring from its
// own place on.
type authQueue struct {
	AuthStore
	recorder *AuthRecorder
	first    uint64        // the oldest decision that waits; under the recorder's lock
	wake     chan struct{} // holds a value when a batch is full
	pending  []AuthRecord  // what is being written; belongs to run

	dropped prometheus.Counter
	written prometheus.Counter
	failed  prometheus.Counter
}

// authSlot is a decision that waits. Its memory is used again.
type authSlot struct {
	id       uuid.UUID // zero until the first store takes it
	at       time.Time
	decision Decision
	nasID    uuid.UUID
	nasAddr  netip.Addr
	nonce    Nonce
	text     []byte // user name, port, calling and called station
	ends     [4]uint16
}

// authBatch is how many records are written at once unless a store says otherwise.
const authBatch = 500

// NewAuthRecorder returns a recorder; nothing is written until Run.
func NewAuthRecorder(options AuthRecorderOptions) (*AuthRecorder, error) {
	if options.Capacity <= 0 {
		options.Capacity = 1 << 16
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AuthRecorder{log: options.Logger, ring: make([]authSlot, options.Capacity)}
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
	port, _ := x.attributes.Get(radius.TypeNASPortID)
	calling, _ := x.attributes.Get(radius.TypeCallingStationID)
	called, _ := x.attributes.Get(radius.TypeCalledStationID)
	r.mu.Lock()
	slot := &r.ring[r.next%uint64(len(r.ring))]
	r.next++
	slot.id, slot.at, slot.decision, slot.nonce = uuid.Nil, x.request.Received, d, x.nonce
	slot.nasID, slot.nasAddr = uuid.Nil, x.nasAddr()
	if x.nas != nil {
		slot.nasID = x.nas.ID
	}
	slot.text = slot.text[:0]
	for i, value := range [4][]byte{x.username, port, calling, called} {
		slot.text = append(slot.text, value...)
		slot.ends[i] = uint16(len(slot.text))
	}
	for _, q := range r.queues {
		q.added()
	}
	r.mu.Unlock()
}

// added is called when the ring has one more, under its lock.
func (q *authQueue) added() {
	waiting := q.recorder.next - q.first
	if waiting > uint64(len(q.recorder.ring)) {
		q.first++
		q.dropped.Inc()
	}
	if waiting == uint64(q.Batch) {
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
		err := q.flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			log.Error("decisions cannot be recorded for now", "error", err)
		}
		if err == nil && failing {
			log.Info("decisions are recorded again")
		}
		failing = err != nil
	}
}

// flush writes all that waits. A batch that cannot be written is tried again, with
// the same ids, before anything else.
func (q *authQueue) flush(ctx context.Context) error {
	for {
		if len(q.pending) == 0 {
			q.pending = q.take()
		}
		if len(q.pending) == 0 {
			return nil
		}
		if err := q.Store.AppendAuthRecords(ctx, q.pending); err != nil {
			q.failed.Inc()
			return err
		}
		q.written.Add(float64(len(q.pending)))
		q.pending = nil
	}
}

// take removes the oldest decisions, a batch at most. The lock is held for a few
// at a time, so that no listener waits for long.
func (q *authQueue) take() []AuthRecord {
	var batch []AuthRecord
	r := q.recorder
	for len(batch) < q.Batch {
		r.mu.Lock()
		n := int(min(r.next-q.first, 32, uint64(q.Batch-len(batch))))
		for range n {
			batch = append(batch, r.ring[q.first%uint64(len(r.ring))].record())
			q.first++
		}
		r.mu.Unlock()
		if n == 0 {
			break
		}
	}
	return batch
}

// record makes the record that is stored, with the same id in all stores.
func (s *authSlot) record() AuthRecord {
	if s.id == uuid.Nil {
		var err error
		if s.id, err = uuid.NewV7(); err != nil {
			s.id = uuid.New() // no order, but still unique
		}
	}
	text := string(s.text)
	record := AuthRecord{
		ID:               s.id,
		At:               s.at.UTC(),
		Username:         storable(text[:s.ends[0]]),
		Accepted:         s.decision.Accepted(),
		Reason:           s.decision.Reason,
		Detail:           clip(s.decision.Detail, maxDetail),
		Method:           s.decision.Method,
		NASID:            s.nasID,
		NASAddr:          s.nasAddr,
		NASPortID:        storable(text[s.ends[0]:s.ends[1]]),
		CallingStationID: storable(text[s.ends[1]:s.ends[2]]),
		CalledStationID:  storable(text[s.ends[2]:s.ends[3]]),
	}
	if record.Accepted && s.nonce != (Nonce{}) {
		record.SessionNonce = s.nonce.String()
	}
	return record
}

// maxDetail bounds a Detail, in octets.
const maxDetail = 500

// storable replaces what a text column cannot hold: octets that are not UTF-8, and
// zero. Attributes have at most 253 octets, so nothing needs to be cut.
func storable(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// clip cuts a text to at most n octets, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
