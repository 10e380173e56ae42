package storetest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
	"radiusd/store"
)

// civil reads a day.
func civil(text string) billing.Date {
	d, err := billing.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

func decimal(text string) billing.Decimal {
	d, err := billing.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

// requireRefused requires that a rule forbids it, in words without ids.
func requireRefused(t testing.TB, err error, code string) {
	t.Helper()
	var rule *billing.RuleError
	require.ErrorAs(t, err, &rule)
	assert.Equal(t, code, rule.Code, "%v", err)
	assert.NotRegexp(t, "[0-9a-f]{8}-[0-9a-f]{4}", err.Error())
}

// monthly are the terms of a plan that is paid by the month, with usage.
func monthly(price billing.Amount) billing.Terms {
	return billing.Terms{
		Price: price, Setup: 500, Every: billing.Interval{Unit: billing.Month, Count: 1}, Timing: billing.InAdvance,
		TaxClass: "standard", DueDays: 14,
		Usage: []billing.UsageTerms{{Metric: billing.MetricOctets, Allowance: 1 << 30, Per: 1 << 30, Tiers: []billing.Tier{{Price: decimal("0.5")}}}},
	}
}

// newRate makes a plan with a rate.
func newRate(t testing.TB, s *store.Store, plan string, terms billing.Terms) *billing.Rate {
	t.Helper()
	p := &aaa.Plan{ID: uuid.NewSHA1(uuid.NameSpaceOID, []byte(plan)), Name: plan}
	require.NoError(t, s.CreatePlan(t.Context(), p))
	r := &billing.Rate{ID: uuid.NewSHA1(p.ID, nil), PlanID: p.ID, Currency: "EUR", Terms: terms}
	require.NoError(t, s.CreateRate(t.Context(), r))
	return r
}

func testRates(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	first := newRate(t, s, "gold", monthly(1999))
	assert.Equal(t, 1, first.Version)
	assert.Equal(t, "gold", first.PlanName)
	got, err := s.RateByID(ctx, first.ID)
	require.NoError(t, err)
	assert.Equal(t, first, got)

	second := &billing.Rate{PlanID: first.PlanID, Currency: "EUR", Terms: monthly(2499)}
	require.NoError(t, s.CreateRate(ctx, second))
	assert.Equal(t, 2, second.Version)
	offered, err := s.OfferedRate(ctx, first.PlanID)
	require.NoError(t, err)
	assert.Equal(t, second, offered)
	got, err = s.RateByID(ctx, first.ID)
	require.NoError(t, err)
	assert.Equal(t, second.CreatedAt, got.RetiredAt)
	assert.Equal(t, first.Terms, got.Terms, "those who have it keep it")
	other := newRate(t, s, "silver", monthly(999))

	yes, no := true, false
	for name, tt := range map[string]struct {
		filter billing.RateFilter
		want   []uuid.UUID
	}{
		"all":       {billing.RateFilter{}, []uuid.UUID{other.ID, second.ID, first.ID}},
		"of a plan": {billing.RateFilter{PlanID: first.PlanID}, []uuid.UUID{second.ID, first.ID}},
		"offered":   {billing.RateFilter{Offered: &yes}, []uuid.UUID{other.ID, second.ID}},
		"retired":   {billing.RateFilter{Offered: &no}, []uuid.UUID{first.ID}},
	} {
		list := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]billing.Rate, string, error) { return s.ListRatesPage(ctx, tt.filter, p) }, func() {})
		var ids []uuid.UUID
		for i := range list {
			ids = append(ids, list[i].ID)
		}
		assert.Equal(t, tt.want, ids, name)
	}

	require.NoError(t, s.RetireRate(ctx, second.ID))
	require.NoError(t, s.RetireRate(ctx, second.ID), "once is enough")
	_, err = s.OfferedRate(ctx, first.PlanID)
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorIs(t, s.RetireRate(ctx, uuid.New()), store.ErrNotFound)
	_, err = s.RateByID(ctx, uuid.New())
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorIs(t, s.CreateRate(ctx, &billing.Rate{PlanID: uuid.New(), Currency: "EUR", Terms: monthly(1)}), store.ErrNotFound)
	assert.ErrorContains(t, s.CreateRate(ctx, &billing.Rate{PlanID: first.PlanID, Currency: "eur", Terms: monthly(1)}), "currency")

	entries, err := s.ListAudit(ctx, operator.AuditFilter{Action: "rates."})
	require.NoError(t, err)
	require.Len(t, entries, 4)
	assert.Equal(t, "rates.retire", entries[0].Action)
	assert.Equal(t, "gold, version 2", entries[0].EntityName)

	// A plan that nobody has subscribed to takes its rates along.
	require.NoError(t, s.DeletePlan(ctx, "silver"))
	_, err = s.RateByID(ctx, other.ID)
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func testTaxRates(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	set := func(class, name, percent, from string) *billing.TaxRate {
		r := &billing.TaxRate{Class: class, Name: name, Percent: decimal(percent), Category: "S", From: civil(from)}
		require.NoError(t, s.SetTaxRate(ctx, r))
		return r
	}
	old := set("standard", "VAT", "16", "2020-07-01")
	now := set("standard", "VAT", "19", "2021-01-01")
	reduced := set("reduced", "VAT", "7", "2007-01-01")
	list, err := s.TaxRates(ctx)
	require.NoError(t, err)
	assert.Equal(t, []billing.TaxRate{*reduced, *old, *now}, list)

	var field *billing.FieldError
	assert.ErrorAs(t, s.SetTaxRate(ctx, &billing.TaxRate{Class: "standard", Name: "City tax", Percent: decimal("2"), Category: "S", From: civil("2021-01-01")}), &field,
		"which one would be taken?")

	again := set("standard", "VAT", "19.5", "2021-01-01")
	assert.Equal(t, now.ID, again.ID, "the same class, name and day")
	set("standard", "VAT", "19.5", "2021-01-01")
	require.NoError(t, s.DeleteTaxRate(ctx, old.ID))
	assert.ErrorIs(t, s.DeleteTaxRate(ctx, old.ID), store.ErrNotFound)
	list, err = s.TaxRates(ctx)
	require.NoError(t, err)
	assert.Equal(t, []billing.TaxRate{*reduced, *again}, list)
	entries, err := s.ListAudit(ctx, operator.AuditFilter{Action: "tax_rates."})
	require.NoError(t, err)
	assert.Len(t, entries, 5, "what changes nothing is not written")
}

