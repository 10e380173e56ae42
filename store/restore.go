package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"radiusd/store/archive"
	"radiusd/store/seal"
)

// RestoreOptions says how a backup is restored.
type RestoreOptions struct {
	// Replace lets what the database holds be replaced; without it only an empty one is
	// filled.
	Replace bool
	// Again says that the archive was read to its end before and found whole. A database
	// that must first be brought to another schema, which cannot be undone, is only
	// emptied then.
	Again bool
}

// What keeps a backup from being restored.
var (
	// ErrNotEmpty means that the database holds something.
	ErrNotEmpty = errors.New("the store is not empty")
	// ErrNeedsCheck means that the archive has to be read to its end before: see
	// RestoreOptions.Again.
	ErrNeedsCheck = errors.New("the backup is of another schema than the store that it is to replace: it must be checked first, so give it as a file")
	// ErrBackupNew means that a newer radiusd has made the backup.
	ErrBackupNew = errors.New("the backup has a newer schema than this radiusd knows: install the newer version")
	// ErrUnfinished means that a restore was interrupted, and the database holds nothing
	// that can be used.
	ErrUnfinished = errors.New("a restore of this database was not finished: run radiusd restore again")
)

// unfinishedTable exists while a restore is under way that takes several transactions.
const unfinishedTable = "restore_unfinished"

// Restore fills the database from an archive, of whatever engine. Nothing of it is seen
// before the archive has been read to its end and found whole; if it fails before, the
// database is as it was or, if it was to be brought to another schema, refuses to be
// opened with ErrUnfinished. A backup of an older schema is brought up to date.
//
// The change feed begins anew, so that every node reads everything again. The cursors of
// journals are those of the backup: nodes write again what their journals hold since.
//
// It fails with seal.ErrWrongKey if options.Sealer has another key than the backup's.
func Restore(ctx context.Context, options Options, in *archive.Reader, restore RestoreOptions) (*archive.Manifest, error) {
	if options.Sealer == nil {
		return nil, errors.New("restore: no master key")
	}
	s, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := restoring{store: s, in: in, header: in.Header(), options: restore}
	manifest, err := r.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", s.explain(err))
	}
	return manifest, nil
}

// restoring is a restore under way.
type restoring struct {
	store   *Store
	in      *archive.Reader
	header  archive.Header
	options RestoreOptions
	known   int64 // the newest version of the schema
}

func (r *restoring) run(ctx context.Context) (*archive.Manifest, error) {
	s := r.store
	if id := s.sealer.KeyID(); r.header.MasterKeyID != id {
		return nil, fmt.Errorf("%w: the backup's key has the id %s, this one %s", seal.ErrWrongKey, r.header.MasterKeyID, id)
	}
	provider, err := s.migrations()
	if err != nil {
		return nil, err
	}
	sources := provider.ListSources()
	r.known = sources[len(sources)-1].Version
	if r.header.SchemaVersion > r.known {
		return nil, fmt.Errorf("%w (it is of version %d, this radiusd knows %d)", ErrBackupNew, r.header.SchemaVersion, r.known)
	}
	current, err := s.schemaVersion(ctx)
	if err != nil {
		return nil, err
	}
	if current > r.known {
		return nil, s.checkSchema(ctx)
	}
	if err := r.mayReplace(ctx, current); err != nil {
		return nil, err
	}
	if current != r.header.SchemaVersion {
		if err := r.empty(ctx, current); err != nil {
			return nil, err
		}
		if current < r.header.SchemaVersion {
			_, err = provider.UpTo(ctx, r.header.SchemaVersion)
		} else {
			_, err = provider.DownTo(ctx, r.header.SchemaVersion)
		}
		if err != nil {
			return nil, fmt.Errorf("bring the schema to version %d: %w", r.header.SchemaVersion, err)
		}
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if r.header.SchemaVersion < r.known {
		if _, err := provider.Up(ctx); err != nil {
			return nil, fmt.Errorf("bring the schema up to date: %w", err)
		}
		if err := s.dropUnfinished(ctx, s.writer); err != nil {
			return nil, err
		}
	}
	if s.pool != nil {
		if _, err := s.writer.ExecContext(ctx, "ANALYZE"); err != nil { // or queries are planned for empty tables
			return nil, err
		}
	}
	return r.in.Manifest(), nil
}

// mayReplace fails if the database holds what may not be replaced.
func (r *restoring) mayReplace(ctx context.Context, current int64) error {
	s := r.store
	if current == 0 {
		return nil
	}
	if unfinished, err := s.isUnfinished(ctx, s.reader); err != nil || unfinished {
		return err
	}
	table, err := s.firstFilled(ctx)
	if err != nil || table == "" {
		return err
	}
	if !r.options.Replace {
		return fmt.Errorf("%w: table %s has rows", ErrNotEmpty, table)
	}
	if current != r.header.SchemaVersion && !r.options.Again {
		return ErrNeedsCheck
	}
	return nil
}

// filledFromTheStart are the tables that have rows in a new database.
var filledFromTheStart = []string{"settings", "roles", "audit_marks"}

// firstFilled returns the name of a table that has rows, none if the database is empty.
func (s *Store) firstFilled(ctx context.Context) (string, error) {
	tables, err := s.catalog(ctx, s.reader)
	if err != nil {
		return "", err
	}
	for _, t := range tables {
		if slices.Contains(filledFromTheStart, t.Name) {
			continue
		}
		var filled bool
		if err := s.reader.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+quoteName(t.Name)+")").Scan(&filled); err != nil {
			return "", err
		}
		if filled {
			return t.Name, nil
		}
	}
	return "", nil
}

