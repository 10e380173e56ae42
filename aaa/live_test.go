package aaa_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
)

var _ aaa.Limits = (*aaa.LiveSessions)(nil)

// clock is a time that a test moves.
type clock struct{ now atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.now.Store(epoch.UnixMicro())
	return c
}

func (c *clock) Now() time.Time          { return time.UnixMicro(c.now.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.now.Add(d.Microseconds()) }

// live has a clock and helpers that send records at the present time.
type live struct {
	*aaa.LiveSessions
	*clock
}

func newClockedLive(opt aaa.LiveOptions) live {
	c := newClock()
	opt.Now = c.Now
	return live{aaa.NewLiveSessions(opt), c}
}

func (l live) send(r aaa.Record) {
	r.EventTime, r.ReceivedAt = l.Now(), l.Now()
	l.Apply(&r)
}

// sweep looks at every session once.
func (l live) sweep() []aaa.Closing {
	var closings []aaa.Closing
	for range time.Minute / aaa.SweepInterval {
		closings = append(closings, l.Sweep()...)
	}
	return closings
}

func (l live) reserve(nonce byte, change ...func(*aaa.Reservation)) bool {
	r := aaa.Reservation{Username: "alice", Limit: 1, Nonce: aaa.Nonce{nonce}, NASAddr: testNAS, At: l.Now()}
	for _, f := range change {
		f(&r)
	}
	return l.Reserve(r).Reserved
}

func limit(n int) func(*aaa.Reservation) { return func(r *aaa.Reservation) { r.Limit = n } }

func from(station, port string) func(*aaa.Reservation) {
	return func(r *aaa.Reservation) { r.CallingStationID, r.NASPortID = []byte(station), []byte(port) }
}

func TestReservationRace(t *testing.T) {
	for _, limit := range []int{1, 3} {
		l := aaa.NewLiveSessions(aaa.LiveOptions{})
		var accepted atomic.Int32
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if l.Reserve(aaa.Reservation{Username: "alice", Limit: limit, Nonce: aaa.Nonce{byte(i)}, NASAddr: testNAS, At: time.Now()}).Reserved {
					accepted.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, limit, accepted.Load())
	}
}

func TestReservation(t *testing.T) {
	t.Run("is taken over by the Start of its nonce and released by the Stop", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1))
		require.False(t, l.reserve(2))
		l.send(rec(aaa.AcctStart, 0, class(1)))
		require.False(t, l.reserve(2), "the session holds the place")
		require.True(t, l.reserve(2, limit(2)), "once, not twice")
		l.send(rec(aaa.AcctStart, 0, class(2), session("s2")))
		l.send(rec(aaa.AcctStop, 0, class(1)))
		l.send(rec(aaa.AcctStop, 0, class(2), session("s2")))
		require.True(t, l.reserve(3))
	})
	t.Run("is taken over without Class by NAS and station", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1, from("aa:bb:cc:dd:ee:01", "1"), limit(2)))
		l.send(rec(aaa.AcctStart, 0, station("AA-BB-CC-DD-EE-01"), port("1")))
		require.True(t, l.reserve(2, from("aa:bb:cc:dd:ee:02", "2"), limit(2)))
		require.False(t, l.reserve(3, from("aa:bb:cc:dd:ee:03", "3"), limit(2)))
	})
	t.Run("lapses", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1))
		l.advance(59 * time.Second)
		require.False(t, l.reserve(2))
		l.advance(time.Second)
		require.True(t, l.reserve(2))
	})
	t.Run("is released by a Stop without Start", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1))
		l.send(rec(aaa.AcctStop, 0, class(1)))
		require.True(t, l.reserve(2))
	})
	t.Run("replaces the same device's reservation", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1, from("aa:bb:cc:dd:ee:01", "1")))
		require.True(t, l.reserve(2, from("aa:bb:cc:dd:ee:01", "1")))
		require.False(t, l.reserve(3, from("aa:bb:cc:dd:ee:02", "2")))
		require.False(t, l.reserve(4, from("aa:bb:cc:dd:ee:01", "2")), "another port")
	})
	t.Run("replaces the same device's session", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		l.send(rec(aaa.AcctStart, 0, station("AA-BB-CC-DD-EE-01"), port("1")))
		l.advance(time.Second)
		require.False(t, l.reserve(1, from("aa:bb:cc:dd:ee:02", "2")))
		require.True(t, l.reserve(2, from("aa:bb:cc:dd:ee:01", "1")))
		require.False(t, l.reserve(3, from("aa:bb:cc:dd:ee:02", "2")), "session and reservation of one device are one place")
		require.False(t, l.reserve(3, from("aa:bb:cc:dd:ee:02", "2")))
		require.True(t, l.reserve(4, from("aa:bb:cc:dd:ee:02", "2"), limit(2)))
		l.send(rec(aaa.AcctStart, 0, session("s2"), station("aabb.ccdd.ee01"), port("1"), class(2)))
		require.Equal(t, 1, l.Open("alice"), "the old session is superseded")
	})
	t.Run("belongs to one user", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		require.True(t, l.reserve(1))
		require.True(t, l.reserve(1, func(r *aaa.Reservation) { r.Username = "bob" }))
	})
}

