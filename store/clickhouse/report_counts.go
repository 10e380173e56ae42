package clickhouse

import (
	"context"
	"fmt"
	"time"

	"radiusd/report"
)

// Counts implements [report.Source]. ClickHouse knows records only, and so no
// stops that are inferred.
func (s *Store) Counts(ctx context.Context, q report.CountQuery, fn func(report.Count) error) error {
	if err := s.counts(ctx, q, fn); err != nil {
		return fmt.Errorf("report of %s: %w", q.Event, err)
	}
	return nil
}

func (s *Store) counts(ctx context.Context, q report.CountQuery, fn func(report.Count) error) error {
	starts, err := q.Starts()
	if err != nil {
		return err
	}
	counting := s.stops(q, starts)
	if q.Event == report.Rejects {
		counting = s.rejects(q, starts)
	}
	ranking, period := report.NewRanking(q), uint64(0)
	var n uint64
	var row report.Count
	err = s.eachRow(ctx, counting, []any{&n, &row.Key, &row.Cause, &row.Count}, func() error {
		if n != period { // they come in order
			if err := ranking.Close(fn); err != nil {
				return err
			}
			period = n
		}
		row.Start = starts[n]
		ranking.Add(row)
		return nil
	})
	if err != nil {
		return err
	}
	return ranking.Close(fn)
}

// periodOf is the number of the period that a moment is in, in µs.
func periodOf(moment string, starts []time.Time) string {
	if len(starts) == 1 {
		return "toUInt64(0)"
	}
	list := ""
	for _, start := range starts[1:] {
		list += fmt.Sprintf(", toInt64(%d)", µs(start))
	}
	return "toUInt64(arrayCount(start -> start <= " + moment + ", [" + list[2:] + "]))"
}

// key is the column of what the rows are by.
func key(by report.By) string {
	switch by {
	case report.ByUser:
		return "username"
	case report.ByNAS:
		return "nas_ip"
	case report.ByPlan:
		return "plan"
	}
	return "''"
}

// stops counts the sessions that stopped, each when its last Stop says.
func (s *Store) stops(q report.CountQuery, starts []time.Time) query {
	var all query
	// Of copies of a record the one that was received first is the greater point.
	all.add("SELECT " + periodOf("stopped", starts) + " AS period, " + key(q.By) + " AS key, cause, count() FROM (" +
		"SELECT maxIf((point, terminate_cause), status = 'stop') AS stop, -tupleElement(tupleElement(stop, 1), 5) AS stopped, tupleElement(stop, 2) AS cause, " +
		"any(nas_ip) AS nas_ip, argMaxIf(plan, point, plan != '') AS plan, argMaxIf(username, point, username != '') AS username" +
		" FROM (SELECT session_id, status, terminate_cause, nas_ip, plan, username, maxMerge(high) AS point FROM " + s.schema.qualified("sessions") +
		" WHERE month >= addMonths(" + s.month(q.From) + ", -1)")
	if q.NAS.IsValid() {
		all.add(" AND nas_ip = ?", q.NAS.Unmap().String())
	}
	all.add(" GROUP BY session_id, status, terminate_cause, nas_ip, plan, username) GROUP BY session_id HAVING countIf(status = 'stop') > 0)"+
		" WHERE stopped >= ? AND stopped < ?", µs(q.From), µs(q.To))
	if q.User != "" {
		all.add(" AND username = ?", q.User)
	}
	all.add(" GROUP BY period, key, cause ORDER BY period")
	return all
}

// rejects counts refused logins, each once.
func (s *Store) rejects(q report.CountQuery, starts []time.Time) query {
	const moment = "toInt64(toUInt32(at)) * 1000000 + at_microseconds"
	var all query
	all.add("SELECT "+periodOf(moment, starts)+" AS period, "+key(q.By)+" AS key, reason AS cause, uniqExact(id) FROM "+s.schema.qualified("auth_records")+
		fmt.Sprintf(" WHERE NOT accepted AND at >= toDateTime(%d, 'UTC') AND at <= toDateTime(%d, 'UTC')", storable(q.From).Unix(), storable(q.To).Unix())+
		" AND "+moment+" >= ? AND "+moment+" < ?", µs(q.From), µs(q.To))
	if q.User != "" {
		all.add(" AND username = ?", q.User)
	}
	if q.NAS.IsValid() {
		all.add(" AND nas_ip = ?", q.NAS.Unmap().String())
	}
	all.add(" GROUP BY period, key, cause ORDER BY period")
	return all
}
