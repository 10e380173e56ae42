package storetest

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
	"radiusd/store"
)

// testDeletedOwes: who is deleted still owes what was billed, and it can be paid, in
// whatever way the money comes.
func testDeletedOwes(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx := t.Context()
	userID := b.users[0]
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	b.setNow(at("2030-01-31T12:00:00Z")) // nothing of the month goes back
	invoice := b.invoicesOf(t, userID)[0]
	c := newCounter(t, b)
	page, err := c.Ask(ctx, invoice.ID, uuid.Nil)
	require.NoError(t, err)
	top := &billing.Order{UserID: userID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: 700}
	require.NoError(t, b.CreateOrder(ctx, top, b.runOptions()))
	order, err := c.Ask(ctx, uuid.Nil, top.ID)
	require.NoError(t, err)
	require.NoError(t, b.DeleteUser(ctx, "user-0000"))
	owed := func() billing.Amount {
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		return balance
	}

	// At the desk, by the bank and by card.
	b.pay(t, userID, 1000, "desk")
	assert.Equal(t, invoice.Total-1000, owed())
	list := transfers(t, []billing.Invoice{invoice})
	list[0].Amount = 500
	unnamed := list[0]
	unnamed.Reference, unnamed.CreditorReferences, unnamed.Amount = "unnamed", nil, 123
	lines, err := importEntries(ctx, b.Store, append(list, unnamed))
	require.NoError(t, err)
	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked, bank.OutcomeUnmatched}, outcomes(lines))
	_, err = b.AssignBankEntry(ctx, lines[1].ID, uuid.New(), nil)
	assert.ErrorIs(t, err, store.ErrNotFound, "nobody ever had that account")
	_, err = b.AssignBankEntry(ctx, lines[1].ID, userID, nil)
	require.NoError(t, err)
	assert.Equal(t, invoice.Total-1623, owed())
	c.provider.Pay(page.SessionID)
	assert.Equal(t, []string{"booked"}, c.tell(t, c.provider.Last()))
	c.provider.Pay(order.SessionID)
	assert.Equal(t, []string{"booked"}, c.tell(t, c.provider.Last()))
	assert.Equal(t, billing.Amount(-1623-700), owed())
	n := len(c.provider.Events())
	c.provider.RefundByHand(page.SessionID, 400)
	c.tell(t, c.since(n)...)
	assert.Equal(t, billing.Amount(-1623-300), owed())
	paid, err := b.InvoiceByID(ctx, invoice.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.InvoicePaid, paid.State)
	requireSound(t, b.Store)
	_, err = b.RecordPayment(ctx, &billing.Payment{UserID: uuid.New(), Method: billing.PaidCash, Currency: "EUR", Amount: 1, ReceivedOn: civil("2030-02-01")})
	assert.ErrorIs(t, err, store.ErrNotFound, "nobody ever had that account")
	none, err := b.CountPayments(ctx, billing.PaymentFilter{UserID: userID})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 6}, none)
}

