package radius

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// backlogTest numbers the requests that it pushes.
type backlogTest struct {
	*backlog
	t testing.TB
	n byte
}

func newBacklogTest(t testing.TB, maximum int) *backlogTest {
	return &backlogTest{backlog: newBacklog(maximum), t: t}
}

func backlogWay(source int) way {
	var addr [4]byte
	binary.BigEndian.PutUint32(addr[:], 10<<24+uint32(source))
	return way{peer: netip.AddrPortFrom(netip.AddrFrom4(addr), 1024)}
}

// add pushes the next request and reports whether nothing was shed.
func (b *backlogTest) add(source int, first bool) bool {
	b.n++
	p := Packet(AppendHeader(nil, AccessRequest, b.n, &zeroAuthenticator))
	SetLength(p)
	shed := b.push(p, nil, backlogWay(source), time.Time{}, first)
	require.LessOrEqual(b.t, b.length, b.maximum)
	require.EqualValues(b.t, b.length, b.size.Load())
	return shed == 0
}

// fill adds requests until one is shed, and returns how many were taken.
func (b *backlogTest) fill(source int) (taken int) {
	for b.add(source, false) {
		taken++
	}
	return taken
}

// drain takes up to n requests out, and returns their numbers.
func (b *backlogTest) drain(n int) (numbers []byte) {
	for ; n > 0 && b.length > 0; n-- {
		r := b.pop()
		numbers = append(numbers, Packet(r.value.data).Identifier())
		b.release(r)
	}
	return numbers
}

func TestBacklogShares(t *testing.T) {
	b := newBacklogTest(t, 16)
	require.Equal(t, 8, b.fill(1), "one that floods gets half")
	require.Equal(t, 4, b.fill(2), "the next one half of the rest")
	b.drain(8)
	require.Zero(t, b.sources[backlogWay(2).peer.Addr()], "all of it has been handled")
	b.fill(1)
	for range 100 {
		b.drain(1)
		b.add(1, false)
		b.add(2, false)
	}
	require.InDelta(t, 16/3, b.sources[backlogWay(1).peer.Addr()].length, 1, "two get a third each in the end")
	require.InDelta(t, 16/3, b.sources[backlogWay(2).peer.Addr()].length, 1)
	for source := 3; b.length < b.maximum; source++ {
		require.True(t, b.add(source, false), "there is room for one of another")
	}
	require.False(t, b.add(100, false), "until it is full")
	require.False(t, b.add(100, true))
}

func TestBacklogTakesTurns(t *testing.T) {
	b := newBacklogTest(t, 100)
	for _, source := range []int{1, 1, 1, 1, 2, 2, 3} { // numbered from 1
		require.True(t, b.add(source, false))
	}
	require.Equal(t, []byte{1, 5, 7, 2}, b.drain(4))
	require.True(t, b.add(3, false)) // 8
	require.True(t, b.add(4, false)) // 9
	require.Equal(t, []byte{6, 3, 8, 9, 4}, b.drain(100))
	require.Empty(t, b.sources)
	require.Nil(t, b.last)
	require.True(t, b.add(1, false))
	require.Equal(t, []byte{10}, b.drain(100))
}

// What goes first does so among those of one source. Between the sources it makes no
// difference, or a flood of it would leave nothing for the others.
func TestBacklogFirst(t *testing.T) {
	b := newBacklogTest(t, 100)
	for i, first := range []bool{false, false, true, false, true} {
		require.True(t, b.add(1+i/4, first))
	}
	require.Equal(t, []byte{3, 5, 1, 2, 4}, b.drain(100))

	b = newBacklogTest(t, 8)
	require.Equal(t, 4, b.fill(1)) // 1 to 4, not 5
	require.False(t, b.add(1, true))
	require.False(t, b.add(1, true))
	require.Equal(t, 4, b.length, "the oldest ones have made room")
	require.Equal(t, []byte{6, 7, 3, 4}, b.drain(100))
	for range 4 {
		require.True(t, b.add(1, true))
	}
	require.False(t, b.add(1, true))
	require.False(t, b.add(1, false))
	require.Equal(t, []byte{8, 9, 10, 11}, b.drain(100), "those that go first do not push each other out")
}

// What it takes to hold its maximum is all that it ever allocates.
func TestBacklogMemory(t *testing.T) {
	b := newBacklog(64)
	p := Packet(AppendHeader(nil, AccessRequest, 1, &zeroAuthenticator))
	p = AppendString(p, TypeUserPassword, "a secret that was encrypted once")
	SetLength(p)
	nas := new(NAS)
	require.Zero(t, testing.AllocsPerRun(100, func() { // after a first one
		for i := range 1000 {
			b.push(p, nas, backlogWay(i%97), time.Time{}, i%5 == 0)
		}
		for b.length > 0 {
			b.release(b.pop())
		}
	}))
	requests, sources := 0, 0
	for r := b.freeItems; r != nil; r = r.next {
		requests++
		require.Nil(t, r.value.nas)
		require.NotContains(t, string(r.value.data), "secret", "nothing of a packet stays")
	}
	for s := b.freeSources; s != nil; s = s.next {
		sources++
	}
	require.LessOrEqual(t, requests, 64+1, "one more while it takes the place of another")
	require.LessOrEqual(t, sources, 64)
}

func BenchmarkBacklog(b *testing.B) {
	queue, nas := newBacklog(backlogLength), new(NAS)
	p := benchPacket(AccessRequest, []byte("a shared secret"))
	now := time.Now()
	for range 100 {
		queue.push(p, nas, backlogWay(1), now, false)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		queue.push(p, nas, backlogWay(i%100), now, p.Attributes().Has(TypeState))
		queue.release(queue.pop())
	}
}
