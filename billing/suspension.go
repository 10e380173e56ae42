package billing

import "slices"

// maxSuspensions bounds what is kept of a subscription that is suspended again and again.
const maxSuspensions = 1000

// suspend has the subscription wait for credit. From is the first day all of which it does:
// today if today was not to be paid, and tomorrow if it was had until now.
func (s *Subscription) suspend(from Date) {
	s.State = SubscriptionSuspended
	n := len(s.Suspensions)
	if n > 0 && s.Suspensions[n-1].To.IsZero() {
		return
	}
	s.Suspensions = append(slices.Clone(s.Suspensions[max(0, n+1-maxSuspensions):]), Span{From: from})
}

// unsuspend has the subscription go on with a day.
func (s *Subscription) unsuspend(on Date) {
	if s.State == SubscriptionSuspended {
		s.State = SubscriptionActive
	}
	s.waitedUntil(on)
}

// waitedUntil notes that the days from one on are no days of a suspension.
func (s *Subscription) waitedUntil(day Date) {
	n := len(s.Suspensions)
	if n == 0 || !s.Suspensions[n-1].To.IsZero() {
		return
	}
	from := s.Suspensions[n-1].From
	kept := slices.Clone(s.Suspensions[:n-1])
	if from.Before(day) {
		kept = append(kept, Span{from, day})
	}
	if len(kept) == 0 {
		kept = nil // as it is read
	}
	s.Suspensions = kept
}

// suspendedOn reports whether the subscription waited for credit all of a day.
func (s *Subscription) suspendedOn(day Date) bool {
	return slices.ContainsFunc(s.Suspensions, func(x Span) bool { return x.Contains(day) })
}
