package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/billing"
)

// requireSettled requires that a user who owes nothing has no open invoice, and that nobody
// has credit beside one, or beside one that was written off.
func (b *billed) requireSettled(t require.TestingT, userID uuid.UUID) {
	ctx := context.Background()
	balance, err := b.Balance(ctx, userID, "EUR")
	require.NoError(t, err)
	var open, credit, rest, writtenOff billing.Amount
	invoices, _, err := b.ListInvoicesPage(ctx, billing.InvoiceFilter{UserID: userID, State: billing.InvoiceIssued}, aaa.Page{Limit: 1000})
	require.NoError(t, err)
	for _, i := range invoices {
		if i.Kind == billing.KindCreditNote {
			credit += i.Open()
		} else {
			open += i.Open()
		}
	}
	require.NoError(t, b.raw.QueryRowContext(ctx, `SELECT (SELECT CAST(coalesce(sum(rest), 0) AS bigint) FROM payments WHERE user_id = $1),
		(SELECT CAST(coalesce(sum(a.amount), 0) AS bigint) FROM payment_allocations a JOIN invoices i ON i.id = a.invoice_id WHERE a.subject_kind = 'write_off' AND i.user_id = $2)`,
		userID.String(), userID.String()).Scan(&rest, &writtenOff))
	credit += rest
	require.Equal(t, balance, open-credit, "the ledger and the documents")
	require.True(t, open == 0 || credit == 0, "%d are open beside a credit of %d", open, credit)
	require.True(t, writtenOff == 0 || credit == 0, "%d are written off beside a credit of %d", writtenOff, credit)
}

// refusal requires that an operation was done, or refused by one of the rules or for one of
// the fields that it may be refused for.
func refusal(t require.TestingT, operation string, err error, may ...string) {
	var rule *billing.RuleError
	var field *billing.FieldError
	switch {
	case err == nil:
	case errors.As(err, &rule):
		require.Contains(t, may, rule.Code, "%s: %v", operation, err)
	case errors.As(err, &field):
		require.Contains(t, may, field.Field, "%s: %v", operation, err)
	default:
		require.NoError(t, err, operation)
	}
}

// customers are accounts that a property test does things to, on days that go on.
type customers struct {
	*billed
	ctx   context.Context
	day   billing.Date
	made  int
	rates map[string][]*billing.Rate // what each kind of customer subscribes to
}

// add makes a customer of a kind, whom no check before has known.
func (c *customers) add(t *rapid.T, kind string) (userID uuid.UUID, name string) {
	c.made++
	u := newUser(fmt.Sprintf("customer-%06d", c.made))
	require.NoError(t, c.CreateUser(c.ctx, u))
	for _, rate := range c.rates[kind] {
		require.NoError(t, c.CreateSubscription(c.ctx, &billing.Subscription{UserID: u.ID, Rate: *rate, Start: c.day}))
	}
	return u.ID, u.Name
}

// pass has some days go by, and the run of the last one.
func (c *customers) pass(t *rapid.T) {
	c.day = c.day.AddDays(rapid.IntRange(1, 40).Draw(t, "days"))
	c.setNow(c.day.Start(time.UTC).Add(12 * time.Hour))
	_, err := c.run(c.ctx, c.day.String(), rapid.IntRange(1, 5).Draw(t, "limit"))
	require.NoError(t, err)
	_, err = c.ExpireCredit(c.ctx, c.day, uuid.Nil, 100)
	require.NoError(t, err)
}

// step is something that is done to the account of a customer.
type step struct {
	*customers
	*rapid.T
	userID  uuid.UUID
	amount  billing.Amount
	invoice *billing.Invoice // one of the customer's, without its lines
	payment *billing.Payment // one of the customer's
	o       billing.RunOptions
}

