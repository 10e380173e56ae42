package billing

import (
	"errors"
	"fmt"
	"slices"
)

// rateUsage charges the usage of all that is over and settled on o.AsOf, and adjusts
// what was charged before and is looked back at.
func (b *biller) rateUsage() error {
	days := Span{b.s.usageFrom(b.o), b.o.AsOf.AddDays(1)}
	pieces := make(map[int][]piece) // by phase
	phases := b.s.phases()
	until := b.s.RatedUntil // all before it is settled
	settled := true
	for i, p := range phases {
		if days.cut(p.span).empty() {
			continue
		}
		rate, err := b.rate(p.rateID)
		if err != nil {
			return err
		}
		pieces[i] = p.pieces(rate, days.From, days.To)
		for _, piece := range pieces[i] {
			for _, slice := range piece.usageSlices() {
				if settled = settled && b.settled(rate, slice); settled && until.Before(slice.To) {
					until = slice.To
				}
			}
		}
	}
	for i, p := range phases {
		if err := b.ratePhase(p, pieces[i], until); err != nil {
			return err
		}
	}
	b.s.RatedUntil = until
	return nil
}

// ratePhase rates pieces of a phase, in order, until a day.
func (b *biller) ratePhase(p phase, pieces []piece, until Date) error {
	if len(pieces) == 0 {
		return nil
	}
	rate := pieces[0].rate
	for i := range rate.Terms.Usage {
		r := usageRater{biller: b, rate: rate, index: i, terms: &rate.Terms.Usage[i], rated: b.s.RatedUntil, until: until}
		if before, ok := p.before(pieces[0]); ok {
			r.carried = r.carriedFrom(before)
		}
		for _, piece := range pieces {
			err := r.ratePiece(piece)
			if b.o.WithoutUsageAtHours && b.account.HoursErr != nil && errors.Is(err, b.account.HoursErr) {
				break
			}
			if err != nil {
				return fmt.Errorf("usage of %s: %w", r.terms.Metric, err)
			}
		}
	}
	return nil
}

// settled reports whether the usage of these days can be charged: postpaid, when late
// records have had their time, and prepaid at once, as the credit is used up now. Days
// are charged in order, so those after a change from postpaid to prepaid wait for those
// before it.
func (b *biller) settled(rate *Rate, days Span) bool {
	end := days.To
	if rate.Terms.Prepaid == Postpaid {
		end = end.AddDays(b.o.SettleDays)
	}
	return !b.o.AsOf.Before(end)
}

// usageRater rates the pieces of a phase, in order, by one of the rate's usage terms.
type usageRater struct {
	*biller
	rate    *Rate
	index   int
	terms   *UsageTerms
	rated   Date      // until when it had been rated before
	until   Date      // until when it is rated now
	carried []Carried // into the next piece
}

func (r *usageRater) ratePiece(p piece) error {
	if err := r.account.cutBy(r.terms.Hours); err != nil {
		return err
	}
	inputs := Inputs{
		RateID: r.rate.ID, Days: p.allowanceDays(), Of: p.period.Days(),
		Metric: r.terms.Metric, Terms: r.index, Carried: r.carried,
	}
	var err error
	if inputs.Allowance, err = r.terms.allowanceOf(inputs, r.rate.Terms.WholePeriods); err != nil {
		return err
	}
	for _, days := range p.usageSlices() {
		if r.until.Before(days.To) {
			break
		}
		if inputs.Usage, err = r.own(r.terms, days); err != nil {
			return err
		}
		used, err := sumOf(inputs.Usage, inputs.Metric)
		if err != nil {
			return err
		}
		if err := r.rateSlice(p, days, inputs); err != nil {
			return err
		}
		if days.To == p.span.To {
			r.carried = r.terms.carryOut(inputs)
		}
		inputs.Prior += used
	}
	return nil
}

// own returns what of the usage of days is the terms' own. What is used at a moment is
// charged for once: by that of the user's subscriptions which goes first, as it does for the
// service, among those with terms for it at that moment. An hour and an octet are different
// things.
func (b *biller) own(u *UsageTerms, days Span) ([]DayUsage, error) {
	usage := b.account.usageAt(u.Hours, days)
	others := b.rivals()
	if len(others) == 0 {
		return usage, nil
	}
	var own []DayUsage
	for _, d := range usage {
		first, served, err := b.goFirst(others, d.Day)
		if err != nil {
			return nil, err
		}
		if !served {
			continue
		}
		taken, err := b.account.taken(d, u.Hours, first)
		if err != nil {
			return nil, err
		}
		if rest := d.without(taken); rest == d || rest.Of(u.Metric) > 0 {
			own = append(own, rest)
		}
	}
	return own, nil
}

