package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"radiusd/aaa"
	"radiusd/journal"
)

// triesBeforeBisection is how often a batch may fail before a record of it is
// suspected, and triesBeforeQuarantine how often a single record, while the sink
// takes an empty batch.
const (
	triesBeforeBisection  = 5
	triesBeforeQuarantine = 3
)

// sinkLoop carries the journal to one sink.
type sinkLoop struct {
	in     *Ingest
	sink   Sink
	first  bool // it alone quarantines what cannot be decoded
	delay  time.Duration
	health health
	tries  backoff
	gauge  sinkMetrics
	pace   pace

	stored   journal.Position   // the sink's cursor
	foreign  bool               // another server has moved it
	unsure   []journal.Position // where it is if a Write that failed has worked after all
	unread   bool               // it could not be read: nothing may be written before
	pos      journal.Position   // what the sink has taken of this journal
	passed   journal.Position   // the end of what was read
	isolated isolated
	records  []aaa.Record // the batch in hand
	ends     []journal.Position
	raw      []byte // the envelopes of the batch
	offsets  []int  // where each ends in raw

	// For those who collect metrics.
	oldest    atomic.Int64  // receipt of the first record in hand, µs since 1970; zero: none
	taken     atomic.Uint64 // pos
	read      atomic.Uint64 // records read
	readBytes atomic.Uint64 // and their length in the journal

	reserve reserve
	looked  time.Time // when the cursor was last known

	waiting sync.Mutex
	lapsed  []lapsed // closings that the sink is to hear of
	told    []lapsed // those it has heard of since Options.Keep, in case it forgets them
}

// lapsed is a closing, and what the sink must have taken before it hears of it.
type lapsed struct {
	closing aaa.Closing
	after   journal.Position
	told    time.Time
}

// run goes on until the process is to stop (wait) and everything is written, or
// it must stop (work).
func (s *sinkLoop) run(wait, work context.Context) {
	s.health = health{log: s.in.log, what: s.sink.Name()}
	s.tries = backoff{max: s.in.opt.MaxBackoff}
	for work.Err() == nil {
		err := s.carry(wait, work)
		if err == nil || wait.Err() != nil {
			return
		}
		if errors.Is(err, ErrCursorMoved) {
			continue
		}
		s.fail(err)
		if s.tries.wait(wait) != nil {
			return
		}
	}
}

func (s *sinkLoop) fail(err error) {
	s.gauge.errors.Inc()
	s.health.failure(err)
}

// carry reads from the sink's cursor on and writes batches. It returns nil when
// the process is to stop and everything is written.
func (s *sinkLoop) carry(wait, work context.Context) error {
	cursor, err := s.sink.Cursor(wait)
	if err != nil {
		return fmt.Errorf("read the cursor: %w", err)
	}
	r, from, err := s.in.reader(s.sink.Name(), cursor)
	if err != nil {
		return err
	}
	defer r.Close()
	s.stored, s.foreign, s.unread = cursor, false, false
	s.moved(from)
	s.passed = from
	for {
		stopping := wait.Err() != nil // asked first: what was committed before is still written
		if err := s.fill(wait, work, r); err != nil {
			return err
		}
		s.in.plan(s.records)
		if len(s.records) == 0 && s.passed <= s.pos {
			if stopping {
				return nil
			}
			if err := s.lookIdle(wait); err != nil {
				return err
			}
		}
		if err := s.write(wait, work); err != nil {
			return err
		}
		if err := s.tell(work); err != nil {
			return fmt.Errorf("close sessions: %w", err)
		}
	}
}

// gathersInDelay is how often the journal is looked into while a batch waits for more.
const gathersInDelay = 10

// idleWait is how long fill waits for a first record, so that closings get their
// turn.
const idleWait = time.Second

// fill takes the next records in hand: as many as there are, up to a full batch.
// It waits a little for more when there are few, and returns none now and then
// when there are none.
func (s *sinkLoop) fill(wait, work context.Context, r *journal.Reader) error {
	s.records, s.ends, s.raw, s.offsets = s.records[:0], s.ends[:0], s.raw[:0], s.offsets[:0]
	s.oldest.Store(0)
	deadline := time.Now().Add(idleWait)
	pace := aaa.PaceOf(work)
	for len(s.records) < s.pace.limit && len(s.raw) < batchBytes {
		stopping := wait.Err() != nil
		envelope, end, ok, err := r.TryNext()
		if err == nil && !ok {
			left := time.Until(deadline)
			if left <= 0 || stopping {
				return nil
			}
			if len(s.records) > 0 {
				// Not woken for every group that is committed: there will be more.
				_ = pause(wait, min(left, s.delay/gathersInDelay))
				continue
			}
			ctx, cancel := context.WithTimeout(wait, left)
			envelope, end, err = r.Next(ctx)
			cancel()
			if err != nil && ctx.Err() != nil {
				continue
			}
		}
		if err != nil && len(s.records) > 0 {
			return nil // write what could be read; the error comes again
		}
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		if err := s.in.applied.wait(work, end); err != nil {
			return err
		}
		s.read.Add(1)
		s.readBytes.Add(uint64(end - s.passed))
		if err := s.take(envelope, end); err != nil {
			return err
		}
		if len(s.records)%aaa.LiveBatch == 0 {
			pace.Step()
		}
		if len(s.records) == 1 {
			deadline = time.Now().Add(s.delay)
		}
	}
	return nil
}

