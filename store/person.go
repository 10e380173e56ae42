package store

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// ExportPerson writes one JSON document with everything that the store holds about a user,
// but for secrets, in one state of the database. It holds one row at a time. Names are
// those of the tables' columns. It fails with ErrNotFound before it has written anything.
func (s *Store) ExportPerson(ctx context.Context, userID uuid.UUID, w io.Writer) error {
	user, profile, err := s.UserByID(ctx, userID)
	if err != nil {
		return err
	}
	err = s.read(ctx, func(tx *sql.Tx) error {
		p := personWriter{out: bufio.NewWriter(w), store: s, tx: tx}
		if err := p.write(ctx, user, profile); err != nil {
			return err
		}
		return p.out.Flush()
	})
	if err != nil {
		return fmt.Errorf("export the data of user %s: %w", userID, s.explain(err))
	}
	return nil
}

// personWriter writes the document.
type personWriter struct {
	out   *bufio.Writer
	store *Store
	tx    *sql.Tx
}

func (p *personWriter) write(ctx context.Context, user *aaa.User, profile *aaa.Profile) error {
	fmt.Fprintf(p.out, "{\n\"exported_at\": %q,\n\"user\": ", p.store.timestamp().Format(time.RFC3339Nano))
	if err := p.object(withoutSecrets(usersFields(p.store, user))); err != nil {
		return err
	}
	fmt.Fprint(p.out, ",\n\"profile\": ")
	values := map[string]string{}
	for _, f := range profile.Fields() {
		values[f.Name] = *f.Value
	}
	if err := p.value(values); err != nil {
		return err
	}
	items, err := itemFact(user.Items)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, ",\n\"items\": %s", items.shown)
	userID := user.ID.String()
	for _, q := range []struct{ name, query string }{
		{"groups", "SELECT g.name, m.priority FROM user_groups m JOIN groups g ON g.id = m.group_id WHERE m.user_id = $1 ORDER BY m.priority, g.name"},
		{"plan", "SELECT p.name, p.rate_up, p.rate_down, p.quota_seconds, p.quota_octets, p.quota_period FROM plans p JOIN users u ON u.plan_id = p.id WHERE u.id = $1"},
		{"former_names", "SELECT username, CAST(since AS text) AS since, CAST(until AS text) AS until FROM former_usernames WHERE user_id = $1 ORDER BY until"},
		{"subscriptions", "SELECT CAST(s.id AS text) AS id, p.name AS plan, s.state, CAST(s.start_day AS text) AS start_day, CAST(s.end_day AS text) AS end_day FROM subscriptions s JOIN rates r ON r.id = s.rate_id JOIN plans p ON p.id = r.plan_id WHERE s.user_id = $1 ORDER BY s.created_at, s.id"},
		{"orders", "SELECT CAST(id AS text) AS id, kind, state, currency, amount, CAST(created_at AS text) AS created_at FROM orders WHERE user_id = $1 ORDER BY created_at, id"},
		{"charges", "SELECT CAST(id AS text) AS id, kind, description, CAST(period_from AS text) AS period_from, CAST(period_to AS text) AS period_to, currency, amount, inputs, CAST(invoice_id AS text) AS invoice_id FROM charges WHERE user_id = $1 ORDER BY created_at, id"},
		{"billing_mails", "SELECT CAST(id AS text) AS id, CAST(invoice_id AS text) AS invoice_id, purpose, recipient, state, error FROM billing_mails WHERE user_id = $1 ORDER BY created_at, id"},
		{"dunning_steps", "SELECT CAST(invoice_id AS text) AS invoice_id, action, after_days, CAST(done_on AS text) AS done_on, state FROM dunning_steps WHERE user_id = $1 ORDER BY invoice_id, after_days, action"},
		{"invoices", "SELECT CAST(id AS text) AS id, number, kind, state, currency, CAST(issued_on AS text) AS issued_on, CAST(due_on AS text) AS due_on, net, tax, total, paid, buyer, note FROM invoices WHERE user_id = $1 ORDER BY created_at, id"},
		{"invoice_lines", "SELECT CAST(l.invoice_id AS text) AS invoice_id, l.line, l.description, l.quantity, l.unit, l.unit_price, l.net, l.tax_percent FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id WHERE i.user_id = $1 ORDER BY i.created_at, i.id, l.line"},
		{"payments", "SELECT CAST(id AS text) AS id, method, currency, amount, provider, reference, CAST(received_on AS text) AS received_on, note, CAST(refunds AS text) AS refunds FROM payments WHERE user_id = $1 ORDER BY created_at, id"},
		{"balances", "SELECT currency, balance FROM ledger_balances WHERE user_id = $1 ORDER BY currency"},
		{"audit_log", "SELECT seq, CAST(at AS text) AS at, action, entity_name, CAST(changes AS text) AS changes FROM audit_log WHERE entity_id = $1 ORDER BY seq"},
	} {
		if err := p.rows(ctx, q.name, q.query, userID); err != nil {
			return err
		}
	}
	of, err := recordNames(ctx, p.tx, user.ID)
	if err != nil {
		return err
	}
	var x aaa.Session
	var r aaa.Record
	var a aaa.AuthRecord
	var u aaa.DailyUsage
	sessions, records := sessionFields(&x), recordFields(&r)
	rows := func(column string) func(recordName) conditions {
		return func(n recordName) conditions { return n.rows(column) }
	}
	for _, list := range []personList{
		{"sessions", sessions[:len(sessions)-1], "sessions%s ORDER BY started_at, id", rows("started_at")}, // without provenance
		{"accounting_records", records, "accounting_records WHERE session_id IN (SELECT id FROM sessions%s) ORDER BY session_id, event_time", rows("started_at")},
		{"auth_records", authFields(&a), "auth_records%s ORDER BY at, id", rows("at")},
		{"usage_daily", usageFields(&u, p.store.location), "usage_daily%s ORDER BY day", func(n recordName) conditions { return n.days(p.store) }},
	} {
		if err := p.list(ctx, list, of); err != nil {
			return err
		}
	}
	_, err = p.out.WriteString("\n}\n")
	return err
}

