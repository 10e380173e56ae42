package billing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// charged is what a test wants of a charge.
type charged struct {
	kind   ChargeKind
	from   string
	last   string
	amount Amount
}

func requireCharges(t *testing.T, want []charged, charges []Charge) {
	t.Helper()
	var got []charged
	for _, c := range charges {
		got = append(got, charged{c.Kind, c.Period.From.String(), c.Period.To.AddDays(-1).String(), c.Amount})
	}
	require.Equal(t, want, got)
}

func TestPrice(t *testing.T) {
	for name, c := range map[string]struct {
		terms func(*Terms)
		start string
		end   string
		asOf  string
		want  []charged
	}{
		"a month from January 31, in a leap year: full months, however short": {
			nil, "2028-01-31", "", "2028-03-31", []charged{
				{ChargePeriod, "2028-01-31", "2028-02-28", 2990},
				{ChargePeriod, "2028-02-29", "2028-03-30", 2990},
				{ChargePeriod, "2028-03-31", "2028-04-29", 2990},
			}},
		"billing day 1, begun on November 16: 29.90 * 15 / 30 = 14.95": {
			func(t *Terms) { t.BillingDay = 1 }, "2026-11-16", "", "2026-12-01", []charged{
				{ChargePeriod, "2026-11-16", "2026-11-30", 1495},
				{ChargePeriod, "2026-12-01", "2026-12-31", 2990},
			}},
		"billing day 1, begun on February 15: 29.90 * 14 / 28 = 14.95": {
			func(t *Terms) { t.BillingDay = 1 }, "2027-02-15", "", "2027-02-28", []charged{{ChargePeriod, "2027-02-15", "2027-02-28", 1495}}},
		"the same in a leap year: 29.90 * 15 / 29 = 15.4655": {
			func(t *Terms) { t.BillingDay = 1 }, "2028-02-15", "", "2028-02-29", []charged{{ChargePeriod, "2028-02-15", "2028-02-29", 1547}}},
		"March, in which a day has 23 hours in Berlin, is 31 days: 29.90 * 16 / 31 = 15.4323": {
			func(t *Terms) { t.BillingDay = 1 }, "2026-03-16", "", "2026-03-16", []charged{{ChargePeriod, "2026-03-16", "2026-03-31", 1543}}},
		"whole periods: the broken one in full": {
			func(t *Terms) { t.BillingDay, t.WholePeriods = 1, true }, "2026-11-16", "", "2026-11-16", []charged{{ChargePeriod, "2026-11-16", "2026-11-30", 2990}}},
		"an end known before: 29.90 * 10 / 30 = 9.97": {
			nil, "2026-11-01", "2026-11-11", "2027-01-01", []charged{{ChargePeriod, "2026-11-01", "2026-11-10", 997}}},
		"in arrears: on the day after": {
			func(t *Terms) { t.Timing = InArrears }, "2026-11-01", "", "2026-12-01", []charged{{ChargePeriod, "2026-11-01", "2026-11-30", 2990}}},
		"in arrears: not on the last day": {
			func(t *Terms) { t.Timing = InArrears }, "2026-11-01", "", "2026-11-30", nil},
		"in arrears, ended in the middle: 29.90 * 10 / 30 = 9.97": {
			func(t *Terms) { t.Timing = InArrears }, "2026-11-01", "2026-11-11", "2026-11-11", []charged{{ChargePeriod, "2026-11-01", "2026-11-10", 997}}},
		"in arrears, with the set-up fee": {
			func(t *Terms) { t.Timing, t.Setup = InArrears, 500 }, "2026-11-01", "", "2026-12-01", []charged{
				{ChargeSetup, "2026-11-01", "2026-11-01", 500}, {ChargePeriod, "2026-11-01", "2026-11-30", 2990}}},
		"nothing in the trial": {
			func(t *Terms) { t.TrialDays, t.Setup = 14, 500 }, "2026-11-01", "", "2026-11-14", nil},
		"the first period after the trial": {
			func(t *Terms) { t.TrialDays, t.Setup = 14, 500 }, "2026-11-01", "", "2026-11-15", []charged{
				{ChargeSetup, "2026-11-15", "2026-11-15", 500}, {ChargePeriod, "2026-11-15", "2026-12-14", 2990}}},
		"ended in the trial": {
			func(t *Terms) { t.TrialDays, t.Setup = 14, 500 }, "2026-11-01", "2026-11-10", "2027-11-15", nil},
		"a year, ended after 100 days, known before: 29.90 * 100 / 365 = 8.1918": {
			func(t *Terms) { t.Every.Unit = Year }, "2026-11-01", "2027-02-09", "2026-11-01", []charged{{ChargePeriod, "2026-11-01", "2027-02-08", 819}}},
		"a leap year of it: 29.90 * 100 / 366 = 8.1694": {
			func(t *Terms) { t.Every.Unit = Year }, "2027-11-01", "2028-02-09", "2027-11-01", []charged{{ChargePeriod, "2027-11-01", "2028-02-08", 817}}},
		"a week, of which three days are had: 9.99 * 3 / 7 = 4.2814": {
			func(t *Terms) { t.Price, t.Every.Unit = 999, Week }, "2026-03-27", "2026-03-30", "2026-03-27", []charged{{ChargePeriod, "2026-03-27", "2026-03-29", 428}}},
		"30 days, and then 20 of 30: 29.90 * 20 / 30 = 19.9333": {
			func(t *Terms) { t.Every = Interval{Day, 30} }, "2026-11-01", "2026-12-21", "2026-12-01", []charged{
				{ChargePeriod, "2026-11-01", "2026-11-30", 2990}, {ChargePeriod, "2026-12-01", "2026-12-20", 1993}}},
		"a quarter of 92 days, ended after 40: 89.70 * 40 / 92 = 39.00": {
			func(t *Terms) { t.Price, t.Every.Unit = 8970, Quarter }, "2026-11-10", "2026-12-20", "2026-11-10", []charged{{ChargePeriod, "2026-11-10", "2026-12-19", 3900}}},
		"a quarter to the 1st, begun on November 10: 21 of the 91 days since September 1, 89.70 * 21 / 91 = 20.70": {
			func(t *Terms) { t.Price, t.Every.Unit, t.BillingDay = 8970, Quarter, 1 }, "2026-11-10", "", "2026-12-01", []charged{
				{ChargePeriod, "2026-11-10", "2026-11-30", 2070}, {ChargePeriod, "2026-12-01", "2027-02-28", 8970}}},
		"no price, no charge": {
			func(t *Terms) { t.Price = 0 }, "2026-11-01", "", "2027-11-01", nil},
	} {
		t.Run(name, func(t *testing.T) {
			rate := monthly(2990)
			if c.terms != nil {
				c.terms(&rate.Terms)
			}
			s := subscribe(rate, c.start)
			if c.end != "" {
				s.End = day(c.end)
			}
			b := run(t, account(s), c.asOf)
			requireCharges(t, c.want, b.Charges)
			for _, charge := range b.Charges {
				amount, err := Recompute(charge, rate.Terms)
				require.NoError(t, err)
				require.Equal(t, charge.Amount, amount)
			}
		})
	}
}

