package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
)

func (b *billed) pay(t require.TestingT, userID uuid.UUID, amount billing.Amount, reference string) *billing.Payment {
	p := &billing.Payment{UserID: userID, Method: billing.PaidBank, Currency: "EUR", Amount: amount, Provider: "bank", Reference: reference, ReceivedOn: civil("2030-01-05")}
	_, err := b.RecordPayment(context.Background(), p)
	require.NoError(t, err)
	return p
}

// invoicesOf returns a user's invoices with their lines, the oldest first.
func (b *billed) invoicesOf(t require.TestingT, userID uuid.UUID) (list []billing.Invoice) {
	rows, _, err := b.ListInvoicesPage(context.Background(), billing.InvoiceFilter{UserID: userID}, aaa.Page{Limit: 1000, Sort: "created_at"})
	require.NoError(t, err)
	for _, row := range rows {
		i, err := b.InvoiceByID(context.Background(), row.ID)
		require.NoError(t, err)
		list = append(list, *i)
	}
	return list
}

func testPayments(t *testing.T, database Database) {
	b := newBilled(t, database, 6)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	var userID uuid.UUID // with one subscription
	for _, userID = range b.users {
		if balance, err := b.Balance(ctx, userID, "EUR"); err == nil && balance == 2974 {
			break
		}
	}
	invoice := b.invoicesOf(t, userID)[0]

	// In part; what is reported again is not booked again.
	part := b.pay(t, userID, 1000, "a")
	require.Len(t, part.Allocations, 1)
	assert.Equal(t, invoice.Number, part.Allocations[0].Number)
	assert.Equal(t, part.ID, b.pay(t, userID, 1000, "a").ID)
	wrong := *part
	wrong.ID, wrong.Amount = uuid.Nil, 1001
	_, err = b.RecordPayment(ctx, &wrong)
	assert.ErrorIs(t, err, store.ErrExists)
	got, err := b.InvoiceByNumber(ctx, invoice.Number)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(1974), got.Open())

	// Too much: the rest is credit, which the next invoice takes.
	over := b.pay(t, userID, 5000, "b")
	assert.Equal(t, billing.Amount(1974), over.Allocations[0].Amount)
	balance, err := b.Balance(ctx, userID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-3026), balance)
	requireSound(t, b.Store)
	b.setNow(at("2030-02-01T12:00:00Z"))
	_, err = b.run(ctx, "2030-02-01", 100)
	require.NoError(t, err)
	second := b.invoicesOf(t, userID)[1] // 19.99 * 1.19 = 23.79
	assert.Equal(t, billing.Amount(2379), second.Total)
	assert.Equal(t, billing.InvoicePaid, second.State)
	requireSound(t, b.Store)

	// Given back: first what is free (647), and then the invoice paid last is open again.
	back := &billing.Payment{Refunds: over.ID, Amount: 1000, Method: billing.PaidBank, ReceivedOn: civil("2030-02-02"), Provider: "bank", Reference: "back"}
	booked, err := b.RefundPayment(ctx, back)
	require.NoError(t, err)
	assert.True(t, booked)
	again := &billing.Payment{Refunds: over.ID, Amount: 1000, Method: billing.PaidBank, ReceivedOn: civil("2030-02-02"), Provider: "bank", Reference: "back"}
	booked, err = b.RefundPayment(ctx, again)
	require.NoError(t, err)
	assert.False(t, booked)
	assert.Equal(t, back.ID, again.ID)
	second = b.invoicesOf(t, userID)[1]
	assert.Equal(t, billing.Amount(353), second.Open())
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: over.ID, Amount: 4001, ReceivedOn: civil("2030-02-02")})
	assert.Error(t, err, "more than is left of it")
	_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: back.ID, Amount: 1, ReceivedOn: civil("2030-02-02")})
	requireRefused(t, err, billing.CodePaymentState)
	requireSound(t, b.Store)

	// Write-off, credit note, void.
	require.NoError(t, b.WriteOffInvoice(ctx, second.ID))
	requireRefused(t, b.WriteOffInvoice(ctx, second.ID), billing.CodeInvoiceState)
	requireSound(t, b.Store)
	note, err := b.CreditInvoice(ctx, invoice.ID, map[int]billing.Amount{1: 500}, civil("2030-02-03"), "as agreed")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(595), note.Total)
	assert.Equal(t, "as agreed", note.Note)
	requireRefused(t, b.VoidInvoice(ctx, invoice.ID), billing.CodeInvoiceState)
	notes, err := b.CreditNotesOf(ctx, invoice.ID)
	require.NoError(t, err)
	require.Len(t, notes, 1)
	requireRefused(t, b.VoidInvoice(ctx, note.ID), billing.CodeInvoicePaid) // what was written off, after all
	requireSound(t, b.Store)

	// Of two transactions and of nobody.
	statement := walk(t, aaa.Page{Limit: 2}, func(p aaa.Page) ([]billing.StatementEntry, string, error) {
		return b.StatementPage(ctx, billing.StatementFilter{UserID: userID, Currency: "EUR"}, p)
	}, func() {})
	sum := billing.Amount(0)
	for _, e := range statement {
		sum += e.Amount
	}
	balance, err = b.Balance(ctx, userID, "EUR")
	require.NoError(t, err)
	assert.Equal(t, balance, sum)
	_, err = b.RecordPayment(ctx, &billing.Payment{UserID: uuid.New(), Method: billing.PaidCash, Currency: "EUR", Amount: 1, ReceivedOn: civil("2030-01-01")})
	assert.ErrorIs(t, err, store.ErrNotFound)
	var field *billing.FieldError
	_, err = b.RecordPayment(ctx, &billing.Payment{UserID: userID, Method: billing.PaidCash, Currency: "EUR", Amount: -1, ReceivedOn: civil("2030-01-01")})
	assert.ErrorAs(t, err, &field)

	// The ledger is not changed, by whomever.
	db := Raw(t, b.options)
	for _, statement := range []string{"UPDATE ledger_postings SET amount = amount + 1", "DELETE FROM ledger_postings", "DELETE FROM ledger_transactions"} {
		_, err := db.ExecContext(ctx, statement)
		assert.ErrorContains(t, err, "append-only", statement)
	}
	execute(t, db, "UPDATE ledger_balances SET balance = balance + 1 WHERE user_id = $1", userID.String())
	complaints, err := b.CheckLedger(ctx)
	require.NoError(t, err)
	assert.Len(t, complaints, 2, "of the postings, and of what is open")
}

// testPaymentsAtOnce: whatever comes at once is booked once, and allocated to the cent.
func testPaymentsAtOnce(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	other := reopen(t, b.options)
	_, err := b.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	var booked atomic.Int64
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			p := &billing.Payment{UserID: b.users[n%2], Method: billing.PaidCard, Currency: "EUR", Amount: 300, Provider: "card", Reference: fmt.Sprint(n / 4), ReceivedOn: civil("2030-01-02")}
			p.UserID = b.users[n/4%2]
			ok, err := []*store.Store{b.Store, other}[n%2].RecordPayment(context.WithoutCancel(t.Context()), p)
			if assert.NoError(t, err) && ok {
				booked.Add(1)
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 4, booked.Load())
	requireSound(t, b.Store)
}
