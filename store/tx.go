package store

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"radiusd/operator"
)

// maxAttempts is how often a transaction is tried that loses against others.
const maxAttempts = 8

// write runs fn in a transaction that may write and commits it if fn returns
// nil. A transaction that Postgres aborts in favour of another one is run again,
// so fn must set, not add to, what it leaves behind outside the database.
func (s *Store) write(ctx context.Context, fn func(tx *writeTx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.writeOnce(ctx, attempt, fn)
		if err == nil || !shouldRetry(err) || attempt == maxAttempts {
			return err
		}
		select {
		case <-time.After(rand.N(time.Duration(attempt*attempt) * 20 * time.Millisecond)):
		case <-ctx.Done():
			return err
		}
	}
}

func shouldRetry(err error) bool {
	var marked errRetry
	return kindOf(err) == kindRetry || errors.As(err, &marked)
}

// writeTx is a transaction with the connection it runs on, which COPY needs.
type writeTx struct {
	*sql.Tx
	store    *Store
	conn     *sql.Conn
	postgres bool
	looking  bool            // writes nothing and locks nothing
	attempt  int             // 1 for the first
	staged   map[string]bool // temporary tables this transaction has filled
	// What finish writes.
	entries []operator.AuditEntry
	events  []operator.Event
}

func (s *Store) writeOnce(ctx context.Context, attempt int, fn func(tx *writeTx) error) error {
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return s.explain(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback() // also when fn panics; after the commit there is nothing left of it
	writing := &writeTx{Tx: tx, store: s, conn: conn, postgres: s.pool != nil, attempt: attempt}
	if err = fn(writing); err == nil {
		err = writing.finish(ctx)
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return s.explain(err)
	}
	return nil
}

// forUpdate returns the clause that locks the rows a transaction has read.
// SQLite has no need of it: its one writer has locked all.
func (tx *writeTx) forUpdate() string {
	if tx.postgres && !tx.looking {
		return " FOR UPDATE"
	}
	return ""
}

// read runs fn in a transaction that sees one state of the database throughout.
func (s *Store) read(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot()})
	if err != nil {
		return s.explain(err)
	}
	defer tx.Rollback()
	return fn(tx)
}

// look is read for what is shared with write: fn writes nothing, and nobody waits for it.
func (s *Store) look(ctx context.Context, fn func(tx *writeTx) error) error {
	return s.read(ctx, func(tx *sql.Tx) error {
		return fn(&writeTx{Tx: tx, store: s, postgres: s.pool != nil, looking: true})
	})
}

// snapshot is the isolation level that shows one state of the database; in
// SQLite every transaction does.
func (s *Store) snapshot() sql.IsolationLevel {
	if s.pool != nil {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// errRetry marks an error after which the transaction is to be run again.
type errRetry struct{ error }

func (e errRetry) Unwrap() error { return e.error }

// retryOnUnique marks a unique violation by a row that another transaction has
// inserted since this one looked.
func retryOnUnique(err error) error {
	if kindOf(err) == kindUnique {
		return errRetry{err}
	}
	return err
}
