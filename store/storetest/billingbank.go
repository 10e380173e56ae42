package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
	"radiusd/store"
)

// transfers are entries of a statement: each pays an invoice by its reference.
func transfers(t testing.TB, invoices []billing.Invoice) (list []bank.Entry) {
	for n, i := range invoices {
		ref, err := billing.RFReference(i.Number)
		require.NoError(t, err)
		list = append(list, bank.Entry{
			Reference: fmt.Sprintf("ref-%d", n), Account: "DE89370400440532013000", Line: n + 1, BookedOn: civil("2030-01-10"), ValueOn: civil("2030-01-10"),
			Currency: i.Currency, Amount: i.Total, Name: "Payer", CreditorReferences: []string{ref},
		})
	}
	return list
}

func entriesOf(list []bank.Entry) iter.Seq2[bank.Entry, error] {
	return func(yield func(bank.Entry, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// importEntries imports a statement and returns what was done with each entry.
func importEntries(ctx context.Context, s *store.Store, list []bank.Entry) (lines []bank.Line, err error) {
	x := &bank.Statement{Name: "statement.xml", Format: bank.FormatCAMT}
	err = bank.Import(ctx, s, x, entriesOf(list), false, func(l *bank.Line) error {
		lines = append(lines, *l)
		return nil
	})
	return lines, err
}

func outcomes(lines []bank.Line) (list []bank.Outcome) {
	for _, l := range lines {
		list = append(list, l.Outcome)
	}
	return list
}

func testBankEntries(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	var invoices []billing.Invoice
	for _, userID := range b.users {
		invoices = append(invoices, b.invoicesOf(t, userID)[0])
	}
	list := transfers(t, invoices)
	list[1].Amount -= 100 // in part
	list[2].CreditorReferences, list[2].Remittance = nil, "for the net"
	out, pending := list[2], list[0]
	out.Reference, out.Amount = "out", -500
	pending.Reference, pending.Pending = "pending", true
	list = append(list, out, pending)

	lines, err := importEntries(ctx, b.Store, list)
	require.NoError(t, err)
	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked, bank.OutcomeBooked, bank.OutcomeUnmatched, bank.OutcomeIgnored, bank.OutcomePending}, outcomes(lines))
	for n, open := range []billing.Amount{0, 100, invoices[2].Total} {
		got, err := b.InvoiceByNumber(ctx, invoices[n].Number)
		require.NoError(t, err)
		assert.Equal(t, open, got.Open(), n)
	}
	payment, err := b.PaymentByID(ctx, lines[0].PaymentID)
	require.NoError(t, err)
	assert.Equal(t, []any{billing.PaidBank, "bank", "ref-0", civil("2030-01-10")}, []any{payment.Method, payment.Provider, payment.Reference, payment.ReceivedOn})
	requireSound(t, b.Store)

	// Again, and with what overlaps: nothing is booked twice.
	lines, err = importEntries(ctx, b.Store, list)
	require.NoError(t, err)
	assert.Equal(t, []bank.Outcome{bank.OutcomeKnown, bank.OutcomeKnown, bank.OutcomeKnown, bank.OutcomeKnown, bank.OutcomePending}, outcomes(lines))

	// What was unmatched matches when more is known of it.
	again := list[2]
	again.Remittance = "for " + invoices[2].Number
	lines, err = importEntries(ctx, b.Store, []bank.Entry{again, again})
	require.NoError(t, err)
	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked, bank.OutcomeKnown}, outcomes(lines))
	requireSound(t, b.Store)

	// By hand: to an invoice, to a user, or to nobody.
	more := transfers(t, invoices[:1])[0]
	more.CreditorReferences = nil
	var unknown []bank.Entry
	for n := range 3 {
		more.Reference, more.Amount, more.BookedOn = fmt.Sprintf("more-%d", n), 100, civil("2030-01-11")
		unknown = append(unknown, more)
	}
	lines, err = importEntries(ctx, b.Store, unknown)
	require.NoError(t, err)
	walked := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]bank.Record, string, error) {
		return b.ListBankEntriesPage(ctx, bank.Filter{States: bank.Waiting()}, p)
	}, func() {})
	require.Len(t, walked, 3)
	entry, err := b.AssignBankEntry(ctx, lines[0].ID, invoices[1].UserID, []billing.Allocation{{InvoiceID: invoices[1].ID, Amount: 100}})
	require.NoError(t, err)
	assert.Equal(t, bank.Booked, entry.State)
	paid, err := b.InvoiceByNumber(ctx, invoices[1].Number)
	require.NoError(t, err)
	assert.Equal(t, billing.InvoicePaid, paid.State)
	_, err = b.AssignBankEntry(ctx, lines[0].ID, invoices[1].UserID, nil)
	assert.ErrorIs(t, err, store.ErrInUse)
	_, err = b.DismissBankEntry(ctx, lines[0].ID, "")
	assert.ErrorIs(t, err, store.ErrInUse)
	var field *billing.FieldError
	_, err = b.AssignBankEntry(ctx, lines[1].ID, invoices[0].UserID, []billing.Allocation{{InvoiceID: invoices[1].ID, Amount: 100}})
	assert.ErrorAs(t, err, &field, "it is another user's, and paid")
	entry, err = b.DismissBankEntry(ctx, lines[1].ID, "a tax refund")
	require.NoError(t, err)
	assert.Equal(t, []any{bank.Ignored, "a tax refund"}, []any{entry.State, entry.Reason})
	lines2, err := importEntries(ctx, b.Store, unknown)
	require.NoError(t, err)
	assert.Equal(t, []bank.Outcome{bank.OutcomeKnown, bank.OutcomeKnown, bank.OutcomeKnown}, outcomes(lines2))
	_, err = b.AssignBankEntry(ctx, lines[2].ID, b.users[0], nil)
	require.NoError(t, err)
	balance, err := b.Balance(ctx, b.users[0], "EUR")
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(-100), balance, "credit")
	gone, _, err := b.ListBankEntriesPage(ctx, bank.Filter{States: []bank.State{bank.Ignored}}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, gone, 2)
	outgoing, err := b.EntryByReference(ctx, "out")
	require.NoError(t, err)
	_, err = b.AssignBankEntry(ctx, outgoing.ID, b.users[0], nil)
	assert.ErrorAs(t, err, &field, "money went out")
	requireSound(t, b.Store)
}

