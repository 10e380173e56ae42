package storetest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/operator"
	"radiusd/store"
)

// topUp has a user pay for credit by card. It returns the provider's session and the payment.
func (c *counter) topUp(t *testing.T, b *billed, userID uuid.UUID, amount billing.Amount) (session string, paymentID uuid.UUID) {
	t.Helper()
	top := &billing.Order{UserID: userID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: amount}
	require.NoError(t, b.CreateOrder(t.Context(), top, b.runOptions()))
	page, err := c.Ask(t.Context(), uuid.Nil, top.ID)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	c.tell(t, c.provider.Last())
	request, err := b.CheckoutByID(t.Context(), page.ID)
	require.NoError(t, err)
	return page.SessionID, request.PaymentID
}

// giveBack is a refund that an operator asks for; meanwhile happens before it is booked.
func (c *counter) giveBack(ctx context.Context, b *billed, paymentID uuid.UUID, amount billing.Amount, meanwhile func()) (*billing.Payment, bool, error) {
	p := &billing.Payment{Refunds: paymentID, Amount: amount, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03")}
	booked, err := checkout.GiveBack(ctx, interrupted{c.Provider, meanwhile}, b.Store, p, "")
	return p, booked, err
}

// cameBack is the payment in which the money of a refund came back.
func (b *billed) cameBack(t *testing.T, reference string) *billing.Payment {
	t.Helper()
	list, _, err := b.ListPaymentsPage(t.Context(), billing.PaymentFilter{Reference: reference + ":back"}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	return &list[0]
}

// testCardRefundOrder: a refund that fails ends the same in whatever order the provider tells
// of it (R: it is done, F: it has failed), and whenever it is booked here (B).
func testCardRefundOrder(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx, userID := t.Context(), b.users[0]
	c := newCounter(t, b)
	var before billing.Amount
	requireOwed := func(t *testing.T, want billing.Amount) {
		t.Helper()
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		require.Equal(t, want, balance)
		requireSound(t, b.Store)
	}
	tell := func(t *testing.T, n int, which string) {
		for _, e := range c.since(n) {
			if e.Type == "refund.failed" == (which == "F") {
				c.tell(t, e)
			}
		}
	}
	for _, order := range []string{"BRF", "BFR", "RBF", "RFB", "FBR", "FRB", "RF", "FR"} {
		t.Run(order, func(t *testing.T) {
			session, paymentID := c.topUp(t, b, userID, 700)
			before -= 700
			n := len(c.provider.Events())
			tellAll := func(order string) {
				for _, which := range strings.Split(order, "") {
					tell(t, n, which)
				}
			}
			first, then, asked := strings.Cut(order, "B")
			if asked {
				_, booked, err := c.giveBack(ctx, b, paymentID, 700, func() {
					c.provider.FailRefund()
					tellAll(first)
				})
				require.NoError(t, err)
				assert.Equal(t, first == "" || first == "F" || first == "FR", booked, "unless the webhook has booked it")
				tellAll(then)
			} else {
				c.provider.RefundByHand(session, 700)
				c.provider.FailRefund()
				tellAll(order)
			}
			requireOwed(t, before)
			refundID := ""
			for _, e := range c.since(n) {
				if taken, err := c.Provider.VerifyWebhook(c.provider.Header(e), e.Body, c.Now()); assert.NoError(t, err) && taken.RefundID != "" {
					refundID = taken.RefundID
				}
			}
			list, _, err := b.ListPaymentsPage(ctx, billing.PaymentFilter{Reference: refundID}, aaa.Page{})
			require.NoError(t, err)
			if order == "FR" {
				assert.Empty(t, list, "it has never gone, and nobody has booked it")
			} else {
				assert.Len(t, list, 2, "it has gone, and come back")
			}
			tellAll("RF")
			requireOwed(t, before)
		})
	}
	t.Run("at once", func(t *testing.T) {
		for range 4 {
			_, paymentID := c.topUp(t, b, userID, 700)
			before -= 700
			n := len(c.provider.Events())
			var told sync.WaitGroup
			_, _, err := c.giveBack(ctx, b, paymentID, 700, func() {
				c.provider.FailRefund()
				for _, which := range []string{"R", "F"} {
					told.Go(func() { tell(t, n, which) })
				}
			})
			told.Wait()
			require.NoError(t, err)
			requireOwed(t, before)
		}
	})
	t.Run("told twice, with a key", func(t *testing.T) {
		_, paymentID := c.topUp(t, b, userID, 700)
		before -= 700
		n := len(c.provider.Events())
		keyed := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "twice", Operation: "refundPayment"})
		made, booked, err := c.giveBack(keyed, b, paymentID, 700, func() {
			c.provider.FailRefund()
			c.provider.FailRefund() // Stripe tells of it as refund.failed and as refund.updated
			tell(t, n, "F")
		})
		require.NoError(t, err)
		assert.True(t, booked)
		requireOwed(t, before)
		_, _, err = c.giveBack(keyed, b, paymentID, 700, func() { t.Error("it was asked for twice") })
		var again *operator.RepeatedError
		require.ErrorAs(t, err, &again)
		assert.Equal(t, made.ID, again.EntityID, "the refund, not the payment in which it came back")
	})
	t.Run("a dispute that was won is booked by hand", func(t *testing.T) {
		session, paymentID := c.topUp(t, b, userID, 700)
		before -= 700
		n := len(c.provider.Events())
		c.provider.Dispute(session)
		c.provider.CloseDispute(session, "won")
		events := c.since(n)
		c.tell(t, events[1])
		state, _ := c.provider.Session(session)
		hand := &billing.Payment{Refunds: paymentID, Amount: 700, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03"), Provider: "stripe", Reference: "dp_" + state.PaymentIntent, ChargedBack: true}
		booked, err := checkout.GiveBack(ctx, c.Provider, b.Store, hand, "")
		require.NoError(t, err)
		assert.True(t, booked)
		requireOwed(t, before)
		c.tell(t, events...)
		requireOwed(t, before)
	})
}

// testCameBack: money that came back is given back of the payment that has it, by whoever
// books it first.
func testCameBack(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx, userID := t.Context(), b.users[0]
	c := newCounter(t, b)
	session, first := c.topUp(t, b, userID, 700)
	told := len(c.provider.Events())
	tell := func() (outcomes []string) {
		n := told
		told = len(c.provider.Events())
		return c.tell(t, c.since(n)...)
	}
	requireOwed := func(want billing.Amount, message string) {
		t.Helper()
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		require.Equal(t, want, balance, message)
		requireSound(t, b.Store)
	}
	refundsOf := func(paymentID uuid.UUID) (sum billing.Amount) {
		yes := true
		list, _, err := b.ListPaymentsPage(ctx, billing.PaymentFilter{UserID: userID, Refunds: &yes}, aaa.Page{})
		require.NoError(t, err)
		for i := range list {
			if list[i].Refunds == paymentID {
				sum += list[i].Amount
			}
		}
		return sum
	}
	requireLast := func(prefix string) string {
		e, err := c.Provider.VerifyWebhook(c.provider.Header(c.provider.Last()), c.provider.Last().Body, c.Now())
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(e.RefundID, prefix))
		return e.RefundID
	}

	made, _, err := c.giveBack(ctx, b, first, 300, func() {})
	require.NoError(t, err)
	c.provider.FailRefund()
	tell()
	requireOwed(-700, "300 of it came back")
	second := b.cameBack(t, made.Reference).ID

	// The webhook is faster, and books it of what the operator has named.
	made, booked, err := c.giveBack(ctx, b, second, 200, func() { tell() })
	require.NoError(t, err)
	assert.False(t, booked)
	assert.Equal(t, second, made.Refunds)
	requireOwed(-500, "once")

	// In the provider's pages it is one payment: more than is left of either is booked of both.
	c.provider.RefundByHand(session, 100)
	tell()
	requireOwed(-400, "of the one that it came by, as long as that has it")
	assert.Equal(t, []billing.Amount{400, 200}, []billing.Amount{refundsOf(first), refundsOf(second)})
	c.provider.RefundByHand(session, 400)
	both := requireLast("re_")
	assert.NotContains(t, tell(), "it cannot be booked")
	requireOwed(0, "all of it has gone")
	assert.Equal(t, []billing.Amount{700, 300}, []billing.Amount{refundsOf(first), refundsOf(second)})

	// And has come back once more.
	c.provider.FailRefund()
	tell()
	requireOwed(-400, "as one payment")
	third := b.cameBack(t, both).ID
	made, booked, err = c.giveBack(ctx, b, third, 400, func() {})
	require.NoError(t, err)
	assert.True(t, booked)
	tell()
	requireOwed(0, "once")
	c.provider.FailRefund()
	tell()
	requireOwed(-400, "again")
	fourth := b.cameBack(t, made.Reference).ID

	// The same request again finds what its webhook has booked.
	keyed := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "k", Operation: "refundPayment"})
	made, booked, err = c.giveBack(keyed, b, fourth, 150, func() { tell() })
	require.NoError(t, err)
	assert.False(t, booked)
	assert.Equal(t, fourth, made.Refunds)
	_, _, err = c.giveBack(keyed, b, fourth, 150, func() { t.Error("it was asked for twice") })
	var again *operator.RepeatedError
	require.ErrorAs(t, err, &again)
	assert.Equal(t, made.ID, again.EntityID)
	requireOwed(-250, "once")

	// Booked of another of the payments that the money came by, it is booked before.
	other := &billing.Payment{Refunds: fourth, Amount: 50, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03"), Provider: "stripe", Reference: "re_hand"}
	booked, err = b.RefundPayment(ctx, other)
	require.NoError(t, err)
	assert.True(t, booked)
	same := &billing.Payment{Refunds: third, Amount: 50, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03"), Provider: "stripe", Reference: "re_hand"}
	booked, err = b.RefundPayment(ctx, same)
	require.NoError(t, err)
	assert.False(t, booked)
	assert.Equal(t, other.ID, same.ID)
	requireOwed(-200, "once")
	_, elsewhere := c.topUp(t, b, userID, 700)
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: elsewhere, Amount: 50, Method: billing.PaidCard, ReceivedOn: civil("2030-01-03"), Provider: "stripe", Reference: "re_hand"})
	assert.ErrorIs(t, err, store.ErrExists)

	// What is more than is left stays out of the books, and they are as they were.
	told = len(c.provider.Events())
	c.provider.RefundByHand(session, 300)
	assert.Contains(t, strings.Join(tell(), "\n"), "it cannot be booked: no more than 2.00 EUR")
	requireOwed(-900, "nothing")
}
