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

// AuthRecorderOptions are what an AuthRecorder needs. Store is required.
type AuthRecorderOptions struct {
	Store AuthRecordStore
	// Capacity is how many decisions wait at most while the store is slow or
	// away; the oldest are dropped and counted beyond that. Zero: 65536.
	Capacity int
	// Interval is how long decisions are collected before they are written;
	// zero: 200 ms.
	Interval   time.Duration
	Registerer prometheus.Registerer // nil: no metrics
	Logger     *slog.Logger          // nil: discards
}

// AuthRecorder writes decisions to a store, in batches and from one goroutine. It
// never makes an answer wait.
type AuthRecorder struct {
	options AuthRecorderOptions
	log     *slog.Logger
	wake    chan struct{} // holds a value when a batch is full
	pending []AuthRecord  // belongs to Run

	mu    sync.Mutex
	ring  []authSlot
	first int // the oldest
	count int

	dropped prometheus.Counter
	written prometheus.Counter
	failed  prometheus.Counter
}

// authSlot is a decision that waits. Its memory is used again.
type authSlot struct {
	at       time.Time
	decision Decision
	nasID    uuid.UUID
	nasAddr  netip.Addr
	nonce    Nonce
	text     []byte // user name, port, calling and called station
	ends     [4]uint16
}

// authBatch is how many records are written at once.
const authBatch = 500

// NewAuthRecorder returns a recorder; nothing is written until Run.
func NewAuthRecorder(options AuthRecorderOptions) (*AuthRecorder, error) {
	if options.Capacity <= 0 {
		options.Capacity = 1 << 16
	}
	if options.Interval <= 0 {
		options.Interval = 200 * time.Millisecond
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	r := &AuthRecorder{
		options: options,
		log:     options.Logger,
		wake:    make(chan struct{}, 1),
		ring:    make([]authSlot, options.Capacity),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "radiusd_auth_records_dropped_total", Help: "Decisions not recorded because the store was slow or away."}),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "radiusd_auth_records_written_total", Help: "Decisions written to the store."}),
		failed:  prometheus.NewCounter(prometheus.CounterOpts{Name: "radiusd_auth_record_write_errors_total", Help: "Attempts to write decisions that failed."}),
	}
	if options.Registerer != nil {
		for _, c := range []prometheus.Collector{r.dropped, r.written, r.failed} {
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
	if r.count == len(r.ring) {
		r.first = (r.first + 1) % len(r.ring)
		r.count--
		r.dropped.Inc()
	}
	slot := &r.ring[(r.first+r.count)%len(r.ring)]
	r.count++
	slot.at, slot.decision, slot.nonce = x.request.Received, d, x.nonce
	slot.nasID, slot.nasAddr = uuid.Nil, x.nasAddr()
	if x.nas != nil {
		slot.nasID = x.nas.ID
	}
	slot.text = slot.text[:0]
	for i, value := range [4][]byte{x.username, port, calling, called} {
		slot.text = append(slot.text, value...)
		slot.ends[i] = uint16(len(slot.text))
	}
	full := r.count == authBatch
	r.mu.Unlock()
	if full {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes decisions until ctx is done, then what is left, for which it takes
// no longer than five seconds.
func (r *AuthRecorder) Run(ctx context.Context) {
	ticker := time.NewTicker(r.options.Interval)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := r.flush(last); err != nil {
				r.log.Error("decisions were not recorded", "error", err)
			}
			return
		case <-ticker.C:
		case <-r.wake:
		}
		err := r.flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.log.Error("decisions cannot be recorded for now", "error", err)
		}
		failing = err != nil
	}
}

// flush writes all that waits. A batch that cannot be written is tried again, with
// the same ids, before anything else.
func (r *AuthRecorder) flush(ctx context.Context) error {
	for {
		if len(r.pending) == 0 {
			r.pending = r.take()
		}
		if len(r.pending) == 0 {
			return nil
		}
		if err := r.options.Store.AppendAuthRecords(ctx, r.pending); err != nil {
			r.failed.Inc()
			return err
		}
		r.written.Add(float64(len(r.pending)))
		r.pending = nil
	}
}

// take removes the oldest decisions, a batch at most. The lock is held for a few
// at a time, so that no listener waits for long.
func (r *AuthRecorder) take() []AuthRecord {
	var batch []AuthRecord
	for len(batch) < authBatch {
		r.mu.Lock()
		n := min(r.count, 32, authBatch-len(batch))
		for range n {
			batch = append(batch, r.ring[r.first].record())
			r.first = (r.first + 1) % len(r.ring)
			r.count--
		}
		r.mu.Unlock()
		if n == 0 {
			break
		}
	}
	return batch
}

// record makes the record that is stored.
func (s *authSlot) record() AuthRecord {
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New() // no order, but still unique
	}
	text := string(s.text)
	record := AuthRecord{
		ID:               id,
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
