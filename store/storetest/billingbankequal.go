package storetest

import (
	"context"
	"fmt"
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

// camtStatement is a statement of an account, with entries that the bank has no reference
// for: day, amount, status and text.
func camtStatement(id string, entries ...string) string {
	var w strings.Builder
	fmt.Fprintf(&w, `<Stmt><Id>%s</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>`, id)
	for _, e := range entries {
		f := strings.Split(e, ";")
		fmt.Fprintf(&w, `<Ntry><Amt Ccy="EUR">%s</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>%s</Sts><BookgDt><Dt>%s</Dt></BookgDt>
			<NtryDtls><TxDtls><RltdPties><Dbtr><Nm>Payer</Nm></Dbtr></RltdPties><RmtInf><Ustrd>%s</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>`, f[1], f[2], f[0], f[3])
	}
	return w.String() + "</Stmt>"
}

func importCAMT(t *testing.T, books bank.Books, statements ...string) (list []bank.Outcome) {
	t.Helper()
	text := `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>` + strings.Join(statements, "") + `</BkToCstmrStmt></Document>`
	entries, _, err := bank.Open(strings.NewReader(text), bank.FormatCAMT, bank.CSVFormat{})
	assert.NoError(t, err)
	assert.NoError(t, bank.Import(t.Context(), books, &bank.Statement{Name: "x.xml", Format: bank.FormatCAMT}, entries, false, func(l *bank.Line) error {
		assert.NoError(t, l.Err)
		list = append(list, l.Outcome)
		return nil
	}))
	return list
}

// testEqualOfStatements: of which days a statement has all is a matter of each statement of
// a file, and of what the bank has booked.
func testEqualOfStatements(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	_, err := b.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	invoice := b.invoicesOf(t, b.users[0])[0]
	paid := func() billing.Amount {
		i, err := b.InvoiceByID(t.Context(), invoice.ID)
		require.NoError(t, err)
		return i.Paid
	}
	early, late := "2030-01-10;5.00;BOOK;"+invoice.Number, "2030-01-20;6.00;BOOK;"+invoice.Number
	assert.Equal(t, []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeBooked}, importCAMT(t, b.Store, camtStatement("1", "2030-01-09;1.00;BOOK;tea", early)))
	assert.Equal(t, []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched, bank.OutcomeUnmatched},
		importCAMT(t, b.Store, camtStatement("0", "2030-01-08;2.00;BOOK;milk"), camtStatement("2", early, "2030-01-11;3.00;BOOK;salt")),
		"it is the first day of its statement: it may be another payment")
	assert.Equal(t, billing.Amount(500), paid())

	assert.Equal(t, []bank.Outcome{bank.OutcomeBooked}, importCAMT(t, b.Store, camtStatement("3", late)))
	outcomes := importCAMT(t, b.Store, camtStatement("4", "2030-01-19;4.00;BOOK;rice", late, "2030-01-21;7.00;PDNG;bread"))
	assert.Equal(t, []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomePending, bank.OutcomeUnmatched}, outcomes, "more of the last day may come")
	assert.Equal(t, billing.Amount(1100), paid())
	requireSound(t, b.Store)
}

// askedTogether are books in which two imports look at once for what is equal to their first
// entry.
type askedTogether struct {
	*store.Store
	once   sync.Once
	others *sync.WaitGroup
}

func (b *askedTogether) EqualEntry(ctx context.Context, equal string, nth int) (*bank.Record, error) {
	r, err := b.Store.EqualEntry(ctx, equal, nth)
	b.once.Do(func() {
		b.others.Done()
		b.others.Wait()
	})
	return r, err
}

// testEqualAtOnce: statements that overlap and are imported at once book what they have in
// common once.
func testEqualAtOnce(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	_, err := b.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	invoice := b.invoicesOf(t, b.users[0])[0]
	common := "2030-01-10;5.00;BOOK;" + invoice.Number
	var imports, others sync.WaitGroup
	others.Add(2)
	for n, around := range [][]string{{"2030-01-09;1.00;BOOK;tea", "2030-01-11;1.00;BOOK;tea"}, {"2030-01-08;1.00;BOOK;milk", "2030-01-12;1.00;BOOK;milk"}} {
		imports.Go(func() {
			importCAMT(t, &askedTogether{Store: b.Store, others: &others}, camtStatement(fmt.Sprint(n), common, around[0], around[1]))
		})
	}
	imports.Wait()
	i, err := b.InvoiceByID(t.Context(), invoice.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(500), i.Paid)
	requireSound(t, b.Store)
}

// testEqualMatchedLater: what was unmatched and matches when another statement has it again
// is booked then, once.
func testEqualMatchedLater(t *testing.T, database Database) {
	b := newBilled(t, database, 1)
	entry := "2030-01-10;5.00;BOOK;for 2030-000001"
	days := []string{"2030-01-09;1.00;BOOK;tea", entry, "2030-01-12;1.00;BOOK;milk"}
	unmatched := []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched, bank.OutcomeUnmatched}
	require.Equal(t, unmatched, importCAMT(t, b.Store, camtStatement("1", days...)), "there is no invoice")
	_, err := b.run(t.Context(), "2030-01-01", 100)
	require.NoError(t, err)
	invoice := b.invoicesOf(t, b.users[0])[0]
	require.Equal(t, "2030-000001", invoice.Number)
	around := []string{"2030-01-08;1.00;BOOK;tea", entry, "2030-01-13;1.00;BOOK;milk"}
	booked := []bank.Outcome{bank.OutcomeUnmatched, bank.OutcomeUnmatched, bank.OutcomeBooked} // what is asked about comes last
	assert.Equal(t, booked, importCAMT(t, b.Store, camtStatement("2", around...)))
	for _, id := range []string{"1", "2", "3"} {
		importCAMT(t, b.Store, camtStatement(id, around...))
	}
	i, err := b.InvoiceByID(t.Context(), invoice.ID)
	require.NoError(t, err)
	assert.Equal(t, billing.Amount(500), i.Paid)
	waiting, _, err := b.ListBankEntriesPage(t.Context(), bank.Filter{States: bank.Waiting()}, aaa.Page{})
	require.NoError(t, err)
	for _, r := range waiting {
		assert.NotContains(t, r.Remittance, invoice.Number)
	}
	requireSound(t, b.Store)
}
