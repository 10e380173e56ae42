package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/report"
)

// Concurrent implements [report.Source]. ClickHouse knows records only: a session
// without a Stop counts until its last one, or as open if that is less than a day
// old.
func (s *Store) Concurrent(ctx context.Context, q report.ConcurrentQuery, fn func(report.Concurrent) error) error {
	gauge, err := report.NewGauge(q, 0, fn)
	if err == nil {
		var at, by int64
		err = s.eachRow(ctx, s.changes(q), []any{&at, &by}, func() error { return gauge.Change(fromµs(at), by) })
	}
	if err == nil {
		err = gauge.Close()
	}
	if err != nil {
		return fmt.Errorf("report of concurrent sessions: %w", err)
	}
	return nil
}

// begun is when a session began, by its least point: low of a Start, or of a record
// that came later.
func begun(low string) string {
	return "tupleElement(" + low + ", 5) - toInt64(tupleElement(" + low + ", 1)) * 1000000"
}

// changes selects how the number of open sessions changes from when the span
// begins, in order of time. What began before it begins with it.
func (s *Store) changes(q report.ConcurrentQuery) query {
	from, to := µs(q.From), µs(q.To)
	var inner query
	inner.add("SELECT if(countIf(status = 'start') > 0, tupleElement(minIf(lo, status = 'start'), 5), " + begun("min(lo)") + `) AS start,
		countIf(status = 'stop') AS stops, -tupleElement(maxIf(hi, status = 'stop'), 5) AS stop, -tupleElement(max(hi), 5) AS last
		FROM (SELECT session_id, status, minMerge(low) AS lo, maxMerge(high) AS hi FROM ` + s.schema.qualified("sessions") +
		` WHERE month >= ` + s.month(q.From))
	if q.User != "" {
		inner.add(" AND username = ?", q.User)
	}
	if q.NAS.IsValid() {
		inner.add(" AND nas_ip = ?", q.NAS.Unmap().String())
	}
	inner.add(" GROUP BY session_id, status) GROUP BY session_id")
	var all query
	all.add("SELECT moment, sum(delta) FROM (SELECT change.1 AS moment, change.2 AS delta FROM (SELECT arrayJoin([(greatest(start, toInt64(?)), toInt64(1)), (end, toInt64(-1))]) AS change FROM (", from)
	all.add("SELECT start, if(stops > 0, stop, if(last > ?, toInt64(?), last)) AS end FROM ("+inner.text+") WHERE start < ? AND end > start AND end >= ?",
		slices.Concat([]any{µs(s.now().Add(-silence)), to}, inner.args, []any{to, from})...)
	all.add("))) WHERE moment < ? GROUP BY moment ORDER BY moment", to)
	return all
}

// Holders implements [report.Source]. It merges the records of the sessions that
// may have held the address, as the store does when it takes them in. A session
// without a Stop, whose last record is more than a day old, ended with that.
func (s *Store) Holders(ctx context.Context, q report.HolderQuery, fn func(report.Holder) error) error {
	list, err := s.holders(ctx, q)
	if err != nil {
		return fmt.Errorf("report of who held %s: %w", q.Address, err)
	}
	slices.SortFunc(list, func(a, b report.Holder) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), slices.Compare(b.SessionID[:], a.SessionID[:]))
	})
	if q.Limit > 0 {
		list = list[:min(len(list), q.Limit)]
	}
	for _, h := range list {
		if err := fn(h); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) holders(ctx context.Context, q report.HolderQuery) (list []report.Holder, err error) {
	var ids []uuid.UUID
	var session uuid.UUID
	err = s.eachRow(ctx, s.mayHaveHeld(q), []any{&session}, func() error {
		ids = append(ids, session)
		return nil
	})
	if err != nil {
		return nil, err
	}
	open := s.now().Add(-silence)
	for chunk := range slices.Chunk(ids, sessionsAtOnce) {
		err := s.eachSessionRecords(ctx, chunk, func(records []aaa.Record) error {
			var x aaa.Session
			for i := range records {
				x.Merge(&records[i])
			}
			if x.Open() && x.UpdatedAt.Before(open) {
				x.Lapse()
			}
			held := holding(&x, q.Address)
			if held.IsValid() && !x.StartedAt.After(q.To) && (x.Open() || !x.StoppedAt.Before(q.From)) {
				list = append(list, report.Holder{SessionID: x.ID, AcctSessionID: x.AcctSessionID, Username: x.Username, CallingStationID: x.CallingStationID,
					NASAddr: x.NASAddr, NASPortID: x.NASPortID, Held: held, StartedAt: x.StartedAt, StartInferred: x.StartInferred,
					UpdatedAt: x.UpdatedAt, StoppedAt: x.StoppedAt, StopInferred: x.StopInferred})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// holding returns what of the session's addresses and prefixes contains an address.
func holding(x *aaa.Session, address netip.Addr) netip.Prefix {
	for _, own := range [...]netip.Addr{x.FramedIP, x.FramedIPv6} {
		if own.IsValid() && own == address {
			return netip.PrefixFrom(own, own.BitLen())
		}
	}
	for _, prefix := range [...]netip.Prefix{x.FramedIPv6Prefix, x.DelegatedPrefix} {
		if prefix.IsValid() && prefix.Contains(address) {
			return prefix
		}
	}
	return netip.Prefix{}
}

// mayHaveHeld selects the sessions that had an address, in any of their records,
// and may have been open in a time: they had begun before its end, and had a record
// since its beginning.
func (s *Store) mayHaveHeld(q report.HolderQuery) query {
	var selected query
	selected.add("SELECT session_id FROM " + s.schema.qualified("sessions") + " WHERE ")
	if q.Address.Is4() {
		selected.add("framed_ip = ?", q.Address.String())
	} else {
		containing := make([]string, 0, q.Address.BitLen()+1)
		for bits := q.Address.BitLen(); bits >= 0; bits-- {
			prefix, _ := q.Address.Prefix(bits) // it fits
			containing = append(containing, prefix.String())
		}
		selected.add("(framed_ipv6 = ? OR ", q.Address.String())
		addList(&selected, "framed_ipv6_prefix", containing)
		selected.add(" OR ")
		addList(&selected, "delegated_prefix", containing)
		selected.add(")")
	}
	selected.add(" GROUP BY session_id HAVING "+begun("minMerge(low)")+" <= ?", µs(q.To))
	return selected
}
