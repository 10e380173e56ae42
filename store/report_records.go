package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/report"
)

// usageOfRecords answers a UsageQuery from accounting_records, some sessions at
// a time.
func (s *Store) usageOfRecords(ctx context.Context, tx *sql.Tx, q report.UsageQuery, fn func(report.Usage) error) error {
	if q.By != report.ByUser || q.User != "" {
		m, err := newMetering(ctx, s, tx, q, fn)
		if err != nil {
			return err
		}
		if err := m.sessions(); err != nil {
			return err
		}
		return m.meter.Close()
	}
	// Some users at a time, so that there are no periods of all users in memory.
	users, err := s.usersOfSpan(ctx, tx, q)
	if err != nil {
		return err
	}
	m, err := newMetering(ctx, s, tx, q, fn)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(users, usersAtOnce) {
		m.users = chunk
		if err := m.sessions(); err != nil {
			return err
		}
		if err := m.meter.Done(); err != nil {
			return err
		}
	}
	return m.meter.Close()
}

// How much is worked on at once.
const (
	usersAtOnce    = 100
	sessionsAtOnce = 500
)

// usersOfSpan returns, in order, the users whose usage is asked for: those that
// had sessions or, if there is a limit, those with the most octets.
func (s *Store) usersOfSpan(ctx context.Context, tx *sql.Tx, q report.UsageQuery) (list []string, err error) {
	if q.Limit == 0 {
		var name string
		c := conditions{}
		c.add("username <> '' AND started_at < $%d AND (stopped_at IS NULL OR stopped_at >= $%d)", moment{&q.To}, moment{&q.From})
		err = eachRow(ctx, tx, "SELECT DISTINCT username FROM sessions"+c.where(), c.args, []any{&name}, func() error {
			list = append(list, name)
			return nil
		})
		slices.Sort(list)
		return list, err
	}
	q.Period = report.Total
	m, err := newMetering(ctx, s, tx, q, func(u report.Usage) error {
		list = append(list, u.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := m.sessions(); err != nil {
		return nil, err
	}
	err = m.meter.Close()
	slices.Sort(list)
	return list, err
}

// metering feeds the records of sessions to a meter.
type metering struct {
	ctx   context.Context
	store *Store
	tx    *sql.Tx
	q     report.UsageQuery
	users []string // only theirs; nil: those of q
	meter *report.Meter
}

func newMetering(ctx context.Context, s *Store, tx *sql.Tx, q report.UsageQuery, fn func(report.Usage) error) (*metering, error) {
	meter, err := report.NewMeter(q, fn)
	return &metering{ctx: ctx, store: s, tx: tx, q: q, meter: meter}, err
}

// sessions meters the sessions that were open in the span: those that began in
// it, and those that began before it and were open then or still are. Each of
// these has an index of its own.
func (m *metering) sessions() error {
	for _, part := range meteredParts {
		var last *aaa.Session
		for {
			query, args := m.page(part, last)
			page, err := m.read(query, args)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			if err := m.records(page); err != nil {
				return err
			}
			last = &page[len(page)-1]
		}
	}
	return nil
}

// meteredPart is one of the groups that the sessions of a span are read in.
type meteredPart struct {
	order string // the column of its index
	where string // of $from and $to
}

var meteredParts = []meteredPart{
	{"started_at", "started_at >= $1 AND started_at < $2"},
	{"started_at", "stopped_at IS NULL AND started_at < $1 AND started_at < $2"},
	{"stopped_at", "stopped_at >= $1 AND started_at < $1 AND started_at < $2"},
}

// page selects the sessions of a part that come after the last one of the page
// before.
func (m *metering) page(part meteredPart, last *aaa.Session) (query string, args []any) {
	c := conditions{terms: []string{part.where}, args: []any{moment{&m.q.From}, moment{&m.q.To}}}
	if last != nil {
		at := &last.StartedAt
		if part.order == "stopped_at" {
			at = &last.StoppedAt
		}
		c.add("("+part.order+", id) > ($%d, $%d)", moment{at}, last.ID.String())
	}
	if m.users != nil {
		c.in("username", m.users)
	} else if m.q.User != "" {
		c.add("username = $%d", m.q.User)
	}
	if m.q.NAS.IsValid() {
		c.add("nas_ip = $%d", address{&m.q.NAS})
	}
	return c.where() + " ORDER BY " + part.order + ", id LIMIT " + fmt.Sprint(sessionsAtOnce), c.args
}

func meteredFields(x *aaa.Session) []field {
	return []field{
		{"id", id{&x.ID}},
		{"username", text{&x.Username}},
		{"nas_ip", address{&x.NASAddr}},
		{"started_at", moment{&x.StartedAt}},
		{"updated_at", moment{&x.UpdatedAt}},
		{"stopped_at", moment{&x.StoppedAt}},
	}
}

func (m *metering) read(rest string, args []any) (list []aaa.Session, err error) {
	var x aaa.Session
	fields := meteredFields(&x)
	err = eachRow(m.ctx, m.tx, "SELECT "+names(fields)+" FROM sessions"+rest, args, targets(fields), func() error {
		list = append(list, x)
		return nil
	})
	return list, err
}

// lookAround is how far before and after the span the records next to it are
// looked for. Of sessions that have none there, all records are read.
const lookAround = 48 * time.Hour

// records feeds the records of some sessions to the meter.
func (m *metering) records(sessions []aaa.Session) error {
	lo, hi := m.q.From.Add(-lookAround), m.q.To.Add(lookAround)
	before, err := m.heardIn(sessions, lo, m.q.From, func(x *aaa.Session) bool { return x.StartedAt.Before(lo) })
	if err != nil {
		return err
	}
	after, err := m.heardIn(sessions, m.q.To, hi, func(x *aaa.Session) bool { return x.UpdatedAt.After(hi) })
	if err != nil {
		return err
	}
	var near, all []aaa.Session
	for _, x := range sessions {
		if x.StartedAt.Before(lo) && !before[x.ID] || x.UpdatedAt.After(hi) && !after[x.ID] {
			all = append(all, x)
		} else {
			near = append(near, x)
		}
	}
	if err := m.feed(near, lo, hi); err != nil {
		return err
	}
	return m.feed(all, time.Time{}, hi.AddDate(1000, 0, 0))
}

// heardIn returns those of the sessions, as far as they matter, that have a record
// from lo to hi.
func (m *metering) heardIn(sessions []aaa.Session, lo, hi time.Time, matters func(*aaa.Session) bool) (map[uuid.UUID]bool, error) {
	var ids []string
	for i := range sessions {
		if matters(&sessions[i]) {
			ids = append(ids, sessions[i].ID.String())
		}
	}
	heard := make(map[uuid.UUID]bool)
	if len(ids) == 0 {
		return heard, nil
	}
	var c conditions
	c.in("session_id", ids)
	c.add("event_time >= $%d AND event_time <= $%d", moment{&lo}, moment{&hi})
	var found uuid.UUID
	err := eachRow(m.ctx, m.tx, "SELECT DISTINCT session_id FROM accounting_records"+c.where(), c.args, []any{id{&found}}, func() error {
		heard[found] = true
		return nil
	})
	return heard, err
}

// feed gives the records of sessions from lo to hi to the meter.
func (m *metering) feed(sessions []aaa.Session, lo, hi time.Time) error {
	if len(sessions) == 0 {
		return nil
	}
	byID := make(map[uuid.UUID]*aaa.Session, len(sessions))
	first, last := sessions[0].StartedAt, sessions[0].UpdatedAt
	for i := range sessions {
		x := &sessions[i]
		byID[x.ID] = x
		first, last = earlier(first, x.StartedAt), later(last, x.UpdatedAt)
	}
	lo, hi = later(lo, first), earlier(hi, last)
	query, args := meteredRecords(slices.Collect(maps.Keys(byID)), lo, hi)
	var r aaa.Record
	return eachRow(m.ctx, m.tx, query, args, targets(meteredRecordFields(&r)), func() error {
		x := byID[r.SessionID]
		r.Username, r.NASAddr = x.Username, x.NASAddr
		m.meter.Record(&r)
		return nil
	})
}

func meteredRecordFields(r *aaa.Record) []field {
	return []field{
		{"session_id", id{&r.SessionID}},
		{"status", word[aaa.AcctStatus]{&r.Status, aaa.ParseAcctStatus}},
		{"event_time", moment{&r.EventTime}},
		{"received_at", moment{&r.ReceivedAt}},
		{"clock_off", flag{&r.ClockOff}},
		{"session_seconds", optional{&r.HasSeconds, &r.SessionSeconds}},
		{"input_octets", optional{&r.HasOctets, &r.InputOctets}},
		{"output_octets", optional{&r.HasOctets, &r.OutputOctets}},
		{"has_gigawords", flag{&r.HasGigawords}},
		{"plan", text{&r.Plan}},
	}
}

// meteredRecords selects the records of sessions in a time, those of a session
// together.
func meteredRecords(sessions []uuid.UUID, lo, hi time.Time) (query string, args []any) {
	slices.SortFunc(sessions, compareIDs)
	var c conditions
	c.in("session_id", texts(sessions))
	c.add("event_time >= $%d AND event_time <= $%d", moment{&lo}, moment{&hi})
	return "SELECT " + names(meteredRecordFields(new(aaa.Record))) + " FROM accounting_records" + c.where() + " ORDER BY session_id", c.args
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