// take puts one record into the batch in hand, or into quarantine.
func (s *sinkLoop) take(envelope []byte, end journal.Position) error {
	n := len(s.records)
	if n == cap(s.records) {
		s.records = slices.Grow(s.records, 1)
	}
	s.records = s.records[:n+1]
	r := &s.records[n]
	if _, err := s.in.opt.Decoder.Decode(envelope, r); err != nil {
		s.records = s.records[:n]
		if s.first {
			if err := s.isolate("", envelope, end, err); err != nil {
				return err
			}
		}
		s.passed = end
		return nil
	}
	s.in.name(r)
	s.in.opt.Live.Resolver().Resolve(r)
	if n == 0 {
		s.oldest.Store(r.ReceivedAt.UnixMicro())
	}
	s.ends = append(s.ends, end)
	s.raw = append(s.raw, envelope...)
	s.offsets = append(s.offsets, len(s.raw))
	s.passed = end
	return nil
}

// write gives the batch in hand to the sink, however long that takes. It returns
// an error when the process is to stop or a record could not be quarantined.
func (s *sinkLoop) write(wait, work context.Context) error {
	if len(s.records) == 0 && s.passed <= s.pos {
		return nil
	}
	if s.unread {
		if _, err := s.lookAgain(wait, work); err != nil {
			return err
		}
	}
	from, to, failures := 0, len(s.records), 0
	for s.pos < s.passed {
		end := s.passed
		if to < len(s.records) {
			end = s.ends[to-1]
		}
		err := s.try(work, s.records[from:to], end)
		if err == nil {
			s.health.recovered()
			s.tries.reset()
			// After a bisection the rest is tried whole again.
			from, to, failures = to, len(s.records), 0
			continue
		}
		if wait.Err() != nil {
			return err // nobody waits for a sink that is down
		}
		s.fail(err)
		if foreign, err := s.lookAgain(wait, work); err != nil {
			return err
		} else if foreign {
			continue
		}
		failures++
		switch {
		case to-from > 1 && failures >= triesBeforeBisection && s.well(work):
			to = from + (to-from)/2
			if failures = triesBeforeBisection - 1; to-from == 1 {
				failures = 0
			}
		case to-from == 1 && failures >= triesBeforeQuarantine && s.well(work):
			if err := s.isolate(s.sink.Name(), s.envelope(from), s.ends[from], err); err != nil {
				return err
			}
			if err := s.try(work, nil, end); err != nil {
				return err
			}
			from, to, failures = to, len(s.records), 0
			continue
		}
		if err := s.tries.wait(wait); err != nil {
			return err
		}
	}
	return nil
}

// well reports whether the sink takes a batch without records: then it is the
// records that it does not take.
func (s *sinkLoop) well(ctx context.Context) bool {
	return s.try(ctx, nil, s.pos) == nil
}

// look reads the cursor after a Write that failed. If it is not where it was, then
// either the Write has worked after all, or the database has lost transactions, as
// one does that fails over to a standby: it is to go on from there.
//
// Otherwise it is foreign: another server moves this cursor, one that has a copy of
// data_dir and so the same node id and positions. Nothing is passed over for it, and
// the cursor is not moved back for the other one to stumble over.
func (s *sinkLoop) look(ctx context.Context) (foreign bool, err error) {
	s.looked = time.Now()
	cursor, err := s.sink.Cursor(ctx)
	if s.unread = err != nil; s.unread {
		return false, fmt.Errorf("read the cursor: %w", err)
	}
	if cursor == s.stored {
		return false, nil
	}
	s.gauge.rewinds.Inc()
	if cursor > s.stored && !slices.Contains(s.unsure, cursor) {
		s.in.log.Error("another server moves this sink's cursor: is its data_dir a copy of this one? Stop it, and remove the file node_id from the copy",
			"sink", s.sink.Name(), "left_at", uint64(s.stored), "found_at", uint64(cursor))
		s.stored, s.foreign = cursor, true
		return true, nil
	}
	s.in.log.Warn("the sink's cursor is not where it was left, going on from there", "sink", s.sink.Name(),
		"left_at", uint64(s.stored), "found_at", uint64(cursor))
	s.retell()
	return false, ErrCursorMoved
}

