package api

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/report"
)

// What the resources of billing have in common: money, days, and the rules of a day.

// freeText is what somebody has written, as the caller may see it: it may tell of a person.
func freeText(ctx context.Context, text string) string {
	if principalOf(ctx).Can(operator.ProfilesRead) {
		return text
	}
	return ""
}

// moneyOf is an amount as the API shows it.
func moneyOf(c billing.Currency, a billing.Amount) Money {
	return Money{Amount: c.Format(a), Currency: string(c)}
}

// moneyIn reads what moneyOf wrote; field is where it stands in the input.
func moneyIn(field string, m Money) (billing.Amount, billing.Currency, error) {
	currency, err := billing.ParseCurrency(m.Currency)
	if err != nil {
		return 0, "", invalidField(field+".currency", "%v", err)
	}
	amount, err := currency.Parse(m.Amount)
	if err != nil {
		return 0, "", invalidField(field+".amount", "%v", err)
	}
	if amount > billing.MaxAmount || amount < -billing.MaxAmount {
		return 0, "", invalidField(field+".amount", "it must be at most %s", currency.Format(billing.MaxAmount))
	}
	return amount, currency, nil
}

// sums are totals by currency, as the API shows them.
func sums(totals map[billing.Currency]billing.Amount) []Money {
	list := make([]Money, 0, len(totals))
	for _, currency := range slices.Sorted(maps.Keys(totals)) {
		list = append(list, moneyOf(currency, totals[currency]))
	}
	return list
}

// dateOf writes a day.
func dateOf(d billing.Date) openapi_types.Date {
	return openapi_types.Date{Time: time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)}
}

// dateOrNull writes a day; null: none.
func dateOrNull(d billing.Date) nullable.Nullable[openapi_types.Date] {
	return orNull(dateOf(d), !d.IsZero())
}

// Days that are sent lie between these, so that all that is computed from them is a day
// that both engines know.
var (
	firstDay = billing.Date{Year: 1970, Month: time.January, Day: 1}
	lastDay  = billing.Date{Year: 2499, Month: time.December, Day: 31}
)

// dateIn reads a day of the input, or returns otherwise if none was sent.
func dateIn(field string, d openapi_types.Date, otherwise billing.Date) (billing.Date, error) {
	if d.IsZero() {
		return otherwise, nil
	}
	day := billing.DateOf(d.Time, time.UTC)
	if day.Before(firstDay) || lastDay.Before(day) {
		return day, invalidField(field, "want a day from %s to %s", firstDay, lastDay)
	}
	return day, nil
}

// dayFilter reads a day that a list is bounded by: beyond those that there can be, all
// are alike.
func dayFilter(d openapi_types.Date) billing.Date {
	if d.IsZero() {
		return billing.Date{}
	}
	day := billing.DateOf(d.Time, time.UTC)
	return slices.MaxFunc([]billing.Date{firstDay, slices.MinFunc([]billing.Date{day, lastDay}, billing.Date.Compare)}, billing.Date.Compare)
}

// accountCursor writes the cursor of the page after an account, of a list of accounts on a
// day.
func accountCursor(list string, day billing.Date, userID uuid.UUID) nullable.Nullable[string] {
	return nextCursor(aaa.FormatCursor(list, "", day, userID.String()))
}

// accountAfter reads what accountCursor wrote; no cursor: the first page.
func accountAfter(cursor, list string, day billing.Date) (uuid.UUID, error) {
	if cursor == "" {
		return uuid.Nil, nil
	}
	keys, err := aaa.ParseCursor(cursor, list, "", day)
	if err != nil {
		return uuid.Nil, err
	}
	if len(keys) != 1 {
		return uuid.Nil, aaa.ErrBadCursor
	}
	userID, err := uuid.Parse(keys[0])
	if err != nil {
		return uuid.Nil, aaa.ErrBadCursor
	}
	return userID, nil
}

// BillingRuleStore keeps what bills are made by.
type BillingRuleStore interface {
	BillingSettings(ctx context.Context) (billing.Settings, time.Time, error)
	UpdateBillingSettings(ctx context.Context, fn func(*billing.Settings) error) (billing.Settings, error)
	TaxRates(ctx context.Context) ([]billing.TaxRate, error)
	SetTaxRate(ctx context.Context, rate *billing.TaxRate) error
	DeleteTaxRate(ctx context.Context, rateID openapi_types.UUID) error
}

// BillingStore keeps what the resources of billing are of.
type BillingStore interface {
	BillingRuleStore
	PriceStore
	SubscriptionStore
	ChargeStore
	LedgerStore
	OrderStore
	InvoiceStore
	PaymentStore
	BankStore
	report.BillingSource
	BillingRunStore
}

// billingRules are the rules by which bills are made on a day.
type billingRules struct {
	rules BillingRuleStore
	zone  *time.Location
	now   func() time.Time
}

// today is the present day.
func (h *billingRules) today() billing.Date { return billing.DateOf(h.now(), h.zone) }

// options are what a bill of the day goes by.
func (h *billingRules) options(ctx context.Context, day billing.Date) (billing.RunOptions, error) {
	settings, _, err := h.rules.BillingSettings(ctx)
	if err != nil {
		return billing.RunOptions{}, err
	}
	taxes, err := h.rules.TaxRates(ctx)
	return settings.RunOptions(day, h.zone, taxes, h.now()), err
}

// billingFields words billing's field errors as those of the API: field by field, and
// under other names where these differ.
func billingFields(err error, names map[string]string) []FieldError {
	var fields []FieldError
	for _, e := range billing.FieldErrors(err) {
		fields = append(fields, FieldError{Field: cmp.Or(names[e.Field], e.Field), Message: e.Message})
	}
	return fields
}
