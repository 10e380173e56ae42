package billing

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const gib = 1 << 30

func TestCostOfUsage(t *testing.T) {
	tiers := []Tier{{10, dec("0.50")}, {30, dec("0.20")}, {0, dec("0.05")}}
	for name, c := range map[string]struct {
		terms           UsageTerms
		currency        Currency
		used, allowance uint64
		want            Amount
	}{
		"nothing":                         {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 0, 0, 0},
		"in the allowance":                {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 100, 100, 0},
		"first tier: 7 * 0.50":            {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 107, 100, 350},
		"its end: 10 * 0.50":              {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 110, 100, 500},
		"second: 10 * 0.50 + 1 * 0.20":    {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 111, 100, 520},
		"third: 5.00 + 4.00 + 70 * 0.05":  {UsageTerms{Per: 1, Tiers: tiers}, "EUR", 200, 100, 1250},
		"step of 60: 61 s are 120 s":      {UsageTerms{Per: 60, Step: 60, Tiers: []Tier{{0, dec("0.03")}}}, "EUR", 61, 0, 6},
		"step beyond the allowance only":  {UsageTerms{Per: 60, Step: 60, Tiers: []Tier{{0, dec("0.03")}}}, "EUR", 161, 100, 6},
		"minimum: 0.06 is 1.00":           {UsageTerms{Per: 60, Step: 60, Minimum: 100, Tiers: []Tier{{0, dec("0.03")}}}, "EUR", 61, 0, 100},
		"no usage, no minimum":            {UsageTerms{Per: 60, Minimum: 100, Tiers: []Tier{{0, dec("0.03")}}}, "EUR", 50, 50, 0},
		"rounded once: 2 * 0.004 is 0.01": {UsageTerms{Per: 1, Tiers: []Tier{{1, dec("0.004")}, {0, dec("0.004")}}}, "EUR", 2, 0, 1},
		"1.5 GiB at 0.10 a GiB":           {UsageTerms{Per: gib, Tiers: []Tier{{0, dec("0.10")}}}, "EUR", gib + gib/2, 0, 15},
		"yen: 1.5 GiB at 33: 49.5 is 50":  {UsageTerms{Per: gib, Tiers: []Tier{{0, dec("33")}}}, "JPY", gib + gib/2, 0, 50},
		"dinars: 1 s at 0.0125 a minute":  {UsageTerms{Per: 60, Tiers: []Tier{{0, dec("0.0125")}}}, "KWD", 1, 0, 0},                    // 0.000208
		"dinars: 3 s at 0.0125 a minute":  {UsageTerms{Per: 60, Tiers: []Tier{{0, dec("0.0125")}}}, "KWD", 3, 0, 1},                    // 0.000625
		"as much as there is":             {UsageTerms{Per: 1e12, Tiers: []Tier{{0, dec("1")}}}, "EUR", math.MaxUint64, 0, 1844674407}, // 18446744.0737
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.terms.cost(c.currency, c.used, c.allowance)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, u := range []UsageTerms{{Per: 1, Tiers: []Tier{{0, dec("1")}}}, {Per: 1, Step: 1000, Tiers: []Tier{{0, dec("0")}}}} {
		_, err := u.cost("EUR", math.MaxUint64, 0)
		require.ErrorIs(t, err, ErrOverflow)
	}
}

func TestAllowanceOfABrokenPeriod(t *testing.T) {
	u := UsageTerms{Allowance: 1000}
	require.Equal(t, uint64(1000), u.allowance(31, 31, false))
	require.Equal(t, uint64(516), u.allowance(16, 31, false)) // 516.129
	require.Equal(t, uint64(484), u.allowance(15, 31, false)) // 483.87
	require.Equal(t, uint64(500), u.allowance(15, 30, false))
	require.Equal(t, uint64(1000), u.allowance(16, 31, true), "whole periods")
	u.Allowance = math.MaxUint64
	require.Equal(t, uint64(math.MaxUint64/2+1), u.allowance(15, 30, false)) // a half, rounded up
}

// traffic is a rate at 10.00 a month with 100 of allowance and 0.10 for each beyond it.
func traffic(change ...func(*Terms)) Rate {
	return monthly(1000, append([]func(*Terms){func(t *Terms) {
		t.Usage = []UsageTerms{{Metric: MetricOctets, Allowance: 100, Per: 1, Tiers: []Tier{{0, dec("0.1")}}}}
	}}, change...)...)
}

func octets(d string, n uint64) DayUsage {
	return DayUsage{Day: day(d), Upload: n / 4, Download: n - n/4}
}

// usageOf keeps the charges for usage.
func usageOf(b *Bill) (charges []Charge) {
	for _, c := range b.Charges {
		if c.Kind == ChargeUsage || c.Kind == ChargeAdjustment {
			charges = append(charges, c)
		}
	}
	return charges
}

func runSettled(t *testing.T, a *Account, asOf string, settle int) *Bill {
	o := options(asOf)
	o.SettleDays = settle
	b, err := Compute(a, o)
	require.NoError(t, err)
	apply(a, b)
	return b
}

func TestUsageIsChargedWhenItIsSettled(t *testing.T) {
	a := account(subscribe(traffic(), "2026-11-01"))
	a.Usage = []DayUsage{octets("2026-11-01", 60), octets("2026-11-30", 75), octets("2026-12-01", 1000)}
	require.Empty(t, usageOf(runSettled(t, a, "2026-12-03", 3)))
	b := runSettled(t, a, "2026-12-04", 3)
	// 60 + 75 are 35 beyond 100: 3.50
	requireCharges(t, []charged{{ChargeUsage, "2026-11-01", "2026-11-30", 350}}, b.Charges)
	c := b.Charges[0]
	require.Equal(t, "Home, traffic: 135 B, 100 B included", c.Description)
	require.Equal(t, []string{"35", "byte", "0.1"}, []string{c.Quantity.String(), c.Unit, c.UnitPrice.String()})
	require.Equal(t, []DayUsage{octets("2026-11-01", 60), octets("2026-11-30", 75)}, c.Inputs.Usage)
}

func TestLateRecordsAreAdjusted(t *testing.T) {
	a := account(subscribe(traffic(), "2026-11-01"))
	a.Usage = []DayUsage{octets("2026-11-10", 135)}
	first := usageOf(run(t, a, "2026-12-01"))[0]
	require.Equal(t, Amount(350), first.Amount)

	a.Usage = []DayUsage{octets("2026-11-10", 135), octets("2026-11-12", 20)} // 20 more are 2.00
	b := run(t, a, "2027-01-01")
	requireCharges(t, []charged{{ChargeAdjustment, "2026-11-01", "2026-11-30", 200}}, usageOf(b))
	c := usageOf(b)[0]
	require.Equal(t, first.ID, c.Inputs.Adjusts)
	require.Equal(t, Amount(350), c.Inputs.Before)
	require.Equal(t, "Home, traffic: 155 B, records that came late", c.Description)
	require.Len(t, b.Invoices[0].Lines, 2, "it is on the next invoice")
	require.Empty(t, run(t, a, "2027-01-02").Charges)

	a.Usage = []DayUsage{octets("2026-11-10", 101)} // a session had been counted twice: 1 beyond, 0.10
	requireCharges(t, []charged{{ChargeAdjustment, "2026-11-01", "2026-11-30", -540}}, usageOf(run(t, a, "2027-01-03")))
	require.Equal(t, Amount(10), sum(a.Rated, ChargeUsage, ChargeAdjustment))

	o := options("2027-03-01")
	o.LookBack = 60 // too late for November, and for December
	a.Usage = []DayUsage{octets("2026-11-10", 900)}
	b, err := Compute(a, o)
	require.NoError(t, err)
	require.Empty(t, usageOf(b))
}

func TestLateRecordsOfAPeriodWithoutUsage(t *testing.T) {
	a := account(subscribe(traffic(), "2026-11-01"))
	require.Empty(t, usageOf(run(t, a, "2026-12-01")))
	a.Usage = []DayUsage{octets("2026-11-10", 110)}
	requireCharges(t, []charged{{ChargeAdjustment, "2026-11-01", "2026-11-30", 100}}, usageOf(run(t, a, "2026-12-05")))
}

// TestRollover: 100 a month, and what is left is good for two more months.
func TestRollover(t *testing.T) {
	a := account(subscribe(traffic(func(t *Terms) { t.Usage[0].Rollover = 2 }), "2026-11-01"))
	a.Usage = []DayUsage{
		octets("2026-11-10", 30),  // leaves 70 of November
		octets("2026-12-10", 50),  // takes 50 of November's 70, leaves 20 of it and 100 of December
		octets("2027-01-10", 230), // takes 20, 100 and 100 of January: 10 beyond, 1.00
		octets("2027-02-10", 40),  // leaves 60
	}
	b := run(t, a, "2027-02-01")
	requireCharges(t, []charged{
		{ChargeUsage, "2026-11-01", "2026-11-30", 0}, {ChargeUsage, "2026-12-01", "2026-12-31", 0}, {ChargeUsage, "2027-01-01", "2027-01-31", 100},
	}, usageOf(b))
	charges := usageOf(b)
	require.Equal(t, []Carried{{70, 2}}, charges[1].Inputs.Carried)
	require.Equal(t, []Carried{{20, 1}, {100, 2}}, charges[2].Inputs.Carried)
	require.Equal(t, uint64(220), charges[2].Inputs.Allowance)

	b = run(t, a, "2027-03-01")
	require.Empty(t, usageOf(b)[0].Inputs.Carried, "January left nothing")

	// 25 more in November leave 45 of it: December takes these and 5 of its own, leaves 95;
	// January has 95 and 100: 35 beyond, 3.50, 2.50 more.
	a.Usage[0] = octets("2026-11-10", 55)
	b = run(t, a, "2027-03-02")
	require.Equal(t, Amount(250), sum(usageOf(b), ChargeAdjustment))
	require.Equal(t, &Bill{}, run(t, a, "2027-03-02"))
}

// TestRolloverExpires: what is not used in its periods is gone.
func TestRolloverExpires(t *testing.T) {
	u := UsageTerms{Rollover: 2}
	in := Inputs{Metric: MetricSeconds, Allowance: 100}
	in.Carried = u.carryOut(in)
	require.Equal(t, []Carried{{100, 2}}, in.Carried)
	in.Allowance = 200
	in.Carried = u.carryOut(in)
	require.Equal(t, []Carried{{100, 1}, {100, 2}}, in.Carried)
	in.Allowance = 300
	require.Equal(t, []Carried{{100, 1}, {100, 2}}, u.carryOut(in), "the oldest is gone")
	in.Usage = []DayUsage{{Seconds: 150}}
	require.Equal(t, []Carried{{50, 1}, {100, 2}}, u.carryOut(in), "the oldest is used first")
}

func TestUsageOfBothRatesOfAPeriod(t *testing.T) {
	a := account(subscribe(traffic(), "2026-11-01"))
	dear := traffic(func(t *Terms) { t.Usage[0].Tiers[0].Price = dec("1") })
	dear.ID = makeID("dear")
	a.Usage = []DayUsage{octets("2026-11-05", 90), octets("2026-11-11", 100)}
	run(t, a, "2026-11-01")
	b, err := Change(a, a.Subscriptions[0].ID, dear, day("2026-11-11"), options("2026-11-11"))
	require.NoError(t, err)
	apply(a, b)
	a.Rates[traffic().ID] = traffic()
	// 10 of 30 days: 33 of 100 are free, 57 * 0.10 = 5.70. 20 of 30 days: 67 are free, 33 * 1.00 = 33.00
	requireCharges(t, []charged{{ChargeUsage, "2026-11-01", "2026-11-10", 570}, {ChargeUsage, "2026-11-11", "2026-11-30", 3300}}, usageOf(run(t, a, "2026-12-01")))
}

func TestPrepaidUsage(t *testing.T) {
	rate := monthly(0, func(t *Terms) {
		t.Prepaid, t.TaxIncluded = PrepaidUsage, true
		t.Usage = []UsageTerms{{Metric: MetricSeconds, Allowance: 600, Per: 60, Step: 60, Minimum: 50, Tiers: []Tier{{300, dec("0.10")}, {0, dec("0.05")}}}}
	})
	a := account(subscribe(rate, "2026-11-01"))
	a.Usage = []DayUsage{{Day: day("2026-11-01"), Seconds: 590}, {Day: day("2026-11-02"), Seconds: 100}, {Day: day("2026-11-03"), Seconds: 600}, {Day: day("2026-11-04"), Seconds: 1}}
	require.Empty(t, run(t, a, "2026-11-02").Charges, "10 seconds are left of the allowance")
	// 690: 90 beyond, 120 in steps, 0.20: the minimum, 0.50
	requireCharges(t, []charged{{ChargeUsage, "2026-11-02", "2026-11-02", 50}}, run(t, a, "2026-11-03").Charges)
	// 1290: 690 beyond, 720 in steps, 5 * 0.10 + 7 * 0.05 = 0.85, 0.35 more; 1291 is in the same step
	b := run(t, a, "2026-11-05")
	requireCharges(t, []charged{{ChargeUsage, "2026-11-03", "2026-11-03", 35}}, b.Charges)
	require.Equal(t, uint64(690), b.Charges[0].Inputs.Prior)
	require.Empty(t, b.Invoices)
	b = run(t, a, "2026-12-01")
	require.Equal(t, Amount(85), b.Invoices[0].Total)
}

// Usage takes the credit, too: who has used it up is suspended until there is some again.
// TestUsageLeavesNoCreditForTheDay: 6.00 pay the first day (1.00) and not what is used on it
// (5.90), so the second one is not charged: nobody is served on it. 1.90 more and it is.
func TestUsageLeavesNoCreditForTheDay(t *testing.T) {
	minutes := []UsageTerms{{Metric: MetricSeconds, Per: 60, Tiers: []Tier{{Price: dec("0.10")}}}}
	both := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Usage = PrepaidDaily, true, minutes })
	daily := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded = PrepaidDaily, true })
	metered := monthly(0, func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Usage = PrepaidUsage, true, minutes })
	for name, a := range map[string]*Account{
		"of the same subscription": account(subscribe(both, "2026-11-01")),
		"of another one":           account(subscribe(metered, "2026-11-01"), subscribe(daily, "2026-11-01")),
	} {
		t.Run(name, func(t *testing.T) {
			a.Credit = map[Currency]Amount{"EUR": 600}
			run(t, a, "2026-11-01")
			a.Usage = []DayUsage{{Day: day("2026-11-01"), Seconds: 60 * 59}}
			bill := run(t, a, "2026-11-02")
			require.Len(t, bill.Charges, 1)
			require.Equal(t, ChargeUsage, bill.Charges[0].Kind)
			for _, s := range a.Subscriptions {
				require.Equal(t, SubscriptionSuspended, s.State)
			}
			require.Equal(t, &Bill{}, run(t, a, "2026-11-02"), "a run repeated")
			last := &a.Subscriptions[len(a.Subscriptions)-1]
			require.Equal(t, day("2026-11-02"), last.ChargedUntil)
			require.Equal(t, []Span{{From: day("2026-11-02")}}, last.Suspensions)

			a.Credit["EUR"] += 190
			bill = run(t, a, "2026-11-02")
			require.Len(t, bill.Charges, 1)
			require.Equal(t, Amount(100), bill.Charges[0].Amount)
			require.Equal(t, SubscriptionActive, last.State)
			require.Empty(t, last.Suspensions)
		})
	}
}

