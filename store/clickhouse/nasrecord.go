package clickhouse

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// ofNASes selects the rows of NASes whose NAS-Identifier begins with a text.
const ofNASes = " WHERE startsWith(nas_identifier, ?)"

// CountRecordsOf returns how many accounting records there are of the NASes whose
// NAS-Identifier begins with prefix; copies of a record count once.
func (s *Store) CountRecordsOf(ctx context.Context, prefix string) (int, error) {
	var n uint64
	err := s.conn.QueryRow(ctx, "SELECT uniqExact(record_id) FROM "+s.schema.qualified("accounting_records")+ofNASes, prefix).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count accounting records: %w", explain(err))
	}
	return int(n), nil
}

// EachRecordOf calls fn for every accounting record of the NASes whose
// NAS-Identifier begins with prefix, in no order: with what identifies the record and
// its session, its time, user, address and counters. The record belongs to fn only
// during the call.
func (s *Store) EachRecordOf(ctx context.Context, prefix string, fn func(*aaa.Record) error) error {
	rows, err := s.conn.Query(ctx, `SELECT record_id, session_id, acct_session_id, status, username, nas_identifier, nas_port, framed_ip,
		event_time, event_microseconds, session_seconds, input_octets, output_octets FROM `+
		s.schema.qualified("accounting_records")+" FINAL"+ofNASes, prefix)
	if err != nil {
		return fmt.Errorf("read accounting records: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var r aaa.Record
		var status, framed string
		var event time.Time
		var microseconds uint32
		var counters [3]*uint64
		if err := rows.Scan(&r.ID, &r.SessionID, &r.AcctSessionID, &status, &r.Username, &r.NASIdentifier, &r.NASPort, &framed,
			&event, &microseconds, &counters[0], &counters[1], &counters[2]); err != nil {
			return fmt.Errorf("read accounting records: %w", explain(err))
		}
		if r.Status, err = aaa.ParseAcctStatus(status); err == nil && framed != "" {
			r.FramedIP, err = netip.ParseAddr(framed)
		}
		if err != nil {
			return fmt.Errorf("read accounting record %s: %w", r.ID, err)
		}
		r.EventTime = event.UTC().Add(time.Duration(microseconds) * time.Microsecond)
		for i, to := range []*uint64{&r.SessionSeconds, &r.InputOctets, &r.OutputOctets} {
			if counters[i] != nil {
				*to = *counters[i]
			}
		}
		r.HasSeconds, r.HasOctets = counters[0] != nil, counters[1] != nil
		if err := fn(&r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read accounting records: %w", explain(err))
	}
	return nil
}

// EachUsageOf calls fn for every session on the NASes whose NAS-Identifier begins with
// prefix, in no order, with its counters as the rollup of days has them.
func (s *Store) EachUsageOf(ctx context.Context, prefix string, fn func(session uuid.UUID, used aaa.Usage) error) error {
	rows, err := s.conn.Query(ctx, `SELECT session_id, tupleElement(maxMerge(high), 1), maxMerge(input_max), maxMerge(output_max) FROM `+
		s.schema.qualified("usage_daily")+ofNASes+" GROUP BY session_id", prefix)
	if err != nil {
		return fmt.Errorf("read usage: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var session uuid.UUID
		var used aaa.Usage
		if err := rows.Scan(&session, &used.Seconds, &used.InputOctets, &used.OutputOctets); err != nil {
			return fmt.Errorf("read usage: %w", explain(err))
		}
		if err := fn(session, used); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read usage: %w", explain(err))
	}
	return nil
}