// lookAgain looks until the cursor can be read. A database without transactions that
// has been away takes what comes first, and would have the cursor behind what it lost.
func (s *sinkLoop) lookAgain(wait, work context.Context) (foreign bool, err error) {
	for {
		foreign, err := s.look(work)
		if err == nil || errors.Is(err, ErrCursorMoved) || wait.Err() != nil {
			return foreign, err
		}
		s.fail(err)
		if err := s.tries.wait(wait); err != nil {
			return false, err
		}
	}
}

// lookInterval is how often the cursor of a sink is read that has nothing to write:
// nothing else would tell that its database has lost transactions.
const lookInterval = 5 * time.Second

func (s *sinkLoop) lookIdle(ctx context.Context) error {
	if time.Since(s.looked) < lookInterval {
		return nil
	}
	if _, err := s.look(ctx); errors.Is(err, ErrCursorMoved) {
		return err
	}
	return nil // nobody waits for a sink that is away
}

// try writes once.
func (s *sinkLoop) try(ctx context.Context, records []aaa.Record, end journal.Position) error {
	began := time.Now()
	cursor := end
	if s.foreign {
		cursor = max(end, s.stored)
	}
	if err := s.sink.Write(ctx, &Batch{Records: records, Start: s.stored, End: cursor}); err != nil {
		if !errors.Is(err, ErrCursorMoved) && !slices.Contains(s.unsure, cursor) {
			s.unsure = append(s.unsure, cursor)
		}
		return err
	}
	s.unsure = s.unsure[:0]
	took := time.Since(began)
	s.pace.wrote(len(records), took)
	s.stored, s.looked = cursor, began.Add(took)
	s.gauge.seconds.Observe(took.Seconds())
	s.gauge.batches.Inc()
	s.gauge.size.Observe(float64(len(records)))
	s.gauge.records.Add(float64(len(records)))
	s.moved(end)
	return nil
}

// moved notes what the sink has taken; the journal may delete it.
func (s *sinkLoop) moved(pos journal.Position) {
	s.pos = pos
	s.taken.Store(uint64(pos))
	s.release()
}

func (s *sinkLoop) envelope(n int) []byte {
	from := 0
	if n > 0 {
		from = s.offsets[n-1]
	}
	return s.raw[from:s.offsets[n]]
}

// closingsKept bounds how many closings wait for a sink that is down. Those that
// are dropped are found again when the live sessions are next loaded.
const closingsKept = 1 << 20

// close notes sessions that lapsed, for a sink that can be told.
func (s *sinkLoop) close(after journal.Position, closings []aaa.Closing) {
	if _, ok := s.sink.(aaa.SessionCloser); !ok {
		return
	}
	s.waiting.Lock()
	defer s.waiting.Unlock()
	for _, c := range closings {
		if len(s.lapsed) < closingsKept {
			s.lapsed = append(s.lapsed, lapsed{closing: c, after: after})
		}
	}
}

// closingsAtOnce is how many closings a sink gets in one call.
const closingsAtOnce = 1000

// tell tells the sink of the sessions that lapsed and of which it has all records.
func (s *sinkLoop) tell(ctx context.Context) error {
	closer, ok := s.sink.(aaa.SessionCloser)
	if !ok {
		return nil
	}
	for {
		s.waiting.Lock()
		var due []aaa.Closing
		for _, l := range s.lapsed[:min(len(s.lapsed), closingsAtOnce)] {
			if l.after > s.pos {
				break
			}
			due = append(due, l.closing)
		}
		s.waiting.Unlock()
		if len(due) == 0 {
			return nil
		}
		if err := closer.CloseSessions(ctx, due); err != nil {
			return err
		}
		s.heard(len(due))
	}
}

// heard notes that the sink has heard of the first n closings.
func (s *sinkLoop) heard(n int) {
	s.waiting.Lock()
	defer s.waiting.Unlock()
	if keep := s.in.opt.Keep; keep > 0 {
		now := time.Now()
		s.told = slices.DeleteFunc(s.told, func(l lapsed) bool { return now.Sub(l.told) >= keep })
		for _, l := range s.lapsed[:min(n, max(closingsKept-len(s.told), 0))] {
			l.told = now
			s.told = append(s.told, l)
		}
	}
	s.lapsed = s.lapsed[n:]
}

// retell has the sink hear again of what it may have forgotten.
func (s *sinkLoop) retell() {
	s.waiting.Lock()
	defer s.waiting.Unlock()
	s.lapsed = append(s.told, s.lapsed...)
	s.told = nil
}

// typicalLength is the length of a record in the journal where none was read yet.
const typicalLength = 320

// meanLength is the mean length in the journal of the records that were read.
func (s *sinkLoop) meanLength() float64 {
	if n := s.read.Load(); n > 0 {
		return float64(s.readBytes.Load()) / float64(n)
	}
	return typicalLength
}

// lag is how long the first record in hand has waited since its receipt.
func (s *sinkLoop) lag(now time.Time) time.Duration {
	oldest := s.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(now.Sub(time.UnixMicro(oldest)), 0)
}