// steps are what is done, and whether it is to an invoice or to a payment.
var steps = map[string]struct {
	invoice, payment bool
	do               func(s *step)
}{
	"pass": {do: func(s *step) { s.pass(s.T) }},
	"pay": {do: func(s *step) {
		p := &billing.Payment{UserID: s.userID, Method: billing.PaidBank, Currency: "EUR", Amount: s.amount, ReceivedOn: s.day}
		if rapid.IntRange(0, 3).Draw(s.T, "expires") == 0 {
			p.ExpiresOn = s.day.AddDays(rapid.IntRange(0, 20).Draw(s.T, "expires after"))
		}
		_, err := s.RecordPayment(s.ctx, p)
		require.NoError(s, err)
	}},
	"pay for": {invoice: true, do: func(s *step) {
		part := min(s.amount, max(s.invoice.Open(), 1))
		_, err := s.RecordPayment(s.ctx, &billing.Payment{UserID: s.userID, Method: billing.PaidCash, Currency: "EUR", Amount: s.amount, ReceivedOn: s.day,
			Allocations: []billing.Allocation{{InvoiceID: s.invoice.ID, Amount: part}}})
		refusal(s, "pay for", err, "allocations")
		if s.invoice.Kind == billing.KindInvoice && s.invoice.State == billing.InvoiceIssued {
			require.NoError(s, err)
		}
	}},
	"order": {do: func(s *step) {
		x := &billing.Order{UserID: s.userID, Kind: billing.OrderTopUp, Currency: "EUR", Amount: s.amount}
		require.NoError(s, s.CreateOrder(s.ctx, x, s.o))
		_, err := s.PayOrder(s.ctx, x.ID, &billing.Payment{Method: billing.PaidCard, Currency: "EUR", Amount: s.amount, ReceivedOn: s.day}, s.o)
		require.NoError(s, err)
	}},
	"refund": {payment: true, do: func(s *step) {
		r := &billing.Payment{Refunds: s.payment.ID, Amount: min(s.amount, s.payment.Amount), ReceivedOn: s.day, ChargedBack: rapid.Bool().Draw(s.T, "charged back")}
		var gone billing.Amount
		require.NoError(s, s.raw.QueryRowContext(s.ctx, "SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM payments WHERE refunds = $1", s.payment.ID.String()).Scan(&gone))
		tooMuch := r.Amount > s.payment.Amount-s.payment.Expired-gone
		if r.ChargedBack { // also what has ended
			tooMuch = r.Amount > s.payment.Amount-gone
		}
		_, err := s.RefundPayment(s.ctx, r)
		refusal(s, "refund", err, "amount")
		if tooMuch || r.ChargedBack {
			require.Equal(s, tooMuch, err != nil, "%v", err)
		}
	}},
	"charge": {do: func(s *step) {
		c := &billing.Charge{UserID: s.userID, Description: "by hand", Currency: "EUR", Quantity: decimal("1"), Unit: "period", UnitPrice: decimal("1"),
			Amount: s.amount - 3000, TaxClass: "standard"}
		err := s.CreateCharge(s.ctx, c)
		refusal(s, "charge", err, "amount")
		require.Equal(s, c.Amount == 0, err != nil)
	}},
	"issue": {do: func(s *step) {
		draft, err := s.DraftInvoice(s.ctx, s.userID, "EUR", s.o)
		refusal(s, "issue", err, billing.CodeNothingToBill)
		switch {
		case err != nil:
		case rapid.Bool().Draw(s.T, "delete"):
			require.NoError(s, s.DeleteDraft(s.ctx, draft.ID))
		default:
			_, err = s.IssueInvoice(s.ctx, draft.ID, billing.Date{}, billing.Date{})
			require.NoError(s, err)
		}
	}},
	"credit": {invoice: true, do: func(s *step) {
		var parts map[int]billing.Amount
		if rapid.Bool().Draw(s.T, "parts") {
			i, err := s.InvoiceByID(s.ctx, s.invoice.ID)
			require.NoError(s, err)
			line := rapid.SampledFrom(i.Lines).Draw(s.T, "line")
			parts = map[int]billing.Amount{line.Line: line.Gross / 2}
		}
		_, err := s.CreditInvoice(s.ctx, s.invoice.ID, parts, s.day, "")
		refusal(s, "credit", err, billing.CodeInvoiceState, billing.CodeNothingToCredit, "lines")
	}},
	"void": {invoice: true, do: func(s *step) {
		err := s.VoidInvoice(s.ctx, s.invoice.ID)
		refusal(s, "void", err, billing.CodeNoChange, billing.CodeInvoiceState, billing.CodeInvoicePaid)
		if s.invoice.State == billing.InvoicePaid && s.invoice.Total > 0 || s.invoice.State == billing.InvoiceVoid {
			require.Error(s, err)
		}
	}},
	"write off": {invoice: true, do: func(s *step) {
		err := s.WriteOffInvoice(s.ctx, s.invoice.ID)
		refusal(s, "write off", err, billing.CodeInvoiceState)
		require.Equal(s, s.invoice.Kind == billing.KindInvoice && s.invoice.State == billing.InvoiceIssued, err == nil, "%v", err)
	}},
	"reinstate": {invoice: true, do: func(s *step) {
		refusal(s, "reinstate", s.ReinstateInvoice(s.ctx, s.invoice.ID), billing.CodeInvoiceState)
	}},
	"cancel": {do: func(s *step) {
		list, err := s.SubscriptionsOf(s.ctx, s.userID)
		require.NoError(s, err)
		x := rapid.SampledFrom(list).Draw(s.T, "subscription")
		on := s.day.AddDays(rapid.IntRange(-5, 20).Draw(s.T, "on"))
		resume := rapid.Bool().Draw(s.T, "resume")
		err = s.BillAccount(s.ctx, s.userID, s.o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
			if resume && !x.End.IsZero() {
				return billing.Resume(a, x.ID, o)
			}
			return billing.Cancel(a, x.ID, on, o)
		})
		refusal(s, "cancel", err, billing.CodeSubscriptionState, "on")
	}},
}

