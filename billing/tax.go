package billing

import (
	"cmp"
	"errors"
	"math/big"
	"slices"
)

var hundred = big.NewRat(100, 1)

// outOfScope is the category of what is outside of the scope of the tax (UNCL 5305).
const outOfScope = "O"

// Lines without a tax class are.
var untaxed = TaxRate{Name: "Not taxed", Category: outOfScope, ExemptionReason: "Not subject to tax"}

// TaxOn returns the rate of a tax class that holds on a day: the one with the latest
// From that is not after it.
func TaxOn(rates []TaxRate, class string, day Date) (TaxRate, error) {
	if class == "" {
		return untaxed, nil
	}
	found := -1
	for i, r := range rates {
		if r.Class == class && !day.Before(r.From) && (found < 0 || rates[found].From.Before(r.From)) {
			found = i
		}
	}
	if found < 0 {
		return TaxRate{}, Refuse(CodeTaxRate, "tax class %q has no rate on %s: add one", class, day)
	}
	return rates[found], nil
}

// tax computes the taxes and totals of an invoice from its lines, of which Gross (the
// price, with the tax or without it), TaxIncluded and TaxClass are set. For each rate the
// tax is rounded once on the sum (EN 16931 BR-CO-17), and where there are prices with
// the tax in them, once on the sum of these: tax = gross * p / (100 + p). Their nets are
// apportioned so that they add up.
func (i *Invoice) tax(rates []TaxRate, day Date) error {
	type group struct{ plain, included []*InvoiceLine }
	var groups []group
	i.Taxes, i.Net, i.Tax = nil, 0, 0
	for n := range i.Lines {
		line := &i.Lines[n]
		rate, err := TaxOn(rates, line.TaxClass, day)
		if err != nil {
			return err
		}
		line.Net, line.TaxCategory, line.TaxPercent = line.Gross, rate.Category, rate.Percent
		g := slices.IndexFunc(i.Taxes, func(t TaxTotal) bool { return t.Category == rate.Category && t.Percent == rate.Percent })
		if g < 0 {
			g = len(groups)
			groups = append(groups, group{})
			i.Taxes = append(i.Taxes, TaxTotal{Name: rate.Name, Category: rate.Category, Percent: rate.Percent, ExemptionReason: rate.ExemptionReason})
		}
		if line.TaxIncluded {
			groups[g].included = append(groups[g].included, line)
		} else {
			groups[g].plain = append(groups[g].plain, line)
		}
	}
	for n, g := range groups {
		t := &i.Taxes[n]
		if err := t.addPlain(g.plain); err != nil {
			return err
		}
		if err := t.addIncluded(g.included); err != nil {
			return err
		}
		var err1, err2 error
		i.Net, err1 = i.Net.Add(t.Net)
		i.Tax, err2 = i.Tax.Add(t.Tax)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
	}
	slices.SortStableFunc(i.Taxes, func(a, b TaxTotal) int {
		return cmp.Or(b.Percent.rat().Cmp(a.Percent.rat()), cmp.Compare(a.Category, b.Category))
	})
	var err error
	i.Total, err = i.Net.Add(i.Tax)
	return err
}

// TaxedOn reports whether the invoice's taxes are those that its lines have on a day, as
// a draft's may not be that is issued on another day than it was made for.
func (i *Invoice) TaxedOn(rates []TaxRate, day Date) (bool, error) {
	other := Invoice{Lines: slices.Clone(i.Lines)}
	if err := other.tax(rates, day); err != nil {
		return false, err
	}
	return slices.Equal(i.Taxes, other.Taxes) && slices.Equal(i.Lines, other.Lines), nil
}

// addPlain adds lines whose prices are without the tax.
func (t *TaxTotal) addPlain(lines []*InvoiceLine) error {
	sum, err := grossOf(lines)
	if err != nil {
		return err
	}
	tax, err := t.Percent.Percent(sum)
	return errors.Join(err, t.add(sum, tax))
}

// addIncluded adds lines whose prices contain the tax, and gives them their nets.
func (t *TaxTotal) addIncluded(lines []*InvoiceLine) error {
	sum, err := grossOf(lines)
	if err != nil {
		return err
	}
	whole := new(big.Rat).Add(hundred, t.Percent.rat())
	part := new(big.Rat).Quo(t.Percent.rat(), whole)
	tax, err := round(part.Mul(part, sum.rat()))
	if err != nil {
		return err
	}
	nets := make([]*big.Rat, len(lines))
	for n, line := range lines {
		nets[n] = new(big.Rat).Quo(hundred, whole)
		nets[n].Mul(nets[n], line.Gross.rat())
	}
	for n, net := range apportion(sum-tax, nets) {
		lines[n].Net = net
	}
	return t.add(sum-tax, tax)
}

func (t *TaxTotal) add(net, tax Amount) error {
	var err1, err2 error
	t.Net, err1 = t.Net.Add(net)
	t.Tax, err2 = t.Tax.Add(tax)
	return errors.Join(err1, err2)
}

func grossOf(lines []*InvoiceLine) (sum Amount, err error) {
	for _, line := range lines {
		if sum, err = sum.Add(line.Gross); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// apportion rounds parts so that they add up to total, which is their sum rounded: all
// down, and then those up whose remainder is largest, of equal ones the first.
func apportion(total Amount, parts []*big.Rat) []Amount {
	amounts := make([]Amount, len(parts))
	remainders := make([]*big.Rat, len(parts))
	order := make([]int, len(parts))
	for i, p := range parts {
		floor := new(big.Int).Div(p.Num(), p.Denom()) // down, also below zero
		amounts[i] = Amount(floor.Int64())
		remainders[i] = new(big.Rat).Sub(p, new(big.Rat).SetInt(floor))
		order[i] = i
		total -= amounts[i]
	}
	slices.SortStableFunc(order, func(a, b int) int { return remainders[b].Cmp(remainders[a]) })
	for _, i := range order[:total] {
		amounts[i]++
	}
	return amounts
}
