package storetest

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/billing"
)

// oracle is all rows of a list, by which its pages are judged.
type oracle[T any] struct {
	rows  []T
	sorts []string
	id    func(*T) uuid.UUID
	by    map[string]func(a, b *T) int   // what the sorts compare
	in    func(sort string, row *T) bool // whether a list by the sort has the row; nil: it has all
}

// newOracle reads all rows of a list, of which the table has as many.
func newOracle[T any](t *testing.T, b *billed, table string, sorts []string, id func(*T) uuid.UUID, list func(aaa.Page) ([]T, string, error)) oracle[T] {
	t.Helper()
	rows, next, err := list(aaa.Page{Limit: 1000})
	require.NoError(t, err)
	require.Empty(t, next)
	var n int
	require.NoError(t, b.raw.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	require.Len(t, rows, n, table)
	require.Greater(t, n, 2, "what is to be listed of %s?", table)
	return oracle[T]{rows: rows, sorts: sorts, id: id}
}

// check requires that all pages together are what fits, in order, and that a cursor is not
// taken for a list in another order.
func (o *oracle[T]) check(t *rapid.T, fits func(*T) bool, list func(aaa.Page) ([]T, string, error), count func() (aaa.Count, error)) {
	sort := strings.TrimPrefix(rapid.SampledFrom(o.sorts).Draw(t, "sort"), "-")
	sign := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
	page := aaa.Page{Limit: rapid.SampledFrom([]int{1, 2, 5, 16, len(o.rows), len(o.rows) + 1}).Draw(t, "limit"), Sort: sign + sort}
	var want []*T
	all := 0
	for i := range o.rows {
		if row := &o.rows[i]; fits(row) {
			if all++; o.in == nil || o.in(sort, row) {
				want = append(want, row)
			}
		}
	}
	slices.SortFunc(want, func(a, b *T) int {
		x, y := o.id(a), o.id(b)
		order := cmp.Or(o.by[sort](a, b), bytes.Compare(x[:], y[:]))
		if sign == "-" {
			return -order
		}
		return order
	})
	ids := func(rows []*T) []uuid.UUID {
		list := []uuid.UUID{}
		for _, row := range rows {
			list = append(list, o.id(row))
		}
		return list
	}
	var got []*T
	for _, row := range walk(t, page, list, func() {}) {
		got = append(got, &row)
	}
	require.Equal(t, ids(want), ids(got), "by %s, %d on a page", page.Sort, page.Limit)
	if len(want) > page.Limit {
		_, next, err := list(page)
		require.NoError(t, err)
		_, _, err = list(aaa.Page{Cursor: next, Limit: page.Limit, Sort: map[string]string{"": "-", "-": ""}[sign] + sort})
		require.ErrorIs(t, err, aaa.ErrBadCursor)
	}
	if count != nil {
		n, err := count()
		require.NoError(t, err)
		require.Equal(t, aaa.Count{N: all}, n)
	}
}

// maybe draws nothing, or one of the values.
func maybe[T any](t *rapid.T, label string, values ...T) (x T) {
	if n := rapid.IntRange(-2*len(values), len(values)-1).Draw(t, label); n >= 0 {
		x = values[n]
	}
	return x
}

// often is rapid.Check for what takes next to no time.
func often(t *testing.T, prop func(*rapid.T)) {
	for range 5 {
		rapid.Check(t, prop)
	}
}

// withinDays reports whether a day is in a span of which no days are no bounds.
func withinDays(d, from, before billing.Date) bool {
	return (from.IsZero() || !d.IsZero() && !d.Before(from)) && (before.IsZero() || !d.IsZero() && d.Before(before))
}

// byTime compares by a time.
func byTime[T any](of func(*T) time.Time) func(a, b *T) int {
	return func(a, b *T) int { return of(a).Compare(of(b)) }
}

// fillLists does something of all that billing lists, much of it at the same time.
func fillLists(t *testing.T, database Database) (b *billed, days []billing.Date) {
	b = newBilled(t, database, 4)
	b.raw = Raw(t, b.options)
	ctx := t.Context()
	for _, userID := range b.users[:3] {
		require.NoError(t, b.ChangeUser(ctx, userID, func(_ *aaa.User, p *aaa.Profile) error {
			p.Email = "someone@example.org"
			return nil
		}))
	}
	o := b.runOptions()
	charge := func(userID uuid.UUID, currency billing.Currency, amount billing.Amount) {
		c, err := billing.NewManualCharge(userID, currency, amount, "by hand")
		require.NoError(t, err)
		c.TaxClass = "standard"
		require.NoError(t, b.CreateCharge(ctx, &c))
	}
	for month := 1; month <= 3; month++ {
		day := billing.Date{Year: 2030, Month: time.Month(month), Day: 1}
		days = append(days, day, day.AddDays(7))
		b.setNow(day.Start(time.UTC).Add(12 * time.Hour))
		o.AsOf = day
		_, err := b.run(ctx, day.String(), 3)
		require.NoError(t, err)
		for n, userID := range b.users {
			if n == month {
				continue // does not pay
			}
			p := &billing.Payment{UserID: userID, Method: []billing.PaymentMethod{billing.PaidCash, billing.PaidBank, billing.PaidCard}[(n+month)%3],
				Currency: "EUR", Amount: billing.Amount(500 * (n + month)), ReceivedOn: day.AddDays(n % 3 * 7), Provider: []string{"", "bank", "Bank"}[n%3]}
			if n > 0 {
				p.Reference = []string{"", "2030/1", "é1", "%"}[n] + strings.Repeat("0", month)
			}
			_, err := b.RecordPayment(ctx, p)
			require.NoError(t, err)
			if n == 3 {
				_, err = b.RefundPayment(ctx, &billing.Payment{Refunds: p.ID, Amount: 100, ReceivedOn: day.AddDays(7)})
				require.NoError(t, err)
			}
		}
		// One draft, one that is issued in dollars, and charges that wait.
		charge(b.users[month], "EUR", 700)
		_, err = b.DraftInvoice(ctx, b.users[month], "EUR", o)
		require.NoError(t, err)
		charge(b.users[0], "USD", 300)
		draft, err := b.DraftInvoice(ctx, b.users[0], "USD", o)
		require.NoError(t, err)
		_, err = b.IssueInvoice(ctx, draft.ID, billing.Date{}, billing.Date{})
		require.NoError(t, err)
		charge(b.users[month], "EUR", -200)

		order := &billing.Order{UserID: b.users[0], Kind: billing.OrderTopUp, Currency: "EUR", Amount: 1000}
		require.NoError(t, b.CreateOrder(ctx, order, o))
		if month == 1 {
			require.NoError(t, b.CancelOrder(ctx, order.ID, ""))
		}
		if month == 2 {
			_, err = b.PayOrder(ctx, order.ID, &billing.Payment{Method: billing.PaidCash, Currency: "EUR", Amount: 1000, ReceivedOn: day}, o)
			require.NoError(t, err)
		}
		plan := &billing.Order{UserID: b.users[month], Kind: billing.OrderPlan, Currency: "EUR", Details: billing.OrderDetails{RateID: b.gold.ID, Start: day.AddDays(100)}}
		require.NoError(t, b.CreateOrder(ctx, plan, o))

		batch := &billing.VoucherBatch{Name: []string{"", "spring", "Spring", "späte"}[month], Kind: billing.VoucherValue, Count: 4, Currency: "EUR", Amount: 1000, RedeemBefore: day.AddDays(10 * month).Start(time.UTC)}
		if month == 2 {
			batch.Kind, batch.Currency, batch.Amount, batch.PlanID, batch.Validity = billing.VoucherPlan, "", 0, b.gold.PlanID, time.Hour
		}
		made, err := b.CreateVoucherBatch(ctx, batch)
		require.NoError(t, err)
		revoked, err := b.VoucherBySerial(ctx, made[0].Serial)
		require.NoError(t, err)
		require.NoError(t, b.RevokeVoucher(ctx, revoked.ID, nil))
		if month != 2 {
			_, err = b.RedeemVoucher(ctx, b.users[month-1], made[1].Code, netip.Addr{})
			require.NoError(t, err)
		}
	}
	for _, userID := range b.users {
		invoices := b.invoicesOf(t, userID)
		for n := range invoices {
			i := &invoices[n]
			switch {
			case i.State == billing.InvoiceDraft:
				continue
			case i.State == billing.InvoiceIssued && i.Paid == 0:
				require.NoError(t, b.VoidInvoice(ctx, i.ID))
				continue
			case n == 1:
				for range 2 {
					_, err := b.CreditInvoice(ctx, i.ID, map[int]billing.Amount{1: 100}, days[4], "")
					require.NoError(t, err)
				}
			}
			m, err := b.SendInvoice(ctx, i.ID, false)
			require.NoError(t, err)
			if n != 1 && m.State == billing.MailWaiting {
				_, err = b.ClaimMail(ctx, m.ID, time.Minute)
				require.NoError(t, err)
				require.NoError(t, b.FinishMail(ctx, m.ID, []billing.MailingState{billing.MailSent, billing.MailRefused}[n%2], ""))
			}
		}
	}
	list, err := b.SubscriptionsOf(ctx, b.users[0])
	require.NoError(t, err)
	require.NoError(t, b.UpdateSubscription(ctx, list[0].ID, func(x *billing.Subscription) ([]billing.Charge, error) {
		x.State, x.End = billing.SubscriptionEnded, civil("2030-03-01")
		return nil, nil
	}))
	return b, days
}

// testBillingLists: all pages of each list of billing together are what the filter selects,
// in order.
func testBillingLists(t *testing.T, database Database) {
	b, days := fillLists(t, database)
	ctx := t.Context()
	moments := []time.Time{days[0].Start(time.UTC).Add(12 * time.Hour), days[2].Start(time.UTC).Add(12 * time.Hour), days[3].Start(time.UTC)}
	t.Run("invoices", func(t *testing.T) { testInvoiceLists(t, b, days) })
	t.Run("charges", func(t *testing.T) {
		var f billing.ChargeFilter
		list := func(p aaa.Page) ([]billing.Charge, string, error) { return b.ListChargesPage(ctx, f, p) }
		o := newOracle(t, b, "charges", billing.ChargeSorts(), func(c *billing.Charge) uuid.UUID { return c.ID }, list)
		o.by = map[string]func(a, b *billing.Charge) int{"created_at": byTime(func(c *billing.Charge) time.Time { return c.CreatedAt })}
		var subscriptions, invoices []uuid.UUID
		for i := range o.rows {
			subscriptions, invoices = append(subscriptions, o.rows[i].SubscriptionID), append(invoices, o.rows[i].InvoiceID)
		}
		often(t, func(t *rapid.T) {
			f = billing.ChargeFilter{UserID: maybe(t, "user", b.users...), SubscriptionID: maybe(t, "subscription", subscriptions...), InvoiceID: maybe(t, "invoice", invoices...),
				Kind: maybe(t, "kind", billing.ChargeSetup, billing.ChargePeriod, billing.ChargeUsage, billing.ChargeManual), Pending: pointer(rapid.Bool()).Draw(t, "pending")}
			o.check(t, func(c *billing.Charge) bool {
				return same(f.UserID, c.UserID) && same(f.SubscriptionID, c.SubscriptionID) && same(f.InvoiceID, c.InvoiceID) && same(f.Kind, c.Kind) &&
					(f.Pending == nil || *f.Pending == (c.InvoiceID == uuid.Nil))
			}, list, nil)
		})
	})
	t.Run("payments", func(t *testing.T) {
		var f billing.PaymentFilter
		list := func(p aaa.Page) ([]billing.Payment, string, error) { return b.ListPaymentsPage(ctx, f, p) }
		o := newOracle(t, b, "payments", billing.PaymentSorts(), func(p *billing.Payment) uuid.UUID { return p.ID }, list)
		o.by = map[string]func(a, b *billing.Payment) int{
			"created_at":  byTime(func(p *billing.Payment) time.Time { return p.CreatedAt }),
			"received_on": func(a, b *billing.Payment) int { return a.ReceivedOn.Compare(b.ReceivedOn) },
		}
		often(t, func(t *rapid.T) {
			f = billing.PaymentFilter{UserID: maybe(t, "user", b.users...), Method: maybe(t, "method", billing.PaidCash, billing.PaidBank, billing.PaidCard, billing.PaidVoucher),
				Provider: maybe(t, "provider", "bank", "Bank", "ban"), Reference: maybe(t, "reference", "2", "2030/10", "é", "%", "E", "2030/100x"), Refunds: pointer(rapid.Bool()).Draw(t, "refunds"),
				ReceivedFrom: maybe(t, "from", days...), ReceivedBefore: maybe(t, "before", days...)}
			o.check(t, func(p *billing.Payment) bool {
				return same(f.UserID, p.UserID) && same(f.Method, p.Method) && same(f.Provider, p.Provider) && strings.HasPrefix(p.Reference, f.Reference) &&
					(f.Refunds == nil || *f.Refunds == (p.Refunds != uuid.Nil)) && withinDays(p.ReceivedOn, f.ReceivedFrom, f.ReceivedBefore)
			}, list, func() (aaa.Count, error) { return b.CountPayments(ctx, f) })
		})
	})
	t.Run("orders", func(t *testing.T) {
		var f billing.OrderFilter
		list := func(p aaa.Page) ([]billing.Order, string, error) { return b.ListOrdersPage(ctx, f, p) }
		o := newOracle(t, b, "orders", billing.OrderSorts(), func(x *billing.Order) uuid.UUID { return x.ID }, list)
		o.by = map[string]func(a, b *billing.Order) int{"created_at": byTime(func(x *billing.Order) time.Time { return x.CreatedAt })}
		often(t, func(t *rapid.T) {
			f = billing.OrderFilter{UserID: maybe(t, "user", b.users...), State: maybe(t, "state", billing.OrderOpen, billing.OrderPaid, billing.OrderCompleted, billing.OrderCancelled),
				Kind: maybe(t, "kind", billing.OrderPlan, billing.OrderChange, billing.OrderTopUp, billing.OrderVoucher)}
			o.check(t, func(x *billing.Order) bool {
				return same(f.UserID, x.UserID) && same(f.State, x.State) && same(f.Kind, x.Kind)
			}, list, nil)
		})
	})
	t.Run("subscriptions", func(t *testing.T) {
		var f billing.SubscriptionFilter
		list := func(p aaa.Page) ([]billing.Subscription, string, error) { return b.ListSubscriptionsPage(ctx, f, p) }
		o := newOracle(t, b, "subscriptions", billing.SubscriptionSorts(), func(x *billing.Subscription) uuid.UUID { return x.ID }, list)
		o.by = map[string]func(a, b *billing.Subscription) int{"created_at": byTime(func(x *billing.Subscription) time.Time { return x.CreatedAt })}
		var plans, rates []uuid.UUID
		for i := range o.rows {
			plans, rates = append(plans, o.rows[i].Rate.PlanID), append(rates, o.rows[i].Rate.ID)
		}
		often(t, func(t *rapid.T) {
			f = billing.SubscriptionFilter{UserID: maybe(t, "user", b.users...), PlanID: maybe(t, "plan", plans...), RateID: maybe(t, "rate", rates...),
				State: maybe(t, "state", billing.SubscriptionActive, billing.SubscriptionGrace, billing.SubscriptionEnded, billing.SubscriptionTrial)}
			o.check(t, func(x *billing.Subscription) bool {
				return same(f.UserID, x.UserID) && same(f.PlanID, x.Rate.PlanID) && same(f.RateID, x.Rate.ID) && same(f.State, x.State)
			}, list, func() (aaa.Count, error) { return b.CountSubscriptions(ctx, f) })
		})
	})
	t.Run("mails", func(t *testing.T) {
		var f billing.MailingFilter
		list := func(p aaa.Page) ([]billing.Mailing, string, error) { return b.ListMailsPage(ctx, f, p) }
		o := newOracle(t, b, "billing_mails", billing.MailingSorts(), func(m *billing.Mailing) uuid.UUID { return m.ID }, list)
		o.by = map[string]func(a, b *billing.Mailing) int{"created_at": byTime(func(m *billing.Mailing) time.Time { return m.CreatedAt })}
		var invoices []uuid.UUID
		for i := range o.rows {
			invoices = append(invoices, o.rows[i].InvoiceID)
		}
		often(t, func(t *rapid.T) {
			f = billing.MailingFilter{InvoiceID: maybe(t, "invoice", invoices...), UserID: maybe(t, "user", b.users...), State: maybe(t, "state", billing.MailingStates()...)}
			o.check(t, func(m *billing.Mailing) bool {
				return same(f.InvoiceID, m.InvoiceID) && same(f.UserID, m.UserID) && same(f.State, m.State)
			}, list, nil)
		})
	})
	t.Run("vouchers", func(t *testing.T) { testVoucherLists(t, b) })
	t.Run("ledger", func(t *testing.T) {
		var f billing.TransactionFilter
		list := func(p aaa.Page) ([]billing.Transaction, string, error) { return b.ListTransactionsPage(ctx, f, p) }
		o := newOracle(t, b, "ledger_transactions", billing.TransactionSorts(), func(x *billing.Transaction) uuid.UUID { return x.ID }, list)
		o.by = map[string]func(a, b *billing.Transaction) int{"at": byTime(func(x *billing.Transaction) time.Time { return x.At })}
		often(t, func(t *rapid.T) {
			f = billing.TransactionFilter{Kind: maybe(t, "kind", billing.TransactionInvoice, billing.TransactionPayment, billing.TransactionVoid), SubjectID: maybe(t, "subject", o.rows[0].SubjectID),
				UserID: maybe(t, "user", b.users...), Account: maybe(t, "account", billing.Accounts()...), From: maybe(t, "from", moments...), Before: maybe(t, "before", moments...)}
			o.check(t, func(x *billing.Transaction) bool {
				posts := func(fits func(billing.Posting) bool) bool { return slices.ContainsFunc(x.Postings, fits) }
				return same(f.Kind, x.Kind) && same(f.SubjectID, x.SubjectID) && within(x.At, f.From, f.Before) &&
					posts(func(p billing.Posting) bool { return same(f.UserID, p.UserID) }) && posts(func(p billing.Posting) bool { return same(f.Account, p.Account) })
			}, list, nil)
		})
	})
}

// testInvoiceLists: invoices, the credit notes of each, and who is overdue.
func testInvoiceLists(t *testing.T, b *billed, days []billing.Date) {
	ctx := t.Context()
	var f billing.InvoiceFilter
	list := func(p aaa.Page) ([]billing.Invoice, string, error) { return b.ListInvoicesPage(ctx, f, p) }
	o := newOracle(t, b, "invoices", billing.InvoiceSorts(), func(i *billing.Invoice) uuid.UUID { return i.ID }, list)
	o.by = map[string]func(a, b *billing.Invoice) int{
		"created_at": byTime(func(i *billing.Invoice) time.Time { return i.CreatedAt }),
		"issued_on":  func(a, b *billing.Invoice) int { return a.IssuedOn.Compare(b.IssuedOn) },
		"due_on":     func(a, b *billing.Invoice) int { return a.DueOn.Compare(b.DueOn) },
		"number":     func(a, b *billing.Invoice) int { return strings.Compare(a.Number, b.Number) },
	}
	o.in = func(sort string, i *billing.Invoice) bool {
		return sort == "created_at" || i.State != billing.InvoiceDraft
	}
	states := map[billing.InvoiceState]int{}
	var runs []uuid.UUID
	for i := range o.rows {
		runs = append(runs, o.rows[i].RunID)
		states[o.rows[i].State]++
	}
	require.Len(t, states, 4, "there are some in each state")
	often(t, func(t *rapid.T) {
		f = billing.InvoiceFilter{UserID: maybe(t, "user", b.users...), State: maybe(t, "state", billing.InvoiceDraft, billing.InvoiceIssued, billing.InvoicePaid, billing.InvoiceVoid),
			Kind: maybe(t, "kind", billing.KindInvoice, billing.KindCreditNote), Number: maybe(t, "number", "2030-0", "2030-CN", "2030-000003", "%", "2030-CN-000001"),
			Currency: maybe(t, "currency", billing.Currency("EUR"), "USD"), RunID: maybe(t, "run", runs...), OverdueOn: maybe(t, "overdue", days[2], days[3], days[5]),
			IssuedFrom: maybe(t, "from", days...), IssuedBefore: maybe(t, "before", days...)}
		o.check(t, func(i *billing.Invoice) bool {
			overdue := i.State == billing.InvoiceIssued && i.Kind == billing.KindInvoice && i.DueOn.Before(f.OverdueOn)
			issued := i.State != billing.InvoiceDraft && withinDays(i.IssuedOn, f.IssuedFrom, f.IssuedBefore)
			return same(f.UserID, i.UserID) && same(f.State, i.State) && same(f.Kind, i.Kind) && strings.HasPrefix(i.Number, f.Number) && same(f.Currency, i.Currency) &&
				same(f.RunID, i.RunID) && (f.OverdueOn.IsZero() || overdue) && (issued || f.IssuedFrom.IsZero() && f.IssuedBefore.IsZero())
		}, list, func() (aaa.Count, error) { return b.CountInvoices(ctx, f) })
	})

	oldest := slices.SortedFunc(slices.Values(o.rows), func(a, b billing.Invoice) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), bytes.Compare(a.ID[:], b.ID[:]))
	})
	corrected := 0
	for i := range o.rows {
		var want, got []string
		for _, note := range oldest {
			byRun := note.Corrects == uuid.Nil && o.rows[i].Number != "" && note.UserID == o.rows[i].UserID && note.CorrectsNumber == o.rows[i].Number
			if note.Kind == billing.KindCreditNote && (note.Corrects == o.rows[i].ID || byRun) {
				want = append(want, note.Number)
			}
		}
		notes, err := b.CreditNotesOf(ctx, o.rows[i].ID)
		require.NoError(t, err)
		for n := range notes {
			got = append(got, notes[n].Number)
		}
		corrected += len(got)
		assert.Equal(t, want, got)
	}
	assert.Positive(t, corrected)

	steps, err := billing.ParseDunningSteps("7 remind, 21 remind")
	require.NoError(t, err)
	settings := billing.Dunning{Steps: steps, GraceDays: 3}
	found := 0
	for _, day := range days {
		open := map[uuid.UUID][]uuid.UUID{}
		due := map[uuid.UUID]bool{}
		for i := range o.rows {
			if x := &o.rows[i]; x.State == billing.InvoiceIssued && x.Kind == billing.KindInvoice {
				open[x.UserID] = append(open[x.UserID], x.ID)
				due[x.UserID] = due[x.UserID] || x.DueOn.DaysUntil(day) >= 10
			}
		}
		var want []uuid.UUID
		for _, userID := range b.users {
			if due[userID] {
				want = append(want, userID)
			}
		}
		for _, limit := range []int{1, 2, 100} {
			var got []uuid.UUID
			for last := uuid.Nil; ; {
				accounts, err := b.DunningPage(ctx, &settings, day, last, limit)
				require.NoError(t, err)
				for n := range accounts {
					last = accounts[n].UserID
					got = append(got, last)
					var invoices []uuid.UUID
					for k := range accounts[n].Invoices {
						invoices = append(invoices, accounts[n].Invoices[k].ID)
					}
					assert.ElementsMatch(t, open[last], invoices)
				}
				if len(accounts) < limit {
					break
				}
			}
			found += len(got)
			assert.Equal(t, want, got, "%s, %d on a page", day, limit)
		}
	}
	assert.Positive(t, found)
}

