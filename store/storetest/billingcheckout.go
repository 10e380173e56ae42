package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/billing/checkout/checkouttest"
	"radiusd/store"
)

// counter is a desk, and the stand-in for the provider.
type counter struct {
	*checkout.Desk
	provider *checkouttest.Server
}

func newCounter(t *testing.T, b *billed) *counter {
	now := func() time.Time { return *b.now.Load() }
	provider := checkouttest.New(now)
	t.Cleanup(provider.Close)
	stripe, err := checkout.NewStripe(checkout.StripeOptions{SecretKey: checkouttest.SecretKey, WebhookSecrets: []string{checkouttest.WebhookSecret}, URL: provider.URL, RetryAfter: time.Millisecond})
	require.NoError(t, err)
	return &counter{&checkout.Desk{
		Provider: stripe, Book: b.Store, SuccessURL: "https://isp.example/paid", CancelURL: "https://isp.example/bills", Zone: time.UTC, Now: now,
		Rules: func(_ context.Context, day billing.Date) (billing.RunOptions, error) {
			o := b.runOptions()
			o.AsOf = day
			return o, nil
		},
	}, provider}
}

// tell delivers events, and returns what was done.
func (c *counter) tell(t *testing.T, events ...checkouttest.Event) (outcomes []string) {
	for _, e := range events {
		outcome, err := c.Take(t.Context(), c.provider.Header(e), e.Body)
		require.NoError(t, err, e.Type)
		outcomes = append(outcomes, outcome)
	}
	return outcomes
}

// since returns the events after the first n.
func (c *counter) since(n int) []checkouttest.Event { return c.provider.Events()[n:] }

