package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/store"
)

// billed is a database with subscribers, whose clock stands.
type billed struct {
	*store.Store
	options store.Options
	taxes   []billing.TaxRate
	gold    *billing.Rate
	users   []uuid.UUID
	now     *atomic.Pointer[time.Time]
	raw     *sql.DB // without package store, where a test wants it
}

// newBilled makes n users, of whom each has a subscription since the first of January
// 2030, and every third two.
func newBilled(t testing.TB, database Database, n int) *billed {
	t.Helper()
	b := &billed{options: database(t), now: new(atomic.Pointer[time.Time])}
	b.setNow(at("2030-01-01T12:00:00Z"))
	b.options.Sealer, b.options.AutoMigrate, b.options.NodeID = sealer(), true, "node"
	b.options.Now = func() time.Time { return *b.now.Load() }
	b.Store = reopen(t, b.options)
	ctx := t.Context()
	tax := &billing.TaxRate{Class: "standard", Name: "VAT", Percent: decimal("19"), Category: "S", From: civil("2020-01-01")}
	require.NoError(t, b.SetTaxRate(ctx, tax))
	b.taxes = []billing.TaxRate{*tax}
	b.gold = newRate(t, b.Store, "gold", monthly(1999))
	silver := newRate(t, b.Store, "silver", monthly(999))
	for i := range n {
		u := newUser(fmt.Sprintf("user-%04d", i))
		u.ID = uuid.NewSHA1(uuid.NameSpaceOID, []byte(u.Name)) // the same in each database
		require.NoError(t, b.CreateUser(ctx, u))
		b.users = append(b.users, u.ID)
		for k, rate := range []*billing.Rate{b.gold, silver} {
			if k == 0 || i%3 == 0 {
				x := billing.NewSubscription(uuid.NewSHA1(u.ID, []byte{byte(k)}), u.ID, *rate, civil("2030-01-01"), at("2030-01-01T12:00:00Z"))
				require.NoError(t, b.CreateSubscription(ctx, &x))
			}
		}
	}
	slices.SortFunc(b.users, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return b
}

func (b *billed) setNow(now time.Time) { b.now.Store(&now) }

func (b *billed) runOptions() billing.RunOptions {
	return billing.RunOptions{Location: time.UTC, Taxes: b.taxes, Seller: billing.Party{Name: "ISP", Country: "DE"}, Series: "2030", CreditSeries: "2030-CN", SettleDays: 2, LookBack: 60, DueDays: 14}
}

// run bills to the end.
func (b *billed) run(ctx context.Context, day string, limit int) (billing.Run, error) {
	return runOn(ctx, b.Store, b.runOptions(), day, limit, billing.Compute)
}

type computeFunc = func(*billing.Account, billing.RunOptions) (*billing.Bill, error)

func runOn(ctx context.Context, s *store.Store, o billing.RunOptions, day string, limit int, compute computeFunc) (billing.Run, error) {
	run, release, err := s.BeginRun(ctx, civil(day))
	if err != nil {
		return run, err
	}
	defer release()
	for run.FinishedAt.IsZero() {
		if run, err = s.BillAccounts(ctx, run, o, limit, compute); err != nil {
			return run, err
		}
	}
	return run, nil
}

// requireSound fails if the ledger is not.
func requireSound(t require.TestingT, s *store.Store) {
	complaints, err := s.CheckLedger(context.Background())
	require.NoError(t, err)
	require.Empty(t, complaints)
	sums := map[billing.Currency]billing.Amount{}
	list, err := s.TrialBalance(context.Background(), time.Time{})
	require.NoError(t, err)
	for _, account := range list {
		sums[account.Currency] += account.Balance
	}
	for currency, sum := range sums {
		require.Zero(t, sum, currency)
	}
}

// billingTables are the tables that a run writes.
var billingTables = []string{"subscriptions", "charges", "invoices", "invoice_lines", "invoice_taxes", "invoice_series", "payments", "payment_allocations",
	"ledger_transactions", "ledger_postings", "ledger_balances", "billing_runs", "billing_run_failures"}

// dumpBilling is all rows of the tables of billing.
func dumpBilling(t testing.TB, options store.Options) map[string][]string {
	rows := Rows(t, options)
	dump := map[string][]string{}
	for _, table := range billingTables {
		dump[table] = slices.Sorted(slices.Values(rows[table]))
	}
	return dump
}

func testBillingRun(t *testing.T, database Database) {
	b := newBilled(t, database, 30)
	ctx := t.Context()
	run, err := b.run(ctx, "2030-01-01", 7)
	require.NoError(t, err)
	assert.Equal(t, 30, run.Accounts)
	assert.Equal(t, 30, run.Invoices)
	assert.Equal(t, 80, run.Charges, "set-up and price of 40 subscriptions")
	assert.Zero(t, run.Failed)
	requireSound(t, b.Store)
	stored, err := b.RunByID(ctx, run.ID)
	require.NoError(t, err)
	assert.Equal(t, run, *stored)

	// (19.99 + 5.00) * 1.19 = 29.74; with silver (9.99 + 5.00) more: 39.98 * 1.19 = 47.58.
	sums := map[billing.Amount]int{}
	for _, userID := range b.users {
		balance, err := b.Balance(ctx, userID, "EUR")
		require.NoError(t, err)
		sums[balance]++
	}
	assert.Equal(t, map[billing.Amount]int{2974: 20, 4758: 10}, sums)

	before := dumpBilling(t, b.options)
	again, err := b.run(ctx, "2030-01-01", 100)
	require.NoError(t, err)
	assert.NotEqual(t, run.ID, again.ID)
	assert.Zero(t, again.Invoices+again.Charges)
	after := dumpBilling(t, b.options)
	delete(before, "billing_runs")
	delete(after, "billing_runs")
	assert.Equal(t, before, after, "a run repeated changes nothing")

	events, err := b.EventsAfter(ctx, 0, 1000)
	require.NoError(t, err)
	issued := 0
	for _, e := range events {
		if e.Kind == "invoice.issued" {
			issued++
		}
	}
	assert.Equal(t, 30, issued)

	// The next month, after one has gone.
	b.setNow(at("2030-02-01T12:00:00Z"))
	require.NoError(t, b.DeleteUser(ctx, "user-0000"))
	next, err := b.run(ctx, "2030-02-01", 1000)
	require.NoError(t, err)
	assert.Equal(t, 29, next.Invoices)
	requireSound(t, b.Store)
}

// testBillingRunOnce: there is one run at a time, in however many processes.
func testBillingRunOnce(t *testing.T, database Database) {
	b := newBilled(t, database, 3)
	other := reopen(t, b.options)
	ctx := t.Context()
	run, release, err := b.BeginRun(ctx, civil("2030-01-01"))
	require.NoError(t, err)
	_, _, err = other.BeginRun(ctx, civil("2030-01-01"))
	assert.ErrorIs(t, err, billing.ErrRunning)
	_, _, err = b.BeginRun(ctx, civil("2030-02-01"))
	assert.ErrorIs(t, err, billing.ErrRunning)
	next, err := b.BillAccounts(ctx, run, b.runOptions(), 1, billing.Compute)
	require.NoError(t, err)
	_, err = other.BillAccounts(ctx, run, b.runOptions(), 1, billing.Compute)
	assert.ErrorIs(t, err, billing.ErrRunning, "somebody else has gone on with it")
	release()
	found, release, err := other.BeginRun(ctx, civil("2030-01-01"))
	require.NoError(t, err)
	defer release()
	assert.Equal(t, next, found, "what was begun is gone on with")
}

// testBillingRunFails: an account that cannot be billed keeps nobody else from it.
func testBillingRunFails(t *testing.T, database Database) {
	b := newBilled(t, database, 20)
	ctx := t.Context()
	bad, worse := b.users[3], b.users[11]
	taken := billing.Charge{ID: uuid.New(), UserID: b.users[0], Kind: billing.ChargeManual, Description: "cable", Currency: "EUR", Quantity: decimal("1"), Unit: "period",
		UnitPrice: decimal("1"), Amount: 100, TaxClass: "standard", CreatedAt: at("2030-01-01T12:00:00Z")}
	require.NoError(t, b.CreateCharge(ctx, &taken))
	run, err := runOn(ctx, b.Store, b.runOptions(), "2030-01-01", 20, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		bill, err := billing.Compute(a, o)
		switch a.UserID {
		case bad:
			return nil, errors.New("what a pity")
		case worse: // the database refuses it
			bill.Charges[0].ID = taken.ID
			bill.Invoices[0].Lines[0].ChargeID = taken.ID
		}
		return bill, err
	})
	require.NoError(t, err)
	assert.Equal(t, 20, run.Accounts)
	assert.Equal(t, 18, run.Invoices)
	assert.Equal(t, 2, run.Failed)
	failures, err := b.RunFailures(ctx, run.ID)
	require.NoError(t, err)
	require.Len(t, failures, 2)
	assert.Equal(t, bad, failures[0].UserID)
	assert.Contains(t, failures[0].Error, "what a pity")
	assert.Equal(t, worse, failures[1].UserID)
	assert.NotEmpty(t, failures[1].Username)
	requireSound(t, b.Store)
	run, err = b.run(ctx, "2030-01-01", 20)
	require.NoError(t, err)
	assert.Equal(t, 2, run.Invoices, "what has failed is made up for")
	requireSound(t, b.Store)
}