// personList is a table that has a person's name.
type personList struct {
	name   string
	fields []field
	rest   string // of the query, with %s for which rows
	which  func(recordName) conditions
}

// list writes rows of a table under all names of the user.
func (p *personWriter) list(ctx context.Context, list personList, of []recordName) error {
	fmt.Fprintf(p.out, ",\n%q: [", list.name)
	separator := "\n"
	for _, name := range of {
		c := list.which(name)
		query := "SELECT " + names(list.fields) + " FROM " + fmt.Sprintf(list.rest, c.where())
		err := eachRow(ctx, p.tx, query, c.args, targets(list.fields), func() error {
			p.out.WriteString(separator)
			separator = ",\n"
			return p.object(list.fields)
		})
		if err != nil {
			return err
		}
	}
	p.out.WriteString("]")
	return nil
}

// object writes fields as an object in their order.
func (p *personWriter) object(fields []field) error {
	p.out.WriteByte('{')
	for i, f := range fields {
		value, err := f.column.Value()
		if err != nil {
			return err
		}
		if i > 0 {
			p.out.WriteString(", ")
		}
		fmt.Fprintf(p.out, "%q: ", f.name)
		if err := p.value(value); err != nil {
			return err
		}
	}
	return p.out.WriteByte('}')
}

func (p *personWriter) value(value any) error {
	b, err := json.Marshal(value)
	if err == nil {
		_, err = p.out.Write(b)
	}
	return err
}

// rows writes what a query returns, by the names of its columns.
func (p *personWriter) rows(ctx context.Context, name, query string, args ...any) error {
	fmt.Fprintf(p.out, ",\n%q: [", name)
	rows, err := p.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, dest := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for n := 0; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if n > 0 {
			p.out.WriteByte(',')
		}
		p.out.WriteString("\n{")
		for i, column := range columns {
			if i > 0 {
				p.out.WriteString(", ")
			}
			fmt.Fprintf(p.out, "%q: ", column)
			if err := p.value(values[i]); err != nil {
				return err
			}
		}
		p.out.WriteByte('}')
	}
	p.out.WriteString("]")
	return rows.Err()
}