func TestUsageUsesUpTheCredit(t *testing.T) {
	minutes := func(allowance uint64) UsageTerms {
		return UsageTerms{Metric: MetricSeconds, Allowance: allowance, Per: 60, Tiers: []Tier{{Price: dec("0.10")}}}
	}
	perMinute := func(allowance uint64) Rate {
		return monthly(0, func(t *Terms) {
			t.Prepaid, t.TaxIncluded, t.Usage = PrepaidUsage, true, []UsageTerms{minutes(allowance)}
		})
	}
	daily := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Usage = PrepaidDaily, true, []UsageTerms{minutes(0)} })
	for name, c := range map[string]struct {
		rate    Rate
		credit  Amount
		minutes uint64 // on the first
		want    SubscriptionState
		topUp   Amount
		then    SubscriptionState
	}{
		"all used":                     {perMinute(0), 500, 50, SubscriptionSuspended, 1, SubscriptionActive},
		"more used":                    {perMinute(0), 500, 60, SubscriptionSuspended, 100, SubscriptionSuspended}, // -1.00
		"something left":               {perMinute(0), 500, 49, SubscriptionActive, 0, SubscriptionActive},
		"no credit, nothing used":      {perMinute(0), 0, 0, SubscriptionSuspended, 1, SubscriptionActive},
		"no credit, and an allowance":  {perMinute(3000), 0, 50, SubscriptionActive, 0, SubscriptionActive},
		"more used than the allowance": {perMinute(3000), 0, 51, SubscriptionSuspended, 11, SubscriptionActive},
		"a paid day, and all used":     {daily, 700, 50, SubscriptionActive, 0, SubscriptionActive}, // two days and 5.00
		"a paid day, and more used":    {daily, 700, 51, SubscriptionSuspended, 10, SubscriptionActive},
	} {
		t.Run(name, func(t *testing.T) {
			a := account(subscribe(c.rate, "2026-11-01"))
			a.Credit = map[Currency]Amount{"EUR": c.credit}
			if c.minutes > 0 {
				a.Usage = []DayUsage{{Day: day("2026-11-01"), Seconds: 60 * c.minutes}}
			}
			run(t, a, "2026-11-02")
			require.Equal(t, c.want, a.Subscriptions[0].State)
			require.Equal(t, &Bill{}, run(t, a, "2026-11-02"), "a run repeated")
			a.Credit["EUR"] += c.topUp
			run(t, a, "2026-11-02")
			require.Equal(t, c.then, a.Subscriptions[0].State)
		})
	}
	a := account(subscribe(perMinute(0), "2026-11-01"))
	run(t, a, "2026-11-02")
	require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)
	// Of 5.00, 3.00 have ended, and 1.00 is used: 2.00 are taken, and 2.00 are left. If all
	// has ended, 4.00 are taken.
	for ended, want := range map[Amount]SubscriptionState{300: SubscriptionActive, 500: SubscriptionSuspended} {
		a := account(subscribe(perMinute(0), "2026-11-01"))
		a.Credit, a.Ended = map[Currency]Amount{"EUR": 500}, map[Currency]Amount{"EUR": ended}
		a.Usage = []DayUsage{{Day: day("2026-11-01"), Seconds: 600}}
		run(t, a, "2026-11-02")
		require.Equal(t, want, a.Subscriptions[0].State, "ended %d", ended)
	}
	b, err := Change(a, a.Subscriptions[0].ID, monthly(3000), day("2026-11-02"), options("2026-11-02"))
	require.NoError(t, err)
	require.Equal(t, SubscriptionActive, b.Subscriptions[0].State, "what is paid for afterwards needs no credit")
}

