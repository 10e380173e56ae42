package billing

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// metered are terms of a price for each octet, in cents.
func metered(name string, prepaid PrepaidMode, price Amount, cents string) Rate {
	return Rate{ID: makeID("metered", name), PlanName: name, Currency: "EUR", Terms: Terms{Price: price, Every: Interval{Month, 1}, Timing: InAdvance, Prepaid: prepaid,
		Usage: []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{0, dec(cents)}}}}}}
}

// both is an account with two subscriptions from November 1 on, of which the first one goes
// first.
func both(first, second Rate) *Account {
	a := account(NewSubscription(makeID("first"), userID, first, day("2026-11-01"), testNow), NewSubscription(makeID("second"), userID, second, day("2026-11-01"), testNow.Add(1)))
	a.Credit = map[Currency]Amount{}
	return a
}

// usedOf returns what was charged for of the usage of an account's subscriptions, by day.
func usedOf(a *Account, i int, charges []Charge) map[string]uint64 {
	used := map[string]uint64{}
	for _, c := range charges {
		if c.SubscriptionID == a.Subscriptions[i].ID && (c.Kind == ChargeUsage || c.Kind == ChargeAdjustment) {
			for _, d := range c.Inputs.Usage { // the last charge says it all
				used[d.Day.String()] = d.Of(MetricOctets)
			}
		}
	}
	return used
}

// TestSuspendedServesNobody: 5.00 are used up with November 2, of which the run of the 3rd
// tells: the 4th and the 5th are days of the second one, and the 6th is paid again.
func TestSuspendedServesNobody(t *testing.T) {
	a := both(metered("first", PrepaidUsage, 0, "0.01"), metered("second", Postpaid, 0, "0.01"))
	a.Credit["EUR"] = 500
	a.Usage = []DayUsage{octets("2026-11-01", 200), octets("2026-11-02", 300), octets("2026-11-03", 50), octets("2026-11-04", 70), octets("2026-11-05", 80), octets("2026-11-06", 90), octets("2026-11-07", 10)}
	all := slices.Clone(a.Usage)
	var charges []Charge
	night := func(asOf string) {
		a.Usage = Span{To: day(asOf)}.in(all)
		b := run(t, a, asOf)
		for _, i := range b.Invoices {
			a.Credit["EUR"] -= i.Total
		}
		charges = append(charges, b.Charges...)
		require.Equal(t, &Bill{}, run(t, a, asOf), "a run repeated on %s", asOf)
	}
	for _, d := range []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04", "2026-11-05"} {
		night(d)
	}
	require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)
	all[1], all[3] = octets("2026-11-02", 310), octets("2026-11-04", 75) // late records, of days before and in it
	a.Usage = Span{To: day("2026-11-05")}.in(all)
	b := run(t, a, "2026-11-05")
	requireCharges(t, []charged{{ChargeAdjustment, "2026-11-02", "2026-11-02", 10}}, b.Charges)
	charges = append(charges, b.Charges...)
	a.Credit["EUR"] += 1000
	for _, d := range []string{"2026-11-06", "2026-11-07", "2026-11-08", "2026-12-01", "2026-12-02"} {
		night(d)
	}
	require.Equal(t, []Span{{day("2026-11-04"), day("2026-11-06")}}, a.Subscriptions[0].Suspensions)
	require.Equal(t, map[string]uint64{"2026-11-01": 200, "2026-11-02": 310, "2026-11-03": 50, "2026-11-06": 90, "2026-11-07": 10}, usedOf(a, 0, charges))
	require.Equal(t, map[string]uint64{"2026-11-04": 75, "2026-11-05": 80}, usedOf(a, 1, charges))
	all[4] = octets("2026-11-05", 100)
	night("2026-12-03")
	require.Equal(t, map[string]uint64{"2026-11-04": 75, "2026-11-05": 100}, usedOf(a, 1, charges), "after it is over, too")
}

// TestUnpaidDaysAreTheNextOnes: 2.00 pay for two days, and all others go by; the runs may come
// late.
func TestUnpaidDaysAreTheNextOnes(t *testing.T) {
	for _, every := range []int{1, 2, 7, 60} {
		a := both(metered("first", PrepaidDaily, 3000, "0"), metered("second", Postpaid, 0, "0.01"))
		slices.Reverse(a.Subscriptions) // in any order
		a.Credit["EUR"] = 200
		for i := range 30 {
			a.Usage = append(a.Usage, octets(day("2026-11-01").AddDays(i).String(), uint64(i+1)))
		}
		var charges []Charge
		for d := day("2026-11-01").AddDays(every - 1); ; d = d.AddDays(every) {
			last := !d.Before(day("2026-12-15"))
			b := run(t, a, min(d.String(), "2026-12-15"))
			for _, i := range b.Invoices {
				a.Credit["EUR"] -= i.Total
			}
			charges = append(charges, b.Charges...)
			if last {
				break
			}
		}
		used := usedOf(a, 0, charges)
		require.Len(t, used, 28, "runs each %d days", every)
		require.NotContains(t, used, "2026-11-01")
		require.NotContains(t, used, "2026-11-02")
		require.Equal(t, []Span{{From: day("2026-11-03")}}, a.Subscriptions[1].Suspensions)
	}
}

