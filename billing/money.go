package billing

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// MaxAmount bounds amounts that people enter, far beyond what is sold, so that sums stay in
// 64 bits.
const MaxAmount = Amount(1e14)

// Amount is money in minor units of a currency that is known from where it stands:
// 1999 is 19.99 EUR, 1999 JPY and 1.999 KWD.
type Amount int64

// ErrOverflow means that a sum of money has no place in 64 bits, which no honest
// bill reaches.
var ErrOverflow = errors.New("the amount is too large")

// Add returns a + b, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	sum := a + b
	if (b > 0 && sum < a) || (b < 0 && sum > a) {
		return 0, ErrOverflow
	}
	return sum, nil
}

func (a Amount) rat() *big.Rat { return new(big.Rat).SetInt64(int64(a)) }

// Currency is an ISO 4217 code, such as EUR.
type Currency string

// digits are the currencies of ISO 4217 whose minor unit is not a hundredth.
var digits = map[Currency]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
	"UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// ParseCurrency accepts three capital letters.
func ParseCurrency(s string) (Currency, error) {
	if len(s) != 3 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", fmt.Errorf("%q is no currency: want an ISO 4217 code, such as EUR", s)
	}
	return Currency(s), nil
}

// Digits returns how many decimals the currency's amounts are written with.
func (c Currency) Digits() int {
	if n, ok := digits[c]; ok {
		return n
	}
	return 2
}

// minor returns how many minor units one unit of the currency has.
func (c Currency) minor() int64 {
	n := int64(1)
	for range c.Digits() {
		n *= 10
	}
	return n
}

// Format writes an amount as 1234.56, without the currency, with a minus sign if it is
// negative.
func (c Currency) Format(a Amount) string {
	n := c.Digits()
	sign, u := "", uint64(a)
	if a < 0 {
		sign, u = "-", -u
	}
	s := fmt.Sprintf("%0*d", n+1, u)
	if n == 0 {
		return sign + s
	}
	return sign + s[:len(s)-n] + "." + s[len(s)-n:]
}

// Parse reads an amount as Format writes it. Fewer decimals than the currency has are
// taken, more are not.
func (c Currency) Parse(s string) (Amount, error) {
	d, err := ParseDecimal(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no amount of money: want one such as %s", s, c.Format(Amount(1234)))
	}
	minor := new(big.Rat).Mul(d.rat(), new(big.Rat).SetInt64(c.minor()))
	if !minor.IsInt() {
		return 0, fmt.Errorf("%s has %d decimals, %q has more", c, c.Digits(), s)
	}
	if !minor.Num().IsInt64() || minor.Num().Int64() == math.MinInt64 {
		return 0, ErrOverflow
	}
	return Amount(minor.Num().Int64()), nil
}

// decimal returns an amount as units of the currency.
func (c Currency) decimal(a Amount) (Decimal, error) {
	d, err := ParseDecimal(c.Format(a))
	if err != nil {
		return Decimal{}, ErrOverflow // more than 15 digits
	}
	return d, nil
}