func TestLiveness(t *testing.T) {
	interim := func(l live, n int) {
		for range n {
			l.advance(10 * time.Minute)
			l.send(rec(aaa.AcctInterim, 0))
		}
	}
	t.Run("three intervals after the last interim", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		l.send(rec(aaa.AcctStart, 0))
		interim(l, 3)
		last := l.Now()
		l.advance(30*time.Minute - time.Second)
		require.Empty(t, l.sweep())
		require.Equal(t, 1, l.Open("alice"))
		l.advance(time.Second)
		closings := l.sweep()
		require.Len(t, closings, 1)
		require.Equal(t, last, closings[0].StoppedAt)
		require.Zero(t, l.Open("alice"))
		require.True(t, l.reserve(1), "it no longer counts")
		s, ok := l.Session(closings[0].SessionID)
		require.True(t, ok)
		require.Equal(t, []any{last, true, aaa.CauseLapsed}, []any{s.StoppedAt, s.StopInferred, s.TerminateCause})

		interim(l, 1)
		require.Equal(t, 1, l.Open("alice"), "a late record reopens")
		l.send(rec(aaa.AcctStop, 0))
		require.Zero(t, l.Open("alice"))
	})
	t.Run("a session without interims is given a day", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{})
		l.send(rec(aaa.AcctStart, 0))
		l.advance(24*time.Hour - time.Second)
		require.Empty(t, l.sweep())
		l.advance(time.Second)
		require.Len(t, l.sweep(), 1)
	})
	t.Run("no less than the minimum", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{MinLiveness: 10 * time.Minute})
		for range 3 {
			l.advance(time.Minute)
			l.send(rec(aaa.AcctInterim, 0))
		}
		l.advance(10*time.Minute - time.Second)
		require.Empty(t, l.sweep())
		l.advance(time.Second)
		require.Len(t, l.sweep(), 1)
	})
	t.Run("a setting decides", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{Liveness: time.Minute})
		l.send(rec(aaa.AcctStart, 0))
		l.advance(time.Minute)
		require.Len(t, l.sweep(), 1)
	})
	t.Run("after a restart there is time for an interim", func(t *testing.T) {
		store := newFakeStore()
		records := resolved([]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctInterim, 600)})
		store.write(t, records)
		l := newClockedLive(aaa.LiveOptions{})
		l.advance(48 * time.Hour)
		require.NoError(t, l.Load(t.Context(), store))
		require.Empty(t, l.sweep())
		l.advance(10 * time.Minute)
		require.Len(t, l.sweep(), 1)
	})
	t.Run("closings reach a store once its records have, and late records reopen", func(t *testing.T) {
		l := newClockedLive(aaa.LiveOptions{Liveness: time.Minute})
		start := rec(aaa.AcctStart, 0)
		l.Apply(&start)
		store := newFakeStore()
		store.write(t, []aaa.Record{start})
		l.advance(time.Minute)
		closings := l.sweep()
		for range 2 {
			require.NoError(t, store.CloseSessions(t.Context(), closings))
			require.Equal(t, show(liveRows(l.LiveSessions)), show(store.rows()))
		}
		interim := rec(aaa.AcctInterim, 70, counters(70, 1, 1))
		l.Apply(&interim)
		store.write(t, []aaa.Record{interim})
		require.NoError(t, store.CloseSessions(t.Context(), closings))
		require.Equal(t, show(liveRows(l.LiveSessions)), show(store.rows()))
		require.True(t, store.rows()[0].Open())
	})
}

