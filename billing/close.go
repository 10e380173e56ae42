package billing

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// Close ends all that is sold to an account with o.AsOf, as its last day, and bills what is
// left: charges that wait, the price until then, less the days that had been paid beyond,
// and the usage as far as it is known, without waiting for late records. A subscription
// that begins later never does. It is for those who go for good: nothing comes after it. It
// does not write to the account.
func Close(a *Account, o RunOptions) (*Bill, error) {
	end := o.AsOf.AddDays(1) // the day itself was had
	final := o
	final.AsOf, final.SettleDays = end, 0
	bill := &Bill{}
	credit := a.available()
	subscriptions := slices.Clone(a.Subscriptions)
	billers := make([]*biller, len(subscriptions))
	for i := range subscriptions {
		billers[i] = newBiller(a, subscriptions, i, final, credit)
	}
	for _, step := range []func(*biller) error{func(b *biller) error { return b.close(end) }, (*biller).rateUsage} {
		for _, b := range billers {
			if err := step(b); err != nil {
				return nil, fmt.Errorf("subscription to %s: %w", b.s.Rate.PlanName, err)
			}
		}
	}
	for i, b := range billers {
		if s := b.s; !reflect.DeepEqual(*s, a.Subscriptions[i]) {
			s.UpdatedAt = o.Now
			bill.Subscriptions = append(bill.Subscriptions, *s)
		}
		bill.Charges = append(bill.Charges, b.charges...)
	}
	var err error
	if bill.Invoices, err = a.invoices(slices.Concat(a.Pending, bill.Charges), subscriptions, o); err != nil {
		return nil, err
	}
	bill.place()
	return bill, nil
}

// close ends the subscription on a day at the latest, and charges all of it but for usage.
func (b *biller) close(end Date) error {
	s := b.s
	if s.State != SubscriptionEnded {
		if s.changesBy(b.o.AsOf.AddDays(-1)) {
			next, err := b.rate(s.NextRateID)
			if err != nil {
				return err
			}
			if err := b.change(*next, s.NextFrom); err != nil {
				return err
			}
		}
		if s.End.IsZero() || end.Before(s.End) {
			if end.Before(s.Start) {
				end = s.Start
			}
			if err := b.creditFrom(end); err != nil {
				return err
			}
			s.End = end
			s.Revision++
		}
		s.NextRateID, s.NextFrom = uuid.Nil, Date{}
	}
	if err := b.chargePrice(b.o.AsOf); err != nil {
		return err
	}
	s.State = SubscriptionEnded
	return nil
}
