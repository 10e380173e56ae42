package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/netip"
	"time"

	"radiusd/report"
)

// Counts implements [report.Source]. Each period is one query.
func (s *Store) Counts(ctx context.Context, q report.CountQuery, fn func(report.Count) error) error {
	starts, err := q.Starts()
	if err != nil {
		return fmt.Errorf("report of %s: %w", q.Event, err)
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		ranking := report.NewRanking(q)
		for n, start := range starts {
			end := q.To
			if n+1 < len(starts) {
				end = starts[n+1]
			}
			if err := countPeriod(ctx, tx, q, start, end, ranking); err != nil {
				return err
			}
			if err := ranking.Close(fn); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("report of %s: %w", q.Event, s.explain(err))
	}
	return nil
}

func countPeriod(ctx context.Context, tx *sql.Tx, q report.CountQuery, start, end time.Time, ranking *report.Ranking) error {
	row := report.Count{Start: start}
	var name string
	var nas netip.Addr
	var key column = text{&name}
	if q.By == report.ByNAS {
		key = address{&nas}
	}
	query, args := countQuery(q, start, end)
	dest := []any{key, text{&row.Cause}, flag{&row.Inferred}, whole[uint64]{&row.Count}}
	return eachRow(ctx, tx, query, args, dest, func() error {
		row.Key = name
		if nas.IsValid() {
			row.Key = nas.String()
		}
		ranking.Add(row)
		return nil
	})
}

// countQuery counts what happened from start on and before end, by what the query
// asks for.
func countQuery(q report.CountQuery, start, end time.Time) (query string, args []any) {
	from, at, cause, inferred := "sessions", "stopped_at", "terminate_cause", "stop_inferred"
	var c conditions
	if q.Event == report.Rejects {
		from, at, cause, inferred = "auth_records", "at", "reason", "accepted" // which is false
		c.add("NOT accepted")
	}
	c.add(at+" >= $%d AND "+at+" < $%d", moment{&start}, moment{&end})
	if q.User != "" {
		c.add("username = $%d", q.User)
	}
	if q.NAS.IsValid() {
		c.add("nas_ip = $%d", address{&q.NAS})
	}
	key := map[report.By]string{report.ByUser: "username", report.ByNAS: "nas_ip", report.ByPlan: "plan"}[q.By]
	selected, groups := cause+", "+inferred, cause+", "+inferred
	if key == "" {
		selected = "NULL, " + selected
	} else {
		selected, groups = key+", "+selected, key+", "+groups
	}
	return "SELECT " + selected + ", count(*) FROM " + from + c.where() + " GROUP BY " + groups, c.args
}
