package aaa_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// stored writes the records one by one, and returns the rows.
func stored(t *testing.T, records ...aaa.Record) []aaa.Session {
	t.Helper()
	f := newFakeStore()
	for _, r := range resolved(records) {
		f.write(t, []aaa.Record{r})
	}
	return f.rows()
}

// storedOne is for records of one session.
func storedOne(t *testing.T, records ...aaa.Record) aaa.Session {
	t.Helper()
	rows := stored(t, records...)
	require.Len(t, rows, 1)
	return rows[0]
}

func multi(id string) func(*aaa.Record) {
	return func(r *aaa.Record) { r.AcctMultiSessionID = id }
}

func class(n byte) func(*aaa.Record) {
	return func(r *aaa.Record) { r.Class = aaa.AppendClass(nil, aaa.Nonce{n}) }
}

func TestSessionStart(t *testing.T) {
	for name, c := range map[string]struct {
		records  []aaa.Record
		started  int
		inferred bool
	}{
		"of the Start":                        {[]aaa.Record{rec(aaa.AcctStart, 10), rec(aaa.AcctInterim, 70, counters(65, 0, 0))}, 10, false},
		"derived without one":                 {[]aaa.Record{rec(aaa.AcctInterim, 70, counters(60, 0, 0))}, 10, true},
		"the earliest that was derived":       {[]aaa.Record{rec(aaa.AcctInterim, 70, counters(60, 0, 0)), rec(aaa.AcctInterim, 131, counters(122, 0, 0))}, 9, true},
		"of a late Start":                     {[]aaa.Record{rec(aaa.AcctInterim, 70, counters(65, 0, 0)), rec(aaa.AcctStart, 10)}, 10, false},
		"of the earlier of two Starts":        {[]aaa.Record{rec(aaa.AcctStart, 12), rec(aaa.AcctStart, 11)}, 11, false},
		"of the record without session time":  {[]aaa.Record{rec(aaa.AcctStop, 70)}, 70, true},
		"not before an absurd session length": {[]aaa.Record{rec(aaa.AcctInterim, 70, counters(0xffffffff, 0, 0))}, 70, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := storedOne(t, c.records...)
			assert.Equal(t, at(c.started), s.StartedAt)
			assert.Equal(t, c.inferred, s.StartInferred)
		})
	}
}

func TestSessionStop(t *testing.T) {
	start := rec(aaa.AcctStart, 0)
	stop := rec(aaa.AcctStop, 100, counters(100, 1000, 2000), cause("User-Request"))
	t.Run("the later of two decides, counters by maximum", func(t *testing.T) {
		second := rec(aaa.AcctStop, 101, counters(101, 900, 2500), cause("Idle-Timeout"))
		for _, records := range [][]aaa.Record{{start, stop, second}, {start, second, stop}} {
			s := storedOne(t, records...)
			assert.Equal(t, at(101), s.StoppedAt)
			assert.Equal(t, "Idle-Timeout", s.TerminateCause)
			assert.Equal(t, []uint64{101, 1000, 2500}, []uint64{s.SessionSeconds, s.InputOctets, s.OutputOctets})
		}
	})
	t.Run("without counters zeroes nothing", func(t *testing.T) {
		s := storedOne(t, start, rec(aaa.AcctInterim, 50, counters(50, 500, 600)), rec(aaa.AcctStop, 60))
		assert.Equal(t, []uint64{50, 500, 600}, []uint64{s.SessionSeconds, s.InputOctets, s.OutputOctets})
		assert.False(t, s.Open())
	})
	t.Run("with lower counters lowers nothing", func(t *testing.T) {
		s := storedOne(t, start, rec(aaa.AcctInterim, 50, counters(50, 500, 600)), rec(aaa.AcctStop, 60, counters(60, 0, 0)))
		assert.Equal(t, []uint64{60, 500, 600}, []uint64{s.SessionSeconds, s.InputOctets, s.OutputOctets})
		assert.False(t, s.CounterWrapped)
	})
	t.Run("an interim after it changes nothing", func(t *testing.T) {
		want := storedOne(t, start, stop)
		got := storedOne(t, start, stop, rec(aaa.AcctInterim, 90, counters(90, 900, 1900)), rec(aaa.AcctInterim, 120, counters(100, 1000, 2000)))
		want.Provenance, got.Provenance = aaa.Provenance{}, aaa.Provenance{}
		assert.Equal(t, want, got)
	})
	t.Run("an interim after an inferred one reopens", func(t *testing.T) {
		on := rec(aaa.AcctOn, 40)
		s := storedOne(t, rec(aaa.AcctStart, 0, class(1)), on)
		assert.Equal(t, at(40), s.StoppedAt)
		assert.True(t, s.StopInferred)
		assert.Equal(t, aaa.CauseReboot, s.TerminateCause)
		s = storedOne(t, rec(aaa.AcctStart, 0, class(1)), on, rec(aaa.AcctInterim, 60, class(1)))
		assert.True(t, s.Open())
		assert.Empty(t, s.TerminateCause)
		s = storedOne(t, rec(aaa.AcctStart, 0, class(1)), on, rec(aaa.AcctInterim, 60, class(1)), rec(aaa.AcctStop, 70, class(1), cause("User-Request")))
		assert.Equal(t, at(70), s.StoppedAt)
		assert.False(t, s.StopInferred)
	})
	t.Run("a real one corrects an inferred one", func(t *testing.T) {
		s := storedOne(t, start, rec(aaa.AcctOn, 200), stop)
		assert.Equal(t, at(100), s.StoppedAt)
		assert.False(t, s.StopInferred)
		assert.Equal(t, "User-Request", s.TerminateCause)
	})
}

