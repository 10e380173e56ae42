package store

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/billing"
)

// TestBillingPagesUseIndexes is TestPagesUseIndexes for the lists of billing.
func TestBillingPagesUseIndexes(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		s, err := Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		someone, yes, day := uuid.New(), true, billing.Date{Year: 2030, Month: 1, Day: 1}
		check := func(name, table string, rest string, args []any, sorts bool) {
			t.Helper()
			query := "SELECT " + table + ".* FROM " + table + rest
			plan := s.plan(t, query, args, sorts)
			assert.NotContains(t, plan, "Seq Scan", "%s\n%s", name, query)
			for line := range strings.Lines(plan) {
				scan := strings.Contains(line, "SCAN") && !strings.Contains(line, "USING")
				assert.False(t, scan, "%s\n%s\n%s", name, query, plan)
			}
			if !sorts {
				assert.NotRegexp(t, `(?m)(^|-> +)Sort  `, plan, "%s\n%s", name, query)
				assert.NotContains(t, strings.ReplaceAll(plan, "LAST TERM OF ORDER BY", ""), "ORDER BY", "%s\n%s\n%s", name, query, plan)
			}
		}
		for name, f := range map[string]billing.ChargeFilter{"all": {}, "of a user": {UserID: someone}, "of a kind": {Kind: billing.ChargeManual}, "pending": {Pending: &yes}} {
			p, err := chargeLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(chargeConditions(f))
			check("charges "+name, "charges", rest, args, false)
		}
		for name, f := range map[string]billing.InvoiceFilter{"all": {}, "of a user": {UserID: someone}, "in a state": {State: billing.InvoiceIssued}, "of a run": {RunID: someone}} {
			p, err := invoiceLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(invoiceConditions(f, "created_at"))
			check("invoices "+name, "invoices", rest, args, false)
		}
		for _, sort := range []string{"issued_on", "due_on", "number"} {
			f := billing.InvoiceFilter{IssuedFrom: day}
			p, err := invoiceLists.begin(aaa.Page{Sort: sort}, f)
			require.NoError(t, err)
			rest, args := p.rest(invoiceConditions(f, sort))
			check("invoices by "+sort, "invoices", rest, args, false)
		}
		for name, f := range map[string]billing.OrderFilter{"all": {}, "of a user": {UserID: someone}, "in a state": {State: billing.OrderOpen}, "of a kind": {Kind: billing.OrderTopUp}} {
			p, err := orderLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(orderConditions(f))
			check("orders "+name, "orders", rest, args, false)
		}
		if s.pool == nil {
			assert.Contains(t, s.plan(t, waitingOrders("user_id IN ($1, $2)"), []any{someone.String(), someone.String()}, true), "orders_user_id")
		}
		for name, f := range map[string]billing.PaymentFilter{"all": {}, "of a user": {UserID: someone}, "of a method": {Method: billing.PaidBank}} {
			p, err := paymentLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(paymentConditions(f))
			check("payments "+name, "payments", rest, args, false)
		}
		for name, f := range map[string]billing.MailingFilter{"all": {}, "of a user": {UserID: someone}, "in a state": {State: billing.MailNoAddress}, "of an invoice": {InvoiceID: someone}} {
			p, err := mailingLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(mailingConditions(f))
			check("mails "+name, "billing_mails", rest, args, f.InvoiceID == someone) // an invoice has few
		}
		for name, f := range map[string]billing.TransactionFilter{"all": {}, "of a kind": {Kind: billing.TransactionVoid}, "in a time": {From: time.Now(), Before: time.Now()}} {
			p, err := transactionLists.begin(aaa.Page{}, f)
			require.NoError(t, err)
			rest, args := p.rest(transactionConditions(f))
			check("transactions "+name, "ledger_transactions", rest, args, false)
		}
	})
}

// TestBooksAreReadAtOnce: what goes through all of the books joins tables, and asks nothing
// for each row. (SQLite calls each NOT EXISTS a subquery, which Postgres joins.)
func TestBooksAreReadAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		s, err := Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		check := func(query string, args ...any) {
			t.Helper()
			plan := s.plan(t, query, args, true)
			if s.pool != nil || !strings.Contains(query, "NOT EXISTS") {
				assert.NotContains(t, plan, "SubPlan", query)
				assert.NotContains(t, plan, "CORRELATED", query)
			}
		}
		for _, c := range ledgerChecks {
			check(c.query)
		}
		for _, user := range []string{"", "alice"} {
			query, args := s.openInvoices(billing.Date{Year: 2030, Month: 1, Day: 1}, user)
			check(query, args...)
		}
	})
}
