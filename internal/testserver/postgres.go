// Package testserver runs real servers for tests, each in a temporary folder and
// on a port of its own, and stops them when the test binary ends.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresEnv names an environment variable with the URL of a running server and
// a user who may create databases. Tests then start none of their own.
const PostgresEnv = "RADIUSD_TEST_POSTGRES"

var (
	postgresOnce   sync.Once
	postgresURL    *url.URL
	postgresErr    error
	postgresStop   func()
	databaseNumber atomic.Int64
)

// Postgres returns the URL of a new, empty database, which is dropped when the
// test ends. The first call starts a server, which Main or StopPostgres stops. It
// fails the test if Postgres is not installed.
func Postgres(t testing.TB) string {
	t.Helper()
	return PostgresFrom(t, "template1")
}

// PostgresFrom is Postgres with a copy of another database of the same server.
// Nobody may be connected to that one.
func PostgresFrom(t testing.TB, template string) string {
	t.Helper()
	startSharedPostgres(t)
	name := fmt.Sprintf("radiusd_%d_%d", os.Getpid(), databaseNumber.Add(1))
	execute(t, "CREATE DATABASE "+name+" TEMPLATE "+template)
	t.Cleanup(func() { execute(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	database := *postgresURL
	database.Path = "/" + name
	return database.String()
}

// startSharedPostgres starts the server of the test binary, once.
func startSharedPostgres(t testing.TB) {
	t.Helper()
	postgresOnce.Do(func() { postgresURL, postgresStop, postgresErr = startPostgres() })
	if postgresErr != nil {
		t.Fatalf("these tests need a Postgres server: %v", postgresErr)
	}
}

// DatabaseName returns the name of the database in a URL that Postgres returned.
func DatabaseName(t testing.TB, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func execute(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, postgresURL.String())
	if err == nil {
		_, err = conn.Exec(ctx, statement)
		conn.Close(ctx)
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Main runs the tests of a package and stops the servers they have started. Call
// it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }
func Main(m *testing.M) int {
	defer StopPostgres()
	defer StopClickHouse()
	defer StopRedis()
	return m.Run()
}

// StopPostgres stops the server that Postgres has started, if any. Postgres must
// not be called again.
func StopPostgres() {
	postgresOnce.Do(func() { postgresErr = errors.New("the server was stopped") })
	if postgresStop == nil {
		dropTemplates()
	}
	if postgresStop != nil {
		postgresStop()
		postgresStop = nil
	}
}

func startPostgres() (server *url.URL, stop func(), err error) {
	if text := os.Getenv(PostgresEnv); text != "" {
		server, err := url.Parse(text)
		return server, nil, err
	}
	// What is lost with the server is of no use without it.
	p, err := initPostgres("-c", "synchronous_commit=off")
	if err != nil {
		return nil, nil, err
	}
	if err := p.start(); err != nil {
		p.remove()
		return nil, nil, err
	}
	return p.url("postgres"), func() {
		p.stop(os.Interrupt) // fast shutdown: sessions are cut off
		p.remove()
	}, nil
}
