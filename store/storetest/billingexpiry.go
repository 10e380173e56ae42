package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// testCreditExpiry: credit ends on its day, but for what is used up, and once.
func testCreditExpiry(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	user := func(name string) uuid.UUID {
		u := newUser(name)
		require.NoError(t, b.CreateUser(ctx, u))
		return u.ID
	}
	pay := func(userID uuid.UUID, amount billing.Amount, expires string) *billing.Payment {
		p := &billing.Payment{UserID: userID, Method: billing.PaidCash, Currency: "EUR", Amount: amount, ReceivedOn: civil("2030-01-05")}
		if expires != "" {
			p.ExpiresOn = civil(expires)
		}
		booked, err := b.RecordPayment(ctx, p)
		require.NoError(t, err)
		require.True(t, booked)
		return p
	}
	charge := func(userID uuid.UUID, amount billing.Amount) uuid.UUID {
		c, err := billing.NewManualCharge(userID, "EUR", amount, "by hand")
		require.NoError(t, err)
		require.NoError(t, b.CreateCharge(ctx, &c))
		return c.ID
	}
	requireCredit := func(userID uuid.UUID, want billing.Amount, message string) {
		t.Helper()
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		require.Equal(t, want, -balance, message)
		requireSound(t, b.Store)
	}
	expire := func(day string) {
		t.Helper()
		for last, limit := uuid.Nil, 1; ; { // a user at a time
			var err error
			last, err = b.ExpireCredit(ctx, civil(day), last, limit)
			require.NoError(t, err)
			if last == uuid.Nil {
				return
			}
		}
	}

	// 10.00 until 31 January and 5.00 for good: 5.00 are left.
	simple := user("simple")
	made := pay(simple, 1000, "2030-01-31")
	pay(simple, 500, "")
	// 20.00, of which 7.50 are charged and on no invoice: 12.50 are lost, 7.50 wait.
	used := user("used")
	pay(used, 2000, "2030-01-31")
	bought := charge(used, 750)
	// 10.00 for good, and then 10.00 until 31 January: an invoice of 4.00 takes of those
	// that end, of which 6.00 are lost.
	both := user("both")
	pay(both, 1000, "")
	pay(both, 1000, "2030-01-31")
	charge(both, 400)
	o := b.runOptions()
	o.AsOf = civil("2030-01-10")
	draft, err := b.DraftInvoice(ctx, both, "EUR", o)
	require.NoError(t, err)
	_, err = b.IssueInvoice(ctx, draft.ID, billing.Date{}, billing.Date{})
	require.NoError(t, err)

	expire("2030-01-31")
	requireCredit(simple, 1500, "the last day is not over")
	for range 2 {
		expire("2030-02-01")
		requireCredit(simple, 500, "10.00 are lost, once")
		requireCredit(used, 750, "what is used up is not lost")
		requireCredit(both, 1000, "16.00 less 6.00")
	}
	gone, err := b.PaymentByID(ctx, made.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(1000), gone.Expired)
	sums, err := b.TrialBalance(ctx, time.Time{})
	require.NoError(t, err)
	for _, account := range sums {
		if account.Account == billing.AccountExpired {
			assert.Equal(t, billing.Amount(-1000-1250-600), account.Balance)
		}
	}
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: made.ID, Amount: 1, ReceivedOn: civil("2030-02-02")})
	assert.True(t, billing.IsRefusal(err), "what is lost is not given back: %v", err)

	// The charge is taken back, so that nothing uses the 7.50: they end too.
	require.NoError(t, b.DeleteCharge(ctx, bought))
	expire("2030-02-02")
	requireCredit(used, 0, "12.50 and 7.50")

	// A run does it; a top-up that was ordered says for how many days.
	topped := user("topped")
	order := &billing.Order{UserID: topped, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 3000, Details: billing.OrderDetails{ExpireDays: 10}}
	require.NoError(t, b.CreateOrder(ctx, order, o))
	paid, err := b.PayOrder(ctx, order.ID, &billing.Payment{Method: billing.PaidCash, Currency: "EUR", Amount: 3000, ReceivedOn: civil("2030-02-10")}, o)
	require.NoError(t, err)
	assert.Equal(t, billing.OrderCompleted, paid.State)
	o.AsOf = civil("2030-02-20")
	_, err = billing.BillAll(ctx, b.Store, o, nil)
	require.NoError(t, err)
	requireCredit(topped, 3000, "the last day is not over")
	o.AsOf = civil("2030-02-21")
	_, err = billing.BillAll(ctx, b.Store, o, nil)
	require.NoError(t, err)
	requireCredit(topped, 0, "paid on the 10th, and the 20th was the last day")
}
