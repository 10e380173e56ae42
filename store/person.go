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
		{"audit_log", "SELECT seq, CAST(at AS text) AS at, action, entity_name, CAST(changes AS text) AS changes FROM audit_log WHERE entity_id = $1 ORDER BY seq"},
	} {
		if err := p.rows(ctx, q.name, q.query, userID); err != nil {
			return err
		}
	}
	var x aaa.Session
	var r aaa.Record
	var a aaa.AuthRecord
	var u aaa.DailyUsage
	sessions, records := sessionFields(&x), recordFields(&r)
	for _, list := range []struct {
		name   string
		fields []field
		rest   string
	}{
		{"sessions", sessions[:len(sessions)-1], "sessions WHERE username = $1 ORDER BY started_at, id"}, // without provenance
		{"accounting_records", records, "accounting_records WHERE session_id IN (SELECT id FROM sessions WHERE username = $1) ORDER BY session_id, event_time"},
		{"auth_records", authFields(&a), "auth_records WHERE username = $1 ORDER BY at, id"},
		{"usage_daily", usageFields(&u, p.store.location), "usage_daily WHERE username = $1 ORDER BY day"},
	} {
		if err := p.list(ctx, list.name, list.fields, list.rest, user.Name); err != nil {
			return err
		}
	}
	_, err = p.out.WriteString("\n}\n")
	return err
}

// list writes rows of a table.
func (p *personWriter) list(ctx context.Context, name string, fields []field, rest string, args ...any) error {
	fmt.Fprintf(p.out, ",\n%q: [", name)
	separator := "\n"
	err := eachRow(ctx, p.tx, "SELECT "+names(fields)+" FROM "+rest, args, targets(fields), func() error {
		p.out.WriteString(separator)
		separator = ",\n"
		return p.object(fields)
	})
	p.out.WriteString("]")
	return err
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