// rivals returns the subscriptions that may have what the user used: those that go first,
// and all while this one is suspended.
func (b *biller) rivals() []*Subscription {
	var others []*Subscription
	for _, list := range [][]Subscription{b.sold, b.account.Former} {
		for i := range list {
			if x := &list[i]; x.ID != b.s.ID && (len(b.s.Suspensions) > 0 || compareSubscriptions(*x, *b.s) < 0) {
				others = append(others, x)
			}
		}
	}
	return others
}

// goFirst returns the terms for usage of those that go before the subscription on a day.
// Who was suspended all day served nobody, and has none of the usage if another one did.
func (b *biller) goFirst(others []*Subscription, day Date) (terms []UsageTerms, served bool, err error) {
	suspended := b.s.suspendedOn(day)
	for _, x := range others {
		if !x.covers(day) {
			continue
		}
		switch waits := x.suspendedOn(day); {
		case suspended && !waits:
			return nil, false, nil
		case waits && !suspended || compareSubscriptions(*x, *b.s) > 0:
			continue
		}
		more, err := b.usageTermsOn(x, day)
		if err != nil {
			return nil, false, err
		}
		terms = append(terms, more...)
	}
	return terms, true, nil
}

// usageTermsOn returns the terms for usage that a subscription has on one of its days.
func (b *biller) usageTermsOn(s *Subscription, day Date) ([]UsageTerms, error) {
	rateID := s.Rate.ID
	if past := slices.IndexFunc(s.Past, func(p PastRate) bool { return day.Before(p.Until) }); past >= 0 {
		rateID = s.Past[past].RateID
	} else if s.changesBy(day) {
		rateID = s.NextRateID
	}
	rate, err := b.rate(rateID)
	if err != nil {
		return nil, err
	}
	return rate.Terms.Usage, nil
}

// rateSlice charges a slice of a piece, or what it costs more or less than was charged
// for it.
func (r *usageRater) rateSlice(p piece, days Span, in Inputs) error {
	cost, err := r.terms.costOf(r.rate.Currency, in)
	if err != nil {
		return err
	}
	made := r.made(days)
	for _, c := range made {
		in.Before += c.Amount
	}
	last := days.To == p.span.To && r.terms.Rollover > 0 // the next piece needs to know of it
	c := r.newCharge(r.rate, ChargeUsage, days)
	c.ID = makeID("charge", r.s.ID, string(ChargeUsage), r.index, days.From, len(made))
	if days.To.Compare(r.rated) <= 0 {
		if cost == in.Before && (!last || len(made) > 0 && sameState(made[len(made)-1].Inputs, in)) {
			return nil
		}
		c.Kind = ChargeAdjustment
		if len(made) > 0 {
			in.Adjusts = made[0].ID
		}
	} else if cost == 0 && !last && (len(in.Usage) == 0 || r.rate.Terms.Prepaid != Postpaid) {
		return nil
	}
	c.Inputs = in
	if c.Description, err = r.describe(c); err != nil {
		return err
	}
	if err := r.add(c, cost-in.Before); err != nil {
		return err
	}
	if c.Kind == ChargeUsage {
		r.charges[len(r.charges)-1].itemise(r.terms)
	}
	return nil
}

// made returns the charges for a slice until now, in order of their making.
func (r *usageRater) made(days Span) []Charge {
	var made []Charge
	for _, c := range r.account.Rated {
		if c.SubscriptionID == r.s.ID && c.Inputs.Terms == r.index && c.Period.From == days.From {
			made = append(made, c)
		}
	}
	return made
}

// carriedFrom returns what was carried out of a piece when it was rated last.
func (r *usageRater) carriedFrom(p piece) (carried []Carried) {
	for _, c := range r.account.Rated {
		if c.SubscriptionID == r.s.ID && c.Inputs.Terms == r.index && c.Period.To == p.span.To {
			carried = r.terms.carryOut(c.Inputs)
		}
	}
	return carried
}

// sameState reports whether the same allowance is left.
func sameState(a, b Inputs) bool {
	used, _ := sumOf(a.Usage, a.Metric) // it was added up before
	now, _ := sumOf(b.Usage, b.Metric)
	return slices.Equal(a.Carried, b.Carried) && a.Prior+used == b.Prior+now
}

// allowanceOf returns what is free of charge, with what was carried over.
func (u *UsageTerms) allowanceOf(in Inputs, whole bool) (uint64, error) {
	sum := u.allowance(in.Days, in.Of, whole)
	for _, c := range in.Carried {
		if sum+c.Quantity < sum {
			return 0, ErrOverflow
		}
		sum += c.Quantity
	}
	return sum, nil
}

// costOf returns what the usage costs, after what was used before it.
func (u *UsageTerms) costOf(c Currency, in Inputs) (Amount, error) {
	used, err := sumOf(in.Usage, in.Metric)
	if err != nil {
		return 0, err
	}
	if in.Prior+used < used {
		return 0, ErrOverflow
	}
	before, err := u.cost(c, in.Prior, in.Allowance)
	if err != nil {
		return 0, err
	}
	until, err := u.cost(c, in.Prior+used, in.Allowance)
	return until - before, err
}