func TestPriceInCurrenciesOfNoneAndThreeDecimals(t *testing.T) {
	for _, c := range []struct {
		currency Currency
		price    Amount
		want     Amount
		unit     string
	}{
		{"JPY", 2980, 1490, "1490"},   // 2980 * 15 / 30
		{"JPY", 2985, 1493, "1493"},   // 2985 * 15 / 30 = 1492.5
		{"KWD", 9999, 5000, "5"},      // 9.999 * 15 / 30 = 4.9995, a half of 0.001
		{"KWD", 10001, 5001, "5.001"}, // 5.0005
	} {
		rate := monthly(c.price, func(t *Terms) { t.BillingDay = 1 })
		rate.Currency = c.currency
		b := run(t, account(subscribe(rate, "2026-11-16")), "2026-11-16")
		require.Equal(t, c.want, b.Charges[0].Amount, "%+v", c)
		require.Equal(t, c.unit, b.Charges[0].UnitPrice.String())
	}
}

// TestPrepaidDays: 31.00 EUR for November are 1.0333 a day, that is 1.03, 1.04 (2.0667
// less 1.03), 1.03 (3.10 less 2.07), … and 31.00 in all.
func TestPrepaidDays(t *testing.T) {
	rate := monthly(3100, func(t *Terms) { t.Prepaid, t.TaxIncluded = PrepaidDaily, true })
	a := account(subscribe(rate, "2026-11-01"))
	a.Credit = map[Currency]Amount{"EUR": 5000}
	var amounts []Amount
	for d := day("2026-11-01"); d.Before(day("2026-12-01")); d = d.AddDays(1) {
		b := run(t, a, d.String())
		require.Len(t, b.Charges, 1)
		require.Empty(t, b.Invoices, "the invoice comes when the period is over")
		amounts = append(amounts, b.Charges[0].Amount)
	}
	require.Equal(t, []Amount{103, 104, 103, 103, 104, 103}, amounts[:6])
	require.Equal(t, Amount(3100), sum(a.Pending, ChargePeriod))

	b := run(t, a, "2026-12-01")
	require.Len(t, b.Invoices, 1)
	i := b.Invoices[0]
	require.Len(t, i.Lines, 30, "December 1 waits for its own invoice")
	// 31.00 contain 31.00 * 19 / 119 = 4.9496 of tax
	require.Equal(t, []Amount{2605, 495, 3100}, []Amount{i.Net, i.Tax, i.Total})
	require.Len(t, a.Pending, 1)
}

