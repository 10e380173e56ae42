package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	require.NoError(t, err)
	return location
}

func TestStarts(t *testing.T) {
	for name, tt := range map[string]struct {
		zone, from, to string
		period         Period
		want           []string // in the zone
	}{
		"the night in which an hour comes twice": {"Europe/Vienna", "2026-10-25T01:00:00+02:00", "2026-10-25T04:00:00+01:00", Hour,
			[]string{"2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"}},
		"the night in which an hour is missing": {"Europe/Vienna", "2026-03-29T01:00:00+01:00", "2026-03-29T05:00:00+02:00", Hour,
			[]string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		"days of 25 hours": {"Europe/Vienna", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00", Day,
			[]string{"2026-10-24T00:00:00+02:00", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"}},
		"a midnight that is skipped": {"America/Sao_Paulo", "2018-11-03T00:00:00-03:00", "2018-11-05T00:00:00-02:00", Day,
			[]string{"2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00"}},
		"hours that are half an hour off": {"Asia/Kolkata", "2026-11-01T10:00:00+05:30", "2026-11-01T12:15:00+05:30", Hour,
			[]string{"2026-11-01T10:00:00+05:30", "2026-11-01T11:00:00+05:30", "2026-11-01T12:00:00+05:30"}},
		"weeks, the first one cut": {"UTC", "2026-11-01T00:00:00Z", "2026-11-16T00:00:01Z", Week,
			[]string{"2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"}},
		"months over a year's end": {"UTC", "2026-11-15T12:00:00Z", "2027-02-01T00:00:00Z", Month,
			[]string{"2026-11-15T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"}},
		"the whole": {"UTC", "2026-11-15T12:00:00Z", "2027-02-01T00:00:00Z", Total, []string{"2026-11-15T12:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Span{Period: tt.period, Zone: zone(t, tt.zone)}
			var err error
			s.From, err = time.Parse(time.RFC3339, tt.from)
			require.NoError(t, err)
			s.To, err = time.Parse(time.RFC3339, tt.to)
			require.NoError(t, err)
			starts, err := s.Starts()
			require.NoError(t, err)
			var got []string
			for n, start := range starts {
				got = append(got, start.In(s.Zone).Format(time.RFC3339))
				assert.Equal(t, n, periodOf(starts, start))
				if n > 0 {
					assert.Equal(t, n-1, periodOf(starts, start.Add(-1)))
				}
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// FuzzStarts: periods begin one after the other, whatever the zone's clock does, and
// so do the pieces that usage is cut into, which are never in two periods.
func FuzzStarts(f *testing.F) {
	zones := []string{"UTC", "Europe/Vienna", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca"}
	periods := []Period{Total, Hour, Day, Week, Month}
	f.Add(int64(1792886400), int64(864000), uint8(1), uint8(1))
	f.Add(int64(1325203200), int64(172800), uint8(5), uint8(2)) // Samoa had no 30 December 2011
	f.Fuzz(func(t *testing.T, from, length int64, z, p uint8) {
		if from < 0 || from > 4e9 || length <= 0 || length > 40*86400 {
			return
		}
		s := Span{From: time.Unix(from, 0), Zone: zone(t, zones[int(z)%len(zones)]), Period: periods[int(p)%len(periods)]}
		s.To = s.From.Add(time.Duration(length) * time.Second)
		starts, err := s.Starts()
		require.NoError(t, err)
		for n, start := range starts {
			require.True(t, s.Contains(start))
			require.True(t, n == 0 || start.After(starts[n-1]), "%v", starts)
		}
		for piece := s.cutStart(s.From); piece.Before(s.To); {
			next := s.cutNext(piece)
			require.True(t, next.After(piece), "%s, then %s", piece, next)
			require.True(t, piece.Equal(s.cutStart(piece)), "%s begins at %s", piece, s.cutStart(piece))
			if s.Period != Hour && s.Contains(piece) && s.Contains(next.Add(-1)) {
				require.Equal(t, periodOf(starts, piece), periodOf(starts, next.Add(-1)), "%s to %s", piece, next)
			}
			piece = next
		}
	})
}

func TestStartsRefuses(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for name, s := range map[string]Span{
		"backward": {From: now, To: now.Add(-1), Period: Day, Zone: time.UTC},
		"nothing":  {From: now, To: now, Period: Day, Zone: time.UTC},
		"too many": {From: now, To: now.AddDate(2, 0, 0), Period: Hour, Zone: time.UTC},
	} {
		_, err := s.Starts()
		assert.Error(t, err, name)
	}
}
