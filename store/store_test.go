package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"radiusd/internal/testserver"
	"radiusd/store"
	"radiusd/store/storetest"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func sqliteDatabase(t testing.TB) store.Options {
	return store.Options{Path: filepath.Join(t.TempDir(), "radiusd.db")}
}

func postgresDatabase(t testing.TB) store.Options {
	return store.Options{URL: testserver.Postgres(t)}
}

func TestSQLite(t *testing.T)   { storetest.Run(t, sqliteDatabase) }
func TestPostgres(t *testing.T) { storetest.Run(t, postgresDatabase) }