// testDeletedBilled: whoever is deleted, by whatever way, is billed what is left; if that
// cannot be done, nobody is deleted.
func testDeletedBilled(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	ctx := t.Context()
	batch := &aaa.UserBatch{Name: "march", Prefix: "m-", Count: 2}
	made, err := b.CreateUserBatch(ctx, batch, aaa.BatchOptions{NameLength: 6, PasswordLength: 12})
	require.NoError(t, err)
	charge := func(userID uuid.UUID, class string) {
		require.NoError(t, b.CreateCharge(ctx, &billing.Charge{UserID: userID, Description: "cable", Currency: "EUR", Quantity: decimal("1"), Unit: "period",
			UnitPrice: decimal("10"), Amount: 1000, TaxClass: class}))
	}
	alone := []string{"user-0001", "user-0002"} // with one subscription each
	ids := map[string]uuid.UUID{}
	for _, name := range append(alone, "user-0000") {
		u, err := b.UserByName(ctx, name)
		require.NoError(t, err)
		ids[name] = u.ID
	}
	wrong := made[1].ID
	charge(wrong, "school")
	b.setNow(at("2030-01-10T12:00:00Z"))

	for name, gone := range map[string]struct {
		userID uuid.UUID
		by     func() error
		total  billing.Amount
	}{
		// The set-up 5.00, ten of 31 days at 19.99 are 6.45, the cable 10.00: 21.45 and 19 % 4.08.
		"deleted":    {ids["user-0001"], func() error { return b.DeleteUser(ctx, "user-0001") }, 2553},
		"by its id":  {ids["user-0002"], func() error { return b.RemoveUser(ctx, ids["user-0002"], aaa.CloseOptions{}, nil) }, 2553},
		"of a batch": {made[0].ID, func() error { return b.RemoveUser(ctx, made[0].ID, aaa.CloseOptions{}, nil) }, 1190},
		"erased": {ids["user-0000"], func() error {
			_, err := b.StartErasure(ctx, ids["user-0000"], aaa.EraseOptions{})
			return err
		}, 3531}, // another set-up, and 3.22 for the other plan: 29.67 and 5.64
	} {
		charge(gone.userID, "standard")
		require.NoError(t, gone.by(), name)
		invoices := b.invoicesOf(t, gone.userID)
		require.Len(t, invoices, 1, name)
		assert.Equal(t, []any{billing.InvoiceIssued, gone.total, civil("2030-01-10")}, []any{invoices[0].State, invoices[0].Total, invoices[0].IssuedOn}, name)
		subscriptions, err := b.SubscriptionsOf(ctx, gone.userID)
		require.NoError(t, err)
		for _, x := range subscriptions {
			assert.Equal(t, []any{billing.SubscriptionEnded, civil("2030-01-11")}, []any{x.State, x.End}, name)
		}
		pending := true
		left, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: gone.userID, Pending: &pending}, aaa.Page{})
		require.NoError(t, err)
		assert.Empty(t, left, name)
	}
	requireSound(t, b.Store)

	// What cannot be billed keeps its user.
	refusals := map[string]error{"user": b.RemoveUser(ctx, wrong, aaa.CloseOptions{}, nil), "batch": b.RemoveUserBatch(ctx, batch.ID, aaa.CloseOptions{}, nil)}
	_, refusals["erasure"] = b.StartErasure(ctx, wrong, aaa.EraseOptions{})
	for name, err := range refusals {
		require.ErrorIs(t, err, store.ErrInUse, name)
		assert.ErrorContains(t, err, `what is left to bill cannot be billed`, name)
		assert.ErrorContains(t, err, `"school"`, name)
	}
	require.NoError(t, b.SetTaxRate(ctx, &billing.TaxRate{Class: "school", Name: "VAT", Percent: decimal("10"), Category: "S", From: civil("2020-01-01")}))
	require.NoError(t, b.RemoveUserBatch(ctx, batch.ID, aaa.CloseOptions{}, nil))
	assert.Equal(t, billing.Amount(1100), b.invoicesOf(t, wrong)[0].Total)
	requireSound(t, b.Store)
}

