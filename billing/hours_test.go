package billing

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// cents charges a cent for each unit of a metric at some hours.
func cents(m Metric, hours string) UsageTerms {
	return UsageTerms{Metric: m, Per: 1, Tiers: []Tier{{0, dec("0.01")}}, Hours: hours}
}

// sold are subscriptions to usage terms, in the order in which they go.
func sold(start string, terms ...[]UsageTerms) []Subscription {
	var list []Subscription
	for i, u := range terms {
		s := NewSubscription(makeID("sold", i), userID, Rate{ID: makeID("sold rate", i), PlanName: "Home", Currency: "EUR",
			Terms: Terms{Every: Interval{Month, 1}, Timing: InAdvance, Usage: u}}, day(start), testNow.Add(time.Duration(i)))
		list = append(list, s)
	}
	return list
}

// TestUsageAtOverlappingHoursIsChargedOnce: on a day 10 octets up and 30 down come from
// 8 to 12, 20 and 40 until 18, 5 and 15 until 22, and 10 and 20 in the night.
func TestUsageAtOverlappingHoursIsChargedOnce(t *testing.T) {
	const early, late = "Al0800-1800", "Al1200-2200"
	used := func(up, down uint64) []DayUsage {
		return []DayUsage{{Day: day("2026-11-05"), Upload: up, Download: down}}
	}
	one := func(m Metric, hours string) []UsageTerms { return []UsageTerms{cents(m, hours)} }
	for name, c := range map[string]struct {
		terms [][]UsageTerms
		want  []Amount
	}{
		"early, late, always": {[][]UsageTerms{one(MetricOctets, early), one(MetricOctets, late), one(MetricOctets, "")}, []Amount{40 + 60, 20, 30}},
		"late, early, always": {[][]UsageTerms{one(MetricOctets, late), one(MetricOctets, early), one(MetricOctets, "")}, []Amount{60 + 20, 40, 30}},
		"early, always, late": {[][]UsageTerms{one(MetricOctets, early), one(MetricOctets, ""), one(MetricOctets, late)}, []Amount{40 + 60, 20 + 30, 0}},
		"always, early, late": {[][]UsageTerms{one(MetricOctets, ""), one(MetricOctets, early), one(MetricOctets, late)}, []Amount{150, 0, 0}},
		"early up":            {[][]UsageTerms{one(MetricUpload, early), one(MetricOctets, late), one(MetricOctets, "")}, []Amount{10 + 20, 40 + 20, 30 + 30}},
		"early up, late down": {[][]UsageTerms{one(MetricUpload, early), one(MetricDownload, late), one(MetricOctets, "")}, []Amount{10 + 20, 40 + 15, 30 + 5 + 30}},
		"both of one":         {[][]UsageTerms{{cents(MetricOctets, early), cents(MetricOctets, late)}, one(MetricOctets, "")}, []Amount{40 + 60 + 60 + 20, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			a := account(sold("2026-11-01", c.terms...)...)
			a.Usage = used(45, 105)
			a.Hours = HourUsage{Texts: []string{early, late}, Parts: []HourPart{
				{[]string{early}, used(10, 30)}, {[]string{early, late}, used(20, 40)}, {[]string{late}, used(5, 15)},
			}}
			got := make([]Amount, len(c.want))
			for _, charge := range usageOf(run(t, a, "2026-12-05")) {
				i := slices.IndexFunc(a.Subscriptions, func(s Subscription) bool { return s.ID == charge.SubscriptionID })
				got[i] += charge.Amount
			}
			require.Equal(t, c.want, got)
		})
	}
}

// TestEachMomentIsChargedOnce: whatever is sold, from when to when, for which metrics and
// hours, what is used at a moment is charged by the first one that has terms for it.
func TestEachMomentIsChargedOnce(t *testing.T) {
	texts := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		var sales [][]UsageTerms
		for range rapid.IntRange(1, 4).Draw(t, "subscriptions") {
			var terms []UsageTerms
			for range rapid.IntRange(0, 2).Draw(t, "terms") {
				terms = append(terms, cents(rapid.SampledFrom([]Metric{MetricSeconds, MetricOctets, MetricUpload, MetricDownload}).Draw(t, "metric"),
					rapid.SampledFrom(append(texts, "")).Draw(t, "hours")))
			}
			sales = append(sales, terms)
		}
		list := sold(firstDay.String(), sales...)
		for i := range list {
			s := NewSubscription(list[i].ID, userID, list[i].Rate, firstDay.AddDays(rapid.SampledFrom([]int{0, 0, 5, 40}).Draw(t, "start")), list[i].CreatedAt)
			if rapid.Bool().Draw(t, "ends") {
				s.End = s.Start.AddDays(rapid.IntRange(1, 60).Draw(t, "days"))
			}
			list[i] = s
		}
		slices.SortFunc(list, compareSubscriptions)

		a := account(rapid.Permutation(list).Draw(t, "order")...)
		a.Hours.Texts = texts
		type sale struct {
			id    uuid.UUID
			terms int
		}
		want, got := map[sale]uint64{}, map[sale]uint64{}
		days := []int{0, 1, 5, 6, 40, 44, 62}
		all := make([]DayUsage, len(days))
		for set := range 1 << len(texts) {
			var part HourPart
			for i, text := range texts {
				if set&(1<<i) != 0 {
					part.Texts = append(part.Texts, text)
				}
			}
			for n, after := range days {
				used := rapid.SliceOfN(rapid.Uint64Range(0, 9), 3, 3).Draw(t, "used")
				d := DayUsage{firstDay.AddDays(after), used[0], used[1], used[2]}
				part.Days = append(part.Days, d)
				all[n] = d.plus(all[n])
				var taken DayUsage
				for _, s := range list {
					rest := d.without(taken)
					for i, u := range s.Rate.Terms.Usage {
						if s.covers(d.Day) && (u.Hours == "" || slices.Contains(part.Texts, u.Hours)) {
							want[sale{s.ID, i}] += rest.Of(u.Metric)
							taken = taken.with(d.counted(u.Metric))
						}
					}
				}
			}
			if set > 0 {
				a.Hours.Parts = append(a.Hours.Parts, part)
			}
		}
		a.Usage = all
		for _, c := range usageOf(run(t, a, lastDay.String())) {
			used, err := sumOf(c.Inputs.Usage, c.Inputs.Metric)
			require.NoError(t, err)
			got[sale{c.SubscriptionID, c.Inputs.Terms}] += used
		}
		for _, s := range list {
			for i := range s.Rate.Terms.Usage {
				require.Equal(t, want[sale{s.ID, i}], got[sale{s.ID, i}], "%s: terms %d", s.ID, i)
			}
		}
	})
}
