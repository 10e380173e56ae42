package radius

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fairTable is a table with requests of numbered sources, each of which has numbers.
type fairTable struct {
	*duplicates
	t   *testing.T
	now time.Time
}

func newFairTable(t *testing.T, maximum int) *fairTable {
	f := &fairTable{newDuplicates(30*time.Second, maximum), t, time.Unix(1000, 0)}
	f.sources.seed = 0x9e3779b97f4a7c15 // no two of the sources have the same hash
	return f
}

func fairKey(source, n int) requestKey {
	return requestKey{addr: backlogWay(source).peer.Addr().As16(), code: AccessRequest, port: uint16(n >> 8), identifier: uint8(n)}
}

// begin enters a request that is being worked on.
func (f *fairTable) begin(source, n int) *Reply {
	w := f.add(fairKey(source, n))
	if w != nil {
		w.request.Received = f.now
		w.state.Store(statePending)
	}
	f.reuse()
	return w
}

// answer enters one that has been answered.
func (f *fairTable) answer(source, n int) {
	f.t.Helper()
	w := f.begin(source, n)
	require.NotNil(f.t, w)
	w.state.Store(stateAnswered)
	f.bytes.Add(int64(cap(w.buf)))
}

// has tells how many of the first n requests of the source are in the table.
func (f *fairTable) has(source, n int) (in int) {
	for i := range n {
		if f.entries[fairKey(source, i)] != nil {
			in++
		}
	}
	return in
}

// check compares the counts and the rings with the entries.
func (f *fairTable) check() {
	f.t.Helper()
	counts := make(map[*sourceEntries]int)
	for _, w := range f.entries {
		counts[w.source]++
	}
	much := 0
	for i := range f.sources.byHash {
		e, linked := &f.sources.byHash[i], 0
		for w := e.oldest; w != nil; w = w.sourceNewer {
			require.Same(f.t, e, w.source)
			linked++
		}
		require.Equal(f.t, counts[e], linked)
		require.Equal(f.t, counts[e], e.count)
		if e.count > f.sources.share {
			much++
			require.Contains(f.t, f.sources.much[:f.sources.n], e)
		}
	}
	require.Equal(f.t, much, f.sources.n)
	require.LessOrEqual(f.t, len(f.entries), f.maximum)
}

// A flood from one source never drives out another's answers within the window, be they
// older or newer than the flood.
func TestDuplicatesAreFair(t *testing.T) {
	const maximum, flood = 1600, 1
	f := newFairTable(t, maximum)
	for source := 2; source <= 10; source++ { // nine with their share
		for n := range maximum / evenShare {
			f.answer(source, n)
		}
	}
	for n := range 50 {
		f.answer(11, n)
	}
	for n := range 10 * maximum {
		f.now = f.now.Add(time.Millisecond)
		f.expire(f.now, 2)
		f.answer(flood, n)
		if n%100 == 0 && n/100 < 50 {
			f.answer(11, 50+n/100)
		}
	}
	f.check()
	for source := 2; source <= 11; source++ {
		require.Equal(t, maximum/evenShare, f.has(source, maximum/evenShare), "source %d", source)
	}
	require.Len(t, f.entries, maximum)
	require.Zero(t, f.has(flood, 9*maximum), "the oldest of the flood")

	f.now = f.now.Add(f.window + time.Second)
	f.expire(f.now, maximum)
	f.check()
	require.Empty(t, f.entries)
}

// Of those that have more than their share, the one that has most makes room.
func TestDuplicatesOfTwoThatHaveMuch(t *testing.T) {
	const maximum = 1600
	f := newFairTable(t, maximum)
	for n := range 500 {
		f.answer(1, n)
	}
	for n := range 10 * maximum {
		f.answer(2, n)
	}
	f.check()
	require.Equal(t, 500, f.has(1, 500))
	for n := range 10 * maximum {
		f.answer(3, n)
	}
	f.check()
	require.Equal(t, 500, f.has(1, 500))
	require.InDelta(t, 550, f.has(2, 10*maximum), 1)
	require.InDelta(t, 550, f.has(3, 10*maximum), 1)
}

// Without anybody who has more than the share, the oldest goes.
func TestDuplicatesOfManySources(t *testing.T) {
	const maximum = 1600
	f := newFairTable(t, maximum)
	for n := range 10 {
		for source := range 400 {
			f.answer(source, n)
		}
	}
	f.check()
	for n, in := range []int{0, 0, 0, 0, 0, 0, 1, 2, 3, 4} {
		require.Equal(t, in, f.has(0, n+1), n)
	}
}

// A flood that is being worked on is shed itself; one within its share still gets in.
func TestDuplicatesOfFloodInProgress(t *testing.T) {
	const maximum, flood = 1600, 1
	f := newFairTable(t, maximum)
	for n := range 50 {
		f.answer(2, n)
	}
	taken := 0
	for n := range 2 * maximum {
		if f.begin(flood, n) != nil {
			taken++
		}
	}
	require.Equal(t, maximum-50, taken)
	require.Equal(t, 50, f.has(2, 50), "nobody was driven out")
	f.answer(3, 1)
	require.Equal(t, 49, f.has(2, 50))
	f.check()
	require.Nil(t, f.begin(flood, 3*maximum))
}

func TestDuplicatesFairlyWithoutAllocations(t *testing.T) {
	f := newFairTable(t, 1600)
	n := 0
	add := func() {
		for range 1000 {
			n++
			w := f.begin(n%3*n%50, n)
			w.state.Store(stateAnswered)
		}
	}
	for range 100 {
		add()
	}
	require.Zero(t, testing.AllocsPerRun(10, add))
	f.check()
}
