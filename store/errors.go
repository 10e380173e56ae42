package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"radiusd/aaa"
)

// What a caller may have to tell apart. The errors that wrap these name the
// thing.
var (
	// ErrNotFound is [aaa.ErrNotFound].
	ErrNotFound = aaa.ErrNotFound
	// ErrExists is [aaa.ErrExists].
	ErrExists = aaa.ErrExists
	// ErrInUse is [aaa.ErrInUse].
	ErrInUse = aaa.ErrInUse
	// ErrUnreachable is [aaa.ErrUnreachable].
	ErrUnreachable = aaa.ErrUnreachable
	// ErrSchemaOld means that the database must be migrated first.
	ErrSchemaOld = errors.New("the database has an older schema: run radiusd migrate up")
	// ErrSchemaNew means that a newer radiusd has migrated the database.
	ErrSchemaNew = errors.New("the database has a newer schema than this radiusd knows: install the newer version")
)

// MayPass reports whether what kept a store from being opened may pass by itself: a
// server that does not answer, a disk that is full.
func MayPass(err error) bool {
	var lite *sqlite.Error
	return errors.Is(err, ErrUnreachable) || errors.As(err, &lite) && diskFails(lite)
}

func notFound(kind, name string) error { return fmt.Errorf("%s %q: %w", kind, name, ErrNotFound) }

// errorKind is what the engines' errors mean to this package.
type errorKind int

const (
	kindOther errorKind = iota
	kindUnique
	kindForeignKey
	kindRetry   // the transaction lost against another one: run it again
	kindNoTable // Postgres only
)

func kindOf(err error) errorKind {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return postgresKind(pg)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return sqliteKind(lite)
	}
	return kindOther
}

// refusedBy reports whether it is that index that has refused a row.
func refusedBy(err error, index uniqueIndex) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.ConstraintName == index.name
	}
	return strings.Contains(err.Error(), ": "+index.columns+" ")
}

// explainedError is an error with what an operator can do about it before it.
type explainedError struct {
	advice string
	err    error
}

func (e *explainedError) Error() string { return e.advice + ": " + oneLine(e.err.Error()) }
func (e *explainedError) Unwrap() error { return e.err }

// oneLine writes an error of several lines, as of a server that was tried in several
// ways, in one, and what it repeats once.
func oneLine(text string) string {
	head, rest, several := strings.Cut(text, "\n")
	if !several {
		return text
	}
	lines := strings.Split(rest, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return head + " " + strings.Join(slices.Compact(lines), "; ")
}

// explain puts what an operator can do about an error before the error, once.
func (s *Store) explain(err error) error {
	if errors.As(err, new(*explainedError)) {
		return err
	}
	var advice string
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		advice = explainSQLite(lite)
	} else {
		advice = explainPostgres(err)
	}
	if advice == "" {
		return err
	}
	return &explainedError{advice, err}
}