func TestBootEndsOlderSessionsOnly(t *testing.T) {
	identifier := func(id string) func(*aaa.Record) { return func(r *aaa.Record) { r.NASIdentifier = id } }
	nas := func(addr string) func(*aaa.Record) {
		return func(r *aaa.Record) { r.NASAddr = netip.MustParseAddr(addr) }
	}
	inDirectory := func(id byte) func(*aaa.Record) { return func(r *aaa.Record) { r.NASID = uuid.UUID{id} } }
	old := rec(aaa.AcctStart, 10, session("old"), identifier("bras1"))
	young := rec(aaa.AcctStart, 30, session("young"), identifier("bras1"))
	for name, c := range map[string]struct {
		boot   aaa.Record
		closed []string
	}{
		"those before it":                                           {rec(aaa.AcctOn, 20, identifier("bras1")), []string{"old"}},
		"on Accounting-Off too":                                     {rec(aaa.AcctOff, 40, identifier("bras1")), []string{"old", "young"}},
		"replayed late, none":                                       {rec(aaa.AcctOn, 5, identifier("bras1")), nil},
		"of the same second, not":                                   {rec(aaa.AcctOn, 30, identifier("bras1")), []string{"old"}},
		"another NAS behind the address, not":                       {rec(aaa.AcctOn, 40, identifier("bras2")), nil},
		"another address, not":                                      {rec(aaa.AcctOn, 40, identifier("bras1"), nas("192.0.2.9")), nil},
		"another NAS of the directory, not":                         {rec(aaa.AcctOn, 40, identifier("bras1"), inDirectory(2)), nil},
		"everything behind the address, when the boot names no NAS": {rec(aaa.AcctOn, 40), []string{"old", "young"}},
	} {
		t.Run(name, func(t *testing.T) {
			permutations([]aaa.Record{old, young, c.boot, c.boot}, func(records []aaa.Record) {
				live := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return at(50) }})
				for i := range records {
					live.Apply(&records[i])
				}
				for _, rows := range [][]aaa.Session{stored(t, records...), liveRows(live)} {
					var closed []string
					for _, s := range rows {
						if !s.Open() {
							closed = append(closed, s.AcctSessionID)
							require.Equal(t, c.boot.EventTime, s.StoppedAt)
							require.True(t, s.StopInferred)
						}
					}
					require.Equal(t, c.closed, closed)
				}
			})
		})
	}
}