func TestClosedSessionsAreForgotten(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{})
	l.send(rec(aaa.AcctStart, 0))
	l.send(rec(aaa.AcctStop, 0, counters(10, 100, 200)))
	stop := rec(aaa.AcctStop, 0, counters(10, 100, 200))
	used := aaa.Usage{Seconds: 10, InputOctets: 100, OutputOctets: 200}
	require.Equal(t, used, l.Used("alice", aaa.PeriodEver, l.Now()))
	l.advance(59 * time.Minute)
	l.sweep()
	require.Len(t, liveRows(l.LiveSessions), 1)
	l.advance(time.Minute)
	l.sweep()
	require.Empty(t, liveRows(l.LiveSessions))

	// Repeated long after: it must not be counted again.
	l.advance(time.Hour)
	stop.ReceivedAt = l.Now()
	l.Apply(&stop)
	require.Equal(t, used, l.Used("alice", aaa.PeriodEver, l.Now()))
	require.Zero(t, l.OpenCount())
}

// TestStopLongAfterItWasGivenUp: a session that fell silent was ended and forgotten,
// and its Stop comes after all. What it had used before must not count again.
func TestStopLongAfterItWasGivenUp(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{})
	store := newFakeStore()
	send := func(r aaa.Record) {
		r.EventTime, r.ReceivedAt = l.Now(), l.Now()
		l.Apply(&r)
		store.write(t, []aaa.Record{r})
	}
	send(rec(aaa.AcctStart, 0))
	for n := range uint64(3) {
		l.advance(10 * time.Minute)
		send(rec(aaa.AcctInterim, 0, counters(600*(n+1), 1000*(n+1), 0)))
	}
	l.advance(30 * time.Minute)
	closings := l.sweep()
	require.Len(t, closings, 1)
	require.NoError(t, store.CloseSessions(t.Context(), closings))
	l.advance(30 * time.Hour)
	l.sweep()
	require.Empty(t, liveRows(l.LiveSessions))
	send(rec(aaa.AcctStop, 0, counters(111600, 9000, 0)))
	require.Equal(t, aaa.Usage{Seconds: 111600, InputOctets: 9000}, store.totals()["alice"])
	require.Equal(t, aaa.Usage{Seconds: 1800, InputOctets: 3000}, l.Used("alice", aaa.PeriodEver, l.Now()), "not what was counted before, once more")
	again := newClockedLive(aaa.LiveOptions{})
	again.now.Store(l.now.Load())
	require.NoError(t, again.Load(t.Context(), store))
	require.Equal(t, store.totals()["alice"], again.Used("alice", aaa.PeriodEver, l.Now()))
}

