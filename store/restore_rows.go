package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"radiusd/store/archive"
)

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// eachChunkOf calls fn for each chunk of the table that the archive is at.
func eachChunkOf(in *archive.Reader, fn func(chunk []byte) error) error {
	for {
		chunk, err := in.NextChunk()
		if err != nil {
			return ignoreEnd(err)
		}
		if err := fn(chunk); err != nil {
			return err
		}
	}
}

// fillSQLite loads all tables. Triggers, which would write a change for each row, are
// away meanwhile; foreign keys are checked at the end.
func (r *restoring) fillSQLite(ctx context.Context, tx *writeTx, present []archive.Table) error {
	if _, err := tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = 1"); err != nil {
		return err
	}
	triggers, err := dropTriggers(ctx, tx)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, tx, present); err != nil {
		return err
	}
	err = r.tables(present, func(t archive.Table) error { return r.fillTableSQLite(ctx, tx, t) })
	if err != nil {
		return err
	}
	for table, last := range r.in.Manifest().Sequences {
		if err := setSequenceSQLite(ctx, tx, table, last); err != nil {
			return err
		}
	}
	return createTriggers(ctx, tx, triggers)
}

func (r *restoring) fillTableSQLite(ctx context.Context, tx *writeTx, t archive.Table) error {
	stmt, err := tx.PrepareContext(ctx, "INSERT INTO "+quoteName(t.Name)+" ("+columnNames(t)+") VALUES ("+placeholders(1, len(t.Columns))+")")
	if err != nil {
		return err
	}
	defer stmt.Close()
	row, args := archive.NewRow(t), make([]any, len(t.Columns))
	return eachChunkOf(r.in, func(chunk []byte) error {
		for len(chunk) > 0 {
			values, rest, err := row.Next(chunk)
			if err != nil {
				return err
			}
			chunk = rest
			for i, v := range values {
				if args[i], err = argumentSQLite(v, t.Columns[i].Kind); err != nil {
					return err
				}
			}
			if _, err := stmt.ExecContext(ctx, args...); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

func argumentSQLite(v archive.Value, kind archive.Kind) (any, error) {
	if v.Null {
		return nil, nil
	}
	switch kind {
	case archive.Integer:
		return strconv.ParseInt(string(v.Text), 10, 64)
	case archive.Real:
		return strconv.ParseFloat(string(v.Text), 64)
	case archive.Octets:
		return append([]byte{}, v.Text...), nil
	}
	return string(v.Text), nil
}

// setSequenceSQLite has a table's next number be greater than last.
func setSequenceSQLite(ctx context.Context, tx *writeTx, table string, last int64) error {
	result, err := tx.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = max(seq, $2) WHERE name = $1", table, last)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n > 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) SELECT name, $2 FROM sqlite_master WHERE type = 'table' AND name = $1", table, last)
	return err
}

// trigger is a trigger of SQLite and the statement that makes it.
type trigger struct{ name, statement string }

func dropTriggers(ctx context.Context, tx *writeTx) (list []trigger, err error) {
	var t trigger
	err = eachRow(ctx, tx, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid", nil, []any{&t.name, &t.statement}, func() error {
		list = append(list, t)
		return nil
	})
	for _, t := range list {
		if err == nil {
			_, err = tx.ExecContext(ctx, "DROP TRIGGER "+quoteName(t.name))
		}
	}
	return list, err
}

func createTriggers(ctx context.Context, tx *writeTx, list []trigger) error {
	for _, t := range list {
		if _, err := tx.ExecContext(ctx, t.statement); err != nil {
			return err
		}
	}
	return nil
}

// deleteAll empties the tables in SQLite, and the change feed.
func deleteAll(ctx context.Context, tx *writeTx, tables []archive.Table) error {
	if _, err := tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = 1"); err != nil {
		return err
	}
	for _, t := range append(tables[:len(tables):len(tables)], archive.Table{Name: "changes"}) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+quoteName(t.Name)); err != nil {
			return err
		}
	}
	return nil
}

// truncate empties the tables in Postgres, and the change feed.
func truncate(ctx context.Context, tx *writeTx, tables []archive.Table) error {
	list := []string{"changes"}
	for _, t := range tables {
		list = append(list, quoteName(t.Name))
	}
	_, err := tx.ExecContext(ctx, "TRUNCATE "+strings.Join(list, ", "))
	return err
}

// fillPostgres loads all tables by COPY. Triggers, which would write a change for each
// row, rest meanwhile.
func (r *restoring) fillPostgres(ctx context.Context, tx *writeTx, present []archive.Table) error {
	guarded, err := tablesWithTriggers(ctx, tx)
	if err != nil {
		return err
	}
	if err := alterTriggers(ctx, tx, guarded, "DISABLE"); err != nil {
		return err
	}
	if err := truncate(ctx, tx, present); err != nil {
		return err
	}
	err = r.tables(present, func(t archive.Table) error {
		for _, p := range []partitioned{recordPartitions, authPartitions} {
			if p.table == t.Name {
				return r.fillPartitions(ctx, tx, t, p)
			}
		}
		return r.copyTable(ctx, tx, t, &rowsReader{in: r.in, row: archive.NewRow(t), table: t})
	})
	if err != nil {
		return err
	}
	if err := alterTriggers(ctx, tx, guarded, "ENABLE"); err != nil {
		return err
	}
	return setSequencesPostgres(ctx, tx, r.in.Manifest().Sequences)
}

