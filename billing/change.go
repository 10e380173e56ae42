package billing

import (
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
