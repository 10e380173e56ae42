package report

import (
	"fmt"
	"slices"
	"time"

	"radiusd/aaa"
)

// Period is the length of the parts that a span is divided into.
type Period string

// The periods. Days, weeks (from Monday, ISO 8601) and months are those of the
// span's zone.
const (
	Total Period = "total" // the span as a whole
	Hour  Period = "hour"
	Day   Period = "day"
	Week  Period = "week"
	Month Period = "month"
	// Quarter and Year are of the reports on money alone.
	Quarter Period = "quarter"
	Year    Period = "year"
)

// maxPeriods bounds how many parts a span may have.
const maxPeriods = 10000

// Span is the time that a report is about, From included, To not, and how it is
// divided. A period that From or To cuts is shorter.
type Span struct {
	From, To time.Time
	Period   Period
	Zone     *time.Location
}

// Starts returns when the periods of the span begin, in order: the first one at
// From. It fails if they are none or more than 10,000.
func (s Span) Starts() ([]time.Time, error) {
	if !s.From.Before(s.To) {
		return nil, fmt.Errorf("the report's time ends at %s, before it begins at %s", s.To.Format(time.RFC3339), s.From.Format(time.RFC3339))
	}
	starts := []time.Time{s.From}
	for {
		next := s.next(starts[len(starts)-1])
		if s.Period == Total || !next.Before(s.To) {
			return starts, nil
		}
		if len(starts) == maxPeriods {
			return nil, fmt.Errorf("more than %d periods: choose a longer period or a shorter time", maxPeriods)
		}
		starts = append(starts, next)
	}
}

// next returns when the period after the one that contains t begins.
func (s Span) next(t time.Time) time.Time {
	year, month, day := t.In(s.Zone).Date()
	switch s.Period {
	case Hour:
		return startOfHour(t, s.Zone).Add(time.Hour)
	case Week:
		return aaa.StartOfDate(year, month, day+7-daysSinceMonday(t.In(s.Zone)), s.Zone)
	case Month:
		return aaa.StartOfDate(year, month+1, 1, s.Zone)
	case Quarter:
		return aaa.StartOfDate(year, month-(month-1)%3+3, 1, s.Zone)
	case Year:
		return aaa.StartOfDate(year+1, 1, 1, s.Zone)
	}
	return aaa.NextDay(t, s.Zone)
}

// WholeDays reports whether the span begins and ends where days of its zone do.
func (s Span) WholeDays() bool {
	return aaa.StartOfDay(s.From, s.Zone).Equal(s.From) && aaa.StartOfDay(s.To, s.Zone).Equal(s.To)
}

// Contains reports whether t is in the span.
func (s Span) Contains(t time.Time) bool { return !t.Before(s.From) && t.Before(s.To) }

// periodOf returns which of the periods that begin at starts contains t, which
// is in the span.
func periodOf(starts []time.Time, t time.Time) int {
	n, found := slices.BinarySearchFunc(starts, t, time.Time.Compare)
	if found {
		return n
	}
	return n - 1
}

// cutStart and cutNext say where a step of usage is cut: at hours if the periods
// are hours, else at days, as usage_daily is; and at the ends of the span.

// cutStart returns when the piece that contains t begins.
func (s Span) cutStart(t time.Time) time.Time {
	start := aaa.StartOfDay(t, s.Zone)
	if s.Period == Hour {
		start = startOfHour(t, s.Zone)
	}
	for _, end := range [...]time.Time{s.From, s.To} {
		if start.Before(end) && !end.After(t) {
			start = end
		}
	}
	return start
}

// cutNext returns when the piece after the one that begins at start begins.
func (s Span) cutNext(start time.Time) time.Time {
	next := aaa.NextDay(start, s.Zone)
	if s.Period == Hour {
		next = startOfHour(start, s.Zone).Add(time.Hour)
	}
	for _, end := range [...]time.Time{s.To, s.From} {
		if start.Before(end) && end.Before(next) {
			next = end
		}
	}
	return next
}

// startOfHour returns the full hour of the zone's clock; zones are not always
// whole hours from UTC.
func startOfHour(t time.Time, zone *time.Location) time.Time {
	_, offset := t.In(zone).Zone()
	shift := time.Duration(offset%3600) * time.Second
	return t.Add(shift).Truncate(time.Hour).Add(-shift).In(zone)
}

func daysSinceMonday(t time.Time) int { return (int(t.Weekday()) + 6) % 7 }
