package billing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeriodAt(t *testing.T) {
	for name, c := range map[string]struct {
		every      Interval
		billingDay int
		anchor     string
		day        string
		from, to   string
	}{
		"a day":                             {Interval{Day, 1}, 0, "2026-11-05", "2026-11-07", "2026-11-07", "2026-11-08"},
		"30 days, the second":               {Interval{Day, 30}, 0, "2026-11-05", "2026-12-05", "2026-12-05", "2027-01-04"},
		"30 days, the last of the first":    {Interval{Day, 30}, 0, "2026-11-05", "2026-12-04", "2026-11-05", "2026-12-05"},
		"two weeks":                         {Interval{Week, 2}, 0, "2026-11-02", "2026-11-16", "2026-11-16", "2026-11-30"},
		"a month":                           {Interval{Month, 1}, 0, "2026-11-05", "2026-12-04", "2026-11-05", "2026-12-05"},
		"a month from the 31st, February":   {Interval{Month, 1}, 0, "2027-01-31", "2027-02-28", "2027-02-28", "2027-03-31"},
		"a month from the 31st, leap year":  {Interval{Month, 1}, 0, "2028-01-31", "2028-02-29", "2028-02-29", "2028-03-31"},
		"a month from the 31st, March":      {Interval{Month, 1}, 0, "2027-01-31", "2027-04-15", "2027-03-31", "2027-04-30"},
		"a month from the 30th, February":   {Interval{Month, 1}, 0, "2027-01-30", "2027-03-29", "2027-02-28", "2027-03-30"},
		"a quarter":                         {Interval{Quarter, 1}, 0, "2026-11-30", "2027-02-28", "2027-02-28", "2027-05-30"},
		"a year from February 29":           {Interval{Year, 1}, 0, "2028-02-29", "2029-02-28", "2029-02-28", "2030-02-28"},
		"the same, four years later":        {Interval{Year, 1}, 0, "2028-02-29", "2032-02-29", "2032-02-29", "2033-02-28"},
		"the day before that":               {Interval{Year, 1}, 0, "2028-02-29", "2032-02-28", "2031-02-28", "2032-02-29"},
		"two years":                         {Interval{Year, 2}, 0, "2026-06-01", "2028-05-31", "2026-06-01", "2028-06-01"},
		"billing day 1, begun on the 10th":  {Interval{Month, 1}, 1, "2026-11-10", "2026-11-10", "2026-11-01", "2026-12-01"},
		"billing day 1, begun on the 1st":   {Interval{Month, 1}, 1, "2026-11-01", "2026-11-01", "2026-11-01", "2026-12-01"},
		"billing day 15, begun on the 10th": {Interval{Month, 1}, 15, "2026-11-10", "2026-11-14", "2026-10-15", "2026-11-15"},
		"billing day 31 in February":        {Interval{Month, 1}, 31, "2027-01-10", "2027-03-01", "2027-02-28", "2027-03-31"},
		"billing day 31, begun on Feb 28":   {Interval{Month, 1}, 31, "2027-02-28", "2027-02-28", "2027-02-28", "2027-03-31"},
		"a quarter on the 1st, its first":   {Interval{Quarter, 1}, 1, "2026-11-10", "2026-11-30", "2026-09-01", "2026-12-01"},
		"a quarter on the 1st, its second":  {Interval{Quarter, 1}, 1, "2026-11-10", "2026-12-01", "2026-12-01", "2027-03-01"},
		"a year on the 1st":                 {Interval{Year, 1}, 1, "2026-11-10", "2027-11-30", "2026-12-01", "2027-12-01"},
	} {
		t.Run(name, func(t *testing.T) {
			terms := Terms{Every: c.every, BillingDay: c.billingDay}
			require.Equal(t, Span{day(c.from), day(c.to)}, terms.PeriodAt(day(c.anchor), day(c.day)))
		})
	}
}

// TestPeriodsHaveNoGaps: each period ends where the next one begins, for ten years.
func TestPeriodsHaveNoGaps(t *testing.T) {
	for _, terms := range []Terms{
		{Every: Interval{Month, 1}}, {Every: Interval{Month, 1}, BillingDay: 30}, {Every: Interval{Quarter, 2}, BillingDay: 31},
		{Every: Interval{Year, 1}}, {Every: Interval{Week, 1}}, {Every: Interval{Day, 28}},
	} {
		for _, first := range []string{"2027-01-29", "2028-02-29", "2027-12-31", "2027-06-15"} {
			anchor := day(first)
			period := terms.PeriodAt(anchor, anchor)
			for d := anchor; d.Before(anchor.AddDays(3700)); d = d.AddDays(1) {
				now := terms.PeriodAt(anchor, d)
				require.True(t, now.Contains(d), "%s is not in its period", d)
				if now != period {
					require.Equal(t, period.To, now.From, "%+v", terms)
					require.Equal(t, d, now.From)
					period = now
				}
			}
		}
	}
}
