package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/report"
)

var _ report.BillingSource = (*Store)(nil)

// jsonText is the SQL for a text in a column of JSON.
func (s *Store) jsonText(column, key string) string {
	if s.pool != nil {
		return "(" + column + "::json)->>'" + key + "'"
	}
	return column + "->>'" + key + "'"
}

// usernameIn is the condition that a row is of the user of a name, if there is one.
func usernameIn(c *conditions, column, user string) {
	if user != "" {
		c.add(column+" IN (SELECT id FROM users WHERE username = $%d)", cleanText(user))
	}
}

// Documents implements report.BillingSource.
func (s *Store) Documents(ctx context.Context, q report.DocumentQuery, fn func(report.DocumentPart) error) error {
	var p report.DocumentPart
	var kind billing.InvoiceKind
	var at time.Time
	what, tables, targets := s.documentParts(q, &p)
	columns := "SELECT i.kind, i.currency, i.issued_on, t.at, " + what
	dest := append([]any{term(&kind), term(&p.Currency), civil{&p.Day}, moment{&at}}, targets...)
	give := func(voided bool) func() error {
		return func() error {
			part := p
			part.Back = voided || kind == billing.KindCreditNote
			if voided != (kind == billing.KindCreditNote) { // to void a credit note brings in again
				part.Net, part.Tax = -p.Net, -p.Tax
			}
			if voided || q.Posted {
				part.Day = billing.DateOf(at, s.location)
			}
			return fn(part)
		}
	}
	var issued, voided conditions
	if q.Posted {
		issued.span("t.at", q.From.Start(s.location), q.To.Start(s.location))
	} else {
		issued.days("i.issued_on", q.From, q.To)
	}
	issued.terms = append(issued.terms, "i.number IS NOT NULL", "t.kind IN ('invoice', 'credit_note')")
	voided.span("t.at", q.From.Start(s.location), q.To.Start(s.location))
	voided.terms = append(voided.terms, "t.kind = 'void'")
	err := s.read(ctx, func(tx *sql.Tx) error {
		from := " FROM ledger_transactions t JOIN invoices i ON i.id = t.subject_id" + tables
		if err := eachRow(ctx, tx, columns+from+issued.where(), issued.args, dest, give(false)); err != nil {
			return err
		}
		return eachRow(ctx, tx, columns+from+voided.where(), voided.args, dest, give(true))
	})
	return s.failed("read invoices for a report", err)
}

// documentParts are the columns that a query of documents asks for, the tables that have
// them, and where to scan them.
func (s *Store) documentParts(q report.DocumentQuery, p *report.DocumentPart) (columns, tables string, targets []any) {
	switch {
	case q.Taxes:
		return "x.name, x.category, x.percent, x.net, x.tax", " JOIN invoice_taxes x ON x.invoice_id = i.id",
			[]any{text{&p.Key}, text{&p.Category}, text{&p.Percent}, money(&p.Net), money(&p.Tax)}
	case q.By == report.ByTaxClass:
		return "l.tax_class, l.net", " JOIN invoice_lines l ON l.invoice_id = i.id", []any{text{&p.Key}, money(&p.Net)}
	case q.By == report.ByPlan:
		rate := "r.id = CAST(" + s.jsonText("c.inputs", "rate_id") + " AS uuid)"
		if s.pool == nil {
			rate = "r.id = " + s.jsonText("c.inputs", "rate_id")
		}
		return "coalesce(p.name, ''), l.net", " JOIN invoice_lines l ON l.invoice_id = i.id LEFT JOIN charges c ON c.id = l.charge_id LEFT JOIN rates r ON " + rate +
			" LEFT JOIN plans p ON p.id = r.plan_id", []any{text{&p.Key}, money(&p.Net)}
	}
	return "i.net", "", []any{money(&p.Net)}
}

// OpenInvoices implements report.BillingSource.
func (s *Store) OpenInvoices(ctx context.Context, on billing.Date, user string, fn func(report.OpenInvoice) error) error {
	query, args := s.openInvoices(on, user)
	var i report.OpenInvoice
	err := s.read(ctx, func(tx *sql.Tx) error {
		return eachRow(ctx, tx, query, args, []any{text{&i.Username}, term(&i.Currency), civil{&i.DueOn}, money(&i.Open)}, func() error { return fn(i) })
	})
	return s.failed("read open invoices for a report", err)
}

// openInvoices asks what was open of invoices at the end of a day: of those issued until
// then and not void by then, less what was allocated to them until then.
func (s *Store) openInvoices(on billing.Date, user string) (query string, args []any) {
	next := on.AddDays(1)
	end := next.Start(s.location)
	c := conditions{args: []any{moment{&end}}}
	c.terms = []string{"i.kind = 'invoice'", "i.number IS NOT NULL", "v.subject_id IS NULL", "i.total <> coalesce(a.amount, 0)"}
	c.add("i.issued_on < $%d", civil{&next})
	usernameIn(&c, "i.user_id", user)
	return `SELECT coalesce(u.username, ''), i.currency, i.due_on, i.total - coalesce(a.amount, 0) FROM invoices i LEFT JOIN users u ON u.id = i.user_id
		LEFT JOIN (SELECT invoice_id, CAST(sum(amount) AS bigint) AS amount FROM payment_allocations WHERE at < $1 GROUP BY invoice_id) a ON a.invoice_id = i.id
		LEFT JOIN (SELECT DISTINCT subject_id FROM ledger_transactions WHERE kind = 'void' AND at < $1) v ON v.subject_id = i.id` + c.where(), c.args
}

