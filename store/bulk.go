package store

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"
)

// source is rows that are written together; all have the same fields.
type source struct {
	n   int
	row func(i int) []field // valid until the next call
}

// listed is a source of rows that stand in memory.
func listed(rows ...[]field) source {
	return source{len(rows), func(i int) []field { return rows[i] }}
}

// filled is a source of n rows that take turns in one variable, whose fields are
// given: fill sets it to row i.
func filled(fields []field, n int, fill func(i int)) source {
	return source{n, func(i int) []field { fill(i); return fields }}
}

// insertRows adds many rows to a table: by COPY in Postgres, row by row in
// SQLite, where a statement costs no round trip.
func insertRows(ctx context.Context, tx *writeTx, table string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	if tx.postgres {
		return copyRows(ctx, tx, table, rows)
	}
	return executeRows(ctx, tx, insertion(table, rows.row(0)), rows)
}

// upsert adds rows, or replaces those whose key exists. The key is the names of
// its columns; no two of the rows may have the same one.
func upsert(ctx context.Context, tx *writeTx, table, key string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	var sets []string
	for _, f := range rows.row(0) {
		if !strings.Contains(", "+key+",", ", "+f.name+",") {
			sets = append(sets, f.name+" = excluded."+f.name)
		}
	}
	return resolveRows(ctx, tx, table, "ON CONFLICT ("+key+") DO UPDATE SET "+strings.Join(sets, ", "), rows)
}

// updateRows writes every field of the rows whose first fields are their keys.
func updateRows(ctx context.Context, tx *writeTx, table string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	return executeRows(ctx, tx, updating(table, rows.row(0)), rows)
}

// versionColumn is the name that a row's version has in the tables of updateVersions.
const versionColumn = "version"

// updateVersions writes, in Postgres, every field of rows of which the first is the
// key and the second the version that was read: if a row is of another one by now,
// the transaction is to be run again.
func updateVersions(ctx context.Context, tx *writeTx, table string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	fields := rows.row(0)
	stage, err := tx.stage(ctx, table, strings.Replace(names(fields), versionColumn, "xmin AS "+versionColumn, 1))
	if err != nil {
		return err
	}
	if err := copyRows(ctx, tx, stage, rows); err != nil {
		return err
	}
	sets := make([]string, 0, len(fields))
	for _, f := range fields[2:] {
		sets = append(sets, f.name+" = stage."+f.name)
	}
	key := fields[0].name
	result, err := tx.ExecContext(ctx, "UPDATE "+table+" AS t SET "+strings.Join(sets, ", ")+" FROM "+stage+" AS stage WHERE t."+key+
		" = stage."+key+" AND t.xmin = stage."+versionColumn)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == int64(rows.n) {
		return err
	}
	return errRetry{fmt.Errorf("rows of %s have changed", table)}
}

// insertNew adds those rows whose key does not exist.
func insertNew(ctx context.Context, tx *writeTx, table string, rows source) error {
	return resolveRows(ctx, tx, table, "ON CONFLICT DO NOTHING", rows)
}

// copyThreshold is the number of rows from which COPY pays off.
const copyThreshold = 20

// resolveRows adds rows with an ON CONFLICT clause. Postgres takes many of them
// by COPY into a temporary table, and from there by one INSERT.
func resolveRows(ctx context.Context, tx *writeTx, table, conflict string, rows source) error {
	if rows.n == 0 {
		return nil
	}
	if !tx.postgres || rows.n < copyThreshold {
		return executeRows(ctx, tx, insertion(table, rows.row(0))+" "+conflict, rows)
	}
	columns := names(rows.row(0))
	stage, err := tx.stage(ctx, table, columns)
	if err != nil {
		return err
	}
	if err := copyRows(ctx, tx, stage, rows); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx,
		"INSERT INTO "+table+" ("+columns+") SELECT "+columns+" FROM "+stage+" "+conflict)
	return err
}

// stage provides an empty temporary table with some columns of another one. It
// lives as long as the connection, for the next batch; a commit empties it.
func (tx *writeTx) stage(ctx context.Context, table, columns string) (stage string, err error) {
	stage = fmt.Sprintf("stage_%s_%08x", table, crc32.ChecksumIEEE([]byte(columns)))
	if tx.staged[stage] {
		_, err := tx.ExecContext(ctx, "TRUNCATE "+stage)
		return stage, err
	}
	if tx.staged == nil {
		tx.staged = map[string]bool{}
	}
	tx.staged[stage] = true
	var exists bool
	if err := tx.QueryRowContext(ctx, "SELECT to_regclass('pg_temp.' || $1) IS NOT NULL", stage).Scan(&exists); err != nil || exists {
		return stage, err
	}
	_, err = tx.ExecContext(ctx, "CREATE TEMPORARY TABLE "+stage+" ON COMMIT DELETE ROWS AS SELECT "+columns+" FROM "+table+" WITH NO DATA")
	return stage, err
}

func insertion(table string, fields []field) string {
	return "INSERT INTO " + table + " (" + names(fields) + ") VALUES (" + placeholders(1, len(fields)) + ")"
}

func executeRows(ctx context.Context, tx *writeTx, query string, rows source) error {
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range rows.n {
		if _, err := stmt.ExecContext(ctx, targets(rows.row(i))...); err != nil {
			return err
		}
	}
	return nil
}

// updateMany writes every field of the rows whose first fields are their keys, of which
// no two are the same: in Postgres by one statement, from a temporary table.
func updateMany(ctx context.Context, tx *writeTx, table string, rows source) error {
	if !tx.postgres || rows.n < copyThreshold {
		return updateRows(ctx, tx, table, rows)
	}
	fields := rows.row(0)
	stage, err := tx.stage(ctx, table, names(fields))
	if err != nil {
		return err
	}
	if err := copyRows(ctx, tx, stage, rows); err != nil {
		return err
	}
	sets := make([]string, 0, len(fields))
	for _, f := range fields[1:] {
		sets = append(sets, f.name+" = stage."+f.name)
	}
	key := fields[0].name
	_, err = tx.ExecContext(ctx, "UPDATE "+table+" AS t SET "+strings.Join(sets, ", ")+" FROM "+stage+" AS stage WHERE t."+key+" = stage."+key)
	return err
}
