package billing

import (
	"cmp"
	"fmt"
	"time"
)

// Date is a civil day in the configured time zone. The zero value is no day. Dates
// compare with ==.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf returns the day that a moment lies on in loc.
func DateOf(t time.Time, loc *time.Location) Date {
	y, m, d := t.In(loc).Date()
	return Date{y, m, d}
}

// ParseDate reads a day as 2026-01-31. The empty text is no day.
func ParseDate(s string) (Date, error) {
	if s == "" {
		return Date{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, fmt.Errorf("%q is no day: want one such as 2026-01-31", s)
	}
	return DateOf(t, time.UTC), nil
}

// String writes the day as 2026-01-31, and no day as the empty text.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.utc().Format(time.DateOnly)
}

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// IsZero reports whether this is no day.
func (d Date) IsZero() bool { return d == Date{} }

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// Start returns the first moment of the day in loc: midnight, or where a clock is put
// forward over it, the moment after.
func (d Date) Start(loc *time.Location) time.Time {
	t := time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
	if t.Day() != d.Day { // midnight does not exist, and was taken an hour early
		t = t.Add(time.Hour)
	}
	return t
}

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date { return DateOf(d.utc().AddDate(0, 0, n), time.UTC) }

// Before reports whether d is an earlier day than e. No day is before every day.
func (d Date) Before(e Date) bool { return d.Compare(e) < 0 }

// Compare returns -1, 0 or 1 as d is an earlier day than e, the same or a later one.
func (d Date) Compare(e Date) int {
	return cmp.Or(cmp.Compare(d.Year, e.Year), cmp.Compare(d.Month, e.Month), cmp.Compare(d.Day, e.Day))
}

// DaysUntil returns how many days it is from d to e.
func (d Date) DaysUntil(e Date) int { return int(e.utc().Sub(d.utc()) / (24 * time.Hour)) }

// Span is the days from From up to and without To. A span whose To is no day has no
// end.
type Span struct {
	From Date `json:"from"`
	To   Date `json:"to"`
}

// Days returns how many days the span has; it must have an end.
func (s Span) Days() int { return s.From.DaysUntil(s.To) }

// Contains reports whether the day lies in the span.
func (s Span) Contains(d Date) bool {
	return !d.Before(s.From) && (s.To.IsZero() || d.Before(s.To))
}
