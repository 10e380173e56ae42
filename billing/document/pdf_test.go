package document

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

func render(t testing.TB, invoice *billing.Invoice, options Options) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WritePDF(&b, invoice, options))
	if folder := os.Getenv("DOCUMENT_TEST_OUT"); folder != "" { // to look at
		name := strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()) + options.Locale + ".pdf"
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), b.Bytes(), 0o600))
	}
	return b.Bytes()
}

// tool runs a program on a file and returns what it prints. Without the program, which
// scripts/install-test-servers installs, the test is skipped, but not where CI runs.
func tool(t testing.TB, file []byte, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		require.Empty(t, os.Getenv("CI"), "%s is not installed", name)
		t.Skipf("%s is not installed: scripts/install-test-servers does it", name)
	}
	path := filepath.Join(t.TempDir(), "document.pdf")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	for i, arg := range args {
		if arg == "FILE" {
			args[i] = path
		}
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// textOf extracts a PDF's text.
func textOf(t testing.TB, file []byte) string {
	t.Helper()
	return tool(t, file, "pdftotext", "-layout", "-enc", "UTF-8", "FILE", "-")
}

func TestPDFSaysWhatTheInvoiceSays(t *testing.T) {
	invoice := sample(t, 3)
	text := textOf(t, render(t, invoice, Options{}))
	for _, want := range []string{
		"Nordlicht Netze GmbH", "Hafenstraße 12", "24937 Flensburg", "Zoë Müller-Łukasiewicz", "24103 Kiel",
		"Invoice RE-000042", "1 Feb 2026", "15 Feb 2026", "1 Jan 2026 – 31 Jan 2026", "Fibre 250 #3", "1 month", "19.99",
		"59.97 EUR", "VAT 19 % on 59.97 EUR", "11.39 EUR", "71.36 EUR", "DE89370400440532013000", "COBADEFFXXX",
		"Please pay 71.36 EUR by 15 Feb 2026, quoting RE-000042.", "Reference: RF37 RE00 0042", "Thank you.", "Page 1 of 1",
	} {
		require.Contains(t, text, want)
	}
}

func TestPDFInGerman(t *testing.T) {
	invoice := sample(t, 1)
	invoice.Lines[0].Quantity, invoice.Lines[0].UnitPrice, invoice.Lines[0].Net = dec(t, "1234.5"), dec(t, "1000.125"), 123465431
	invoice.Paid = 1000
	text := textOf(t, render(t, invoice, Options{Locale: "de-AT", Paper: Letter}))
	for _, want := range []string{
		"Rechnung RE-000042", "01.02.2026", "15.02.2026", "01.01.2026 – 31.01.2026", "1.234,5 Monate", "1.000,125", "1.234.654,31",
		"Summe netto", "VAT 19 % auf 19,99 EUR", "3,80 EUR", "-10,00 EUR", "Zu zahlen", "13,79 EUR",
		"Bitte zahlen Sie 13,79 EUR bis zum 15.02.2026 und geben Sie dabei RE-000042 an.", "Seite 1 von 1",
	} {
		require.Contains(t, text, want)
	}
}

func TestPDFOfCurrencies(t *testing.T) {
	for _, c := range []struct {
		currency billing.Currency
		want     []string
	}{
		{"JPY", []string{"123,457 JPY", "-123,456,789", "-5"}},
		{"EUR", []string{"1,234.57 EUR", "-1,234,567.89", "-5.00"}},
		{"KWD", []string{"123.457 KWD", "-123,456.789", "-5.000"}},
	} {
		t.Run(string(c.currency), func(t *testing.T) {
			invoice := sample(t, 1)
			invoice.Currency, invoice.Total = c.currency, 123457
			invoice.Lines[0].Net, invoice.Lines[0].UnitPrice = -123456789, dec(t, "-5")
			invoice.Lines[0].Gross = invoice.Lines[0].Net
			text := textOf(t, render(t, invoice, Options{}))
			for _, want := range c.want {
				require.Contains(t, text, want)
			}
		})
	}
}

func TestPDFShowsPricesWithTheirTax(t *testing.T) {
	invoice := sample(t, 2)
	for k := range invoice.Lines {
		invoice.Lines[k].Gross, invoice.Lines[k].Net = 1999, 1680
	}
	invoice.Net, invoice.Tax, invoice.Total = 3360, 638, 3998
	invoice.Taxes[0].Net, invoice.Taxes[0].Tax = 3360, 638
	text := textOf(t, render(t, invoice, Options{}))
	require.Contains(t, text, "Amount incl. tax")
	require.NotContains(t, text, "16.80")
	require.Contains(t, text, "VAT 19 % on 33.60 EUR")
}

func TestPDFMarksTheState(t *testing.T) {
	for _, c := range []struct {
		state billing.InvoiceState
		mark  string
		pays  bool
	}{
		{billing.InvoiceDraft, "DRAFT", false}, {billing.InvoiceIssued, "", true}, {billing.InvoicePaid, "PAID", false}, {billing.InvoiceVoid, "VOID", false},
	} {
		t.Run(string(c.state), func(t *testing.T) {
			invoice := sample(t, 1)
			invoice.State = c.state
			if c.state == billing.InvoicePaid {
				invoice.Paid = invoice.Total
			}
			file := render(t, invoice, Options{})
			text := tool(t, file, "pdftotext", "-raw", "FILE", "-")
			letters := strings.Join(strings.Fields(text), "") // what is turned is taken apart
			for _, mark := range []string{"DRAFT", "PAID", "VOID"} {
				require.Equal(t, mark == c.mark, strings.Contains(letters, mark), mark)
			}
			require.Equal(t, c.pays, strings.Contains(text, "Please pay"))
		})
	}
}

func TestPDFOfACreditNote(t *testing.T) {
	invoice := sample(t, 1)
	invoice.Kind, invoice.Number, invoice.CorrectsNumber = billing.KindCreditNote, "CN-000001", "RE-000042"
	text := textOf(t, render(t, invoice, Options{}))
	require.Contains(t, text, "Credit note CN-000001")
	require.Contains(t, text, "Credits invoice RE-000042")
	require.Contains(t, text, "Total credit")
	require.NotContains(t, text, "Please pay")
}

// TestPDFOverPages follows the sums that are carried.
func TestPDFOverPages(t *testing.T) {
	invoice := sample(t, 1000)
	text := textOf(t, render(t, invoice, Options{}))
	pages := strings.Split(strings.TrimSuffix(text, "\f"), "\f")
	require.Greater(t, len(pages), 20)
	line, carried := 0, ""
	for n, page := range pages {
		require.Contains(t, page, fmt.Sprintf("Page %d of %d", n+1, len(pages)))
		if n > 0 {
			require.Contains(t, page, "Invoice RE-000042")
		}
		for row := range strings.Lines(page) {
			switch fields := strings.Fields(row); {
			case strings.Contains(row, "Brought forward"):
				require.Equal(t, carried, fields[len(fields)-1])
			case strings.Contains(row, "Carried forward"):
				carried = fields[len(fields)-1]
				require.Equal(t, invoice.Currency.Format(billing.Amount(line)*1999), strings.ReplaceAll(carried, ",", ""))
			case strings.Contains(row, "Fibre 250"):
				line++
				require.Contains(t, row, fmt.Sprintf("#%d ", line))
			}
		}
	}
	require.Equal(t, 1000, line)
	require.Contains(t, pages[len(pages)-1], "19,990.00 EUR")
}

func TestPDFIsTheSameEachTime(t *testing.T) {
	invoice := sample(t, 30)
	invoice.Buyer.Name = "محمد Łukasz 王小明"
	first := render(t, invoice, Options{})
	for range 5 {
		require.Equal(t, first, render(t, invoice, Options{}))
	}
	require.Contains(t, string(first), "/CreationDate(D:20260201000000Z)")
}

func TestPDFIsWellFormed(t *testing.T) {
	invoice := sample(t, 60)
	invoice.State = billing.InvoiceDraft
	for _, n := range names {
		invoice.Lines = append(invoice.Lines, billing.InvoiceLine{Description: n.name})
	}
	file := render(t, invoice, Options{})
	require.Contains(t, tool(t, file, "qpdf", "--check", "FILE"), "No syntax or stream encoding errors")
	info := tool(t, file, "pdfinfo", "FILE")
	require.Regexp(t, `Title: +Invoice RE-000042`, info)
	require.Regexp(t, `Author: +Nordlicht Netze GmbH`, info)
	require.Regexp(t, `Page size: +595.276 x 841.89 pts \(A4\)`, info)
	require.Contains(t, string(file), "<pdfaid:part>3</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>")
}

func TestPDFRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		lines   int
		want    string
	}{
		"an unknown language": {Options{Locale: "tlh"}, 1, `no documents can be made in the language "tlh": there are de, en`},
		"unknown paper":       {Options{Paper: "a5"}, 1, `"a5" is no size of paper`},
		"too many lines":      {Options{}, MaxLines + 1, "20001 lines"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, WritePDF(&bytes.Buffer{}, sample(t, c.lines), c.options), c.want)
		})
	}
}

