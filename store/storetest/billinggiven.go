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

// testGivenBackOnce: days that a credit note or the voiding of their invoice has given back
// are not given back again when they are not had.
func testGivenBackOnce(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	_, err := w.UpdateBillingSettings(ctx, func(s *billing.Settings) error { s.Seller.Name = "ISP"; return nil })
	require.NoError(t, err)
	fibre, err := w.RateByID(ctx, w.rates["fibre"]) // for 19.99, as home
	require.NoError(t, err)
	credit := func(parts map[int]billing.Amount) func(uuid.UUID) error {
		return func(invoiceID uuid.UUID) error {
			_, err := w.CreditInvoice(ctx, invoiceID, parts, civil("2030-01-05"), "")
			return err
		}
	}
	// What comes of it: the total of a credit note if it ends after 9 of 31 days, of which 22
	// are worth 14.19 and 19 %, and that of an invoice if it is changed after 19, as the other
	// 12 cost 7.74.
	givenBack := map[string]struct {
		by             func(invoiceID uuid.UUID) error
		ended, changed billing.Amount
	}{
		"void":     {func(invoiceID uuid.UUID) error { return w.VoidInvoice(ctx, invoiceID) }, 0, 921},
		"credited": {credit(nil), 0, 921},
		"in part":  {credit(map[int]billing.Amount{1: 500}), 1689, 0},   // 14.99 are left
		"mostly":   {credit(map[int]billing.Amount{1: 1500}), 594, 327}, // 4.99 are left
	}
	ends := map[string]func(name string, x *billing.Subscription){
		"cancelled": func(_ string, x *billing.Subscription) { w.cancel(x, "2030-01-10") },
		"deleted":   func(name string, _ *billing.Subscription) { require.NoError(t, w.DeleteUser(ctx, name)) },
		"changed": func(_ string, x *billing.Subscription) { // by the run of the day
			w.amend(x, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
				return billing.Change(a, x.ID, *fibre, civil("2030-01-20"), o)
			})
		},
	}
	each := func(fn func(how, end, name string)) {
		for how := range givenBack {
			for end := range ends {
				fn(how, end, how+" "+end)
			}
		}
	}
	subscriptions := map[string]*billing.Subscription{}
	documents := map[string]int{}
	each(func(_, _, name string) {
		subscriptions[name] = subscribe(t, w.Store, w.user(name), w.rates["home"], "2030-01-01")
	})
	w.night("2030-01-01")
	w.setNow(at("2030-01-05T12:00:00Z"))
	each(func(how, _, name string) {
		userID := subscriptions[name].UserID
		require.NoError(t, givenBack[how].by(w.invoicesOf(t, userID)[0].ID))
		documents[name] = len(w.invoicesOf(t, userID))
	})
	w.setNow(at("2030-01-09T12:00:00Z")) // the last day of those who are deleted
	each(func(_, end, name string) { ends[end](name, subscriptions[name]) })
	w.night("2030-01-10")
	w.night("2030-01-20")
	each(func(how, end, name string) {
		userID := subscriptions[name].UserID
		want := givenBack[how].ended
		if end == "changed" {
			want = givenBack[how].changed
		}
		var total billing.Amount
		for _, i := range w.invoicesOf(t, userID)[documents[name]:] {
			total += i.Total
		}
		assert.Equal(t, want, total, name)
		pending := true
		left, _, err := w.ListChargesPage(ctx, billing.ChargeFilter{UserID: userID, Pending: &pending}, aaa.Page{})
		require.NoError(t, err)
		proven, _, err := w.ListChargesPage(ctx, billing.ChargeFilter{UserID: userID, Kind: billing.ChargeProration}, aaa.Page{})
		require.NoError(t, err)
		for _, c := range proven {
			amount, err := billing.Recompute(c, fibre.Terms)
			require.NoError(t, err)
			assert.Equal(t, c.Amount, amount, name)
		}
		var sum billing.Amount
		for _, c := range left {
			sum += c.Amount
		}
		assert.Zero(t, sum, name)
	})
	requireSound(t, w.Store)
}

