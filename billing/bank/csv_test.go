package bank_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"radiusd/billing"
	"radiusd/billing/bank"
)

func german() bank.CSVFormat {
	return bank.CSVFormat{
		Columns: bank.CSVColumns{Date: "Buchungstag", ValueDate: "Wertstellung", Amount: "Betrag", Currency: "Währung", Name: "Auftraggeber",
			IBAN: "IBAN", Remittance: []string{"Verwendungszweck", "Zusatz"}, EndToEndID: "End-to-End", State: "Status"},
		Account: "DE02 1203 0000 0000 2020 51",
	}
}

// germanFile is as several German banks export it: lines before the header, a
// remittance with a line break, amounts with a decimal comma.
const germanFile = `"Kontonummer";"DE02120300000000202051"
"Stand vom 03.02.2026";"1.234,56 EUR"

"Buchungstag";"Wertstellung";"Status";"Auftraggeber";"Verwendungszweck";"Zusatz";"IBAN";"End-to-End";"Betrag";"Währung"
"03.02.2026";"04.02.26";"Gebucht";"Jürgen Groß";"Rechnung
INV-000123";"danke";"DE75 5121 0800 1245 1261 99";"NOTPROVIDED";"1.049,90";"EUR"
"03.02.2026";"";"";"Bank";"Gebühr";"";"";"";"-5,5";"EUR"
"03.02.2026";"";"vorgemerkt";"X";"";"";"";"E2E";"+3,00";"EUR"
;;;;;;;;;
`

func germanEntries() []bank.Entry {
	const ours = "DE02120300000000202051"
	return []bank.Entry{
		{Account: ours, Line: 5, BookedOn: day(2026, 2, 3), ValueOn: day(2026, 2, 4), Currency: "EUR", Amount: 104990, Name: "Jürgen Groß",
			IBAN: "DE75512108001245126199", Remittance: "Rechnung INV-000123 danke"},
		{Account: ours, Line: 7, BookedOn: day(2026, 2, 3), ValueOn: day(2026, 2, 3), Currency: "EUR", Amount: -550, Name: "Bank", Remittance: "Gebühr"},
		{Account: ours, Line: 8, BookedOn: day(2026, 2, 3), ValueOn: day(2026, 2, 3), Currency: "EUR", Amount: 300, Name: "X", EndToEndID: "E2E", Pending: true},
	}
}

func TestCSVCharsets(t *testing.T) {
	encode := func(cm *charmap.Charmap) string {
		s, err := cm.NewEncoder().String(germanFile)
		require.NoError(t, err)
		return s
	}
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(germanFile)
	require.NoError(t, err)
	far := strings.Repeat("\"Hinweis\";\"x\"\n", 90)
	for _, c := range []struct{ name, charset, file string }{
		{"UTF-8", "", germanFile},
		{"UTF-8 with a mark", "", "\ufeff" + germanFile},
		{"UTF-8 that is said", "utf-8", germanFile},
		{"a mark overrules", "iso-8859-1", "\ufeff" + germanFile},
		{"Latin-1 found", "", encode(charmap.ISO8859_1)},
		{"Latin-1 that is said", "ISO-8859-1", encode(charmap.ISO8859_1)},
		{"Latin-9", "iso-8859-15", encode(charmap.ISO8859_15)},
		{"Windows-1252", "windows-1252", encode(charmap.Windows1252)},
		{"UTF-16 with a mark", "", utf16},
		{"lines of Windows", "", strings.ReplaceAll(germanFile, "\n", "\r\n")},
		{"tabs", "", strings.ReplaceAll(germanFile, ";", "\t")},
		{"a header far down", "", far + encode(charmap.ISO8859_1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := german()
			f.Charset = c.charset
			entries, wrong, err := collect(bank.CSV(strings.NewReader(c.file), f))
			require.NoError(t, err)
			require.Empty(t, wrong)
			want := germanEntries()
			for i := range want {
				want[i].Line += strings.Count(c.file, "Hinweis")
			}
			require.Equal(t, want, forget(entries))
		})
	}
}

