package aaa

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// at returns a time in the week of Sunday 2026-03-01.
func at(t *testing.T, day time.Weekday, clock string) time.Time {
	t.Helper()
	c, err := time.Parse("15:04:05", clock)
	require.NoError(t, err)
	return time.Date(2026, 3, 1+int(day), c.Hour(), c.Minute(), c.Second(), 0, time.UTC)
}

func TestLoginHours(t *testing.T) {
	tests := []struct {
		name  string
		hours string
		day   time.Weekday
		clock string
		want  string // how long it goes on; empty: refused
	}{
		{"within office hours", "Wk0800-1800", time.Monday, "17:00:00", "1h0m0s"},
		{"seconds count", "Wk0800-1800", time.Monday, "17:59:30", "30s"},
		{"first minute", "Wk0800-1800", time.Friday, "08:00:00", "10h0m0s"},
		{"before", "Wk0800-1800", time.Friday, "07:59:59", ""},
		{"the end is exclusive", "Wk0800-1800", time.Friday, "18:00:00", ""},
		{"weekend is not Wk", "Wk0800-1800", time.Saturday, "12:00:00", ""},
		{"whole Saturday", "Wk0800-1800,Sa", time.Saturday, "23:59:59", "1s"},
		{"bar separates too", "Wk0800-1800|Sa", time.Saturday, "12:00:00", "12h0m0s"},
		{"all days", "Al0800-1800", time.Sunday, "09:00:00", "9h0m0s"},
		{"any days", "Any0800-1800", time.Sunday, "09:00:00", "9h0m0s"},
		{"without days", "0800-1800", time.Sunday, "09:00:00", "9h0m0s"},
		{"always", "Al", time.Sunday, "09:00:00", "0s"},
		{"always by minutes", "Al0000-2359", time.Tuesday, "23:59:30", "0s"},
		{"minute 59 means the full hour", "Mo0800-1759,Mo1800-2000", time.Monday, "17:59:30", "2h0m30s"},
		{"2400 is midnight", "Mo2200-2400", time.Monday, "23:00:00", "1h0m0s"},
		{"several days at once", "MoWeFr0800-1000", time.Wednesday, "09:00:00", "1h0m0s"},
		{"not on the days between", "MoWeFr0800-1000", time.Tuesday, "09:00:00", ""},
		{"a range of days", "Mo-Th0800-1000", time.Wednesday, "09:00:00", "1h0m0s"},
		{"a range of days over the week's end", "Sa-Mo0800-1000", time.Sunday, "09:00:00", "1h0m0s"},
		{"a range of days ends", "Sa-Mo0800-1000", time.Tuesday, "09:00:00", ""},
		{"over midnight, evening", "Wk2305-0855,Sa,Su2305-1655", time.Monday, "23:30:00", "9h25m0s"},
		{"over midnight, morning", "Wk2305-0855,Sa,Su2305-1655", time.Tuesday, "08:00:00", "55m0s"},
		{"over midnight, by day", "Wk2305-0855,Sa,Su2305-1655", time.Tuesday, "12:00:00", ""},
		{"over midnight into a free day", "Wk2305-0855,Sa,Su2305-1655", time.Friday, "23:30:00", "41h25m0s"},
		{"from Saturday into Sunday", "Sa2000-2400,Su0000-0300", time.Saturday, "23:00:00", "4h0m0s"},
		{"lower case and spaces", " wk0800-1800 , sa ", time.Monday, "09:00:00", "9h0m0s"},
		{"empty is always", "", time.Monday, "03:00:00", "0s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hours, err := ParseLoginHours(test.hours)
			require.NoError(t, err)
			now := at(t, test.day, test.clock)
			end, allowed := hours.Until(now)
			require.Equal(t, test.want != "", allowed)
			if !allowed {
				return
			}
			left := time.Duration(0)
			if !end.IsZero() {
				left = end.Sub(now)
			}
			require.Equal(t, test.want, left.String())
		})
	}
}

func TestLoginHoursAcrossSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	hours, err := ParseLoginHours("Su0000-0600")
	require.NoError(t, err)
	// The clock goes from 02:00 to 03:00 on 2026-03-29.
	now := time.Date(2026, 3, 29, 1, 0, 0, 0, berlin)
	end, allowed := hours.Until(now)
	require.True(t, allowed)
	require.Equal(t, 4*time.Hour, end.Sub(now))
}

// Whenever login is allowed the end is yet to come, also where the clock shows it
// twice or skips it: west of Greenwich time.Date takes the time that has passed.
func TestLoginHoursEndAfterTheyBegin(t *testing.T) {
	h, err := ParseLoginHours("Al0000-0130,Al0145-0215,Al0230-2345")
	require.NoError(t, err)
	for _, name := range []string{"America/New_York", "America/Santiago", "Europe/Berlin", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(name)
		require.NoError(t, err)
		for at := time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC); at.Year() == 2026; at = at.Add(time.Minute) {
			if end, allowed := h.Until(at.In(zone)); allowed && (!end.After(at) || end.Sub(at) > 24*time.Hour) {
				t.Fatalf("at %s login is allowed until %s", at.In(zone), end)
			}
		}
	}
}

func TestParseLoginHoursErrors(t *testing.T) {
	for name, text := range map[string]string{
		"unknown day":      "Xx0800-1800",
		"no end":           "Wk0800",
		"three digits":     "Wk800-1800",
		"no such hour":     "Wk2500-2600",
		"no such minute":   "Wk0860-1000",
		"begins at 2400":   "Wk2400-0100",
		"empty range":      "Wk0800-0800",
		"only separators":  ",,",
		"text after":       "Wk0800-1800x",
		"day after time":   "0800-1800Mo",
		"range to a group": "Mo-Wk0800-1000",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseLoginHours(text)
			require.Error(t, err)
			require.Contains(t, err.Error(), "login hours")
		})
	}
}

func FuzzLoginTime(f *testing.F) {
	for _, seed := range []string{"Wk0800-1800,Sa,Al", "Wk2305-0855,Sa,Su2305-1655", "Mo-Fr|Sa0000-2400", "Any", "", "Su-"} {
		f.Add(seed, int64(1772000000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		hours, err := ParseLoginHours(text)
		if err != nil {
			require.Nil(t, hours)
			return
		}
		now := time.Unix(unix%(1<<33), 0).UTC()
		end, allowed := hours.Until(now)
		if !allowed || end.IsZero() {
			return
		}
		require.True(t, end.After(now))
		require.LessOrEqual(t, end.Sub(now), 8*24*time.Hour)
		_, before := hours.Until(end.Add(-time.Second))
		require.True(t, before, "allowed until the end")
		_, after := hours.Until(end)
		require.False(t, after, "and not at the end")
	})
}

// TestLoginHoursPiece: pieces follow each other without gaps, also where clocks change,
// and each lies all within the hours or all outside.
func TestLoginHoursPiece(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	for _, text := range []string{"", "Wk0800-1800", "Al0130-0230", "Al2200-0400", "Sa,Su0000-0215"} {
		h, err := ParseLoginHours(text)
		require.NoError(t, err)
		for _, day := range []string{"2030-03-30", "2030-10-26", "2030-06-01"} {
			at, err := time.ParseInLocation(time.DateOnly, day, berlin)
			require.NoError(t, err)
			for last := at.Add(72 * time.Hour); at.Before(last); {
				start, end, within := h.Piece(at)
				require.True(t, start.Equal(at), "%s %s", text, at)
				require.True(t, end.After(start), "%s %s", text, at)
				for moment := start; moment.Before(end); moment = moment.Add(7 * time.Minute) {
					_, allowed := h.Until(moment)
					require.Equal(t, within, allowed, "%s %s", text, moment)
					again, _, _ := h.Piece(moment)
					require.True(t, again.Equal(start))
				}
				require.Equal(t, start.Day(), end.Add(-1).Day())
				at = end
			}
		}
	}
}