func testCheckout(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	c := newCounter(t, b)
	invoice := b.invoicesOf(t, b.users[0])[0]
	owed := func(userID uuid.UUID) billing.Amount {
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		return balance
	}

	// The provider loses its first answer: asked again, it is one page, and the same to
	// whoever asks later.
	c.provider.Fail(checkouttest.Fault{Lose: true})
	page, err := c.Ask(ctx, invoice.ID, uuid.Nil)
	require.NoError(t, err)
	again, err := c.Ask(ctx, invoice.ID, uuid.Nil)
	require.NoError(t, err)
	assert.Equal(t, []string{page.URL, page.SessionID}, []string{again.URL, again.SessionID})
	assert.Equal(t, 1, c.provider.Sessions())

	// Forged, old, and true.
	c.provider.Pay(page.SessionID)
	event := c.provider.Last()
	forged := c.provider.Header(event)
	forged.Set("Stripe-Signature", checkouttest.Sign(event.Body, c.Now(), "whsec_somebodyelse0123456789"))
	_, err = c.Take(ctx, forged, event.Body)
	assert.ErrorIs(t, err, checkout.ErrSignature)
	forged.Set("Stripe-Signature", checkouttest.Sign(event.Body, c.Now().Add(-time.Hour), checkouttest.WebhookSecret))
	_, err = c.Take(ctx, forged, event.Body)
	assert.ErrorIs(t, err, checkout.ErrSignature)
	assert.Equal(t, invoice.Total, owed(invoice.UserID), "nothing was believed")
	assert.Equal(t, []string{"booked", "known"}, c.tell(t, event, event))
	assert.Zero(t, owed(invoice.UserID))
	request, err := b.CheckoutByID(ctx, page.ID)
	require.NoError(t, err)
	assert.Equal(t, checkout.StatePaid, request.State)
	payment, err := b.PaymentByID(ctx, request.PaymentID)
	require.NoError(t, err)
	assert.Equal(t, []any{billing.PaidCard, "stripe"}, []any{payment.Method, payment.Provider})
	require.Len(t, payment.Allocations, 1)
	assert.Equal(t, invoice.ID, payment.Allocations[0].InvoiceID)
	var refused *billing.RuleError
	_, err = c.Ask(ctx, invoice.ID, uuid.Nil)
	require.ErrorAs(t, err, &refused, "it is paid")
	assert.Equal(t, billing.CodeNothingOwed, refused.Code)

	// A refund in the provider's pages, told of twice, and one that comes back.
	n := len(c.provider.Events())
	c.provider.RefundByHand(page.SessionID, 500)
	c.tell(t, c.since(n)...)
	c.tell(t, c.since(n)...)
	assert.Equal(t, billing.Amount(500), owed(invoice.UserID))
	n = len(c.provider.Events())
	c.provider.Dispute(page.SessionID)
	c.provider.CloseDispute(page.SessionID, "won")
	disputed := c.since(n)
	require.Len(t, disputed, 2)
	c.tell(t, disputed[1], disputed[0], disputed[1]) // the end comes first
	assert.Equal(t, billing.Amount(500), owed(invoice.UserID), "what was won was never gone")
	requireSound(t, b.Store)

	// A refund that is told of before its payment waits for it.
	other := b.invoicesOf(t, b.users[1])[0]
	page, err = c.Ask(ctx, other.ID, uuid.Nil)
	require.NoError(t, err)
	n = len(c.provider.Events())
	c.provider.Pay(page.SessionID)
	paid := c.since(n)
	n = len(c.provider.Events())
	c.provider.RefundByHand(page.SessionID, 100)
	refunds := c.since(n)
	assert.Contains(t, c.tell(t, refunds...), "it waits for its payment")
	assert.Equal(t, other.Total, owed(other.UserID))
	c.tell(t, paid...)
	assert.Equal(t, billing.Amount(100), owed(other.UserID))
	c.tell(t, refunds...)
	assert.Equal(t, billing.Amount(100), owed(other.UserID))

	// Paid otherwise meanwhile: the money is credit.
	third := b.invoicesOf(t, b.users[2])[0]
	page, err = c.Ask(ctx, third.ID, uuid.Nil)
	require.NoError(t, err)
	b.pay(t, third.UserID, third.Total, "by bank")
	c.provider.Pay(page.SessionID)
	c.tell(t, c.provider.Last())
	assert.Equal(t, -third.Total, owed(third.UserID))

	// Credit by a method that takes days; an end that is told of too late changes nothing.
	top := &billing.Order{UserID: third.UserID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 2000}
	require.NoError(t, b.CreateOrder(ctx, top, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, top.ID)
	require.NoError(t, err)
	c.provider.PayLater(page.SessionID)
	assert.Equal(t, []string{"pending"}, c.tell(t, c.provider.Last()))
	c.provider.Settle(page.SessionID)
	assert.Equal(t, []string{"booked"}, c.tell(t, c.provider.Last()))
	x, err := b.OrderByID(ctx, top.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.OrderCompleted, x.State)
	assert.Equal(t, -third.Total-2000, owed(third.UserID))

	// A cancelled order that is paid all the same is not done; the money is kept.
	fourth := b.addUser(t, "fourth") // without credit, which would pay what is ordered
	sub := subscribe(t, b.Store, fourth, b.gold.ID, "2030-01-01")
	gone := &billing.Order{UserID: fourth, Kind: billing.OrderPlan, Currency: "EUR", Amount: 100, Details: billing.OrderDetails{RateID: b.gold.ID}}
	require.NoError(t, b.CreateOrder(ctx, gone, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, gone.ID)
	require.NoError(t, err)
	require.NoError(t, b.CancelOrder(ctx, gone.ID, ""))
	c.provider.Pay(page.SessionID)
	assert.Contains(t, c.tell(t, c.provider.Last())[0], "the order is cancelled")
	assert.Equal(t, billing.Amount(-100), owed(fourth))
	_, err = c.Ask(ctx, uuid.Nil, gone.ID)
	assert.ErrorAs(t, err, &refused)
	_, err = c.Ask(ctx, uuid.New(), uuid.Nil)
	assert.ErrorIs(t, err, store.ErrNotFound)

	// An order that cannot be completed does not lose the money either.
	wrong := &billing.Order{UserID: fourth, Kind: billing.OrderChange, Currency: "EUR", Amount: 200, Details: billing.OrderDetails{RateID: b.gold.ID, SubscriptionID: uuid.New()}}
	require.NoError(t, b.CreateOrder(ctx, wrong, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, wrong.ID)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	assert.Contains(t, c.tell(t, c.provider.Last())[0], "could not be completed")
	assert.Equal(t, billing.Amount(-300), owed(fourth))
	requireSound(t, b.Store)

	// It is paid, says why it is not done, and is completed when it can be; or given up.
	x, err = b.OrderByID(ctx, wrong.ID)
	require.NoError(t, err)
	request, err = b.CheckoutByID(ctx, page.ID)
	require.NoError(t, err)
	assert.Equal(t, []any{billing.OrderPaid, request.PaymentID}, []any{x.State, x.PaymentID})
	require.NotEmpty(t, x.History)
	assert.Contains(t, x.History[len(x.History)-1].Note, "no such subscription")
	o := b.runOptions()
	o.AsOf = civil("2030-01-01")
	_, err = b.CompleteOrder(ctx, wrong.ID, o)
	requireRefused(t, err, billing.CodeSubscriptionState)
	require.NoError(t, b.CancelOrder(ctx, wrong.ID, "as asked"))
	_, err = b.CompleteOrder(ctx, wrong.ID, o)
	requireRefused(t, err, billing.CodeOrderState)
	same := &billing.Order{UserID: fourth, Kind: billing.OrderChange, Currency: "EUR", Amount: 400, Details: billing.OrderDetails{RateID: b.gold.ID, SubscriptionID: sub.ID}}
	require.NoError(t, b.CreateOrder(ctx, same, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, same.ID)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	assert.Contains(t, c.tell(t, c.provider.Last())[0], "it has that rate already")
	bronze := newRate(t, b.Store, "bronze", monthly(499))
	require.NoError(t, b.BillAccount(ctx, fourth, o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Change(a, same.Details.SubscriptionID, *bronze, o.AsOf, o)
	}))
	x, err = b.CompleteOrder(ctx, same.ID, o)
	require.NoError(t, err)
	assert.Equal(t, []any{billing.OrderCompleted, same.Details.SubscriptionID}, []any{x.State, x.SubscriptionID})
	changed, err := b.SubscriptionByID(ctx, same.Details.SubscriptionID)
	require.NoError(t, err)
	assert.Equal(t, b.gold.ID, changed.Rate.ID)
	requireSound(t, b.Store)
	payments, _, err := b.ListPaymentsPage(ctx, billing.PaymentFilter{Provider: "stripe"}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, payments, 7+2, "seven payments, and two refunds")
}

// interrupted is a provider after whose refunds something comes in between.
type interrupted struct {
	checkout.Provider
	then func()
}

func (p interrupted) Refund(ctx context.Context, r checkout.Refund) (checkout.Refunded, error) {
	done, err := p.Provider.Refund(ctx, r)
	p.then()
	return done, err
}

// testCardRefunds: what is given back is given back once by the provider, and booked once,
// wherever it was begun and whatever is told of it when.
func testCardRefunds(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	c := newCounter(t, b)
	invoice := b.invoicesOf(t, b.users[0])[0]
	page, err := c.Ask(ctx, invoice.ID, uuid.Nil)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	c.tell(t, c.provider.Last())
	request, err := b.CheckoutByID(ctx, page.ID)
	require.NoError(t, err)
	refund := func(provider checkout.Provider, amount billing.Amount, key string, change ...func(*billing.Payment)) (*billing.Payment, bool, error) {
		p := &billing.Payment{Refunds: request.PaymentID, Amount: amount, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03")}
		for _, f := range change {
			f(p)
		}
		booked, err := checkout.GiveBack(ctx, provider, b.Store, p, key)
		return p, booked, err
	}
	requireGone := func(atProvider int64, booked billing.Amount, message string) {
		t.Helper()
		session, _ := c.provider.Session(page.SessionID)
		assert.Equal(t, atProvider, session.Refunded, message)
		balance, err := b.Balance(ctx, invoice.UserID, "EUR")
		require.NoError(t, err)
		assert.Equal(t, booked, balance, message)
		requireSound(t, b.Store)
	}

	// Given back there, booked here, and the webhook finds it.
	n := len(c.provider.Events())
	c.provider.Fail(checkouttest.Fault{Lose: true})
	made, booked, err := refund(c.Provider, 500, "")
	require.NoError(t, err)
	assert.True(t, booked)
	assert.Equal(t, []any{"stripe", billing.PaidCard}, []any{made.Provider, made.Method})
	assert.Contains(t, made.Reference, "re_")
	requireGone(500, 500, "the lost answer is not a second refund")
	c.tell(t, c.since(n)...)
	requireGone(500, 500, "the webhook finds it booked")

	// The webhook is faster.
	n = len(c.provider.Events())
	made, booked, err = refund(interrupted{c.Provider, func() { c.tell(t, c.since(n)...) }}, 500, "")
	require.NoError(t, err)
	assert.False(t, booked)
	assert.NotZero(t, made.ID)
	requireGone(1000, 1000, "another one of the same amount, booked by its webhook")

	// Begun in the provider's pages.
	n = len(c.provider.Events())
	c.provider.RefundByHand(page.SessionID, 100)
	c.tell(t, c.since(n)...)
	requireGone(1100, 1100, "by hand")
	_, booked, err = refund(c.Provider, 100, "", func(p *billing.Payment) { p.Reference = "re_by_hand" })
	require.NoError(t, err)
	assert.True(t, booked)
	requireGone(1100, 1200, "what was given back there already is booked only")

	// The provider is down, or there is none: nothing is booked. What is too much is not asked for.
	c.provider.Fail(slices.Repeat([]checkouttest.Fault{{Status: 503}}, 4)...)
	_, _, err = refund(c.Provider, 50, "")
	require.ErrorIs(t, err, checkout.ErrRefund)
	_, _, err = refund(nil, 50, "")
	requireRefused(t, err, billing.CodePaymentState)
	requests := c.provider.Requests()
	var field *billing.FieldError
	_, _, err = refund(c.Provider, invoice.Total, "")
	require.ErrorAs(t, err, &field)
	assert.Equal(t, requests, c.provider.Requests())
	requireGone(1100, 1200, "nothing was booked")

	// A request that comes again with its key, and its booking had failed, is one refund.
	n = len(c.provider.Events())
	_, _, err = refund(interrupted{c.Provider, func() { c.tell(t, c.since(n)...) }}, 60, "key")
	require.NoError(t, err)
	_, booked, err = refund(c.Provider, 60, "key")
	require.NoError(t, err)
	assert.False(t, booked)
	requireGone(1160, 1260, "once")

	// At the desk, in cash.
	_, booked, err = refund(c.Provider, 40, "", func(p *billing.Payment) { p.Method = billing.PaidCash })
	require.NoError(t, err)
	assert.True(t, booked)
	requireGone(1160, 1300, "in cash")

	// What was taken back, and has come back, is given back by the provider too.
	top := &billing.Order{UserID: invoice.UserID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 700}
	require.NoError(t, b.CreateOrder(ctx, top, b.runOptions()))
	order, err := c.Ask(ctx, uuid.Nil, top.ID)
	require.NoError(t, err)
	n = len(c.provider.Events())
	c.provider.Pay(order.SessionID)
	c.provider.Dispute(order.SessionID)
	c.provider.CloseDispute(order.SessionID, "won")
	c.tell(t, c.since(n)...)
	list, _, err := b.ListPaymentsPage(ctx, billing.PaymentFilter{UserID: invoice.UserID, Reference: "dp_"}, aaa.Page{})
	require.NoError(t, err)
	i := slices.IndexFunc(list, func(p billing.Payment) bool { return p.Refunds == uuid.Nil })
	require.GreaterOrEqual(t, i, 0, "it came back")
	n = len(c.provider.Events())
	made, booked, err = refund(c.Provider, 700, "", func(p *billing.Payment) { p.Refunds = list[i].ID })
	require.NoError(t, err)
	assert.True(t, booked)
	assert.Equal(t, list[i].ID, made.Refunds)
	session, _ := c.provider.Session(order.SessionID)
	assert.Equal(t, int64(700), session.Refunded)
	c.tell(t, c.since(n)...)
	requireGone(1160, 1300, "once")

	// Amounts that nobody pays.
	_, err = b.RecordPayment(ctx, &billing.Payment{UserID: invoice.UserID, Method: billing.PaidCash, Currency: "EUR", Amount: billing.MaxAmount + 1, ReceivedOn: civil("2030-01-01")})
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "amount", field.Field)
	assert.ErrorAs(t, b.CreateCharge(ctx, &billing.Charge{UserID: invoice.UserID, Description: "x", Currency: "EUR", Amount: -billing.MaxAmount - 1}), &field)
	assert.ErrorAs(t, b.CreateOrder(ctx, &billing.Order{UserID: invoice.UserID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: billing.MaxAmount + 1}, b.runOptions()), &field)
}