func TestANASThatSendsNoGigawordsIsNamedOnce(t *testing.T) {
	var log bytes.Buffer
	l := newClockedLive(aaa.LiveOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l.send(rec(aaa.AcctStart, 0))
	for n, octets := range []uint64{3 << 30, 1 << 30, 3 << 30, 1 << 30} {
		l.advance(10 * time.Minute)
		l.send(rec(aaa.AcctInterim, 0, counters(uint64(600*(n+1)), octets, 0)))
	}
	require.Equal(t, uint64(2<<32+1<<30), l.Used("alice", aaa.PeriodEver, l.Now()).InputOctets)
	require.True(t, liveRows(l.LiveSessions)[0].CounterWrapped)
	require.Equal(t, 1, strings.Count(log.String(), "nas="+testNAS.String()), log.String())
}

func TestUsedByPeriod(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	l := newClockedLive(aaa.LiveOptions{Location: berlin})
	set := func(s string) {
		moment, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		require.NoError(t, err)
		l.now.Store(moment.UnixMicro())
	}
	used := func(p aaa.Period) uint64 { return l.Used("alice", p, l.Now()).Seconds }
	spend := func(id string, seconds uint64) {
		l.send(rec(aaa.AcctStart, 0, session(id)))
		l.send(rec(aaa.AcctStop, 0, session(id), counters(seconds, 0, 0)))
	}
	set("2026-03-31 10:00") // a Tuesday
	spend("a", 1)
	set("2026-03-31 23:59")
	spend("b", 2)
	require.Equal(t, []uint64{3, 3, 3, 3}, []uint64{used(aaa.PeriodDay), used(aaa.PeriodWeek), used(aaa.PeriodMonth), used(aaa.PeriodEver)})
	set("2026-04-01 00:00") // another day and month, the same week
	require.Equal(t, []uint64{0, 3, 0, 3}, []uint64{used(aaa.PeriodDay), used(aaa.PeriodWeek), used(aaa.PeriodMonth), used(aaa.PeriodEver)})
	spend("c", 4)
	require.Equal(t, []uint64{4, 7, 4, 7}, []uint64{used(aaa.PeriodDay), used(aaa.PeriodWeek), used(aaa.PeriodMonth), used(aaa.PeriodEver)})
	set("2026-04-06 00:00") // Monday
	require.Equal(t, []uint64{0, 0, 4, 7}, []uint64{used(aaa.PeriodDay), used(aaa.PeriodWeek), used(aaa.PeriodMonth), used(aaa.PeriodEver)})
	require.Zero(t, l.Used("nobody", aaa.PeriodEver, l.Now()))
}

// TestRestartAtAnyPoint: some of the journal is in the store when the process
// ends; it loads the store and applies the rest, or more than the rest.
func TestRestartAtAnyPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.Permutation(drawRecords(t)).Draw(t, "order")
		cut := rapid.IntRange(0, len(records)).Draw(t, "cut")
		overlap := rapid.IntRange(0, cut).Draw(t, "overlap")
		opt := aaa.LiveOptions{Now: func() time.Time { return at(1000) }}

		through := aaa.NewLiveSessions(opt)
		feed(through, records...)
		store := newFakeStore()
		store.write(t, records[:cut])

		again := aaa.NewLiveSessions(opt)
		require.NoError(t, again.Load(context.Background(), store))
		replayed := slices.Clone(records[cut-overlap:])
		for i := range replayed {
			want := replayed[i]
			replayed[i].ID, replayed[i].SessionID = uuid.Nil, uuid.Nil
			again.Apply(&replayed[i])
			require.Equal(t, want.ID, replayed[i].ID)
			require.Equal(t, want.SessionID, replayed[i].SessionID)
		}
		require.Equal(t, show(liveRows(through)), show(liveRows(again)))
		require.Equal(t, through.OpenCount(), again.OpenCount())
		for _, username := range []string{"alice", "bob"} {
			require.Equal(t, through.Open(username), again.Open(username))
			for _, p := range []aaa.Period{aaa.PeriodEver, aaa.PeriodDay, aaa.PeriodWeek, aaa.PeriodMonth} {
				require.Equal(t, through.Used(username, p, at(1000)), again.Used(username, p, at(1000)))
			}
		}
		store.write(t, replayed)
		require.Equal(t, show(liveRows(through)), show(store.rows()))
	})
}

func TestLoadMayFailAndBeRepeated(t *testing.T) {
	store := newFakeStore()
	store.write(t, resolved([]aaa.Record{rec(aaa.AcctStart, 0), rec(aaa.AcctStop, 60, counters(60, 1, 2)), rec(aaa.AcctStart, 70, session("s2"))}))
	l := newClockedLive(aaa.LiveOptions{})
	require.Error(t, l.Load(t.Context(), failingStore{store}))
	require.NoError(t, l.Load(t.Context(), store))
	require.Equal(t, aaa.Usage{Seconds: 60, InputOctets: 1, OutputOctets: 2}, l.Used("alice", aaa.PeriodEver, l.Now()))
	require.Equal(t, 1, l.Open("alice"))
}

