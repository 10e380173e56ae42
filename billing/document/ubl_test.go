package document

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/billing"
)

// validUBL writes an invoice and requires that the document is valid.
func validUBL(t testing.TB, invoice *billing.Invoice) element {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteUBL(&b, invoice))
	if folder := os.Getenv("DOCUMENT_TEST_OUT"); folder != "" {
		require.NoError(t, os.WriteFile(folder+"/"+strings.ReplaceAll(t.Name(), "/", "_")+".xml", b.Bytes(), 0o600))
	}
	e := readUBL(t, b.Bytes())
	require.Empty(t, schemaFaults(e), "%s", b.String())
	require.Empty(t, ruleFaults(e), "%s", b.String())
	return e
}

// kinds are invoices of every sort that can be written.
var kinds = []struct {
	name   string
	change func(testing.TB, *billing.Invoice)
}{
	{"an invoice", func(testing.TB, *billing.Invoice) {}},
	{"a credit note", func(_ testing.TB, i *billing.Invoice) { i.Kind, i.CorrectsNumber = billing.KindCreditNote, "RE-000041" }},
	{"paid in part", func(_ testing.TB, i *billing.Invoice) { i.Paid = 1000 }},
	{"without a due date", func(_ testing.TB, i *billing.Invoice) { i.DueOn = billing.Date{} }},
	{"in dollars", func(_ testing.TB, i *billing.Invoice) { i.Currency = "USD" }},
	{"without an account", func(_ testing.TB, i *billing.Invoice) { i.Seller.IBAN = "" }},
	{"exempt", func(t testing.TB, i *billing.Invoice) { untaxed(i, "E", "Small business, § 19 UStG") }},
	{"zero-rated", func(t testing.TB, i *billing.Invoice) { untaxed(i, "Z", "") }},
	{"reverse charge", func(t testing.TB, i *billing.Invoice) {
		untaxed(i, "AE", "Reverse charge")
		i.Buyer.TaxID = "ATU12345678"
	}},
	{"outside of VAT", func(t testing.TB, i *billing.Invoice) { untaxed(i, "O", "Not subject to VAT") }},
	{"a national tax number", func(_ testing.TB, i *billing.Invoice) { i.Seller.TaxID = "13/456/78901" }},
	{"prices that contain the tax", func(t testing.TB, i *billing.Invoice) {
		// 2 * 19.99 = 39.98 with 19 %: 39.98 * 19/119 = 6.3833, so 6.38 and 33.60.
		for k := range i.Lines {
			i.Lines[k].Gross, i.Lines[k].Net = 1999, 1680
		}
		i.Net, i.Tax, i.Total = 3360, 638, 3998
		i.Taxes[0].Net, i.Taxes[0].Tax = 3360, 638
	}},
	{"a credit and usage", func(t testing.TB, i *billing.Invoice) {
		// -5.00 and 1,536 MiB at 0.0125: 19.20. Net 39.98 - 5.00 + 19.20 = 54.18, of which 19 % are 10.2942.
		i.Lines = append(i.Lines,
			billing.InvoiceLine{Line: 3, Description: "Credit", Quantity: dec(t, "1"), UnitPrice: dec(t, "-5"), Net: -500, TaxCategory: "S", TaxPercent: dec(t, "19")},
			billing.InvoiceLine{Line: 4, Description: "Traffic", Quantity: dec(t, "1536"), Unit: "MiB", UnitPrice: dec(t, "0.0125"), Net: 1920, TaxCategory: "S", TaxPercent: dec(t, "19")})
		i.Net, i.Tax, i.Total = 5418, 1029, 6447
		i.Taxes[0].Net, i.Taxes[0].Tax = 5418, 1029
	}},
	{"two names of one rate", func(t testing.TB, i *billing.Invoice) {
		i.Taxes = []billing.TaxTotal{i.Taxes[0], i.Taxes[0]}
		i.Taxes[0].Net, i.Taxes[0].Tax = 1999, 380
		i.Taxes[1].Net, i.Taxes[1].Tax = 1999, 380
	}},
	// 2 * 2.000 = 4.000, of which 19 % are 0.760
	{"in three decimals that are two", func(_ testing.TB, i *billing.Invoice) {
		i.Currency = "KWD"
		for k := range i.Lines {
			i.Lines[k].Net, i.Lines[k].Gross, i.Lines[k].Quantity = 2000, 2000, billing.Decimal{}
		}
		i.Net, i.Tax, i.Total = 4000, 760, 4760
		i.Taxes[0].Net, i.Taxes[0].Tax = 4000, 760
	}},
}

func untaxed(i *billing.Invoice, category, reason string) {
	for k := range i.Lines {
		i.Lines[k].TaxCategory, i.Lines[k].TaxPercent = category, billing.Decimal{}
	}
	i.Taxes = []billing.TaxTotal{{Name: "VAT", Category: category, Net: i.Net, ExemptionReason: reason}}
	i.Tax, i.Total = 0, i.Net
}