func TestUsageAtCertainHours(t *testing.T) {
	rate := traffic(func(t *Terms) { t.Usage[0].Hours = "Wk0800-1800" })
	a := account(subscribe(rate, "2026-11-01"))
	a.Usage = []DayUsage{octets("2026-11-05", 9000)}
	_, err := Compute(a, options("2026-12-01"))
	require.ErrorContains(t, err, "usage at Wk0800-1800 was not read")
	require.Equal(t, []string{"Wk0800-1800"}, HoursOf(a.Subscriptions, a.Rates))
	a.Hours = HourUsage{Texts: []string{"Wk0800-1800"}, Parts: []HourPart{{[]string{"Wk0800-1800"}, []DayUsage{octets("2026-11-05", 110)}}}}
	require.Equal(t, Amount(100), usageOf(run(t, a, "2026-12-01"))[0].Amount)
}

func TestUsageSince(t *testing.T) {
	o := options("2027-03-10")
	o.LookBack = 40 // January 29
	rated := func(rate Rate, until string) []Subscription {
		s := subscribe(rate, "2026-01-01")
		s.RatedUntil, s.ChargedUntil = day(until), day("2027-04-01")
		return []Subscription{s}
	}
	require.Equal(t, Date{}, UsageSince(rated(monthly(1000), "2027-03-01"), nil, o), "without usage terms")
	require.Equal(t, day("2027-01-01"), UsageSince(rated(traffic(), "2027-03-01"), nil, o), "the period that ends in the days looked back at")
	require.Equal(t, day("2026-11-01"), UsageSince(rated(traffic(), "2026-11-01"), nil, o), "what is not rated yet")
	require.Equal(t, day("2026-12-01"), UsageSince(rated(traffic(func(t *Terms) { t.Usage[0].Rollover = 1 }), "2027-03-01"), nil, o), "and what is carried into it")
	require.Equal(t, day("2026-01-01"), UsageSince([]Subscription{subscribe(traffic(), "2026-01-01")}, nil, o))

	s := rated(monthly(1000), "2027-03-01")
	s[0].NextRateID, s[0].NextFrom = traffic().ID, day("2027-03-05")
	require.Equal(t, day("2027-03-05"), UsageSince(s, map[uuid.UUID]Rate{traffic().ID: traffic()}, o))
}

