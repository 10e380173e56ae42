package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/aaa"
	"radiusd/journal"
)

// Options configures an Ingest. Journal, Decoder, Live and Quarantine are required.
type Options struct {
	Journal *journal.Journal
	Decoder *aaa.Decoder
	Live    *aaa.LiveSessions
	// Sinks take the records, each at its own pace. Sessions, if set, is what Live
	// is loaded from at start; it is the store of the first sink, whose cursor says
	// from where on Live applies the journal.
	Sinks    []Sink
	Sessions aaa.SessionStore
	// Boots, if set, tells of the boots that reached other nodes of the store.
	Boots BootFeed
	// PlanOf returns the name of a user's plan, which is noted in the user's
	// records; nil: none is. It must not block, and be safe for concurrent use.
	PlanOf func(username string) string
	// Username returns the user's name for a User-Name that is another one, such as a
	// voucher's code, which is recorded instead; nil: all are recorded as they are.
	Username func(sent string) string
	// Prefetch, if set, is told the names of at most aaa.LiveBatch users whose plans PlanOf
	// will be asked for next.
	Prefetch func(usernames []string)
	// Seen is called for each record, once or more, in the order of the journal. It must
	// not keep the record, nor block. It may be nil.
	Seen func(r *aaa.Record)
	// Quarantine is the file for records that cannot be decoded or stored, JSON
	// lines; it is made when the first one comes.
	Quarantine string
	// BatchRecords is the most records in a batch for a sink that is no Batcher; 0:
	// 10,000. BatchDelay is how long a batch that is not full waits for more; 0:
	// 100 ms. Batches are smaller for a sink that is slow, and while there is little.
	BatchRecords int
	BatchDelay   time.Duration
	// Keep is how long the journal keeps records after every sink has taken them, so
	// that a database which lost its last transactions gets them again. They go
	// earlier when the journal is half full. 0: not at all.
	Keep time.Duration
	// MaxBackoff bounds the wait before a sink that is down is tried again; 0: 3 s.
	MaxBackoff time.Duration
	// DrainTimeout is how long Run goes on after its context ended to write what
	// the journal holds; 0: 5 s.
	DrainTimeout time.Duration
	// SweepInterval is how often a part of the live sessions is looked at; 0:
	// aaa.SweepInterval.
	SweepInterval time.Duration
	Registerer    prometheus.Registerer // nil: no metrics
	Logger        *slog.Logger          // nil: no log
}

// Ingest feeds the live sessions and the sinks. It is made by New and run once.
type Ingest struct {
	opt        Options
	log        *slog.Logger
	metrics    *metrics
	quarantine *quarantine
	sinks      []*sinkLoop
	applied    *progress // what the live sessions have seen
	loaded     atomic.Bool
}

// New prepares an Ingest and names the sinks' cursors to the journal, so that it
// keeps everything until they move.
func New(opt Options) (*Ingest, error) {
	if opt.Journal == nil || opt.Decoder == nil || opt.Live == nil || opt.Quarantine == "" {
		return nil, errors.New("ingest: Journal, Decoder, Live and Quarantine are required")
	}
	if opt.BatchRecords <= 0 {
		opt.BatchRecords = 10_000
	}
	if opt.BatchDelay <= 0 {
		opt.BatchDelay = 100 * time.Millisecond
	}
	if opt.MaxBackoff <= 0 {
		opt.MaxBackoff = 3 * time.Second
	}
	if opt.DrainTimeout <= 0 {
		opt.DrainTimeout = 5 * time.Second
	}
	if opt.SweepInterval <= 0 {
		opt.SweepInterval = aaa.SweepInterval
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	i := &Ingest{opt: opt, log: opt.Logger, quarantine: &quarantine{path: opt.Quarantine}, applied: newProgress()}
	names := make(map[string]bool)
	oldest := opt.Journal.Stats().Oldest
	for n, sink := range opt.Sinks {
		if names[sink.Name()] {
			return nil, fmt.Errorf("ingest: two sinks are named %q", sink.Name())
		}
		names[sink.Name()] = true
		batching := Batching{Records: opt.BatchRecords, Delay: opt.BatchDelay}
		if b, ok := sink.(Batcher); ok {
			batching = b.Batching()
		}
		i.sinks = append(i.sinks, &sinkLoop{in: i, sink: sink, first: n == 0, delay: batching.Delay, pace: newPace(batching)})
	}
	for name := range names {
		opt.Journal.Retain(name, oldest)
	}
	i.metrics = newMetrics(i)
	return i, nil
}

// Loaded reports whether the live sessions have been loaded from the store and
// have caught up with what the journal held then: before, limits and usage are
// incomplete.
func (i *Ingest) Loaded() bool { return i.loaded.Load() }

// Run feeds live sessions and sinks until ctx ends, then goes on for at most
// DrainTimeout until everything the journal holds is written. A sink that fails
// then is not waited for: its records stay in the journal. Run returns nil after
// ctx ended; nothing else ends it.
func (i *Ingest) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var loops sync.WaitGroup
	loops.Go(func() { i.runLive(ctx, aaa.WithTurns(work)) })
	loops.Go(func() { i.sweep(ctx) })
	loops.Go(func() { i.releaseKept(ctx) })
	loops.Go(func() { i.followBoots(ctx) })
	for _, s := range i.sinks {
		loops.Go(func() { s.run(ctx, aaa.WithTurns(work)) })
	}
	<-ctx.Done()
	timer := time.AfterFunc(i.opt.DrainTimeout, stop)
	defer timer.Stop()
	loops.Wait()
	return i.quarantine.close()
}

// reader opens the journal at a cursor. A cursor that the journal does not know
// is one of another journal, or of records that are gone; there is nothing better
// then than to begin with the oldest record there is, as repeats change nothing.
func (i *Ingest) reader(name string, from journal.Position) (*journal.Reader, journal.Position, error) {
	if from == 0 { // the cursor has never been stored
		from = i.opt.Journal.Stats().Oldest
	}
	r, err := i.opt.Journal.Reader(from)
	var position *journal.PositionError
	if errors.As(err, &position) {
		i.log.Error("the journal does not hold a cursor's position, going on with the oldest record",
			"cursor", name, "position", uint64(from), "oldest", uint64(position.Oldest), "end", uint64(position.End))
		i.metrics.gaps.Inc()
		from = position.Oldest
		r, err = i.opt.Journal.Reader(from)
	}
	return r, from, err
}