// hostile is an invoice whose texts all are s.
func hostile(t testing.TB, s string, lines int) *billing.Invoice {
	invoice := sample(t, lines)
	party := billing.Party{Name: s, Address: s, City: s, Postcode: s, Country: s, TaxID: s, Register: s, Email: s, Phone: s, IBAN: s, BIC: s, Username: s}
	invoice.Seller, invoice.Buyer = party, party
	invoice.Number, invoice.Note, invoice.CorrectsNumber = s, s, s
	for k := range invoice.Lines {
		invoice.Lines[k].Description, invoice.Lines[k].Unit = s, s
	}
	invoice.Taxes[0].Name, invoice.Taxes[0].ExemptionReason = s, s
	return invoice
}

func TestPDFOfHostileTexts(t *testing.T) {
	for name, s := range map[string]string{
		"10 KB of letters":    strings.Repeat("W", 10<<10),
		"10 KB of words":      strings.Repeat("word ", 2<<10),
		"line feeds":          strings.Repeat("a\n", 5<<10),
		"control characters":  "a\x00\x01\x1b[31m\x7f\u0085b",
		"overrides":           "\u202efdp.exe\u2066\u2069\u200f",
		"accents without end": "Z" + strings.Repeat("\u0301", 10<<10),
		"no UTF-8":            strings.Repeat("\xff\x80", 5<<10),
		"continuation octets": strings.Repeat("\x80", 50<<10),
		"syntax of PDF":       ") Tj ET endstream endobj <</Type/Catalog>> (\\",
		"syntax of XML":       "]]></a><!-- & \"",
		"Arabic and digits":   strings.Repeat("محمد 123 abc (", 800),
		"all planes":          "\U0001F600\U000E0041\U0010FFFD\uFFFE\uE000𠀀𝕏",
		"joiners":             strings.Repeat("\u200d\u200c", 5<<10),
		"only marks":          strings.Repeat("\u0301\u0e31\u093f", 3<<10),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			file := render(t, hostile(t, s, 3), Options{})
			require.Less(t, len(file), 1<<20)
			require.Less(t, time.Since(start), 10*time.Second)
			tool(t, file, "qpdf", "--check", "FILE")
			require.NotContains(t, textOf(t, file), "\x1b")
			require.Less(t, utf8.RuneCountInString(Check(hostile(t, s, 3)).Error()), 20000)
		})
	}
}

