package report

import (
	"fmt"
	"time"
)

// Check reports whether the query can be answered.
func (q ConcurrentQuery) Check() error {
	switch {
	case q.Step <= 0:
		return fmt.Errorf("a step of %s", q.Step)
	case !q.From.Before(q.To):
		return fmt.Errorf("the report's time ends at %s, before it begins at %s", q.To.Format(time.RFC3339), q.From.Format(time.RFC3339))
	case q.To.Sub(q.From)/q.Step >= maxPeriods:
		return fmt.Errorf("more than %d steps: choose a longer step or a shorter time", maxPeriods)
	}
	return nil
}

// Gauge gives the rows of a ConcurrentQuery from the starts and stops of
// sessions.
type Gauge struct {
	q      ConcurrentQuery
	fn     func(Concurrent) error
	row    Concurrent // the step that is being worked out
	open   int64
	moment time.Time // of the latest changes
	begun  bool      // the number at the step's beginning is known
}

// NewGauge returns a gauge that calls fn for the rows. open is how many sessions
// had begun before the query's From and did not stop before it.
func NewGauge(q ConcurrentQuery, open uint64, fn func(Concurrent) error) (*Gauge, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	return &Gauge{q: q, fn: fn, open: int64(open), moment: q.From, row: Concurrent{At: q.From}}, nil
}

// Change says that sessions started (more than zero) or stopped (less) at a time,
// which is in the query's time and not before the one of the last call.
func (g *Gauge) Change(at time.Time, by int64) error {
	if !at.Equal(g.moment) {
		if err := g.until(at); err != nil {
			return err
		}
		g.moment = at
	}
	g.open += by
	return nil
}

// Close gives the rows that are left.
func (g *Gauge) Close() error {
	if err := g.until(g.q.To); err != nil {
		return err
	}
	if g.begun {
		return g.fn(g.row)
	}
	return nil
}

// until notes the number of open sessions, which has held since g.moment, up to
// a time.
func (g *Gauge) until(at time.Time) error {
	for {
		if n := uint64(max(0, g.open)); !g.begun {
			g.row.Sessions, g.row.Most, g.begun = n, n, true
		} else {
			g.row.Most = max(g.row.Most, n)
		}
		next := g.row.At.Add(g.q.Step)
		if next.After(at) || !next.Before(g.q.To) {
			return nil
		}
		if err := g.fn(g.row); err != nil {
			return err
		}
		g.row, g.begun = Concurrent{At: next}, false
		if next.Equal(at) { // the changes at this very moment come first
			return nil
		}
	}
}
