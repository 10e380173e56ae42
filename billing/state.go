package billing

import "slices"

// transitions are the states that follow each state.
var transitions = map[SubscriptionState][]SubscriptionState{
	SubscriptionTrial:     {SubscriptionActive, SubscriptionSuspended, SubscriptionEnded},
	SubscriptionActive:    {SubscriptionGrace, SubscriptionSuspended, SubscriptionEnded},
	SubscriptionGrace:     {SubscriptionActive, SubscriptionSuspended, SubscriptionEnded},
	SubscriptionSuspended: {SubscriptionActive, SubscriptionGrace, SubscriptionEnded},
	SubscriptionEnded:     nil, // whoever comes back subscribes anew
}

// CanBecome reports whether a subscription in this state may get another one. To become
// what it is, is no change and allowed.
func (s SubscriptionState) CanBecome(next SubscriptionState) bool {
	_, known := transitions[s]
	return known && (s == next || slices.Contains(transitions[s], next))
}

// stateOn returns the state after the changes that a day alone brings: the trial ends,
// and the subscription does, on any day if it has none of its own. Grace and suspension are
// not the calendar's.
func (s *Subscription) stateOn(day Date) SubscriptionState {
	switch {
	case !s.End.IsZero() && (!day.Before(s.End) || !s.Start.Before(s.End)):
		return SubscriptionEnded
	case s.State == SubscriptionTrial && !day.Before(s.Anchor):
		return SubscriptionActive
	}
	return s.State
}
