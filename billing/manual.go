package billing

import "github.com/google/uuid"

// CheckCredit refuses a credit without a tax that could never be set off: what the
// subscriptions charge in its currency is all taxed, and no invoice has both (EN 16931
// BR-O-11).
func CheckCredit(c *Charge, subscriptions []Subscription) error {
	if c.Amount >= 0 || c.TaxClass != "" {
		return nil
	}
	class := ""
	for _, s := range subscriptions {
		if s.State == SubscriptionEnded || s.Rate.Currency != c.Currency {
			continue
		}
		if class = s.Rate.Terms.TaxClass; class == "" {
			return nil
		}
	}
	if class == "" {
		return nil
	}
	return &FieldError{"tax_class", "what the user pays for is taxed, and a credit that is not could not stand on an invoice with it: give it the tax class " + class}
}

// CheckManual returns what is wrong with a charge made by hand that no invoice could have.
func CheckManual(c *Charge) error {
	switch from, to := c.Period.From, c.Period.To; {
	case c.TaxIncluded && c.TaxClass == "":
		return &FieldError{"tax_included", "it needs a tax_class, which says what tax is included"}
	case from.IsZero() != to.IsZero() || !from.IsZero() && !from.Before(to):
		return &FieldError{"period", "what is charged for ends on a day after the one that it begins on"}
	}
	return nil
}

// NewManualCharge returns a charge that somebody makes by hand: one thing at a price, or a
// credit if the amount is negative. Without a tax class it is not taxed.
func NewManualCharge(user uuid.UUID, c Currency, amount Amount, description string) (Charge, error) {
	if amount == 0 {
		return Charge{}, &FieldError{"amount", "a charge is of an amount other than 0"}
	}
	price, err := c.decimal(abs(amount))
	if err != nil {
		return Charge{}, &FieldError{"amount", err.Error()}
	}
	charge := Charge{
		UserID: user, Kind: ChargeManual, Description: description, Currency: c,
		Quantity: one, Unit: UnitPeriod, UnitPrice: price, Amount: amount,
	}
	if amount < 0 { // a price is never negative (EN 16931 BR-27)
		charge.Quantity = one.neg()
	}
	return charge, nil
}
