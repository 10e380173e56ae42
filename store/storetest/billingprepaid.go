package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/journal"
	"radiusd/report"
)

// testPrepaidUsage: who has used up the credit by usage is refused from the run on, and
// served again from the payment on.
func testPrepaidUsage(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	ctx := t.Context()
	rate := newRate(t, b.Store, "by the minute", billing.Terms{Every: billing.Interval{Unit: billing.Month, Count: 1}, Timing: billing.InAdvance, Prepaid: billing.PrepaidUsage,
		Usage: []billing.UsageTerms{{Metric: billing.MetricSeconds, Per: 60, Tiers: []billing.Tier{{Price: decimal("0.10")}}}}})
	settings, err := b.UpdateBillingSettings(ctx, func(*billing.Settings) error { return nil })
	require.NoError(t, err)
	subscriber := func(name string) uuid.UUID {
		u := newUser(name)
		require.NoError(t, b.CreateUser(ctx, u))
		subscribe(t, b.Store, u.ID, rate.ID, "2030-01-01")
		b.pay(t, u.ID, 1000, "")
		return u.ID
	}
	heavy := subscriber("heavy")
	subscriber("light")
	execute(t, Raw(t, b.options), `INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets)
		VALUES ('heavy', '2030-01-01', 6600, 0, 0), ('light', '2030-01-01', 5940, 0, 0)`) // 11.00 and 9.90
	served := func(name string) bool {
		t.Helper()
		u, err := b.UserByName(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, u.Suspension == aaa.SuspendedBalance, u.Status == aaa.UserSuspended)
		return u.Status == aaa.UserActive
	}
	run := func(day string) {
		t.Helper()
		b.setNow(at(day + "T04:00:00Z"))
		_, err := billing.BillAll(ctx, b.Store, settings.RunOptions(civil(day), time.UTC, b.taxes, *b.now.Load()), nil)
		require.NoError(t, err)
		requireSound(t, b.Store)
	}
	run("2030-01-01")
	assert.True(t, served("heavy"), "the day is not over")
	run("2030-01-02")
	assert.False(t, served("heavy"))
	assert.True(t, served("light"))
	b.pay(t, heavy, 100, "")
	assert.False(t, served("heavy"), "nothing is left of it")
	b.pay(t, heavy, 1, "")
	assert.True(t, served("heavy"))
	run("2030-01-03")
	assert.True(t, served("heavy"))
}

// testUnbilledPaid: money is booked also while the account that it is for cannot be billed,
// and serves from the run on that can bill it again.
func testUnbilledPaid(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	subscribe(t, w.Store, alice, w.rates["daily"], "2030-01-01")
	w.night("2030-01-01")
	w.require(alice, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "nothing was paid")
	c, err := billing.NewManualCharge(alice, "EUR", 100, "a cable")
	require.NoError(t, err)
	c.TaxClass = "reduced" // which has no rate
	require.NoError(t, w.CreateCharge(ctx, &c))
	payment := w.pay(t, alice, 1000, "desk")
	assert.EqualValues(t, 1000, payment.Amount)
	balance, err := w.Balance(ctx, alice, "EUR")
	require.NoError(t, err)
	assert.EqualValues(t, -1000, balance)
	requireSound(t, w.Store)
	w.require(alice, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "what is due cannot be told")

	w.setNow(at("2030-01-02T04:00:00Z"))
	run, err := w.run(ctx, "2030-01-02", 500)
	require.NoError(t, err)
	assert.Equal(t, 1, run.Failed)
	failures, err := w.RunFailures(ctx, run.ID)
	require.NoError(t, err)
	require.Len(t, failures, 1)
	assert.Contains(t, failures[0].Error, "reduced")

	rate := &billing.TaxRate{Class: "reduced", Name: "VAT", Percent: decimal("7"), Category: "S", From: civil("2020-01-01")}
	require.NoError(t, w.SetTaxRate(ctx, rate))
	w.taxes = append(w.taxes, *rate)
	w.night("2030-01-03")
	w.require(alice, served{plan: "daily", status: aaa.UserActive}, "it can be billed")
	requireSound(t, w.Store)
}

// testPreviewsWaitForNobody: what a bill would be is told while another transaction bills
// the same account.
func testPreviewsWaitForNobody(t *testing.T, database Database) {
	b := newBilled(t, database, 2)
	o := b.runOptions()
	o.AsOf = civil("2030-01-01")
	b.pay(t, b.users[0], 100, "")
	err := b.BillAccount(t.Context(), b.users[0], o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		bill, err := b.PreviewAccount(ctx, b.users[0], o, billing.Compute)
		require.NoError(t, err)
		assert.Len(t, bill.Invoices, 1)
		accounts, err := b.PreviewBills(ctx, uuid.Nil, o, 10)
		require.NoError(t, err)
		assert.Len(t, accounts, 2)
		return billing.Compute(a, o)
	})
	require.NoError(t, err)
	requireSound(t, b.Store)
}

