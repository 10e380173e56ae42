package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"radiusd/store/archive"
)

// BackupOptions says how a backup is made.
type BackupOptions struct {
	// Recipients can open the backup. At least one is required.
	Recipients []age.Recipient
	// MasterKey is the master key in hex, to be put into the backup; nil leaves it out.
	MasterKey []byte
	// Program is the version of radiusd, for the header.
	Program string
	// Progress, if set, is called again and again with how many rows are written and
	// about how many there are.
	Progress func(rows, about int64)
}

// progressRows is after how many rows Progress is called.
const progressRows = 10_000

// Backup writes one state of the whole database to w, encrypted for the recipients, while
// others go on to write. It holds about a MiB. On Postgres it keeps partitions from being
// dropped until it ends, on SQLite the write-ahead log from being emptied. What was written
// is worth nothing if it fails.
func (s *Store) Backup(ctx context.Context, w io.Writer, options BackupOptions) (*archive.Manifest, error) {
	var manifest *archive.Manifest
	err := s.snapshotRead(ctx, func(tx *writeTx) (err error) {
		manifest, err = s.backup(ctx, tx, w, options)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("backup: %w", s.explain(err))
	}
	return manifest, nil
}

// snapshotRead runs fn in a transaction that only reads and sees one state of the
// database, all tables of the catalog included.
func (s *Store) snapshotRead(ctx context.Context, fn func(tx *writeTx) error) error {
	conn, err := s.reader.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot()})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if s.pool != nil {
		if err := s.lockForRead(ctx, tx); err != nil {
			return err
		}
	}
	return fn(&writeTx{Tx: tx, store: s, conn: conn, postgres: s.pool != nil})
}

// lockForRead locks all tables before the transaction's first query decides which state
// it sees: none may be dropped or changed in between.
func (s *Store) lockForRead(ctx context.Context, tx *sql.Tx) error {
	tables, err := s.catalog(ctx, s.reader)
	if err != nil {
		return err
	}
	list := make([]string, len(tables))
	for i, t := range tables {
		list[i] = quoteName(t.Name)
	}
	for _, statement := range []string{
		"SET LOCAL statement_timeout = 0", "SET LOCAL idle_in_transaction_session_timeout = 0",
		"SET LOCAL datestyle = 'ISO'", "SET LOCAL bytea_output = 'hex'", "SET LOCAL extra_float_digits = 1", "SET LOCAL timezone = 'UTC'",
		"LOCK TABLE " + strings.Join(list, ", ") + " IN ACCESS SHARE MODE",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) backup(ctx context.Context, tx *writeTx, w io.Writer, options BackupOptions) (*archive.Manifest, error) {
	header := archive.Header{
		Program: options.Program, Engine: s.Engine(), MadeAt: s.timestamp(), TimeZone: s.location.String(), MasterKeyID: s.sealer.KeyID(),
	}
	err := tx.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&header.SchemaVersion)
	if err != nil {
		return nil, err
	}
	if header.Tables, err = s.catalog(ctx, tx); err != nil {
		return nil, err
	}
	about, err := s.estimateRows(ctx, tx, header.Tables)
	if err != nil {
		return nil, err
	}
	out, err := archive.NewWriter(w, header, options.MasterKey, options.Recipients...)
	if err != nil {
		return nil, err
	}
	rows := int64(0)
	progress := func() {
		if rows++; rows%progressRows == 0 && options.Progress != nil {
			options.Progress(rows, max(about, rows))
		}
	}
	for {
		t, err := out.Begin()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		write := s.backupTableSQLite
		if s.pool != nil {
			write = s.backupTablePostgres
		}
		if err := write(ctx, tx, t, out, progress); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	sequences, err := s.sequences(ctx, tx, header.Tables)
	if err != nil {
		return nil, err
	}
	return out.Finish(sequences)
}

// estimateRows says about how many rows the tables have, without reading them.
func (s *Store) estimateRows(ctx context.Context, q querier, tables []archive.Table) (about int64, err error) {
	if s.pool != nil {
		err = q.QueryRowContext(ctx, `SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
			WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname <> 'changes'`).Scan(&about)
		return about, err
	}
	for _, t := range tables {
		var n int64
		name := quoteName(t.Name)
		if err := q.QueryRowContext(ctx, "SELECT coalesce(max(rowid) - min(rowid) + 1, 0) FROM "+name).Scan(&n); err != nil {
			// A table without rowid.
			if err := q.QueryRowContext(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
				return 0, err
			}
		}
		about += n
	}
	return about, nil
}

// sequences returns the last number given out in each table that has numbered rows.
func (s *Store) sequences(ctx context.Context, q querier, tables []archive.Table) (map[string]int64, error) {
	list := map[string]int64{}
	query := "SELECT name, seq FROM sqlite_sequence"
	if s.pool != nil {
		query = `SELECT c.relname, coalesce(pg_sequence_last_value(pg_get_serial_sequence(quote_ident(c.relname), a.attname)::regclass), 0)
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
			WHERE a.attidentity <> '' AND NOT a.attisdropped AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace`
	}
	var table string
	var last int64
	err := eachRow(ctx, q, query, nil, []any{&table, &last}, func() error {
		for _, t := range tables {
			if t.Name == table {
				list[table] = last
			}
		}
		return nil
	})
	return list, err
}
