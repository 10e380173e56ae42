package bank_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/bank"
)

func day(y int, m time.Month, d int) billing.Date { return billing.Date{Year: y, Month: m, Day: d} }

// collect reads all entries, the errors of entries, and the error that ended it.
func collect(seq func(func(bank.Entry, error) bool)) (entries []bank.Entry, wrong []string, final error) {
	for e, err := range seq {
		if one, ok := errors.AsType[*bank.EntryError](err); ok {
			wrong = append(wrong, one.Error())
		} else if err != nil {
			final = err
		} else {
			entries = append(entries, e)
		}
	}
	return entries, wrong, final
}

func readFile(t *testing.T, name string) []bank.Entry {
	file, err := os.Open("testdata/" + name)
	require.NoError(t, err)
	defer file.Close()
	entries, wrong, err := collect(bank.CAMT(file))
	require.NoError(t, err)
	require.Empty(t, wrong)
	return entries
}

// forget takes away what is tested on its own.
func forget(entries []bank.Entry) []bank.Entry {
	for i := range entries {
		entries[i].Reference, entries[i].Equal, entries[i].Nth, entries[i].Statement = "", "", 0, 0
	}
	return entries
}

func TestCAMTVersion2(t *testing.T) {
	const ours = "DE02120300000000202051"
	require.Equal(t, []bank.Entry{
		{Account: ours, Line: 11, BookedOn: day(2026, 2, 3), ValueOn: day(2026, 2, 4), Currency: "EUR", Amount: 4990,
			Name: "Jürgen Groß & Söhne", IBAN: "DE75512108001245126199", Remittance: "Rechnung INV-0001 23 vom 01.02.2026"},
		{Account: ours, Line: 32, BookedOn: day(2026, 2, 3), Currency: "EUR", Amount: -1250, Reversal: true,
			Name: "A. Payer", EndToEndID: "E2E-7"},
		{Account: ours, Line: 43, BookedOn: day(2026, 2, 5), ValueOn: day(2026, 2, 5), Currency: "EUR", Amount: 2000,
			Pending: true, Remittance: "INV-000124"},
		{Account: "0012345678", Line: 54, BookedOn: day(2026, 2, 3), Currency: "JPY", Amount: 5000, Remittance: "TRANSFER FROM TANAKA"},
		{Account: "0012345678", Line: 62, BookedOn: day(2026, 2, 3), Currency: "JPY", Amount: -300, Name: "the bank", IBAN: "991"},
	}, forget(readFile(t, "v02.xml")))
}

func TestCAMTBatch(t *testing.T) {
	entries := readFile(t, "v04-batch.xml")
	require.Len(t, entries, 3)
	refs := map[string]bool{}
	for _, e := range entries {
		refs[e.Reference] = true
		require.LessOrEqual(t, len(e.Reference), 60)
	}
	require.Len(t, refs, 3, "two transactions have the batch's reference, and are told apart")
	require.True(t, strings.HasPrefix(entries[0].Reference, "TX-A-"), entries[0].Reference)
	const ours = "CH9300762011623852957"
	require.Equal(t, []bank.Entry{
		{Account: ours, Line: 7, BookedOn: day(2026, 3, 31), Currency: "CHF", Amount: 10000, EndToEndID: "E1", CreditorReferences: []string{"RF73INV000123"}},
		{Account: ours, Line: 7, BookedOn: day(2026, 3, 31), Currency: "CHF", Amount: 7000, Remittance: "INV-000200 thanks"},
		{Account: ours, Line: 7, BookedOn: day(2026, 3, 31), Currency: "CHF", Amount: -1000, Reversal: true, Remittance: "returned"},
	}, forget(entries))
}

func TestCAMTVersion8(t *testing.T) {
	require.Equal(t, []bank.Entry{
		{Account: "FR1420041010050500013M02606", Line: 8, BookedOn: day(2026, 2, 28), Currency: "EUR", Amount: 4990,
			Name: "René émigré", IBAN: "FR7630006000011234567890189", EndToEndID: "E2E", Remittance: "facture inv 123"},
	}, forget(readFile(t, "v08.xml")))
}

// document wraps entries into a statement.
func document(version string, entries ...string) string {
	return `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.` + version + `"><BkToCstmrStmt>` + statement(entries...) +
		`</BkToCstmrStmt></Document>`
}

func statement(entries ...string) string {
	return `<Stmt><Acct><Id><IBAN>DE02120300000000202051</IBAN></Id></Acct>` + "\n" + strings.Join(entries, "\n") + `</Stmt>`
}

// entry is a credit with parts replaced: old, new, old, new, …
func entry(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`<Ntry><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-01-31</Dt></BookgDt>` +
		`<AcctSvcrRef>R1</AcctSvcrRef><NtryDtls><TxDtls><RmtInf><Ustrd>text</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>`)
}

