package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"radiusd/internal/testserver"
	"radiusd/store"
	"radiusd/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

func sqliteDatabase(t testing.TB) store.Options {
	return store.Options{Path: filepath.Join(t.TempDir(), "radiusd.db")}
}

func postgresDatabase(t testing.TB) store.Options {
	return store.Options{URL: testserver.Postgres(t)}
}

func TestSQLite(t *testing.T)   { storetest.Run(t, sqliteDatabase) }
func TestPostgres(t *testing.T) { storetest.Run(t, postgresDatabase) }
