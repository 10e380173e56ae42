package billing

import (
	"fmt"
	"maps"
	"slices"
)

// cutBy fails if the usage at some hours is not known.
func (a *Account) cutBy(hours string) error {
	switch {
	case hours == "":
		return nil
	case a.HoursErr != nil:
		return a.HoursErr
	case !slices.Contains(a.Hours.Texts, hours):
		return fmt.Errorf("usage at %s was not read", hours)
	}
	return nil
}

// usageAt returns the usage of days at some hours; empty: all of it.
func (a *Account) usageAt(hours string, days Span) []DayUsage {
	if hours == "" {
		return days.in(a.Usage)
	}
	return a.Hours.At(hours, days)
}

// At returns the usage of days at some of the hours that it was cut by, in order.
func (u HourUsage) At(hours string, days Span) []DayUsage {
	sums := map[Date]DayUsage{}
	for _, p := range u.Parts {
		if !slices.Contains(p.Texts, hours) {
			continue
		}
		for _, d := range days.in(p.Days) {
			sums[d.Day] = d.plus(sums[d.Day])
		}
	}
	return slices.SortedFunc(maps.Values(sums), func(a, b DayUsage) int { return a.Day.Compare(b.Day) })
}

// taken returns what of the usage of a day at some hours other terms take: what several of
// them have terms for, once.
func (a *Account) taken(d DayUsage, hours string, terms []UsageTerms) (DayUsage, error) {
	var all, parts DayUsage // by terms for all of it, and by those for a part
	cut := false
	for _, u := range terms {
		if u.Hours == "" || u.Hours == hours {
			all = all.with(d.counted(u.Metric))
			continue
		}
		if err := a.cutBy(u.Hours); err != nil {
			return DayUsage{}, err
		}
		cut = true
	}
	if !cut {
		return all, nil
	}
	for _, p := range a.Hours.Parts {
		if hours != "" && !slices.Contains(p.Texts, hours) {
			continue
		}
		for _, part := range (Span{d.Day, d.Day.AddDays(1)}).in(p.Days) {
			var of DayUsage
			for _, u := range terms {
				if slices.Contains(p.Texts, u.Hours) {
					of = of.with(part.counted(u.Metric))
				}
			}
			parts = of.plus(parts)
		}
	}
	return all.with(parts), nil
}

// counted returns what a metric counts of the usage.
func (d DayUsage) counted(m Metric) DayUsage {
	switch m {
	case MetricSeconds:
		d.Upload, d.Download = 0, 0
	case MetricUpload:
		d.Seconds, d.Download = 0, 0
	case MetricDownload:
		d.Seconds, d.Upload = 0, 0
	default:
		d.Seconds = 0
	}
	return d
}

// plus adds usage of the same day.
func (d DayUsage) plus(o DayUsage) DayUsage {
	return DayUsage{d.Day, d.Seconds + o.Seconds, d.Upload + o.Upload, d.Download + o.Download}
}

// with returns what is in one of two parts of the same usage, or in both.
func (d DayUsage) with(o DayUsage) DayUsage {
	return DayUsage{d.Day, max(d.Seconds, o.Seconds), max(d.Upload, o.Upload), max(d.Download, o.Download)}
}

// without takes away what is there of other usage.
func (d DayUsage) without(o DayUsage) DayUsage {
	return DayUsage{d.Day, d.Seconds - min(d.Seconds, o.Seconds), d.Upload - min(d.Upload, o.Upload), d.Download - min(d.Download, o.Download)}
}
