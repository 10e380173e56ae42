package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"radiusd/aaa"
	"radiusd/report"
)

var _ report.Source = (*Store)(nil)

// Usage implements [report.Source]. By user and whole days it reads usage_daily,
// else accounting_records.
func (s *Store) Usage(ctx context.Context, q report.UsageQuery, fn func(report.Usage) error) error {
	usage := s.usageOfRecords
	if q.By == report.ByUser && q.Period != report.Hour && !q.NAS.IsValid() && q.Plan == "" && q.WholeDays() && q.Zone.String() == s.location.String() {
		usage = s.usageOfDays
	}
	err := s.read(ctx, func(tx *sql.Tx) error { return usage(ctx, tx, q, fn) })
	if err != nil {
		return fmt.Errorf("report of usage: %w", s.explain(err))
	}
	return nil
}

// usageOfDays answers by user from usage_daily.
func (s *Store) usageOfDays(ctx context.Context, tx *sql.Tx, q report.UsageQuery, fn func(report.Usage) error) error {
	tally, err := report.NewTally(q, fn)
	if err != nil {
		return err
	}
	var u aaa.DailyUsage
	fields := usageFields(&u, s.location)
	user := ""
	each := func() error {
		if u.Username != user {
			if err := tally.Done(); err != nil {
				return err
			}
			user = u.Username
		}
		tally.Add(u.Username, u.Day, u.Usage)
		return nil
	}
	days := func(c conditions) error {
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM usage_daily"+c.where()+" ORDER BY username, day", c.args, targets(fields), each)
	}
	if q.Limit == 0 || q.User != "" {
		err = days(s.usageDays(q))
	} else {
		// Who they are first, and then their days alone.
		var top []string
		if top, err = s.topUsers(ctx, tx, q); err != nil {
			return err
		}
		slices.Sort(top)
		for chunk := range slices.Chunk(top, inListSize) {
			c := s.usageDays(q)
			c.in("username", chunk)
			if err = days(c); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	return tally.Close()
}

// usageDays selects the rows of usage_daily that a query is about.
func (s *Store) usageDays(q report.UsageQuery) (c conditions) {
	last := q.To.Add(-1)
	c.add("day >= $%d AND day <= $%d", day{&q.From, s.location}, day{&last, s.location})
	if q.User != "" {
		c.add("username = $%d", q.User)
	}
	return c
}

// topUsers returns the users with the most octets.
func (s *Store) topUsers(ctx context.Context, tx *sql.Tx, q report.UsageQuery) (list []string, err error) {
	query, args := s.topUsersQuery(q)
	var name string
	err = eachRow(ctx, tx, query, args, []any{&name}, func() error {
		list = append(list, name)
		return nil
	})
	return list, err
}

func (s *Store) topUsersQuery(q report.UsageQuery) (query string, args []any) {
	sum := "sum(input_octets) + sum(output_octets)"
	if s.pool == nil { // SQLite's sum fails on overflow
		sum = "total(input_octets) + total(output_octets)"
	}
	c := s.usageDays(q)
	return fmt.Sprintf("SELECT username FROM usage_daily%s GROUP BY username ORDER BY %s DESC, username LIMIT %d", c.where(), sum, q.Limit), c.args
}
