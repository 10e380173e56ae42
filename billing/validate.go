package billing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds of terms, far beyond what is sold, so that sums stay in 64 bits.
const (
	maxPrice    = Amount(1e14)
	maxDays     = 3660
	maxCount    = 1200 // of an interval
	maxRollover = 120
)

// problems gathers what is wrong with something, in words for an operator.
type problems []error

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, &FieldError{field, fmt.Sprintf(format, args...)})
}

// need adds a problem unless ok.
func (p *problems) need(ok bool, field, format string, args ...any) {
	if !ok {
		p.add(field, format, args...)
	}
}

func (p *problems) price(name string, a Amount, c Currency) {
	p.need(a >= 0, name, "%s is %s: it must not be negative", name, c.Format(a))
	p.need(a <= maxPrice, name, "%s is %s: it must be at most %s", name, c.Format(a), c.Format(maxPrice))
}

func (p *problems) between(name string, n, low, high int) {
	p.need(low <= n && n <= high, name, "%s is %d: it must be from %d to %d", name, n, low, high)
}

// Validate returns all that is wrong with terms in a currency, joined. It does not read
// UsageTerms.Hours, whose form is the business of whoever cuts usage by it: the store.
func (t Terms) Validate(c Currency) error {
	var p problems
	if _, err := ParseCurrency(string(c)); err != nil {
		p.add("currency", "%v", err)
	}
	p.price("price", t.Price, c)
	p.price("setup", t.Setup, c)
	p.need(slices.Contains([]IntervalUnit{Day, Week, Month, Quarter, Year}, t.Every.Unit),
		"every", "every has the unit %q: want day, week, month, quarter or year", t.Every.Unit)
	p.need(1 <= t.Every.Count && t.Every.Count <= maxCount, "every", "every has a count that is %d: it must be from 1 to %d", t.Every.Count, maxCount)
	p.between("billing_day", t.BillingDay, 0, 31)
	p.need(t.BillingDay == 0 || t.Every.months() > 0, "billing_day", "billing_day goes with periods of months, quarters or years, not with those of %ss", t.Every.Unit)
	p.need(t.Timing == InAdvance || t.Timing == InArrears, "timing", "timing is %q: want %s or %s", t.Timing, InAdvance, InArrears)
	p.between("trial_days", t.TrialDays, 0, maxDays)
	p.between("due_days", t.DueDays, 0, maxDays)
	p.need(!t.TaxIncluded || t.TaxClass != "", "tax_included", "tax_included needs a tax_class, which says what tax is included")
	t.validatePrepaid(&p)
	for i, u := range t.Usage {
		for _, err := range FieldErrors(u.validate(c)) {
			p.add(fmt.Sprintf("usage[%d].%s", i, err.Field), "usage %d: %s", i+1, err.Message)
		}
	}
	return errors.Join(p...)
}

func (t Terms) validatePrepaid(p *problems) {
	switch t.Prepaid {
	case Postpaid:
		return
	case PrepaidDaily:
		p.need(!t.WholePeriods, "whole_periods", "whole_periods contradicts prepaid daily, which charges by the day")
	case PrepaidUsage:
		p.need(t.Price == 0, "price", "price must be 0 with prepaid usage, which charges for usage alone")
		p.need(len(t.Usage) > 0, "usage", "prepaid usage needs usage terms")
	default:
		p.add("prepaid", "prepaid is %q: want %s, %s or nothing", t.Prepaid, PrepaidDaily, PrepaidUsage)
		return
	}
	p.need(t.Timing != InArrears, "timing", "timing must be %s for a prepaid plan", InAdvance)
	p.need(t.TaxClass == "" || t.TaxIncluded, "tax_included", "the prices of a prepaid plan must include the tax, as they are what is taken from the credit")
}

func (u UsageTerms) validate(c Currency) error {
	var p problems
	p.need(slices.Contains([]Metric{MetricSeconds, MetricOctets, MetricUpload, MetricDownload}, u.Metric),
		"metric", "metric is %q: want seconds, octets, upload or download", u.Metric)
	p.between("rollover", u.Rollover, 0, maxRollover)
	p.need(u.Rollover <= 0 || u.Allowance > 0, "rollover", "rollover needs an allowance")
	p.need(u.Per > 0, "per", "per is 0: want how many %s a price is for", u.Metric)
	p.price("minimum", u.Minimum, c)
	p.need(len(u.Tiers) > 0, "tiers", "tiers are missing: want at least one, with a price")
	for i, tier := range u.Tiers {
		last := i == len(u.Tiers)-1
		p.need(tier.Price.Sign() >= 0, "tiers", "the price of tier %d is %s: it must not be negative", i+1, tier.Price)
		switch {
		case last:
			p.need(tier.UpTo == 0, "tiers", "tier %d is the last one: it must not have an up_to, or usage beyond it has no price", i+1)
		case tier.UpTo == 0:
			p.add("tiers", "tier %d needs an up_to: only the last one has no end", i+1)
		case i > 0:
			p.need(tier.UpTo > u.Tiers[i-1].UpTo, "tiers", "tier %d ends at %d: it must end beyond the one before it", i+1, tier.UpTo)
		}
	}
	return errors.Join(p...)
}

// categories are those of UNCL 5305 that EN 16931 takes, and whether there is tax and
// whether a reason is required that there is none.
var categories = map[string]struct{ taxed, reason bool }{
	"S": {taxed: true}, "L": {taxed: true}, "M": {taxed: true},
	"Z": {}, "E": {reason: true}, "AE": {reason: true}, "K": {reason: true}, "G": {reason: true}, "O": {reason: true},
}

// Validate returns all that is wrong with a tax rate, joined.
func (r TaxRate) Validate() error {
	var p problems
	p.need(strings.TrimSpace(r.Class) != "", "class", "class is missing: want the name by which plans choose the tax, such as standard")
	p.need(strings.TrimSpace(r.Name) != "", "name", "name is missing: want what stands on the invoice, such as VAT")
	p.need(!r.From.IsZero(), "from", "from is missing: want the first day on which the rate holds")
	p.need(r.Percent.Sign() >= 0 && r.Percent.rat().Cmp(hundred) <= 0, "percent", "percent is %s: it must be from 0 to 100", r.Percent)
	category, ok := categories[r.Category]
	if !ok {
		p.add("category", "category is %q: want S (standard rate), Z (zero rate), E (exempt), AE (reverse charge), K (intra-community supply), G (export), O (not subject to tax), L or M (Canary Islands, Ceuta and Melilla)", r.Category)
		return errors.Join(p...)
	}
	p.need(category.taxed || r.Percent.Sign() == 0, "percent", "percent is %s: in category %s it is 0", r.Percent, r.Category)
	p.need(r.Category != "S" || r.Percent.Sign() != 0, "percent", "percent is 0: in category S there is tax; category Z has none")
	p.need(!category.reason || r.ExemptionReason != "", "exemption_reason", "exemption_reason is missing: category %s needs one", r.Category)
	p.need(category.reason || r.ExemptionReason == "", "exemption_reason", "exemption_reason does not go with category %s", r.Category)
	return errors.Join(p...)
}