func TestSuperseding(t *testing.T) {
	first := rec(aaa.AcctStart, 10, session("1"), station("AA-BB-CC-DD-EE-FF"), port("p1"))
	for name, c := range map[string]struct {
		second     aaa.Record
		superseded bool
	}{
		"same device, spelt differently": {rec(aaa.AcctStart, 50, session("2"), station("aabb.ccdd.eeff"), port("p1")), true},
		"another port":                   {rec(aaa.AcctStart, 50, session("2"), station("AA-BB-CC-DD-EE-FF"), port("p2")), false},
		"another station":                {rec(aaa.AcctStart, 50, session("2"), station("AA-BB-CC-DD-EE-00"), port("p1")), false},
		"another user":                   {rec(aaa.AcctStart, 50, session("2"), station("AA-BB-CC-DD-EE-FF"), port("p1"), user("bob")), false},
		"no Start":                       {rec(aaa.AcctInterim, 50, session("2"), station("AA-BB-CC-DD-EE-FF"), port("p1")), false},
	} {
		t.Run(name, func(t *testing.T) {
			permutations([]aaa.Record{first, c.second}, func(records []aaa.Record) {
				live := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return at(50) }})
				for i := range records {
					live.Apply(&records[i])
				}
				for _, rows := range [][]aaa.Session{stored(t, records...), liveRows(live)} {
					require.Len(t, rows, 2)
					require.Equal(t, c.superseded, !rows[0].Open())
					require.True(t, rows[1].Open())
					if c.superseded {
						require.Equal(t, at(50), rows[0].StoppedAt)
						require.Equal(t, aaa.CauseSuperseded, rows[0].TerminateCause)
						require.True(t, rows[0].StopInferred)
					}
				}
			})
		})
	}
	t.Run("links of a bundle stand beside each other", func(t *testing.T) {
		rows := stored(t, rec(aaa.AcctStart, 10, session("1"), station("s"), multi("m")), rec(aaa.AcctStart, 20, session("2"), station("s"), multi("m")))
		require.True(t, rows[0].Open() && rows[1].Open())
	})
	t.Run("a sign of life of the old one revives it", func(t *testing.T) {
		rows := stored(t, first, rec(aaa.AcctStart, 50, session("2"), station("AA-BB-CC-DD-EE-FF"), port("p1")),
			rec(aaa.AcctInterim, 60, session("1"), station("AA-BB-CC-DD-EE-FF"), port("p1")))
		require.True(t, rows[0].Open() && rows[1].Open())
	})
}

func TestCounterWrap(t *testing.T) {
	gigawords := func(r *aaa.Record) { r.HasGigawords = true }
	start := rec(aaa.AcctStart, 0)
	for name, c := range map[string]struct {
		records []aaa.Record
		in      uint64
		wrapped bool
	}{
		"once": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 4_294_967_000, 10)), rec(aaa.AcctInterim, 600, counters(600, 1000, 20)),
		}, 1<<32 + 1000, true},
		"twice": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10)), rec(aaa.AcctInterim, 600, counters(600, 1<<30, 20)),
			rec(aaa.AcctInterim, 900, counters(900, 3<<30, 30)), rec(aaa.AcctStop, 1200, counters(1200, 5, 40)),
		}, 2<<32 + 5, true},
		"not for an older interim": {[]aaa.Record{
			rec(aaa.AcctInterim, 600, counters(600, 3<<30, 10)), rec(aaa.AcctInterim, 300, counters(300, 1<<30, 5)),
		}, 3 << 30, false},
		"not when repeated": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10)), rec(aaa.AcctInterim, 600, counters(600, 1<<30, 20)),
			rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10)), rec(aaa.AcctInterim, 600, counters(600, 1<<30, 20)),
		}, 1<<32 + 1<<30, true},
		"not with gigawords": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10), gigawords), rec(aaa.AcctInterim, 600, counters(600, 1<<30, 20), gigawords),
		}, 3 << 30, false},
		"not from the lower half": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 1<<30, 10)), rec(aaa.AcctInterim, 600, counters(600, 1<<20, 20)),
		}, 1 << 30, false},
		"not for a Stop that says zero": {[]aaa.Record{
			rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10)), rec(aaa.AcctStop, 600, counters(600, 0, 0)),
		}, 3 << 30, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := storedOne(t, append([]aaa.Record{start}, c.records...)...)
			assert.Equal(t, c.in, s.InputOctets)
			assert.Equal(t, c.wrapped, s.CounterWrapped)
		})
	}
	t.Run("in one batch out of order", func(t *testing.T) {
		f := newFakeStore()
		f.write(t, resolved([]aaa.Record{
			rec(aaa.AcctInterim, 600, counters(600, 1<<30, 20)), rec(aaa.AcctInterim, 300, counters(300, 3<<30, 10)), start,
		}))
		assert.Equal(t, uint64(1<<32+1<<30), f.rows()[0].InputOctets)
	})
}

