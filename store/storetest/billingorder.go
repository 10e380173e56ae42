package storetest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

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

// order orders a plan or a change for an amount, today.
func (w *serviceWorld) order(userID uuid.UUID, amount billing.Amount, details billing.OrderDetails) *billing.Order {
	w.t.Helper()
	x := &billing.Order{UserID: userID, Kind: billing.OrderPlan, Currency: "EUR", Amount: amount, Details: details}
	if details.SubscriptionID != uuid.Nil {
		x.Kind = billing.OrderChange
	}
	require.NoError(w.t, w.CreateOrder(w.t.Context(), x, w.today()))
	return x
}

// today are the options of a run for the day of the clock.
func (w *serviceWorld) today() billing.RunOptions {
	o := w.runOptions()
	o.AsOf = billing.DateOf(*w.now.Load(), o.Location)
	return o
}

// requireOrder requires how orders stand.
func (w *serviceWorld) requireOrder(want billing.OrderState, why string, list ...*billing.Order) {
	w.t.Helper()
	for n, x := range list {
		got, err := w.OrderByID(w.t.Context(), x.ID)
		require.NoError(w.t, err)
		require.Equal(w.t, want, got.State, "%s: order %d", why, n+1)
		*x = *got
	}
	requireSound(w.t, w.Store)
}

// testOrdersFromCredit: credit that nothing else needs completes orders, once.
func testOrdersFromCredit(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	plan := func(name string) billing.OrderDetails { return billing.OrderDetails{RateID: w.rates[name]} }
	later := func() { w.setNow(w.now.Load().Add(time.Minute)) }
	history := func(x *billing.Order) (list []string) {
		for _, e := range x.History {
			list = append(list, string(e.State)+" "+e.Note)
		}
		return list
	}

	// The oldest first, each when there is enough, and none from what another one was paid with.
	alice := w.user("alice")
	first, second, third := w.order(alice, 2000, plan("home")), w.order(alice, 2000, plan("fibre")), w.order(alice, 500, plan("trial"))
	w.requireOrder(billing.OrderOpen, "there is no credit", first, second, third)
	w.pay(t, alice, 499, "1")
	w.requireOrder(billing.OrderOpen, "it is not enough", first, second, third)
	w.pay(t, alice, 1501, "2")
	w.requireOrder(billing.OrderCompleted, "it is enough", first)
	w.requireOrder(billing.OrderOpen, "there is nothing left", second, third)
	assert.Equal(t, []string{"open ", "paid from credit", "completed "}, history(first))
	assert.True(t, first.FromCredit())
	x, err := w.SubscriptionByID(ctx, first.SubscriptionID)
	require.NoError(t, err)
	assert.Equal(t, civil("2030-01-01"), x.Start)
	w.pay(t, alice, 1000, "3")
	w.requireOrder(billing.OrderCompleted, "what it covers", third)
	w.requireOrder(billing.OrderOpen, "what it does not cover", second)
	later()
	w.night("2030-01-02")
	w.pay(t, alice, 1878, "4")
	w.requireOrder(billing.OrderOpen, "of 30.00 23.79 are on an invoice, and 5.00 are for the trial to go on", second)
	w.pay(t, alice, 1, "")
	w.requireOrder(billing.OrderCompleted, "with the 1.21 that are left", second)

	// At once, and of a change; and a payment of an order's own is no other order's.
	bob := w.user("bob")
	w.pay(t, bob, 5000, "5")
	home := w.order(bob, 2379, plan("home"))
	w.requireOrder(billing.OrderCompleted, "at once", home)
	later()
	w.night("2030-01-03")
	later()
	change := w.order(bob, 2000, billing.OrderDetails{RateID: w.rates["fibre"], SubscriptionID: home.SubscriptionID, AtPeriodEnd: true})
	w.requireOrder(billing.OrderCompleted, "a change at the end of the period", change)
	older, younger := w.order(bob, 700, plan("home")), w.order(bob, 800, plan("home"))
	w.requireOrder(billing.OrderOpen, "6.21 are free", older, younger)
	younger, err = w.PayOrder(ctx, younger.ID, &billing.Payment{Method: billing.PaidCash, Currency: "EUR", Amount: 800, ReceivedOn: civil("2030-01-03")}, w.today())
	require.NoError(t, err)
	w.requireOrder(billing.OrderCompleted, "it was paid", younger)
	assert.False(t, younger.FromCredit())
	w.requireOrder(billing.OrderOpen, "the money is the other one's", older)

	// Whatever the credit comes from. An order that is given up gives it back.
	carol := w.user("carol")
	i := w.invoiceOver(t, carol, 1000)
	w.pay(t, carol, i.Total, "6")
	noted, vouched := w.order(carol, 1000, plan("home")), w.order(carol, 300, plan("home"))
	_, err = w.CreditInvoice(ctx, i.ID, nil, civil("2030-01-03"), "")
	require.NoError(t, err)
	w.requireOrder(billing.OrderCompleted, "a credit note", noted)
	w.requireOrder(billing.OrderOpen, "nothing is left of it", vouched)
	made, err := w.CreateVoucherBatch(ctx, &billing.VoucherBatch{Name: "three", Kind: billing.VoucherValue, Count: 1, Currency: "EUR", Amount: 300})
	require.NoError(t, err)
	_, err = w.RedeemVoucher(ctx, carol, made[0].Code, netip.Addr{})
	require.NoError(t, err)
	w.requireOrder(billing.OrderCompleted, "a voucher", vouched)
	waiting := w.order(carol, 1000, plan("home"))
	w.requireOrder(billing.OrderOpen, "all of it is for the others", waiting)
	x, err = w.SubscriptionByID(ctx, noted.SubscriptionID)
	require.NoError(t, err)
	w.cancel(x, "2030-01-03")
	w.requireOrder(billing.OrderCompleted, "what was ordered first is given up", waiting)

	// Prepaid days use it up, of which the rest stays that order's.
	dan := w.user("dan")
	w.pay(t, dan, 3100, "7")
	daily := w.order(dan, 3100, plan("daily"))
	w.requireOrder(billing.OrderCompleted, "prepaid", daily)
	other := w.order(dan, 1000, plan("home"))
	w.requireOrder(billing.OrderOpen, "30 days are left of it", other)
	top := &billing.Order{UserID: dan, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 100}
	require.NoError(t, w.CreateOrder(ctx, top, w.today()))
	w.requireOrder(billing.OrderOpen, "credit is not bought from credit", top)

	// What ends, and drafts, are not counted on.
	eve := w.user("eve")
	w.setNow(at("2030-02-10T12:00:00Z"))
	_, err = w.RecordPayment(ctx, &billing.Payment{UserID: eve, Method: billing.PaidCash, Currency: "EUR", Amount: 1000, ReceivedOn: civil("2030-01-03"), ExpiresOn: civil("2030-02-09")})
	require.NoError(t, err)
	late := w.order(eve, 1000, plan("home"))
	w.requireOrder(billing.OrderOpen, "it has ended", late)
	c, err := billing.NewManualCharge(eve, "EUR", 500, "a cable")
	require.NoError(t, err)
	require.NoError(t, w.CreateCharge(ctx, &c))
	_, err = w.DraftInvoice(ctx, eve, "EUR", w.today())
	require.NoError(t, err)
	w.pay(t, eve, 1499, "8")
	w.requireOrder(billing.OrderOpen, "5.00 are drafted", late)
	w.pay(t, eve, 1, "9")
	w.requireOrder(billing.OrderCompleted, "now it is enough", late)
}

