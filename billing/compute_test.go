package billing

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func day(s string) Date {
	d, err := ParseDate(s)
	if err != nil {
		panic(err)
	}
	return d
}

func dec(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

var (
	testTaxes = []TaxRate{
		{Class: "standard", Name: "VAT", Percent: dec("19"), Category: "S", From: day("2000-01-01")},
		{Class: "reduced", Name: "VAT", Percent: dec("7"), Category: "S", From: day("2000-01-01")},
		{Class: "exempt", Name: "VAT", Percent: dec("0"), Category: "E", ExemptionReason: "Article 132", From: day("2000-01-01")},
	}
	testNow = time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	userID  = uuid.MustParse("01900000-0000-7000-8000-000000000001")
)

// monthly returns a rate at a price a month, in advance, in EUR, taxed at 19 %.
func monthly(price Amount, change ...func(*Terms)) Rate {
	r := Rate{ID: makeID("test rate", int(price), len(change)), PlanName: "Home", Currency: "EUR", Terms: Terms{
		Price: price, Every: Interval{Month, 1}, Timing: InAdvance, TaxClass: "standard",
	}}
	for _, f := range change {
		f(&r.Terms)
	}
	return r
}

func account(subscriptions ...Subscription) *Account {
	return &Account{UserID: userID, Username: "anna", Subscriptions: subscriptions, Rates: map[uuid.UUID]Rate{}}
}

func subscribe(rate Rate, start string) Subscription {
	return NewSubscription(makeID("test subscription", start, rate.ID), userID, rate, day(start), testNow)
}

func options(asOf string) RunOptions {
	return RunOptions{AsOf: day(asOf), Location: time.UTC, Taxes: testTaxes, Series: "2026", CreditSeries: "2026-CN", Now: testNow, LookBack: 400}
}

// apply does to the account what the store does with a bill.
func apply(a *Account, b *Bill) {
	for _, s := range b.Subscriptions {
		for i := range a.Subscriptions {
			if a.Subscriptions[i].ID == s.ID {
				a.Subscriptions[i] = s
			}
		}
	}
	on := map[uuid.UUID]bool{}
	for _, i := range b.Invoices {
		for _, l := range i.Lines {
			on[l.ChargeID] = true
		}
	}
	var pending []Charge
	for _, c := range append(a.Pending, b.Charges...) {
		if !on[c.ID] {
			pending = append(pending, c)
		}
	}
	a.Pending = pending
	for _, c := range b.Charges {
		if c.Kind == ChargeUsage || c.Kind == ChargeAdjustment {
			a.Rated = append(a.Rated, c)
		}
	}
}

// run computes and applies.
func run(t require.TestingT, a *Account, asOf string) *Bill {
	b, err := Compute(a, options(asOf))
	require.NoError(t, err)
	apply(a, b)
	return b
}

func TestMonthInAdvance(t *testing.T) {
	a := account(subscribe(monthly(2990, func(t *Terms) { t.Setup, t.DueDays = 1500, 14 }), "2026-11-01"))
	require.Empty(t, run(t, a, "2026-10-31").Charges, "nothing is due before the first day")
	b := run(t, a, "2026-11-01")
	require.Len(t, b.Charges, 2)
	require.Len(t, b.Invoices, 1)
	i := b.Invoices[0]
	// 29.90 + 15.00 = 44.90 net; 44.90 * 0.19 = 8.531, rounded 8.53; total 53.43
	require.Equal(t, []Amount{4490, 853, 5343}, []Amount{i.Net, i.Tax, i.Total})
	require.Equal(t, "Home, set-up", i.Lines[0].Description)
	require.Equal(t, "Home", i.Lines[1].Description)
	require.Equal(t, day("2026-11-15"), i.DueOn)
	require.Equal(t, Span{day("2026-11-01"), day("2026-12-01")}, i.Period)

	require.Equal(t, &Bill{}, run(t, a, "2026-11-01"), "a run repeated makes nothing new")
	require.Equal(t, &Bill{}, run(t, a, "2026-11-30"))
	b = run(t, a, "2027-02-01")
	require.Len(t, b.Charges, 3, "runs that were missed are made up for")
	require.Equal(t, Amount(3*2990), b.Invoices[0].Net)
}