// TestCSVAmounts: one amount a file, what it is read as, or why not.
func TestCSVAmounts(t *testing.T) {
	for _, c := range []struct {
		name, amount, decimal string
		currency              billing.Currency
		want                  billing.Amount
		wrong                 string
	}{
		{"comma", "12,50", "", "EUR", 1250, ""},
		{"point", "12.50", "", "EUR", 1250, ""},
		{"one decimal", "12,5", "", "EUR", 1250, ""},
		{"German thousands", "1.234.567,89", "", "EUR", 123456789, ""},
		{"English thousands", "1,234,567.89", "", "EUR", 123456789, ""},
		{"Swiss thousands", "1'234.50", "", "CHF", 123450, ""},
		{"French thousands", "1\u202f234,50", "", "EUR", 123450, ""},
		{"no decimals", "1234", "", "EUR", 123400, ""},
		{"minus behind", "12,50-", "", "EUR", -1250, ""},
		{"plus", "+12,50", "", "EUR", 1250, ""},
		{"currency behind", "12,50 EUR", "", "EUR", 1250, ""},
		{"1,234 may be either", "1,234", "", "EUR", 0, "say which is the decimal sign"},
		{"1.234 may be either", "1.234", "", "KWD", 0, "say which is the decimal sign"},
		{"1.234 with a comma for decimals", "1.234", ",", "EUR", 123400, ""},
		{"1.234 with a point for decimals", "1.234", ".", "KWD", 1234, ""},
		{"1.234 with a point for decimals, in euros", "1.234", ".", "EUR", 0, "EUR has 2 decimals"},
		{"0,125 is a fraction", "0,125", "", "KWD", 125, ""},
		{"the other sign", "12.50", ",", "EUR", 0, "want one such as"},
		{"groups of two", "12.34.567,00", "", "EUR", 0, "want one such as"},
		{"two decimal signs", "1,2,3.5", "", "EUR", 0, "want one such as"},
		{"yen", "1,500", ".", "JPY", 1500, ""},
		{"yen with decimals", "1500.50", "", "JPY", 0, "JPY has 0 decimals"},
		{"text", "twelve", "", "EUR", 0, "want one such as"},
		{"nothing", "", "", "EUR", 0, "no amount"},
		{"zero", "0,00", "", "EUR", 0, "no amount, or zero"},
		{"a formula", "=1+1", "", "EUR", 0, "want one such as"},
		{"too many digits", strings.Repeat("9", 30), "", "EUR", 0, "no amount of money"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "date", Amount: "amount"}, Currency: c.currency, Decimal: c.decimal}
			entries, wrong, err := collect(bank.CSV(strings.NewReader("Date\tAmount\n2026-01-31\t"+c.amount+"\n"), f))
			require.NoError(t, err)
			if c.wrong != "" {
				require.Empty(t, entries)
				require.Len(t, wrong, 1)
				require.Contains(t, wrong[0], c.wrong)
				return
			}
			require.Empty(t, wrong)
			require.Len(t, entries, 1)
			require.Equal(t, c.want, entries[0].Amount)
		})
	}
}

// TestCSVLearns: what one row leaves open, another one decides; if none does, the row
// is an error.
func TestCSVLearns(t *testing.T) {
	f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "date", Amount: "amount"}, Currency: "EUR"}
	read := func(rows string) ([]bank.Entry, []string) {
		entries, wrong, err := collect(bank.CSV(strings.NewReader("date;amount\n"+rows), f))
		require.NoError(t, err)
		return entries, wrong
	}
	entries, wrong := read("31.01.2026;1.234\n31.01.2026;12,50\n")
	require.Empty(t, wrong)
	require.Equal(t, billing.Amount(123400), entries[0].Amount)

	entries, wrong = read("04/03/2026;1\n25/03/2026;1\n")
	require.Empty(t, wrong)
	require.Equal(t, day(2026, 3, 4), entries[0].BookedOn)

	entries, wrong = read("04/03/2026;1\n03/25/26;1\n")
	require.Empty(t, wrong)
	require.Equal(t, day(2026, 4, 3), entries[0].BookedOn)

	entries, wrong = read("04/03/2026;1\n2026-03-04;1\n")
	require.Len(t, entries, 1)
	require.Len(t, wrong, 1)
	require.Contains(t, wrong[0], `line 2: the date "04/03/2026" may begin with the day or the month`)

	// Rows that contradict each other: nothing is learnt, and each speaks for itself.
	entries, wrong = read("31.01.2026;1.234\n31.01.2026;12,50\n31.01.2026;12.50\n")
	require.Len(t, entries, 2)
	require.Len(t, wrong, 1)
}