// TestNothingIsPrintedOverTheFooter looks where the words of long texts stand.
func TestNothingIsPrintedOverTheFooter(t *testing.T) {
	invoice := hostile(t, strings.Repeat("word ", 2<<10), 30)
	invoice.Seller = billing.Party{Name: "Seller"}
	boxes := tool(t, render(t, invoice, Options{}), "pdftotext", "-bbox", "FILE", "-")
	words := 0
	for _, match := range regexp.MustCompile(`yMax="([0-9.]+)">word<`).FindAllStringSubmatch(boxes, -1) {
		bottom, err := strconv.ParseFloat(match[1], 64)
		require.NoError(t, err)
		require.Less(t, bottom, 841.89-margin-footerHeight+5)
		words++
	}
	require.Greater(t, words, 1000)
}

func TestOverridesAreTakenOut(t *testing.T) {
	require.Equal(t, "invoice exe.pdf", clean("\u2067invoice\u2069 \u202eexe.pdf", 100))
	require.Equal(t, "a b", clean(" a\r\n\t b\x00 ", 100))
	require.Equal(t, "ab…", clean("abcd", 2))
	require.Equal(t, "a\ufffdb", clean("a\xffb", 10))
	require.Equal(t, "می\u200cخواهم", clean("می\u200cخواهم", 100), "the joiner belongs to the spelling")
}

