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
	rows := make([][]field, len(usage))
	for i := range usage {
		rows[i] = usageFields(&usage[i], s.location)
	}
	return resolveRows(ctx, tx, "usage_daily", usageConflict, rows)
}

// usageConflict adds, and stops at the greatest number that fits.
var usageConflict = func() string {
	var sets []string
	for _, column := range []string{"session_seconds", "input_octets", "output_octets"} {
		sets = append(sets, strings.ReplaceAll(`COL = usage_daily.COL + CASE
			WHEN excluded.COL > 9223372036854775807 - usage_daily.COL THEN 9223372036854775807 - usage_daily.COL
			ELSE excluded.COL END`, "COL", column))
	}
	return "ON CONFLICT (username, day) DO UPDATE SET " + strings.Join(sets, ", ")
}()

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

// EachUsage implements aaa.SessionStore. The database adds the days up: there are
// many of them, and one row at most for a user and span.
func (s *Store) EachUsage(ctx context.Context, starts []time.Time, fn func(aaa.DailyUsage) error) error {
	var u aaa.DailyUsage
	fields := usageFields(&u, s.location)
	sums := s.usageSums(fields)
	span, args := "0", []any(nil)
	if len(starts) > 0 {
		var b strings.Builder
		b.WriteString("CASE")
		for i := len(starts); i > 0; i-- {
			fmt.Fprintf(&b, " WHEN day >= $%d THEN %d", i, i)
		}
		span = b.String() + " ELSE 0 END"
		for _, start := range starts {
			args = append(args, start.In(s.location).Format(dayLayout))
		}
	}
	number := 0
	targets := append([]any{fields[0].column, &number}, targets(fields[2:])...)
	err := s.read(ctx, func(tx *sql.Tx) error {
		if s.pool != nil {
			// Groups beyond work_mem go to disk, and there may be millions of users.
			if _, err := tx.ExecContext(ctx, "SET LOCAL work_mem = '128MB'"); err != nil {
				return err
			}
		}
		return eachRow(ctx, tx, "SELECT username, "+span+" AS span, "+strings.Join(sums, ", ")+" FROM usage_daily GROUP BY username, span",
			args, targets, func() error {
				u.Day = time.Time{}
				if number > 0 {
					u.Day = starts[number-1]
				}
				return fn(u)
			})
	})
	if err != nil {
		return fmt.Errorf("read usage: %w", s.explain(err))
	}
	return nil
}
