package storetest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/store"
)

// testDrafts: an invoice that somebody makes by hand, deletes, makes again and issues.
func testDrafts(t *testing.T, database Database) {
	b := newBilled(t, database, 2)
	ctx := t.Context()
	user, other := b.users[0], b.users[1]
	o := b.runOptions()
	o.AsOf = civil("2030-01-01")
	charge := func(userID uuid.UUID, amount billing.Amount) uuid.UUID {
		c, err := billing.NewManualCharge(userID, "EUR", amount, "by hand")
		require.NoError(t, err)
		c.TaxClass = "standard"
		require.NoError(t, b.CreateCharge(ctx, &c))
		return c.ID
	}
	_, err := b.DraftInvoice(ctx, user, "EUR", o)
	assert.True(t, billing.IsRefusal(err), "there is nothing to pay: %v", err)
	_, err = b.DraftInvoice(ctx, uuid.New(), "EUR", o)
	assert.ErrorIs(t, err, store.ErrNotFound)

	// 50.00 - 10.00 = 40.00, and 19 % of it is 7.60.
	charge(user, 5000)
	charge(user, -1000)
	theirs := charge(other, 100)
	draft, err := b.DraftInvoice(ctx, user, "EUR", o)
	require.NoError(t, err)
	assert.Equal(t, billing.InvoiceDraft, draft.State)
	assert.Empty(t, draft.Number)
	assert.Equal(t, []billing.Amount{4000, 760, 4760}, []billing.Amount{draft.Net, draft.Tax, draft.Total})
	assert.Len(t, draft.Lines, 2)
	assert.Equal(t, "2030-01-15", draft.DueOn.String())
	balance, err := b.Balance(ctx, user, "EUR")
	require.NoError(t, err)
	assert.Zero(t, balance, "a draft is owed by nobody")
	requireSound(t, b.Store)
	_, err = b.DraftInvoice(ctx, user, "EUR", o)
	assert.True(t, billing.IsRefusal(err), "all is on a draft: %v", err)
	copied := *draft
	copied.ID = uuid.Nil
	assert.True(t, billing.IsRefusal(b.CreateDraft(ctx, &copied)), "a charge is on one invoice")
	copied.Lines = []billing.InvoiceLine{draft.Lines[0]}
	copied.Lines[0].ChargeID = theirs
	assert.True(t, billing.IsRefusal(b.CreateDraft(ctx, &copied)), "a charge of somebody else")
	requireSound(t, b.Store)

	// A run leaves it alone: it has its own, of the set-up fee and the price.
	_, err = b.run(ctx, "2030-01-01", 10)
	require.NoError(t, err)
	still, err := b.InvoiceByID(ctx, draft.ID)
	require.NoError(t, err)
	assert.Equal(t, draft, still)

	require.NoError(t, b.DeleteDraft(ctx, draft.ID))
	assert.ErrorIs(t, b.DeleteDraft(ctx, draft.ID), store.ErrNotFound)
	again, err := b.DraftInvoice(ctx, user, "EUR", o)
	require.NoError(t, err)
	assert.Equal(t, draft.ID, again.ID, "of the same charges on the same day")

	// Issued: a number, owed, and what the user has of credit pays it.
	before, err := b.Balance(ctx, user, "EUR")
	require.NoError(t, err)
	b.pay(t, user, before+1000, "more than the first invoice")
	var field *billing.FieldError
	_, err = b.IssueInvoice(ctx, draft.ID, civil("2030-01-03"), civil("2030-01-02"))
	assert.ErrorAs(t, err, &field, "due before it is issued")
	require.NoError(t, b.SetTaxRate(ctx, &billing.TaxRate{Class: "standard", Name: "VAT", Percent: decimal("20"), Category: "S", From: civil("2030-01-10")}))
	_, err = b.IssueInvoice(ctx, draft.ID, civil("2030-01-10"), civil("2030-01-20"))
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "issued_on", field.Field, "on that day the tax is another one")
	requireSound(t, b.Store)
	issued, err := b.IssueInvoice(ctx, draft.ID, civil("2030-01-05"), civil("2030-01-20"))
	require.NoError(t, err)
	assert.Equal(t, "2030-000003", issued.Number, "after those of the run")
	assert.Equal(t, []string{"2030-01-05", "2030-01-20"}, []string{issued.IssuedOn.String(), issued.DueOn.String()})
	assert.Equal(t, billing.Amount(1000), issued.Paid)
	balance, err = b.Balance(ctx, user, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(3760), balance)
	_, err = b.IssueInvoice(ctx, draft.ID, billing.Date{}, billing.Date{})
	assert.Error(t, err, "it is issued once")
	assert.True(t, billing.IsRefusal(b.DeleteDraft(ctx, draft.ID)), "and stays")
	_, err = b.IssueInvoice(ctx, uuid.New(), billing.Date{}, billing.Date{})
	assert.ErrorIs(t, err, store.ErrNotFound)
	requireSound(t, b.Store)
}