// dyingContext is cancelled when it was asked for so many times: each statement asks some
// times.
type dyingContext struct {
	context.Context
	cancel context.CancelFunc
	asked  atomic.Int64
	last   int64
}

// Done implements context.Context.
func (c *dyingContext) Done() <-chan struct{} {
	if c.asked.Add(1) == c.last {
		c.cancel()
	}
	return c.Context.Done()
}

// testBillingRunKilled: a run that ends between any two statements, again and again,
// comes to the same as one that nothing has disturbed.
func testBillingRunKilled(t *testing.T, database Database) {
	days := []string{"2030-01-01", "2030-02-01", "2030-03-04"}
	whole := newBilled(t, database, 12)
	for _, day := range days {
		whole.setNow(at(day + "T12:00:00Z"))
		_, err := whole.run(t.Context(), day, 5)
		require.NoError(t, err)
	}
	killed := newBilled(t, database, 12)
	kills := 0
	for _, day := range days {
		killed.setNow(at(day + "T12:00:00Z"))
		for step := int64(1); ; step++ {
			require.Less(t, step, int64(1000), "it never ends")
			ctx, cancel := context.WithCancel(t.Context())
			_, err := killed.run(&dyingContext{Context: ctx, cancel: cancel, last: 3 + 5*step}, day, 5)
			cancel()
			if err == nil {
				break
			}
			kills++
		}
	}
	t.Logf("killed %d times", kills)
	assert.Greater(t, kills, 10)
	requireSound(t, killed.Store)
	want, got := dumpBilling(t, whole.options), dumpBilling(t, killed.options)
	for _, table := range billingTables {
		assert.Equal(t, want[table], got[table], table)
	}
}