func TestRecomputeRefusesWhatDoesNotFit(t *testing.T) {
	a := account(subscribe(traffic(), "2026-11-01"))
	a.Usage = []DayUsage{octets("2026-11-05", 135)}
	b := run(t, a, "2026-12-01")
	c := usageOf(b)[0]
	_, err := Recompute(c, monthly(1000).Terms)
	require.ErrorContains(t, err, "which its rate does not charge for")
	forged := c
	forged.Inputs.Allowance = 1000
	_, err = Recompute(forged, traffic().Terms)
	require.ErrorContains(t, err, "its allowance is 1000, by its terms it is 100")
	forged = c
	forged.Inputs.Usage = []DayUsage{octets("2026-11-05", 136)}
	amount, err := Recompute(forged, traffic().Terms)
	require.NoError(t, err)
	require.NotEqual(t, forged.Amount, amount)
	forged = b.Charges[0]
	forged.Inputs.Days = 40
	_, err = Recompute(forged, traffic().Terms)
	require.ErrorContains(t, err, "40 days after 0 of a period of 30")
}

func TestExplain(t *testing.T) {
	rate := traffic(func(t *Terms) {
		t.BillingDay, t.Setup = 1, 500
		t.Usage[0] = UsageTerms{Metric: MetricDownload, Allowance: 3 * gib, Per: gib, Minimum: 10, Tiers: []Tier{{gib, dec("0.50")}, {0, dec("0.1")}}}
	})
	a := account(subscribe(rate, "2026-11-21"))
	a.Usage = []DayUsage{{Day: day("2026-11-22"), Download: 2 * gib}, {Day: day("2026-11-25"), Download: gib + gib/2}}
	run(t, a, "2026-11-30")
	charges := append(a.Pending, run(t, a, "2026-12-01").Charges...)
	usage := charges[len(charges)-1]
	text, err := Explain(usage, rate.Terms)
	require.NoError(t, err)
	// a third of 3 GiB is 1 GiB; 2.5 GiB beyond it are 0.50 + 1.5 * 0.10
	require.Equal(t, `2026-11-22: 2 GiB
2026-11-25: 1.5 GiB
used 3.5 GiB
allowance for 10 of 30 days
free of charge 1 GiB
beyond it 2.5 GiB
1 GiB at 0.5 for each GiB
1.5 GiB at 0.1 for each GiB
at least 0.10
amount 0.65 EUR
`, text)

	b, err := Cancel(a, a.Subscriptions[0].ID, day("2026-12-12"), options("2026-12-12"))
	require.NoError(t, err)
	text, err = Explain(b.Charges[0], rate.Terms)
	require.NoError(t, err)
	require.Equal(t, `price of a period 10.00
first 31 of 31 days: 10.00 * 31 / 31 = 10.00
less the first 11: 10.00 * 11 / 31 = 3.55
given back
amount -6.45 EUR
`, text)
	b, err = Compute(account(subscribe(rate, "2026-11-21")), options("2026-11-21"))
	require.NoError(t, err)
	text, err = Explain(b.Charges[0], rate.Terms)
	require.NoError(t, err)
	require.Equal(t, "set-up fee 5.00\namount 5.00 EUR\n", text)
}

