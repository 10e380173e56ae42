package billing

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestServiceOf(t *testing.T) {
	home, fibre := uuid.New(), uuid.New()
	made := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	sold := func(plan uuid.UUID, state SubscriptionState, start, end string) Subscription {
		made = made.Add(time.Minute)
		s := Subscription{ID: uuid.New(), Rate: Rate{PlanID: plan}, State: state, Start: day(start), CreatedAt: made}
		if end != "" {
			s.End = day(end)
		}
		return s
	}
	const on = "2026-11-15"
	for name, c := range map[string]struct {
		subscriptions []Subscription
		want          Service
	}{
		"none":                  {nil, Service{}},
		"one that goes on":      {[]Subscription{sold(home, SubscriptionActive, "2026-11-01", "")}, Service{PlanID: home}},
		"from today on":         {[]Subscription{sold(home, SubscriptionTrial, on, "")}, Service{PlanID: home}},
		"in grace":              {[]Subscription{sold(home, SubscriptionGrace, "2026-11-01", "")}, Service{PlanID: home}},
		"from tomorrow on":      {[]Subscription{sold(home, SubscriptionActive, "2026-11-16", "")}, Service{}},
		"the last day is today": {[]Subscription{sold(home, SubscriptionActive, "2026-11-01", "2026-11-16")}, Service{PlanID: home, Until: day("2026-11-16")}},
		"ended today":           {[]Subscription{sold(home, SubscriptionEnded, "2026-11-01", on)}, Service{Until: day(on)}},
		"ended today, which no run has seen": {
			[]Subscription{sold(home, SubscriptionActive, "2026-11-01", on)}, Service{Until: day(on)}},
		"begun and ended today": {[]Subscription{sold(home, SubscriptionEnded, on, on)}, Service{Until: day(on)}},
		"never begun":           {[]Subscription{sold(home, SubscriptionActive, "2026-12-01", "2026-12-01")}, Service{}},
		"two ended, the last counts": {
			[]Subscription{sold(home, SubscriptionEnded, "2026-10-01", "2026-11-10"), sold(fibre, SubscriptionEnded, "2026-10-05", "2026-11-05")},
			Service{Until: day("2026-11-10")}},
		"the one that began first": {
			[]Subscription{sold(fibre, SubscriptionActive, "2026-11-05", ""), sold(home, SubscriptionActive, "2026-11-01", "")}, Service{PlanID: home}},
		"begun on one day, the one that was made first": {
			[]Subscription{sold(home, SubscriptionActive, "2026-11-01", ""), sold(fibre, SubscriptionActive, "2026-11-01", "")}, Service{PlanID: home}},
		"a second one goes on": {
			[]Subscription{sold(home, SubscriptionActive, "2026-11-01", "2026-12-01"), sold(fibre, SubscriptionActive, "2026-11-05", "")}, Service{PlanID: home}},
		"another one follows at once": {
			[]Subscription{sold(home, SubscriptionActive, "2026-11-01", "2026-12-01"), sold(fibre, SubscriptionActive, "2026-12-01", "2027-01-01")},
			Service{PlanID: home, Until: day("2027-01-01")}},
		"three follow each other": {
			[]Subscription{sold(fibre, SubscriptionActive, "2027-01-01", ""), sold(home, SubscriptionActive, "2026-11-01", "2026-12-01"), sold(fibre, SubscriptionActive, "2026-12-01", "2027-01-01")},
			Service{PlanID: home}},
		"another one follows later": {
			[]Subscription{sold(home, SubscriptionActive, "2026-11-01", "2026-12-01"), sold(fibre, SubscriptionActive, "2026-12-02", "")},
			Service{PlanID: home, Until: day("2026-12-01")}},
		"before the next one begins": {
			[]Subscription{sold(home, SubscriptionEnded, "2026-10-01", "2026-11-01"), sold(fibre, SubscriptionActive, "2026-12-01", "")},
			Service{Until: day("2026-11-01")}},
		"suspended": {[]Subscription{sold(home, SubscriptionSuspended, "2026-11-01", "")}, Service{PlanID: home, Suspended: true}},
		"both suspended": {
			[]Subscription{sold(home, SubscriptionSuspended, "2026-11-01", ""), sold(fibre, SubscriptionSuspended, "2026-11-01", "")}, Service{PlanID: home, Suspended: true}},
		"the first one suspended: the second serves": {
			[]Subscription{sold(home, SubscriptionSuspended, "2026-11-01", ""), sold(fibre, SubscriptionActive, "2026-11-05", "")}, Service{PlanID: fibre}},
		"and until that one ends": {
			[]Subscription{sold(home, SubscriptionSuspended, "2026-11-01", ""), sold(fibre, SubscriptionActive, "2026-11-05", "2026-12-01")},
			Service{PlanID: fibre, Until: day("2026-12-01")}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, ServiceOf(c.subscriptions, day(on))) })
	}
}
