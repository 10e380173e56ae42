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

// EachUsage calls fn for each user's usage on days from since on, and once for
// each user with the sum of all earlier days and a zero Day.
func (s *Store) EachUsage(ctx context.Context, since time.Time, fn func(aaa.DailyUsage) error) error {
	var u aaa.DailyUsage
	fields := usageFields(&u, s.location)
	firstDay := since.In(s.location).Format(dayLayout)
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
	return s.read(ctx, func(tx *sql.Tx) error {
		each := func() error { return fn(u) }
		err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM usage_daily WHERE day >= $1", []any{firstDay}, targets(fields), each)
		if err != nil {
			return fmt.Errorf("read usage: %w", s.explain(err))
		}
		u.Day = time.Time{}
		sumTargets := append([]any{fields[0].column}, targets(fields[2:])...)
		err = eachRow(ctx, tx, "SELECT username, "+strings.Join(sums, ", ")+" FROM usage_daily WHERE day < $1 GROUP BY username",
			[]any{firstDay}, sumTargets, each)
		if err != nil {
			return fmt.Errorf("read usage: %w", s.explain(err))
		}
		return nil
	})
}