func subscribe(t testing.TB, s *store.Store, userID, rateID uuid.UUID, start string) *billing.Subscription {
	t.Helper()
	x := &billing.Subscription{UserID: userID, Rate: billing.Rate{ID: rateID}, Start: civil(start)}
	require.NoError(t, s.CreateSubscription(t.Context(), x))
	return x
}

func testSubscriptions(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	trial := monthly(1999)
	trial.TrialDays = 10
	gold, silver := newRate(t, s, "gold", monthly(1999)), newRate(t, s, "silver", trial)
	var users []uuid.UUID
	for _, name := range []string{"alice", "bob"} {
		u := newUser(name)
		require.NoError(t, s.CreateUser(ctx, u))
		users = append(users, u.ID)
	}
	a := subscribe(t, s, users[0], gold.ID, "2030-01-31")
	assert.Equal(t, billing.SubscriptionActive, a.State)
	assert.Equal(t, a.Start, a.Anchor)
	assert.Equal(t, "alice", a.Username)
	b := subscribe(t, s, users[1], silver.ID, "2030-01-31")
	assert.Equal(t, billing.SubscriptionTrial, b.State)
	assert.Equal(t, civil("2030-02-10"), b.Anchor)
	c := subscribe(t, s, users[1], gold.ID, "2030-02-28")
	got, err := s.SubscriptionByID(ctx, a.ID)
	require.NoError(t, err)
	assert.Equal(t, a, got)
	list, err := s.SubscriptionsOf(ctx, users[1])
	require.NoError(t, err)
	assert.Equal(t, []billing.Subscription{*b, *c}, list)

	charge := billing.Charge{ID: uuid.New(), UserID: users[0], SubscriptionID: a.ID, Kind: billing.ChargeProration, Description: "credit", Currency: "EUR",
		Period: billing.Span{From: civil("2030-02-10"), To: civil("2030-02-28")}, Quantity: decimal("18"), Unit: "day", UnitPrice: decimal("0.71"),
		Amount: -1285, TaxClass: "standard", Inputs: billing.Inputs{RateID: gold.ID, Days: 18, Of: 28}, CreatedAt: at("2030-02-10T08:00:00Z")}
	change := func(x *billing.Subscription) ([]billing.Charge, error) {
		x.Past = []billing.PastRate{{RateID: gold.ID, From: x.Start, Until: civil("2030-02-10"), Anchor: x.Anchor}}
		x.Rate, x.Revision, x.ChargedUntil = billing.Rate{ID: silver.ID}, 1, civil("2030-02-28")
		x.NextRateID, x.NextFrom = gold.ID, civil("2030-03-31")
		return []billing.Charge{charge}, nil
	}
	require.NoError(t, s.UpdateSubscription(ctx, a.ID, change))
	assert.Error(t, s.UpdateSubscription(ctx, a.ID, change), "a charge is made once")
	got, err = s.SubscriptionByID(ctx, a.ID)
	require.NoError(t, err)
	assert.Equal(t, silver.ID, got.Rate.ID)
	assert.Equal(t, silver.Terms, got.Rate.Terms)
	assert.Equal(t, civil("2030-02-10"), got.Past[0].Until)
	assert.True(t, got.UpdatedAt.After(a.UpdatedAt))
	require.NoError(t, s.UpdateSubscription(ctx, c.ID, func(x *billing.Subscription) ([]billing.Charge, error) {
		x.State, x.End = billing.SubscriptionEnded, civil("2030-03-01")
		return nil, nil
	}))
	require.NoError(t, s.UpdateSubscription(ctx, c.ID, func(*billing.Subscription) ([]billing.Charge, error) { return nil, nil }))
	entries, err := s.ListAudit(ctx, operator.AuditFilter{Action: "subscriptions."})
	require.NoError(t, err)
	assert.Len(t, entries, 5)

	for name, tt := range map[string]struct {
		filter billing.SubscriptionFilter
		want   []uuid.UUID
	}{
		"all":       {billing.SubscriptionFilter{}, []uuid.UUID{c.ID, b.ID, a.ID}},
		"of a user": {billing.SubscriptionFilter{UserID: users[1]}, []uuid.UUID{c.ID, b.ID}},
		"of a plan": {billing.SubscriptionFilter{PlanID: silver.PlanID}, []uuid.UUID{b.ID, a.ID}},
		"of a rate": {billing.SubscriptionFilter{RateID: gold.ID}, []uuid.UUID{c.ID}},
		"ended":     {billing.SubscriptionFilter{State: billing.SubscriptionEnded}, []uuid.UUID{c.ID}},
	} {
		list := walk(t, aaa.Page{Limit: 1}, func(p aaa.Page) ([]billing.Subscription, string, error) {
			return s.ListSubscriptionsPage(ctx, tt.filter, p)
		}, func() {})
		var ids []uuid.UUID
		for i := range list {
			ids = append(ids, list[i].ID)
		}
		assert.Equal(t, tt.want, ids, name)
		n, err := s.CountSubscriptions(ctx, tt.filter)
		require.NoError(t, err)
		assert.Equal(t, aaa.Count{N: len(tt.want)}, n, name)
	}

	// What others refer to stays, but for the user.
	assert.ErrorIs(t, s.DeletePlan(ctx, "gold"), store.ErrInUse)
	require.NoError(t, s.SetTaxRate(ctx, &billing.TaxRate{Class: "standard", Name: "VAT", Percent: decimal("19"), Category: "S", From: civil("2020-01-01")}))
	require.NoError(t, s.DeleteUser(ctx, "alice")) // with what is left billed
	got, err = s.SubscriptionByID(ctx, a.ID)
	require.NoError(t, err)
	assert.Empty(t, got.Username)

	for name, x := range map[string]billing.Subscription{
		"no such user": {UserID: uuid.New(), Rate: *gold, Start: civil("2030-01-01")},
		"no such rate": {UserID: users[1], Rate: billing.Rate{ID: uuid.New()}, Start: civil("2030-01-01")},
	} {
		assert.ErrorIs(t, s.CreateSubscription(ctx, &x), store.ErrNotFound, name)
	}
	_, err = s.SubscriptionByID(ctx, uuid.New())
	assert.ErrorIs(t, err, store.ErrNotFound)
	assert.ErrorIs(t, s.UpdateSubscription(ctx, uuid.New(), change), store.ErrNotFound)

	// Asked twice, done once.
	keyed := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "k", Operation: "subscribe", RequestHash: [32]byte{1}})
	require.NoError(t, s.CreateSubscription(keyed, &billing.Subscription{UserID: users[1], Rate: *silver, Start: civil("2031-01-01")}))
	var repeated *operator.RepeatedError
	assert.ErrorAs(t, s.CreateSubscription(keyed, &billing.Subscription{UserID: users[1], Rate: *silver, Start: civil("2031-01-01")}), &repeated)
	assert.WithinDuration(t, time.Now(), b.CreatedAt, time.Minute)
}
