package document

import (
	"strconv"
	"strings"

	"radiusd/billing"
)

func decimalOf(n int) string { return strconv.Itoa(n) }

// quantityText writes the quantity of a line with its unit. A line without a quantity
// is for one of what it says.
func quantityText(l *locale, line *billing.InvoiceLine) string {
	quantity := line.Quantity.String()
	if line.Quantity == (billing.Decimal{}) {
		quantity = "1"
	}
	return strings.TrimSpace(l.number(quantity) + " " + l.unit(line.Unit))
}

// priceText writes a price with at least the decimals of the currency.
func priceText(c billing.Currency, price billing.Decimal) string {
	whole, fraction, _ := strings.Cut(price.String(), ".")
	for len(fraction) < c.Digits() {
		fraction += "0"
	}
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
