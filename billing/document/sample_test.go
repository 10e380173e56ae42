package document

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

func day(t testing.TB, s string) billing.Date {
	t.Helper()
	d, err := billing.ParseDate(s)
	require.NoError(t, err)
	return d
}

func dec(t testing.TB, s string) billing.Decimal {
	t.Helper()
	d, err := billing.ParseDecimal(s)
	require.NoError(t, err)
	return d
}

// sample is an invoice of n lines of 19.99 EUR each, and a tax of 19 %.
func sample(t testing.TB, n int) *billing.Invoice {
	i := &billing.Invoice{
		Number: "RE-000042", Series: "RE", Kind: billing.KindInvoice, State: billing.InvoiceIssued, Currency: "EUR",
		IssuedOn: day(t, "2026-02-01"), DueOn: day(t, "2026-02-15"),
		Period: billing.Span{From: day(t, "2026-01-01"), To: day(t, "2026-02-01")},
		Seller: billing.Party{
			Name: "Nordlicht Netze GmbH", Address: "Hafenstraße 12\nHaus B", City: "Flensburg", Postcode: "24937", Country: "DE",
			TaxID: "DE123456789", Register: "HRB 4711", Email: "rechnung@nordlicht.example", Phone: "+49 461 12345",
			IBAN: "DE89370400440532013000", BIC: "COBADEFFXXX",
		},
		Buyer: billing.Party{
			Name: "Zoë Müller-Łukasiewicz", Address: "Große Straße 1", City: "Kiel", Postcode: "24103", Country: "DE",
			Email: "zoe@kunde.example", Username: "zoe",
		},
		Note:      "Thank you.",
		CreatedAt: time.Date(2026, 2, 1, 3, 4, 5, 0, time.UTC),
	}
	for k := range n {
		i.Lines = append(i.Lines, billing.InvoiceLine{
			Line: k + 1, Description: fmt.Sprintf("Fibre 250 #%d", k+1), Period: i.Period,
			Quantity: dec(t, "1"), Unit: "month", UnitPrice: dec(t, "19.99"),
			Net: 1999, Gross: 1999, TaxCategory: "S", TaxPercent: dec(t, "19"),
		})
		i.Net += 1999
	}
	tax, err := dec(t, "19").Percent(i.Net)
	require.NoError(t, err)
	i.Taxes = []billing.TaxTotal{{Name: "VAT", Category: "S", Percent: dec(t, "19"), Net: i.Net, Tax: tax}}
	i.Tax, i.Total = tax, i.Net+tax
	return i
}
