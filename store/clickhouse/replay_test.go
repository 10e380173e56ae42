package clickhouse

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
	"radiusd/report"
	"radiusd/report/reporttest"
)

// replay is a history as ClickHouse may get it: records came several times, some of
// them with another time, and batches were written again in other boundaries.
type replay struct {
	*rand.Rand
	first  []aaa.Record // each record as it was received first
	copies []aaa.Record
}

// newReplay adds copies to the records of a history. Of some NASes no record has an
// Event-Timestamp, so that the time of a copy is off: by a second or so, or, where
// Acct-Delay-Time is not sent, by as long as the NAS waited; over the ends of hours,
// days and months as well. Some NASes have a clock that is off.
func newReplay(seed uint64, h *reporttest.History) *replay {
	r := &replay{Rand: rand.New(rand.NewPCG(seed, 2)), first: slices.Clone(h.Records)}
	for i := range r.first {
		x := &r.first[i]
		kind := x.SessionID[0] % 3
		x.EventDerived = kind == 0
		if kind == 1 && x.Status != aaa.AcctOn {
			x.ClockOff, x.EventTime = true, x.EventTime.AddDate(-3, 0, 0)
		}
		for range r.IntN(3) {
			c := *x
			late := time.Duration(1+r.IntN(20)) * time.Second
			c.ReceivedAt = x.ReceivedAt.Add(late)
			if c.EventDerived {
				c.Delay = late.Truncate(time.Second)
				c.EventTime = x.EventTime.Add(time.Duration(r.IntN(2_000_000)-1_000_000) * time.Microsecond)
				if r.IntN(4) == 0 {
					c.Delay, c.EventTime = 0, x.EventTime.Add(late*100)
				}
			}
			if r.IntN(4) == 0 {
				c.Plan = "changed"
			}
			r.copies = append(r.copies, c)
		}
	}
	return r
}

// batches divides records at random.
func (r *replay) batches(records []aaa.Record, fn func([]aaa.Record)) {
	for len(records) > 0 {
		n := min(1+r.IntN(1000), len(records))
		fn(records[:n])
		records = records[n:]
	}
}

// open makes a database.
func openReplay(t testing.TB, h *reporttest.History) *Store {
	s, err := Open(t.Context(), Options{URL: testserver.ClickHouse(t), NodeID: "node-a", AutoMigrate: true, Location: h.Zone,
		Now: func() time.Time { return h.Records[len(h.Records)-1].ReceivedAt.Add(time.Hour) }})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// A record that comes again, in whatever batch, at whatever time, changes nothing in
// what is read: neither in the records nor in any report.
func TestReplaysAndCopiesChangeNothing(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := reporttest.NewHistory(vienna(t), 200+seed, 80)
			r := newReplay(seed, h)
			once, often := openReplay(t, h), openReplay(t, h)
			take(t, newTestSink(t, once), r.first)

			journal := slices.Concat(r.first, r.copies)
			slices.SortStableFunc(journal, func(a, b aaa.Record) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
			sink := newTestSink(t, often)
			write := func(batch []aaa.Record) {
				take(t, sink, batch)
			}
			r.batches(journal, write)
			r.batches(journal, write) // the cursor was lost
			for range 5 {             // and a batch comes again, long after
				from := r.IntN(len(journal))
				write(journal[from:min(from+r.IntN(500), len(journal))])
			}

			requireRecords(t, often, r.first)
			if seed == 0 {
				require.NoError(t, often.exec(t.Context(), "OPTIMIZE TABLE accounting_records FINAL"))
				requireRecords(t, often, r.first)
			}
			for name, q := range h.Queries() {
				require.Equal(t, reporttest.UsageRows(t, once, q), reporttest.UsageRows(t, often, q), name)
			}
			from, to := h.Records[0].EventTime.AddDate(0, 0, -1), h.Records[0].EventTime.AddDate(0, 0, 30)
			concurrent := func(s *Store) (list []report.Concurrent) {
				require.NoError(t, s.Concurrent(t.Context(), report.ConcurrentQuery{From: from, To: to, Step: 15 * time.Minute},
					func(c report.Concurrent) error { list = append(list, c); return nil }))
				return list
			}
			require.Equal(t, concurrent(once), concurrent(often))
			for n := range 12 {
				holders := func(s *Store) (list []report.Holder) {
					require.NoError(t, s.Holders(t.Context(), report.HolderQuery{Address: parseAddr(fmt.Sprintf("10.0.0.%d", n)), From: from, To: to},
						func(x report.Holder) error { list = append(list, x); return nil }))
					return list
				}
				require.Equal(t, holders(once), holders(often))
			}
			for _, by := range []report.By{report.ByNothing, report.ByNAS} {
				counts := func(s *Store) (list []report.Count) {
					require.NoError(t, s.Counts(t.Context(), report.CountQuery{Span: report.Span{From: from, To: to, Period: report.Day, Zone: h.Zone}, Event: report.Stops, By: by},
						func(c report.Count) error { list = append(list, c); return nil }))
					return list
				}
				require.Equal(t, counts(once), counts(often))
			}
		})
	}
}

// kept is what identifies a row of accounting_records.
type kept struct {
	id               uuid.UUID
	event, received  int64
	seconds, in, out uint64
	plan             string
}

