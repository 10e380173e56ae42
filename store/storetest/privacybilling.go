package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
)

// billPerson gives a person everything that billing may have of somebody, with their name
// wherever anybody can write one.
func billPerson(t *testing.T, s *store.Store, user *aaa.User) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.SetTaxRate(ctx, &billing.TaxRate{Class: "standard", Name: "VAT", Percent: decimal("19"), Category: "S", From: civil("2020-01-01")}))
	gold := newRate(t, s, "gold", monthly(1999))
	other, err := s.UserByName(ctx, "user of 02")
	require.NoError(t, err)
	for _, userID := range []uuid.UUID{user.ID, other.ID} {
		x := billing.NewSubscription(uuid.New(), userID, *gold, civil("2030-01-01"), noon)
		require.NoError(t, s.CreateSubscription(ctx, &x))
		require.NoError(t, s.CreateCharge(ctx, &billing.Charge{UserID: userID, Description: "Router for Ms MUSTERMANN/Erika", Currency: "EUR", Quantity: decimal("1"),
			Unit: "period", UnitPrice: decimal("50"), Amount: 5000, TaxClass: "standard"}))
	}
	require.NoError(t, s.CreateCharge(ctx, &billing.Charge{UserID: user.ID, Description: "Not for " + person, Currency: "USD", Amount: -100, Quantity: decimal("-1"), UnitPrice: decimal("1")}))
	o := billing.RunOptions{Location: time.UTC, Seller: billing.Party{Name: "ISP", Country: "DE"}, Series: "INV", LookBack: 60, DueDays: 14}
	if o.Taxes, err = s.TaxRates(ctx); err != nil {
		require.NoError(t, err)
	}
	_, err = runOn(ctx, s, o, "2030-01-01", 10, billing.Compute)
	require.NoError(t, err)
	_, err = runOn(ctx, s, o, "2030-01-02", 10, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		if a.UserID == user.ID {
			return nil, errors.New("no bill for " + person + " of erika@example.org")
		}
		return billing.Compute(a, o)
	})
	require.NoError(t, err)
	_, err = s.RecordPayment(ctx, &billing.Payment{UserID: user.ID, Method: billing.PaidBank, Currency: "EUR", Amount: 3000, Provider: "bank",
		Reference: "17/" + person, Note: "From " + person + ", DE02120300000000202051", ReceivedOn: civil("2030-01-05")})
	require.NoError(t, err)
	_, err = s.RecordPayment(ctx, &billing.Payment{UserID: user.ID, Method: billing.PaidCash, Currency: "EUR", Amount: 10, Provider: "till", Reference: "18", ReceivedOn: civil("2030-01-05")})
	require.NoError(t, err)
	page, _, err := s.ListInvoicesPage(ctx, billing.InvoiceFilter{UserID: user.ID}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, page, 1)
	_, err = s.CreditInvoice(ctx, page[0].ID, map[int]billing.Amount{1: 100}, civil("2030-01-06"), "As "+person+" has asked\nerika@example.org")
	require.NoError(t, err)
	order := &billing.Order{UserID: user.ID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 500}
	require.NoError(t, s.CreateOrder(ctx, order, o))
	require.NoError(t, s.CancelOrder(ctx, order.ID, person+" does not want it"))
}

// testErasedBilling: whoever is erased, is not in the books any more by name, and the books
// are what they were.
func testErasedBilling(t *testing.T, database Database) {
	for name, keep := range map[string]bool{"deleted": false, "kept": true} {
		s, options := openNode(t, database, "a")
		ctx := t.Context()
		user, _ := fillPerson(t, s)
		require.NoError(t, s.UpdateUserProfile(ctx, person, func(p *aaa.Profile) error {
			p.Phone, p.Address = "+49 171 5550199", "Musterweg 7\n24103 Musterstadt"
			return nil
		}))
		billPerson(t, s, user)
		page, _, err := s.ListInvoicesPage(ctx, billing.InvoiceFilter{UserID: user.ID}, aaa.Page{})
		require.NoError(t, err)
		require.Len(t, page, 2)
		before, err := s.InvoiceByID(ctx, page[1].ID)
		require.NoError(t, err)
		require.Contains(t, before.Buyer.Name, person)
		// To go is to be billed what is left: that has been done here.
		taxes, err := s.TaxRates(ctx)
		require.NoError(t, err)
		require.NoError(t, s.BillAccount(ctx, user.ID, billing.RunOptions{AsOf: civil("2030-01-31"), Location: time.UTC, Taxes: taxes, Series: "INV", CreditSeries: "CN"}, billing.Close))
		trial, err := s.TrialBalance(ctx, time.Time{})
		require.NoError(t, err)
		texts := []string{"Erika", "erika", "ustermann", "USTERMANN", "Musterweg", "Musterstadt", "5550199", "DE02120300000000202051"}
		require.NotEmpty(t, found(t, options, "Musterweg"))
		others := found(t, options, "user of 02")

		e, err := s.ErasePerson(ctx, user.ID, aaa.EraseOptions{KeepUser: keep}, nil, nil)
		require.NoError(t, err)
		require.Equal(t, aaa.ErasureDone, e.State)
		for _, text := range texts {
			for _, row := range found(t, options, text) { // but for the other user's charge, which says her name as well
				assert.Contains(t, row, "Router for Ms MUSTERMANN/Erika", "%s: %s", name, text)
			}
		}
		assert.Len(t, found(t, options, "MUSTERMANN/Erika"), 2, "%s: a charge and a line of somebody else", name)
		assert.Len(t, found(t, options, "user of 02"), len(others), "nobody else is changed")

		after, err := s.InvoiceByNumber(ctx, before.Number)
		require.NoError(t, err)
		assert.Equal(t, billing.Party{Name: e.Pseudonym, Username: e.Pseudonym, Country: "DE"}, after.Buyer)
		after.Buyer = before.Buyer
		for i := range after.Lines {
			if strings.Contains(after.Lines[i].Description, e.Pseudonym) {
				assert.Equal(t, "Router for Ms "+e.Pseudonym+"/"+e.Pseudonym, after.Lines[i].Description)
				after.Lines[i].Description = before.Lines[i].Description
			}
		}
		assert.Equal(t, before, after, "numbers, days and amounts are what they were")
		requireSound(t, s)
		same, err := s.TrialBalance(ctx, time.Time{})
		require.NoError(t, err)
		assert.Equal(t, trial, same)

		payments, _, err := s.ListPaymentsPage(ctx, billing.PaymentFilter{UserID: user.ID}, aaa.Page{Sort: "created_at"})
		require.NoError(t, err)
		require.Len(t, payments, 2)
		assert.Empty(t, payments[0].Note)
		assert.True(t, strings.HasPrefix(payments[0].Reference, aaa.PseudonymPrefix), payments[0].Reference)
		assert.Equal(t, "18", payments[1].Reference, "what tells of nobody stays, for the auditor")
		if !keep {
			continue
		}
		again := &billing.Payment{UserID: user.ID, Method: billing.PaidBank, Currency: "EUR", Amount: 3000, Provider: "bank", Reference: "17/" + person, ReceivedOn: civil("2030-01-05")}
		booked, err := s.RecordPayment(ctx, again)
		require.NoError(t, err)
		assert.False(t, booked, "what the bank reports again is still known")
		assert.Equal(t, payments[0].ID, again.ID)
	}
}

