package report

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// books are a BillingSource.
type books struct {
	parts      []DocumentPart
	open       []OpenInvoice
	balances   []CustomerBalance
	subscribed []Subscribed
	allowances []Allowance
	asked      DocumentQuery
}

func each[T any](list []T, fn func(T) error) error {
	for _, x := range list {
		if err := fn(x); err != nil {
			return err
		}
	}
	return nil
}

func (b *books) Documents(_ context.Context, q DocumentQuery, fn func(DocumentPart) error) error {
	b.asked = q
	return each(b.parts, fn)
}
func (b *books) OpenInvoices(_ context.Context, _ billing.Date, _ string, fn func(OpenInvoice) error) error {
	return each(b.open, fn)
}
func (b *books) CustomerBalances(_ context.Context, _ billing.Date, _ string, fn func(CustomerBalance) error) error {
	return each(b.balances, fn)
}
func (b *books) Subscribed(_ context.Context, _ billing.Span, fn func(Subscribed) error) error {
	return each(b.subscribed, fn)
}
func (b *books) Allowances(_ context.Context, _ billing.Date, _ string, fn func(Allowance) error) error {
	return each(b.allowances, fn)
}

func civilDay(text string) billing.Date {
	d, err := billing.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

// runBilling runs a report on money and writes its rows as text, without the start's time.
func runBilling(t *testing.T, source BillingSource, name string, given Arguments) (rows []string, err error) {
	t.Helper()
	for _, r := range BillingCatalogue() {
		if r.Name != name {
			continue
		}
		columns := r.Columns(given)
		err = r.Run(t.Context(), source, given, environment, func(row Row) error {
			require.Len(t, row, len(columns))
			text := ""
			for _, v := range row {
				if start, is := v.(Start); is {
					v = start.Label()
				}
				text += fmt.Sprint(v) + " "
			}
			rows = append(rows, text[:len(text)-1])
			return nil
		})
		return rows, err
	}
	t.Fatal("no such report")
	return nil, nil
}

func TestBillingCatalogue(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)
	source := &books{
		parts: []DocumentPart{{Day: civilDay("2026-11-02"), Currency: "EUR", Net: 1}}, open: []OpenInvoice{{Currency: "EUR", Open: 1}},
		subscribed: []Subscribed{{Plan: "home", Start: civilDay("2026-11-02")}}, allowances: []Allowance{{Allowance: 1}},
	}
	for _, r := range BillingCatalogue() {
		assert.Regexp(t, word, r.Name)
		assert.NotEmpty(t, r.Title)
		assert.NotEmpty(t, r.Examples)
		for _, p := range r.Parameters {
			assert.NotEmpty(t, p.Says)
			assert.NotEmpty(t, p.Placeholder)
		}
		given := []Arguments{{}}
		if p, ok := r.Parameter("by"); ok {
			for _, by := range p.Choices {
				given = append(given, Arguments{"by": by})
			}
		}
		for _, args := range given {
			rows, err := runBilling(t, source, r.Name, args)
			require.NoError(t, err)
			assert.Len(t, rows, 1, "%s %v", r.Name, args)
			require.NoError(t, r.Check(args, environment))
		}
		var wrong *ArgumentError
		assert.ErrorAs(t, r.Check(Arguments{"colour": "blue"}, environment), &wrong)
		failure := errors.New("enough")
		assert.ErrorIs(t, r.Run(t.Context(), source, Arguments{}, environment, func(Row) error { return failure }), failure)
	}
	_, err := runBilling(t, source, "revenue", Arguments{"from": "2026-11-01T08:00:00Z"})
	assert.ErrorContains(t, err, "want a day")
	_, err = runBilling(t, source, "tax", Arguments{"period": "hour"})
	assert.ErrorContains(t, err, "is not one of")
}

