package document

import (
	"math/big"
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
	return strings.TrimSpace(l.number(quantity) + " " + l.unit(line.Unit, quantity))
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

// ublText writes an amount with at most two decimals, which is all that EN 16931 takes
// (BR-DEC); ok says whether it has no more.
func ublText(c billing.Currency, a billing.Amount) (text string, ok bool) {
	text = c.Format(a)
	if c.Digits() <= 2 {
		return text, true
	}
	return strings.CutSuffix(text, "0")
}

// lineQuantity returns the quantity, its unit and the price for one of a line, such
// that their product is the line's net amount; exact says whether they are the line's
// own. The price is not negative.
func lineQuantity(c billing.Currency, line *billing.InvoiceLine) (quantity, unit, price string, exact bool) {
	if code := unitCode(line.Unit); code != "" && line.Quantity.Sign() > 0 {
		net, ok := new(big.Rat).SetString(c.Format(line.Net))
		q, ok1 := new(big.Rat).SetString(line.Quantity.String())
		p, ok2 := new(big.Rat).SetString(line.UnitPrice.String())
		if ok && ok1 && ok2 && q.Mul(q, p).Cmp(net) == 0 {
			if line.UnitPrice.Sign() < 0 {
				return "-" + line.Quantity.String(), code, strings.TrimPrefix(priceText(c, line.UnitPrice), "-"), true
			}
			return line.Quantity.String(), code, priceText(c, line.UnitPrice), true
		}
	}
	if line.Net < 0 {
		return "-1", "C62", strings.TrimPrefix(c.Format(line.Net), "-"), false
	}
	return "1", "C62", c.Format(line.Net), false
}
