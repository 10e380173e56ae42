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
	c.TaxClass, c.TaxIncluded = "standard", true
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
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: dispute.ID, Amount: 150, ReceivedOn: civil("2030-01-01"), ChargedBack: true})
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
	require.NoError(t, b.UpdateUser(ctx, "given", func(u *aaa.User) error {
		u.ExpiresAt, u.Status, u.Suspension = at("2030-01-01T00:00:00Z"), aaa.UserSuspended, aaa.SuspendedBalance // as it was once
		return nil
	}))
	made, err := b.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "days", Kind: billing.VoucherPlan, Count: 1, PlanID: b.gold.PlanID, Validity: 24 * time.Hour, RedeemBefore: at("2030-02-01T00:00:00Z")})
	require.NoError(t, err)
	_, err = b.RedeemVoucher(ctx, given, made[0].Code, netip.Addr{})
	require.NoError(t, err)
	is(given, aaa.UserActive, "the plan of the voucher waits for nothing")
}

// testWrittenOff: what is given up is no credit of the user's. Whatever pays it later takes
// the write-off back.
func testWrittenOff(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	badDebt := func() (sum billing.Amount) {
		list, err := b.TrialBalance(ctx, time.Time{})
		require.NoError(t, err)
		for _, account := range list {
			if account.Account == billing.AccountBadDebt {
				sum = account.Balance
			}
		}
		return sum
	}

	// 10.00, of which 4.00 are paid and 6.00 given up. A credit note over all of it leaves
	// the 4.00 that were paid.
	credited := b.addUser(t, "credited")
	i := b.invoiceOver(t, credited, 1000)
	b.pay(t, credited, 400, "")
	require.NoError(t, b.WriteOffInvoice(ctx, i.ID))
	assert.Equal(t, billing.Amount(600), badDebt())
	b.requireOwed(t, credited, 0, i, billing.InvoicePaid)
	requireRefused(t, b.WriteOffInvoice(ctx, i.ID), billing.CodeInvoiceState)
	_, now := b.said(t, i, 0)
	_, err := b.CreditInvoice(ctx, i.ID, map[int]billing.Amount{1: 100}, civil("2030-01-03"), "")
	require.NoError(t, err)
	b.requireOwed(t, credited, 0, i, billing.InvoicePaid)
	assert.Equal(t, billing.Amount(500), badDebt())
	_, err = b.CreditInvoice(ctx, i.ID, nil, civil("2030-01-03"), "")
	require.NoError(t, err)
	b.requireOwed(t, credited, -400, i, billing.InvoicePaid)
	assert.Zero(t, badDebt())
	kinds, _ := b.said(t, i, now)
	assert.Equal(t, []string{"invoice.recovered", "invoice.recovered"}, kinds)

	// 10.00 are given up. The user pays 3.00 of it after all, and what is open first; then
	// more than is left.
	late := b.addUser(t, "late")
	i = b.invoiceOver(t, late, 1000)
	require.NoError(t, b.WriteOffInvoice(ctx, i.ID))
	open := b.invoiceOver(t, late, 200)
	paid := b.pay(t, late, 500, "")
	b.requireOwed(t, late, 0, i, billing.InvoicePaid)
	b.requireOwed(t, late, 0, open, billing.InvoicePaid)
	assert.Equal(t, billing.Amount(700), badDebt())
	require.Len(t, paid.Allocations, 2)
	named := &billing.Payment{UserID: late, Method: billing.PaidCash, Currency: "EUR", Amount: 900, ReceivedOn: civil("2030-01-04"), Allocations: []billing.Allocation{{InvoiceID: i.ID, Amount: 700}}}
	_, err = b.RecordPayment(ctx, named)
	require.NoError(t, err)
	b.requireOwed(t, late, -200, i, billing.InvoicePaid)
	assert.Zero(t, badDebt())

	// That payment goes back, and what is open again is given up again: a second time.
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: named.ID, Amount: 900, ReceivedOn: civil("2030-01-05")})
	require.NoError(t, err)
	b.requireOwed(t, late, 700, i, billing.InvoiceIssued)
	require.NoError(t, b.WriteOffInvoice(ctx, i.ID))
	b.requireOwed(t, late, 0, i, billing.InvoicePaid)
	assert.Equal(t, billing.Amount(700), badDebt())

	// It was a mistake: it is owed.
	_, now = b.said(t, i, 0)
	require.NoError(t, b.ReinstateInvoice(ctx, i.ID))
	b.requireOwed(t, late, 700, i, billing.InvoiceIssued)
	assert.Zero(t, badDebt())
	kinds, _ = b.said(t, i, now)
	assert.Equal(t, []string{"invoice.recovered", "invoice.reopened"}, kinds)
	requireRefused(t, b.ReinstateInvoice(ctx, i.ID), billing.CodeInvoiceState)
}

// testUsedUp: what charges that are on no invoice yet have used up is not given back, unless
// it is gone already.
func testUsedUp(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	userID := b.addUser(t, "used")
	p := b.pay(t, userID, 1000, "")
	c, err := billing.NewManualCharge(userID, "EUR", 700, "days")
	require.NoError(t, err)
	require.NoError(t, b.CreateCharge(ctx, &c))
	refund := func(amount billing.Amount, gone bool) error {
		_, err := b.RefundPayment(ctx, &billing.Payment{Refunds: p.ID, Amount: amount, ReceivedOn: civil("2030-01-06"), ChargedBack: gone})
		return err
	}
	var field *billing.FieldError
	require.ErrorAs(t, refund(301, false), &field)
	assert.Equal(t, "no more than 3.00 EUR can be given back: 7.00 EUR are used up, by charges that are on no invoice yet", field.Message)
	require.NoError(t, refund(300, false))
	b.pay(t, userID, 200, "") // which pays 2.00 of the 7.00
	require.ErrorAs(t, refund(201, false), &field)
	require.NoError(t, refund(200, false))
	require.ErrorAs(t, refund(1, false), &field)
	require.NoError(t, refund(500, true), "a dispute asks nobody")
	balance, err := b.Balance(ctx, userID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-200), balance)
	requireSound(t, b.Store)
}
