package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/report"
)

// Usage implements [report.Source]. It reads the points of the rollups, two for
// each session and hour or day, and gives them to the meter as if they were the
// session's records. Where two points do not tell what was used between them, and
// where a span is cut otherwise than the rollups, it reads the records.
func (s *Store) Usage(ctx context.Context, q report.UsageQuery, fn func(report.Usage) error) error {
	if err := s.usage(ctx, q, fn); err != nil {
		return fmt.Errorf("report of usage: %w", err)
	}
	return nil
}

func (s *Store) usage(ctx context.Context, q report.UsageQuery, fn func(report.Usage) error) error {
	m := &metering{ctx: ctx, store: s, q: q, rollup: s.rollupFor(q)}
	var err error
	if m.meter, err = report.NewMeter(q, fn); err != nil {
		return err
	}
	switch {
	case q.User != "":
		err = m.run(usersAmong{q.User})
	case q.By != report.ByUser:
		err = m.run(everybody)
	default:
		err = m.byUser()
	}
	if err != nil {
		return err
	}
	return m.meter.Close()
}

// kept is since when all records are there; zero: all are. The points of usage_daily
// stay longer.
func (s *Store) kept() time.Time {
	if s.options.RetentionDays == 0 {
		return time.Time{}
	}
	return s.now().AddDate(0, 0, -s.options.RetentionDays)
}

// byUser meters some users at a time, so that there are no periods of all users in
// memory.
func (m *metering) byUser() error {
	users, err := m.users()
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(users, usersAtOnce) {
		if err := m.run(usersAmong(chunk)); err != nil {
			return err
		}
		if err := m.meter.Done(); err != nil {
			return err
		}
	}
	return nil
}

// How much is worked on at once.
const (
	usersAtOnce    = 20_000
	namedUsers     = 1000 // more are selected by their range
	sessionsAtOnce = 1000
	rowsAtOnce     = 4_000_000 // of a rollup, in one query that sorts them
)

// rollup is a table of points.
type rollup struct {
	table, column string
	bound         func(time.Time) string // a literal for the column
	aligned       bool                   // the span is cut where the rows are
}

// rollupFor returns the rollup that serves a query.
func (s *Store) rollupFor(q report.UsageQuery) rollup {
	sameZone := q.Zone.String() == s.options.Location.String()
	if q.Period != report.Hour && sameZone && q.WholeDays() {
		return s.daily(true)
	}
	fullHour := func(t time.Time) bool { return t.Truncate(time.Hour).Equal(t) }
	_, offset := q.From.In(q.Zone).Zone()
	if fullHour(q.From) && fullHour(q.To) && offset%3600 == 0 {
		return rollup{"usage_hourly", "hour", func(t time.Time) string { return fmt.Sprintf("toDateTime(%d, 'UTC')", storable(t).Unix()) }, true}
	}
	return s.daily(false)
}

func (s *Store) daily(aligned bool) rollup {
	return rollup{"usage_daily", "day", func(t time.Time) string {
		return fmt.Sprintf("toDate('%s')", storable(t).In(s.options.Location).Format(time.DateOnly))
	}, aligned}
}

// among selects users.
type among interface {
	// where adds what selects the rows that may be theirs.
	where(q *query)
	has(username string) bool
}

// usersAmong are some users. The rows of their sessions that name nobody are
// needed as well.
type usersAmong []string // sorted

func (u usersAmong) where(q *query) {
	if len(u) <= namedUsers {
		q.add(" AND ")
		addList(q, "username", append(slices.Clone(u), ""))
		return
	}
	q.add(" AND (username >= ? AND username <= ? OR username = '')", u[0], u[len(u)-1])
}

func (u usersAmong) has(username string) bool {
	_, found := slices.BinarySearch(u, username)
	return found
}

type allUsers struct{}

var everybody allUsers

func (allUsers) where(*query)    {}
func (allUsers) has(string) bool { return true }

// metering feeds what sessions have used to a meter.
type metering struct {
	ctx    context.Context
	store  *Store
	q      report.UsageQuery
	rollup rollup
	meter  *report.Meter
	// told are sessions whose points do not tell enough: their records are read.
	told map[uuid.UUID]bool
}

