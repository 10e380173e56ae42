package store_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
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

func sqliteDatabase(t testing.TB) store.Options { return teststore.SQLite(t) }

func postgresDatabase(t testing.TB) store.Options { return teststore.Postgres(t) }

func TestSQLite(t *testing.T)   { storetest.Run(t, sqliteDatabase) }
func TestPostgres(t *testing.T) { storetest.Run(t, postgresDatabase) }