// testDeletedDrafts: what is on drafts is billed, or given back, when the account is closed.
func testDeletedDrafts(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	batch := &aaa.UserBatch{Name: "march", Prefix: "m-", Count: 1}
	made, err := b.CreateUserBatch(ctx, batch, aaa.BatchOptions{NameLength: 6, PasswordLength: 12})
	require.NoError(t, err)
	drafted := func(userID uuid.UUID, amounts ...billing.Amount) {
		o := b.runOptions()
		o.AsOf = civil("2030-01-01")
		for n, amount := range amounts {
			c, err := billing.NewManualCharge(userID, "EUR", amount, "by hand")
			require.NoError(t, err)
			require.NoError(t, b.CreateCharge(ctx, &c))
			if n == 0 {
				_, err = b.DraftInvoice(ctx, userID, "EUR", o)
				require.NoError(t, err)
			}
		}
	}
	users := map[string]uuid.UUID{"deleted": b.addUser(t, "deleted"), "less": b.addUser(t, "less"), "nothing": b.addUser(t, "nothing"), "erased": b.addUser(t, "erased"), "batch": made[0].ID}
	b.setNow(at("2030-01-10T12:00:00Z"))
	for name, gone := range map[string]struct {
		amounts []billing.Amount // the first is on a draft
		by      func() error
		total   billing.Amount
	}{
		"deleted": {[]billing.Amount{1000}, func() error { return b.DeleteUser(ctx, "deleted") }, 1000},
		"less":    {[]billing.Amount{1000, -400}, func() error { return b.DeleteUser(ctx, "less") }, 600},
		"nothing": {[]billing.Amount{1000, -1000}, func() error { return b.DeleteUser(ctx, "nothing") }, 0},
		"erased": {[]billing.Amount{1000, 1}, func() error {
			_, err := b.StartErasure(ctx, users["erased"], aaa.EraseOptions{KeepUser: true})
			return err
		}, 1001},
		"batch": {[]billing.Amount{700}, func() error { return b.RemoveUserBatch(ctx, batch.ID, aaa.CloseOptions{}, nil) }, 700},
	} {
		drafted(users[name], gone.amounts...)
		require.NoError(t, gone.by(), name)
		requireSound(t, b.Store)
		balance, err := b.Balance(ctx, users[name], "EUR")
		require.NoError(t, err)
		assert.Equal(t, gone.total, balance, name)
		for _, i := range b.invoicesOf(t, users[name]) {
			assert.Equal(t, []any{billing.InvoiceIssued, gone.total, civil("2030-01-10"), len(gone.amounts)}, []any{i.State, i.Total, i.IssuedOn, len(i.Lines)}, name)
		}
	}
}

// testDeletedDunned: who is deleted and owes something is written to where the invoice went.
func testDeletedDunned(t *testing.T, database Database) {
	d := &dunned{newBilled(t, database, 1), &aaa.Group{Name: "debtors"}}
	ctx := t.Context()
	require.NoError(t, d.UpdateUserProfile(ctx, "user-0000", func(p *aaa.Profile) error { p.Email = "gone@example.org"; return nil }))
	_, err := d.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	require.NoError(t, d.CreateGroup(ctx, d.debtors))
	d.set(t, "20 remind")
	d.setNow(at("2030-01-31T12:00:00Z")) // nothing of the month goes back
	require.NoError(t, d.DeleteUser(ctx, "user-0000"))
	assert.Equal(t, 1, d.dun(t, 20, 10).Reminded)
	list, _, err := d.ListMailsPage(ctx, billing.MailingFilter{UserID: d.users[0]}, aaa.Page{})
	require.NoError(t, err)
	var reminded []string
	for _, m := range list {
		if m.Purpose == "overdue_20" {
			reminded = append(reminded, m.Recipient)
		}
	}
	assert.Equal(t, []string{"gone@example.org"}, reminded)
}

// testDeletedCredited: what a user who is deleted had paid in advance and does not have is
// given back by a credit note, and nothing is left pending.
func testDeletedCredited(t *testing.T, database Database) {
	b := newBilled(t, database, 2)
	ctx := t.Context()
	userID := uuid.NewSHA1(uuid.NameSpaceOID, []byte("user-0001")) // with one subscription
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	b.setNow(at("2030-01-10T12:00:00Z"))
	require.NoError(t, b.DeleteUser(ctx, "user-0001"))
	invoices := b.invoicesOf(t, userID)
	require.Len(t, invoices, 2)
	slices.SortFunc(invoices, func(a, b billing.Invoice) int { return a.IssuedOn.Compare(b.IssuedOn) })
	assert.Equal(t, billing.KindCreditNote, invoices[1].Kind)
	assert.Equal(t, invoices[0].Number, invoices[1].CorrectsNumber)
	assert.Equal(t, billing.Amount(1611), invoices[1].Total) // 21 of 31 days at 19.99 are 13.54, and 19 % 2.57
	pending := true
	left, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: userID, Pending: &pending}, aaa.Page{})
	require.NoError(t, err)
	assert.Empty(t, left)
	requireSound(t, b.Store)
}
