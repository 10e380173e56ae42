package billing

import (
	"slices"

	"github.com/google/uuid"
)

// CodeNothingToBill is the code of the refusal of an invoice over nothing.
const CodeNothingToBill = "nothing_to_bill"

// NewDraft returns the draft of an invoice over charges of the account that wait for one:
// over all in a currency, or over those that are named.
func NewDraft(a *Account, c Currency, charges []uuid.UUID, o RunOptions) (*Invoice, error) {
	var chosen []Charge
	for _, p := range a.Pending {
		if p.Currency == c && (len(charges) == 0 || slices.Contains(charges, p.ID)) {
			chosen = append(chosen, p)
		}
	}
	for _, id := range charges {
		if !slices.ContainsFunc(chosen, func(p Charge) bool { return p.ID == id }) {
			return nil, Refuse(CodeChargeState, "a charge that was named does not wait for an invoice in %s of %s", c, a.Username)
		}
	}
	if len(chosen) == 0 {
		return nil, Refuse(CodeNothingToBill, "no charge of %s waits for an invoice in %s", a.Username, c)
	}
	slices.SortFunc(chosen, compareCharges)
	i := &Invoice{
		Series: o.Series, Kind: KindInvoice, State: InvoiceDraft, UserID: a.UserID, Currency: c,
		IssuedOn: o.AsOf, DueOn: o.AsOf.AddDays(dueDays(chosen, a.Subscriptions, o)), Seller: o.Seller, Buyer: a.Buyer,
		CreatedAt: o.Now, UpdatedAt: o.Now,
	}
	if err := i.fill(chosen, o.Taxes); err != nil {
		return nil, err
	}
	if i.Total <= 0 {
		return nil, Refuse(CodeNothingToBill, "what waits for an invoice of %s adds up to %s %s", a.Username, c.Format(i.Total), c)
	}
	i.ID = uuid.Nil // a draft may be deleted and made anew
	return i, nil
}

// DueAfter returns when an invoice is due that is issued on another day than it was
// drafted for: as long after it.
func (i *Invoice) DueAfter(issuedOn Date) Date {
	if i.IssuedOn.IsZero() || i.DueOn.IsZero() {
		return issuedOn
	}
	return issuedOn.AddDays(i.IssuedOn.DaysUntil(i.DueOn))
}