// testLedgerProperty: whatever is done in whatever order, the ledger is sound, and credit
// pays what is open. What is refused is refused by a rule of that operation. In the end
// everybody is deleted, which bills what is left.
func testLedgerProperty(t *testing.T, database Database) {
	b := newBilled(t, database, 0)
	b.raw = Raw(t, b.options)
	day := monthly(200)
	day.Setup, day.Every, day.Prepaid, day.TaxIncluded, day.Usage = 0, billing.Interval{Unit: billing.Day, Count: 1}, billing.PrepaidDaily, true, nil
	prepaid := newRate(t, b.Store, "prepaid", day)
	c := &customers{billed: b, ctx: t.Context(), day: civil("2030-01-01"),
		rates: map[string][]*billing.Rate{"one": {b.gold}, "two": {b.gold, newRate(t, b.Store, "bronze", monthly(333))}, "prepaid": {prepaid}}}
	var names []string
	for name := range steps {
		names = append(names, name)
	}
	slices.Sort(names)
	names = append(names, "pass", "pay", "refund", "write off") // more often
	rapid.Check(t, func(t *rapid.T) {
		users := map[uuid.UUID]string{}
		var ids []uuid.UUID
		for range 2 {
			userID, name := c.add(t, rapid.SampledFrom([]string{"one", "two", "prepaid"}).Draw(t, "kind"))
			users[userID], ids = name, append(ids, userID)
		}
		c.pass(t) // so that there are invoices
		for range rapid.IntRange(4, 16).Draw(t, "steps") {
			s := &step{customers: c, T: t, userID: rapid.SampledFrom(ids).Draw(t, "customer"), amount: billing.Amount(rapid.IntRange(1, 6000).Draw(t, "amount")), o: c.runOptions()}
			s.o.AsOf = c.day
			what := steps[rapid.SampledFrom(names).Draw(t, "step")]
			if what.invoice {
				list, _, err := c.ListInvoicesPage(c.ctx, billing.InvoiceFilter{UserID: s.userID}, aaa.Page{Limit: 1000})
				require.NoError(t, err)
				if len(list) == 0 {
					continue
				}
				s.invoice = &list[rapid.IntRange(0, len(list)-1).Draw(t, "invoice")]
			}
			if what.payment {
				no := false
				list, _, err := c.ListPaymentsPage(c.ctx, billing.PaymentFilter{UserID: s.userID, Refunds: &no}, aaa.Page{Limit: 1000})
				require.NoError(t, err)
				if len(list) == 0 {
					continue
				}
				s.payment = &list[rapid.IntRange(0, len(list)-1).Draw(t, "payment")]
			}
			what.do(s)
			c.requireSettled(t, s.userID)
		}
		if rapid.IntRange(0, 4).Draw(t, "reports") == 0 { // they take long
			requireReports(t, c.Store, c.day.AddDays(-rapid.IntRange(0, 40).Draw(t, "cut")), c.day)
		}
		for _, userID := range ids {
			require.NoError(t, c.DeleteUser(c.ctx, users[userID]))
			c.requireSettled(t, userID)
		}
		requireSound(t, c.Store)
	})
}
