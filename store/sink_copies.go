package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// unknown returns the records that the store does not have yet, each once.
func (t *sinkTx) unknown(ctx context.Context, records []aaa.Record) ([]*aaa.Record, error) {
	known := make(map[uuid.UUID]bool, len(records))
	var doubtful []*aaa.Record
	for i := range records {
		if r := &records[i]; t.tx.attempt > 1 || !t.isNew(r) {
			doubtful = append(doubtful, r)
		}
	}
	for _, span := range recordSpans(doubtful) {
		if err := t.knownIn(ctx, span, known); err != nil {
			return nil, err
		}
	}
	fresh := make([]*aaa.Record, 0, len(records))
	for i := range records {
		if r := &records[i]; !known[r.ID] {
			known[r.ID] = true
			fresh = append(fresh, r)
		}
	}
	return fresh, nil
}

// isNew reports whether the session as it is stored, without this batch, shows that
// the store cannot have the record: they are written together. Nearly all records
// are of that kind, and need not be looked for. Should somebody have deleted a
// session and left its records, then the transaction fails, and looks for all.
func (t *sinkTx) isNew(r *aaa.Record) bool {
	if r.SessionID == uuid.Nil || t.stored == nil {
		return false
	}
	n, exists := t.stored[r.SessionID]
	if !exists {
		return true
	}
	s := &t.found[n]
	return r.HasSeconds && r.SessionSeconds > s.SessionSeconds ||
		r.Status == aaa.AcctStop && (s.Open() || s.StopInferred) ||
		r.Status == aaa.AcctStart && s.StartInferred
}

// knownIn notes which records of a span the store has. A record of a session is
// looked up by both ids, which one index has; others (of boots and tunnels) by
// their own.
func (t *sinkTx) knownIn(ctx context.Context, span recordSpan, known map[uuid.UUID]bool) error {
	var sessions, ids, sessionless []string
	for _, r := range span.records {
		if r.SessionID == uuid.Nil {
			sessionless = append(sessionless, r.ID.String())
		} else {
			sessions, ids = append(sessions, r.SessionID.String()), append(ids, r.ID.String())
		}
	}
	var recordID uuid.UUID
	each := func(query string, args []any) error {
		return eachRow(ctx, t.tx, query, args, []any{id{&recordID}}, func() error {
			known[recordID] = true
			return nil
		})
	}
	if t.tx.postgres {
		return knownInPostgres(each, span, sessions, ids, sessionless)
	}
	return t.knownInSQLite(each, sessions, ids, sessionless)
}

// knownInPostgres reads no partition outside the span. LATERAL with LIMIT is one
// index lookup for each record, whatever the planner thinks of their number.
func knownInPostgres(each func(string, []any) error, span recordSpan, sessions, ids, sessionless []string) error {
	if len(ids) > 0 {
		err := each(`SELECT k.record_id FROM unnest($1::text[]::uuid[], $2::text[]::uuid[]) AS k (session_id, record_id),
			LATERAL (SELECT 1 FROM accounting_records a WHERE a.session_id = k.session_id AND a.record_id = k.record_id
				AND a.event_time >= $3 AND a.event_time < $4 LIMIT 1) AS present`,
			[]any{sessions, ids, moment{&span.from}, moment{&span.to}})
		if err != nil {
			return err
		}
	}
	if len(sessionless) == 0 {
		return nil
	}
	return each(`SELECT record_id FROM accounting_records WHERE session_id IS NULL AND record_id = ANY ($1::text[]::uuid[])
		AND event_time >= $2 AND event_time < $3`, []any{sessionless, moment{&span.from}, moment{&span.to}})
}

// knownInSQLite: CROSS JOIN is SQLite's way to say which table to read first.
func (t *sinkTx) knownInSQLite(each func(string, []any) error, sessions, ids, sessionless []string) error {
	for len(ids) > 0 {
		n := min(len(ids), inListSize)
		rows, args := make([]string, n), make([]any, 0, 2*n)
		for i := range n {
			rows[i] = "(" + placeholders(len(args)+1, 2) + ")"
			args = append(args, sessions[i], ids[i])
		}
		sessions, ids = sessions[n:], ids[n:]
		err := each("SELECT a.record_id FROM (VALUES "+strings.Join(rows, ", ")+`) AS k CROSS JOIN accounting_records a
			WHERE a.session_id = k.column1 AND a.record_id = k.column2`, args)
		if err != nil {
			return err
		}
	}
	return eachChunk(t.tx, "record_id", "uuid", sessionless, func(which string, args []any) error {
		return each("SELECT record_id FROM accounting_records WHERE session_id IS NULL AND "+which, args)
	})
}

// A recordSpan is records whose copies may be found between two times.
type recordSpan struct {
	records  []*aaa.Record
	from, to time.Time
}

// copyDistance is how far the event time of two copies of one record can be apart
// when it was derived from the time of receipt: a NAS may repeat for hours.
const copyDistance = 24 * time.Hour

// recordSpans groups records by time, so that few partitions need to be searched
// for copies of them even if a clock among them is years off.
func recordSpans(records []*aaa.Record) []recordSpan {
	sorted := slices.Clone(records)
	slices.SortFunc(sorted, func(a, b *aaa.Record) int { return a.EventTime.Compare(b.EventTime) })
	var spans []recordSpan
	for _, r := range sorted {
		n := len(spans)
		if n == 0 || r.EventTime.Sub(spans[n-1].to) > 0 {
			spans = append(spans, recordSpan{from: r.EventTime.Add(-copyDistance)})
			n++
		}
		span := &spans[n-1]
		span.to = r.EventTime.Add(copyDistance)
		span.records = append(span.records, r)
	}
	return spans
}