func TestPrepaidDaysStopWithoutCredit(t *testing.T) {
	rate := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Setup = PrepaidDaily, true, 200 })
	a := account(subscribe(rate, "2026-11-01"))
	require.Empty(t, run(t, a, "2026-11-03").Charges)
	require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)

	// 2.00 of set-up and 1.00 a day: 4.50 are enough for November 5 and 6.
	a.Credit = map[Currency]Amount{"EUR": 450}
	requireCharges(t, []charged{{ChargeSetup, "2026-11-05", "2026-11-05", 200}, {ChargePeriod, "2026-11-05", "2026-11-05", 100}}, run(t, a, "2026-11-05").Charges)
	require.Equal(t, SubscriptionActive, a.Subscriptions[0].State)
	requireCharges(t, []charged{{ChargePeriod, "2026-11-06", "2026-11-06", 100}}, run(t, a, "2026-11-08").Charges)
	require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)
	require.Equal(t, &Bill{}, run(t, a, "2026-11-08"))

	a.Credit["EUR"] += 1000
	requireCharges(t, []charged{{ChargePeriod, "2026-11-10", "2026-11-10", 100}}, run(t, a, "2026-11-10").Charges)
	require.Equal(t, SubscriptionActive, a.Subscriptions[0].State, "days that were not served are free")
}

// What is owed is no reason to end a trial, which costs nothing.
func TestExhaustLeavesTrials(t *testing.T) {
	rate := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded = PrepaidDaily, true })
	served, trial := subscribe(rate, "2026-11-01"), subscribe(rate, "2026-11-01")
	trial.ID, trial.State, trial.Anchor = makeID("trial"), SubscriptionTrial, day("2026-11-15")
	a := account(served, trial)
	a.Credit = map[Currency]Amount{"EUR": -1}
	b, err := Exhaust(a, options("2026-11-01"))
	require.NoError(t, err)
	require.Len(t, b.Subscriptions, 1)
	require.Equal(t, served.ID, b.Subscriptions[0].ID)
}

// A run for a day that is over finds the credit of today: it serves nobody again.
func TestRunForADayThatIsOverLiftsNoSuspension(t *testing.T) {
	rate := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded = PrepaidDaily, true })
	a := account(subscribe(rate, "2026-11-01"))
	a.Credit = map[Currency]Amount{"EUR": 200}
	for _, d := range []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"} {
		run(t, a, d)
	}
	require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)
	for _, d := range []string{"2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"} {
		o := options(d)
		o.Now = day("2026-11-04").Start(time.UTC)
		b, err := Compute(a, o)
		require.NoError(t, err)
		require.Equal(t, &Bill{}, b, d)
	}
}