func FuzzPDF(f *testing.F) {
	f.Add("Łukasz محمد 王小明", uint16(3), int64(1999), "de")
	f.Add("श्री\u202e\x00", uint16(40), int64(-1<<63), "en")
	f.Add("\xff\xfe", uint16(0), int64(1<<62), "")
	f.Fuzz(func(t *testing.T, s string, lines uint16, amount int64, tag string) {
		invoice := hostile(t, s, int(lines%60))
		invoice.Total, invoice.Paid, invoice.Currency = billing.Amount(amount), billing.Amount(-amount/2), billing.Currency(s)
		for k := range invoice.Lines {
			invoice.Lines[k].Net = billing.Amount(amount)
		}
		var b bytes.Buffer
		if err := WritePDF(&b, invoice, Options{Locale: tag}); err != nil {
			require.Contains(t, err.Error(), "language")
			return
		}
		require.True(t, bytes.HasSuffix(b.Bytes(), []byte("%%EOF\n")))
		require.Less(t, b.Len(), 4<<20)
	})
}

func FuzzUBL(f *testing.F) {
	f.Add("Łukasz", "DE", "DE123", int64(1999))
	f.Add("]]>\x00&<", "FR", "x y", int64(-5))
	f.Fuzz(func(t *testing.T, s, country, id string, amount int64) {
		invoice := sample(t, 1)
		invoice.Number, invoice.Note = s, s
		invoice.Buyer = billing.Party{Name: s, Address: s, City: s, Postcode: s, Country: country, TaxID: id, Email: s, Username: s}
		invoice.Seller.TaxID, invoice.Seller.IBAN = id, s
		invoice.Lines[0].Description, invoice.Lines[0].Unit, invoice.Lines[0].Net = s, s, billing.Amount(amount)
		invoice.Net = billing.Amount(amount)
		tax, err := invoice.Taxes[0].Percent.Percent(invoice.Net)
		if err != nil {
			return
		}
		invoice.Taxes[0].Net, invoice.Taxes[0].Tax, invoice.Tax, invoice.Total = invoice.Net, tax, tax, invoice.Net+tax
		var b bytes.Buffer
		if err := WriteUBL(&b, invoice); err != nil {
			return
		}
		e := readUBL(t, b.Bytes())
		require.Empty(t, schemaFaults(e))
		require.Empty(t, ruleFaults(e))
	})
}

func BenchmarkPDF(b *testing.B) {
	for _, lines := range []int{10, 1000, 10000} {
		b.Run(strconv.Itoa(lines), func(b *testing.B) {
			invoice := sample(b, lines)
			b.ReportAllocs()
			var size bytes.Buffer
			for b.Loop() {
				size.Reset()
				require.NoError(b, WritePDF(&size, invoice, Options{}))
			}
			b.ReportMetric(float64(size.Len()), "octets")
		})
	}
}

func BenchmarkUBL(b *testing.B) {
	invoice := sample(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, WriteUBL(io.Discard, invoice))
	}
}
