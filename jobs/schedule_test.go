package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDaily(t *testing.T) {
	zone := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		require.NoError(t, err)
		return z
	}
	cases := map[string]struct {
		zone, at, from string
		want           []string // in UTC
	}{
		"a plain day":        {"Europe/Berlin", "04:00", "2026-01-10T12:00:00Z", []string{"2026-01-11T03:00:00Z", "2026-01-12T03:00:00Z"}},
		"later on the day":   {"Europe/Berlin", "04:00", "2026-01-10T02:00:00Z", []string{"2026-01-10T03:00:00Z", "2026-01-11T03:00:00Z"}},
		"clocks go forward":  {"Europe/Berlin", "04:00", "2026-03-28T00:00:00Z", []string{"2026-03-28T03:00:00Z", "2026-03-29T02:00:00Z", "2026-03-30T02:00:00Z"}},
		"left out":           {"Europe/Berlin", "02:30", "2026-03-28T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		"shown twice":        {"Europe/Berlin", "02:30", "2026-10-24T00:00:00Z", []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"midnight left out":  {"America/Asuncion", "00:30", "2023-09-30T00:00:00Z", []string{"2023-09-30T04:30:00Z", "2023-10-01T04:30:00Z", "2023-10-02T03:30:00Z"}},
		"a jump of half":     {"Australia/Lord_Howe", "02:15", "2026-10-02T20:00:00Z", []string{"2026-10-03T15:45:00Z", "2026-10-04T15:15:00Z"}},
		"the date line east": {"Pacific/Kiritimati", "04:00", "2026-01-10T12:00:00Z", []string{"2026-01-10T14:00:00Z", "2026-01-11T14:00:00Z"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := ParseDaily(c.at, zone(c.zone))
			require.NoError(t, err)
			at, err := time.Parse(time.RFC3339, c.from)
			require.NoError(t, err)
			for _, want := range c.want {
				next := s.Next(at)
				assert.Equal(t, want, next.UTC().Format(time.RFC3339))
				assert.True(t, s.Last(next).Equal(next), "Last of the time itself")
				assert.True(t, s.Last(next.Add(time.Minute)).Equal(next))
				at = next
			}
		})
	}
	_, err := ParseDaily("25:00", time.UTC)
	assert.ErrorContains(t, err, "25:00")
}

// TestDailyIsOnceADay goes through years of clocks that are changed.
func TestDailyIsOnceADay(t *testing.T) {
	for _, name := range []string{"Europe/Berlin", "America/Asuncion", "Australia/Lord_Howe", "Asia/Beirut", "UTC"} {
		z, err := time.LoadLocation(name)
		require.NoError(t, err)
		for _, at := range []string{"00:00", "00:30", "02:30", "23:59"} {
			s, err := ParseDaily(at, z)
			require.NoError(t, err)
			day := time.Date(2019, 12, 31, 23, 59, 59, 0, z)
			for range 2 * 366 {
				next := s.Next(day)
				pause := next.Sub(day)
				require.True(t, day.Year() == 2019 || pause >= 22*time.Hour && pause <= 26*time.Hour, "%s %s: %v after %v", name, at, next, day)
				require.True(t, s.Last(next.Add(-time.Nanosecond)).Before(next))
				day = next
			}
		}
	}
}

func TestEvery(t *testing.T) {
	s := Every(15 * time.Minute)
	at := time.Date(2026, 3, 1, 10, 7, 0, 0, time.UTC)
	assert.Equal(t, "10:15", s.Next(at).Format("15:04"))
	assert.Equal(t, "10:00", s.Last(at).Format("15:04"))
	assert.Equal(t, "10:30", s.Next(s.Next(at)).Format("15:04"))
}

func TestPause(t *testing.T) {
	p := Policy{Pause: 10 * time.Second, LongestPause: time.Minute}
	for attempt, want := range map[int]time.Duration{1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 4: time.Minute, 1000: time.Minute} {
		assert.InDelta(t, float64(want), float64(p.pause(attempt)), float64(want)/9, "attempt %d", attempt)
	}
}
