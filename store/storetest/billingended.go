package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
)

// testEndedCreditServesNobody: credit does not pay for days after its last one.
func testEndedCreditServesNobody(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice, bob := w.user("alice"), w.user("bob")
	ending := &billing.Payment{UserID: alice, Method: billing.PaidCash, Currency: "EUR", Amount: 1000, ReceivedOn: civil("2030-01-01"), ExpiresOn: civil("2030-01-03")}
	_, err := w.RecordPayment(ctx, ending)
	require.NoError(t, err)
	another := &billing.Payment{UserID: bob, Method: billing.PaidCash, Currency: "EUR", Amount: 1000, ReceivedOn: civil("2030-01-01"), ExpiresOn: civil("2030-01-03")}
	_, err = w.RecordPayment(ctx, another)
	require.NoError(t, err)
	w.pay(t, bob, 150, "")
	subscribe(t, w.Store, alice, w.rates["daily"], "2030-01-01") // 1.00 a day
	subscribe(t, w.Store, bob, w.rates["daily"], "2030-01-01")
	night := func(day string) {
		t.Helper()
		w.setNow(at(day + "T04:00:00Z"))
		o := w.runOptions()
		o.AsOf, o.Now = civil(day), *w.now.Load()
		_, err := billing.BillAll(ctx, w.Store, o, nil)
		require.NoError(t, err)
		requireSound(t, w.Store)
	}
	for _, day := range []string{"2030-01-01", "2030-01-02", "2030-01-03"} {
		night(day)
		w.require(alice, served{plan: "daily", status: aaa.UserActive}, day)
	}
	for range 2 {
		night("2030-01-04")
		w.require(alice, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "the credit ended the day before")
		w.require(bob, served{plan: "daily", status: aaa.UserActive}, "has other credit")
	}
	payment, err := w.PaymentByID(ctx, ending.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(700), payment.Expired, "but for three days")
}

// testEndedCreditChargedBack: money that the bank has taken back is booked also where it was
// credit that has ended by then, and what is left ends later.
func testEndedCreditChargedBack(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	u := newUser("alice")
	require.NoError(t, b.CreateUser(ctx, u))
	p := &billing.Payment{UserID: u.ID, Method: billing.PaidCash, Currency: "EUR", Amount: 2000, ReceivedOn: civil("2030-01-01"), ExpiresOn: civil("2030-01-31")}
	_, err := b.RecordPayment(ctx, p)
	require.NoError(t, err)
	c, err := billing.NewManualCharge(u.ID, "EUR", 750, "a cable")
	require.NoError(t, err)
	require.NoError(t, b.CreateCharge(ctx, &c))
	end := func(day string, want billing.Amount) {
		t.Helper()
		_, err := b.ExpireCredit(ctx, civil(day), uuid.Nil, 10)
		require.NoError(t, err)
		balance, err := b.Balance(ctx, u.ID, "EUR")
		require.NoError(t, err)
		assert.Equal(t, want, -balance)
		requireSound(t, b.Store)
	}
	end("2030-02-01", 750)
	back := &billing.Payment{Refunds: p.ID, Amount: 1250, ReceivedOn: civil("2030-02-02")}
	_, err = b.RefundPayment(ctx, back)
	assert.True(t, billing.IsRefusal(err), "what is lost is not given back: %v", err)
	tooMuch := &billing.Payment{Refunds: p.ID, Amount: 2001, ReceivedOn: civil("2030-02-02"), ChargedBack: true}
	_, err = b.RefundPayment(ctx, tooMuch)
	assert.True(t, billing.IsRefusal(err), "more than came: %v", err)
	back.ChargedBack, back.Amount = true, 2000-750+250
	_, err = b.RefundPayment(ctx, back)
	require.NoError(t, err)
	end("2030-02-02", 500)
	require.NoError(t, b.DeleteCharge(ctx, c.ID))
	end("2030-02-03", 0)
	sums, err := b.TrialBalance(ctx, time.Time{})
	require.NoError(t, err)
	for _, account := range sums {
		if account.Account == billing.AccountExpired {
			assert.Equal(t, billing.Amount(-500), account.Balance)
		}
	}
}