// testOrdersTaxed: charges that wait need the tax, too, that the invoice will have.
func testOrdersTaxed(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	w.pay(t, alice, 4000, "1")
	c, err := billing.NewManualCharge(alice, "EUR", 2500, "a technician")
	require.NoError(t, err)
	c.TaxClass = "standard"
	require.NoError(t, w.CreateCharge(ctx, &c))
	x := w.order(alice, 1500, billing.OrderDetails{RateID: w.rates["home"]})
	w.requireOrder(billing.OrderOpen, "of 40.00, 29.75 are for the technician", x)
	w.pay(t, alice, 474, "2")
	w.requireOrder(billing.OrderOpen, "a cent is missing", x)
	w.pay(t, alice, 1, "3")
	w.requireOrder(billing.OrderCompleted, "it is enough", x)

	// Credit that ends stays for the tax of what is charged, too.
	dora := w.user("dora")
	_, err = w.RecordPayment(ctx, &billing.Payment{UserID: dora, Method: billing.PaidCash, Currency: "EUR", Amount: 3000, ReceivedOn: civil("2030-01-01"), ExpiresOn: civil("2030-01-02")})
	require.NoError(t, err)
	c, err = billing.NewManualCharge(dora, "EUR", 2500, "a technician")
	require.NoError(t, err)
	c.TaxClass = "standard"
	require.NoError(t, w.CreateCharge(ctx, &c))
	_, err = w.ExpireCredit(ctx, civil("2030-01-03"), uuid.Nil, 100)
	require.NoError(t, err)
	left, err := w.Balance(ctx, dora, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-2975), left)

	// What is charged of an order already is charged with its tax.
	bob := w.user("bob")
	w.pay(t, bob, 2379, "4")
	sold := subscribe(t, w.Store, bob, w.rates["home"], "2030-01-01")
	change := w.order(bob, 2379, billing.OrderDetails{RateID: w.rates["fibre"], SubscriptionID: sold.ID})
	w.requireOrder(billing.OrderCompleted, "19.99 and the tax", change)
	w.pay(t, bob, 999, "5")
	other := w.order(bob, 1000, billing.OrderDetails{RateID: w.rates["home"]})
	w.requireOrder(billing.OrderOpen, "a cent is missing", other)
	w.pay(t, bob, 1, "6")
	w.requireOrder(billing.OrderCompleted, "beside the other one", other)

	// The clock of the node that charges for it may be behind.
	carol := w.user("carol")
	w.pay(t, carol, 2379, "7")
	home := w.order(carol, 2379, billing.OrderDetails{RateID: w.rates["home"]})
	w.requireOrder(billing.OrderCompleted, "19.99 and the tax", home)
	w.setNow(w.now.Load().Add(-time.Minute))
	_, err = w.run(ctx, "2030-01-01", 500)
	require.NoError(t, err)
	w.setNow(w.now.Load().Add(time.Hour))
	w.pay(t, carol, 500, "8")
	more := w.order(carol, 500, billing.OrderDetails{RateID: w.rates["home"]})
	w.requireOrder(billing.OrderCompleted, "what is invoiced needs no more", more)
}