// TestRevenueAndTax: INV-1 of 30 January: home 29.90 and fibre 49.90 at 19 %, tax 15.16.
// Credit note of 2 February over home, 29.90, tax 5.68. INV-2 in JPY of 1 April: 10000,
// voided the next day. So the first quarter has 79.80 - 29.90 = 49.90 and 9.48 of tax.
func TestRevenueAndTax(t *testing.T) {
	lines := &books{parts: []DocumentPart{
		{Day: civilDay("2026-01-30"), Key: "home", Currency: "EUR", Net: 2990},
		{Day: civilDay("2026-01-30"), Key: "fibre", Currency: "EUR", Net: 4990},
		{Day: civilDay("2026-02-02"), Back: true, Key: "home", Currency: "EUR", Net: -2990},
		{Day: civilDay("2026-04-01"), Key: "home", Currency: "JPY", Net: 10000},
		{Day: civilDay("2026-04-02"), Back: true, Key: "home", Currency: "JPY", Net: -10000},
	}}
	year := func(more ...string) Arguments {
		a := Arguments{"from": "2026-01-01", "to": "2027-01-01"}
		for i := 0; i < len(more); i += 2 {
			a[more[i]] = more[i+1]
		}
		return a
	}
	rows, err := runBilling(t, lines, "revenue", year("by", "plan"))
	require.NoError(t, err)
	assert.Equal(t, []string{"2026-01 fibre EUR 49.90 0.00 49.90", "2026-01 home EUR 29.90 0.00 29.90", "2026-02 home EUR 0.00 29.90 -29.90", "2026-04 home JPY 10000 10000 0"}, rows)
	assert.Equal(t, DocumentQuery{From: civilDay("2026-01-01"), To: civilDay("2027-01-01"), By: ByPlan}, lines.asked)
	for i := range lines.parts {
		lines.parts[i].Key = "" // as the source answers without by
	}
	rows, err = runBilling(t, lines, "revenue", year("period", "quarter", "date", "posted"))
	require.NoError(t, err)
	assert.Equal(t, []string{"2026-Q1 EUR 79.80 29.90 49.90", "2026-Q2 JPY 10000 10000 0"}, rows)
	assert.True(t, lines.asked.Posted)

	taxes := &books{parts: []DocumentPart{
		{Day: civilDay("2026-01-30"), Key: "VAT", Category: "S", Percent: "19", Currency: "EUR", Net: 7980, Tax: 1516},
		{Day: civilDay("2026-02-02"), Back: true, Key: "VAT", Category: "S", Percent: "19", Currency: "EUR", Net: -2990, Tax: -568},
		{Day: civilDay("2026-02-03"), Key: "VAT", Category: "S", Percent: "7", Currency: "EUR", Net: 1000, Tax: 70},
	}}
	rows, err = runBilling(t, taxes, "tax", year("period", "quarter"))
	require.NoError(t, err)
	assert.Equal(t, []string{"2026-Q1 VAT S 19 EUR 49.90 9.48", "2026-Q1 VAT S 7 EUR 10.00 0.70"}, rows)
	rows, err = runBilling(t, taxes, "tax", year("period", "year"))
	require.NoError(t, err)
	assert.Equal(t, "2026 VAT S 19 EUR 49.90 9.48", rows[0])
	big := &books{parts: []DocumentPart{{Day: civilDay("2026-01-30"), Currency: "EUR", Net: 1 << 62}, {Day: civilDay("2026-01-30"), Currency: "EUR", Net: 1 << 62}}}
	_, err = runBilling(t, big, "revenue", year())
	assert.ErrorIs(t, err, billing.ErrOverflow)
}

