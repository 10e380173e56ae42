package jobs

import (
	"fmt"
	"time"
)

// Schedule is times that follow each other.
type Schedule interface {
	// Next returns the first time after t.
	Next(t time.Time) time.Time
	// Last returns the latest time that is not after t.
	Last(t time.Time) time.Time
}

// Every returns a schedule of the full multiples of a pause, in UTC.
func Every(pause time.Duration) Schedule { return every(pause) }

type every time.Duration

func (e every) Next(t time.Time) time.Time { return e.Last(t).Add(time.Duration(e)) }
func (e every) Last(t time.Time) time.Time { return t.UTC().Truncate(time.Duration(e)) }

// Daily returns a schedule of one time each civil day. A time that the clocks leave out
// is as much later as they jump; of a time that they show twice it is the first.
func Daily(hour, minute int, zone *time.Location) Schedule {
	return daily{hour, minute, zone}
}

// ParseDaily is Daily for a text like "04:00".
func ParseDaily(text string, zone *time.Location) (Schedule, error) {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time of day like 04:00", text)
	}
	return Daily(t.Hour(), t.Minute(), zone), nil
}

type daily struct {
	hour, minute int
	zone         *time.Location
}

func (d daily) Next(t time.Time) time.Time {
	for day := -1; ; day++ {
		if at := d.on(t, day); at.After(t) {
			return at
		}
	}
}

func (d daily) Last(t time.Time) time.Time {
	for day := 1; ; day-- {
		if at := d.on(t, day); !at.After(t) {
			return at
		}
	}
}

// on returns the time on the civil day that is so many days after t's.
func (d daily) on(t time.Time, days int) time.Time {
	year, month, day := t.In(d.zone).Date()
	wall := time.Date(year, month, day+days, d.hour, d.minute, 0, 0, time.UTC) // what the clocks are to show
	// Where the clocks are changed, the offsets of the day before and after differ.
	before := wall.Add(-offset(wall.AddDate(0, 0, -1), d.zone))
	after := wall.Add(-offset(wall.AddDate(0, 0, 1), d.zone))
	for _, at := range []time.Time{before, after} { // before is the first of two
		if offset(at, d.zone) == wall.Sub(at) {
			return at.In(d.zone)
		}
	}
	return before.In(d.zone) // left out
}

func offset(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
