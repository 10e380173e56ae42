package storetest

import (
	"testing"

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
