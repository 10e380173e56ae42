// Package teststore gives tests databases of package store that have the newest schema:
// copies of one that was migrated once in the test binary. To migrate takes the better
// part of a second with the race detector, a copy a few milliseconds.
package teststore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"radiusd/internal/testserver"
	"radiusd/store"
	"radiusd/store/seal"
)

// SQLite returns options with the path of a new database in a temporary folder.
func SQLite(t testing.TB) store.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "radiusd.db")
	CopySQLite(t, path)
	return store.Options{Path: path}
}

// CopySQLite makes a new database at the path, and the folder it is in.
func CopySQLite(t testing.TB, path string) {
	t.Helper()
	file, err := sqliteFile()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatalf("make a database: %v", err)
	}
}

// Postgres returns options with the URL of a new database of testserver's server, which
// is dropped when the test ends.
func Postgres(t testing.TB) store.Options {
	t.Helper()
	return store.Options{URL: postgres.New(t)}
}

// sqliteFile returns the content of a migrated database.
var sqliteFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "radiusd-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "radiusd.db")
	if err := migrate(store.Options{Path: path}); err != nil {
		return nil, err
	}
	if left, err := filepath.Glob(path + "-*"); err != nil || len(left) > 0 {
		return nil, fmt.Errorf("%v beside the database: %w", left, err)
	}
	return os.ReadFile(path)
})

var postgres = testserver.PostgresTemplate{Fill: func(url string) error { return migrate(store.Options{URL: url}) }}

// migrate leaves the key open: that of who opens the copy first is its key.
func migrate(options store.Options) error {
	options.Sealer = seal.New(seal.NewKey())
	return store.Migrate(context.Background(), options, nil)
}
