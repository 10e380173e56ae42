package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"radiusd/aaa"
	"radiusd/journal"
)

// liveChunk is after how many records the sinks hear that they were applied.
const liveChunk = 256

// runLive loads the live sessions and applies the journal to them. wait ends when
// the process is to stop, work when it must.
func (i *Ingest) runLive(wait, work context.Context) {
	from, ok := i.load(wait)
	if !ok {
		return
	}
	tries := backoff{max: i.opt.MaxBackoff}
	h := &health{log: i.log, what: "live sessions"}
	for work.Err() == nil {
		pos, err := i.apply(wait, work, from, h, &tries)
		if from = pos; err == nil {
			return
		}
		h.failure(err)
		if tries.wait(work) != nil {
			return
		}
	}
}

// load fills the live sessions from the store and returns where to go on from.
func (i *Ingest) load(ctx context.Context) (journal.Position, bool) {
	if i.opt.Sessions == nil || len(i.sinks) == 0 {
		return i.opt.Journal.Stats().Oldest, true
	}
	tries := backoff{max: i.opt.MaxBackoff}
	h := &health{log: i.log, what: "live sessions"}
	for {
		cursor, err := i.sinks[0].sink.Cursor(ctx)
		if err == nil {
			if err = i.opt.Live.Load(ctx, i.opt.Sessions); err == nil {
				h.recovered()
				return cursor, true
			}
		}
		if ctx.Err() != nil {
			return 0, false
		}
		h.failure(fmt.Errorf("load from the store: %w", err))
		if tries.wait(ctx) != nil {
			return 0, false
		}
	}
}

// apply reads from a position until the process is to stop (nil) or the journal
// cannot be read.
func (i *Ingest) apply(wait, work context.Context, from journal.Position, h *health, tries *backoff) (journal.Position, error) {
	r, from, err := i.reader("live", from)
	if err != nil {
		return from, err
	}
	defer r.Close()
	i.applied.set(from)
	var batch liveBatch
	pace := aaa.PaceOf(work)
	for count := 0; ; {
		stopping := wait.Err() != nil // asked first: what was committed before is still applied
		envelope, end, ok, err := r.TryNext()
		if err != nil || !ok || len(batch.records) == aaa.LiveBatch {
			i.applyBatch(&batch)
			pace.Step() // a backlog must not keep answers waiting
		}
		if err == nil && !ok {
			i.applied.set(from)
			i.loaded.Store(true)
			if stopping {
				return from, nil
			}
			envelope, end, err = r.Next(wait)
			if err != nil && wait.Err() != nil {
				continue // what came meanwhile is drained by TryNext
			}
		}
		if err != nil {
			i.applied.set(from)
			return from, err
		}
		h.recovered()
		tries.reset()
		i.view(envelope, &batch)
		from = end
		if count++; count%liveChunk == 0 {
			i.applyBatch(&batch)
			i.applied.set(from)
			if work.Err() != nil {
				return from, nil
			}
		}
	}
}

// liveBatch has records of the journal that are applied together.
type liveBatch struct {
	envelopes []byte // of which the records are views
	records   []aaa.Record
}

// view adds a record to the batch.
func (i *Ingest) view(envelope []byte, b *liveBatch) {
	at := len(b.envelopes)
	b.envelopes = append(b.envelopes, envelope...) // those before stay where the views have them
	if b.records == nil {
		b.records = make([]aaa.Record, 0, aaa.LiveBatch)
	}
	n := len(b.records)
	b.records = b.records[:n+1]
	malformed, err := i.opt.Decoder.DecodeView(b.envelopes[at:], &b.records[n])
	if malformed > 0 {
		i.metrics.malformed.Add(float64(malformed))
	}
	if err != nil {
		b.records = b.records[:n]
	}
}

// applyBatch applies the records, of which there may be none, and empties the batch.
func (i *Ingest) applyBatch(b *liveBatch) {
	for n := range b.records {
		i.name(&b.records[n])
	}
	i.plan(b.records)
	if i.opt.Seen != nil {
		for n := range b.records {
			i.opt.Seen(&b.records[n])
		}
	}
	i.opt.Live.ObserveBatch(b.records)
	b.envelopes, b.records = b.envelopes[:0], b.records[:0]
}

// name notes the user of a record whose User-Name is another one.
func (i *Ingest) name(r *aaa.Record) {
	if i.opt.Username != nil {
		r.Username = i.opt.Username(r.Username)
	}
}

// plan notes the plans of the records' users.
func (i *Ingest) plan(records []aaa.Record) {
	if i.opt.PlanOf == nil {
		return
	}
	var names [aaa.LiveBatch]string
	for chunk := range slices.Chunk(records, len(names)) {
		for n := range chunk {
			names[n] = chunk[n].Username
		}
		if i.opt.Prefetch != nil {
			i.opt.Prefetch(names[:len(chunk)])
		}
		for n := range chunk {
			if r := &chunk[n]; r.Username != "" {
				r.Plan = i.opt.PlanOf(r.Username)
			}
		}
	}
}

// sweep ends sessions of which nothing is heard any more, a few at a time, and
// tells the sinks.
func (i *Ingest) sweep(ctx context.Context) {
	ticker := time.NewTicker(i.opt.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if !i.Loaded() {
			continue
		}
		closings := i.opt.Live.Sweep()
		if len(closings) == 0 {
			continue
		}
		pos := i.applied.get()
		for _, s := range i.sinks {
			s.close(pos, closings)
		}
	}
}
