package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteReaders is how many queries may read at once.
const sqliteReaders = 4

// openSQLite opens the file with one connection that writes and some that read.
//
// WAL lets readers go on during a write, and other processes too. synchronous is
// FULL, so that what a commit returned for is there after a power cut: the
// journal deletes segments on the word of a committed cursor, and an operator
// who was told "user added" may pull the plug.
func (s *Store) openSQLite(ctx context.Context, options Options) error {
	if options.Path == "" {
		return errors.New("no database file is named")
	}
	if err := createPrivate(options.Path); err != nil {
		return err
	}
	pragmas := url.Values{"_pragma": {
		"busy_timeout(15000)", // a large import in another process
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"temp_store(MEMORY)",
		"cache_size(-32000)", // KiB, per connection
		"journal_size_limit(67108864)",
	}}
	path, err := filepath.Abs(options.Path)
	if err != nil {
		return err
	}
	s.path = path
	file := url.URL{Scheme: "file", Path: path}

	pragmas.Set("_txlock", "immediate") // take the write lock at BEGIN, not half-way through
	file.RawQuery = pragmas.Encode()
	if s.writer, err = openSQLiteFile(file.String(), options.Tracer); err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	if err := s.writer.PingContext(ctx); err != nil {
		return fmt.Errorf("%s: %w", options.Path, s.explain(err))
	}

	pragmas.Del("_txlock")
	pragmas.Set("_query_only", "1")
	file.RawQuery = pragmas.Encode()
	if s.reader, err = openSQLiteFile(file.String(), options.Tracer); err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(sqliteReaders)
	s.reader.SetMaxIdleConns(sqliteReaders)
	if err := s.reader.PingContext(ctx); err != nil {
		return fmt.Errorf("%s: %w", options.Path, s.explain(err))
	}
	return nil
}

// createPrivate makes the database file for its owner only; SQLite gives the
// files beside it the same mode.
func createPrivate(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", filepath.Dir(path))
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// explainSQLite adds what an operator can do about an error.
func explainSQLite(err *sqlite.Error) string {
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "the database is locked by another process for too long"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return "the database or its folder may not be written"
	case sqlite3.SQLITE_CANTOPEN:
		return "the database or a file beside it cannot be opened, check the folder's owner and mode"
	case sqlite3.SQLITE_NOTADB:
		return "the file is not an SQLite database"
	case sqlite3.SQLITE_CORRUPT:
		return "the database is damaged, restore it from a backup"
	case sqlite3.SQLITE_FULL:
		return "the disk is full"
	case sqlite3.SQLITE_IOERR: // a file beside it that cannot be made larger, for one
		return "the disk is full or failing"
	}
	return ""
}

func diskFails(err *sqlite.Error) bool {
	code := err.Code() & 0xff
	return code == sqlite3.SQLITE_FULL || code == sqlite3.SQLITE_IOERR
}

// sqliteKind classifies an error by SQLite's extended result code.
func sqliteKind(err *sqlite.Error) errorKind {
	switch err.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return kindUnique
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return kindForeignKey
	}
	return kindOther
}