func TestChangeNow(t *testing.T) {
	old, dear := monthly(3000), monthly(6000)
	dear.PlanName = "Office"
	a := account(subscribe(old, "2026-11-01"))
	id := a.Subscriptions[0].ID
	run(t, a, "2026-11-01")
	b, err := Change(a, id, dear, day("2026-11-11"), options("2026-11-11"))
	require.NoError(t, err)
	apply(a, b)
	// had 10 days: 30.00 * 10 / 30 = 10.00, so 20.00 back; 20 days of the new: 60.00 * 20 / 30 = 40.00
	requireCharges(t, []charged{{ChargeProration, "2026-11-11", "2026-11-30", -2000}, {ChargePeriod, "2026-11-11", "2026-11-30", 4000}}, b.Charges)
	require.Equal(t, "Home, credit (20 of 30 days)", b.Charges[0].Description)
	require.Equal(t, "Office (20 of 30 days)", b.Charges[1].Description)
	require.Equal(t, []string{"-1", "20"}, []string{b.Charges[0].Quantity.String(), b.Charges[0].UnitPrice.String()})

	// Back on the same day: of the new one no day was had.
	back, err := Change(a, id, old, day("2026-11-11"), options("2026-11-11"))
	require.NoError(t, err)
	apply(a, back)
	requireCharges(t, []charged{{ChargeProration, "2026-11-11", "2026-11-30", -4000}, {ChargePeriod, "2026-11-11", "2026-11-30", 2000}}, back.Charges)
	require.NotEqual(t, b.Charges[0].ID, back.Charges[0].ID)

	b = run(t, a, "2026-12-01")
	requireCharges(t, []charged{{ChargePeriod, "2026-12-01", "2026-12-31", 3000}}, b.Charges)
	require.Equal(t, Amount(3000), b.Invoices[0].Net, "the period goes on, and what was credited and charged cancels out")
}

func TestChangeOfThePeriodBeginsANewOne(t *testing.T) {
	yearly := monthly(30000, func(t *Terms) { t.Every.Unit = Year })
	a := account(subscribe(monthly(3000), "2026-11-01"))
	run(t, a, "2026-11-01")
	b, err := Change(a, a.Subscriptions[0].ID, yearly, day("2026-11-11"), options("2026-11-11"))
	require.NoError(t, err)
	requireCharges(t, []charged{{ChargeProration, "2026-11-11", "2026-11-30", -2000}, {ChargePeriod, "2026-11-11", "2027-11-10", 30000}}, b.Charges)
}

func TestChangeAtThePeriodsEnd(t *testing.T) {
	old, dear := monthly(3000, func(t *Terms) { t.Timing = InArrears }), monthly(6000)
	a := account(subscribe(old, "2026-11-01"))
	a.Rates[dear.ID] = dear
	s := &a.Subscriptions[0]
	end := s.PeriodEnd(day("2026-11-11"))
	require.Equal(t, day("2026-12-01"), end)
	b, err := Change(a, s.ID, dear, end, options("2026-11-11"))
	require.NoError(t, err)
	require.Empty(t, b.Charges)
	apply(a, b)
	b = run(t, a, "2026-12-02")
	requireCharges(t, []charged{{ChargePeriod, "2026-11-01", "2026-11-30", 3000}, {ChargePeriod, "2026-12-01", "2026-12-31", 6000}}, b.Charges)
	require.Equal(t, dear.ID, a.Subscriptions[0].Rate.ID)
	require.Equal(t, []PastRate{{old.ID, day("2026-11-01"), day("2026-12-01"), day("2026-11-01")}}, a.Subscriptions[0].Past)
}

func TestChangeInTheTrial(t *testing.T) {
	trial := func(t *Terms) { t.TrialDays = 14 }
	dear := monthly(6000)
	for name, on := range map[string]string{"while it lasts": "2026-11-10", "from a day of it on, when it is over": "2026-11-16"} {
		t.Run(name, func(t *testing.T) {
			a := account(subscribe(monthly(3000, trial), "2026-11-01"))
			charges := run(t, a, on).Charges
			b, err := Change(a, a.Subscriptions[0].ID, dear, day("2026-11-10"), options(on))
			require.NoError(t, err)
			apply(a, b)
			charges = append(append(charges, b.Charges...), run(t, a, "2026-11-20").Charges...)
			require.Equal(t, Amount(6000), sum(charges, ChargePeriod, ChargeProration), "November 15 to December 14 at the new rate alone")
			require.Equal(t, Span{day("2026-11-15"), day("2026-12-15")}, charges[len(charges)-1].Period)
		})
	}
}

