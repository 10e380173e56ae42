package report

import (
	"context"
	"time"

	"radiusd/billing"
)

// BillingSource answers the queries of the reports on money. All methods block, call fn
// for each fact, in any order, and end with the first error of fn, which they return. A
// source holds one row at a time and is safe for concurrent use.
type BillingSource interface {
	// Documents answers what invoices and credit notes brought in, and took back.
	Documents(ctx context.Context, q DocumentQuery, fn func(DocumentPart) error) error
	// OpenInvoices answers what was open of invoices at the end of a day.
	OpenInvoices(ctx context.Context, on billing.Date, user string, fn func(OpenInvoice) error) error
	// CustomerBalances answers what the ledger says that users owed at the end of a day.
	CustomerBalances(ctx context.Context, on billing.Date, user string, fn func(CustomerBalance) error) error
	// Subscribed answers which subscriptions were in force in a span of days.
	Subscribed(ctx context.Context, days billing.Span, fn func(Subscribed) error) error
	// Allowances answers what was used of allowances in the periods that contain a day.
	Allowances(ctx context.Context, on billing.Date, user string, fn func(Allowance) error) error
}

// What the facts of Documents are.
const (
	ByTaxClass By = "tax-class"
	byTaxRate  By = "tax-rate"
)

// DocumentQuery asks for the lines of documents, or for their taxes.
type DocumentQuery struct {
	From, To billing.Date // To is not contained
	// Posted goes by the day on which the ledger has a document, and not by the day of
	// its issue. What was voided is taken back on the day of that either way.
	Posted bool
	// Taxes asks for the taxes; else the lines are asked for, by ByPlan, ByTaxClass or
	// ByNothing.
	Taxes bool
	By    By
}

// DocumentPart is a line or a tax of an invoice, or what a credit note or a void takes
// back of one: then the amounts have the other sign.
type DocumentPart struct {
	Day      billing.Date
	Back     bool   // of a credit note, or voided
	Key      string // plan or tax class; of taxes, the tax's name
	Category string // of taxes
	Percent  string // of taxes
	Currency billing.Currency
	Net, Tax billing.Amount // of a line, Tax is zero
}

// OpenInvoice is what was open of an invoice.
type OpenInvoice struct {
	Username string // as the user is called now
	Currency billing.Currency
	DueOn    billing.Date
	Open     billing.Amount
}

// CustomerBalance is what a user owed; negative: credit.
type CustomerBalance struct {
	Username string
	Currency billing.Currency
	Balance  billing.Amount
}

// Subscribed is a subscription that was in force.
type Subscribed struct {
	Plan       string // of its present rate
	Start, End billing.Date
}

// Allowance is what was used of an allowance in a period.
type Allowance struct {
	Username, Plan  string
	Period          billing.Span
	Metric          billing.Metric
	Used, Allowance uint64
}

// Money is an amount of a currency: the value of a column with UnitMoney.
type Money struct {
	Amount   billing.Amount
	Currency billing.Currency
}

// String writes the amount with its currency's decimals, without the currency.
func (m Money) String() string { return m.Currency.Format(m.Amount) }

// startOf is when a day begins.
func startOf(day billing.Date, zone *time.Location) time.Time { return day.Start(zone) }
