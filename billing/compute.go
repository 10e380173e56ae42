package billing

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// Compute returns what is due of an account on o.AsOf and was not charged before, also
// for several periods if runs were missed: the charges are the same whether it is
// computed each day or once after a year. It does not write to the account.
//
// An error is about what an operator must mend: a tax class without a rate, or amounts
// beyond 64 bits.
func Compute(a *Account, o RunOptions) (*Bill, error) {
	bill := &Bill{}
	credit := a.available()
	subscriptions := slices.Clone(a.Subscriptions)
	billers := make([]*biller, len(subscriptions))
	for i := range subscriptions {
		billers[i] = newBiller(a, subscriptions, i, o, credit)
	}
	// Who charges for the usage of a day depends on what of them all was paid for it, and
	// who is served on on all that is taken from the credit.
	each := func(steps ...func(*biller) error) error {
		for _, step := range steps {
			for _, b := range billers {
				if err := step(b); err != nil {
					return fmt.Errorf("subscription %s: %w", b.s.ID, err)
				}
			}
		}
		return nil
	}
	if err := each((*biller).bill, (*biller).rateUsage); err != nil {
		return nil, err
	}
	for _, b := range slices.Backward(billers) {
		b.giveUpToday()
	}
	if err := each((*biller).useUp); err != nil {
		return nil, err
	}
	for i, b := range billers {
		bill.Charges = append(bill.Charges, b.charges...)
		if s := b.s; !reflect.DeepEqual(*s, a.Subscriptions[i]) {
			s.UpdatedAt = o.Now
			bill.Subscriptions = append(bill.Subscriptions, *s)
		}
	}
	var due []Charge
	for _, c := range slices.Concat(a.Pending, bill.Charges) {
		wait, err := a.held(c, subscriptions, o.AsOf)
		if err != nil {
			return nil, err
		}
		if !wait {
			due = append(due, c)
		}
	}
	invoices, err := a.invoices(due, subscriptions, o)
	if err != nil {
		return nil, err
	}
	bill.Invoices = invoices
	bill.place()
	return bill, nil
}

// place notes on the charges which invoice they are on.
func (bill *Bill) place() {
	on := make(map[uuid.UUID]uuid.UUID)
	for _, i := range bill.Invoices {
		for _, line := range i.Lines {
			on[line.ChargeID] = i.ID
		}
	}
	for i := range bill.Charges {
		bill.Charges[i].InvoiceID = on[bill.Charges[i].ID]
	}
}

// available returns what prepaid days can be taken from: what the ledger has, less what
// is charged and on no invoice yet.
func (a *Account) available() map[Currency]Amount {
	credit := maps.Clone(a.Credit)
	if credit == nil {
		credit = make(map[Currency]Amount)
	}
	for _, c := range a.Pending {
		credit[c.Currency] -= c.Amount
	}
	return credit
}

// bill charges all that is due of the subscription, but for usage.
func (b *biller) bill() error {
	if b.s.Start.IsZero() || b.s.Anchor.IsZero() {
		return fmt.Errorf("it has no first day")
	}
	if b.s.changesBy(b.o.AsOf) {
		next, err := b.rate(b.s.NextRateID)
		if err != nil {
			return err
		}
		if err := b.change(*next, b.s.NextFrom); err != nil {
			return err
		}
	}
	return b.chargeDue()
}

// chargeDue charges the price until o.AsOf and brings the state to that day.
func (b *biller) chargeDue() error {
	if err := b.chargePrice(b.o.AsOf); err != nil {
		return err
	}
	b.s.State = b.s.stateOn(b.o.AsOf)
	return nil
}

// Exhaust suspends prepaid subscriptions in currencies in which more of the account's
// credit is gone than there was: a payment was taken back that paid for days already had.
// A trial costs nothing, and goes on.
// Compute has them active again as soon as there is credit.
func Exhaust(a *Account, o RunOptions) (*Bill, error) {
	bill := &Bill{}
	credit := a.available()
	for _, s := range a.Subscriptions {
		served := s.State == SubscriptionActive || s.State == SubscriptionGrace
		if s.Rate.Terms.Prepaid == Postpaid || credit[s.Rate.Currency] >= 0 || o.AsOf.Before(s.Start) || !served {
			continue
		}
		s.suspend(o.AsOf.AddDays(1))
		s.UpdatedAt = o.Now
		bill.Subscriptions = append(bill.Subscriptions, s)
	}
	return bill, nil
}

// held reports whether a charge waits for the end of its period: that of a prepaid
// subscription is taken from the credit day by day, and one invoice for the period tells
// of it, which the credit pays.
func (a *Account) held(c Charge, subscriptions []Subscription, asOf Date) (bool, error) {
	i := slices.IndexFunc(subscriptions, func(s Subscription) bool { return s.ID == c.SubscriptionID })
	if i < 0 {
		return false, nil
	}
	b := biller{s: &subscriptions[i], account: a}
	pieces, err := b.pieces(c.Period.From, c.Period.From.AddDays(1))
	if err != nil || len(pieces) == 0 {
		return false, err
	}
	return pieces[0].rate.Terms.Prepaid != Postpaid && asOf.Before(pieces[0].span.To), nil
}
