package radius

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestListener is a listener without a socket.
func newTestListener() *listener {
	s := &Server{logs: newLogs(slog.New(slog.NewTextHandler(io.Discard, nil)))}
	s.delays = newDelays(1 << 20)
	s.pool = newPool(1<<20, s.window())
	l := &listener{
		server: s, table: newDuplicates(s.window(), 1000), hashers: newHashers(),
		outbox: newOutbox(), inFlight: newInFlight(), counters: new(counters), backlog: newBacklog(backlogLength),
	}
	l.out = make([]datagram, 0, batchSize)
	return l
}

// pending is a request in the table that a handler has held.
func (l *listener) pending(i int, received time.Time) *Reply {
	p := Packet(AppendHeader(nil, AccessRequest, uint8(i), &zeroAuthenticator))
	SetLength(p)
	source := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 16), byte(i >> 8)}), 1812)
	d := way{peer: source}
	w := l.table.add(keyOf(&d, p))
	if w == nil {
		return nil
	}
	w.start(l, Request{Packet: p, NAS: &NAS{Name: "test"}, Source: source, Received: received}, d, NewHasher([]byte("secret")))
	w.turn = &l.turn
	w.Hold()
	return w
}

// answered is one that has been answered.
func (l *listener) answered(i int, received time.Time) *Reply {
	w := l.pending(i, received)
	w.sign(l.hashers.get(w.secret))
	w.state.Store(stateAnswered)
	l.table.bytes.Add(int64(cap(w.buf)))
	l.inFlight.done()
	return w
}

func TestDelaysAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestListener()
		d := l.server.delays
		go d.run()
		began := time.Now()
		source := netip.MustParseAddr("10.0.0.1")
		const n = 1000
		order := make(map[*Reply]int)
		for i := range n { // 619 has no factor in common with n: any order
			w := l.pending(i, began)
			w.state.Store(stateQueued)
			order[w] = i
			require.True(t, d.add(w, began.Add(time.Duration(i*619%n)*time.Second), source))
		}
		synctest.Wait()
		require.Len(t, l.outbox.take(nil), 1, "what is due at once")
		for i := 1; i < n; i++ {
			time.Sleep(time.Second) // of the bubble's clock
			synctest.Wait()
			ready := l.outbox.take(nil)
			require.Len(t, ready, 1, "after %d s", i)
			require.Equal(t, i, order[ready[0]]*619%n)
		}
		require.Zero(t, d.len())
		require.Empty(t, d.shares)
		d.close()
	})
}

func TestDelaysCloseDropsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestListener()
		d := l.server.delays
		go d.run()
		for i := range 100 {
			w := l.pending(i, time.Now())
			w.state.Store(stateQueued)
			require.True(t, d.add(w, time.Now().Add(time.Minute), netip.MustParseAddr("10.0.0.1")))
		}
		d.close()
		require.EqualValues(t, 100, l.counters.discards[DiscardShutdown].Load())
		require.Zero(t, l.inFlight.held())
		require.False(t, d.add(l.pending(200, time.Now()), time.Now(), netip.Addr{}))
	})
}

// A deferred request whose turn comes after the duplicate window is not worked on:
// nobody waits for its answer any more.
func TestPoolGivesUpOnOldRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestListener()
		p := l.server.pool
		p.start(1)
		run := 0
		queue := func(i int, f func(*Reply, *Request)) {
			w := l.pending(i, time.Now())
			w.request.Packet = Packet(AppendHeader(nil, AccessRequest, uint8(i), &zeroAuthenticator))
			p.add(w, f)
		}
		queue(1, func(w *Reply, _ *Request) { time.Sleep(l.table.window + time.Second); w.Discard(DiscardHandler) })
		synctest.Wait()
		queue(2, func(w *Reply, _ *Request) { run++; w.Discard(DiscardHandler) })
		time.Sleep(l.table.window / 2)
		queue(3, func(w *Reply, _ *Request) { run++; w.Discard(DiscardHandler) })
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, run)
		require.EqualValues(t, 1, l.counters.discards[DiscardOverload].Load())
		require.Zero(t, l.inFlight.held())
		p.close()
		p.workers.Wait()
	})
}