// failingStore fails after it has given everything.
type failingStore struct{ *fakeStore }

func (f failingStore) EachUsage(ctx context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	if err := f.fakeStore.EachUsage(ctx, starts, fn); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

func TestEachFilters(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{})
	elsewhere := netip.MustParseAddr("192.0.2.2")
	l.send(rec(aaa.AcctStart, 0, session("1")))
	l.send(rec(aaa.AcctStart, 0, session("2"), user("bob")))
	l.send(rec(aaa.AcctStart, 0, session("3"), func(r *aaa.Record) { r.NASAddr = elsewhere }))
	l.send(rec(aaa.AcctStop, 0, session("1")))
	l.send(rec(aaa.AcctStart, 0, session("4"), user("")))
	ids := func(f aaa.LiveFilter) (ids []string) {
		l.Each(f, func(s *aaa.Session) bool { ids = append(ids, s.AcctSessionID); return true })
		slices.Sort(ids)
		return ids
	}
	assert.Equal(t, []string{"1", "2", "3", "4"}, ids(aaa.LiveFilter{}))
	assert.Equal(t, []string{"2", "3", "4"}, ids(aaa.LiveFilter{OpenOnly: true}))
	assert.Equal(t, []string{"1", "3"}, ids(aaa.LiveFilter{Username: "alice"}))
	assert.Equal(t, []string{"3"}, ids(aaa.LiveFilter{NASAddr: elsewhere}))
	assert.Equal(t, 3, l.OpenCount())
	l.Each(aaa.LiveFilter{}, func(*aaa.Session) bool { return false })
}

// TestReadersBesideTheWriter is for the race detector.
func TestReadersBesideTheWriter(t *testing.T) {
	l := newClockedLive(aaa.LiveOptions{Liveness: time.Hour})
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				l.reserve(byte(n), from("aa:bb:cc:dd:ee:01", "1"), limit(3))
				l.Used("alice", aaa.PeriodDay, l.Now())
				l.Each(aaa.LiveFilter{Username: "alice"}, func(s *aaa.Session) bool { _, _ = l.Session(s.ID); return true })
			}
		})
	}
	for i := range 400 {
		id := session(strconv.Itoa(i))
		l.advance(time.Second)
		l.send(rec(aaa.AcctStart, 0, id, station("aa:bb:cc:dd:ee:01"), port(strconv.Itoa(i%3)), class(byte(i))))
		l.send(rec(aaa.AcctInterim, 0, id, user([]string{"alice", "bob"}[i%2]), class(byte(i)), counters(uint64(i), 1, 1)))
		if i%7 == 0 {
			l.send(rec(aaa.AcctOn, 0))
		}
		l.Sweep()
	}
	close(done)
	all.Wait()
}

func TestRebootOfAHundredThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred thousand sessions")
	}
	l := aaa.NewLiveSessions(aaa.LiveOptions{Registerer: prometheus.NewPedanticRegistry()})
	const n = 100_000

	// Access-Requests go on meanwhile, and do not wait until the whole is done.
	apply := func(on *aaa.Record) (meanwhile int64) {
		var answered atomic.Int64
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					l.Reserve(aaa.Reservation{Username: "user77", Limit: 1, At: time.Now()})
					answered.Add(1)
				}
			}
		}()
		for answered.Load() == 0 {
			runtime.Gosched()
		}
		began, before := time.Now(), answered.Load()
		l.Apply(on)
		took, meanwhile := time.Since(began), answered.Load()-before
		close(stop)
		<-stopped
		t.Logf("the boot took %v, %d Access-Requests were answered meanwhile", took, meanwhile)
		return meanwhile
	}
	meanwhile := int64(0)
	for round := 0; round < 5 && meanwhile <= 10; round++ { // on a busy machine others may take the time
		hours := time.Duration(2*round) * time.Hour
		fill(l, n, func(r *aaa.Record) {
			r.EventTime, r.AcctSessionID, r.Class = r.EventTime.Add(hours), r.AcctSessionID+strconv.Itoa(round), nil
		})
		require.Equal(t, n, l.OpenCount())
		on := liveRecord(0)
		on.Status, on.AcctSessionID, on.Username, on.EventTime = aaa.AcctOn, "", "", on.EventTime.Add(hours+time.Hour)
		meanwhile = apply(&on)
		require.Zero(t, l.OpenCount())
	}
	require.Greater(t, meanwhile, int64(10), "an Access-Request waited for the whole of it")
}

