package billing

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// NewSubscription returns a subscription of a user to a rate from its first day on, in
// its trial if the rate has one. Nothing is charged yet; Compute does that from the
// first day after the trial on.
func NewSubscription(id, user uuid.UUID, rate Rate, start Date, now time.Time) Subscription {
	s := Subscription{
		ID: id, UserID: user, Rate: rate, State: SubscriptionActive, Start: start,
		Anchor: start.AddDays(rate.Terms.TrialDays), CreatedAt: now, UpdatedAt: now,
	}
	if rate.Terms.TrialDays > 0 {
		s.State = SubscriptionTrial
	}
	return s
}

// PeriodEnd returns the day after the last one of the billing period that a day lies
// in: the day for a change or an end that costs nothing extra. In the trial it is the
// first day after it.
func (s *Subscription) PeriodEnd(day Date) Date {
	if day.Before(s.Anchor) {
		return s.Anchor
	}
	return s.Rate.Terms.PeriodAt(s.Anchor, day).To
}

// Change moves one of the account's subscriptions to another rate from a day on, which
// belongs to the new rate. On a day until o.AsOf that is done at once: the days from then
// on that had been paid at the old rate are credited, and those of the new one charged;
// the bill has both, and the next run puts them on an invoice. A later day is only noted
// for the run that reaches it ([Subscription.PeriodEnd] is the usual one), in place of
// another change that was. Terms that sell whole periods give nothing back, and take all
// of a period that has begun.
//
// Periods go on as they were if the new rate has the same, else they begin anew. The
// set-up fee is charged with the first rate only, unused allowance does not move to the
// new rate, and of a trial what is left stays.
func Change(a *Account, subscription uuid.UUID, to Rate, on Date, o RunOptions) (*Bill, error) {
	return a.amend(subscription, o, func(b *biller) error {
		s := b.s
		switch {
		case to.ID == s.Rate.ID:
			return Refuse(CodeNoChange, "it has that rate already")
		case to.Currency != s.Rate.Currency:
			return Refuse(CodeCurrency, "it is in %s, the new rate in %s: end it and subscribe anew", s.Rate.Currency, to.Currency)
		}
		if err := s.mayChange(on, o.AsOf); err != nil {
			return err
		}
		if !s.End.IsZero() && !on.Before(s.End) {
			return Refuse(CodeSubscriptionState, "it ends on %s", s.End)
		}
		if o.AsOf.Before(on) {
			s.NextRateID, s.NextFrom = to.ID, on
			return nil
		}
		return b.change(to, on)
	})
}

// Cancel ends one of the account's subscriptions on a day, which is the first one without
// service, and may be in the future. Days from then on that had been paid are credited,
// unless the terms sell whole periods; what is due until then is charged. A later call
// moves the end.
func Cancel(a *Account, subscription uuid.UUID, on Date, o RunOptions) (*Bill, error) {
	return a.amend(subscription, o, func(b *biller) error {
		s := b.s
		if err := s.mayChange(on, o.AsOf); err != nil {
			return err
		}
		if err := b.creditFrom(on); err != nil {
			return err
		}
		if !s.NextFrom.IsZero() && !s.NextFrom.Before(on) {
			s.NextRateID, s.NextFrom = uuid.Nil, Date{}
		}
		s.End = on
		s.Revision++
		return nil
	})
}

// Resume takes back an end that has not come yet. What is due again is charged.
func Resume(a *Account, subscription uuid.UUID, o RunOptions) (*Bill, error) {
	return a.amend(subscription, o, func(b *biller) error {
		s := b.s
		if s.End.IsZero() || s.stateOn(o.AsOf) == SubscriptionEnded {
			return Refuse(CodeSubscriptionState, "there is no end to take back: what has ended is subscribed to anew")
		}
		s.End = Date{}
		s.Revision++
		return nil
	})
}

