package aaa

import "time"

// StartOfDay returns when the day begins in loc that t falls on.
func StartOfDay(t time.Time, loc *time.Location) time.Time {
	year, month, day := t.In(loc).Date()
	return StartOfDate(year, month, day, loc)
}

// NextDay returns when the day after the one begins that t falls on.
func NextDay(t time.Time, loc *time.Location) time.Time {
	return StartOfDay(StartOfDay(t, loc).Add(36*time.Hour), loc) // a day has 23 to 25 hours
}

// StartOfDate returns the first moment of a date in loc, where clocks may go forward
// over midnight, or back over it so that it comes twice. day may be beyond the
// month's, as for [time.Date]. A date that a zone has left out begins with the next.
func StartOfDate(year int, month time.Month, day int, loc *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, loc)
	noon := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
	began, ends := t.ZoneBounds()
	date := time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC)
	switch {
	case date.Before(noon): // midnight is left out, and t before it
		return ends
	case date.After(noon) || t.Hour() != 0 || t.Minute() != 0: // or after it
		return began
	case began.IsZero():
		return t
	}
	_, offset := t.Zone()
	_, before := began.Add(-1).Zone()
	if first := t.Add(time.Duration(offset-before) * time.Second); first.Before(began) {
		return first // midnight comes twice
	}
	return t
}
