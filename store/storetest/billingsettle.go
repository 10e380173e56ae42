package storetest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
)

// addUser makes a user without a subscription.
func (b *billed) addUser(t testing.TB, name string) uuid.UUID {
	t.Helper()
	u := newUser(name)
	require.NoError(t, b.CreateUser(t.Context(), u))
	return u.ID
}

// invoiceOver issues an invoice over a charge by hand, on the day of the clock.
func (b *billed) invoiceOver(t testing.TB, userID uuid.UUID, amount billing.Amount) *billing.Invoice {
	t.Helper()
	c, err := billing.NewManualCharge(userID, "EUR", amount, "by hand")
	require.NoError(t, err)
	require.NoError(t, b.CreateCharge(t.Context(), &c))
	o := b.runOptions()
	o.AsOf = billing.DateOf(*b.now.Load(), time.UTC)
	draft, err := b.DraftInvoice(t.Context(), userID, "EUR", o)
	require.NoError(t, err)
	i, err := b.IssueInvoice(t.Context(), draft.ID, billing.Date{}, billing.Date{})
	require.NoError(t, err)
	return i
}

// requireOwed requires what a user owes, that the books are sound, and in what state an
// invoice is.
func (b *billed) requireOwed(t testing.TB, userID uuid.UUID, want billing.Amount, i *billing.Invoice, state billing.InvoiceState) {
	t.Helper()
	requireSound(t, b.Store)
	balance, err := b.Balance(t.Context(), userID, "EUR")
	require.NoError(t, err)
	require.Equal(t, want, balance)
	got, err := b.InvoiceByID(t.Context(), i.ID)
	require.NoError(t, err)
	require.Equal(t, state, got.State)
}

