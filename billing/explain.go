package billing

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Recompute returns the amount of a charge from its inputs and the terms of its rate,
// which proves it. It fails if the inputs do not go with the terms. A charge that was
// made by hand is what it is.
func Recompute(c Charge, t Terms) (Amount, error) {
	in := c.Inputs
	switch c.Kind {
	case ChargeSetup:
		return t.Setup, nil
	case ChargePeriod, ChargeProration:
		if in.First < 0 || in.Days < 1 || in.First+in.Days > in.Of {
			return 0, fmt.Errorf("charge %s: %d days after %d of a period of %d", c.ID, in.Days, in.First, in.Of)
		}
		amount, err := t.price(in.First, in.Days, in.Of)
		if c.Kind == ChargeProration {
			amount = in.Before - amount
		}
		return amount, err
	case ChargeUsage, ChargeAdjustment:
		u, err := usageTerms(c, t)
		if err != nil {
			return 0, err
		}
		allowance, err := u.allowanceOf(in, t.WholePeriods)
		if err != nil {
			return 0, err
		}
		if allowance != in.Allowance {
			return 0, fmt.Errorf("charge %s: its allowance is %d, by its terms it is %d", c.ID, in.Allowance, allowance)
		}
		cost, err := u.costOf(c.Currency, in)
		return cost - in.Before, err
	}
	return c.Amount, nil
}

func usageTerms(c Charge, t Terms) (*UsageTerms, error) {
	if i := c.Inputs.Terms; i >= 0 && i < len(t.Usage) && t.Usage[i].Metric == c.Inputs.Metric {
		return &t.Usage[i], nil
	}
	return nil, fmt.Errorf("charge %s is for usage of %s, which its rate does not charge for", c.ID, c.Inputs.Metric)
}

// Explain writes how a charge was computed from its inputs and the terms of its rate, a
// step a line.
func Explain(c Charge, t Terms) (string, error) {
	amount, err := Recompute(c, t)
	if err != nil {
		return "", err
	}
	var w strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	in, money := c.Inputs, func(a Amount) string { return c.Currency.Format(a) }
	switch c.Kind {
	case ChargeSetup:
		line("set-up fee %s", money(t.Setup))
	case ChargePeriod, ChargeProration:
		line("price of a period %s", money(t.Price))
		switch {
		case t.WholePeriods:
			line("whole periods are charged, once")
		case in.Days != in.Of:
			before, _ := t.upTo(in.First, in.Of) // Recompute did the same
			until, _ := t.upTo(in.First+in.Days, in.Of)
			line("first %d of %d days: %s * %d / %d = %s", in.First+in.Days, in.Of, money(t.Price), in.First+in.Days, in.Of, money(until))
			if in.First > 0 {
				line("less the first %d: %s * %d / %d = %s", in.First, money(t.Price), in.First, in.Of, money(before))
			}
		}
		if c.Kind == ChargeProration {
			if in.Before != 0 {
				line("less %s that had been given back before", money(in.Before))
			}
			line("given back")
		}
	case ChargeUsage, ChargeAdjustment:
		u := &t.Usage[in.Terms]
		if err := explainUsage(line, c, u); err != nil {
			return "", err
		}
	}
	line("amount %s %s", money(amount), c.Currency)
	return w.String(), nil
}

func explainUsage(line func(string, ...any), c Charge, u *UsageTerms) error {
	in := c.Inputs
	for _, d := range in.Usage {
		line("%s: %s", d.Day, u.quantity(d.Of(in.Metric)))
	}
	used, err := sumOf(in.Usage, in.Metric)
	if err != nil {
		return err
	}
	line("used %s", u.quantity(used))
	if in.Prior > 0 {
		line("after %s before in the period", u.quantity(in.Prior))
	}
	if in.Days != in.Of {
		line("allowance for %d of %d days", in.Days, in.Of)
	}
	for _, k := range in.Carried {
		line("carried over %s", u.quantity(k.Quantity))
	}
	line("free of charge %s", u.quantity(in.Allowance))
	billable, err := u.billable(in.Prior+used, in.Allowance)
	if err != nil {
		return err
	}
	line("beyond it %s", u.quantity(billable))
	low := uint64(0)
	for _, tier := range u.Tiers {
		if billable <= low {
			break
		}
		part := min(billable, tier.end()) - low
		line("%s at %s for each %s", u.quantity(part), tier.Price, u.unit())
		low = tier.end()
	}
	if u.Minimum > 0 {
		line("at least %s", c.Currency.Format(u.Minimum))
	}
	if in.Before != 0 {
		line("charged before %s", c.Currency.Format(in.Before))
	}
	return nil
}

