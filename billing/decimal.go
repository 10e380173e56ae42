package billing

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
)

// Decimal is an exact decimal number: a rate, or a percentage. The zero value is 0.
// Two decimals are equal (==) if they are the same number.
type Decimal struct {
	text string // without needless zeros; empty: 0
}

var one = Decimal{"1"}

// Decimals have at most so many digits before and after the point.
const (
	maxWhole    = 15
	maxFraction = 12
)

// ParseDecimal reads a number such as 0.0125 or -7. There is no exponent and no
// thousands separator.
func ParseDecimal(s string) (Decimal, error) {
	fail := func() (Decimal, error) {
		return Decimal{}, fmt.Errorf("%q is no decimal number: want one such as 0.0125, with at most %d digits before the point and %d after it", s, maxWhole, maxFraction)
	}
	body, negative := strings.CutPrefix(s, "-")
	whole, fraction, point := strings.Cut(body, ".")
	if whole == "" || point && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return fail()
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if len(whole) > maxWhole || len(fraction) > maxFraction {
		return fail()
	}
	if whole == "" && fraction == "" {
		return Decimal{}, nil
	}
	text := whole
	if whole == "" {
		text = "0"
	}
	if fraction != "" {
		text += "." + fraction
	}
	if negative {
		text = "-" + text
	}
	return Decimal{text}, nil
}

// String writes the number without needless zeros.
func (d Decimal) String() string {
	if d.text == "" {
		return "0"
	}
	return d.text
}

// MarshalText implements encoding.TextMarshaler.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDecimal(string(text))
	return err
}

// Sign returns -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.text == "":
		return 0
	case d.text[0] == '-':
		return -1
	}
	return 1
}

func (d Decimal) neg() Decimal {
	if d.text == "" {
		return d
	}
	if text, negative := strings.CutPrefix(d.text, "-"); negative {
		return Decimal{text}
	}
	return Decimal{"-" + d.text}
}

func (d Decimal) rat() *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		panic("billing: a decimal that does not parse") // only ParseDecimal makes them
	}
	return r
}

// Of returns quantity units at a price of d currency units for each per units: the
// charge for 1,500 MiB at 0.01 EUR for each 100 MiB. This and all other rounding is
// round's.
func (d Decimal) Of(c Currency, quantity, per uint64) (Amount, error) {
	if per == 0 {
		return 0, errors.New("a price for no units")
	}
	return round(d.exact(c, quantity, per))
}

// exact is Of in minor units, not rounded.
func (d Decimal) exact(c Currency, quantity, per uint64) *big.Rat {
	r := d.rat()
	r.Mul(r, new(big.Rat).SetFrac(new(big.Int).SetUint64(quantity), new(big.Int).SetUint64(per)))
	return r.Mul(r, new(big.Rat).SetInt64(c.minor()))
}

// times returns the price d of a quantity.
func (d Decimal) times(c Currency, quantity Decimal) (Amount, error) {
	r := new(big.Rat).Mul(d.rat(), quantity.rat())
	return round(r.Mul(r, new(big.Rat).SetInt64(c.minor())))
}

// Percent returns d percent of an amount.
func (d Decimal) Percent(a Amount) (Amount, error) {
	r := d.rat()
	return round(r.Mul(r, big.NewRat(int64(a), 100)))
}

// share returns part/whole of an amount.
func share(a Amount, part, whole int64) (Amount, error) {
	r := big.NewRat(part, whole)
	return round(r.Mul(r, new(big.Rat).SetInt64(int64(a))))
}

// round is the one rule of rounding: to the nearest minor unit, halves away from zero.
func round(r *big.Rat) (Amount, error) {
	twice := new(big.Int).Lsh(new(big.Int).Abs(r.Num()), 1)
	twice.Add(twice, r.Denom())
	n := twice.Quo(twice, new(big.Int).Lsh(r.Denom(), 1))
	if !n.IsInt64() || n.Int64() == math.MinInt64 {
		return 0, ErrOverflow
	}
	if r.Sign() < 0 {
		return Amount(-n.Int64()), nil
	}
	return Amount(n.Int64()), nil
}
