package ingest_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/radius"
)

// standby is a sink whose database fails over to a copy as old as the test says.
type standby struct {
	*sink
	copied map[uuid.UUID]aaa.Record
	at     journal.Position
	closed []aaa.Closing
}

func (s *standby) Write(ctx context.Context, b *ingest.Batch) error {
	if cursor, err := s.Cursor(ctx); err != nil {
		return err
	} else if cursor != b.Start {
		return ingest.ErrCursorMoved
	}
	return s.sink.Write(ctx, b)
}

// copy is what the standby has.
func (s *standby) copy() {
	s.set(func() { s.copied, s.at, s.closed = maps.Clone(s.records), s.cursor, slices.Clone(s.sink.closed) })
}

// failOver loses everything since copy.
func (s *standby) failOver() {
	s.set(func() { s.records, s.cursor, s.sink.closed = maps.Clone(s.copied), s.at, slices.Clone(s.closed) })
}

func keep(d time.Duration) func(*ingest.Options, *aaa.LiveOptions) {
	return func(o *ingest.Options, _ *aaa.LiveOptions) { o.Keep = d }
}

// smallSegments make segments of a few records.
func smallSegments(o *journal.Options) {
	o.SegmentBytes, o.GroupBytes, o.MaxRecord = 8<<10, 4<<10, 2<<10
}

func TestADatabaseThatLostTransactionsGetsThemAgain(t *testing.T) {
	w := newWorld(t, smallSegments)
	sql := &standby{sink: newSink("sql")}
	w.start([]ingest.Sink{sql}, keep(time.Hour))
	w.sendAll(ids(0, 100))
	w.eventually(func() bool { return len(sql.held()) == 100 }, "taken")
	sql.copy()
	w.sendAll(ids(100, 200))
	w.eventually(func() bool { return len(sql.held()) == 300 }, "taken")

	sql.failOver()
	w.send(radius.AcctStart, "after")
	w.eventually(func() bool { return len(sql.held()) == 301 }, "what was lost, and what is new")
	require.Contains(t, w.log.String(), "not where it was left")
	require.EqualValues(t, 1, w.gauge("radiusd_ingest_rewinds_total", "sql"))
	require.Zero(t, w.gauge("radiusd_ingest_gaps_total", ""))
	require.Empty(t, w.quarantined())
}

// TestAWriteThatWorkedAfterAll: the connection broke before the commit was confirmed.
func TestAWriteThatWorkedAfterAll(t *testing.T) {
	w := newWorld(t)
	sql := &unsure{standby{sink: newSink("sql")}, 3}
	w.start([]ingest.Sink{sql})
	w.sendAll(ids(0, 50))
	w.eventually(func() bool { return len(sql.held()) == 50 }, "taken")
	require.Equal(t, ids(0, 50), sql.taken(), "each once")
	require.EqualValues(t, 3, w.gauge("radiusd_ingest_rewinds_total", "sql"))
}

// unsure takes some batches and says that it failed.
type unsure struct {
	standby
	times int
}

func (s *unsure) Write(ctx context.Context, b *ingest.Batch) error {
	err := s.standby.Write(ctx, b)
	if err == nil && s.times > 0 {
		s.times--
		return errors.New("connection reset by peer")
	}
	return err
}

// TestACopiedDataDir: two servers have the same node id and positions. What each has
// acknowledged is taken, and both say what is wrong.
func TestACopiedDataDir(t *testing.T) {
	sql := &shared{standby: standby{sink: newSink("sql")}}
	worlds := []*world{newWorld(t), newWorld(t)}
	for _, w := range worlds {
		w.start([]ingest.Sink{sql})
	}
	for n := range 50 {
		for i, w := range worlds {
			w.sendAll(ids(1000*(i+1)+10*n, 1+n%3)) // of one length: the ends of batches coincide
		}
	}
	want := 0
	for n := range 50 {
		want += 2 * (1 + n%3)
	}
	worlds[0].eventually(func() bool { return len(sql.held()) == want }, "all that both have")
	for _, w := range worlds {
		w.halt()
		require.Empty(t, w.quarantined())
	}
	require.Contains(t, worlds[0].log.String()+worlds[1].log.String(), "another server moves this sink's cursor")
}