// TestInputsAsJSON fixes the form that charges are kept in.
func TestInputsAsJSON(t *testing.T) {
	b, err := json.Marshal(Inputs{Days: 10, Of: 30, Metric: MetricOctets, Usage: []DayUsage{octets("2026-11-05", 40)}, Allowance: 5, Carried: []Carried{{2, 1}}})
	require.NoError(t, err)
	require.JSONEq(t, `{"days":10,"of":30,"metric":"octets","usage":[{"day":"2026-11-05","upload":10,"download":30}],"allowance":5,"carried":[{"quantity":2,"periods":1}]}`, string(b))
}

func TestUsageIsChargedOnce(t *testing.T) {
	a, b := subscribe(traffic(), "2026-11-01"), subscribe(traffic(), "2026-11-01")
	b.ID, b.CreatedAt = uuid.New(), a.CreatedAt.Add(1)
	usage := func(s ...Subscription) map[uuid.UUID]Amount {
		x := account(s...)
		x.Usage = []DayUsage{octets("2026-11-05", 110), octets("2026-11-20", 120)}
		sums := map[uuid.UUID]Amount{}
		for _, c := range usageOf(run(t, x, "2026-12-05")) {
			if c.Amount != 0 {
				sums[c.SubscriptionID] += c.Amount
			}
		}
		return sums
	}
	require.Equal(t, map[uuid.UUID]Amount{a.ID: 1300}, usage(a, b), "230 less 100: the one that was made first")
	require.Equal(t, map[uuid.UUID]Amount{a.ID: 1300}, usage(b, a), "in any order")
	ended := a
	ended.End = day("2026-11-10")
	require.Equal(t, usage(ended, b)[b.ID], Amount(200), "from its end on the other one's: 120 less 100")
	flat := subscribe(monthly(0), "2026-11-01")
	flat.ID = uuid.New()
	require.Equal(t, map[uuid.UUID]Amount{a.ID: 1300}, usage(flat, a), "without terms for usage it takes none")
	x := account(b)
	x.Former = []Subscription{ended}
	x.Usage = []DayUsage{octets("2026-11-05", 110), octets("2026-11-20", 120)}
	require.Equal(t, Amount(200), usageOf(run(t, x, "2026-12-05"))[0].Amount, "also when the first one is done with")
}

