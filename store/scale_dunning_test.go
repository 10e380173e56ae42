package store_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// Dunning of many users on Postgres, of whom each has an invoice that is overdue, when
// asked for: RADIUSD_SCALE=100000. It is measured with the memory that it takes.
func TestDunningOfManyUsers(t *testing.T) {
	if os.Getenv("RADIUSD_SCALE") == "" {
		t.Skip("many users: set RADIUSD_SCALE")
	}
	n := scaleUsers()
	due := time.Date(2030, 1, 15, 0, 0, 0, 0, time.UTC)
	options := postgresDatabase(t)
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
	options.Now = func() time.Time { return due.AddDate(0, 0, 30) }
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	db := storetest.Raw(t, options)
	ctx := context.Background()
	fillUsers(t, s, db, options.Sealer, n)
	var ids []uuid.UUID
	require.NoError(t, eachID(ctx, t, options, "SELECT id FROM users ORDER BY username", &ids))
	copyInto(t, db, "invoices", []string{"id", "number", "series", "sequence", "kind", "state", "user_id", "currency", "issued_on", "due_on",
		"corrects_number", "net", "tax", "total", "paid", "seller", "buyer", "note", "created_at", "updated_at"}, n, func(i int) ([]any, error) {
		return []any{uuid.NewSHA1(ids[i], nil), fmt.Sprintf("A-%07d", i+1), "A", i + 1, "invoice", "issued", ids[i], "EUR", due.AddDate(0, 0, -14), due,
			"", 1000, 190, 1190, 0, `{"name":"ISP"}`, `{"name":"Somebody"}`, "", due, due}, nil
	})
	_, err = db.ExecContext(ctx, "VACUUM ANALYZE")
	require.NoError(t, err)
	group := &aaa.Group{Name: "debtors", Items: []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: "garden"}}}
	require.NoError(t, s.CreateGroup(ctx, group))
	_, _, err = s.UpdateDunningSettings(ctx, func(d *billing.Dunning, _ time.Time) (err error) {
		d.RestrictGroup = group.ID
		d.Steps, err = billing.ParseDunningSteps("7 remind, 21 restrict, 30 suspend")
		return err
	})
	require.NoError(t, err)
	day, err := billing.ParseDate("2030-01-15")
	require.NoError(t, err)
	dun := func(after int) (run store.DunningRun) {
		took := measured(t, fmt.Sprintf("dunning after %d days", after), func() {
			for !run.Finished {
				run, err = s.DunAccounts(ctx, run, store.DunningOptions{Day: day.AddDays(after)}, 200)
				require.NoError(t, err)
			}
		})
		t.Logf("%.0f accounts a second", float64(run.Accounts)/took.Seconds())
		require.Zero(t, run.Failed)
		require.Equal(t, n, run.Accounts)
		return run
	}
	require.Equal(t, n, dun(7).Reminded)
	require.Zero(t, dun(8).Reminded)
	require.Equal(t, n, dun(21).Restricted)
	require.Equal(t, n, dun(30).Suspended)
	require.Zero(t, dun(31).Suspended)
}
