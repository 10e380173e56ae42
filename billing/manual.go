package billing

import "github.com/google/uuid"

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
