package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/journal"
	"radiusd/operator"
	"radiusd/store"
)

// testBillingUsage: what an account brings of usage, by the day and at certain hours, and
// under names that the user had before; and what stands behind a charge.
func testBillingUsage(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	user := newUser("user of x")
	require.NoError(t, s.CreateUser(ctx, user))
	day := billing.DateOf(noon, time.UTC)
	terms := monthly(0)
	terms.Usage[0].Hours = "Al1210-1220"
	rate := newRate(t, s, "gold", terms)
	subscription := billing.NewSubscription(uuid.New(), user.ID, *rate, day, noon)
	require.NoError(t, s.CreateSubscription(ctx, &subscription))
	// From 12:00 to 12:30 in steps of 15 minutes: 1000 octets up to 12:15, 2000 to 12:30.
	require.NoError(t, write(ctx, sinkOf(t, s), 1, record("x", aaa.AcctStart, 0, 0), record("x", aaa.AcctInterim, 15*time.Minute, 900), record("x", aaa.AcctStop, 30*time.Minute, 2700)))

	account := func() (got billing.Account) {
		t.Helper()
		stop := errors.New("seen")
		o := billing.RunOptions{AsOf: day.AddDays(1), LookBack: 10, Series: "x"}
		err := s.BillAccount(context.WithoutCancel(ctx), user.ID, o, func(a *billing.Account, _ billing.RunOptions) (*billing.Bill, error) {
			got = *a
			return nil, stop
		})
		require.ErrorIs(t, err, stop)
		return got
	}
	a := account()
	assert.Equal(t, "user of x", a.Username)
	assert.Equal(t, []billing.DayUsage{{Day: day, Seconds: 1800, Upload: 2700, Download: 27000}}, a.Usage)
	// 5 of 15 minutes of the first step, 5 of 15 of the second one.
	assert.Equal(t, billing.HourUsage{Texts: []string{"Al1210-1220"}, Parts: []billing.HourPart{
		{Texts: []string{"Al1210-1220"}, Days: []billing.DayUsage{{Day: day, Seconds: 600, Upload: 900, Download: 9000}}}}}, a.Hours)

	charge := &billing.Charge{UserID: user.ID, Description: "usage", Currency: "EUR", Quantity: decimal("1"), Unit: "period", UnitPrice: decimal("1"), Amount: 100,
		Period: billing.Span{From: day, To: day.AddDays(1)}}
	require.NoError(t, s.CreateCharge(ctx, charge))
	got, err := s.ChargeByID(ctx, charge.ID)
	require.NoError(t, err)
	assert.Equal(t, charge, got)

	require.NoError(t, s.UpdateUser(ctx, "user of x", func(u *aaa.User) error { u.Name = "renamed"; return nil }))
	b := account()
	assert.Equal(t, "renamed", b.Username)
	assert.Equal(t, a.Usage, b.Usage, "under the name that it had")
	assert.Equal(t, a.Hours, b.Hours)
	sessions, _, err := s.ChargeSessions(ctx, charge.ID, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	assert.Equal(t, "x", sessions[0].AcctSessionID)
	usage, err := s.ChargeUsage(ctx, charge.ID)
	require.NoError(t, err)
	assert.Equal(t, a.Usage, usage)

	// Records that billing may need are not to be lost, and if they are, nothing is given
	// back for them.
	_, err = s.UpdateSettings(ctx, func(x *aaa.Settings) error {
		x.AccountingRetentionDays, x.SessionPseudonymiseDays, x.AuthRetentionDays = new(93), new(93), new(1)
		return nil
	})
	fields := aaa.FieldErrors(err)
	require.Len(t, fields, 2)
	assert.Contains(t, fields[0].Message, "at least 94", "62 days, one to settle, and a month")
	_, err = s.UpdateSettings(ctx, func(x *aaa.Settings) error { x.AccountingRetentionDays = new(94); return nil })
	require.NoError(t, err)
	execute(t, Raw(t, options), "DELETE FROM accounting_records WHERE status = 'stop'")
	c := account()
	require.ErrorContains(t, c.HoursErr, "session x: its accounting records are not all there any more")
	_, err = billing.Compute(&c, billing.RunOptions{AsOf: day.AddDays(40), LookBack: 60, Series: "x", Location: time.UTC, Taxes: []billing.TaxRate{{Class: "standard", Category: "S"}}})
	require.ErrorIs(t, err, c.HoursErr)

	require.NoError(t, s.DeleteCharge(ctx, charge.ID))
	_, err = s.ChargeByID(ctx, charge.ID)
	assert.ErrorIs(t, err, aaa.ErrNotFound)
}

// usageAt is the usage at hours of the days around noon.
func usageAt(u billing.HourUsage, hours string) []billing.DayUsage {
	day := billing.DateOf(noon, time.UTC)
	return u.At(hours, billing.Span{From: day.AddDays(-10), To: day.AddDays(10)})
}

// testHoursOverlap: what is used at a moment is charged once, whatever the hours of those
// who charge for it have in common.
func testHoursOverlap(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	user := newUser("user of x")
	require.NoError(t, s.CreateUser(ctx, user))
	day := billing.DateOf(noon, time.UTC)
	plans := map[uuid.UUID]string{}
	for _, x := range []struct{ plan, hours string }{{"early", "Al1205-1220"}, {"late", "Al1210-1225"}, {"always", ""}} {
		terms := monthly(0)
		terms.Usage = []billing.UsageTerms{{Metric: billing.MetricUpload, Per: 1, Tiers: []billing.Tier{{Price: decimal("0.01")}}, Hours: x.hours}}
		plans[subscribe(t, s, user.ID, newRate(t, s, x.plan, terms).ID, day.String()).ID] = x.plan
	}
	// One octet a second from 12:00 to 12:15, and two until 12:30.
	require.NoError(t, write(ctx, sinkOf(t, s), 1, record("x", aaa.AcctStart, 0, 0), record("x", aaa.AcctInterim, 15*time.Minute, 900), record("x", aaa.AcctStop, 30*time.Minute, 2700)))
	bill, err := s.PreviewAccount(ctx, user.ID, billing.RunOptions{AsOf: day.AddDays(40), LookBack: 60, Series: "x", Taxes: []billing.TaxRate{{Class: "standard", Category: "S"}}}, billing.Compute)
	require.NoError(t, err)
	got := map[string]billing.Amount{}
	for _, c := range bill.Charges {
		if c.Kind == billing.ChargeUsage {
			got[plans[c.SubscriptionID]] += c.Amount
		}
	}
	// Early has 10 minutes of one octet a second and 5 of two, late 5 of two after that, and
	// always what is left of 2700.
	assert.Equal(t, map[string]billing.Amount{"early": 600 + 600, "late": 600, "always": 900}, got)
}

// testCloseWithoutHours: whose usage at hours cannot be told any more is not closed, unless
// that is to be left out.
func testCloseWithoutHours(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	day := billing.DateOf(noon, time.UTC)
	require.NoError(t, s.SetTaxRate(ctx, &billing.TaxRate{Class: "standard", Name: "VAT", Percent: decimal("19"), Category: "S", From: civil("2020-01-01")}))
	terms := monthly(0)
	terms.Usage[0].Hours = "Al1210-1220"
	terms.Usage = append(terms.Usage, billing.UsageTerms{Metric: billing.MetricSeconds, Per: 60, Tiers: []billing.Tier{{Price: decimal("0.10")}}})
	rate := newRate(t, s, "gold", terms)
	var users []uuid.UUID
	for n, name := range []string{"x", "y", "z"} {
		user := newUser("user of " + name)
		require.NoError(t, s.CreateUser(ctx, user))
		users = append(users, user.ID)
		subscribe(t, s, user.ID, rate.ID, day.String())
		require.NoError(t, write(ctx, sinkOf(t, s), journal.Position(n+1), record(name, aaa.AcctStart, 0, 0), record(name, aaa.AcctStop, 30*time.Minute, 2700)))
	}
	require.NoError(t, s.RemoveUser(ctx, users[2], aaa.CloseOptions{WithoutUsageAtHours: true}, nil), "all is there")
	execute(t, Raw(t, options), "DELETE FROM accounting_records WHERE status = 'stop'")

	_, erasing := s.StartErasure(ctx, users[1], aaa.EraseOptions{})
	for _, err := range []error{s.RemoveUser(ctx, users[0], aaa.CloseOptions{}, nil), erasing} {
		require.ErrorIs(t, err, store.ErrInUse)
		require.ErrorContains(t, err, "its accounting records are not all there any more")
		require.ErrorContains(t, err, "--without-usage-at-hours")
	}
	require.NoError(t, s.RemoveUser(ctx, users[0], aaa.CloseOptions{WithoutUsageAtHours: true}, nil))
	_, err := s.StartErasure(ctx, users[1], aaa.EraseOptions{KeepUser: true, CloseOptions: aaa.CloseOptions{WithoutUsageAtHours: true}})
	require.NoError(t, err)
	for _, userID := range users {
		list, _, err := s.ListInvoicesPage(ctx, billing.InvoiceFilter{UserID: userID}, aaa.Page{})
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.Equal(t, billing.Amount(952), list[0].Total, "5.00 set-up, 3.00 for 30 minutes, and 19 %")
	}
	requireSound(t, s)
	entries, err := s.ListAudit(ctx, operator.AuditFilter{Action: "users.close_without_usage"})
	require.NoError(t, err)
	require.Len(t, entries, 2, "what was left out is told")
	assert.Contains(t, string(entries[1].Changes), "session x")
}

// fillBilling gives a store something of all that billing has.
func fillBilling(t testing.TB, b *billed) {
	t.Helper()
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 2)
	require.NoError(t, err)
	for n, userID := range b.users[1:] {
		b.pay(t, userID, billing.Amount(1000*n+1), "")
	}
	o := b.runOptions()
	o.AsOf = civil("2030-01-01")
	require.NoError(t, b.CreateOrder(ctx, &billing.Order{UserID: b.users[0], Kind: billing.OrderPlan, Currency: "EUR", Details: billing.OrderDetails{RateID: b.gold.ID}}, o))
	invoice := b.invoicesOf(t, b.users[1])[0]
	_, err = b.CreditInvoice(ctx, invoice.ID, nil, civil("2030-01-02"), "")
	require.NoError(t, err)
	require.NoError(t, b.CreateCharge(ctx, &billing.Charge{UserID: b.users[0], Description: "a \"draft\" \\ 😀", Currency: "EUR", Amount: -5, TaxClass: "standard"}))
}
