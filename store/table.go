package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"radiusd/aaa"
)

// field is a column of a table, bound to a Go variable.
type field struct {
	name string
	column
}

// names lists the fields' column names, as in "id, name, created_at".
func names(fields []field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return strings.Join(list, ", ")
}

// targets returns the fields as Scan takes them.
func targets(fields []field) []any {
	list := make([]any, len(fields))
	for i, f := range fields {
		list[i] = f.column
	}
	return list
}

// withoutSecrets are the fields that anybody may see.
func withoutSecrets(fields []field) []field {
	return slices.DeleteFunc(fields, func(f field) bool {
		_, is := f.column.(secret)
		return is
	})
}

// placeholders returns "$first, $first+1, …", n of them.
func placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(first + i))
	}
	return b.String()
}

// arguments returns a slice as a query takes its arguments.
func arguments[T any](list []T) []any {
	args := make([]any, len(list))
	for i, v := range list {
		args[i] = v
	}
	return args
}

// insert adds one row.
func insert(ctx context.Context, tx *sql.Tx, table string, fields []field) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" ("+names(fields)+") VALUES ("+placeholders(1, len(fields))+")",
		targets(fields)...)
	return err
}

// update writes every field of the row whose first field is its key.
func update(ctx context.Context, tx *sql.Tx, table string, fields []field) error {
	_, err := tx.ExecContext(ctx, updating(table, fields), targets(fields)...)
	return err
}

// updating is the statement of update.
func updating(table string, fields []field) string {
	sets := make([]string, 0, len(fields)-1)
	for i, f := range fields[1:] {
		sets = append(sets, f.name+" = $"+strconv.Itoa(i+2))
	}
	return "UPDATE " + table + " SET " + strings.Join(sets, ", ") + " WHERE " + fields[0].name + " = $1"
}

// querier is a *sql.DB, *sql.Tx or *sql.Conn.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// eachRow runs a query and calls fn after each row was scanned into dest. It rests
// between rows if the context has an aaa.Pace.
func eachRow(ctx context.Context, q querier, query string, args []any, dest []any, fn func() error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	pace := aaa.PaceOf(ctx)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
		pace.Step()
	}
	return rows.Err()
}

// conditions collects the terms of a WHERE clause with their arguments.
type conditions struct {
	terms []string
	args  []any
}

// add appends a term; each %d in it stands for the number of the next argument.
func (c *conditions) add(term string, args ...any) {
	numbers := make([]any, len(args))
	for i := range args {
		numbers[i] = len(c.args) + i + 1
	}
	c.terms = append(c.terms, fmt.Sprintf(term, numbers...))
	c.args = append(c.args, args...)
}

// in appends a term that says that the column is one of the values.
func (c *conditions) in(column string, values []string) {
	c.terms = append(c.terms, column+" IN ("+placeholders(len(c.args)+1, len(values))+")")
	c.args = append(c.args, arguments(values)...)
}

// where returns the clause, or nothing if there are no terms.
func (c *conditions) where() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// eachChunk calls fn with a term that says that the column is one of the values.
// Postgres takes them as one array; SQLite, which has none, as lists of bounded
// length.
func eachChunk(tx *writeTx, column, arrayOf string, values []string, fn func(which string, args []any) error) error {
	if len(values) == 0 {
		return nil
	}
	if tx.postgres {
		return fn(column+" = ANY ($1::text[]::"+arrayOf+"[])", []any{values})
	}
	for chunk := range slices.Chunk(values, inListSize) {
		if err := fn(column+" IN ("+placeholders(1, len(chunk))+")", arguments(chunk)); err != nil {
			return err
		}
	}
	return nil
}
