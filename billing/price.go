package billing

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// The price of a period accrues by the day. What the days up to z cost since the rate
// came in force in the period is rounded once,
//
//	upTo(z) = price * days from then to z / days of the period,
//
// and the days from x to z cost upTo(z) - upTo(x). So the parts of a period add up to
// its price, however it is cut, and a credit for days that were paid and not had is
// what was charged less what was had.

// upTo returns the price of the first days of a piece of a period of so many days.
func (t Terms) upTo(days, of int) (Amount, error) {
	if t.WholePeriods {
		if days > 0 {
			return t.Price, nil
		}
		return 0, nil
	}
	return share(t.Price, int64(days), int64(of))
}

// price returns what so many days cost after the first of a piece.
func (t Terms) price(first, days, of int) (Amount, error) {
	before, err := t.upTo(first, of)
	if err != nil {
		return 0, err
	}
	until, err := t.upTo(first+days, of)
	return until - before, err
}

// biller makes the charges of one subscription.
type biller struct {
	s       *Subscription // a copy of the account's, which it changes
	account *Account      // which it does not
	o       RunOptions
	credit  map[Currency]Amount // what prepaid days can still be taken from
	charges []Charge
	// sold are all of the account's subscriptions that are billed, as they are by now: s is
	// one of them.
	sold []Subscription
	// unused says that nothing had been charged of the subscription, so that it served nobody
	// before.
	unused bool
	today  *todaysPrice // nil: none was charged in advance
}

// newBiller returns that of one of the subscriptions.
func newBiller(a *Account, sold []Subscription, i int, o RunOptions, credit map[Currency]Amount) *biller {
	return &biller{s: &sold[i], account: a, sold: sold, o: o, credit: credit, unused: sold[i].ChargedUntil.IsZero()}
}

func (b *biller) rate(id uuid.UUID) (*Rate, error) {
	if id == b.s.Rate.ID {
		return &b.s.Rate, nil
	}
	if r, ok := b.account.Rates[id]; ok {
		return &r, nil
	}
	for _, list := range [][]Subscription{b.account.Subscriptions, b.account.Former} { // which it had until now, or another one has
		for i := range list {
			if r := &list[i].Rate; r.ID == id {
				return r, nil
			}
		}
	}
	return nil, fmt.Errorf("rate %s is unknown", id)
}

// pieces returns the pieces of all phases with days from one day up to and without
// another.
func (b *biller) pieces(from, to Date) ([]piece, error) {
	var pieces []piece
	for _, p := range b.s.phases() {
		if days := (Span{from, to}).cut(p.span); days.empty() {
			continue
		}
		rate, err := b.rate(p.rateID)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, p.pieces(rate, from, to)...)
	}
	return pieces, nil
}

// chargePrice charges the price of all that is due on a day and before.
func (b *biller) chargePrice(asOf Date) error {
	from := b.s.ChargedUntil
	if from.IsZero() {
		from = b.s.phases()[0].span.From
	}
	pieces, err := b.pieces(from, asOf.AddDays(1))
	if err != nil {
		return err
	}
	for _, p := range pieces {
		days := p.span.cut(Span{From: from})
		terms := &p.rate.Terms
		if terms.Prepaid == Postpaid {
			b.s.waitedUntil(days.From) // what is paid for afterwards waits for no credit
		}
		switch {
		case terms.Prepaid == PrepaidDaily:
			if err := b.chargeDays(p, days, asOf); err != nil {
				return err
			}
			continue
		case terms.Timing == InArrears && asOf.Before(days.To):
			return nil // not due yet, nor is what comes after it
		}
		if err := b.chargeSetup(p.rate, days.From); err != nil {
			return err
		}
		if err := b.chargePiece(p, days, ChargePeriod); err != nil {
			return err
		}
		b.s.ChargedUntil = days.To
	}
	return nil
}

// chargeDays charges a prepaid piece day by day while there is credit. Without, the
// subscription is suspended and the days go by free of charge, as nothing is served on
// them; it is active again on the first day that the credit is there for.
func (b *biller) chargeDays(p piece, days Span, asOf Date) error {
	if b.s.State == SubscriptionEnded && b.s.ChargedUntil.IsZero() {
		return nil // it had no day: all of them went by before it ended
	}
	for day := days.From; day.Before(days.To) && !asOf.Before(day); day = day.AddDays(1) {
		if b.s.State == SubscriptionSuspended && day.Before(asOf) {
			b.pass(day)
			continue
		}
		amount, err := p.rate.Terms.price(p.span.From.DaysUntil(day), 1, p.period.Days())
		if err != nil {
			return err
		}
		if b.s.ChargedUntil.IsZero() {
			amount += p.rate.Terms.Setup
		}
		credit := b.credit[p.rate.Currency]
		if day == asOf {
			credit = b.left(p.rate.Currency)
		}
		if credit < amount {
			b.s.suspend(day)
			if day.Before(asOf) {
				b.pass(day)
			}
			continue
		}
		if day == asOf && !b.o.over() {
			b.today = &todaysPrice{before: *b.s, from: len(b.charges)}
		}
		b.s.unsuspend(day)
		if err := b.chargeSetup(p.rate, day); err != nil {
			return err
		}
		if err := b.chargePiece(p, Span{day, day.AddDays(1)}, ChargePeriod); err != nil {
			return err
		}
		b.s.ChargedUntil = day.AddDays(1)
		if b.today != nil {
			b.today.to = len(b.charges)
		}
	}
	return nil
}

// todaysPrice is what was charged for the day of the run, in advance.
type todaysPrice struct {
	before   Subscription
	from, to int // of the charges
}