func TestCAMTReadsAllVersions(t *testing.T) {
	for v := 2; v <= 8; v++ {
		entries, wrong, err := collect(bank.CAMT(strings.NewReader(document(fmt.Sprintf("%02d", v), entry()))))
		require.NoError(t, err)
		require.Empty(t, wrong)
		require.Len(t, entries, 1)
	}
}

func TestCAMTEntryErrors(t *testing.T) {
	batch := `</TxDtls><TxDtls><Amt Ccy="EUR">4.00</Amt></TxDtls>`
	for _, c := range []struct{ name, entry, want string }{
		{"no amount", entry("10.00", ""), "is no amount of money"},
		{"an amount that is text", entry("10.00", "ten"), "is no amount of money"},
		{"a comma", entry("10.00", "10,00"), "is no amount of money"},
		{"three decimals", entry("10.00", "10.001"), "EUR has 2 decimals"},
		{"a negative amount", entry("10.00", "-10.00"), "negative"},
		{"zero", entry("10.00", "0.00"), "zero"},
		{"too many digits", entry("10.00", "99999999999999999999"), "is no amount of money"},
		{"no currency", entry(` Ccy="EUR"`, ""), "is no currency"},
		{"a currency in small letters", entry("EUR", "eur"), "is no currency"},
		{"no direction", entry("CRDT", ""), "CdtDbtInd"},
		{"no state", entry("BOOK", ""), "state"},
		{"another state", entry("BOOK", "LATE"), `"LATE"`},
		{"no date", entry("<Dt>2026-01-31</Dt>", ""), "neither a booking date nor a value date"},
		{"a day that is none", entry("2026-01-31", "2026-02-30"), "booking date"},
		{"a bad indicator", entry("</CdtDbtInd>", "</CdtDbtInd><RvslInd>maybe</RvslInd>"), "RvslInd"},
		{"a batch without amounts", entry("</TxDtls>", `</TxDtls><TxDtls></TxDtls>`), "transaction 1 of 2: it has no amount"},
		{"a batch that does not add up", entry("<TxDtls><RmtInf>", `<TxDtls><Amt Ccy="EUR">5.00</Amt><RmtInf>`, "</TxDtls>", batch), "add up to 9.00 EUR, but it is of 10.00"},
		{"a batch of currencies", entry("<TxDtls><RmtInf>", `<TxDtls><Amt Ccy="USD">6.00</Amt><RmtInf>`, "</TxDtls>", batch), "it is in USD, the entry in EUR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, wrong, err := collect(bank.CAMT(strings.NewReader(document("04", entry(), c.entry, entry("R1", "R2")))))
			require.NoError(t, err)
			require.Len(t, entries, 2, "the others go on")
			require.Len(t, wrong, 1)
			require.Contains(t, wrong[0], "line 3: ")
			require.Contains(t, wrong[0], c.want)
		})
	}
}

func TestCAMTRefusesFiles(t *testing.T) {
	good := document("02", entry())
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "no CAMT.053"},
		{"not XML", "Datum;Betrag\n", "no CAMT.053"},
		{"a PDF", "%PDF-1.7\n<<", "broken"},
		{"another document", `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"><CstmrCdtTrfInitn/></Document>`, "no CAMT.053"},
		{"a report of the day", `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.02"><BkToCstmrAcctRpt/></Document>`, "CAMT.052"},
		{"no namespace", strings.Replace(good, "xmlns", "other", 1), "namespace"},
		{"version 1", strings.Replace(good, "001.02", "001.01", 1), "namespace"},
		{"version 9", strings.Replace(good, "001.02", "001.09", 1), "namespace"},
		{"cut off", good[:len(good)-60], "XML is broken: unexpected EOF"},
		{"tags crossed", strings.Replace(good, "</RmtInf></TxDtls>", "</TxDtls></RmtInf>", 1), "broken"},
		{"a document type", `<!DOCTYPE a [<!ENTITY x "y">]>` + good, "document type"},
		{"an entity", strings.Replace(good, "text", "&x;", 1), "broken"},
		{"an external entity", `<!DOCTYPE a SYSTEM "file:///etc/passwd">` + good, "document type"},
		{"UTF-16", "\xff\xfe<\x00", "UTF-16"},
		{"another charset", `<?xml version="1.0" encoding="Shift_JIS"?>` + good, `charset "Shift_JIS" is not known`},
		{"Latin-1 called UTF-8", strings.Replace(good, "text", "M\xfcller", 1), "UTF-8"},
		{"deep nesting", strings.Replace(good, "text", strings.Repeat("<a>", 100), 1), "nested"},
		{"a text too long", strings.Replace(good, "text", strings.Repeat("x", 1<<17), 1), "too large"},
		{"a comment too long", "<!--" + strings.Repeat("x", 1<<17) + "-->" + good, "too large"},
		{"an attribute too long", `<a b="` + strings.Repeat("x", 1<<17) + `"/>`, "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := collect(bank.CAMT(strings.NewReader(c.file)))
			require.ErrorContains(t, err, c.want)
		})
	}
}

