package billing

import (
	"time"

	"github.com/google/uuid"
)

// monthsOf returns how many months an interval has; 0: it is counted in days.
func (i Interval) months() int {
	switch i.Unit {
	case Month:
		return i.Count
	case Quarter:
		return 3 * i.Count
	case Year:
		return 12 * i.Count
	}
	return 0
}

// days returns how many days an interval has that is not of months.
func (i Interval) days() int {
	if i.Unit == Week {
		return 7 * i.Count
	}
	return i.Count
}

// PeriodAt returns the billing period that a day lies in, of a subscription whose first
// paid day is anchor. Periods are counted from the anchor and never from each other: one
// of months that began on January 31 begins on February 28 and then on March 31. With a
// fixed billing day the first one is the end of a period that began before the anchor,
// which is charged for the days that are left; a period of several months begins on the
// first billing day after the anchor, not at the turn of a calendar quarter or year.
func (t Terms) PeriodAt(anchor, day Date) Span {
	months := t.Every.months()
	if months == 0 {
		step := t.Every.days()
		n := floorDiv(anchor.DaysUntil(day), step) * step
		return Span{anchor.AddDays(n), anchor.AddDays(n + step)}
	}
	first, dayOfMonth := anchor.month(), anchor.Day
	if t.BillingDay != 0 {
		dayOfMonth = t.BillingDay
		if dateIn(first, dayOfMonth).Before(anchor) {
			first++
		}
	}
	n := first + floorDiv(day.month()-first, months)*months
	if day.Before(dateIn(n, dayOfMonth)) {
		n -= months
	}
	return Span{dateIn(n, dayOfMonth), dateIn(n+months, dayOfMonth)}
}

// month counts the months since year 0.
func (d Date) month() int { return d.Year*12 + int(d.Month) - 1 }

// dateIn returns the day of a month, or its last one if it is shorter.
func dateIn(month, day int) Date {
	year, m := floorDiv(month, 12), time.Month(month-floorDiv(month, 12)*12+1)
	last := time.Date(year, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return Date{year, m, min(day, last)}
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// cut returns the part of s that lies in o. It has no days if there is none.
func (s Span) cut(o Span) Span {
	if s.From.Before(o.From) {
		s.From = o.From
	}
	if s.To.IsZero() || (!o.To.IsZero() && o.To.Before(s.To)) {
		s.To = o.To
	}
	return s
}

// empty reports whether the span has no days.
func (s Span) empty() bool { return !s.To.IsZero() && !s.From.Before(s.To) }

// phase is the time in which a subscription has one rate.
type phase struct {
	rateID uuid.UUID
	span   Span
	anchor Date
}

// phases returns the times of all rates of the subscription in order, without the one
// that it is to change to. Some may have no days.
func (s *Subscription) phases() []phase {
	phases := make([]phase, 0, len(s.Past)+1)
	since := s.Anchor
	for _, p := range s.Past {
		phases = append(phases, phase{p.RateID, Span{p.From, p.Until}, p.Anchor})
		since = p.Until
	}
	end := s.NextFrom
	if end.IsZero() || (!s.End.IsZero() && s.End.Before(end)) {
		end = s.End
	}
	return append(phases, phase{s.Rate.ID, Span{since, end}, s.Anchor})
}

// piece is the part of a period in which a subscription had one rate.
type piece struct {
	rate   *Rate
	period Span // as the terms have it
	span   Span // the part
}

// pieces returns the pieces of a phase that have days from one day up to and without
// another, whole.
func (p phase) pieces(rate *Rate, from, to Date) []piece {
	days := Span{from, to}.cut(p.span)
	var pieces []piece
	for day := days.From; day.Before(days.To); {
		period := rate.Terms.PeriodAt(p.anchor, day)
		pieces = append(pieces, piece{rate, period, period.cut(p.span)})
		day = period.To
	}
	return pieces
}
