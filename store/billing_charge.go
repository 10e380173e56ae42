package store

import (
	"context"

	"radiusd/billing"
)

func chargeFields(c *billing.Charge) []field {
	return []field{
		{"id", id{&c.ID}},
		{"user_id", id{&c.UserID}},
		{"subscription_id", nullID{&c.SubscriptionID}},
		{"kind", term(&c.Kind)},
		{"description", text{&c.Description}},
		{"period_from", civil{&c.Period.From}},
		{"period_to", civil{&c.Period.To}},
		{"currency", term(&c.Currency)},
		{"quantity", decimal{&c.Quantity}},
		{"unit", text{&c.Unit}},
		{"unit_price", decimal{&c.UnitPrice}},
		{"amount", money(&c.Amount)},
		{"tax_class", text{&c.TaxClass}},
		{"tax_included", flag{&c.TaxIncluded}},
		{"inputs", structured[billing.Inputs]{&c.Inputs}},
		{"invoice_id", nullID{&c.InvoiceID}},
		{"created_at", moment{&c.CreatedAt}},
	}
}

// insertCharges adds charges. One that exists already fails: it is the same one.
func (tx *writeTx) insertCharges(ctx context.Context, charges []billing.Charge) error {
	var c billing.Charge
	return insertRows(ctx, tx, "charges", filled(chargeFields(&c), len(charges), func(i int) { c = charges[i] }))
}