func TestUBLIsValid(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			invoice := sample(t, 2)
			kind.change(t, invoice)
			validUBL(t, invoice)
		})
	}
}

func TestUBLSaysWhatTheInvoiceSays(t *testing.T) {
	invoice := sample(t, 2)
	kinds[12].change(t, invoice) // a credit and usage
	e := validUBL(t, invoice)
	for path, want := range map[string]string{
		"CustomizationID": "urn:cen.eu:en16931:2017", "ID": "RE-000042", "IssueDate": "2026-02-01", "DueDate": "2026-02-15",
		"InvoicePeriod/EndDate":                                            "2026-01-31", // the last day, not the one after
		"AccountingCustomerParty/Party/PostalAddress/CityName":             "Kiel",
		"AccountingSupplierParty/Party/PartyTaxScheme/CompanyID":           "DE123456789",
		"AccountingSupplierParty/Party/PostalAddress/StreetName":           "Hafenstraße 12",
		"PaymentMeans/PaymentMeansCode":                                    "58",
		"PaymentMeans/PaymentID":                                           "RF37RE000042",
		"PaymentMeans/PayeeFinancialAccount/ID":                            "DE89370400440532013000",
		"PaymentMeans/PayeeFinancialAccount/FinancialInstitutionBranch/ID": "COBADEFFXXX",
		"TaxTotal/TaxAmount":                                               "10.29", "LegalMonetaryTotal/PayableAmount": "64.47",
	} {
		require.Equal(t, want, e.text(path), path)
	}
	lines := e.all("InvoiceLine")
	require.Equal(t, "-1", lines[2].text("InvoicedQuantity"))
	require.Equal(t, "5.00", lines[2].text("Price/PriceAmount"))
	require.Equal(t, "1536", lines[3].text("InvoicedQuantity"))
	require.Equal(t, "E63", lines[3].all("InvoicedQuantity")[0].attr("unitCode"))
	require.Equal(t, "MON", lines[0].all("InvoicedQuantity")[0].attr("unitCode"))
}

func TestUBLOfPricesWithTaxSaysWhatWasCounted(t *testing.T) {
	invoice := sample(t, 2)
	kinds[11].change(t, invoice)
	line := validUBL(t, invoice).all("InvoiceLine")[0]
	require.Equal(t, "16.80", line.text("Price/PriceAmount"))
	require.Equal(t, "1 month", line.text("Note"))
}

func TestCreditNoteNamesItsInvoice(t *testing.T) {
	invoice := sample(t, 1)
	kinds[1].change(t, invoice)
	e := validUBL(t, invoice)
	require.Equal(t, "CreditNote", e.XMLName.Local)
	require.Equal(t, "RE-000041", e.text("BillingReference/InvoiceDocumentReference/ID"))
	require.Equal(t, "1", e.all("CreditNoteLine")[0].text("CreditedQuantity"))
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*billing.Invoice)
		want   string
	}{
		{"no number", func(i *billing.Invoice) { i.Number = "" }, "BR-02"},
		{"no day", func(i *billing.Invoice) { i.IssuedOn = billing.Date{} }, "BR-03"},
		{"no kind", func(i *billing.Invoice) { i.Kind = "" }, "BR-04"},
		{"no currency", func(i *billing.Invoice) { i.Currency = "" }, "BR-05"},
		{"three decimals", func(i *billing.Invoice) { i.Currency = "KWD" }, "KWD has three decimals, and amounts may have two (BR-DEC-09)"},
		{"no seller", func(i *billing.Invoice) { i.Seller.Name = " " }, "the seller has no name (BR-06)"},
		{"no buyer", func(i *billing.Invoice) { i.Buyer.Name = "" }, "BR-07"},
		{"no country of the seller", func(i *billing.Invoice) { i.Seller.Country = "" }, "the seller has no country: want two letters such as DE, not \"\" (BR-09)"},
		{"a country in words", func(i *billing.Invoice) { i.Buyer.Country = "Germany" }, "BR-11"},
		{"no lines", func(i *billing.Invoice) { i.Lines = nil }, "BR-16"},
		{"a line twice", func(i *billing.Invoice) { i.Lines[1].Line = 1 }, "BR-21"},
		{"no description", func(i *billing.Invoice) { i.Lines[1].Description = "\u202e" }, "line 2 has no description (BR-25)"},
		{"no category", func(i *billing.Invoice) { i.Lines[1].TaxCategory = "" }, "line 2 has no tax category"},
		{"no VAT number", func(i *billing.Invoice) { i.Seller.TaxID = "" }, "the seller has no VAT number (BR-S-02)"},
		{"nothing that identifies", func(i *billing.Invoice) { i.Seller.TaxID, i.Seller.Register = "12345", "" }, "BR-CO-26"},
		{"a VAT number without a country", func(i *billing.Invoice) { i.Buyer.TaxID = "12345" }, "BR-CO-09"},
		{"S without a rate", func(i *billing.Invoice) { i.Lines[0].TaxPercent = billing.Decimal{} }, "BR-S-05"},
		{"no reason", func(i *billing.Invoice) { untaxed(i, "E", "") }, "BR-E-10"},
		{"reverse charge without a VAT number", func(i *billing.Invoice) { untaxed(i, "AE", "x") }, "BR-AE-02"},
		{"two scopes", func(i *billing.Invoice) { i.Lines[0].TaxCategory = "O" }, "BR-O-11"},
		{"no taxes", func(i *billing.Invoice) { i.Taxes = nil }, "BR-CO-18"},
		{"another base of the tax", func(i *billing.Invoice) { i.Taxes[0].Net++ }, "BR-S-08"},
		{"another tax", func(i *billing.Invoice) { i.Taxes[0].Tax += 2 }, "BR-CO-17"},
		{"lines that do not add up", func(i *billing.Invoice) { i.Net++ }, "BR-CO-10"},
		{"taxes that do not add up", func(i *billing.Invoice) { i.Tax++ }, "BR-CO-14"},
		{"a total that does not add up", func(i *billing.Invoice) { i.Total++ }, "BR-CO-15"},
		{"a period that ends first", func(i *billing.Invoice) { i.Period.To = i.Period.From }, "BR-29"},
		{"void", func(i *billing.Invoice) { i.State = billing.InvoiceVoid }, "void"},
		{"a credit note about nothing", func(i *billing.Invoice) { i.Kind = billing.KindCreditNote }, "BR-55"},
	} {
		t.Run(c.name, func(t *testing.T) {
			invoice := sample(t, 2)
			require.NoError(t, Check(invoice))
			c.change(invoice)
			require.ErrorContains(t, Check(invoice), c.want)
			var b bytes.Buffer
			require.Error(t, WriteUBL(&b, invoice))
			require.Empty(t, b.Bytes(), "nothing is written of what is not valid")
		})
	}
}

