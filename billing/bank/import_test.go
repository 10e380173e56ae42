package bank_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
	"radiusd/billing/bank"
)

// TestMatchByPayer: money that names no invoice is proposed, if it can be for one alone.
func TestMatchByPayer(t *testing.T) {
	buyer := func(name string) func(*billing.Invoice) { return func(i *billing.Invoice) { i.Buyer.Name = name } }
	l := invoices{series: []string{"INV"}, all: []billing.Invoice{
		invoice("INV-000001", anna, 1000, buyer("Anna Müller")),
		invoice("INV-000002", bob, 1000, buyer("Bob Stone")),
		invoice("INV-000003", anna, 700, buyer("Anna Müller")),
		invoice("INV-000004", anna, 700, buyer("Anna Müller")),
		invoice("INV-000005", bob, 300, buyer("Bob Stone"), func(i *billing.Invoice) { i.Currency = "USD" }),
	}}
	for name, tt := range map[string]struct {
		payer  string
		amount billing.Amount
		want   bank.Confidence
		reason string
	}{
		"in another order":  {"MÜLLER, Anna", 1000, bank.Likely, "those of INV-000001"},
		"the other one":     {"Bob Stone", 1000, bank.Likely, "those of INV-000002"},
		"another amount":    {"Anna Müller", 999, bank.None, "names no invoice"},
		"another name":      {"Anna Miller", 1000, bank.None, "names no invoice"},
		"no name":           {"", 1000, bank.None, "names no invoice"},
		"two of the amount": {"Anna Müller", 700, bank.None, "several of this amount are of Anna Müller"},
		"another currency":  {"Bob Stone", 300, bank.None, "names no invoice"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := bank.Match(t.Context(), &bank.Entry{Currency: "EUR", Amount: tt.amount, Name: tt.payer, Remittance: "thank you"}, l)
			require.NoError(t, err)
			assert.Equal(t, tt.want, r.Confidence)
			assert.Contains(t, r.Reason, tt.reason)
		})
	}
}

func TestOpen(t *testing.T) {
	columns, err := bank.ParseCSVFormat([]string{"date=Day", "amount=Sum", "currency=eur", "remittance=A", "remittance=B", "delimiter=tab", "decimal=,"})
	require.NoError(t, err)
	assert.Equal(t, bank.CSVFormat{Columns: bank.CSVColumns{Date: "Day", Amount: "Sum", Remittance: []string{"A", "B"}}, Delimiter: '\t', Decimal: ",", Currency: "EUR"}, columns)
	for name, want := range map[string]string{
		"<Document/>": bank.FormatCAMT, "\xef\xbb\xbf \n<?xml version='1.0'?>": bank.FormatCAMT, "\xff\xfe<\x00D\x00": bank.FormatCAMT,
		"Day\tSum\n": bank.FormatCSV, "": bank.FormatCSV,
	} {
		_, format, err := bank.Open(strings.NewReader(name), "", columns)
		require.NoError(t, err)
		assert.Equal(t, want, format, "%q", name)
	}
	_, _, err = bank.Open(strings.NewReader("x"), "mt940", columns)
	assert.ErrorContains(t, err, "want camt or csv")
	for _, wrong := range []string{"date", "date=", "shoe=42", "delimiter=ab", "currency=gold"} {
		_, err := bank.ParseCSVFormat([]string{wrong})
		assert.Error(t, err, wrong)
	}
}