// liveRecord is the n-th Start of a provider: PPPoE, IPv4 and a delegated prefix.
func liveRecord(n int) aaa.Record {
	var nonce aaa.Nonce
	copy(nonce[:], fmt.Sprintf("%012d", n))
	return aaa.Record{
		Status: aaa.AcctStart, AcctSessionID: fmt.Sprintf("0000%012x", n), Username: "user" + strconv.Itoa(n),
		NASAddr: testNAS, NASIdentifier: "bras1.example", NASID: uuid.UUID{1}, NASPortID: fmt.Sprintf("ge-0/0/%d:%d", n%48, n),
		FramedIP: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), DelegatedPrefix: netip.MustParsePrefix("2001:db8:3::/56"),
		CallingStationID: fmt.Sprintf("AA-BB-CC-%02X-%02X-%02X", byte(n>>16), byte(n>>8), byte(n)), CalledStationID: "bras1.example",
		Class: aaa.AppendClass(nil, nonce), EventTime: epoch, ReceivedAt: epoch,
	}
}

func fill(l *aaa.LiveSessions, n int, change ...func(*aaa.Record)) {
	for i := range n {
		r := liveRecord(i)
		for _, c := range change {
			c(&r)
		}
		l.Apply(&r)
		r.Status, r.EventTime = aaa.AcctInterim, r.EventTime.Add(5*time.Minute)
		counters(300, 1e9, 1e10)(&r)
		l.Apply(&r)
	}
}

func TestSessionMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	l := newClockedLive(aaa.LiveOptions{Registerer: registry, Liveness: time.Minute})
	l.send(rec(aaa.AcctStart, 0, session("1")))
	l.send(rec(aaa.AcctStart, 0, session("2")))
	l.advance(30 * time.Second)
	l.send(rec(aaa.AcctInterim, 0, session("2")))
	l.advance(30 * time.Second)
	l.sweep()
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP radiusd_sessions_inferred_stops_total Sessions that ended without a Stop, by cause.
# TYPE radiusd_sessions_inferred_stops_total counter
radiusd_sessions_inferred_stops_total{cause="Lost-Service"} 1
radiusd_sessions_inferred_stops_total{cause="NAS-Reboot"} 0
radiusd_sessions_inferred_stops_total{cause="Port-Preempted"} 0
# HELP radiusd_sessions_open Sessions that are open, as far as this node has heard of them.
# TYPE radiusd_sessions_open gauge
radiusd_sessions_open 1
`), "radiusd_sessions_open", "radiusd_sessions_inferred_stops_total"))
}

func BenchmarkApplyInterim(b *testing.B) {
	l := aaa.NewLiveSessions(aaa.LiveOptions{})
	const n = 10_000
	fill(l, n)
	records := make([]aaa.Record, n)
	for i := range records {
		records[i] = liveRecord(i)
		records[i].Status = aaa.AcctInterim
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r := records[i%n]
		r.EventTime = r.EventTime.Add(time.Duration(i) * time.Second)
		counters(uint64(300+i), uint64(i), uint64(i))(&r)
		l.Apply(&r)
	}
}

func BenchmarkReserve(b *testing.B) {
	l := aaa.NewLiveSessions(aaa.LiveOptions{})
	fill(l, 10_000)
	b.ReportAllocs()
	at := time.Now()
	for i := 0; b.Loop(); i++ {
		l.Reserve(aaa.Reservation{Username: "user77", Limit: 2, NASAddr: testNAS, NASPortID: []byte("x"), CallingStationID: []byte("aa:bb:cc:00:00:01"), At: at})
	}
}
