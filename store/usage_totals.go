package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"radiusd/aaa"
)

// usage_daily grows for ever, and a server that starts has to know what each user
// has used ever. So the days before the current month and week are added up by user
// in usage_totals, about once a month. What comes later for one of those days is
// added to both.

// totalsSetting holds the first day that is not in usage_totals.
const totalsSetting = "usage_totals_until"

// totalsAge is how many days ago a day has begun at least, by any node's clock, that
// is in usage_totals.
const totalsAge = 2

// totalsUntil returns the first day that is not in usage_totals; empty: none is.
func totalsUntil(ctx context.Context, q querier) (day string, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", totalsSetting).Scan(&day)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return day, err
}

// lockTotals keeps days from being added up while others add to them. Those who add
// to such a day share the lock.
func (tx *writeTx) lockTotals(ctx context.Context, shared string) error {
	if !tx.postgres {
		return nil // it has one writer
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock"+shared+"(hashtext('radiusd usage_totals'))")
	return err
}

// addToTotals adds those of the days to usage_totals that it has.
func (s *Store) addToTotals(ctx context.Context, tx *writeTx, usage []aaa.DailyUsage) error {
	recent := s.now().AddDate(0, 0, -totalsAge)
	var late []aaa.DailyUsage
	for _, u := range usage {
		if u.Day.Before(recent) {
			late = append(late, u)
		}
	}
	if len(late) == 0 {
		return nil
	}
	if err := tx.lockTotals(ctx, "_shared"); err != nil {
		return err
	}
	until, err := totalsUntil(ctx, tx)
	if err != nil || until == "" {
		return err
	}
	for i := range late {
		u := &late[i]
		if u.Day.In(s.location).Format(dayLayout) >= until {
			continue
		}
		fields := usageFields(u, s.location)
		row := append(fields[:1], fields[2:]...)
		if err := resolveRows(ctx, tx, "usage_totals", addUp("usage_totals", "username"), listed(row)); err != nil {
			return err
		}
	}
	return nil
}

// totalsTarget is the first day that need not be in usage_totals: limits count in
// the current month and week, and clocks differ.
func (s *Store) totalsTarget() string {
	now := s.now().In(s.location)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, s.location)
	week := time.Date(now.Year(), now.Month(), now.Day()-(int(now.Weekday())+6)%7, 0, 0, 0, 0, s.location)
	if week.Before(month) {
		month = week
	}
	return month.AddDate(0, 0, -totalsAge).Format(dayLayout)
}

// addUpUsage adds the days before totalsTarget up in usage_totals.
func (s *Store) addUpUsage(ctx context.Context) error {
	target := s.totalsTarget()
	if until, err := totalsUntil(ctx, s.reader); err != nil || until >= target {
		return err
	}
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.lockTotals(ctx, ""); err != nil {
			return err
		}
		until, err := totalsUntil(ctx, tx)
		if err != nil || until >= target { // another node was faster
			return err
		}
		where, args := "day < $1", []any{target}
		if until != "" {
			where, args = where+" AND day >= $2", append(args, until)
		}
		sums := strings.Join(s.usageSums(usageFields(new(aaa.DailyUsage), s.location)), ", ")
		_, err = tx.ExecContext(ctx, "INSERT INTO usage_totals (username, session_seconds, input_octets, output_octets) SELECT username, "+
			sums+" FROM usage_daily WHERE "+where+" GROUP BY username "+addUp("usage_totals", "username"), args...)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			totalsSetting, target)
		return err
	})
	if err != nil {
		return fmt.Errorf("add up usage: %w", s.explain(err))
	}
	return nil
}