// amend changes a subscription of the account and charges what is due of its price.
func (a *Account) amend(subscription uuid.UUID, o RunOptions, f func(*biller) error) (*Bill, error) {
	i := slices.IndexFunc(a.Subscriptions, func(s Subscription) bool { return s.ID == subscription })
	if i < 0 {
		return nil, Refuse(CodeSubscriptionState, "%s has no such subscription that could be changed", a.Username)
	}
	b := newBiller(a, slices.Clone(a.Subscriptions), i, o, a.available())
	err := f(b)
	if err == nil {
		err = b.chargeDue()
	}
	if err == nil {
		err = b.useUp()
	}
	if err != nil {
		return nil, fmt.Errorf("subscription of %s to %s: %w", a.Username, a.Subscriptions[i].Rate.PlanName, err)
	}
	b.s.UpdatedAt = o.Now
	return &Bill{Charges: b.charges, Subscriptions: []Subscription{*b.s}}, nil
}

// mayChange refuses changes before what is settled.
func (s *Subscription) mayChange(on, today Date) error {
	phases := s.phases()
	switch since := phases[len(phases)-1].span.From; {
	case s.stateOn(today) == SubscriptionEnded:
		return Refuse(CodeSubscriptionState, "it has ended")
	case on.Before(s.Start):
		return &FieldError{"on", fmt.Sprintf("it begins on %s only", s.Start)}
	case len(s.Past) > 0 && on.Before(since):
		return &FieldError{"on", fmt.Sprintf("it was changed on %s: want that day or a later one", since)}
	case on.Before(s.RatedUntil):
		return &FieldError{"on", fmt.Sprintf("its usage has been charged for until %s: want that day or a later one", s.RatedUntil)}
	}
	return nil
}

// changesBy reports whether the planned change is due.
func (s *Subscription) changesBy(day Date) bool {
	return s.NextRateID != uuid.Nil && !day.Before(s.NextFrom) && (s.End.IsZero() || s.NextFrom.Before(s.End))
}

// change gives the subscription another rate on a day that has come.
func (b *biller) change(to Rate, on Date) error {
	s := b.s
	if len(s.Past) == 0 && on.Before(s.Anchor) {
		on = s.Anchor // the trial stays what it is
	}
	if s.ChargedUntil.IsZero() && !s.Anchor.Before(on) { // nothing was had at the old rate
		s.Rate, s.NextRateID, s.NextFrom = to, uuid.Nil, Date{}
		s.Revision++
		return nil
	}
	s.NextFrom = on // where the old rate ends
	if err := b.chargePrice(on); err != nil {
		return err
	}
	s.NextRateID, s.NextFrom = uuid.Nil, Date{}
	if s.ChargedUntil.IsZero() && s.State == SubscriptionSuspended && len(s.Past) == 0 { // it waited for credit all the time
		s.Rate, s.Anchor = to, on
		s.Revision++
		return nil
	}
	if err := b.creditFrom(on); err != nil {
		return err
	}
	phases := s.phases()
	old := phases[len(phases)-1]
	s.Past = append(slices.Clip(s.Past), PastRate{RateID: s.Rate.ID, From: old.span.From, Until: on, Anchor: s.Anchor})
	if s.Rate.Terms.Every != to.Terms.Every || s.Rate.Terms.BillingDay != to.Terms.BillingDay {
		s.Anchor = on
	}
	s.Rate = to
	s.Revision++
	return nil
}

// creditFrom gives back the days from one on that have been charged.
func (b *biller) creditFrom(on Date) error {
	if !on.Before(b.s.ChargedUntil) {
		return nil
	}
	days := Span{on, b.s.ChargedUntil}
	next := b.s.NextFrom
	b.s.NextFrom = Date{} // a change that is planned came after they were charged
	pieces, err := b.pieces(days.From, days.To)
	b.s.NextFrom = next
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if err := b.chargePiece(p, days.cut(p.span), ChargeProration); err != nil {
			return err
		}
	}
	b.s.ChargedUntil = on
	return nil
}