// askedContext counts how often it was asked whether it is done: each statement does.
type askedContext struct {
	context.Context
	asked atomic.Int64
}

// Done implements context.Context.
func (c *askedContext) Done() <-chan struct{} {
	c.asked.Add(1)
	return c.Context.Done()
}

// testBillingStatements: what is read of more users, of more sessions, takes no more
// statements.
func testBillingStatements(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	day := billing.DateOf(noon, time.UTC)
	terms := monthly(0)
	terms.Usage = append(terms.Usage, terms.Usage[0])
	terms.Usage[0].Hours = "Al1210-1220"
	rate := newRate(t, s, "gold", terms)
	subscribers := 0
	add := func(n int) {
		for range n {
			name := fmt.Sprintf("%02d", subscribers)
			user := newUser("user of " + name)
			require.NoError(t, s.CreateUser(ctx, user))
			subscribe(t, s, user.ID, rate.ID, day.String())
			subscribers++
			require.NoError(t, write(ctx, sinkOf(t, s), journal.Position(subscribers), record(name, aaa.AcctStart, 0, 0), record(name, aaa.AcctStop, 30*time.Minute, 2700)))
		}
	}
	measure := func() (preview, allowances int64) {
		counted := &askedContext{Context: ctx}
		accounts, err := s.PreviewBills(counted, uuid.Nil, billing.RunOptions{AsOf: day.AddDays(1), LookBack: 10}, 100)
		require.NoError(t, err)
		require.Len(t, accounts, subscribers)
		for _, a := range accounts {
			require.NoError(t, a.HoursErr)
			assert.Equal(t, []billing.DayUsage{{Day: day, Seconds: 600, Upload: 900, Download: 9000}}, usageAt(a.Hours, "Al1210-1220"))
		}
		preview = counted.asked.Swap(0)
		rows := 0
		require.NoError(t, s.Allowances(counted, day, "", func(x report.Allowance) error {
			rows++
			assert.Equal(t, uint64(29700), x.Used)
			return nil
		}))
		require.Equal(t, subscribers, rows)
		return preview, counted.asked.Load()
	}
	add(2)
	measure() // statements are prepared
	preview, allowances := measure()
	add(10)
	morePreview, moreAllowances := measure()
	if options.URL != "" { // SQLite asks for each row
		assert.Equal(t, preview, morePreview)
		assert.Equal(t, allowances, moreAllowances)
	}
}

// testChargedCredit: a credit that is charged, and a charge that is taken back, serve at once;
// they pay no invoice.
func testChargedCredit(t *testing.T, database Database) {
	w := newServiceWorld(t, database)
	ctx := t.Context()
	alice := w.user("alice")
	i := w.invoiceOver(t, alice, 100)
	subscribe(t, w.Store, alice, w.rates["daily"], "2030-01-01")
	w.require(alice, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "nothing was paid")
	charge := func(amount billing.Amount) uuid.UUID {
		c, err := billing.NewManualCharge(alice, "EUR", amount, "by hand")
		require.NoError(t, err)
		c.TaxClass, c.TaxIncluded = "standard", true
		require.NoError(t, w.CreateCharge(ctx, &c))
		return c.ID
	}
	cable := charge(500)
	charge(-600)
	w.require(alice, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "0.00 are left: 1.00 is open, and 5.00 are charged")
	w.requireOwed(t, alice, 100, i, billing.InvoiceIssued)
	require.NoError(t, w.DeleteCharge(ctx, cable))
	w.require(alice, served{plan: "daily", status: aaa.UserActive}, "5.00 are left")
	w.requireOwed(t, alice, 100, i, billing.InvoiceIssued)
	bob := w.user("bob")
	subscribe(t, w.Store, bob, w.rates["daily"], "2030-01-01")
	c, err := billing.NewManualCharge(bob, "EUR", -100, "by hand")
	require.NoError(t, err)
	c.TaxClass, c.TaxIncluded = "standard", true
	require.NoError(t, w.CreateCharge(ctx, &c))
	w.require(bob, served{plan: "daily", status: aaa.UserActive}, "a day is paid from it")
	require.NoError(t, w.DeleteCharge(ctx, c.ID))
	w.require(bob, served{plan: "daily", status: aaa.UserSuspended, why: aaa.SuspendedBalance}, "it was taken back")
}
