package report

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// Tally adds usage up by key and period, and gives rows in the order of a
// UsageQuery.
type Tally struct {
	q      UsageQuery
	starts []time.Time
	fn     func(Usage) error
	keys   map[string]*account
	top    []*account // if there is a limit: what is kept of those that are done, the most first
}

// account is what was used under a key.
type account struct {
	key     string
	octets  uint64
	periods map[int]aaa.Usage
}

// NewTally returns a tally that calls fn for the rows.
func NewTally(q UsageQuery, fn func(Usage) error) (*Tally, error) {
	starts, err := q.Starts()
	if err != nil {
		return nil, err
	}
	return &Tally{q: q, starts: starts, fn: fn, keys: make(map[string]*account)}, nil
}

// Add adds usage under a key at a time; what is outside the span is left out.
func (t *Tally) Add(key string, at time.Time, u aaa.Usage) {
	if u == (aaa.Usage{}) || !t.q.Contains(at) {
		return
	}
	a := t.keys[key]
	if a == nil {
		a = &account{key: key, periods: make(map[int]aaa.Usage)}
		t.keys[key] = a
	}
	n := periodOf(t.starts, at)
	sum := a.periods[n]
	sum.Seconds = add(sum.Seconds, u.Seconds)
	sum.InputOctets = add(sum.InputOctets, u.InputOctets)
	sum.OutputOctets = add(sum.OutputOctets, u.OutputOctets)
	a.periods[n] = sum
	a.octets = add(a.octets, add(u.InputOctets, u.OutputOctets))
}

// add stops at what a database's integer holds.
func add(a, b uint64) uint64 { return min(a+min(b, math.MaxInt64), math.MaxInt64) }

// Done says that nothing more comes under the keys so far: their rows are given,
// or kept if they may be among the most. It bounds what the tally holds.
func (t *Tally) Done() error {
	done := slices.SortedFunc(maps.Values(t.keys), func(a, b *account) int { return cmp.Compare(a.key, b.key) })
	clear(t.keys)
	for _, a := range done {
		if t.q.Limit == 0 {
			if err := t.give(a); err != nil {
				return err
			}
			continue
		}
		at, _ := slices.BinarySearchFunc(t.top, a, func(x, y *account) int {
			return cmp.Or(cmp.Compare(y.octets, x.octets), cmp.Compare(x.key, y.key))
		})
		if at < t.q.Limit {
			t.top = slices.Insert(t.top, at, a)
			t.top = t.top[:min(len(t.top), t.q.Limit)]
		}
	}
	return nil
}

// Close gives the rows that are left.
func (t *Tally) Close() error {
	if err := t.Done(); err != nil {
		return err
	}
	for _, a := range t.top {
		if err := t.give(a); err != nil {
			return err
		}
	}
	t.top = nil
	return nil
}

func (t *Tally) give(a *account) error {
	for _, n := range slices.Sorted(maps.Keys(a.periods)) {
		if err := t.fn(Usage{Start: t.starts[n], Key: a.key, Usage: a.periods[n]}); err != nil {
			return err
		}
	}
	return nil
}

// Meter works usage out from accounting records, as the store does for
// usage_daily when it takes them in. It wants the records of the sessions that
// have used anything in the span, those of a session together: at least those
// within the span, the last one before it and the first one after it.
type Meter struct {
	*Tally
	session uuid.UUID
	records []aaa.Record
}

// NewMeter returns a meter that calls fn for the rows.
func NewMeter(q UsageQuery, fn func(Usage) error) (*Meter, error) {
	t, err := NewTally(q, fn)
	if err != nil {
		return nil, err
	}
	return &Meter{Tally: t}, nil
}

// Record takes a record of a session, with the user and NAS of its session. The
// meter keeps a copy until the next session begins.
func (m *Meter) Record(r *aaa.Record) {
	if r.SessionID != m.session {
		m.settle()
		m.session = r.SessionID
	}
	m.records = append(m.records, *r)
}

// Done says that nothing more comes for the users, NASes or plans so far.
func (m *Meter) Done() error {
	m.settle()
	return m.Tally.Done()
}

// Close gives the rows that are left.
func (m *Meter) Close() error {
	m.settle()
	return m.Tally.Close()
}

// settle adds what the session's records say.
func (m *Meter) settle() {
	slices.SortStableFunc(m.records, func(a, b aaa.Record) int {
		return cmp.Or(a.EventTime.Compare(b.EventTime), cmp.Compare(a.SessionSeconds, b.SessionSeconds))
	})
	var session aaa.Session
	for i := range m.records {
		r := &m.records[i]
		step := aaa.StepOf(&session, r)
		if m.q.Plan != "" && r.Plan != m.q.Plan {
			continue
		}
		key := r.Plan
		switch m.q.By {
		case ByUser:
			key = r.Username
		case ByNAS:
			key = r.NASAddr.String()
		}
		if key == "" && m.q.By == ByUser {
			continue
		}
		step.Spread(m.q.cutStart, m.q.cutNext, func(start time.Time, u aaa.Usage) { m.Add(key, start, u) })
	}
	m.records = m.records[:0]
}