func TestCSVDates(t *testing.T) {
	for _, c := range []struct {
		name, format, date string
		want               billing.Date
	}{
		{"ISO", "", "2026-01-31", day(2026, 1, 31)},
		{"with a time", "", "2026-01-31 23:59:59", day(2026, 1, 31)},
		{"with a time of ISO", "", "2026-01-31T23:59:59", day(2026, 1, 31)},
		{"points", "", "31.01.2026", day(2026, 1, 31)},
		{"short", "", "1.2.26", day(2026, 2, 1)},
		{"no marks", "", "20260131", day(2026, 1, 31)},
		{"year first", "", "2026/01/31", day(2026, 1, 31)},
		{"American, said", "MM/DD/YYYY", "03/04/2026", day(2026, 3, 4)},
		{"British, said", "DD/MM/YY", "03/04/26", day(2026, 4, 3)},
		{"American, found", "", "01/31/2026", day(2026, 1, 31)},
		{"no day", "", "31.02.2026", billing.Date{}},
		{"not as said", "DD.MM.YYYY", "2026-01-31", billing.Date{}},
		{"text", "", "today", billing.Date{}},
		{"nothing", "", "", billing.Date{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "date", Amount: "amount"}, Currency: "EUR", Date: c.format}
			entries, wrong, err := collect(bank.CSV(strings.NewReader("date;amount\n"+c.date+";1,50\n"), f))
			require.NoError(t, err)
			if c.want.IsZero() {
				require.Len(t, wrong, 1)
				require.Contains(t, wrong[0], "date")
				return
			}
			require.Len(t, entries, 1, "%s", wrong)
			require.Equal(t, c.want, entries[0].BookedOn)
		})
	}
}

