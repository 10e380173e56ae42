package store_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"radiusd/internal/testserver"
	"radiusd/internal/teststore"
	"radiusd/store"
	"radiusd/store/storetest"
)

func TestMain(m *testing.M) {
	// What is drawn goes to real databases; -rapid.checks on the command line asks for more.
	if err := flag.Set("rapid.checks", "30"); err != nil {
		panic(err)
	}
	code := testserver.Main(m)
	if err := testserver.Leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func sqliteDatabase(t testing.TB) store.Options { return teststore.SQLite(t) }

func postgresDatabase(t testing.TB) store.Options { return teststore.Postgres(t) }

func TestSQLite(t *testing.T)   { storetest.Run(t, sqliteDatabase) }
func TestPostgres(t *testing.T) { storetest.Run(t, postgresDatabase) }