// requireRecords fails the test unless there are these records, each once.
func requireRecords(t *testing.T, s *Store, want []aaa.Record) {
	t.Helper()
	var got []kept
	var k kept
	var q query
	q.add(`SELECT record_id, toInt64(toUInt32(event_time)) * 1000000 + event_microseconds, toInt64(toUInt32(received_at)) * 1000000 + received_microseconds,
		ifNull(session_seconds, 0), ifNull(input_octets, 0), ifNull(output_octets, 0), plan FROM accounting_records FINAL`)
	require.NoError(t, s.eachRow(t.Context(), q, []any{&k.id, &k.event, &k.received, &k.seconds, &k.in, &k.out, &k.plan}, func() error {
		got = append(got, k)
		return nil
	}))
	byID := func(list []kept) []kept {
		slices.SortFunc(list, func(a, b kept) int { return slices.Compare(a.id[:], b.id[:]) })
		return list
	}
	expected := make([]kept, len(want))
	for i, r := range want {
		expected[i] = kept{r.ID, r.EventTime.UnixMicro(), r.ReceivedAt.UnixMicro(), r.SessionSeconds, r.InputOctets, r.OutputOctets, r.Plan}
	}
	require.Equal(t, byID(expected), byID(got))
}

// The rollups are what a computation in Go makes of the records, whatever the
// batches. Copies count as records here: what tells them apart is in the states.
func TestRollupsAreMinimaAndMaxima(t *testing.T) {
	h := reporttest.NewHistory(vienna(t), 300, 80)
	r := newReplay(300, h)
	journal := slices.Concat(r.first, r.copies)
	s := openReplay(t, h)
	sink := newTestSink(t, s)
	for range 2 {
		r.Shuffle(len(journal), func(i, j int) { journal[i], journal[j] = journal[j], journal[i] })
		r.batches(journal, func(batch []aaa.Record) { take(t, sink, batch) })
	}
	for table, bucket := range map[string]func(at time.Time) time.Time{
		"usage_hourly": func(at time.Time) time.Time { return at.Truncate(time.Hour) },
		"usage_daily": func(at time.Time) time.Time {
			y, m, d := at.In(h.Zone).Date()
			return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		},
	} {
		expected := make(map[rollupKey]rollupRow)
		for i := range journal {
			x := &journal[i]
			if x.SessionID == uuid.Nil {
				continue
			}
			at := x.EventTime
			if x.ClockOff {
				at = x.ReceivedAt
			}
			key := rollupKey{x.SessionID, bucket(at).Unix(), x.Username, x.NASAddr.String(), x.NASIdentifier, x.Plan}
			p := rollupPoint{x.SessionSeconds, x.InputOctets, x.OutputOctets, x.ReceivedAt.UnixMicro(), at.UnixMicro()}
			row, found := expected[key]
			if !found {
				row.low, row.high = p, p
			}
			if p.compare(row.low) < 0 {
				row.low = p
			}
			if q := p; q.counters() > row.high.counters() || q.counters() == row.high.counters() && cmp.Or(cmp.Compare(q.received, row.high.received), cmp.Compare(q.at, row.high.at)) < 0 {
				row.high = q
			}
			row.input, row.output = max(row.input, p.input), max(row.output, p.output)
			row.derived = row.derived || x.EventDerived || x.ClockOff
			expected[key] = row
		}
		require.Equal(t, expected, readRollup(t, s, table), table)
	}
}

type rollupKey struct {
	session                     uuid.UUID
	bucket                      int64
	user, nas, identifier, plan string
}

type rollupPoint struct {
	seconds, input, output uint64
	received, at           int64
}

func (p rollupPoint) counters() string {
	return fmt.Sprintf("%020d%020d%020d", p.seconds, p.input, p.output)
}

func (p rollupPoint) compare(o rollupPoint) int {
	return cmp.Or(cmp.Compare(p.counters(), o.counters()), cmp.Compare(p.received, o.received), cmp.Compare(p.at, o.at))
}

type rollupRow struct {
	low, high     rollupPoint
	input, output uint64
	derived       bool
}

func readRollup(t *testing.T, s *Store, table string) map[rollupKey]rollupRow {
	t.Helper()
	column := map[string]string{"usage_hourly": "toInt64(toUInt32(hour))", "usage_daily": "toInt64(toUInt32(toDateTime(day, 'UTC')))"}[table]
	var q query
	q.add("SELECT session_id, bucket, username, nas_ip, nas_identifier, plan, lo.1, lo.2, lo.3, lo.4, lo.5, hi.1, hi.2, hi.3, -hi.4, -hi.5, input, output, loose FROM (" +
		"SELECT session_id, " + column + ` AS bucket, username, nas_ip, nas_identifier, plan,
			minMerge(low) AS lo, maxMerge(high) AS hi, maxMerge(input_max) AS input, maxMerge(output_max) AS output, maxMerge(derived) AS loose
		FROM ` + table + " GROUP BY session_id, bucket, username, nas_ip, nas_identifier, plan)")
	rows := make(map[rollupKey]rollupRow)
	var k rollupKey
	var r rollupRow
	var derived uint8
	require.NoError(t, s.eachRow(t.Context(), q, []any{&k.session, &k.bucket, &k.user, &k.nas, &k.identifier, &k.plan,
		&r.low.seconds, &r.low.input, &r.low.output, &r.low.received, &r.low.at,
		&r.high.seconds, &r.high.input, &r.high.output, &r.high.received, &r.high.at, &r.input, &r.output, &derived}, func() error {
		r.derived = derived != 0
		rows[k] = r
		return nil
	}))
	return rows
}