// TestCancelAfterAPlannedChange: 30.00 for November, a change planned for the 11th, and
// then an end on the 21st: the 21st to the 30th are given back at once (10.00), the 11th to
// the 20th when the change comes (10.00), with 60.00 * 10 / 30 = 20.00 for the new rate.
func TestCancelAfterAPlannedChange(t *testing.T) {
	dear := monthly(6000)
	a := account(subscribe(monthly(3000), "2026-11-01"))
	a.Rates[dear.ID] = dear
	id := a.Subscriptions[0].ID
	run(t, a, "2026-11-01")
	b, err := Change(a, id, dear, day("2026-11-11"), options("2026-11-02"))
	require.NoError(t, err)
	apply(a, b)
	b, err = Cancel(a, id, day("2026-11-21"), options("2026-11-02"))
	require.NoError(t, err)
	apply(a, b)
	requireCharges(t, []charged{{ChargeProration, "2026-11-21", "2026-11-30", -1000}}, b.Charges)
	requireCharges(t, []charged{{ChargeProration, "2026-11-11", "2026-11-20", -1000}, {ChargePeriod, "2026-11-11", "2026-11-20", 2000}}, run(t, a, "2026-11-11").Charges)
}

func TestCancelAndResume(t *testing.T) {
	a := account(subscribe(monthly(3100), "2026-12-01"))
	id := a.Subscriptions[0].ID
	run(t, a, "2026-12-01")
	amend := func(b *Bill, err error) []Charge {
		require.NoError(t, err)
		apply(a, b)
		return b.Charges
	}
	// 31.00 less 20 days had, 31.00 * 20 / 31 = 20.00
	requireCharges(t, []charged{{ChargeProration, "2026-12-21", "2026-12-31", -1100}}, amend(Cancel(a, id, day("2026-12-21"), options("2026-12-10"))))
	require.Empty(t, amend(Resume(a, id, options("2026-12-20"))), "the days that were credited are due when they come")
	requireCharges(t, []charged{{ChargePeriod, "2026-12-21", "2026-12-31", 1100}}, run(t, a, "2026-12-21").Charges)
	requireCharges(t, []charged{{ChargeProration, "2026-12-21", "2026-12-31", -1100}}, amend(Cancel(a, id, day("2026-12-21"), options("2026-12-21"))))
	require.Equal(t, SubscriptionEnded, a.Subscriptions[0].State)

	require.Empty(t, run(t, a, "2026-12-21").Invoices, "there is no invoice that a credit note could be about")
	a.Billed = []Billed{
		{a.Subscriptions[0].ID, "EUR", "2026-000001"}, {a.Subscriptions[0].ID, "EUR", "2026-000002"},
		{makeID("another"), "EUR", "2026-000003"}, {a.Subscriptions[0].ID, "USD", "2026-000004"},
	}
	b := run(t, a, "2026-12-21")
	require.Len(t, b.Invoices, 1, "nothing comes after it, so the credit is given by a credit note")
	note := b.Invoices[0]
	require.Equal(t, KindCreditNote, note.Kind)
	require.Equal(t, "2026-CN", note.Series, "which has a number of its own")
	require.Equal(t, "2026-000002", note.CorrectsNumber, "the last invoice that the subscription is on")
	// 11.00 net; 19 % are 2.09
	require.Equal(t, []Amount{1100, 209, 1309}, []Amount{note.Net, note.Tax, note.Total})
	require.Equal(t, &Bill{}, run(t, a, "2027-03-01"))
	_, err := Resume(a, id, options("2026-12-21"))
	require.ErrorContains(t, err, "there is no end to take back")
	_, err = Cancel(a, id, day("2027-01-01"), options("2026-12-22"))
	require.ErrorContains(t, err, "it has ended")
}

