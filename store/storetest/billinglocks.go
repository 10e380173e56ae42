package storetest

import (
	"context"
	"database/sql"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
)

// testLockOrder: whatever changes an account locks it in one order, so two of them wait for
// one another and neither has to begin again.
func testLockOrder(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	if w.options.URL == "" {
		return // its one writer has locked all
	}
	ctx := t.Context()
	raw := Raw(t, w.options)
	order := []struct{ table, column string }{{"users", "id"}, {"ledger_balances", "user_id"}, {"subscriptions", "user_id"}, {"charges", "user_id"}}
	_, err := w.UpdateBillingSettings(ctx, func(s *billing.Settings) error { s.Seller.Name = "ISP"; return nil })
	require.NoError(t, err)
	vouchers, err := w.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "gifts", Kind: billing.VoucherPlan, Count: len(order), PlanID: w.plans["home"], Validity: 24 * time.Hour})
	require.NoError(t, err)
	days := civil("2030-01-01")
	change := func(userID uuid.UUID, name string, subscription *billing.Subscription, level int) map[string]func() error {
		o := w.runOptions()
		o.AsOf = civil("2030-01-01")
		return map[string]func() error{
			"run": func() error {
				days = days.AddDays(1)
				_, err := w.run(context.WithoutCancel(ctx), days.String(), 500)
				return err
			},
			"bill": func() error { return w.BillAccount(ctx, userID, o, billing.Compute) },
			"charge": func() error {
				c, err := billing.NewManualCharge(userID, "EUR", 100, "a cable")
				c.TaxClass = "standard"
				if err == nil {
					err = w.CreateCharge(ctx, &c)
				}
				return err
			},
			"pay": func() error {
				_, err := w.RecordPayment(ctx, &billing.Payment{UserID: userID, Method: billing.PaidCash, Currency: "EUR", Amount: 1000, ReceivedOn: civil("2030-01-01")})
				return err
			},
			"subscribe": func() error {
				return w.CreateSubscription(ctx, &billing.Subscription{UserID: userID, Rate: billing.Rate{ID: w.rates["fibre"]}, Start: civil("2030-01-01")})
			},
			"order": func() error {
				return w.CreateOrder(ctx, &billing.Order{UserID: userID, Kind: billing.OrderPlan, Currency: "EUR", Details: billing.OrderDetails{RateID: w.rates["fibre"]}}, o)
			},
			"change": func() error {
				return w.UpdateSubscription(ctx, subscription.ID, func(x *billing.Subscription) ([]billing.Charge, error) {
					x.State, x.End = billing.SubscriptionEnded, civil("2030-01-01")
					return nil, nil
				})
			},
			"redeem": func() error {
				_, err := w.RedeemVoucher(ctx, userID, vouchers[level].Code, netip.Addr{})
				return err
			},
			"delete": func() error { return w.DeleteUser(ctx, name) },
			"erase": func() error {
				_, err := w.StartErasure(ctx, userID, aaa.EraseOptions{})
				return err
			},
		}
	}
	for level, held := range order {
		for kind := range change(uuid.Nil, "", nil, 0) {
			name := kind + " " + held.table
			userID := w.user(name)
			subscription := subscribe(t, w.Store, userID, w.rates["daily"], "2030-01-01")
			o := w.runOptions()
			o.AsOf = civil("2030-01-01")
			require.NoError(t, w.BillAccount(ctx, userID, o, billing.Compute)) // waits for credit
			cable, err := billing.NewManualCharge(userID, "EUR", 100, "a cable")
			require.NoError(t, err)
			cable.TaxClass = "standard"
			require.NoError(t, w.CreateCharge(ctx, &cable))
			w.pay(t, userID, 1, "") // which is not enough

			if kind == "redeem" { // for those who have none
				w.cancel(subscription, "2030-01-01")
			}
			holder, err := raw.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = holder.ExecContext(ctx, "SELECT 1 FROM "+held.table+" WHERE "+held.column+" = $1 FOR UPDATE", userID)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() { done <- change(userID, name, subscription, level)[kind]() }()
			finished := awaitLocked(t, raw, done)
			if level < 2 {
				assert.False(t, finished, "%s has not locked %s", kind, held.table)
			}
			for _, later := range order[level+1:] {
				_, err := holder.ExecContext(ctx, "SELECT 1 FROM "+later.table+" WHERE "+later.column+" = $1 FOR UPDATE NOWAIT", userID)
				if !assert.NoError(t, err, "%s has locked %s before %s", kind, later.table, held.table) {
					break
				}
			}
			require.NoError(t, holder.Rollback())
			if !finished {
				require.NoError(t, <-done, name)
			}
		}
	}
}

// awaitLocked waits until a transaction waits for a lock, or all is done.
func awaitLocked(t *testing.T, db *sql.DB, done <-chan error) (finished bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case err := <-done:
			finished = true
			return assert.NoError(t, err)
		default:
		}
		var waiting int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		return assert.NoError(t, err) && waiting > 0
	}, 30*time.Second, 2*time.Millisecond)
	return finished
}
