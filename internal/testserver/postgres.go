// Package testserver runs real servers for tests, each in a temporary folder and
// on a port of its own, and stops them when the test binary ends.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
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
	postgresOnce.Do(func() { postgresURL, postgresStop, postgresErr = startPostgres() })
	if postgresErr != nil {
		t.Fatalf("these tests need a Postgres server: %v", postgresErr)
	}
	name := fmt.Sprintf("radiusd_%d_%d", os.Getpid(), databaseNumber.Add(1))
	execute(t, "CREATE DATABASE "+name+" TEMPLATE "+template)
	t.Cleanup(func() { execute(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	database := *postgresURL
	database.Path = "/" + name
	return database.String()
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
	return m.Run()
}

// StopPostgres stops the server that Postgres has started, if any. Postgres must
// not be called again.
func StopPostgres() {
	postgresOnce.Do(func() { postgresErr = errors.New("the server was stopped") })
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
	bin, err := postgresBin()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "radiusd-postgres-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	account, err := serverAccount(dir)
	if err != nil {
		remove()
		return nil, nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "radiusd",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	initdb.Dir = dir
	initdb.SysProcAttr = account
	if out, err := initdb.CombinedOutput(); err != nil {
		remove()
		return nil, nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		remove()
		return nil, nil, err
	}
	var log bytes.Buffer
	postgres := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port),
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
		"-c", "max_connections=200", "-c", "shared_buffers=128MB", "-c", "max_wal_size=2GB")
	postgres.Dir = dir
	postgres.SysProcAttr = account
	postgres.Stderr = &log
	exited, err := startWithParent(postgres)
	if err != nil {
		remove()
		return nil, nil, err
	}
	stop = func() {
		postgres.Process.Signal(os.Interrupt) // fast shutdown: sessions are cut off
		select {
		case <-exited:
		case <-time.After(20 * time.Second):
			postgres.Process.Kill()
			<-exited
		}
		remove()
	}
	server = &url.URL{Scheme: "postgres", User: url.User("radiusd"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: "/postgres", RawQuery: "sslmode=disable"}
	if err := awaitPostgres(server.String(), exited); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%w\n%s", err, log.String())
	}
	return server, stop, nil
}

// startWithParent starts a program that does not outlive this process, where the
// system can see to that. The channel is closed when it has ended.
func startWithParent(program *exec.Cmd) (exited <-chan struct{}, err error) {
	ended := make(chan struct{})
	started := make(chan error)
	go func() {
		// The death of the thread that starts a program counts as the parent's,
		// so the thread is kept.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		program.SysProcAttr = endWithParent(program.SysProcAttr)
		err := program.Start()
		started <- err
		if err == nil {
			program.Wait()
		}
	}()
	return ended, <-started
}

func awaitPostgres(server string, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(ctx, server)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ticker.C:
		case <-exited:
			return errors.New("the server ended")
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
}

// postgresBin finds the server's programs, which Debian keeps out of PATH.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("install it (Debian: apt-get install postgresql) or set %s to the URL of a running one", PostgresEnv)
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