// testExportBilling: who asks what is held about them, is told of the bills.
func testExportBilling(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	user, _ := fillPerson(t, s)
	billPerson(t, s, user)
	var out bytes.Buffer
	require.NoError(t, s.ExportPerson(t.Context(), user.ID, &out))
	var document map[string][]any
	for name, raw := range decode(t, out.Bytes()) {
		var list []any
		if json.Unmarshal(raw, &list) == nil {
			if document == nil {
				document = map[string][]any{}
			}
			document[name] = list
		}
	}
	for name, want := range map[string]int{"subscriptions": 1, "orders": 1, "charges": 4, "invoices": 2, "invoice_lines": 4, "payments": 2, "balances": 1} {
		assert.Len(t, document[name], want, name)
	}
	assert.Contains(t, out.String(), "DE02120300000000202051")
	assert.NotContains(t, out.String(), "user of 02")
}

func decode(t *testing.T, text []byte) (document map[string]json.RawMessage) {
	t.Helper()
	require.NoError(t, json.Unmarshal(text, &document), string(text))
	return document
}

// testErasedActions: what billing has asked of NASes about a person does not keep the name.
func testErasedActions(t *testing.T, database Database) {
	d := newDunned(t, database, 1, "1 suspend")
	ctx := t.Context()
	name := d.user(t, d.users[0]).Name
	open := record("01", aaa.AcctStart, 0, 0)
	open.Username = name
	aaa.NewResolver().Resolve(&open)
	require.NoError(t, write(ctx, sinkOf(t, d.Store), 1, open))
	d.dun(t, 1, 10)
	batches, _, err := d.ListActionBatchesPage(ctx, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, batches, 1)
	assert.Equal(t, []string{"user " + name, "dunning"}, []string{batches[0].Filter, batches[0].Actor})
	for _, filter := range []string{"dunning: user " + name, "billing: user " + name} { // as it was written once
		require.NoError(t, d.QueueActions(ctx, &aaa.ActionBatch{Kind: aaa.ActionDisconnect, Filter: filter, Actor: "billing"}, nil))
	}
	require.NotEmpty(t, found(t, d.options, name))
	_, err = d.ErasePerson(ctx, d.users[0], aaa.EraseOptions{}, nil, nil)
	require.NoError(t, err)
	assert.Empty(t, found(t, d.options, name))
}

// testKeptUserLeaves: of a person who is erased and whose user is kept, the subscriptions
// end, and money that comes late gives no service back.
func testKeptUserLeaves(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice, bob := w.user("alice"), w.user("bob")
	x := subscribe(t, w.Store, alice, w.rates["home"], "2030-01-01")
	w.pay(t, bob, 100, "")
	daily := subscribe(t, w.Store, bob, w.rates["daily"], "2030-01-01") // 1.00 a day
	w.night("2030-01-01")
	w.night("2030-01-02")
	w.require(bob, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "has had one day")
	for _, userID := range []uuid.UUID{alice, bob} {
		_, err := w.StartErasure(ctx, userID, aaa.EraseOptions{KeepUser: true})
		require.NoError(t, err)
	}
	for _, gone := range []*billing.Subscription{x, daily} {
		assert.Equal(t, billing.SubscriptionEnded, w.state(gone))
	}
	w.night("2030-02-01")
	sold := slices.DeleteFunc(w.invoicesOf(t, alice), func(i billing.Invoice) bool { return i.Kind != billing.KindInvoice })
	assert.Len(t, sold, 1, "nothing is sold any more")
	w.pay(t, bob, 5000, "")
	w.night("2030-02-02")
	for _, userID := range []uuid.UUID{alice, bob} {
		u, _, err := w.UserByID(ctx, userID)
		require.NoError(t, err)
		assert.Equal(t, []any{aaa.UserDisabled, aaa.SuspendedByHand}, []any{u.Status, u.Suspension})
	}
	requireSound(t, w.Store)
}