func TestDailyUsage(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	day := func(d int) string { return time.Date(2026, 3, d, 0, 0, 0, 0, berlin).Format(time.DateOnly) }
	moment := func(d, h int) func(*aaa.Record) {
		return func(r *aaa.Record) {
			r.EventTime = time.Date(2026, 3, d, h, 0, 0, 0, berlin)
			r.ReceivedAt = r.EventTime
		}
	}
	usage := func(records ...aaa.Record) map[fakeDay]aaa.Usage {
		f := newFakeStore()
		f.loc = berlin
		for _, r := range resolved(records) {
			f.write(t, []aaa.Record{r})
		}
		return f.usage
	}
	const h = 3600
	t.Run("split at midnight by time", func(t *testing.T) {
		assert.Equal(t, map[fakeDay]aaa.Usage{
			{"alice", day(10)}: {Seconds: 1 * h, InputOctets: 100, OutputOctets: 1000},
			{"alice", day(11)}: {Seconds: 3 * h, InputOctets: 300, OutputOctets: 3000},
		}, usage(rec(aaa.AcctStart, 0, moment(10, 23)), rec(aaa.AcctStop, 0, moment(11, 3), counters(4*h, 400, 4000))))
	})
	t.Run("over a day of 23 hours", func(t *testing.T) {
		assert.Equal(t, map[fakeDay]aaa.Usage{
			{"alice", day(28)}: {Seconds: 1 * h},
			{"alice", day(29)}: {Seconds: 23 * h},
			{"alice", day(30)}: {Seconds: 2 * h},
		}, usage(rec(aaa.AcctStart, 0, moment(28, 23)), rec(aaa.AcctStop, 0, moment(30, 2), counters(26*h, 0, 0))))
	})
	t.Run("of a NAS whose clock is off, when it was received", func(t *testing.T) {
		off := func(d, h, year int) func(*aaa.Record) {
			return func(r *aaa.Record) {
				moment(d, h)(r)
				r.EventTime, r.ClockOff = r.EventTime.AddDate(year-2026, 0, 0), true
			}
		}
		for _, year := range []int{2015, 2020, 2027} {
			assert.Equal(t, map[fakeDay]aaa.Usage{
				{"alice", day(10)}: {Seconds: 1 * h, InputOctets: 100},
				{"alice", day(11)}: {Seconds: 3 * h, InputOctets: 300},
			}, usage(rec(aaa.AcctStart, 0, off(10, 23, year)), rec(aaa.AcctStop, 0, off(11, 3, year), counters(4*h, 400, 0))), year)
		}
	})
	t.Run("from the derived start", func(t *testing.T) {
		assert.Equal(t, map[fakeDay]aaa.Usage{
			{"alice", day(10)}: {Seconds: 2 * h},
			{"alice", day(11)}: {Seconds: 1 * h},
		}, usage(rec(aaa.AcctInterim, 0, moment(11, 1), counters(3*h, 0, 0))))
	})
	t.Run("a step that no line carries is not counted", func(t *testing.T) {
		assert.Equal(t, map[fakeDay]aaa.Usage{
			{"alice", day(10)}: {Seconds: h, OutputOctets: 7},
		}, usage(rec(aaa.AcctStart, 0, moment(10, 1)), rec(aaa.AcctStop, 0, moment(10, 2), counters(h, 1<<63-1, 7))))
	})
	t.Run("none without a name", func(t *testing.T) {
		assert.Empty(t, usage(rec(aaa.AcctStop, 0, user(""), counters(10, 10, 10))))
	})
}

func TestProvenanceKeepsItsStoredForm(t *testing.T) {
	var p aaa.Provenance
	assert.NoError(t, p.Scan(nil))
	assert.Zero(t, p)
	s := storedOne(t, rec(aaa.AcctStart, 0, station("x")), rec(aaa.AcctInterim, 5, port("p")))
	b, err := s.Provenance.Value()
	require.NoError(t, err)
	require.NoError(t, p.Scan(b))
	assert.Equal(t, s.Provenance, p)
	assert.LessOrEqual(t, len(b.([]byte)), 32)
	assert.Error(t, p.Scan(b.([]byte)[:5]))
	assert.Error(t, p.Scan(append(b.([]byte), 0)))
	assert.Error(t, p.Scan(7))
}
