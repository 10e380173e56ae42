package aaa

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartOfDate(t *testing.T) {
	for name, tt := range map[string]struct {
		zone             string
		year, month, day int
		want             string
	}{
		"an ordinary day":           {"Europe/Vienna", 2026, 11, 21, "2026-11-21T00:00:00+01:00"},
		"of 25 hours":               {"Europe/Vienna", 2026, 10, 25, "2026-10-25T00:00:00+02:00"},
		"beyond the month":          {"Europe/Vienna", 2026, 10, 32, "2026-11-01T00:00:00+01:00"},
		"midnight is left out":      {"America/Sao_Paulo", 2018, 11, 4, "2018-11-04T01:00:00-02:00"},
		"left out, east":            {"Africa/Cairo", 2026, 4, 24, "2026-04-24T01:00:00+03:00"},
		"an hour of it comes twice": {"America/Sao_Paulo", 2018, 2, 17, "2018-02-17T00:00:00-02:00"},
		"the day after that":        {"America/Sao_Paulo", 2018, 2, 18, "2018-02-18T00:00:00-03:00"},
		"midnight comes twice":      {"America/Havana", 2026, 11, 1, "2026-11-01T00:00:00-04:00"},
		"twice, near Greenwich":     {"Atlantic/Azores", 2025, 10, 26, "2025-10-26T00:00:00Z"},
		"a date that is left out":   {"Pacific/Apia", 2011, 12, 30, "2011-12-31T00:00:00+14:00"},
		"no changes at all":         {"UTC", 2026, 1, 1, "2026-01-01T00:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			loc, err := time.LoadLocation(tt.zone)
			require.NoError(t, err)
			start := StartOfDate(tt.year, time.Month(tt.month), tt.day, loc)
			assert.Equal(t, tt.want, start.Format(time.RFC3339))
			for _, after := range []time.Duration{0, time.Second, 30 * time.Minute, 90 * time.Minute, 12 * time.Hour, 22*time.Hour + 59*time.Minute} {
				assert.True(t, start.Equal(StartOfDay(start.Add(after), loc)), after)
			}
			before := StartOfDay(start.Add(-time.Second), loc)
			assert.True(t, before.Before(start))
			assert.True(t, start.Equal(NextDay(before, loc)), "%s follows %s", NextDay(before, loc), before)
		})
	}
}

// TestDaysFollowEachOther: in every zone, each day begins after the one before, and
// at most 26 hours later, but where one is left out.
func TestDaysFollowEachOther(t *testing.T) {
	for _, name := range []string{"Europe/Vienna", "America/Sao_Paulo", "Africa/Cairo", "America/Havana", "Atlantic/Azores", "Asia/Beirut", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Gaza"} {
		loc, err := time.LoadLocation(name)
		require.NoError(t, err)
		day := StartOfDate(2010, 1, 1, loc)
		for day.Year() < 2030 {
			next := NextDay(day, loc)
			require.LessOrEqual(t, next.Sub(day), 26*time.Hour, "%s, then %s", day, next)
			require.GreaterOrEqual(t, next.Sub(day), 22*time.Hour, "%s, then %s", day, next)
			require.Equal(t, time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, time.UTC).Format(time.DateOnly), next.Format(time.DateOnly))
			day = next
		}
	}
}

func BenchmarkStartOfDay(b *testing.B) {
	loc, err := time.LoadLocation("Europe/Vienna")
	require.NoError(b, err)
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	for b.Loop() {
		StartOfDay(at, loc)
	}
}
