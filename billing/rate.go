package billing

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"sort"

	"github.com/google/uuid"
)

// Usage is rated as a whole: what the days of a period from x to z cost is
//
//	cost(used until z) - cost(used until x),
//
// where cost knows the allowance, the tiers and all else. Postpaid, x and z are the
// ends of the period, or of the part of it that the rate was in force; prepaid, they are
// the ends of a day. Late records change what was used, and the difference to what was
// charged is an adjustment. So whatever was charged when, it adds up to the cost of all
// that was used.

// cost returns what usage of a period costs.
func (u *UsageTerms) cost(c Currency, used, allowance uint64) (Amount, error) {
	billable, err := u.billable(used, allowance)
	if err != nil || billable == 0 {
		return 0, err
	}
	sum := new(big.Rat)
	low := uint64(0)
	for _, tier := range u.Tiers {
		high := tier.end()
		if billable <= low {
			break
		}
		sum.Add(sum, tier.Price.exact(c, min(billable, high)-low, u.Per))
		low = high
	}
	amount, err := round(sum)
	return max(amount, u.Minimum), err
}

// end returns where the tier ends, however large that is.
func (t Tier) end() uint64 {
	if t.UpTo == 0 {
		return math.MaxUint64
	}
	return t.UpTo
}

// billable returns the usage beyond the allowance, in whole steps.
func (u *UsageTerms) billable(used, allowance uint64) (uint64, error) {
	if used <= allowance {
		return 0, nil
	}
	beyond, step := used-allowance, max(u.Step, 1)
	if odd := beyond % step; odd != 0 {
		if beyond > math.MaxUint64-(step-odd) {
			return 0, ErrOverflow
		}
		beyond += step - odd
	}
	return beyond, nil
}

// allowance returns what is free in days of a period.
func (u *UsageTerms) allowance(days, of int, whole bool) uint64 {
	if whole || days >= of {
		return u.Allowance
	}
	high, low := bits.Mul64(u.Allowance, uint64(days))
	quotient, remainder := bits.Div64(high, low, uint64(of)) // high < of, as days < of
	if remainder*2 >= uint64(of) {
		quotient++
	}
	return quotient
}

// carryOut returns what is left of an allowance after a period for the next one: what
// was carried into it is used first, the oldest before the newer.
func (u *UsageTerms) carryOut(in Inputs) []Carried {
	if u.Rollover == 0 {
		return nil
	}
	used := in.Prior
	for _, d := range in.Usage {
		used += d.Of(in.Metric)
	}
	own := in.Allowance
	var out []Carried
	for _, c := range in.Carried {
		own -= c.Quantity
		taken := min(used, c.Quantity)
		used -= taken
		if left := c.Quantity - taken; left > 0 && c.Periods > 1 {
			out = append(out, Carried{left, c.Periods - 1})
		}
	}
	if used < own {
		out = append(out, Carried{own - used, u.Rollover})
	}
	return out
}

// Of returns what was used of a metric.
func (d DayUsage) Of(m Metric) uint64 {
	switch m {
	case MetricSeconds:
		return d.Seconds
	case MetricUpload:
		return d.Upload
	case MetricDownload:
		return d.Download
	}
	return d.Upload + d.Download
}

// sumOf adds up days.
func sumOf(days []DayUsage, m Metric) (sum uint64, err error) {
	for _, d := range days {
		for _, part := range []uint64{d.Upload, d.Download, d.Seconds} {
			if part > math.MaxUint64/4 {
				return 0, fmt.Errorf("usage on %s: %w", d.Day, ErrOverflow)
			}
		}
		var carry uint64
		if sum, carry = bits.Add64(sum, d.Of(m), 0); carry != 0 {
			return 0, fmt.Errorf("usage until %s: %w", d.Day, ErrOverflow)
		}
	}
	return sum, nil
}

// in returns the days of usage, which is in order, that lie in a span.
func (s Span) in(usage []DayUsage) []DayUsage {
	low := sort.Search(len(usage), func(i int) bool { return !usage[i].Day.Before(s.From) })
	high := sort.Search(len(usage), func(i int) bool { return !usage[i].Day.Before(s.To) })
	return usage[low:high:high]
}

// usageSlices returns the parts of a piece that are charged apart.
func (p piece) usageSlices() []Span {
	if p.rate.Terms.Prepaid == Postpaid {
		return []Span{p.span}
	}
	var days []Span
	for d := p.span.From; d.Before(p.span.To); d = d.AddDays(1) {
		days = append(days, Span{d, d.AddDays(1)})
	}
	return days
}

// allowanceDays returns the days of the period that the allowance is for. Prepaid, it
// cannot become less by an end that comes after usage was charged.
func (p piece) allowanceDays() int {
	if p.rate.Terms.Prepaid != Postpaid {
		return p.span.From.DaysUntil(p.period.To)
	}
	return p.span.Days()
}

// usageFrom returns from which day pieces are rated, for the first time or again.
func (s *Subscription) usageFrom(o RunOptions) Date {
	from := s.RatedUntil
	if from.IsZero() {
		from = s.phases()[0].span.From
	}
	if again := o.AsOf.AddDays(-o.LookBack); again.Before(from) {
		return again
	}
	return from
}

// UsageSince returns the day from which Compute needs the usage of these subscriptions,
// and the charges for it; no day: they are charged for none. Rates are as in Account.
func UsageSince(subscriptions []Subscription, rates map[uuid.UUID]Rate, o RunOptions) Date {
	var since Date
	add := func(d Date) {
		if since.IsZero() || d.Before(since) {
			since = d
		}
	}
	a := &Account{Subscriptions: subscriptions, Rates: rates}
	for i := range subscriptions {
		s := &subscriptions[i]
		b := biller{s: s, account: a}
		days := Span{s.usageFrom(o), o.AsOf.AddDays(1)}
		for _, p := range s.phases() {
			if days.cut(p.span).empty() {
				continue
			}
			rate, err := b.rate(p.rateID)
			if err != nil {
				add(p.span.From) // Compute tells of it
				continue
			}
			if first := p.pieces(rate, days.From, days.To)[0]; len(rate.Terms.Usage) > 0 {
				add(first.span.From)
				if before, ok := p.before(first); ok && slices.ContainsFunc(rate.Terms.Usage, func(u UsageTerms) bool { return u.Rollover > 0 }) {
					add(before.span.From)
				}
			}
		}
		if next, ok := rates[s.NextRateID]; ok && len(next.Terms.Usage) > 0 && !o.AsOf.Before(s.NextFrom) {
			add(s.NextFrom)
		}
	}
	return since
}

// before returns the piece of the phase before another one.
func (p phase) before(next piece) (piece, bool) {
	if !p.span.From.Before(next.span.From) {
		return piece{}, false
	}
	return p.pieces(next.rate, next.span.From.AddDays(-1), next.span.From)[0], true
}

// HoursOf returns the texts of UsageTerms.Hours that Account.Hours must be cut by, those of
// former subscriptions included where there is usage to be charged.
func HoursOf(subscriptions []Subscription, rates map[uuid.UUID]Rate) []string {
	var hours []string
	add := func(r Rate) {
		for _, u := range r.Terms.Usage {
			if u.Hours != "" && !slices.Contains(hours, u.Hours) {
				hours = append(hours, u.Hours)
			}
		}
	}
	for _, s := range subscriptions {
		add(s.Rate)
		add(rates[s.NextRateID])
		for _, p := range s.Past {
			add(rates[p.RateID])
		}
	}
	return hours
}