func TestDuplicatesExpire(t *testing.T) {
	l := newTestListener()
	d := l.table
	began := time.Now()
	for i := range 10 {
		l.answered(i, began.Add(time.Duration(i)*time.Second))
	}
	held := l.pending(10, began)
	forgotten := l.pending(11, began)
	forgotten.Discard(DiscardHandler)

	d.expire(began.Add(d.window), 100)
	require.Len(t, d.entries, 12, "nothing is older than the window")
	d.expire(began.Add(d.window+1), 100)
	require.Len(t, d.entries, 11)
	d.expire(began.Add(d.window+8500*time.Millisecond), 3)
	require.Len(t, d.entries, 8, "a few at a time")
	d.expire(began.Add(2*d.window), 100)
	require.Len(t, d.entries, 1, "what is in progress stays")
	require.Zero(t, d.bytes.Load())
	require.EqualValues(t, 1, d.size.Load())

	d.reuse()
	require.Equal(t, 11, d.freeCount)
	held.Send()
	require.Len(t, l.outbox.take(nil), 1)
	for i := range 11 {
		l.answered(100+i, began)
	}
	require.Zero(t, d.freeCount, "entries are reused")
}

func TestDuplicatesRemoveLeavesWhatOthersHave(t *testing.T) {
	l := newTestListener()
	d := l.table
	for _, state := range []uint32{statePending, stateQueued, stateSending} {
		w := l.pending(1, time.Now())
		w.state.Store(state)
		d.remove(w)
		require.Equal(t, stateReplaced, w.state.Load())
		d.reuse()
		require.Zero(t, d.freeCount, "not reused in state %d", state)
	}
}

// Few long replies take the place of many short ones.
func TestDuplicatesBoundMemory(t *testing.T) {
	l := newTestListener()
	for i := range 1000 {
		w := l.answered(i, time.Now())
		l.table.bytes.Add(-int64(cap(w.buf)))
		w.buf = make([]byte, MaxLength)
		l.table.bytes.Add(int64(cap(w.buf)))
		require.LessOrEqual(t, l.table.bytes.Load(), int64(1000*meanReplyLength+MaxLength))
	}
	require.InDelta(t, 1000*meanReplyLength/MaxLength, len(l.table.entries), 2)
	l.table.reuse()
	for w := l.table.free; w != nil; w = w.newer {
		require.LessOrEqual(t, cap(w.buf), maxKeptBuffer)
	}
}

func TestDuplicatesKeepFewFreeOnes(t *testing.T) {
	l := newTestListener()
	l.table = newDuplicates(l.server.window(), 3*maxFreeReplies)
	began := time.Now()
	for i := range 2 * maxFreeReplies {
		l.answered(i, began)
	}
	l.table.expire(began.Add(time.Hour), 3*maxFreeReplies)
	l.table.reuse()
	require.Equal(t, maxFreeReplies, l.table.freeCount)
}

func TestLogsAreBounded(t *testing.T) {
	g := newLogs(slog.New(slog.NewTextHandler(io.Discard, nil)))
	now := time.Now()
	for i := range 2 * logSubjects {
		require.Equal(t, i < logSubjects, g.due("m", fmt.Sprint(i), now))
	}
	require.False(t, g.due("m", "1", now.Add(logInterval-1)))
	require.True(t, g.due("m", "1", now.Add(logInterval)))
	require.True(t, g.due("m", "new", now.Add(logInterval)), "old ones make room")
	require.Len(t, g.last, 2)
}

func TestHashersAreBounded(t *testing.T) {
	h := newHashers()
	for i := range maxHashers + 10 {
		h.get(fmt.Appendf(nil, "secret %d", i))
	}
	require.LessOrEqual(t, len(h.bySecret), maxHashers)
	require.Same(t, h.get([]byte("secret 5")), h.get([]byte("secret 5")))
}
