package store

import (
	"context"
	"fmt"
	"time"

	"radiusd/aaa"
)

func authFields(r *aaa.AuthRecord) []field {
	return []field{
		{"id", id{&r.ID}},
		{"at", moment{&r.At}},
		{"username", text{&r.Username}},
		{"accepted", flag{&r.Accepted}},
		{"reason", word[aaa.Reason]{&r.Reason, aaa.ParseReason}},
		{"detail", text{&r.Detail}},
		{"method", word[aaa.Method]{&r.Method, parseMethod}},
		{"nas_id", nullID{&r.NASID}},
		{"nas_ip", address{&r.NASAddr}},
		{"nas_port_id", text{&r.NASPortID}},
		{"calling_station_id", text{&r.CallingStationID}},
		{"called_station_id", text{&r.CalledStationID}},
		{"session_nonce", nonce{&r.SessionNonce}},
	}
}

// parseMethod reads a method as String writes it.
func parseMethod(name string) (aaa.Method, error) {
	for m := aaa.MethodNone; m <= aaa.MethodEAP; m++ {
		if m.String() == name {
			return m, nil
		}
	}
	return 0, fmt.Errorf("unknown method %q", name)
}

// AppendAuthRecords implements [aaa.AuthRecordStore]. A record that is there already
// is kept as it is.
func (s *Store) AppendAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	if batch.Len() == 0 {
		return nil
	}
	if err := s.appendAuthRecords(ctx, batch); err != nil {
		return fmt.Errorf("append auth records: %w", s.explain(err))
	}
	return nil
}

// authTransaction is how many records a transaction of SQLite inserts, which has its
// only connection for so long.
const authTransaction = 500

func (s *Store) appendAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	if s.pool != nil {
		s.ensurePartitions(ctx, authPartitions, batch.Times())
		err := s.copyAuthRecords(ctx, batch)
		if kind := kindOf(err); kind != kindUnique && kind != kindRetry {
			return err
		}
		// The server has none of this, and some from before: a commit whose answer was
		// lost.
	}
	records := batch.Records()
	for len(records) > 0 {
		n := len(records)
		if s.pool == nil {
			n = min(n, authTransaction)
		}
		var r aaa.AuthRecord
		rows := filled(authFields(&r), n, func(i int) { r = records[i] })
		err := s.write(ctx, func(tx *writeTx) error { return insertNew(ctx, tx, "auth_records", rows) })
		if err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// AuthFilter selects decisions and one page of them. The zero value is the first
// page of all.
type AuthFilter struct {
	Username string    // as sent; empty: all
	Refused  bool      // refusals only
	From     time.Time // zero: no bound
	// After is the last record of the page before.
	After *aaa.AuthRecord
	Limit int // zero: 1000
}

// ListAuthRecords returns a page of decisions, the latest first.
func (s *Store) ListAuthRecords(ctx context.Context, filter AuthFilter) (list []aaa.AuthRecord, err error) {
	rest, args := filter.query()
	var r aaa.AuthRecord
	fields := authFields(&r)
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM auth_records"+rest, args, targets(fields), func() error {
		list = append(list, r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list auth records: %w", s.explain(err))
	}
	return list, nil
}

func (f AuthFilter) query() (rest string, args []any) {
	var c conditions
	if f.Username != "" {
		c.add("username = $%d", f.Username)
	}
	if f.Refused {
		c.add("NOT accepted")
	}
	if !f.From.IsZero() {
		c.add("at >= $%d", moment{&f.From})
	}
	if f.After != nil {
		c.add("(at, id) < ($%d, $%d)", moment{&f.After.At}, f.After.ID.String())
	}
	limit := f.Limit
	if limit <= 0 {
		limit = pageSize
	}
	return c.where() + " ORDER BY at DESC, id DESC LIMIT " + fmt.Sprint(limit), c.args
}

var _ aaa.AuthRecordStore = (*Store)(nil)
