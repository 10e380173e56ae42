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

// A billing run over many users on Postgres, of whom each has a subscription with a set-up
// fee, and usage on each day of the month before.
// RADIUSD_SCALE=100000 makes the hundred thousand invoices.
func TestBillingRunOfManyUsers(t *testing.T) {
	if testing.Short() {
		t.Skip("many users")
	}
	n := scaleUsers()
	now := time.Date(2030, 2, 3, 12, 0, 0, 0, time.UTC)
	options := postgresDatabase(t)
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
	options.Now = func() time.Time { return now }
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	db := storetest.Raw(t, options)
	ctx := context.Background()
	fillUsers(t, s, db, options.Sealer, n)

	plan, err := s.PlanByName(ctx, "gold")
	require.NoError(t, err)
	start, err := billing.ParseDate("2030-01-01")
	require.NoError(t, err)
	percent, err := billing.ParseDecimal("19")
	require.NoError(t, err)
	price, err := billing.ParseDecimal("0.5")
	require.NoError(t, err)
	rate := &billing.Rate{PlanID: plan.ID, Currency: "EUR", Terms: billing.Terms{
		Price: 1999, Setup: 500, Every: billing.Interval{Unit: billing.Month, Count: 1}, Timing: billing.InAdvance, TaxClass: "standard", DueDays: 14,
		Usage: []billing.UsageTerms{{Metric: billing.MetricOctets, Allowance: 1 << 30, Per: 1 << 30, Tiers: []billing.Tier{{Price: price}}}},
	}}
	require.NoError(t, s.CreateRate(ctx, rate))
	tax := billing.TaxRate{Class: "standard", Name: "VAT", Percent: percent, Category: "S", From: start}
	require.NoError(t, s.SetTaxRate(ctx, &tax))
	var ids []uuid.UUID
	require.NoError(t, eachID(ctx, t, options, "SELECT id FROM users ORDER BY username", &ids))
	require.Len(t, ids, n)
	copyInto(t, db, "subscriptions", []string{"id", "user_id", "rate_id", "state", "start_day", "anchor_day", "past_rates", "revision", "created_at", "updated_at"}, n, func(i int) ([]any, error) {
		return []any{uuid.NewSHA1(ids[i], nil), ids[i], rate.ID, "active", now.AddDate(0, -1, -2), now.AddDate(0, -1, -2), "[]", 0, now, now}, nil
	})
	copyInto(t, db, "usage_daily", []string{"username", "day", "session_seconds", "input_octets", "output_octets"}, 31*n, func(i int) ([]any, error) {
		return []any{scaleName(i / 31), time.Date(2030, 1, 1+i%31, 0, 0, 0, 0, time.UTC), 3600, 10 << 20, 90 << 20}, nil
	})
	_, err = db.ExecContext(ctx, "ANALYZE")
	require.NoError(t, err)

	o := billing.RunOptions{Location: time.UTC, Taxes: []billing.TaxRate{tax}, Seller: billing.Party{Name: "ISP", Country: "DE"}, Series: "2030", SettleDays: 2, LookBack: 60, DueDays: 14}
	bill := func(day string) (run billing.Run) {
		o.AsOf, err = billing.ParseDate(day)
		require.NoError(t, err)
		took := measured(t, "billing run for "+day, func() {
			run, err = billing.BillAll(ctx, s, o, nil)
			require.NoError(t, err)
		})
		t.Logf("%d accounts, %d charges, %d invoices, %.0f invoices a second", run.Accounts, run.Charges, run.Invoices, float64(run.Invoices)/took.Seconds())
		require.Zero(t, run.Failed)
		return run
	}
	run := bill("2030-02-03") // January and February in advance, set-up, usage of January
	require.Equal(t, n, run.Invoices)
	require.Equal(t, 4*n, run.Charges)
	require.Zero(t, bill("2030-02-04").Invoices)
	for i := range 10 {
		_, err := s.RecordPayment(ctx, &billing.Payment{UserID: ids[i*n/10], Method: billing.PaidCash, Currency: "EUR", Amount: 10_000, ReceivedOn: o.AsOf})
		require.NoError(t, err)
	}
	measured(t, "check of the ledger", func() {
		complaints, err := s.CheckLedger(ctx)
		require.NoError(t, err)
		require.Empty(t, complaints)
	})
	page, _, err := s.ListInvoicesPage(ctx, billing.InvoiceFilter{}, aaa.Page{Limit: 1, Sort: "-number"})
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("2030-%06d", n), page[0].Number)

	if os.Getenv("RADIUSD_SCALE") == "" {
		return // what follows is slow, and measured when asked for
	}
	// Reminders to all who have not paid, which are nearly all, and nothing the day after.
	_, _, err = s.UpdateDunningSettings(ctx, func(d *billing.Dunning, _ time.Time) (err error) {
		d.Steps, err = billing.ParseDunningSteps("7 remind, 14 remind, 30 suspend")
		return err
	})
	require.NoError(t, err)
	dun := func(daysAfter int) (run store.DunningRun) {
		measured(t, fmt.Sprintf("dunning %d days after the due day", daysAfter), func() {
			for !run.Finished {
				run, err = s.DunAccounts(ctx, run, store.DunningOptions{Day: o.AsOf.AddDays(13 + daysAfter), Bill: o}, 200)
				require.NoError(t, err)
			}
		})
		require.Zero(t, run.Failed)
		return run
	}
	unpaid := dun(7).Reminded
	require.InDelta(t, n, unpaid, 10)
	require.Zero(t, dun(8).Reminded)
	require.Equal(t, unpaid, dun(30).Suspended)
}

// eachID reads ids by a query.
func eachID(ctx context.Context, t *testing.T, options store.Options, query string, ids *[]uuid.UUID) error {
	rows, err := storetest.Raw(t, options).QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		*ids = append(*ids, uuid.MustParse(text))
	}
	return rows.Err()
}
