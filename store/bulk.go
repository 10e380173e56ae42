package store

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// insertRows adds many rows to a table: by COPY in Postgres, row by row in
// SQLite, where a statement costs no round trip. All rows have the same fields.
func insertRows(ctx context.Context, tx *writeTx, table string, rows [][]field) error {
	if len(rows) == 0 {
		return nil
	}
	if tx.postgres {
		return copyRows(ctx, tx, table, rows)
	}
	return executeRows(ctx, tx, insertion(table, rows[0]), rows)
}

// upsert adds rows, or replaces those whose key exists. The key is the names of
// its columns; no two of the rows may have the same one.
func upsert(ctx context.Context, tx *writeTx, table, key string, rows [][]field) error {
	if len(rows) == 0 {
		return nil
	}
	sets := make([]string, 0, len(rows[0]))
	for _, f := range rows[0] {
		if !strings.Contains(", "+key+",", ", "+f.name+",") {
			sets = append(sets, f.name+" = excluded."+f.name)
		}
	}
	return resolveRows(ctx, tx, table, "ON CONFLICT ("+key+") DO UPDATE SET "+strings.Join(sets, ", "), rows)
}

// updateRows writes every field of the rows whose first fields are their keys. All
// rows have the same fields.
func updateRows(ctx context.Context, tx *writeTx, table string, rows [][]field) error {
	if len(rows) == 0 {
		return nil
	}
	return executeRows(ctx, tx, updating(table, rows[0]), rows)
}

// insertNew adds those rows whose key does not exist.
func insertNew(ctx context.Context, tx *writeTx, table string, rows [][]field) error {
	return resolveRows(ctx, tx, table, "ON CONFLICT DO NOTHING", rows)
}

// copyThreshold is the number of rows from which COPY pays off.
const copyThreshold = 20

// resolveRows adds rows with an ON CONFLICT clause. Postgres takes many of them
// by COPY into a temporary table, and from there by one INSERT.
func resolveRows(ctx context.Context, tx *writeTx, table, conflict string, rows [][]field) error {
	if len(rows) == 0 {
		return nil
	}
	if !tx.postgres || len(rows) < copyThreshold {
		return executeRows(ctx, tx, insertion(table, rows[0])+" "+conflict, rows)
	}
	columns := names(rows[0])
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

func executeRows(ctx context.Context, tx *writeTx, query string, rows [][]field) error {
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, fields := range rows {
		if _, err := stmt.ExecContext(ctx, targets(fields)...); err != nil {
			return err
		}
	}
	return nil
}

// copyRows sends rows by COPY on the transaction's connection.
func copyRows(ctx context.Context, tx *writeTx, table string, rows [][]field) error {
	columns := make([]string, len(rows[0]))
	for i, f := range rows[0] {
		columns[i] = f.name
	}
	values := make([]any, len(columns))
	next := 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if next == len(rows) {
			return nil, nil
		}
		for i, f := range rows[next] {
			values[i] = f.bulkValue()
		}
		next++
		return values, nil
	})
	return tx.conn.Raw(func(driverConn any) error {
		_, err := driverConn.(*stdlib.Conn).Conn().CopyFrom(ctx, pgx.Identifier{table}, columns, source)
		return err
	})
}
