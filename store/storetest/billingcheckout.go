package storetest

import (
	"context"
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
	gone := &billing.Order{UserID: third.UserID, Kind: billing.OrderPlan, Currency: "EUR", Amount: 100, Details: billing.OrderDetails{RateID: b.gold.ID}}
	require.NoError(t, b.CreateOrder(ctx, gone, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, gone.ID)
	require.NoError(t, err)
	require.NoError(t, b.CancelOrder(ctx, gone.ID, ""))
	c.provider.Pay(page.SessionID)
	assert.Contains(t, c.tell(t, c.provider.Last())[0], "the order is cancelled")
	assert.Equal(t, -third.Total-2100, owed(third.UserID))
	_, err = c.Ask(ctx, uuid.Nil, gone.ID)
	assert.ErrorAs(t, err, &refused)
	_, err = c.Ask(ctx, uuid.New(), uuid.Nil)
	assert.ErrorIs(t, err, store.ErrNotFound)

	// An order that cannot be completed does not lose the money either.
	wrong := &billing.Order{UserID: third.UserID, Kind: billing.OrderChange, Currency: "EUR", Amount: 100, Details: billing.OrderDetails{RateID: b.gold.ID, SubscriptionID: uuid.New()}}
	require.NoError(t, b.CreateOrder(ctx, wrong, b.runOptions()))
	page, err = c.Ask(ctx, uuid.Nil, wrong.ID)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	assert.Contains(t, c.tell(t, c.provider.Last())[0], "could not be completed")
	assert.Equal(t, -third.Total-2200, owed(third.UserID))
	requireSound(t, b.Store)
	payments, _, err := b.ListPaymentsPage(ctx, billing.PaymentFilter{Provider: "stripe"}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, payments, 6+2, "six payments, and two refunds")
}