// TestCAMTBillionLaughs cannot grow: entities are not defined, at all.
func TestCAMTBillionLaughs(t *testing.T) {
	bomb := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">` + "\n"
	for i := range 9 {
		bomb += fmt.Sprintf(`<!ENTITY lol%d "%s">`, i+1, strings.Repeat("&lol;", 10))
	}
	_, _, err := collect(bank.CAMT(strings.NewReader(bomb + `]><a>&lol9;</a>`)))
	require.ErrorContains(t, err, "document type")
}

// repeat reads a text again and again.
type repeat struct {
	head, body, tail string
	times            int
	rest             string
	phase            int
}

func (r *repeat) Read(p []byte) (int, error) {
	for r.rest == "" {
		switch {
		case r.phase == 0:
			r.rest, r.phase = r.head, 1
		case r.times > 0:
			r.rest = r.body
			r.times--
		case r.phase == 1:
			r.rest, r.phase = r.tail, 2
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// heapUse is what stays in use after f has read a good part of a file.
func heapUse(seq func(func(bank.Entry, error) bool), entries int) (n int, grown uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range seq {
		if n++; n == entries {
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
	}
	return n, max(after.HeapAlloc, before.HeapAlloc) - before.HeapAlloc
}

func TestCAMTMemoryIsBounded(t *testing.T) {
	head, tail, _ := strings.Cut(document("02", "\x00"), "\x00")
	n, grown := heapUse(bank.CAMT(&repeat{head: head, body: entry(), tail: tail, times: 5000}), 5000)
	require.Equal(t, 5000, n)
	require.Less(t, grown, uint64(1<<18), "1.5 MB of statement")

	// One entry that never ends: 5,000 transactions, 20 MB.
	one, rest, _ := strings.Cut(entry(), "<TxDtls>")
	huge := &repeat{head: head + one, body: `<TxDtls><Amt Ccy="EUR">1.00</Amt><RmtInf><Ustrd>` + strings.Repeat("x", 3900) + `</Ustrd></RmtInf></TxDtls>`,
		tail: "<TxDtls>" + rest + entry("R1", "R2") + tail, times: 5000}
	entries, wrong, err := collect(bank.CAMT(huge))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0], "more than 16 MiB")
}

// TestReferenceIsStable: what is the same entry has the same reference, whatever file
// it comes in, and what is not has another.
func TestReferenceIsStable(t *testing.T) {
	refs := func(file string) (refs []string) {
		entries, wrong, err := collect(bank.CAMT(strings.NewReader(file)))
		require.NoError(t, err)
		require.Empty(t, wrong)
		for _, e := range entries {
			refs = append(refs, e.Reference)
		}
		return refs
	}
	first := refs(document("02", entry(), entry("R1", "R2")))
	require.NotEqual(t, first[0], first[1])
	require.Equal(t, first, refs(document("08", entry("<Sts>BOOK</Sts>", "<Sts><Cd>BOOK</Cd></Sts>"), entry("R1", "R2"))), "delivered again in another version")
	require.Equal(t, first[:1], refs(document("02", entry("text", "another text"))), "the bank's reference decides")
	for name, other := range map[string]string{
		"another day":      entry("2026-01-31", "2026-02-28"),
		"another amount":   entry("10.00", "10.01"),
		"another currency": entry("EUR", "USD"),
	} {
		require.NotEqual(t, first[0], refs(document("02", other))[0], "a reference used again on "+name)
	}

	bare := entry("<AcctSvcrRef>R1</AcctSvcrRef>", "")
	noref := entry("<AcctSvcrRef>R1</AcctSvcrRef>", "<AcctSvcrRef>NONREF</AcctSvcrRef>")
	twice := refs(document("02", bare, noref, entry("<AcctSvcrRef>R1</AcctSvcrRef>", "", "text", "other")))
	require.NotEqual(t, twice[0], twice[1], "two equal payments on one day are two")
	require.NotEqual(t, twice[0], twice[2])
	require.Equal(t, twice, refs(document("02", bare, bare, entry("<AcctSvcrRef>R1</AcctSvcrRef>", "", "text", "other"))))
	two := `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt>` + statement(bare) + statement(bare) + `</BkToCstmrStmt></Document>`
	require.Equal(t, []string{twice[0], twice[0]}, refs(two), "the same day in two statements that overlap")
}

// TestCAMTCallerStops reads no further than it is asked to.
func TestCAMTCallerStops(t *testing.T) {
	for e, err := range bank.CAMT(strings.NewReader(document("02", entry()) + "rest that is no XML <")) {
		require.NoError(t, err)
		require.NotEmpty(t, e.Reference)
		break
	}
}

func TestCAMTReadError(t *testing.T) {
	_, _, err := collect(bank.CAMT(io.MultiReader(strings.NewReader("<Document>"), failing{})))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
