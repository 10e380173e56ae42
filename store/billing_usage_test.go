package store

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/billing"
)

// TestHoursOverSummerTime: a session in Berlin over each night in which the clock is
// changed, told by one record, is cut at the hours that the clock showed, and each hour of
// service costs 0.60.
//
// On 29 March 2026 the clock goes from 02:00 to 03:00: from 21:00 the evening before to 06:00
// are 9 hours by the clock and 8 hours of service. On 25 October it goes from 03:00 back to
// 02:00: 10 hours of service.
func TestHoursOverSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	price, err := billing.ParseDecimal("0.60")
	require.NoError(t, err)
	type hours map[int]uint64 // by the day of the month
	spring, autumn := billing.Date{Year: 2026, Month: 3, Day: 29}, billing.Date{Year: 2026, Month: 10, Day: 25}
	for name, c := range map[string]struct {
		night billing.Date
		text  string
		want  hours
		cost  billing.Amount
	}{
		// 01:00–02:00 and 03:00–04:00: 2 * 0.60
		"an hour is left out": {spring, "Al0100-0400", hours{29: 2}, 120},
		// 01:00–02:00, 02:00–03:00 twice, and 03:00–04:00: 4 * 0.60
		"an hour comes twice": {autumn, "Al0100-0400", hours{25: 4}, 240},
		// there is no 02:00–03:00
		"the hour that is left out": {spring, "Al0200-0300", hours{}, 0},
		// 2 * 0.60
		"the hour that comes twice": {autumn, "Al0200-0300", hours{25: 2}, 120},
		// 00:00–02:00 of summer time in autumn, of winter time in spring: 2 * 0.60
		"before it, in spring": {spring, "Al0000-0200", hours{29: 2}, 120},
		"before it, in autumn": {autumn, "Al0000-0200", hours{25: 2}, 120},
		// 03:00–05:00 of the other time: 2 * 0.60
		"after it, in spring": {spring, "Al0300-0500", hours{29: 2}, 120},
		"after it, in autumn": {autumn, "Al0300-0500", hours{25: 2}, 120},
		// 22:00–24:00, and 00:00–04:00 less or more an hour: (2 + 3) * 0.60, (2 + 5) * 0.60
		"the night, in spring": {spring, "Al2200-0400", hours{28: 2, 29: 3}, 300},
		"the night, in autumn": {autumn, "Al2200-0400", hours{24: 2, 25: 5}, 420},
		// all of the Sunday until 06:00: 5 * 0.60, 7 * 0.60
		"of Sunday, in spring": {spring, "Su", hours{29: 5}, 300},
		"of Sunday, in autumn": {autumn, "Su", hours{25: 7}, 420},
	} {
		t.Run(name, func(t *testing.T) {
			from := time.Date(c.night.Year, c.night.Month, c.night.Day-1, 21, 0, 0, 0, berlin)
			to := time.Date(c.night.Year, c.night.Month, c.night.Day, 6, 0, 0, 0, berlin)
			month := billing.Span{From: billing.Date{Year: c.night.Year, Month: c.night.Month, Day: 1}, To: billing.Date{Year: c.night.Year, Month: c.night.Month + 1, Day: 1}}
			cut := &hourCut{since: month.From, loc: berlin}
			require.NoError(t, cut.add(c.text))
			seconds := uint64(to.Sub(from) / time.Second)
			cut.spread(aaa.Step{From: from, To: to, Usage: aaa.Usage{Seconds: seconds, InputOctets: 10 * seconds, OutputOctets: 100 * seconds}})
			usage := cut.usage()
			got := hours{}
			for _, d := range usage.At(c.text, month) {
				require.Equal(t, []uint64{10 * d.Seconds, 100 * d.Seconds}, []uint64{d.Upload, d.Download})
				require.Zero(t, d.Seconds%3600)
				got[d.Day.Day] = d.Seconds / 3600
			}
			require.Equal(t, c.want, got)

			rate := billing.Rate{ID: uuid.New(), Currency: "EUR", Terms: billing.Terms{Every: billing.Interval{Unit: billing.Month, Count: 1}, Timing: billing.InAdvance,
				Usage: []billing.UsageTerms{{Metric: billing.MetricSeconds, Per: 3600, Tiers: []billing.Tier{{Price: price}}, Hours: c.text}}}}
			userID := uuid.New()
			account := &billing.Account{UserID: userID, Hours: usage, Subscriptions: []billing.Subscription{billing.NewSubscription(uuid.New(), userID, rate, month.From, from)}}
			bill, err := billing.Compute(account, billing.RunOptions{AsOf: month.To, Location: berlin, Series: "X"})
			require.NoError(t, err)
			var cost billing.Amount
			for _, charge := range bill.Charges {
				cost += charge.Amount
			}
			require.Equal(t, c.cost, cost)
		})
	}
}

// TestPartsAreTheSameWhateverElseIsCut: what was used at some hours is what cutting by them
// alone gives, to the octet, and the parts of a day are no more than the day.
func TestPartsAreTheSameWhateverElseIsCut(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	texts := []string{"Al0800-1800", "Al1200-2200", "Wk", "Su,Al2300-0130", "Sa0217-0259"}
	rapid.Check(t, func(t *rapid.T) {
		from := time.Date(2026, 3, 20, 0, 0, 0, 0, berlin)
		month := billing.Span{From: billing.DateOf(from, berlin), To: billing.DateOf(from, berlin).AddDays(40)}
		cut := func(texts ...string) *hourCut {
			h := &hourCut{since: month.From, loc: berlin}
			for _, text := range texts {
				require.NoError(t, h.add(text))
			}
			return h
		}
		together := cut(texts...)
		days := cut("Al")
		var alone []*hourCut
		for _, text := range texts {
			alone = append(alone, cut(text))
		}
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			start := from.Add(time.Duration(rapid.IntRange(0, 15*86400_000).Draw(t, "from")) * time.Millisecond)
			step := aaa.Step{From: start, To: start.Add(time.Duration(rapid.IntRange(0, 3*86400_000).Draw(t, "long")) * time.Millisecond), Usage: aaa.Usage{
				Seconds: rapid.Uint64Range(0, 1e5).Draw(t, "seconds"), InputOctets: rapid.Uint64Range(0, 1e3).Draw(t, "up"), OutputOctets: rapid.Uint64Range(0, 1<<50).Draw(t, "down")}}
			for _, h := range append(alone, together, days) {
				h.spread(step)
			}
		}
		got := together.usage()
		for i, text := range texts {
			require.Equal(t, alone[i].usage().At(text, month), got.At(text, month), text)
		}
		whole := map[billing.Date]billing.DayUsage{}
		for _, d := range days.usage().At("Al", month) {
			whole[d.Day] = d
		}
		for _, p := range got.Parts {
			for _, d := range p.Days {
				day := whole[d.Day]
				require.LessOrEqual(t, d.Seconds, day.Seconds)
				require.LessOrEqual(t, d.Upload, day.Upload)
				require.LessOrEqual(t, d.Download, day.Download)
				whole[d.Day] = billing.DayUsage{Day: d.Day, Seconds: day.Seconds - d.Seconds, Upload: day.Upload - d.Upload, Download: day.Download - d.Download}
			}
		}
	})
}