func TestCheckIsBounded(t *testing.T) {
	invoice := sample(t, 3000)
	for k := range invoice.Lines {
		invoice.Lines[k].TaxCategory = strings.Repeat("ß", 10000)
	}
	require.Less(t, len(Check(invoice).Error()), 20000)
}

// TestUBLIsValidWhateverIsCharged lets chance make invoices, and holds what passes Check
// against the rules.
func TestUBLIsValidWhateverIsCharged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		invoice := sample(t, 0)
		rates := []string{"19", "7", "8.1"}
		nets := map[string]billing.Amount{}
		for k := range rapid.IntRange(1, 6).Draw(rt, "lines") {
			rate := rapid.SampledFrom(rates).Draw(rt, "rate")
			net := billing.Amount(rapid.Int64Range(-100000, 10000000).Draw(rt, "net"))
			invoice.Lines = append(invoice.Lines, billing.InvoiceLine{
				Line: k + 1, Description: "x" + rapid.String().Draw(rt, "description"), Net: net, Gross: net, TaxCategory: "S", TaxPercent: dec(t, rate),
				Quantity:  dec(t, rapid.SampledFrom([]string{"0", "1", "2.5", "-3", "1500"}).Draw(rt, "quantity")),
				UnitPrice: dec(t, rapid.SampledFrom([]string{"0", "19.99", "0.0125", "-4"}).Draw(rt, "price")),
				Unit:      rapid.SampledFrom([]string{"", "month", "octets", "E62", "furlong"}).Draw(rt, "unit"),
			})
			nets[rate] += net
			invoice.Net += net
		}
		invoice.Taxes = nil
		for _, rate := range rates {
			net, ok := nets[rate]
			if !ok {
				continue
			}
			tax, err := dec(t, rate).Percent(net)
			require.NoError(t, err)
			invoice.Taxes = append(invoice.Taxes, billing.TaxTotal{Name: "VAT", Category: "S", Percent: dec(t, rate), Net: net, Tax: tax})
			invoice.Tax += tax
		}
		invoice.Tax = 0
		for _, tax := range invoice.Taxes {
			invoice.Tax += tax.Tax
		}
		invoice.Total = invoice.Net + invoice.Tax
		invoice.Buyer.Name = "n" + rapid.String().Draw(rt, "name")
		var b bytes.Buffer
		require.NoError(rt, WriteUBL(&b, invoice))
		e := readUBL(t, b.Bytes())
		require.Empty(rt, schemaFaults(e))
		require.Empty(rt, ruleFaults(e))
	})
}

var errFull = errors.New("the disk is full")

// fullAfter is a writer that fails after so many octets.
type fullAfter struct{ left int }

func (w *fullAfter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestFailingWriters(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"PDF":      func(w io.Writer) error { return WritePDF(w, sample(t, 100), Options{}) },
		"UBL":      func(w io.Writer) error { return WriteUBL(w, sample(t, 100)) },
		"vouchers": func(w io.Writer) error { return WriteVoucherSheet(w, vouchers(t, 30)) },
	} {
		for _, left := range []int{0, 10, 5000} {
			require.ErrorIs(t, write(&fullAfter{left}), errFull, name)
		}
	}
}