// testBankImportCutOff cuts an import off after each number of entries, and lets several
// import the same at once: each entry is booked once.
func testBankImportCutOff(t *testing.T, database Database) {
	b := newBilled(t, database, 8)
	_, err := b.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	var invoices []billing.Invoice
	for _, userID := range b.users {
		invoices = append(invoices, b.invoicesOf(t, userID)...)
	}
	list := transfers(t, invoices)
	errCut := errors.New("cut off")
	for after := range 4 {
		done := 0
		x := &bank.Statement{Name: "statement.xml", Format: bank.FormatCAMT}
		ctx, cancel := context.WithCancel(t.Context())
		err := bank.Import(ctx, b.Store, x, entriesOf(list), false, func(*bank.Line) error {
			if done++; done > after {
				cancel() // the next transaction fails in the middle
			}
			if done > after+1 {
				return errCut
			}
			return nil
		})
		cancel()
		require.Error(t, err)
	}
	var wait sync.WaitGroup
	for n := range 3 {
		wait.Go(func() {
			_, err := importEntries(t.Context(), b.Store, list[n:]) // they overlap
			assert.NoError(t, err)
		})
	}
	wait.Wait()
	payments, _, err := b.ListPaymentsPage(t.Context(), billing.PaymentFilter{Provider: bank.Provider}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, payments, len(list))
	booked, _, err := b.ListBankEntriesPage(t.Context(), bank.Filter{States: []bank.State{bank.Booked}}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, booked, len(list))
	for _, userID := range b.users {
		balance, err := b.Balance(t.Context(), userID, "EUR")
		require.NoError(t, err)
		assert.Zero(t, balance)
	}
	requireSound(t, b.Store)
}

// testEqualEntries: entries that are equal in all that is known of them are told apart as
// far as can be known; where it cannot, a person decides, and none is lost or booked twice.
func testEqualEntries(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	invoice := b.invoicesOf(t, b.users[0])[0]
	format, err := bank.ParseCSVFormat([]string{"date=Day", "amount=Sum", "name=Payer", "remittance=Text", "currency=EUR", "date_order=YYYY-MM-DD", "decimal=."})
	require.NoError(t, err)
	equal := "2030-01-10;10.00;Payer;" + invoice.Number
	load := func(rows ...string) (list []bank.Outcome) {
		t.Helper()
		entries, _, err := bank.Open(strings.NewReader("Day;Sum;Payer;Text\n"+strings.Join(rows, "\n")+"\n"), bank.FormatCSV, format)
		require.NoError(t, err)
		require.NoError(t, bank.Import(ctx, b.Store, &bank.Statement{Name: "x.csv", Format: bank.FormatCSV}, entries, false, func(l *bank.Line) error {
			require.NoError(t, l.Err)
			list = append(list, l.Outcome)
			return nil
		}))
		return list
	}
	paid := func() billing.Amount {
		i, err := b.InvoiceByID(ctx, invoice.ID)
		require.NoError(t, err)
		return i.Paid
	}
	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked}, load(equal))
	assert.Equal(t, []bank.Outcome{bank.OutcomeKnown}, load(equal), "the same file")

	// The rest of the day, or some of it again: a person decides, once.
	rest := []string{equal, "2030-01-11;5.00;Other;tea"}
	assert.Equal(t, []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched}, load(rest...))
	assert.Equal(t, []bank.Outcome{bank.OutcomeKnown, bank.OutcomeKnown}, load(rest...))
	assert.Equal(t, billing.Amount(1000), paid())
	waiting, _, err := b.ListBankEntriesPage(ctx, bank.Filter{States: bank.Waiting()}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	again := waiting[slices.IndexFunc(waiting, func(r bank.Record) bool { return r.Amount == 1000 })]
	assert.Contains(t, again.Reason, "another statement has an equal entry")
	_, err = b.AssignBankEntry(ctx, again.ID, invoice.UserID, nil)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(2000), paid())

	// Whole days that overlap are counted, not asked about.
	whole := []string{"2030-01-09;1.00;Other;milk", equal, equal, "2030-01-12;2.00;Other;salt"}
	assert.Equal(t, []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched, bank.OutcomeKnown, bank.OutcomeKnown}, load(whole...))
	assert.Equal(t, billing.Amount(2000), paid())
	third := []string{"2030-01-09;1.00;Other;milk", equal, equal, equal, "2030-01-13;2.00;Other;salt"}
	outcomes := load(third...)
	slices.Sort(outcomes)
	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked, bank.OutcomeKnown, bank.OutcomeKnown, bank.OutcomeUnmatched, bank.OutcomeUnmatched}, outcomes)
	assert.Equal(t, billing.Amount(3000), paid())
	requireSound(t, b.Store)
}