// CustomerBalances implements report.BillingSource.
func (s *Store) CustomerBalances(ctx context.Context, on billing.Date, user string, fn func(report.CustomerBalance) error) error {
	end := on.AddDays(1).Start(s.location)
	var c conditions
	c.add("p.user_id IS NOT NULL AND p.at < $%d", moment{&end})
	usernameIn(&c, "p.user_id", user)
	var b report.CustomerBalance
	err := s.read(ctx, func(tx *sql.Tx) error {
		return eachRow(ctx, tx, "SELECT "+usernameOf("p")+", p.currency, CAST(sum(p.amount) AS bigint) FROM ledger_postings p"+c.where()+
			" GROUP BY p.user_id, p.currency HAVING sum(p.amount) <> 0", c.args,
			[]any{text{&b.Username}, term(&b.Currency), money(&b.Balance)}, func() error { return fn(b) })
	})
	return s.failed("read balances for a report", err)
}

// Subscribed implements report.BillingSource.
func (s *Store) Subscribed(ctx context.Context, days billing.Span, fn func(report.Subscribed) error) error {
	var c conditions
	c.add("x.start_day < $%d AND (x.end_day IS NULL OR x.end_day >= $%d)", civil{&days.To}, civil{&days.From})
	var x report.Subscribed
	err := s.read(ctx, func(tx *sql.Tx) error {
		return eachRow(ctx, tx, "SELECT p.name, x.start_day, x.end_day FROM subscriptions x JOIN rates r ON r.id = x.rate_id JOIN plans p ON p.id = r.plan_id"+c.where(), c.args,
			[]any{text{&x.Plan}, civil{&x.Start}, civil{&x.End}}, func() error { return fn(x) })
	})
	return s.failed("read subscriptions for a report", err)
}

// allowanceBatch is how many subscriptions are read at once.
const allowanceBatch = 500

// Allowances implements report.BillingSource. It reads the subscriptions in batches, so
// that no transaction lasts long.
func (s *Store) Allowances(ctx context.Context, on billing.Date, user string, fn func(report.Allowance) error) error {
	after := uuid.Nil
	for {
		list, err := s.allowancesAfter(ctx, &after, on, user)
		if err != nil {
			return s.failed("read usage for a report", err)
		}
		for _, x := range list {
			if err := fn(x); err != nil {
				return err
			}
		}
		if after == uuid.Nil {
			return nil
		}
	}
}

// allowancesAfter reads a batch of subscriptions, those after an id, and sets that to the
// last one; zero: there are no more. Whose records are gone, by which usage at certain hours
// is told from the rest, is left out.
func (s *Store) allowancesAfter(ctx context.Context, after *uuid.UUID, on billing.Date, user string) (list []report.Allowance, err error) {
	var c conditions
	next := on.AddDays(1)
	c.add("x.id > $%d AND x.start_day < $%d AND (x.end_day IS NULL OR x.end_day >= $%d)", after.String(), civil{&next}, civil{&next})
	usernameIn(&c, "x.user_id", user)
	type subscribed struct{ id, userID uuid.UUID }
	var x subscribed
	var rows []subscribed
	err = s.look(ctx, func(tx *writeTx) error {
		gone := false
		*after = uuid.Nil
		n := 0
		var last uuid.UUID
		err := eachRow(ctx, tx, "SELECT x.id, x.user_id, NOT EXISTS (SELECT 1 FROM users WHERE users.id = x.user_id) FROM subscriptions x"+c.where()+" ORDER BY x.id LIMIT "+fmt.Sprint(allowanceBatch), c.args,
			[]any{id{&x.id}, id{&x.userID}, flag{&gone}}, func() error {
				n, last = n+1, x.id
				if !gone {
					rows = append(rows, x)
				}
				return nil
			})
		if err != nil {
			return err
		}
		if n == allowanceBatch {
			*after = last
		}
		var users []uuid.UUID
		seen := map[uuid.UUID]bool{}
		for _, x := range rows {
			if !seen[x.userID] {
				seen[x.userID] = true
				users = append(users, x.userID)
			}
		}
		if len(users) == 0 {
			return nil
		}
		slices.SortFunc(users, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
		accounts, err := tx.readAccounts(ctx, users, billing.RunOptions{AsOf: on, Location: s.location})
		if err != nil {
			return err
		}
		byUser := make(map[uuid.UUID]*billing.Account, len(accounts))
		for _, a := range accounts {
			byUser[a.UserID] = a
		}
		for _, x := range rows {
			account := byUser[x.userID]
			used, err := account.AllowancesOn(x.id, on)
			if errors.Is(err, errRecordsGone) {
				continue
			}
			if err != nil {
				return err
			}
			for _, u := range used {
				list = append(list, report.Allowance{Username: account.Username, Plan: u.PlanName, Period: u.Period, Metric: u.Metric, Used: u.Used, Allowance: u.Allowance})
			}
		}
		return nil
	})
	return list, err
}