func TestDaysOfASuspension(t *testing.T) {
	payg, daily, later := metered("first", PrepaidUsage, 0, "0.01"), metered("first", PrepaidDaily, 3000, "0.01"), metered("second", Postpaid, 0, "0.01")
	flat := later
	flat.Terms.Usage, flat.Terms.Price = nil, 1000
	from := func(d string) []Span { return []Span{{From: day(d)}} }

	a := both(payg, later)
	run(t, a, "2026-11-01")
	require.Equal(t, from("2026-11-01"), a.Subscriptions[0].Suspensions, "sold without credit, it never served")

	a = both(daily, later)
	a.Credit["EUR"] = 500
	run(t, a, "2026-11-01")
	a.Credit["EUR"] = 50 // taken back, of the day that was had
	b, err := Exhaust(a, options("2026-11-01"))
	require.NoError(t, err)
	apply(a, b)
	require.Equal(t, from("2026-11-02"), a.Subscriptions[0].Suspensions, "a refund on a day that was served")
	b, err = Exhaust(a, options("2026-11-01"))
	require.NoError(t, err)
	require.Equal(t, &Bill{}, b)
	run(t, a, "2026-11-02")
	require.Equal(t, from("2026-11-02"), a.Subscriptions[0].Suspensions)
	a.Credit["EUR"] = 200
	run(t, a, "2026-11-02")
	require.Empty(t, a.Subscriptions[0].Suspensions, "paid on the same day")

	a = both(daily, later)
	run(t, a, "2026-11-01")
	b, err = Change(a, a.Subscriptions[0].ID, metered("afterwards", Postpaid, 0, "0.01"), day("2026-11-05"), options("2026-11-10"))
	require.NoError(t, err)
	require.Equal(t, []Span{{day("2026-11-01"), day("2026-11-05")}}, b.Subscriptions[0].Suspensions, "what is paid for afterwards waits for nothing")

	for name, c := range map[string]struct {
		second Rate
		want   []Amount
	}{
		"metered":                    {later, []Amount{0, 30}},
		"flat":                       {flat, []Amount{0, 0}},
		"prepaid, and suspended too": {metered("second", PrepaidUsage, 0, "0.02"), []Amount{30, 0}},
	} {
		a := both(payg, c.second)
		a.Usage = []DayUsage{octets("2026-11-02", 30)}
		got := make([]Amount, 2)
		for _, d := range []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-12-01"} {
			for _, x := range usageOf(run(t, a, d)) {
				got[slices.IndexFunc(a.Subscriptions, func(s Subscription) bool { return s.ID == x.SubscriptionID })] += x.Amount
			}
		}
		require.Equal(t, c.want, got, name)
	}
	a = account(both(payg, later).Subscriptions[0])
	a.Usage = []DayUsage{octets("2026-11-02", 30)}
	run(t, a, "2026-11-01")
	require.Equal(t, Amount(30), sum(run(t, a, "2026-11-03").Charges, ChargeUsage), "if nobody served, it is owed")

	s := subscribe(payg, "2026-11-01")
	for i := range 2 * maxSuspensions {
		s.suspend(s.Start.AddDays(2 * i))
		s.unsuspend(s.Start.AddDays(2*i + 1))
	}
	require.Len(t, s.Suspensions, maxSuspensions)
	require.True(t, s.suspendedOn(s.Start.AddDays(4*maxSuspensions-2)))
}

// TestEachDayIsOfWhoServed: credit comes now and then, and the usage of a day is the prepaid
// one's if it was paid for or still served, and else the other one's.
func TestEachDayIsOfWhoServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mode, price := PrepaidUsage, Amount(0)
		if rapid.Bool().Draw(t, "daily") {
			mode, price = PrepaidDaily, 3100
		}
		a := both(metered("first", mode, price, "0.01"), metered("second", Postpaid, 0, "0.01"))
		var charges []Charge
		want := []map[string]uint64{{}, {}}
		served := false // yesterday, to its end
		var all []DayUsage
		for d := day("2026-11-01"); d.Before(day("2026-12-20")); d = d.AddDays(1) {
			a.Credit["EUR"] += Amount(rapid.SampledFrom([]int{0, 0, 0, 0, 150, 600}).Draw(t, "paid"))
			a.Usage = all
			b := run(t, a, d.String())
			for _, i := range b.Invoices {
				a.Credit["EUR"] -= i.Total
			}
			charges = append(charges, b.Charges...)
			serves := a.Subscriptions[0].State != SubscriptionSuspended
			owner := 1
			if mode == PrepaidUsage && (serves || served) || mode == PrepaidDaily && d.Before(a.Subscriptions[0].ChargedUntil) {
				owner = 0
			}
			served = serves
			if n := rapid.SampledFrom([]uint64{0, 40, 200}).Draw(t, "used"); n > 0 {
				all = append(slices.Clone(all), octets(d.String(), n))
				want[owner][d.String()] = n
			}
		}
		a.Usage = all
		charges = append(charges, run(t, a, "2027-01-20").Charges...)
		require.Zero(t, sum(charges, ChargeAdjustment))
		for i := range want {
			require.Equal(t, want[i], usedOf(a, i, charges), "of %d", i)
		}
	})
}