// giveUpToday takes the price of today back that was charged before it was known that
// usage until yesterday leaves too little credit for it: nobody is served for it.
func (b *biller) giveUpToday() {
	if b.today == nil || b.s.State == SubscriptionEnded || b.left(b.s.Rate.Currency) >= 0 {
		return
	}
	for _, c := range b.charges[b.today.from:b.today.to] {
		b.credit[c.Currency] += c.Amount
	}
	b.charges = slices.Delete(b.charges, b.today.from, b.today.to)
	b.s.ChargedUntil, b.s.Suspensions = b.today.before.ChargedUntil, b.today.before.Suspensions
	b.s.State, b.today = b.today.before.State, nil
	b.s.suspend(b.o.AsOf)
}

// useUp suspends a prepaid subscription whose usage has used up the credit, and has it go
// on when there is credit again, as chargeDays does for the price: where usage alone is
// paid for, credit of nothing is enough only while there are allowances. For a day that is
// over it does nothing: the run for today does.
func (b *biller) useUp() error {
	s, today := b.s, b.o.AsOf
	if b.o.over() || s.State != SubscriptionActive && s.State != SubscriptionSuspended {
		return nil
	}
	pieces, err := b.pieces(today, today.AddDays(1))
	if err != nil || len(pieces) == 0 {
		return err
	}
	rate := pieces[0].rate
	credit := b.left(rate.Currency)
	used, paid := credit < 0, today.Before(s.ChargedUntil)
	switch rate.Terms.Prepaid {
	case Postpaid:
		used, paid = false, true
	case PrepaidUsage:
		free := slices.ContainsFunc(rate.Terms.Usage, func(u UsageTerms) bool { return u.Allowance > 0 })
		used = used || credit == 0 && !free
	}
	switch {
	case used && b.unused:
		s.suspend(today)
	case used:
		s.suspend(today.AddDays(1))
	case paid:
		s.unsuspend(today)
	}
	return nil
}

// left is the credit without what has ended before o.AsOf, which is taken after the run but
// for what is charged.
func (b *biller) left(c Currency) Amount {
	credit := b.credit[c]
	charged := b.account.Credit[c] - credit
	return credit - max(0, b.account.Ended[c]-max(0, charged))
}

// pass goes past a day without a charge. Before the first charge there is nothing to
// remember, and the set-up fee is still to come.
func (b *biller) pass(day Date) {
	if !b.s.ChargedUntil.IsZero() {
		b.s.ChargedUntil = day.AddDays(1)
	}
}

// chargeSetup charges the set-up fee with the first day of the subscription that is
// charged.
func (b *biller) chargeSetup(rate *Rate, on Date) error {
	if !b.s.ChargedUntil.IsZero() || rate.Terms.Setup == 0 {
		return nil
	}
	c := b.newCharge(rate, ChargeSetup, Span{on, on.AddDays(1)})
	c.ID = makeID("charge", b.s.ID, string(ChargeSetup))
	c.Description = rate.PlanName + ", set-up"
	return b.add(c, rate.Terms.Setup)
}

// chargePiece charges days of a piece, or gives them back (ChargeProration).
func (b *biller) chargePiece(p piece, days Span, kind ChargeKind) error {
	inputs := Inputs{RateID: p.rate.ID, First: p.span.From.DaysUntil(days.From), Days: days.Days(), Of: p.period.Days()}
	amount, err := p.rate.Terms.price(inputs.First, inputs.Days, inputs.Of)
	if err != nil || amount == 0 {
		return err
	}
	if kind == ChargeProration {
		if inputs.Before, err = b.givenBack(p, days, amount); err != nil || inputs.Before == amount {
			return err
		}
		amount -= inputs.Before
	}
	c := b.newCharge(p.rate, kind, days)
	c.ID = makeID("charge", b.s.ID, string(kind), b.s.Revision, days.From, days.To)
	c.Inputs = inputs
	c.Description = p.rate.PlanName
	if kind == ChargeProration {
		amount = -amount
		c.Description = p.rate.PlanName + ", credit"
	}
	if inputs.Days != inputs.Of {
		c.Description += fmt.Sprintf(" (%d of %d days)", inputs.Days, inputs.Of)
	}
	return b.add(c, amount)
}

// givenBack returns what of the price of days of a piece has been given back already: what
// is not left of their charges.
func (b *biller) givenBack(p piece, days Span, price Amount) (Amount, error) {
	var sum Amount
	for _, g := range b.account.GivenBack {
		common := days.cut(g.Period)
		if g.SubscriptionID != b.s.ID || common.empty() {
			continue
		}
		part, err := p.rate.Terms.price(p.span.From.DaysUntil(common.From), common.Days(), p.period.Days())
		if err != nil {
			return 0, err
		}
		sum += max(0, part+g.Amount-g.Charged)
	}
	return min(sum, price), nil
}

func (b *biller) newCharge(rate *Rate, kind ChargeKind, period Span) Charge {
	return Charge{
		UserID: b.s.UserID, SubscriptionID: b.s.ID, Kind: kind, Period: period, Currency: rate.Currency,
		TaxClass: rate.Terms.TaxClass, TaxIncluded: rate.Terms.TaxIncluded,
		Inputs: Inputs{RateID: rate.ID}, CreatedAt: b.o.Now,
	}
}

// add adds a charge of one unit at the whole amount, as the price of a part of a period
// is no round number a day.
func (b *biller) add(c Charge, amount Amount) error {
	price, err := c.Currency.decimal(amount)
	if err != nil {
		return err
	}
	c.Amount, c.Quantity, c.Unit, c.UnitPrice = amount, one, UnitPeriod, price
	if amount < 0 { // a price is never negative (EN 16931 BR-27)
		c.Quantity, c.UnitPrice = one.neg(), price.neg()
	}
	b.credit[c.Currency] -= amount
	b.charges = append(b.charges, c)
	return nil
}
