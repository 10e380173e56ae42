package storetest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
)

// testErasedUsage: of a person who was erased and whose user is kept, usage is not rated
// again: neither while it is under the name yet, nor when more of it comes.
func testErasedUsage(t *testing.T, database Database) {
	b := newBilled(t, database, 2) // the first of the names has two subscriptions
	ctx := t.Context()
	u, err := b.UserByName(ctx, "user-0001")
	require.NoError(t, err)
	raw := Raw(t, b.options)
	use := func(day string) {
		execute(t, raw, `INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets) VALUES ('user-0001', '`+day+`', 0, 0, 11811160064)`) // 11 GiB
	}
	night := func(day string) {
		t.Helper()
		b.setNow(at(day + "T04:00:00Z"))
		_, err := b.run(ctx, day, 100)
		require.NoError(t, err)
	}
	use("2030-01-05")
	night("2030-01-01")
	b.setNow(at("2030-01-10T12:00:00Z"))
	e, err := b.StartErasure(ctx, u.ID, aaa.EraseOptions{KeepUser: true})
	require.NoError(t, err)
	charges, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: u.ID}, aaa.Page{})
	require.NoError(t, err)
	usage := 0
	for _, c := range charges {
		if c.Kind == billing.ChargeUsage {
			usage++
		}
	}
	require.Equal(t, 1, usage)
	documents := b.invoicesOf(t, u.ID)

	night("2030-01-11") // the usage is under the name yet
	use("2030-01-09")   // and more of it comes
	_, err = b.RunErasure(ctx, e.ID, nil, nil)
	require.NoError(t, err)
	night("2030-01-12")
	night("2030-02-01")
	after, _, err := b.ListChargesPage(ctx, billing.ChargeFilter{UserID: u.ID}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, after, len(charges))
	assert.Len(t, b.invoicesOf(t, u.ID), len(documents))
	requireSound(t, b.Store)
}

// testErasedEqualEntries: what a bank statement says of a person who was erased is gone, also
// where it said so twice, and what waits to be decided about still does.
func testErasedEqualEntries(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	invoice := b.invoicesOf(t, b.users[0])[0]
	statement := func(id string) string {
		return strings.ReplaceAll(camtStatement(id, "2030-01-10;5.00;BOOK;"+invoice.Number+" of Erika Musterfrau", "2030-01-11;6.00;BOOK;"+invoice.Number+" of Erika Musterfrau"), "Payer", "Erika Musterfrau")
	}
	require.Equal(t, []bank.Outcome{bank.OutcomeBooked, bank.OutcomeBooked}, importCAMT(t, b.Store, statement("1")))
	twice := []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched}
	require.Equal(t, twice, importCAMT(t, b.Store, statement("2")))
	waiting, _, err := b.ListBankEntriesPage(ctx, bank.Filter{States: bank.Waiting()}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	_, err = b.DismissBankEntry(ctx, waiting[0].ID, "Erika Musterfrau has paid once")
	require.NoError(t, err)
	require.NotEmpty(t, found(t, b.options, "Musterfrau"))

	_, err = b.ErasePerson(ctx, b.users[0], aaa.EraseOptions{}, nil, nil)
	require.NoError(t, err)
	assert.Empty(t, found(t, b.options, "Musterfrau"))
	assert.Equal(t, []bank.Outcome{bank.OutcomeKnown, bank.OutcomeKnown}, importCAMT(t, b.Store, statement("2")))
	payments, err := b.CountPayments(ctx, billing.PaymentFilter{UserID: b.users[0]})
	require.NoError(t, err)
	assert.Equal(t, 2, int(payments.N))
	requireSound(t, b.Store)
}