// metricNames stand on invoices where the terms have no name.
var metricNames = map[Metric]string{
	MetricSeconds: "online time", MetricOctets: "traffic", MetricUpload: "upload", MetricDownload: "download",
}

// describe writes the line of a usage charge on an invoice.
func (r *usageRater) describe(c Charge) (string, error) {
	name := r.terms.Name
	if name == "" {
		name = metricNames[r.terms.Metric]
	}
	used, err := sumOf(c.Inputs.Usage, c.Inputs.Metric)
	if err != nil {
		return "", err
	}
	s := fmt.Sprintf("%s, %s: %s", r.rate.PlanName, name, r.terms.quantity(used))
	switch {
	case c.Kind == ChargeAdjustment:
		s += ", records that came late"
	case r.rate.Terms.Prepaid == Postpaid && c.Inputs.Allowance > 0:
		s += ", " + r.terms.quantity(c.Inputs.Allowance) + " included"
	}
	return s, nil
}

// itemise states a usage charge as a quantity at a price, where it is that: in one tier,
// above the minimum, and a quantity of at most six decimals gives the amount.
func (c *Charge) itemise(u *UsageTerms) {
	used, _ := sumOf(c.Inputs.Usage, c.Inputs.Metric) // it was added up before
	from, err1 := u.billable(c.Inputs.Prior, c.Inputs.Allowance)
	to, err2 := u.billable(c.Inputs.Prior+used, c.Inputs.Allowance)
	if err1 != nil || err2 != nil {
		return
	}
	i := slices.IndexFunc(u.Tiers, func(t Tier) bool { return from < t.end() })
	if i < 0 || to > u.Tiers[i].end() {
		return
	}
	text := new(big.Rat).SetFrac(new(big.Int).SetUint64(to-from), new(big.Int).SetUint64(u.Per)).FloatString(6)
	quantity, err := ParseDecimal(text)
	if err != nil {
		return
	}
	if amount, err := u.Tiers[i].Price.times(c.Currency, quantity); err == nil && amount == c.Amount {
		c.Quantity, c.Unit, c.UnitPrice = quantity, u.unit(), u.Tiers[i].Price
	}
}

// unit is a name for a number of octets or seconds.
type unit struct {
	name  string // as Charge.Unit has it
	short string
	size  uint64
}

// Units, the largest first.
var (
	binaryUnits  = []unit{{"TiB", "TiB", 1 << 40}, {"GiB", "GiB", 1 << 30}, {"MiB", "MiB", 1 << 20}, {"KiB", "KiB", 1 << 10}, {"byte", "B", 1}}
	decimalUnits = []unit{{"TB", "TB", 1e12}, {"GB", "GB", 1e9}, {"MB", "MB", 1e6}, {"kB", "kB", 1e3}, {"byte", "B", 1}}
	secondUnits  = []unit{{"hour", "h", 3600}, {"minute", "min", 60}, {"second", "s", 1}}
)

// units returns those that go with what the price is for.
func (u *UsageTerms) units() []unit {
	switch {
	case u.Metric == MetricSeconds:
		return secondUnits
	case u.Per%1000 == 0:
		return decimalUnits
	}
	return binaryUnits
}

// unit names what a price is for: GiB, 100 MB, hour.
func (u *UsageTerms) unit() string {
	units := u.units()
	i := slices.IndexFunc(units, func(unit unit) bool { return u.Per%unit.size == 0 })
	if n := u.Per / units[i].size; n != 1 {
		return fmt.Sprintf("%d %s", n, units[i].name)
	}
	return units[i].name
}

// quantity writes octets or seconds in the largest unit that they are one of, with at
// most three decimals.
func (u *UsageTerms) quantity(n uint64) string {
	units := u.units()
	i := slices.IndexFunc(units, func(unit unit) bool { return n >= unit.size })
	if i < 0 {
		i = len(units) - 1
	}
	s := new(big.Rat).SetFrac(new(big.Int).SetUint64(n), new(big.Int).SetUint64(units[i].size)).FloatString(3)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".") + " " + units[i].short
}
