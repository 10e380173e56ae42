package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"radiusd/aaa"
)

func usageFields(u *aaa.DailyUsage, zone *time.Location) []field {
	return []field{
		{"username", text{&u.Username}},
		{"day", day{&u.Day, zone}},
		{"session_seconds", whole[uint64]{&u.Seconds}},
		{"input_octets", whole[uint64]{&u.InputOctets}},
		{"output_octets", whole[uint64]{&u.OutputOctets}},
	}
}

// addUsage adds to usage_daily. No two of the rows may be of the same user and
// day.
func (s *Store) addUsage(ctx context.Context, tx *writeTx, usage []aaa.DailyUsage) error {
	var u aaa.DailyUsage
	rows := filled(usageFields(&u, s.location), len(usage), func(i int) { u = usage[i] })
	if err := resolveRows(ctx, tx, "usage_daily", addUp("usage_daily", "username, day"), rows); err != nil {
		return err
	}
	return s.addToTotals(ctx, tx, usage)
}

// addUp is a conflict clause that adds, and stops at the greatest number that fits.
func addUp(table, key string) string {
	var sets []string
	for _, column := range usedColumns {
		sets = append(sets, strings.NewReplacer("COL", column, "TABLE", table).Replace(`COL = TABLE.COL + CASE
			WHEN excluded.COL > 9223372036854775807 - TABLE.COL THEN 9223372036854775807 - TABLE.COL
			ELSE excluded.COL END`))
	}
	return "ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

var usedColumns = []string{"session_seconds", "input_octets", "output_octets"}

// UserUsage returns a user's usage on the days from first to last, in order.
func (s *Store) UserUsage(ctx context.Context, username string, first, last time.Time) (list []aaa.DailyUsage, err error) {
	var u aaa.DailyUsage
	fields := usageFields(&u, s.location)
	err = eachRow(ctx, s.reader, "SELECT "+names(fields)+" FROM usage_daily WHERE username = $1 AND day >= $2 AND day <= $3 ORDER BY day",
		[]any{username, day{&first, s.location}, day{&last, s.location}}, targets(fields), func() error {
			list = append(list, u)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read usage of %q: %w", username, s.explain(err))
	}
	return list, nil
}

// PeriodUsage returns what the user has used in the periods that at lies in, as far as
// records have told, by aaa.Period.
func (s *Store) PeriodUsage(ctx context.Context, username string, at time.Time) ([aaa.PeriodCount]aaa.Usage, error) {
	days, err := s.UserUsage(ctx, username, time.Unix(0, 0), at.AddDate(1, 0, 0))
	if err != nil {
		return [aaa.PeriodCount]aaa.Usage{}, err
	}
	return aaa.UsageByPeriod(days, at, s.location), nil
}

// usageSums are the counters among the fields, each added up.
func (s *Store) usageSums(fields []field) []string {
	// The sum of bigints is numeric in Postgres: brought back to what fits.
	const limit = "9223372036854775807"
	sum := "CAST(CASE WHEN sum(COL) > " + limit + " THEN " + limit + " ELSE sum(COL) END AS bigint)"
	if s.pool == nil {
		// SQLite's sum of integers fails on overflow; total is a float, exact up
		// to 2^53.
		sum = "CASE WHEN total(COL) >= 9.2e18 THEN " + limit + " ELSE CAST(total(COL) AS INTEGER) END"
	}
	var sums []string
	for _, f := range fields[2:] {
		sums = append(sums, strings.ReplaceAll(sum, "COL", f.name))
	}
	return sums
}

// EachUsage implements aaa.SessionStore. The database adds the days up, since there
// are many of them; those of months past it has added up before.
func (s *Store) EachUsage(ctx context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	err := s.read(ctx, func(tx *sql.Tx) error {
		if s.pool != nil {
			// Groups beyond work_mem go to disk, and there may be millions of users.
			if _, err := tx.ExecContext(ctx, "SET LOCAL work_mem = '128MB'"); err != nil {
				return err
			}
		}
		until, err := totalsUntil(ctx, tx)
		if err != nil {
			return err
		}
		if len(starts) > 0 && starts[0].In(s.location).Format(dayLayout) < until {
			until = "" // the totals do not tell which of it is before the start
		}
		if until != "" {
			var u aaa.DailyUsage
			fields := usageFields(&u, s.location)
			fields = append(fields[:1], fields[2:]...)
			err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM usage_totals", nil, targets(fields), func() error { return fn(u) })
			if err != nil {
				return err
			}
		}
		return s.eachSum(ctx, tx, until, starts, fn)
	})
	if err != nil {
		return fmt.Errorf("read usage: %w", s.explain(err))
	}
	return nil
}

// eachSum calls fn for each user's sums of the days from a day on.
func (s *Store) eachSum(ctx context.Context, tx *sql.Tx, from string, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	var u aaa.DailyUsage
	fields := usageFields(&u, s.location)
	sums := strings.Join(s.usageSums(fields), ", ")
	span, where, args := "0", "", []any(nil)
	if len(starts) > 0 {
		span = " ELSE 0 END"
		for i, start := range starts {
			span = fmt.Sprintf(" WHEN day >= $%d THEN %d", i+1, i+1) + span
			args = append(args, start.In(s.location).Format(dayLayout))
		}
		span = "CASE" + span
	}
	if from != "" {
		args = append(args, from)
		where = fmt.Sprintf(" WHERE day >= $%d", len(args))
	}
	number := 0
	targets := append([]any{fields[0].column, &number}, targets(fields[2:])...)
	return eachRow(ctx, tx, "SELECT username, "+span+" AS span, "+sums+" FROM usage_daily"+where+" GROUP BY username, span",
		args, targets, func() error {
			u.Day = time.Time{}
			if number > 0 {
				u.Day = starts[number-1]
			}
			return fn(u)
		})
}