// said returns the kinds of the events about an invoice since a place, and the place now.
func (b *billed) said(t testing.TB, i *billing.Invoice, since uint64) (kinds []string, now uint64) {
	t.Helper()
	now = since
	for _, e := range eventsAfter(t, b.Store, since) {
		if now = e.Seq; e.EntityID == i.ID {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds, now
}

// testSettled: whatever changes what a user has, it pays what is open from then on, and
// only what has become of an invoice in the end is told.
func testSettled(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	userID := b.addUser(t, "settled")
	i := b.invoiceOver(t, userID, 1000)
	first, second := b.pay(t, userID, 1000, "1"), b.pay(t, userID, 1000, "2")
	b.requireOwed(t, userID, -1000, i, billing.InvoicePaid)
	_, now := b.said(t, i, 0)
	refund := func(paymentID uuid.UUID, amount billing.Amount) {
		t.Helper()
		_, err := b.RefundPayment(ctx, &billing.Payment{Refunds: paymentID, Amount: amount, ReceivedOn: civil("2030-01-06")})
		require.NoError(t, err)
	}

	// The first payment goes back: the second one pays the invoice, which was never open.
	refund(first.ID, 1000)
	b.requireOwed(t, userID, 0, i, billing.InvoicePaid)
	kinds, now := b.said(t, i, now)
	assert.Empty(t, kinds)
	p, err := b.PaymentByID(ctx, second.ID)
	require.NoError(t, err)
	require.Len(t, p.Allocations, 1)

	// A part of the second one goes back, and then what was left: the invoice is opened once.
	refund(second.ID, 400)
	b.requireOwed(t, userID, 400, i, billing.InvoiceIssued)
	refund(second.ID, 600)
	b.requireOwed(t, userID, 1000, i, billing.InvoiceIssued)
	kinds, now = b.said(t, i, now)
	assert.Equal(t, []string{"invoice.reopened"}, kinds)
	b.pay(t, userID, 1000, "3")
	kinds, _ = b.said(t, i, now)
	assert.Equal(t, []string{"invoice.paid"}, kinds)
}

// testPrepaidServed: who is prepaid is served while there is credit, wherever it comes from
// and goes to.
func testPrepaidServed(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	terms := billing.Terms{Price: 3000, Every: billing.Interval{Unit: billing.Day, Count: 30}, Timing: billing.InAdvance, Prepaid: billing.PrepaidDaily, TaxIncluded: true, TaxClass: "standard"}
	daily := newRate(t, b.Store, "daily", terms) // 1.00 a day
	subscribed := func(name string) (uuid.UUID, *billing.Subscription) {
		userID := b.addUser(t, name)
		x := billing.NewSubscription(uuid.New(), userID, *daily, civil("2030-01-01"), *b.now.Load())
		require.NoError(t, b.CreateSubscription(ctx, &x))
		return userID, &x
	}
	_, err := b.UpdateBillingSettings(ctx, func(s *billing.Settings) error { s.Seller.Name = "ISP"; return nil })
	require.NoError(t, err)
	is := func(userID uuid.UUID, want aaa.UserStatus, why string) {
		t.Helper()
		u, _, err := b.UserByID(ctx, userID)
		require.NoError(t, err)
		require.Equal(t, want, u.Status, why)
		if want == aaa.UserSuspended {
			require.Equal(t, aaa.SuspendedBalance, u.Suspension, why)
		}
		requireSound(t, b.Store)
	}
	charges := func(userID uuid.UUID) int {
		list, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: userID, Kind: billing.ChargePeriod}, aaa.Page{})
		require.NoError(t, err)
		return len(list)
	}
	credited, _ := subscribed("credited")
	paid := b.invoiceOver(t, credited, 500)
	b.pay(t, credited, 500, "")
	voided, _ := subscribed("voided")
	owed := b.invoiceOver(t, voided, 500)
	c, err := billing.NewManualCharge(voided, "EUR", -300, "sorry")
	require.NoError(t, err)
	require.NoError(t, b.CreateCharge(ctx, &c))
	taken, _ := subscribed("taken")
	dispute := b.pay(t, taken, 150, "")
	given, x := subscribed("given")
	_, err = b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)

	is(credited, aaa.UserSuspended, "nothing was paid in advance")
	_, err = b.CreditInvoice(ctx, paid.ID, nil, civil("2030-01-01"), "")
	require.NoError(t, err)
	is(credited, aaa.UserActive, "the credit note is credit")
	assert.Equal(t, 1, charges(credited), "the day is charged")

	is(voided, aaa.UserSuspended, "5.00 are owed, of which 3.00 are given up")
	require.NoError(t, b.VoidInvoice(ctx, owed.ID))
	is(voided, aaa.UserActive, "3.00 are left")

	// The day was paid. The money goes back to the bank: from now on there is no service.
	is(taken, aaa.UserActive, "paid")
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: dispute.ID, Amount: 150, ReceivedOn: civil("2030-01-01")})
	require.NoError(t, err)
	is(taken, aaa.UserSuspended, "1.00 is used up and not paid")
	b.pay(t, taken, 50, "")
	is(taken, aaa.UserSuspended, "0.50 are missing")
	b.pay(t, taken, 50, "")
	is(taken, aaa.UserActive, "the day is paid")
	assert.Equal(t, 1, charges(taken), "once")

	// The subscription has ended, and somebody gives a voucher for a plan.
	is(given, aaa.UserSuspended, "nothing was paid")
	require.NoError(t, b.UpdateSubscription(ctx, x.ID, func(x *billing.Subscription) ([]billing.Charge, error) {
		x.State, x.End = billing.SubscriptionEnded, civil("2030-01-01")
		return nil, nil
	}))
	require.NoError(t, b.UpdateUser(ctx, "given", func(u *aaa.User) error { u.ExpiresAt = at("2030-01-01T00:00:00Z"); return nil }))
	is(given, aaa.UserSuspended, "the subscription has ended")
	made, err := b.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "days", Kind: billing.VoucherPlan, Count: 1, PlanID: b.gold.PlanID, Validity: 24 * time.Hour, RedeemBefore: at("2030-02-01T00:00:00Z")})
	require.NoError(t, err)
	_, err = b.RedeemVoucher(ctx, given, made[0].Code, netip.Addr{})
	require.NoError(t, err)
	is(given, aaa.UserActive, "the plan of the voucher waits for nothing")
}