// TestReceivables: on 31 December, what was due on that day and 30 days before (1 December)
// is 0 to 30 days old, on 30 November 31 days, and so on.
func TestReceivables(t *testing.T) {
	source := &books{open: []OpenInvoice{
		{"alice", "EUR", civilDay("2027-01-01"), 1},
		{"alice", "EUR", civilDay("2026-12-31"), 10},
		{"alice", "EUR", civilDay("2026-12-01"), 100},
		{"bob", "EUR", civilDay("2026-11-30"), 1000},
		{"bob", "EUR", civilDay("2026-11-01"), 10000},
		{"bob", "EUR", civilDay("2026-10-02"), 100000},
		{"bob", "EUR", civilDay("2026-10-01"), 1000000},
		{"bob", "JPY", civilDay("2026-10-31"), 7},
	}, balances: []CustomerBalance{{"alice", "EUR", 61}, {"bob", "EUR", 1111000}, {"bob", "JPY", 7}, {"carol", "EUR", -5}}}
	rows, err := runBilling(t, source, "receivables", Arguments{"on": "2026-12-31"})
	require.NoError(t, err)
	assert.Equal(t, []string{"EUR 0.01 1.10 110.00 1000.00 10000.00 11111.11 0.55 11110.56", "JPY 0 0 0 7 0 7 0 7"}, rows)
	rows, err = runBilling(t, source, "receivables", Arguments{"on": "2026-12-31", "by": "user"})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"alice EUR 0.01 1.10 0.00 0.00 0.00 1.11 0.50 0.61", "bob EUR 0.00 0.00 110.00 1000.00 10000.00 11110.00 0.00 11110.00",
		"bob JPY 0 0 0 7 0 7 0 7", "carol EUR 0.00 0.00 0.00 0.00 0.00 0.00 0.05 -0.05",
	}, rows)
}

// TestChurn: three were there before January, of which one ends on 15 January (its last day
// is the 14th) and one on 1 February, which is February's. One begins and ends in January.
func TestChurn(t *testing.T) {
	source := &books{subscribed: []Subscribed{
		{"home", civilDay("2025-05-01"), billing.Date{}},
		{"home", civilDay("2025-05-01"), civilDay("2026-01-15")},
		{"fibre", civilDay("2025-12-31"), civilDay("2026-02-01")},
		{"home", civilDay("2026-01-01"), civilDay("2026-01-31")},
		{"fibre", civilDay("2026-02-28"), billing.Date{}},
		{"fibre", civilDay("2026-02-28"), civilDay("2026-02-28")}, // it never began
	}}
	span := Arguments{"from": "2026-01-01", "to": "2026-03-01"}
	rows, err := runBilling(t, source, "churn", span)
	require.NoError(t, err)
	assert.Equal(t, []string{"2026-01 3 1 2 2 66.7", "2026-02 2 1 1 2 50.0"}, rows)
	span["by"] = "plan"
	rows, err = runBilling(t, source, "churn", span)
	require.NoError(t, err)
	assert.Equal(t, []string{"2026-01 fibre 1 0 0 1 0.0", "2026-01 home 2 1 2 1 100.0", "2026-02 fibre 1 1 1 1 100.0", "2026-02 home 1 0 0 1 0.0"}, rows)
}

func TestAllowance(t *testing.T) {
	period := billing.Span{From: civilDay("2026-11-01"), To: civilDay("2026-12-01")}
	rows, err := runBilling(t, &books{allowances: []Allowance{
		{"alice", "home", period, billing.MetricOctets, 1500, 1000}, {"bob", "home", period, billing.MetricSeconds, 1, 3},
	}}, "allowance", Arguments{})
	require.NoError(t, err)
	assert.Equal(t, []string{"alice home 2026-11-01 2026-12-01 octets 1500 1000 150.0 500", "bob home 2026-11-01 2026-12-01 seconds 1 3 33.3 0"}, rows)
}

func TestQuarters(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Vienna")
	require.NoError(t, err)
	s := Span{From: time.Date(2026, 2, 10, 0, 0, 0, 0, zone), To: time.Date(2027, 2, 1, 0, 0, 0, 0, zone), Period: Quarter, Zone: zone}
	starts, err := s.Starts()
	require.NoError(t, err)
	var labels []string
	for _, at := range starts {
		labels = append(labels, Start{at.In(zone), Quarter}.Label())
	}
	assert.Equal(t, []string{"2026-02-10", "2026-Q2", "2026-Q3", "2026-Q4", "2027-Q1"}, labels)
}