// testChargedAgain: days that were given back and charged again, as the subscription was
// changed or resumed, are given back when they are not had.
func testChargedAgain(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	_, err := w.UpdateBillingSettings(ctx, func(s *billing.Settings) error { s.Seller.Name = "ISP"; return nil })
	require.NoError(t, err)
	fibre, err := w.RateByID(ctx, w.rates["fibre"])
	require.NoError(t, err)
	changed := subscribe(t, w.Store, w.user("changed"), w.rates["home"], "2030-01-01")
	resumed := subscribe(t, w.Store, w.user("resumed"), w.rates["home"], "2030-01-01")
	w.night("2030-01-01")
	w.setNow(at("2030-01-05T12:00:00Z"))
	for _, x := range []*billing.Subscription{changed, resumed} {
		_, err := w.CreditInvoice(ctx, w.invoicesOf(t, x.UserID)[0].ID, nil, civil("2030-01-05"), "")
		require.NoError(t, err)
	}
	w.setNow(at("2030-01-10T12:00:00Z"))
	w.amend(changed, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Change(a, changed.ID, *fibre, civil("2030-01-10"), o)
	})
	w.cancel(resumed, "2030-01-15")
	w.setNow(at("2030-01-10T12:01:00Z"))
	w.amend(resumed, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Resume(a, resumed.ID, o)
	})
	w.night("2030-01-15")
	w.setNow(at("2030-01-20T12:00:00Z"))
	for x, total := range map[*billing.Subscription]billing.Amount{changed: 1689, resumed: 1304} { // 22 and 17 of 31 days, and 19 %
		invoices := w.invoicesOf(t, x.UserID)
		require.Len(t, invoices, 3)
		assert.Equal(t, total, invoices[2].Total)
		w.cancel(x, "2030-01-20")
	}
	w.night("2030-01-21")
	for _, x := range []*billing.Subscription{changed, resumed} {
		documents := w.invoicesOf(t, x.UserID)
		if assert.Len(t, documents, 4) {
			assert.Equal(t, billing.Amount(921), documents[3].Total, "12 of 31 days are 7.74")
		}
	}
	requireSound(t, w.Store)
}

// testCreditedDays: of an invoice, days that were credited as they are not had are not given
// back again by a credit note, nor by voiding it.
func testCreditedDays(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	_, err := w.UpdateBillingSettings(ctx, func(s *billing.Settings) error { s.Seller.Name, s.CreditSeries = "ISP", "2030-CN"; return nil })
	require.NoError(t, err)
	waiting, billed, void := w.user("waiting"), w.user("billed"), w.user("void")
	users := []uuid.UUID{waiting, billed, void}
	of := map[uuid.UUID]*billing.Subscription{}
	for _, userID := range users {
		of[userID] = subscribe(t, w.Store, userID, w.rates["home"], "2030-01-01")
	}
	together := []*billing.Subscription{subscribe(t, w.Store, w.user("together"), w.rates["home"], "2030-01-01"), subscribe(t, w.Store, w.user("together and void"), w.rates["home"], "2030-01-01")}
	for hour, on := range []string{"2030-01-20", "2030-01-10"} {
		w.setNow(at("2030-01-01T00:00:00Z").Add(time.Duration(hour+1) * time.Hour))
		for _, x := range together {
			w.cancel(x, on)
		}
	}
	w.night("2030-01-01")
	for n, x := range together { // what is credited stands on the same invoice
		invoice := w.invoicesOf(t, x.UserID)[0]
		assert.Equal(t, billing.Amount(690), invoice.Total)
		if n == 1 {
			require.NoError(t, w.VoidInvoice(ctx, invoice.ID))
			continue
		}
		note, err := w.CreditInvoice(ctx, invoice.ID, nil, civil("2030-01-02"), "")
		require.NoError(t, err)
		assert.Equal(t, invoice.Total, note.Total)
	}
	w.setNow(at("2030-01-10T12:00:00Z"))
	for _, userID := range users {
		w.cancel(of[userID], "2030-01-10") // 22 of 31 days, 14.19
	}
	first := func(userID uuid.UUID) uuid.UUID { return w.invoicesOf(t, userID)[0].ID }
	requireRefused(t, w.VoidInvoice(ctx, first(void)), billing.CodeInvoiceState)
	c, err := billing.NewManualCharge(billed, "EUR", 2000, "a visit")
	require.NoError(t, err)
	c.TaxClass = "standard"
	require.NoError(t, w.CreateCharge(ctx, &c))
	note, err := w.CreditInvoice(ctx, first(waiting), nil, civil("2030-01-10"), "")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(690), note.Total, "9 of 31 days, 5.80 and 19 %")
	_, err = w.CreditInvoice(ctx, first(waiting), nil, civil("2030-01-10"), "")
	requireRefused(t, err, billing.CodeNothingToCredit)
	var field *billing.FieldError
	_, err = w.CreditInvoice(ctx, first(void), map[int]billing.Amount{1: 581}, civil("2030-01-10"), "")
	require.ErrorAs(t, err, &field)
	assert.Contains(t, field.Message, "has 5.80 left to credit, not 5.81")
	_, err = w.CreditInvoice(ctx, first(void), map[int]billing.Amount{1: 580}, civil("2030-01-10"), "")
	require.NoError(t, err)
	w.night("2030-01-11")
	require.Len(t, w.invoicesOf(t, billed), 2, "20.00 less 14.19")
	note, err = w.CreditInvoice(ctx, first(billed), nil, civil("2030-01-11"), "")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(690), note.Total)
	for userID, want := range map[uuid.UUID]billing.Amount{waiting: 0, void: 0, billed: 2380} { // 20.00 and 19 %
		balance, err := w.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		assert.Equal(t, want, balance)
	}
	requireSound(t, w.Store)
}
