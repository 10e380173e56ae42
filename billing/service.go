package billing

import (
	"cmp"
	"slices"

	"github.com/google/uuid"
)

// Service is what a user may by all subscriptions together, on a day.
type Service struct {
	// PlanID is the plan of the subscription that serves the user: of those that run and
	// are not suspended, the one that began first. Zero: none runs.
	PlanID uuid.UUID
	// Until is the first day without service, also if several subscriptions follow each
	// other; no day: it goes on. If none runs it is the day on which the last one ended; no
	// day: none has begun.
	Until Date
	// Suspended says that all subscriptions that run are suspended: they wait for credit.
	Suspended bool
}

// ServiceOf returns what subscriptions, which are all of a user's, give on a day. Of each
// ID, Rate.PlanID, State, Start, End and CreatedAt count.
func ServiceOf(subscriptions []Subscription, day Date) Service {
	all := slices.SortedFunc(slices.Values(subscriptions), compareSubscriptions)
	var running []Subscription
	var s Service
	for _, x := range all {
		switch {
		case x.runsOn(day):
			running = append(running, x)
		case !x.End.IsZero() && !day.Before(x.Start) && s.Until.Before(x.End):
			s.Until = x.End
		}
	}
	if len(running) == 0 {
		return s
	}
	serves := func(x Subscription) bool { return x.State != SubscriptionSuspended }
	s.Suspended = !slices.ContainsFunc(running, serves)
	if !s.Suspended {
		all, running = slices.DeleteFunc(all, func(x Subscription) bool { return !serves(x) }), slices.DeleteFunc(running, func(x Subscription) bool { return !serves(x) })
	}
	s.PlanID, s.Until = running[0].Rate.PlanID, running[0].End
	for _, x := range all { // in the order of their beginnings, so that none is missed
		if !s.Until.IsZero() && x.State != SubscriptionEnded && !s.Until.Before(x.Start) && (x.End.IsZero() || s.Until.Before(x.End)) {
			s.Until = x.End
		}
	}
	return s
}

// runsOn reports whether the day is one of the subscription's.
func (s *Subscription) runsOn(day Date) bool {
	return s.State != SubscriptionEnded && s.covers(day)
}

// covers reports whether the day is, or was, one of the subscription's.
func (s *Subscription) covers(day Date) bool {
	return !day.Before(s.Start) && (s.End.IsZero() || day.Before(s.End))
}

// compareSubscriptions orders a user's subscriptions by which of them goes first.
func compareSubscriptions(a, b Subscription) int {
	return cmp.Or(a.Start.Compare(b.Start), a.CreatedAt.Compare(b.CreatedAt), slices.Compare(a.ID[:], b.ID[:]))
}