// users returns, in order, the users whose usage is asked for: those that had
// sessions or, if there is a limit, those with the most octets.
func (m *metering) users() (list []string, err error) {
	if m.q.Limit == 0 {
		var name string
		var q query
		q.add("SELECT username FROM " + m.store.schema.qualified(m.rollup.table) + m.near() + " AND username != ''")
		m.filter(&q)
		q.add(" GROUP BY username")
		err = m.store.eachRow(m.ctx, q, []any{&name}, func() error {
			list = append(list, name)
			return nil
		})
		slices.Sort(list)
		return list, err
	}
	total := *m
	total.q.Period = report.Total
	total.meter, err = report.NewMeter(total.q, func(u report.Usage) error {
		list = append(list, u.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := total.run(everybody); err != nil {
		return nil, err
	}
	err = total.meter.Close()
	slices.Sort(list)
	return list, err
}

// lookAround is how far before and after the span the points next to it are looked
// for. Of sessions that have none there, the records are read.
const lookAround = 48 * time.Hour

// near is the condition for the rows of the span and around it.
func (m *metering) near() string {
	return " WHERE " + m.rollup.column + " >= " + m.rollup.bound(m.q.From.Add(-lookAround)) + " AND " + m.rollup.column + " <= " + m.rollup.bound(m.q.To.Add(lookAround))
}

// filter adds what the query asks of all rows of a session.
func (m *metering) filter(q *query) {
	if m.q.NAS.IsValid() {
		q.add(" AND nas_ip = ?", m.q.NAS.Unmap().String())
	}
}

// run meters the sessions of some users.
func (m *metering) run(users among) error {
	shards, err := m.shards(users)
	if err != nil {
		return err
	}
	m.told = make(map[uuid.UUID]bool)
	if err := m.silentAfter(users); err != nil {
		return err
	}
	for shard := range shards {
		if err := m.points(users, fmt.Sprintf(" AND cityHash64(toString(session_id)) %% %d = %d", shards, shard)); err != nil {
			return err
		}
	}
	return m.records(users)
}

// shards is into how many queries the sessions are divided.
func (m *metering) shards(users among) (n uint64, err error) {
	var q query
	q.add("SELECT count() FROM " + m.store.schema.qualified(m.rollup.table) + m.near())
	users.where(&q)
	m.filter(&q)
	var rows uint64
	err = m.store.eachRow(m.ctx, q, []any{&rows}, func() error { return nil })
	return rows/rowsAtOnce + 1, err
}

// point is what is known of a session at a moment, as the rollups hold it: high
// points have negative times.
type point struct {
	seconds, input, output uint64
	received, at           int64
}

func comparePoints(a, b point) int {
	return cmp.Or(cmp.Compare(a.seconds, b.seconds), cmp.Compare(a.input, b.input), cmp.Compare(a.output, b.output),
		cmp.Compare(a.received, b.received), cmp.Compare(a.at, b.at))
}

// row is a row of a rollup.
type row struct {
	session             uuid.UUID
	username, nas, plan string
	bucket              uint32 // its day or hour
	low, high           point
	inputMax, outputMax uint64
	derived             uint8 // 1: copies of a record may differ in time
}

// began is when the session began, as far as the row tells.
func (r *row) began() int64 { return r.low.at - int64(r.low.seconds)*1_000_000 }

// repeats reports whether a row may have a copy of a record of the row before it, at
// another time: it does not go on from there.
func (r *row) repeats(before *row) bool {
	if r.derived == 0 && before.derived == 0 {
		return false
	}
	return cmp.Or(cmp.Compare(r.low.seconds, before.high.seconds), cmp.Compare(r.low.input, before.high.input),
		cmp.Compare(r.low.output, before.high.output)) <= 0
}

// same reports whether the server merges two rows of a session sooner or later.
func (r *row) same(o *row) bool {
	return r.bucket == o.bucket && r.username == o.username && r.nas == o.nas && r.plan == o.plan
}

// merge takes another row in that is the same.
func (r *row) merge(o *row) {
	if comparePoints(o.low, r.low) < 0 {
		r.low = o.low
	}
	if comparePoints(o.high, r.high) > 0 {
		r.high = o.high
	}
	r.inputMax, r.outputMax, r.derived = max(r.inputMax, o.inputMax), max(r.outputMax, o.outputMax), max(r.derived, o.derived)
}

// points gives the sessions of a shard to the meter, or notes that their points do
// not tell enough. Rows are merged here: the server takes five times as long.
func (m *metering) points(users among, shard string) error {
	var q query
	q.add(`SELECT session_id, username, nas_ip, plan, toUInt32(` + m.rollup.column + `) AS bucket, lo.1, lo.2, lo.3, lo.4, lo.5, hi.1, hi.2, hi.3, hi.4, hi.5, input_most, output_most, loose
		FROM (SELECT session_id, username, nas_ip, plan, ` + m.rollup.column + `, finalizeAggregation(low) AS lo, finalizeAggregation(high) AS hi,
			finalizeAggregation(input_max) AS input_most, finalizeAggregation(output_max) AS output_most, finalizeAggregation(derived) AS loose
		FROM ` + m.store.schema.qualified(m.rollup.table) + m.near() + shard)
	users.where(&q)
	m.filter(&q)
	q.add(") ORDER BY session_id")
	var r row
	var session []row
	low, high := &r.low, &r.high
	err := m.store.eachRow(m.ctx, q, []any{&r.session, &r.username, &r.nas, &r.plan, &r.bucket, &low.seconds, &low.input, &low.output, &low.received, &low.at,
		&high.seconds, &high.input, &high.output, &high.received, &high.at, &r.inputMax, &r.outputMax, &r.derived}, func() error {
		if len(session) > 0 && session[0].session != r.session {
			m.session(users, session)
			session = session[:0]
		}
		if n := slices.IndexFunc(session, func(o row) bool { return o.same(&r) }); n >= 0 {
			session[n].merge(&r)
		} else {
			session = append(session, r)
		}
		return nil
	})
	if err == nil && len(session) > 0 {
		m.session(users, session)
	}
	return err
}

// session gives the points of one session to the meter.
func (m *metering) session(users among, rows []row) {
	for i := range rows {
		rows[i].high.at = -rows[i].high.at
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.low.at, b.low.at) })
	username := ""
	for _, r := range rows {
		if r.username != "" {
			username = r.username
		}
	}
	if !users.has(username) || m.told[rows[0].session] {
		return
	}
	if !m.rollup.aligned || m.unclear(rows) && !fromµs(rows[0].low.at).Before(m.store.kept()) {
		m.told[rows[0].session] = true
		return
	}
	for _, r := range rows {
		nas := parseAddr(r.nas)
		for _, p := range [...]point{r.low, r.high} {
			m.meter.Record(&aaa.Record{SessionID: r.session, Status: aaa.AcctInterim, Username: username, NASAddr: nas, Plan: r.plan, EventTime: fromµs(p.at),
				HasSeconds: true, HasOctets: true, SessionSeconds: p.seconds, InputOctets: p.input, OutputOctets: p.output})
		}
	}
}

// unclear reports whether the points of a session leave open what was used between
// them, or before them.
func (m *metering) unclear(rows []row) bool {
	if rows[0].low.at >= µs(m.q.From) && rows[0].began() < µs(m.q.From.Add(-lookAround)) {
		return true // there may be a point before
	}
	const half, turn = 1 << 31, 1 << 32
	end := int64(0)
	for i, r := range rows {
		switch {
		case i > 0 && r.low.at <= end: // several plans, one after the other and again
			return true
		case i > 0 && r.repeats(&rows[i-1]):
			return true
		case r.low.at > r.high.at || r.low.input > r.high.input || r.low.output > r.high.output: // counters that went back
			return true
		case r.inputMax > r.high.input || r.outputMax > r.high.output:
			return true
		case r.inputMax >= half && r.inputMax < turn || r.outputMax >= half && r.outputMax < turn: // they may have wrapped
			return true
		}
		end = r.high.at
	}
	return false
}

// silentAfter notes the sessions that began before the span's end and have their
// next record long after it.
func (m *metering) silentAfter(users among) error {
	table, column := m.store.schema.qualified(m.rollup.table), m.rollup.column
	var q query
	q.add(`SELECT session_id FROM ` + table + " WHERE " + column + " > " + m.rollup.bound(m.q.To.Add(lookAround)))
	users.where(&q)
	m.filter(&q)
	q.add(" GROUP BY session_id HAVING "+begun("minMerge(low)")+" < ?", µs(m.q.To))
	if kept := m.store.kept(); !kept.IsZero() {
		q.add(" AND "+begun("minMerge(low)")+" >= ?", µs(kept)) // of others the records may be gone
	}
	q.text = "SELECT session_id FROM (" + q.text + ") WHERE session_id GLOBAL NOT IN (SELECT session_id FROM " + table +
		" WHERE " + column + " >= " + m.rollup.bound(m.q.To) + " AND " + column + " <= " + m.rollup.bound(m.q.To.Add(lookAround)) + ")"
	var session uuid.UUID
	return m.store.eachRow(m.ctx, q, []any{&session}, func() error {
		m.told[session] = true
		return nil
	})
}

// records gives the records of the sessions that points do not tell enough of to
// the meter.
func (m *metering) records(users among) error {
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(m.told)), sessionsAtOnce) {
		err := m.store.eachSessionRecords(m.ctx, chunk, func(records []aaa.Record) error {
			username := ""
			for _, r := range records {
				if r.Username != "" {
					username = r.Username
				}
			}
			if !users.has(username) || m.q.NAS.IsValid() && records[0].NASAddr != m.q.NAS {
				return nil
			}
			for i := range records {
				records[i].Username = username
				m.meter.Record(&records[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