func TestCSVDirections(t *testing.T) {
	for _, c := range []struct {
		name, file string
		columns    bank.CSVColumns
		want       []billing.Amount
	}{
		{"signs", "d,a\n2026-01-31,1.50\n2026-01-31,-1.50\n", bank.CSVColumns{Date: "d", Amount: "a"}, []billing.Amount{150, -150}},
		{"a column for each", "d;Haben;Soll\n2026-01-31;1,50;\n2026-01-31;;1,50\n2026-01-31;0,00;-2,50\n",
			bank.CSVColumns{Date: "d", Credit: "haben", Debit: "soll"}, []billing.Amount{150, -150, -250}},
		{"a letter", "d;a;S/H\n2026-01-31;1,50;H\n2026-01-31;1,50;s\n2026-01-31;-1,50;S\n",
			bank.CSVColumns{Date: "d", Amount: "a", Direction: "s/h"}, []billing.Amount{150, -150, -150}},
		{"the codes of ISO 20022", "d;a;dir\n2026-01-31;1,50;CRDT\n2026-01-31;1,50;DBIT\n",
			bank.CSVColumns{Date: "d", Amount: "a", Direction: "dir"}, []billing.Amount{150, -150}},
	} {
		t.Run(c.name, func(t *testing.T) {
			entries, wrong, err := collect(bank.CSV(strings.NewReader(c.file), bank.CSVFormat{Columns: c.columns, Currency: "EUR"}))
			require.NoError(t, err)
			require.Empty(t, wrong)
			var got []billing.Amount
			for _, e := range entries {
				got = append(got, e.Amount)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestCSVRowErrors(t *testing.T) {
	f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "d", Amount: "a", Currency: "c", Direction: "x"}}
	file := "d;a;c;x\n" +
		"2026-01-31;1,50;EUR;C\n" + // good
		"2026-01-31;1,50;;C\n" +
		"2026-01-31;1,50;euro;C\n" +
		"2026-01-31;1,50;EUR;sideways\n" +
		"2026-01-31\n" +
		"2026-01-31;1,50;EUR;\"C\"x\n" +
		"2026-01-31;1,50;EUR;C\xff\xfe\n" +
		"2026-01-31;2,50;eur;D\n" // good
	f.Charset = "utf-8"
	entries, wrong, err := collect(bank.CSV(strings.NewReader(file), f))
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Len(t, wrong, 6)
	for i, want := range []string{"line 3: the row has no currency", `line 4: "EURO" is no currency`, `line 5: the direction is "SIDEWAYS"`,
		"line 6: the row has no currency", "line 7: the CSV is broken", "line 8: the text is no UTF-8"} {
		require.Contains(t, wrong[i], want)
	}
}

func TestCSVRefusesFiles(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "empty"},
		{"a picture", "\x89PNG\r\n\x1a\n\x00\x00", "no text"},
		{"no header", "2026-01-31;1,50\n", `missing ["date" "amount"]`},
		{"a column missing", "\nDate;Sum\n2026-01-31;1,50\n", `missing ["amount"]; line 2 has the others`},
		{"a quotation mark that is not closed", "date;amount\n\"2026-01-31;1,50\n" + strings.Repeat("2026-01-31;1,50\n", 20000), "quotation mark"},
		{"a row without end", "date;amount\n2026-01-31;" + strings.Repeat("9", 1<<20), "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "date", Amount: "amount"}, Currency: "EUR"}
			_, _, err := collect(bank.CSV(strings.NewReader(c.file), f))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestCSVFormatValidate(t *testing.T) {
	f := german()
	require.NoError(t, f.Validate())
	f = bank.CSVFormat{Delimiter: 'x', Decimal: ";", Date: "DD.MM", Charset: "EBCDIC", Currency: "euro",
		Columns: bank.CSVColumns{Debit: "d", Direction: "x"}}
	err := f.Validate()
	for _, want := range []string{"date is missing", "either amount, or credit and debit", "debit goes with credit", "direction goes with amount",
		"is no currency", "decimal sign", "form of dates", "EBCDIC", "delimiter"} {
		require.ErrorContains(t, err, want)
	}
	_, _, err = collect(bank.CSV(strings.NewReader("x"), f))
	require.ErrorContains(t, err, "the format of the CSV")
}

func TestCSVReferences(t *testing.T) {
	f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "d", Amount: "a", Remittance: []string{"r"}, Reference: "ref"}, Currency: "EUR"}
	refs := func(rows string) (refs []string) {
		entries, wrong, err := collect(bank.CSV(strings.NewReader("d;a;r;ref\n"+rows), f))
		require.NoError(t, err)
		require.Empty(t, wrong)
		for _, e := range entries {
			refs = append(refs, e.Reference)
		}
		return refs
	}
	const one, other = "2026-01-31;1,50;rent;\n", "2026-01-31;1,50;rent;B-1\n"
	all := refs(one + one + other)
	require.NotEqual(t, all[0], all[1], "two equal payments are two")
	require.True(t, strings.HasPrefix(all[2], "B-1-"))
	longer := refs("2026-01-30;9,00;before;\n" + one + one + other)[1:]
	require.Equal(t, all[2], longer[2], "an export of more days")
	for i := range 2 { // but for the end, which is the file's
		require.Equal(t, all[i][:len(all[i])-8], longer[i][:len(longer[i])-8])
		require.NotEqual(t, all[i], longer[i])
	}
	require.Equal(t, all, refs(one+one+other), "the same file")
}

func TestCSVMemoryIsBounded(t *testing.T) {
	f := bank.CSVFormat{Columns: bank.CSVColumns{Date: "d", Amount: "a", Remittance: []string{"r"}, Reference: "ref"}, Currency: "EUR"}
	file := &repeat{head: "d;a;r;ref\n", body: "2026-01-31;1,50;" + strings.Repeat("x", 200) + ";B\n", times: 50000}
	n, grown := heapUse(bank.CSV(file, f), 50000)
	require.Equal(t, 50000, n)
	require.Less(t, grown, uint64(1<<20), "11 MB of rows")
}
