package billing

import (
	"cmp"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// invoices puts the charges that are due to be billed on an invoice for each currency, and
// what is outside the scope of the tax on one of its own: EN 16931 (BR-O-11) has no invoice
// with both.
// What adds up to no more than nothing stays pending for the next one; if the user has
// no subscription that goes on there is no next one, and it becomes a credit note about
// the last invoice that those subscriptions are on. Without any invoice it stays pending.
func (a *Account) invoices(charges []Charge, subscriptions []Subscription, o RunOptions) ([]Invoice, error) {
	goesOn := slices.ContainsFunc(subscriptions, func(s Subscription) bool { return s.State != SubscriptionEnded })
	groups := make(map[invoiceGroup][]Charge)
	for _, c := range charges {
		rate, err := TaxOn(o.Taxes, c.TaxClass, o.AsOf)
		if err != nil {
			return nil, err
		}
		g := invoiceGroup{c.Currency, rate.Category == outOfScope}
		groups[g] = append(groups[g], c)
	}
	var invoices []Invoice
	for _, g := range slices.SortedFunc(maps.Keys(groups), invoiceGroup.compare) {
		charges := groups[g]
		slices.SortFunc(charges, compareCharges)
		invoice := Invoice{
			Series: o.Series, Kind: KindInvoice, State: InvoiceDraft, UserID: a.UserID, Currency: g.currency,
			IssuedOn: o.AsOf, DueOn: o.AsOf.AddDays(dueDays(charges, subscriptions, o)), Seller: o.Seller, Buyer: a.Buyer,
			RunID: o.RunID, CreatedAt: o.Now, UpdatedAt: o.Now,
		}
		if err := invoice.fill(charges, o.Taxes); err != nil {
			return nil, err
		}
		if about := a.billed(charges); invoice.Total < 0 && !goesOn && about != "" {
			invoice.Kind, invoice.Series, invoice.CorrectsNumber, invoice.DueOn = KindCreditNote, o.CreditSeries, about, o.AsOf
			if err := invoice.fill(charges, o.Taxes); err != nil {
				return nil, err
			}
		}
		if invoice.Total > 0 {
			invoices = append(invoices, invoice)
		}
	}
	return invoices, nil
}

// invoiceGroup is what can be on one invoice.
type invoiceGroup struct {
	currency   Currency
	outOfScope bool
}

func (g invoiceGroup) compare(o invoiceGroup) int {
	if g.currency == o.currency && g.outOfScope != o.outOfScope {
		if o.outOfScope {
			return -1
		}
		return 1
	}
	return cmp.Compare(g.currency, o.currency)
}

// billed returns the number of the last invoice in the charges' currency that a
// subscription of theirs is on, else of the last one; empty: there is none.
func (a *Account) billed(charges []Charge) (number string) {
	same := false
	for _, b := range a.Billed {
		if b.Currency != charges[0].Currency {
			continue
		}
		is := slices.ContainsFunc(charges, func(c Charge) bool { return c.SubscriptionID == b.SubscriptionID })
		if is || !same {
			number, same = b.Number, is
		}
	}
	return number
}

// NewDraft returns the draft of an invoice over what is pending of an account in a
// currency, as a run would issue it on o.AsOf: prepaid days wait for the end of their
// period. It does not write to the account. It fails if there is nothing to pay.
func NewDraft(a *Account, currency Currency, o RunOptions) (*Invoice, error) {
	var due []Charge
	for _, c := range a.Pending {
		wait, err := a.held(c, a.Subscriptions, o.AsOf)
		if err != nil {
			return nil, err
		}
		if c.Currency == currency && !wait {
			due = append(due, c)
		}
	}
	invoices, err := a.invoices(due, a.Subscriptions, o)
	if err != nil {
		return nil, err
	}
	if len(invoices) == 0 || invoices[0].Kind != KindInvoice { // the first of two, if some is not taxed
		if len(due) == 0 {
			return nil, Refuse(CodeNothingToBill, "there is nothing to pay in %s: no charge waits for an invoice", currency)
		}
		return nil, Refuse(CodeNothingToBill, "there is nothing to pay in %s: the %d charges that are on no invoice add up to no more than nothing", currency, len(due))
	}
	return &invoices[0], nil
}

// Payable returns what an invoice of a day asks for charges, which are in one currency: their
// amounts with the tax. It is negative for credits, and fails as a bill does if a tax class has
// no rate.
func Payable(charges []Charge, taxes []TaxRate, on Date) (Amount, error) {
	if len(charges) == 0 {
		return 0, nil
	}
	i := Invoice{Currency: charges[0].Currency, IssuedOn: on}
	err := i.fill(charges, taxes)
	return i.Total, err
}

// dueDays is what the subscriptions on the invoice say that is latest.
func dueDays(charges []Charge, subscriptions []Subscription, o RunOptions) int {
	days := -1
	for _, s := range subscriptions {
		if slices.ContainsFunc(charges, func(c Charge) bool { return c.SubscriptionID == s.ID }) {
			days = max(days, s.Rate.Terms.DueDays)
		}
	}
	if days < 0 {
		return o.DueDays
	}
	return days
}

// fill makes the lines, taxes, totals and the id of an invoice from charges, in their
// order.
func (i *Invoice) fill(charges []Charge, taxes []TaxRate) error {
	i.Lines, i.Period = nil, Span{}
	id := []any{i.UserID, string(i.Currency), i.IssuedOn, string(i.Kind)}
	for n, c := range charges {
		id = append(id, c.ID)
		if i.Kind == KindCreditNote {
			c.Amount, c.Quantity = -c.Amount, c.Quantity.neg()
		}
		i.Lines = append(i.Lines, InvoiceLine{
			Line: n + 1, ChargeID: c.ID, Description: c.Description, Period: c.Period,
			Quantity: c.Quantity, Unit: c.Unit, UnitPrice: c.UnitPrice,
			Gross: c.Amount, TaxIncluded: c.TaxIncluded, TaxClass: c.TaxClass,
		})
		i.Period = i.Period.with(c.Period)
	}
	i.ID = makeID("invoice", id...)
	return i.tax(taxes, i.IssuedOn)
}

// with returns the span from the first day of both to the last one.
func (s Span) with(o Span) Span {
	if s == (Span{}) {
		return o
	}
	if o == (Span{}) {
		return s
	}
	if o.From.Before(s.From) {
		s.From = o.From
	}
	if s.To.Before(o.To) {
		s.To = o.To
	}
	return s
}

// kindOrder is the order of lines of one day.
var kindOrder = []ChargeKind{ChargeSetup, ChargeProration, ChargePeriod, ChargeUsage, ChargeAdjustment, ChargeManual}

// compareCharges orders the lines of an invoice: by subscription, and in it by time;
// what was charged by hand comes last.
func compareCharges(a, b Charge) int {
	if manual := a.SubscriptionID == uuid.Nil; manual != (b.SubscriptionID == uuid.Nil) {
		if manual {
			return 1
		}
		return -1
	}
	return cmp.Or(
		slices.Compare(a.SubscriptionID[:], b.SubscriptionID[:]),
		a.Period.From.Compare(b.Period.From),
		cmp.Compare(slices.Index(kindOrder, a.Kind), slices.Index(kindOrder, b.Kind)),
		cmp.Compare(a.Inputs.Terms, b.Inputs.Terms),
		cmp.Compare(a.Description, b.Description),
		slices.Compare(a.ID[:], b.ID[:]),
	)
}
