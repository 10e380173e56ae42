package billing

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// AllowanceUse is what was used of an allowance.
type AllowanceUse struct {
	PlanName        string
	Period          Span // of which the allowance is, or was a part of it sold
	Metric          Metric
	Used, Allowance uint64
}

// AllowancesOn returns what one of the account's subscriptions has used of its allowances in
// the period that contains a day, until that ended, as it is charged for: the parts of others
// are not its own. What was carried over is not counted, terms for certain hours are left out,
// and in a trial there is none. The account must have been read for a run for the day.
func (a *Account) AllowancesOn(subscription uuid.UUID, on Date) ([]AllowanceUse, error) {
	all := slices.Concat(a.Subscriptions, a.Former)
	i := slices.IndexFunc(all, func(s Subscription) bool { return s.ID == subscription })
	if i < 0 {
		return nil, fmt.Errorf("subscription %s is not the account's", subscription)
	}
	b := biller{s: &all[i], account: a, sold: a.Subscriptions}
	next := on.AddDays(1)
	pieces, err := b.pieces(on, next)
	if err != nil || len(pieces) == 0 {
		return nil, err
	}
	p := pieces[0]
	days := p.span.cut(Span{To: next})
	var list []AllowanceUse
	for i := range p.rate.Terms.Usage {
		u := &p.rate.Terms.Usage[i]
		if u.Allowance == 0 || u.Hours != "" {
			continue
		}
		own, err := b.own(u, days)
		if err != nil {
			return nil, err
		}
		used, err := sumOf(own, u.Metric)
		if err != nil {
			return nil, err
		}
		list = append(list, AllowanceUse{PlanName: p.rate.PlanName, Period: p.period, Metric: u.Metric, Used: used,
			Allowance: u.allowance(p.allowanceDays(), p.period.Days(), p.rate.Terms.WholePeriods)})
	}
	return list, nil
}