// testVoucherLists: vouchers by their state at a time, and batches.
func testVoucherLists(t *testing.T, b *billed) {
	ctx := t.Context()
	var f billing.VoucherFilter
	list := func(p aaa.Page) ([]billing.Voucher, string, error) { return b.ListVouchersPage(ctx, f, p) }
	o := newOracle(t, b, "vouchers", billing.VoucherSorts(), func(v *billing.Voucher) uuid.UUID { return v.ID }, list)
	o.by = map[string]func(a, b *billing.Voucher) int{
		"serial":     func(a, b *billing.Voucher) int { return strings.Compare(a.Serial, b.Serial) },
		"created_at": byTime(func(v *billing.Voucher) time.Time { return v.CreatedAt }),
	}
	var batches []uuid.UUID
	var serials []string
	var times []time.Time
	for i := range o.rows {
		v := &o.rows[i]
		batches, serials = append(batches, v.BatchID), append(serials, v.Serial, v.Serial[:1], v.Serial[:len(v.Serial)-1])
		if !v.ExpiresAt.IsZero() {
			times = append(times, v.ExpiresAt, v.ExpiresAt.Add(-time.Second))
		}
	}
	often(t, func(t *rapid.T) {
		f = billing.VoucherFilter{BatchID: maybe(t, "batch", batches...), State: maybe(t, "state", billing.VoucherNew, billing.VoucherUsed, billing.VoucherExpired, billing.VoucherRevoked),
			UserID: maybe(t, "user", b.users...), Serial: maybe(t, "serial", serials...), Now: maybe(t, "now", times...)}
		now := f.Now
		if now.IsZero() {
			now = *b.now.Load()
		}
		o.check(t, func(v *billing.Voucher) bool {
			return same(f.BatchID, v.BatchID) && same(f.State, v.StateAt(now)) && same(f.UserID, v.UserID) && strings.HasPrefix(v.Serial, f.Serial)
		}, list, func() (aaa.Count, error) { return b.CountVouchers(ctx, f) })
	})

	var of billing.VoucherBatchFilter
	pages := func(p aaa.Page) ([]billing.VoucherBatch, string, error) { return b.ListVoucherBatchesPage(ctx, of, p) }
	all := newOracle(t, b, "voucher_batches", billing.VoucherBatchSorts(), func(x *billing.VoucherBatch) uuid.UUID { return x.ID }, pages)
	all.by = map[string]func(a, b *billing.VoucherBatch) int{
		"name":       func(a, b *billing.VoucherBatch) int { return strings.Compare(a.Name, b.Name) },
		"created_at": byTime(func(x *billing.VoucherBatch) time.Time { return x.CreatedAt }),
	}
	often(t, func(t *rapid.T) {
		of = billing.VoucherBatchFilter{Query: maybe(t, "query", "s", "S", "sp", "spä", "spring2"), Kind: maybe(t, "kind", billing.VoucherPlan, billing.VoucherValue)}
		all.check(t, func(x *billing.VoucherBatch) bool {
			return strings.HasPrefix(x.Name, of.Query) && same(of.Kind, x.Kind)
		}, pages,
			func() (aaa.Count, error) { return b.CountVoucherBatches(ctx, of) })
	})
	for i := range all.rows {
		var want billing.VoucherCounts
		for k := range o.rows {
			if o.rows[k].BatchID == all.rows[i].ID {
				switch o.rows[k].StateAt(*b.now.Load()) {
				case billing.VoucherNew:
					want.New++
				case billing.VoucherUsed:
					want.Used++
				case billing.VoucherExpired:
					want.Expired++
				case billing.VoucherRevoked:
					want.Revoked++
				}
			}
		}
		assert.Equal(t, want, all.rows[i].Counts, all.rows[i].Name)
	}
}