// testBillingRunCredits: what is left to give back when the last subscription has ended is a
// credit note with a number of credit notes, about the invoice that was for these days.
func testBillingRunCredits(t *testing.T, database Database) {
	b := newBilled(t, database, 2)
	ctx := t.Context()
	_, err := b.run(ctx, "2030-01-01", 10)
	require.NoError(t, err)
	leaving := b.users[1]
	paidFor := b.invoicesOf(t, leaving)[0]
	b.pay(t, leaving, paidFor.Total, "")
	cancel := func(on string) {
		o := b.runOptions()
		o.AsOf = civil(on)
		list, _, err := b.ListSubscriptionsPage(ctx, billing.SubscriptionFilter{UserID: leaving}, aaa.Page{Limit: 10})
		require.NoError(t, err)
		for _, x := range list {
			require.NoError(t, b.BillAccount(ctx, leaving, o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
				return billing.Cancel(a, x.ID, civil(on), o)
			}))
		}
	}
	b.setNow(at("2030-01-11T12:00:00Z"))
	cancel("2030-01-11")
	run, err := b.run(ctx, "2030-01-11", 10)
	require.NoError(t, err)
	assert.Zero(t, run.Failed)
	assert.Equal(t, 1, run.Invoices)
	var notes []billing.Invoice
	for _, i := range b.invoicesOf(t, leaving) {
		if i.Kind == billing.KindCreditNote {
			notes = append(notes, i)
		}
	}
	require.Len(t, notes, 1)
	assert.Equal(t, "2030-CN-000001", notes[0].Number)
	assert.Equal(t, paidFor.Number, notes[0].CorrectsNumber)
	balance, err := b.Balance(ctx, leaving, "EUR")
	require.NoError(t, err)
	assert.Equal(t, -notes[0].Total, balance, "it is the user's credit")
	requireSound(t, b.Store)
	// And is not given a second time.
	_, err = b.CreditInvoice(ctx, paidFor.ID, nil, civil("2030-01-11"), "")
	requireRefused(t, err, billing.CodeNothingToCredit)
	requireRefused(t, b.VoidInvoice(ctx, paidFor.ID), billing.CodeInvoiceState)
	listed, err := b.CreditNotesOf(ctx, paidFor.ID)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	run, err = b.run(ctx, "2030-01-12", 10)
	require.NoError(t, err)
	assert.Zero(t, run.Invoices)
	b.setNow(at("2030-02-01T12:00:00Z"))
	_, err = b.run(ctx, "2030-02-01", 10)
	require.NoError(t, err)
	for _, i := range b.invoicesOf(t, b.users[0])[1:] {
		assert.Equal(t, "2030-000003", i.Number, "numbers of invoices have no gap")
	}
}