// shared is a sink that two servers write to: its check of the cursor is one with the
// write.
type shared struct {
	standby
	one sync.Mutex
}

func (s *shared) Write(ctx context.Context, b *ingest.Batch) error {
	s.one.Lock()
	defer s.one.Unlock()
	return s.standby.Write(ctx, b)
}

func TestAnIdleSinkFindsThatItLostTransactions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		sql := &standby{sink: newSink("sql")}
		w.start([]ingest.Sink{sql}, keep(10*time.Minute), func(o *ingest.Options, l *aaa.LiveOptions) {
			o.SweepInterval, l.Liveness = time.Second, 15*time.Minute
		})
		w.send(radius.AcctStart, "lapses")
		time.Sleep(14 * time.Minute)
		w.sendAll(ids(0, 5))
		sql.copy()
		time.Sleep(6 * time.Minute)
		require.Len(t, sql.held(), 6)
		require.Len(t, sql.sink.closed, 1)
		sql.failOver()
		require.Empty(t, sql.sink.closed)
		require.Len(t, sql.held(), 1)
		time.Sleep(7 * time.Second)
		require.Len(t, sql.held(), 6, "although nothing new comes")
		require.Len(t, sql.sink.closed, 1, "and is told again of the session that lapsed")
		w.halt()
	})
}

func TestTakenRecordsAreKeptAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, smallSegments)
		sql := newSink("sql")
		w.start([]ingest.Sink{sql}, keep(10*time.Minute))
		w.sendAll(ids(0, 200))
		time.Sleep(9 * time.Minute)
		require.Len(t, sql.taken(), 200)
		require.Zero(t, w.journal.Stats().Oldest)
		require.Equal(t, w.journal.End(), w.journal.Stats().Cursors["sql"], "what is kept is not behind")
		time.Sleep(2 * time.Minute)
		require.Positive(t, w.journal.Stats().Oldest, "also when nothing new comes")

		// What was there before a restart is kept as if it had been taken then.
		w.sendAll(ids(200, 200))
		time.Sleep(time.Minute)
		oldest := w.journal.Stats().Oldest
		w.halt()
		w.start([]ingest.Sink{sql}, keep(10*time.Minute))
		time.Sleep(9 * time.Minute)
		require.Equal(t, oldest, w.journal.Stats().Oldest)
		time.Sleep(2 * time.Minute)
		require.Greater(t, w.journal.Stats().Oldest, oldest)
		w.halt()
	})
}

func TestKeptRecordsGoWhenRoomIsWanted(t *testing.T) {
	w := newWorld(t, smallSegments, func(o *journal.Options) { o.MaxBytes = 64 << 10 })
	sql := newSink("sql")
	w.start([]ingest.Sink{sql}, keep(time.Hour))
	for i := range 2000 {
		id := ids(i, 1)
		w.sendAll(id) // fails when the journal is full
		if i%50 == 0 {
			w.eventually(func() bool { return len(sql.taken()) == i+1 }, "taken")
		}
	}
	stats := w.journal.Stats()
	require.Positive(t, stats.Oldest)
	require.Greater(t, stats.Bytes, stats.MaxBytes/4, "as much as there is room for is kept")
	require.Zero(t, stats.Refused)
}

// batcher is a sink that wants batches of its own size.
type batcher struct{ *sink }

func (batcher) Batching() ingest.Batching {
	return ingest.Batching{Records: 20, Delay: time.Minute}
}

func TestASinkSaysHowLargeItsBatchesAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		sql, history := newSink("sql"), batcher{newSink("history")}
		w.start([]ingest.Sink{sql, history})
		w.sendAll(ids(0, 50))
		time.Sleep(30 * time.Second)
		require.Len(t, sql.taken(), 50)
		require.Equal(t, []int{20, 20}, history.sizes())
		time.Sleep(time.Minute)
		require.Equal(t, []int{20, 20, 10}, history.sizes())
		w.halt()
	})
}