func TestAChangeIsRefused(t *testing.T) {
	other, dollars := monthly(5000), monthly(5000)
	dollars.ID, dollars.Currency = makeID("dollars"), "USD"
	for name, c := range map[string]struct {
		edit func(*Subscription)
		to   Rate
		on   string
		want string
	}{
		"the same rate":          {nil, monthly(3000), "2026-11-10", "it has that rate already"},
		"another currency":       {nil, dollars, "2026-11-10", "it is in EUR, the new rate in USD"},
		"before the start":       {nil, other, "2026-10-10", "it begins on 2026-11-01 only"},
		"before usage was rated": {func(s *Subscription) { s.RatedUntil = day("2026-11-12") }, other, "2026-11-10", "its usage has been charged for until 2026-11-12"},
		"before the last change": {func(s *Subscription) {
			s.Past = []PastRate{{makeID("x"), day("2026-11-01"), day("2026-11-11"), day("2026-11-01")}}
		}, other, "2026-11-10", "it was changed on 2026-11-11"},
		"after the end": {func(s *Subscription) { s.End = day("2026-12-01") }, other, "2026-12-01", "it ends on 2026-12-01"},
	} {
		t.Run(name, func(t *testing.T) {
			a := account(subscribe(monthly(3000), "2026-11-01"))
			if c.edit != nil {
				c.edit(&a.Subscriptions[0])
			}
			_, err := Change(a, a.Subscriptions[0].ID, c.to, day(c.on), options("2026-11-12"))
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Change(account(), makeID("none"), other, day("2026-11-01"), options("2026-11-12"))
	require.ErrorContains(t, err, "has no such subscription")
}

func TestSubscriptionStates(t *testing.T) {
	require.True(t, SubscriptionTrial.CanBecome(SubscriptionActive))
	require.True(t, SubscriptionSuspended.CanBecome(SubscriptionActive))
	require.True(t, SubscriptionEnded.CanBecome(SubscriptionEnded))
	for _, next := range []SubscriptionState{SubscriptionTrial, SubscriptionActive, SubscriptionGrace, SubscriptionSuspended} {
		require.False(t, SubscriptionEnded.CanBecome(next), next)
	}
	require.False(t, SubscriptionActive.CanBecome(SubscriptionTrial))
	require.False(t, SubscriptionState("paused").CanBecome("paused"))

	a := account(subscribe(monthly(3000, func(t *Terms) { t.TrialDays = 7 }), "2026-11-01"))
	require.Equal(t, SubscriptionTrial, a.Subscriptions[0].State)
	run(t, a, "2026-11-08")
	require.Equal(t, SubscriptionActive, a.Subscriptions[0].State)
}

// Days that go by without credit are never paid for, also if the first of all was one, and
// the subscription has ended since or is paid for afterwards.
func TestPrepaidDaysWithoutCreditStayFree(t *testing.T) {
	rate := monthly(3000, func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Setup = PrepaidDaily, true, 200 })
	waiting := func() *Account {
		a := account(subscribe(rate, "2026-11-01"))
		a.Subscriptions[0].End = day("2026-11-05")
		for _, d := range []string{"2026-11-01", "2026-11-02", "2026-11-04"} {
			run(t, a, d)
			require.Equal(t, SubscriptionSuspended, a.Subscriptions[0].State)
		}
		return a
	}
	a := waiting()
	run(t, a, "2026-11-05")
	require.Equal(t, SubscriptionEnded, a.Subscriptions[0].State)
	a.Credit = map[Currency]Amount{"EUR": 9000}
	require.Empty(t, run(t, a, "2026-11-06").Charges)

	a = waiting()
	a.Subscriptions[0].End = Date{}
	afterwards := monthly(3100, func(t *Terms) { t.Setup = 500 })
	afterwards.ID = makeID("afterwards")
	a.Rates[afterwards.ID] = afterwards
	b, err := Change(a, a.Subscriptions[0].ID, afterwards, day("2026-11-05"), options("2026-11-05"))
	require.NoError(t, err)
	apply(a, b)
	charges := b.Charges
	charges = append(charges, run(t, a, "2026-11-05").Charges...)
	charges = append(charges, run(t, a, "2026-11-06").Charges...)
	sums := map[ChargeKind]Amount{}
	for _, c := range charges {
		require.False(t, c.Period.From.Before(day("2026-11-05")), "%s of %v", c.Description, c.Period)
		sums[c.Kind] += c.Amount
	}
	require.Equal(t, map[ChargeKind]Amount{ChargeSetup: 500, ChargePeriod: 3100}, sums)
	require.Equal(t, SubscriptionActive, a.Subscriptions[0].State)
}
