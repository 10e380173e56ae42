package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
	"radiusd/store/seal"
)

// testUsageTotals: what was used in months past is added up, and the sums are
// those of the days, whatever comes late.
func testUsageTotals(t *testing.T, database Database) {
	ctx := t.Context()
	options := database(t)
	now := noon
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(Key), true, "a"
	options.Now = func() time.Time { return now }
	s := reopen(t, options)
	db := Raw(t, options)
	sink := sinkOf(t, s)
	use := func(user string, days int) {
		t.Helper()
		records := life(user, 2)
		for i := range records {
			r := &records[i]
			r.AcctSessionID = fmt.Sprint(user, days)
			r.EventTime, r.ReceivedAt = r.EventTime.AddDate(0, 0, -days), r.ReceivedAt.AddDate(0, 0, -days)
			aaa.NewResolver().Resolve(r)
			require.NoError(t, write(ctx, sink, 1, *r))
		}
	}
	sums := func(starts ...time.Time) map[string]aaa.Usage {
		t.Helper()
		list := map[string]aaa.Usage{}
		require.NoError(t, s.EachUsage(ctx, starts, func(d aaa.DailyUsage) error {
			key := d.Username + " " + d.Day.Format(time.DateOnly)
			u := list[key]
			u.Seconds += d.Seconds
			u.InputOctets += d.InputOctets
			u.OutputOctets += d.OutputOctets
			list[key] = u
			return nil
		}))
		return list
	}
	// requireSums holds the sums to those of a store that has none made up.
	requireSums := func(totals int) {
		t.Helper()
		rows := 0
		require.NoError(t, db.QueryRowContext(ctx, "SELECT count(*) FROM usage_totals").Scan(&rows))
		require.Equal(t, totals, rows)
		for _, starts := range [][]time.Time{nil, {now.AddDate(0, 0, -7), now}, {now.AddDate(0, 0, -200), now}} {
			got := sums(starts...)
			var until string
			_ = db.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = 'usage_totals_until'").Scan(&until)
			execute(t, db, "DELETE FROM settings WHERE name = 'usage_totals_until'")
			want := sums(starts...)
			if until != "" {
				execute(t, db, "INSERT INTO settings (name, value) VALUES ('usage_totals_until', '"+until+"')")
			}
			require.Equal(t, want, got)
		}
	}
	for _, days := range []int{0, 3, 20, 100, 101, 130} {
		use("01", days)
	}
	use("02", 1)
	use("03", 150)
	requireSums(0)
	for range 2 {
		require.NoError(t, s.Maintain(ctx, store.Retention{}))
		requireSums(2)
	}
	use("03", 140) // from the journal of a node that was away for long
	use("04", 90)
	requireSums(3)
	execute(t, db, "DELETE FROM usage_daily WHERE username = 'user of 03'")
	assert.NotZero(t, sums()["user of 03 0001-01-01"], "the days themselves are not read")
	execute(t, db, "DELETE FROM usage_totals WHERE username = 'user of 03'")

	now = now.AddDate(0, 3, 0)
	use("04", -60)
	requireSums(2)
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	requireSums(3)

	// The sum of what was and what comes never wraps.
	execute(t, db, "UPDATE usage_totals SET input_octets = 9223372036854775000")
	use("02", 80)
	assert.Equal(t, uint64(1<<63-1), sums()["user of 02 0001-01-01"].InputOctets)
}
