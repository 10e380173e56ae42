package limitstest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// quotas is the part of the suite about what users have used.
func quotas(t *testing.T, open Open) {
	everything := func(r *aaa.Reservation) {
		for p := range r.Quotas {
			r.Quotas[p] = aaa.Quota{LimitsOctets: true, Octets: 1 << 50}
		}
		r.Limit = 0
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	begin := func(t *testing.T, accounts ...aaa.UsageAccount) *world {
		w := &world{Clock: NewClock(), t: t}
		w.a, w.b = open(t, aaa.LiveOptions{Now: w.Now, Location: berlin}, accounts...)
		w.settle(everything)
		return w
	}
	seconds := func(w *world, p aaa.Period) uint64 { return w.ask(w.b, 1, everything).Used[p].Seconds }
	at := func(w *world, text string) {
		moment, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
		require.NoError(w.t, err)
		w.Set(moment)
	}
	spend := func(w *world, id string, seconds uint64) {
		w.send(w.a, aaa.AcctStart, session(id))
		w.send(w.b, aaa.AcctStop, session(id), used(seconds, 0, 0))
	}

	t.Run("a quota that is used up takes no place", func(t *testing.T) {
		w := begin(t)
		octets := func(n uint64) func(*aaa.Reservation) {
			return func(r *aaa.Reservation) { r.Quotas[aaa.PeriodDay] = aaa.Quota{LimitsOctets: true, Octets: n} }
		}
		w.send(w.a, aaa.AcctStart, session("old"))
		w.Advance(time.Minute)
		w.send(w.b, aaa.AcctStop, session("old"), used(60, 100, 200))
		require.Equal(t, uint64(300), w.ask(w.b, 1, octets(300)).Used[aaa.PeriodDay].Octets())
		w.refused(w.a, 1, octets(300))
		w.refused(w.a, 2, func(r *aaa.Reservation) { r.Quotas[aaa.PeriodMonth] = aaa.Quota{LimitsSeconds: true, Seconds: 60} })
		g := w.ask(w.a, 3, octets(301))
		require.True(t, g.Reserved)
		require.Equal(t, aaa.Usage{Seconds: 60, InputOctets: 100, OutputOctets: 200}, g.Used[aaa.PeriodDay])
		require.Zero(t, g.Used[aaa.PeriodMonth], "it was not asked for")
		w.refused(w.b, 4, octets(301)) // the place is taken
		w.reserved(w.b, 5, octets(301), limit(2))
	})
	t.Run("a quota of nothing", func(t *testing.T) {
		w := begin(t)
		w.refused(w.a, 1, func(r *aaa.Reservation) { r.Quotas[aaa.PeriodEver] = aaa.Quota{LimitsSeconds: true} })
	})
	t.Run("by period", func(t *testing.T) {
		w := begin(t)
		periods := func() []uint64 {
			return []uint64{seconds(w, aaa.PeriodDay), seconds(w, aaa.PeriodWeek), seconds(w, aaa.PeriodMonth), seconds(w, aaa.PeriodEver)}
		}
		at(w, "2026-03-31 10:00") // a Tuesday
		spend(w, "a", 1)
		at(w, "2026-03-31 23:59")
		spend(w, "b", 2)
		require.Equal(t, []uint64{3, 3, 3, 3}, periods())
		at(w, "2026-04-01 00:00") // another day and month, the same week
		require.Equal(t, []uint64{0, 3, 0, 3}, periods())
		spend(w, "c", 4)
		require.Equal(t, []uint64{4, 7, 4, 7}, periods())
		at(w, "2026-04-06 00:00") // Monday
		require.Equal(t, []uint64{0, 0, 4, 7}, periods())
		at(w, "2026-06-20 00:00") // days that no period reaches are gone
		spend(w, "d", 8)
		require.Equal(t, []uint64{8, 8, 8, 15}, periods())
	})
	t.Run("split where a day begins", func(t *testing.T) {
		w := begin(t)
		at(w, "2026-03-28 22:00") // the night in which summer begins
		w.send(w.a, aaa.AcctStart)
		at(w, "2026-03-29 04:00") // 5 hours later
		w.send(w.b, aaa.AcctInterim, used(18000, 5000, 0))
		require.Equal(t, uint64(10800), seconds(w, aaa.PeriodDay))
		require.Equal(t, uint64(18000), seconds(w, aaa.PeriodWeek))
		at(w, "2026-03-31 04:00")
		w.send(w.b, aaa.AcctInterim, used(18000+172800, 5000, 0))
		require.Equal(t, uint64(14400), seconds(w, aaa.PeriodDay))
		require.Equal(t, uint64(14400+86400), seconds(w, aaa.PeriodWeek), "from Monday")
		require.Equal(t, uint64(190800), seconds(w, aaa.PeriodMonth))
	})
	t.Run("counters of many records count once, in any order", func(t *testing.T) {
		w := begin(t)
		w.send(w.a, aaa.AcctStart, class(1))
		for n := range uint64(4) {
			w.Advance(time.Minute)
			w.send(w.a, aaa.AcctInterim, class(1), used(60*(n+1), 100*(n+1), 0))
			w.send(w.a, aaa.AcctInterim, class(1), used(60*n, 100*n, 0))
		}
		w.send(w.b, aaa.AcctStop, class(1), used(240, 400, 0))
		w.send(w.b, aaa.AcctStop, class(1), used(240, 400, 0))
		require.Equal(t, aaa.Usage{Seconds: 240, InputOctets: 400}, w.ask(w.a, 1, everything).Used[aaa.PeriodDay])
	})
	t.Run("a step that no line carries is left out", func(t *testing.T) {
		w := begin(t)
		w.send(w.a, aaa.AcctStart)
		w.Advance(time.Minute)
		w.send(w.a, aaa.AcctInterim, used(60, 1<<51, 7))
		require.Equal(t, aaa.Usage{Seconds: 60, OutputOctets: 7}, w.ask(w.a, 1, everything).Used[aaa.PeriodEver])
	})
	t.Run("what was used before", func(t *testing.T) {
		yesterday := time.Date(2026, 3, 1, 0, 0, 0, 0, berlin)
		w := begin(t, aaa.UsageAccount{
			Username: "alice", Ever: aaa.Usage{Seconds: 1000},
			Days: []aaa.DailyUsage{
				{Username: "alice", Day: yesterday, Usage: aaa.Usage{Seconds: 300}},
				{Username: "alice", Day: yesterday.AddDate(0, 0, 1), Usage: aaa.Usage{Seconds: 200}},
			},
		})
		require.Equal(t, []uint64{200, 200, 500, 1000}, []uint64{seconds(w, aaa.PeriodDay), seconds(w, aaa.PeriodWeek), seconds(w, aaa.PeriodMonth), seconds(w, aaa.PeriodEver)})
		spend(w, "a", 10)
		require.Equal(t, []uint64{210, 210, 510, 1010}, []uint64{seconds(w, aaa.PeriodDay), seconds(w, aaa.PeriodWeek), seconds(w, aaa.PeriodMonth), seconds(w, aaa.PeriodEver)})
	})
	t.Run("a session that the account contains in part", func(t *testing.T) {
		start := aaa.Record{Status: aaa.AcctStart, AcctSessionID: "s1", Username: "alice", NASAddr: nas, NASID: nasID, EventTime: Begin.Add(-time.Hour)}
		aaa.NewResolver().Resolve(&start)
		w := begin(t, aaa.UsageAccount{
			Username: "alice", Ever: aaa.Usage{Seconds: 1000},
			Days:     []aaa.DailyUsage{{Username: "alice", Day: time.Date(2026, 3, 2, 0, 0, 0, 0, berlin), Usage: aaa.Usage{Seconds: 600}}},
			Sessions: []aaa.SessionUsage{{ID: start.SessionID, UpdatedAt: Begin.Add(-time.Minute), Usage: aaa.Usage{Seconds: 600}}, {ID: uuid.UUID{1}, UpdatedAt: Begin}},
		})
		w.send(w.a, aaa.AcctInterim, used(660, 0, 0), func(r *aaa.Record) { r.NASID = nasID })
		require.Equal(t, uint64(660), seconds(w, aaa.PeriodDay))
		require.Equal(t, uint64(1060), seconds(w, aaa.PeriodEver))
		w.refused(w.b, 2) // it is open
	})
}

// settle asks until usage is known, for implementations that read it when it is
// first asked for.
func (w *world) settle(everything func(*aaa.Reservation)) {
	for _, n := range []Node{w.a, w.b} {
		w.ask(n, 200, everything)
		n.Share()
	}
}