// Each metric, and the hours of the day that the first one does not meter, are charged by who
// has terms for them.
func TestUsageOfDifferentKindsIsCharged(t *testing.T) {
	const work = "Wk0800-1800"
	metric := func(m Metric, hours string) Rate {
		return traffic(func(t *Terms) {
			t.Usage = []UsageTerms{{Metric: m, Per: 1, Tiers: []Tier{{0, dec("0.01")}}, Hours: hours}}
		})
	}
	for name, c := range map[string]struct {
		first, second Rate
		want          []Amount // cents: one for a second or an octet
	}{
		"seconds beside octets":          {metric(MetricOctets, ""), metric(MetricSeconds, ""), []Amount{150, 3600}},
		"download beside upload":         {metric(MetricUpload, ""), metric(MetricDownload, ""), []Amount{50, 100}},
		"all octets beside upload":       {metric(MetricUpload, ""), metric(MetricOctets, ""), []Amount{50, 100}},
		"upload beside all octets":       {metric(MetricOctets, ""), metric(MetricUpload, ""), []Amount{150, 0}},
		"the day beside working hours":   {metric(MetricOctets, work), metric(MetricOctets, ""), []Amount{45, 105}},
		"working hours beside the day":   {metric(MetricOctets, ""), metric(MetricOctets, work), []Amount{150, 0}},
		"working hours beside the same":  {metric(MetricOctets, work), metric(MetricOctets, work), []Amount{45, 0}},
		"seconds beside octets at hours": {metric(MetricOctets, work), metric(MetricSeconds, ""), []Amount{45, 3600}},
	} {
		t.Run(name, func(t *testing.T) {
			c.second.ID = uuid.New()
			a, b := subscribe(c.first, "2026-11-01"), subscribe(c.second, "2026-11-01")
			b.ID, b.CreatedAt = uuid.New(), a.CreatedAt.Add(1)
			x := account(a, b)
			x.Usage = []DayUsage{{Day: day("2026-11-05"), Seconds: 3600, Upload: 50, Download: 100}}
			x.Hours = HourUsage{Texts: []string{work}, Parts: []HourPart{{[]string{work}, []DayUsage{{Day: day("2026-11-05"), Seconds: 600, Upload: 25, Download: 20}}}}}
			sums := map[uuid.UUID]Amount{}
			for _, charge := range usageOf(run(t, x, "2026-12-05")) {
				sums[charge.SubscriptionID] += charge.Amount
			}
			require.Equal(t, c.want, []Amount{sums[a.ID], sums[b.ID]})
		})
	}
}
