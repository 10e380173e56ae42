package aaa

import (
	"math/bits"
	"time"
)

// implausibleOctets is a step of a counter, from one record to the next, that no
// line carries: 2^50 octets, 100 Gbit/s for a day. Such a step stands in the
// record and the session, but not in a user's usage.
const implausibleOctets = 1 << 50

// longestSplit bounds over how many days a step of the counters is spread.
const longestSplit = 400 * 24 * time.Hour

// used returns the session's counters as usage.
func (s *Session) used() Usage {
	return Usage{Seconds: s.SessionSeconds, InputOctets: s.InputOctets, OutputOctets: s.OutputOctets}
}

// Step is what a record has added to a session's counters, and over which time.
type Step struct {
	Usage
	From, To time.Time
}

// StepOf merges r into s and returns the step. A session that is new to whoever
// asks began at its StartedAt.
func StepOf(s *Session, r *Record) Step {
	before, from := s.used(), s.UpdatedAt
	s.Merge(r)
	if from.IsZero() {
		from = s.StartedAt
	}
	return r.step(from, before, s.used())
}

// step is what the record has added to the counters of a session that had those before
// since the given time, and has those after.
func (r *Record) step(from time.Time, before, after Usage) Step {
	to := r.EventTime
	if r.ClockOff {
		// What was used counts now and not in the year that the NAS believes in.
		from, to = from.Add(r.ReceivedAt.Sub(to)), r.ReceivedAt
	}
	return Step{From: from, To: to, Usage: Usage{
		Seconds:      after.Seconds - before.Seconds,
		InputOctets:  plausible(after.InputOctets - before.InputOctets),
		OutputOctets: plausible(after.OutputOctets - before.OutputOctets),
	}}
}

func plausible(octets uint64) uint64 {
	if octets > implausibleOctets {
		return 0
	}
	return octets
}

// byDay spreads the step over the days in loc.
func (t Step) byDay(loc *time.Location, fn func(day time.Time, u Usage)) {
	t.Spread(func(at time.Time) time.Time { return StartOfDay(at, loc) },
		func(day time.Time) time.Time { return NextDay(day, loc) }, fn)
}

// Spread spreads the step evenly over the time it took and calls fn for each
// piece of time that got a part of it. The parts add up to the step, and those of
// smaller pieces to that of the larger one. start says when the piece begins that
// contains a time, and next when the one after it does.
func (t Step) Spread(start, next func(time.Time) time.Time, fn func(start time.Time, u Usage)) {
	if t.Usage == (Usage{}) {
		return
	}
	last := start(t.To)
	if last.Equal(t.To) && t.From.Before(t.To) { // what was used until midnight is of the day before
		last = start(t.To.Add(-1))
	}
	if span := t.To.Sub(t.From); !t.From.Before(last) || span <= 0 || span > longestSplit {
		fn(last, t.Usage)
		return
	}
	given := Usage{}
	for from := t.From; ; {
		piece := start(from)
		end := next(piece)
		if !end.Before(t.To) || !piece.Before(last) {
			fn(last, t.Usage.minus(given))
			return
		}
		until := t.Usage.share(end.Sub(t.From), t.To.Sub(t.From))
		fn(piece, until.minus(given))
		given, from = until, end
	}
}

// share returns what of the usage was in the first part of a time, rounded down.
func (u Usage) share(part, whole time.Duration) Usage {
	of := func(n uint64) uint64 {
		high, low := bits.Mul64(n, uint64(max(part, 0)))
		share, _ := bits.Div64(high, low, uint64(whole)) // high < whole, as part < whole
		return share
	}
	return Usage{Seconds: of(u.Seconds), InputOctets: of(u.InputOctets), OutputOctets: of(u.OutputOctets)}
}

// minus never goes below zero.
func (u Usage) minus(v Usage) Usage {
	return Usage{
		Seconds:      u.Seconds - min(u.Seconds, v.Seconds),
		InputOctets:  u.InputOctets - min(u.InputOctets, v.InputOctets),
		OutputOctets: u.OutputOctets - min(u.OutputOctets, v.OutputOctets),
	}
}

func (u *Usage) add(v Usage) {
	u.Seconds += v.Seconds
	u.InputOctets += v.InputOctets
	u.OutputOctets += v.OutputOctets
}

// Start returns when the period that contains t began; the zero time for PeriodEver.
func (p Period) Start(t time.Time, loc *time.Location) time.Time { return startOfPeriod(p, t, loc) }

// startOfPeriod returns when the period that contains t began; the zero time for
// PeriodEver.
func startOfPeriod(p Period, t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	switch p {
	case PeriodDay:
	case PeriodWeek:
		weekday := t.In(loc).Weekday()
		d -= (int(weekday) + 6) % 7 // from Monday
	case PeriodMonth:
		d = 1
	default:
		return time.Time{}
	}
	return StartOfDate(y, m, d, loc)
}
