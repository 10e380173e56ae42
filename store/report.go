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
		if u.Username != user { // they come in order
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
	if q.User != "" {
		err = days(s.usageDays(q))
	} else {
		err = s.eachUserChunk(ctx, tx, q, func(users []string) error {
			c := s.usageDays(q)
			c.in("username", users)
			return days(c)
		})
	}
	if err != nil {
		return err
	}
	return tally.Close()
}

// eachUserChunk calls fn for those users in usage_daily that may be in the report,
// some at a time and in order. So the days of all of them need not be sorted,
// which SQLite does in memory.
func (s *Store) eachUserChunk(ctx context.Context, tx *sql.Tx, q report.UsageQuery, fn func(users []string) error) error {
	var users []string
	var name string
	query, args := s.usersOfDays(q)
	err := eachRow(ctx, tx, query, args, []any{&name}, func() error {
		users = append(users, name)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(users)
	for chunk := range slices.Chunk(users, inListSize) {
		if err := fn(chunk); err != nil {
			return err
		}
	}
	return nil
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

// usersOfDays selects the users that have used anything; on Postgres, if there is
// a limit, those with the most octets.
func (s *Store) usersOfDays(q report.UsageQuery) (query string, args []any) {
	c := s.usageDays(q)
	if s.pool == nil || q.Limit == 0 {
		return "SELECT DISTINCT username FROM usage_daily" + c.where(), c.args
	}
	return fmt.Sprintf("SELECT username FROM usage_daily%s GROUP BY username ORDER BY sum(input_octets) + sum(output_octets) DESC, username LIMIT %d",
		c.where(), q.Limit), c.args
}
