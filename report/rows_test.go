package report

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

var midnight = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func november(period Period) Span {
	return Span{From: midnight, To: midnight.AddDate(0, 1, 0), Period: period, Zone: time.UTC}
}

func TestTally(t *testing.T) {
	for name, tt := range map[string]struct {
		limit int
		want  []string
	}{
		"all":   {0, []string{"a 0", "b 0", "b 2", "c 1", "d 0"}},
		"two":   {2, []string{"c 1", "b 0", "b 2"}},
		"more":  {9, []string{"c 1", "b 0", "b 2", "a 0", "d 0"}},
		"three": {3, []string{"c 1", "b 0", "b 2", "a 0"}}, // a and d have as much: by name
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			tally, err := NewTally(UsageQuery{Span: november(Day), By: ByUser, Limit: tt.limit}, func(u Usage) error {
				got = append(got, u.Key+" "+string(rune('0'+u.Start.Day()-1)))
				return nil
			})
			require.NoError(t, err)
			add := func(key string, day int, octets uint64) {
				tally.Add(key, midnight.AddDate(0, 0, day), aaa.Usage{InputOctets: octets})
			}
			add("b", 2, 3)
			add("a", 0, 5)
			add("a", -1, 1000) // outside
			add("a", 30, 1000)
			add("a", 3, 0) // nothing
			add("b", 0, 3)
			require.NoError(t, tally.Done())
			add("d", 0, 5)
			add("c", 1, 7)
			require.NoError(t, tally.Close())
			assert.Equal(t, tt.want, got)
		})
	}
}

// TestTallyNeverWraps: a sum stops at what a database's integer holds.
func TestTallyNeverWraps(t *testing.T) {
	tally, err := NewTally(UsageQuery{Span: november(Total), By: ByNAS, Limit: 1}, func(u Usage) error {
		assert.Equal(t, aaa.Usage{Seconds: math.MaxInt64, InputOctets: math.MaxInt64, OutputOctets: 3}, u.Usage)
		return nil
	})
	require.NoError(t, err)
	for range 3 {
		tally.Add("", midnight, aaa.Usage{Seconds: math.MaxUint64, InputOctets: 1 << 62, OutputOctets: 1})
	}
	require.NoError(t, tally.Close())
}

func TestMeterGivesUpOnError(t *testing.T) {
	full := errors.New("no more")
	meter, err := NewMeter(UsageQuery{Span: november(Day), By: ByUser}, func(Usage) error { return full })
	require.NoError(t, err)
	meter.Record(&aaa.Record{SessionID: uuid.New(), Status: aaa.AcctStop, Username: "alice", EventTime: midnight.Add(time.Hour),
		HasOctets: true, InputOctets: 1, HasSeconds: true, SessionSeconds: 60})
	assert.ErrorIs(t, meter.Close(), full)
}

// TestMeterSplits: what was used until midnight is of the day before, and a change of
// plan divides a session.
func TestMeterSplits(t *testing.T) {
	session := uuid.New()
	record := func(hours, octets int, plan string) *aaa.Record {
		return &aaa.Record{SessionID: session, Status: aaa.AcctInterim, Plan: plan, EventTime: midnight.Add(time.Duration(hours) * time.Hour),
			HasOctets: true, InputOctets: uint64(octets), HasGigawords: true}
	}
	got := map[string]uint64{}
	meter, err := NewMeter(UsageQuery{Span: november(Day), By: ByPlan}, func(u Usage) error {
		got[u.Key+u.Start.Format(" 2")] = u.InputOctets
		return nil
	})
	require.NoError(t, err)
	for _, r := range []*aaa.Record{record(54, 700, "gold"), record(12, 100, "home"), record(24, 300, "home"), record(-6, 50, "home")} { // in no order
		meter.Record(r)
	}
	require.NoError(t, meter.Close())
	assert.Equal(t, map[string]uint64{"home 1": 200 + 50 - 16, "gold 2": 320, "gold 3": 80}, got)
}

func TestGauge(t *testing.T) {
	minute := func(n int) time.Time { return midnight.Add(time.Duration(n) * time.Minute) }
	for name, tt := range map[string]struct {
		open    uint64
		changes [][2]int // minute, by
		want    [][2]uint64
	}{
		"nothing happens":           {3, nil, [][2]uint64{{3, 3}, {3, 3}, {3, 3}}},
		"at the very beginning":     {1, [][2]int{{0, 2}}, [][2]uint64{{3, 3}, {3, 3}, {3, 3}}},
		"in the first step":         {1, [][2]int{{5, 2}, {7, -1}}, [][2]uint64{{1, 3}, {2, 2}, {2, 2}}},
		"where steps meet":          {0, [][2]int{{9, 5}, {10, -5}, {20, 1}}, [][2]uint64{{0, 5}, {0, 0}, {1, 1}}},
		"one goes as another comes": {1, [][2]int{{15, 1}, {15, -1}}, [][2]uint64{{1, 1}, {1, 1}, {1, 1}}},
		"over a step":               {0, [][2]int{{1, 1}, {29, 1}}, [][2]uint64{{0, 1}, {1, 1}, {1, 2}}},
		"never below zero":          {0, [][2]int{{5, -1}}, [][2]uint64{{0, 0}, {0, 0}, {0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got [][2]uint64
			gauge, err := NewGauge(ConcurrentQuery{From: midnight, To: minute(30), Step: 10 * time.Minute}, tt.open, func(c Concurrent) error {
				assert.Equal(t, minute(10*len(got)), c.At)
				got = append(got, [2]uint64{c.Sessions, c.Most})
				return nil
			})
			require.NoError(t, err)
			for _, change := range tt.changes {
				require.NoError(t, gauge.Change(minute(change[0]), int64(change[1])))
			}
			require.NoError(t, gauge.Close())
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestRanking(t *testing.T) {
	rows := []Count{{Key: "b", Count: 2}, {Key: "a", Count: 2, Inferred: true}, {Key: "a", Count: 2}, {Key: "c", Count: 9}, {Key: "a", Cause: "x", Count: 2}}
	want := []Count{rows[3], rows[2], rows[1], rows[4], rows[0]}
	for _, limit := range []int{0, 1, 3, 5, 7} {
		r := NewRanking(CountQuery{Limit: limit})
		for range 2 { // it can be used again
			var got []Count
			for _, row := range rows {
				r.Add(row)
			}
			require.NoError(t, r.Close(func(c Count) error { got = append(got, c); return nil }))
			n := len(want)
			if limit > 0 {
				n = min(n, limit)
			}
			assert.Equal(t, want[:n], got)
		}
	}
}