// testOrdersAtOnce: of orders that are made at once no two use the same credit.
func testOrdersAtOnce(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	w.pay(t, alice, 2500, "1")
	var together errgroup.Group
	for range 6 {
		together.Go(func() error {
			x := &billing.Order{UserID: alice, Kind: billing.OrderPlan, Currency: "EUR", Amount: 1000, Details: billing.OrderDetails{RateID: w.rates["home"]}}
			return w.CreateOrder(ctx, x, w.today())
		})
	}
	require.NoError(t, together.Wait())
	done, _, err := w.ListOrdersPage(ctx, billing.OrderFilter{UserID: alice, State: billing.OrderCompleted}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, done, 2)
	open, _, err := w.ListOrdersPage(ctx, billing.OrderFilter{UserID: alice, State: billing.OrderOpen}, aaa.Page{})
	require.NoError(t, err)
	for i := range open {
		together.Go(func() error { return w.CancelOrder(ctx, open[i].ID, "") })
		together.Go(func() error {
			_, err := w.RecordPayment(ctx, &billing.Payment{UserID: alice, Method: billing.PaidCash, Currency: "EUR", Amount: 300, ReceivedOn: civil("2030-01-01")})
			return err
		})
	}
	if err := together.Wait(); err != nil { // it was completed in between
		requireRefused(t, err, billing.CodeOrderState)
	}
	requireSound(t, w.Store)
}

// testOrdersHindered: money is booked also where it cannot complete an order, which says why.
func testOrdersHindered(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	x := subscribe(t, w.Store, alice, w.rates["home"], "2030-01-01")
	change := w.order(alice, 1000, billing.OrderDetails{RateID: w.rates["fibre"], SubscriptionID: x.ID})
	fine := w.order(alice, 1000, billing.OrderDetails{RateID: w.rates["fibre"]})
	w.setNow(at("2030-01-01T13:00:00Z"))
	w.cancel(x, "2030-01-01")
	w.pay(t, alice, 1200, "1")
	w.requireOrder(billing.OrderCompleted, "the next one", fine)
	w.pay(t, alice, 1000, "2")
	w.pay(t, alice, 1000, "3")
	w.requireOrder(billing.OrderOpen, "there is nothing to change", change)
	require.Len(t, change.History, 2, "it is said once")
	assert.Regexp(t, "^there is credit for it, but it could not be completed: subscription of alice to home: it has ended$", change.History[1].Note)
	refused := &billing.Order{UserID: alice, Kind: billing.OrderChange, Currency: "EUR", Amount: 1000, Details: change.Details}
	requireRefused(t, w.CreateOrder(ctx, refused, w.today()), billing.CodeSubscriptionState)

	// What was paid and is given up is the next one's.
	c := newCounter(t, w.billed)
	bo := w.user("bo")
	nothing := w.order(bo, 1000, billing.OrderDetails{RateID: w.rates["fibre"], SubscriptionID: uuid.New()})
	page, err := c.Ask(ctx, uuid.Nil, nothing.ID)
	require.NoError(t, err)
	c.provider.Pay(page.SessionID)
	c.tell(t, c.provider.Last())
	w.requireOrder(billing.OrderPaid, "there is nothing to change", nothing)
	next := w.order(bo, 1000, billing.OrderDetails{RateID: w.rates["home"]})
	w.requireOrder(billing.OrderOpen, "the money is the other one's", next)
	require.NoError(t, w.CancelOrder(ctx, nothing.ID, ""))
	w.requireOrder(billing.OrderCompleted, "that was given up", next)

	// Whoever goes gets nothing any more.
	y := subscribe(t, w.Store, alice, w.rates["home"], "2030-01-01")
	w.night("2030-01-02")
	more := w.order(alice, 9000, billing.OrderDetails{RateID: w.rates["fibre"]})
	require.NoError(t, w.DeleteUser(ctx, "alice"))
	w.requireOrder(billing.OrderCancelled, "the account is closed", change, more)
	list, err := w.SubscriptionsOf(ctx, alice)
	require.NoError(t, err)
	assert.Len(t, list, 3)
	assert.Equal(t, billing.SubscriptionEnded, w.state(y))
	bob := w.user("bob")
	only := w.order(bob, 9000, billing.OrderDetails{RateID: w.rates["fibre"]})
	_, err = w.StartErasure(ctx, bob, aaa.EraseOptions{KeepUser: true})
	require.NoError(t, err)
	w.requireOrder(billing.OrderCancelled, "the account is closed", only)
}
