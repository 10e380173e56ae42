package billing

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseDate(t *testing.T) {
	d, err := ParseDate("2028-02-29")
	require.NoError(t, err)
	require.Equal(t, Date{2028, time.February, 29}, d)
	require.Equal(t, "2028-02-29", d.String())
	none, err := ParseDate("")
	require.NoError(t, err)
	require.True(t, none.IsZero())
	require.Equal(t, "", none.String())
	for _, bad := range []string{"2026-02-29", "2026-2-1", "01.02.2026", "2026-13-01", "2026-01-01T00:00:00Z"} {
		_, err := ParseDate(bad)
		require.ErrorContains(t, err, "is no day", bad)
	}
	b, err := json.Marshal(Span{day("2026-01-01"), Date{}})
	require.NoError(t, err)
	require.JSONEq(t, `{"from":"2026-01-01","to":""}`, string(b))
	var s Span
	require.NoError(t, json.Unmarshal(b, &s))
	require.Equal(t, Span{From: day("2026-01-01")}, s)
}

func zone(t *testing.T, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	require.NoError(t, err)
	return loc
}

// TestDaysOfSummerTime: in Berlin March 29, 2026 has 23 hours and October 25 has 25. In
// Beirut summer time begins at midnight, so March 29, 2026 begins at one o'clock.
func TestDaysOfSummerTime(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		day   string
		hours time.Duration
	}{{"2026-03-28", 24}, {"2026-03-29", 23}, {"2026-10-25", 25}} {
		d := day(c.day)
		start, next := d.Start(berlin), d.AddDays(1).Start(berlin)
		require.Equal(t, c.hours*time.Hour, next.Sub(start), c.day)
		require.Equal(t, d, DateOf(start, berlin))
		require.Equal(t, d, DateOf(next.Add(-time.Nanosecond), berlin))
		require.Equal(t, 1, d.DaysUntil(d.AddDays(1)), "it is one day, however long")
	}
	require.Equal(t, 31, Span{day("2026-03-01"), day("2026-04-01")}.Days())

	beirut := zone(t, "Asia/Beirut")
	start := day("2026-03-29").Start(beirut)
	require.Equal(t, day("2026-03-29"), DateOf(start, beirut))
	require.Equal(t, day("2026-03-28"), DateOf(start.Add(-time.Nanosecond), beirut))
	// The last moment of January 31 in UTC is February 1 in Tokyo.
	require.Equal(t, day("2026-02-01"), DateOf(time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC), zone(t, "Asia/Tokyo")))
}

func TestDatesCompareAndCount(t *testing.T) {
	a, b := day("2027-12-31"), day("2028-01-01")
	require.True(t, a.Before(b) && !b.Before(a) && !a.Before(a))
	require.True(t, Date{}.Before(a), "no day is before every day")
	require.Equal(t, b, a.AddDays(1))
	require.Equal(t, 366, b.DaysUntil(day("2029-01-01")), "2028 is a leap year")
	require.Equal(t, -1, b.DaysUntil(a))
	s := Span{a, b}
	require.True(t, s.Contains(a) && !s.Contains(b))
	require.True(t, Span{From: a}.Contains(day("9999-01-01")), "without an end")
	require.Equal(t, Span{a, b}, Span{From: day("2020-01-01")}.cut(s))
	require.True(t, Span{b, day("2028-02-01")}.cut(s).empty())
	require.Equal(t, Span{a, day("2028-02-01")}, Span{b, day("2028-02-01")}.with(s))
	require.Equal(t, s, Span{}.with(s).with(Span{}))
}