func (r *restoring) copyTable(ctx context.Context, tx *writeTx, t archive.Table, rows io.Reader) error {
	return tx.conn.Raw(func(driverConn any) error {
		_, err := driverConn.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, rows, "COPY "+quoteName(t.Name)+" ("+columnNames(t)+") FROM STDIN")
		if reader, ok := rows.(*rowsReader); ok && reader.failed != nil {
			return reader.failed // rather than that the copy was ended
		}
		return err
	})
}

// fillPartitions loads a table with partitions, a chunk at a time, and makes those that
// its rows want first.
func (r *restoring) fillPartitions(ctx context.Context, tx *writeTx, t archive.Table, p partitioned) error {
	made := map[string]bool{}
	row, column := archive.NewRow(t), 0
	for i, c := range t.Columns {
		if c.Name == p.column {
			column = i
		}
	}
	return eachChunkOf(r.in, func(chunk []byte) error {
		for rest := chunk; len(rest) > 0; {
			values, next, err := row.Next(rest)
			if err != nil {
				return err
			}
			rest = next
			at, err := parseTime(string(values[column].Text))
			if err != nil {
				return err
			}
			if day := utcDay(at); !made[p.name(day)] {
				made[p.name(day)] = true
				if err := r.makePartition(ctx, tx, p, day); err != nil {
					return err
				}
			}
		}
		return r.copyTable(ctx, tx, t, &rowsReader{row: archive.NewRow(t), table: t, chunk: chunk})
	})
}

// maxPartitionAge bounds for which days partitions are made: clocks that are off leave
// rows of any.
const maxPartitionAge = 3 * 366 * 24 * time.Hour

func (r *restoring) makePartition(ctx context.Context, tx *writeTx, p partitioned, day time.Time) error {
	today := utcDay(r.store.now())
	if day.Before(today.Add(-maxPartitionAge)) || day.After(today.AddDate(0, 0, partitionsAhead)) {
		return nil
	}
	// The default partition has none of the day: all partitions a chunk wants are made
	// before its rows come.
	_, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')",
		p.name(day), p.table, day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly)))
	return err
}

// tablesWithTriggers are the tables that have triggers of their own.
func tablesWithTriggers(ctx context.Context, tx *writeTx) (list []string, err error) {
	var table string
	err = eachRow(ctx, tx, `SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace ORDER BY 1`, nil, []any{&table}, func() error {
		list = append(list, table)
		return nil
	})
	return list, err
}

func alterTriggers(ctx context.Context, tx *writeTx, tables []string, what string) error {
	for _, table := range tables {
		if _, err := tx.ExecContext(ctx, "ALTER TABLE "+quoteName(table)+" "+what+" TRIGGER USER"); err != nil {
			return err
		}
	}
	return nil
}

// setSequencesPostgres has the tables' next numbers be greater than the last ones given.
func setSequencesPostgres(ctx context.Context, tx *writeTx, last map[string]int64) error {
	type identity struct{ table, column string }
	var found []identity
	var i identity
	err := eachRow(ctx, tx, `SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE a.attidentity <> '' AND NOT a.attisdropped AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace`,
		nil, []any{&i.table, &i.column}, func() error {
			found = append(found, i)
			return nil
		})
	if err != nil {
		return err
	}
	for _, i := range found {
		var n int64
		err := tx.QueryRowContext(ctx, "SELECT coalesce(max("+quoteName(i.column)+"), 0) FROM "+quoteName(i.table)).Scan(&n)
		if err != nil {
			return err
		}
		if n = max(n, last[i.table]); n == 0 {
			continue
		}
		var set sql.NullInt64
		err = tx.QueryRowContext(ctx, "SELECT setval(pg_get_serial_sequence($1, $2)::regclass, $3)", quoteName(i.table), i.column, n).Scan(&set)
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsReader gives the rows of a table as COPY reads them in its text format: those of
// the chunk, and of all that follow if there is an archive.
type rowsReader struct {
	in     *archive.Reader // nil: nothing follows
	row    *archive.Row
	table  archive.Table
	chunk  []byte
	buf    []byte
	left   []byte // of buf
	failed error
}

// Read implements io.Reader.
func (r *rowsReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.failed != nil {
			return 0, r.failed
		}
		if err := r.fill(); err != nil {
			if !errors.Is(err, io.EOF) {
				r.failed = err
			}
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *rowsReader) fill() (err error) {
	if len(r.chunk) == 0 {
		if r.in == nil {
			return io.EOF
		}
		if r.chunk, err = r.in.NextChunk(); err != nil {
			r.chunk = nil
			return err
		}
	}
	r.buf = r.buf[:0]
	for len(r.chunk) > 0 && len(r.buf) < copyChunk {
		var values []archive.Value
		if values, r.chunk, err = r.row.Next(r.chunk); err != nil {
			return err
		}
		for i, v := range values {
			if i > 0 {
				r.buf = append(r.buf, '\t')
			}
			r.buf = appendCopyText(r.buf, v, r.table.Columns[i].Kind)
		}
		r.buf = append(r.buf, '\n')
	}
	r.left = r.buf
	runtime.Gosched()
	return nil
}

// appendCopyText appends a value in COPY's text format.
func appendCopyText(b []byte, v archive.Value, kind archive.Kind) []byte {
	switch {
	case v.Null:
		return append(b, `\N`...)
	case kind == archive.Octets:
		return hex.AppendEncode(append(b, `\\x`...), v.Text)
	}
	for _, c := range v.Text {
		switch c {
		case '\\':
			b = append(b, '\\', '\\')
		case '\t':
			b = append(b, '\\', 't')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, c)
		}
	}
	return b
}