// empty empties the database and marks it as unfinished, before its schema changes.
func (r *restoring) empty(ctx context.Context, current int64) error {
	s := r.store
	return s.write(ctx, func(tx *writeTx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+unfinishedTable+" (began text NOT NULL)"); err != nil || current == 0 {
			return err
		}
		tables, err := s.catalog(ctx, tx)
		if err != nil {
			return err
		}
		if tx.postgres {
			guarded, err := tablesWithTriggers(ctx, tx) // audit_log must not be emptied otherwise
			if err != nil {
				return err
			}
			return errors.Join(alterTriggers(ctx, tx, guarded, "DISABLE"), truncate(ctx, tx, tables), alterTriggers(ctx, tx, guarded, "ENABLE"))
		}
		triggers, err := dropTriggers(ctx, tx)
		if err != nil {
			return err
		}
		if err := deleteAll(ctx, tx, tables); err != nil {
			return err
		}
		return createTriggers(ctx, tx, triggers)
	})
}

func (s *Store) isUnfinished(ctx context.Context, q querier) (unfinished bool, err error) {
	query := "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)"
	if s.pool != nil {
		query = "SELECT to_regclass($1) IS NOT NULL"
	}
	err = q.QueryRowContext(ctx, query, unfinishedTable).Scan(&unfinished)
	return unfinished, err
}

func (s *Store) dropUnfinished(ctx context.Context, db executor) error {
	_, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS "+unfinishedTable)
	return err
}

// load replaces all rows by those of the archive, in one transaction.
func (r *restoring) load(ctx context.Context) error {
	s := r.store
	tx, done, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	tables, err := s.catalog(ctx, tx)
	if err != nil {
		return err
	}
	fill := r.fillSQLite
	if tx.postgres {
		fill = r.fillPostgres
	}
	if err := fill(ctx, tx, tables); err != nil {
		return err
	}
	if err := r.settle(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// begin begins the transaction that loads. Here it may lose against others, and try
// again: nothing of the archive has been read.
func (r *restoring) begin(ctx context.Context) (tx *writeTx, done func(), err error) {
	s := r.store
	for attempt := 1; ; attempt++ {
		conn, err := s.writer.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		begun, err := conn.BeginTx(ctx, nil)
		if err == nil {
			tx = &writeTx{Tx: begun, store: s, conn: conn, postgres: s.pool != nil, attempt: attempt}
			done = func() { begun.Rollback(); conn.Close() }
			if err = s.lockAll(ctx, tx); err == nil {
				return tx, done, nil
			}
			begun.Rollback()
		}
		conn.Close()
		if kindOf(err) != kindRetry || attempt == maxAttempts {
			return nil, nil, err
		}
	}
}

// lockAll has the tables for this transaction alone.
func (s *Store) lockAll(ctx context.Context, tx *writeTx) error {
	if !tx.postgres {
		return nil // it has one writer
	}
	tables, err := s.catalog(ctx, tx)
	if err != nil || len(tables) == 0 {
		return err
	}
	list := []string{"changes"}
	for _, t := range tables {
		list = append(list, quoteName(t.Name))
	}
	_, err = tx.ExecContext(ctx, "LOCK TABLE "+strings.Join(list, ", ")+" IN ACCESS EXCLUSIVE MODE")
	return err
}

// tables goes through the archive's tables and calls fill for each, whose columns are
// those of the database.
func (r *restoring) tables(present []archive.Table, fill func(t archive.Table) error) error {
	for {
		t, err := r.in.NextTable()
		if err != nil {
			return ignoreEnd(err)
		}
		n := slices.IndexFunc(present, func(p archive.Table) bool { return p.Name == t.Name })
		if n < 0 {
			return fmt.Errorf("the backup has a table %q, which this store has not: make it first, as it was", t.Name)
		}
		if !slices.Equal(t.Columns, present[n].Columns) {
			return fmt.Errorf("table %s has other columns in the backup than in this store", t.Name)
		}
		if err := fill(t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
}

// actionsVersion is the version of the schema that has session_actions. What had waited
// to be sent to NASes when the backup was made is not sent when it is restored: the
// sessions are others.
const actionsVersion = 9

// settle gives the restored database what must not be that of the backup, and checks
// that the master key fits.
func (r *restoring) settle(ctx context.Context, tx *writeTx) error {
	s := r.store
	if r.header.SchemaVersion == r.known {
		if err := s.dropUnfinished(ctx, tx); err != nil {
			return err
		}
	}
	if r.header.SchemaVersion >= actionsVersion {
		_, err := tx.ExecContext(ctx, `UPDATE session_actions SET state = 'failed', detail = 'the store was restored from a backup', lease_until = NULL
			WHERE state IN ('queued', 'sent')`)
		if err != nil {
			return err
		}
	}
	for _, name := range notBackedUpSettings {
		if _, err := tx.ExecContext(ctx, "DELETE FROM settings WHERE name = $1", name); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES ($1, $2)", feedSetting, newFeed()); err != nil {
		return err
	}
	var check string
	err := tx.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", masterKeySetting).Scan(&check)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // nothing was sealed yet
	}
	if err != nil {
		return err
	}
	sealed, err := hex.DecodeString(check)
	if err == nil {
		_, err = s.sealer.Open(sealed, "settings."+masterKeySetting)
	}
	if err != nil {
		return fmt.Errorf("the master key does not open the backup's secrets: %w", err)
	}
	return nil
}
