package storetest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
)

func testOrders(t *testing.T, database Database) {
	b := newBilled(t, database, 2)
	ctx := t.Context()
	o := b.runOptions()
	o.AsOf = civil("2030-01-01")
	user := newUser("carol")
	require.NoError(t, b.CreateUser(ctx, user))
	payment := func(amount billing.Amount, reference string) *billing.Payment {
		return &billing.Payment{Method: billing.PaidCard, Currency: "EUR", Amount: amount, Provider: "card", Reference: reference, ReceivedOn: civil("2030-01-01")}
	}

	// What costs nothing is done at once, what costs something when it is paid.
	free := &billing.Order{UserID: user.ID, Kind: billing.OrderPlan, Currency: "EUR", Details: billing.OrderDetails{RateID: b.gold.ID}}
	require.NoError(t, b.CreateOrder(ctx, free, o))
	assert.Equal(t, billing.OrderCompleted, free.State)
	x, err := b.SubscriptionByID(ctx, free.SubscriptionID)
	require.NoError(t, err)
	assert.Equal(t, o.AsOf, x.Start)
	paid := &billing.Order{UserID: user.ID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 2000}
	require.NoError(t, b.CreateOrder(ctx, paid, o))
	assert.Equal(t, billing.OrderOpen, paid.State)
	_, err = b.PayOrder(ctx, paid.ID, payment(1999, "1"), o)
	var field *billing.FieldError
	assert.ErrorAs(t, err, &field)
	got, err := b.PayOrder(ctx, paid.ID, payment(2000, "1"), o)
	require.NoError(t, err)
	assert.Equal(t, billing.OrderCompleted, got.State)
	var states []billing.OrderState
	for _, entry := range got.History {
		states = append(states, entry.State)
	}
	assert.Equal(t, []billing.OrderState{billing.OrderOpen, billing.OrderPaid, billing.OrderCompleted}, states)
	again, err := b.PayOrder(ctx, paid.ID, payment(2000, "1"), o)
	require.NoError(t, err)
	assert.Equal(t, got, again, "paid twice by the same payment")
	_, err = b.PayOrder(ctx, paid.ID, payment(2000, "2"), o)
	requireRefused(t, err, billing.CodeOrderState)
	balance, err := b.Balance(ctx, user.ID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-2000), balance, "the other payment was not booked")

	// Days that were over when it was paid are not sold: nobody was served on them.
	late := newUser("late")
	require.NoError(t, b.CreateUser(ctx, late))
	waits := &billing.Order{UserID: late.ID, Kind: billing.OrderPlan, Currency: "EUR", Amount: 2000, Details: billing.OrderDetails{RateID: b.gold.ID, Start: civil("2030-01-01")}}
	require.NoError(t, b.CreateOrder(ctx, waits, o))
	o.AsOf = civil("2030-01-09")
	waits, err = b.PayOrder(ctx, waits.ID, payment(2000, "late"), o)
	require.NoError(t, err)
	x, err = b.SubscriptionByID(ctx, waits.SubscriptionID)
	require.NoError(t, err)
	assert.Equal(t, o.AsOf, x.Start)

	// A change, by the rules.
	offered := newRate(t, b.Store, "platinum", monthly(4999))
	_, err = b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	b.setNow(at("2030-01-11T12:00:00Z"))
	o.AsOf = civil("2030-01-11")
	change := &billing.Order{UserID: user.ID, Kind: billing.OrderChange, Currency: "EUR", Details: billing.OrderDetails{RateID: offered.ID, SubscriptionID: free.SubscriptionID}}
	require.NoError(t, b.CreateOrder(ctx, change, o))
	assert.Equal(t, billing.OrderCompleted, change.State)
	pending := true
	charges, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: user.ID, Pending: &pending}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, charges, 2, "credit of the old, charge of the new")
	requireSound(t, b.Store)

	given := &billing.Order{UserID: user.ID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 1}
	require.NoError(t, b.CreateOrder(ctx, given, o))
	require.NoError(t, b.CancelOrder(ctx, given.ID, "changed the mind"))
	require.NoError(t, b.CancelOrder(ctx, given.ID, "changed the mind"))
	requireRefused(t, b.CancelOrder(ctx, paid.ID, ""), billing.CodeOrderState)
	_, err = b.PayOrder(ctx, given.ID, payment(1, "3"), o)
	requireRefused(t, err, billing.CodeOrderState)
	list := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]billing.Order, string, error) {
		return b.ListOrdersPage(ctx, billing.OrderFilter{UserID: user.ID}, p)
	}, func() {})
	assert.Len(t, list, 4)
	_, err = b.OrderByID(ctx, uuid.New())
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorAs(t, b.CreateOrder(ctx, &billing.Order{UserID: user.ID, Kind: billing.OrderPlan, Currency: "EUR"}, o), &field)
	assert.ErrorIs(t, b.CreateOrder(ctx, &billing.Order{UserID: uuid.New(), Kind: billing.OrderTopUp, Currency: "EUR", Amount: 1}, o), store.ErrNotFound)
}
