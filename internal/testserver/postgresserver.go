package testserver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"testing"

	"radiusd/internal/freeport"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a Postgres server of one test, which may stop it and start it
// again on the same port and data. It is for one goroutine.
type PostgresServer struct {
	t testing.TB
	p *postgres
}

// NewPostgresServer starts a server, which ends with the test.
func NewPostgresServer(t testing.TB) *PostgresServer {
	t.Helper()
	p, err := initPostgres() // commits are in the WAL, so that Crash loses none
	if err != nil {
		t.Fatalf("these tests need a Postgres server: %v", err)
	}
	s := &PostgresServer{t: t, p: p}
	t.Cleanup(func() {
		p.stop(syscall.SIGQUIT)
		p.remove()
	})
	s.Start()
	return s
}

// URL returns the URL of a database that is empty at first.
func (s *PostgresServer) URL() string { return s.p.url("postgres").String() }

// Start starts the server after Stop or Crash, and waits until it answers.
func (s *PostgresServer) Start() {
	s.t.Helper()
	if err := s.p.start(); err != nil {
		s.t.Fatalf("start Postgres: %v", err)
	}
}

// Stop stops the server in good order, cutting off sessions.
func (s *PostgresServer) Stop() { s.p.stop(os.Interrupt) }

// Crash ends the server at once, as if it had been killed: it recovers at Start.
func (s *PostgresServer) Crash() { s.p.stop(syscall.SIGQUIT) }

// postgres is a folder with a database cluster and the server that may run on it.
type postgres struct {
	dir, bin string
	port     int
	account  *syscall.SysProcAttr
	settings []string

	process
	log bytes.Buffer
}

// initPostgres makes a cluster in a temporary folder.
func initPostgres(settings ...string) (_ *postgres, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "radiusd-postgres-")
	if err != nil {
		return nil, err
	}
	p := &postgres{dir: dir, bin: bin, settings: settings}
	defer func() {
		if err != nil {
			p.remove()
		}
	}()
	if p.account, err = serverAccount(dir); err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", p.data(), "--username", "radiusd",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	initdb.Dir = dir
	initdb.SysProcAttr = p.account
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.port, err = freeport.Reserve()
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *postgres) data() string { return filepath.Join(p.dir, "data") }

func (p *postgres) remove() { os.RemoveAll(p.dir) }

func (p *postgres) url(database string) *url.URL {
	return &url.URL{Scheme: "postgres", User: url.User("radiusd"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)),
		Path: "/" + database, RawQuery: "sslmode=disable"}
}

// start runs the server and waits until it answers.
func (p *postgres) start() error {
	p.log.Reset()
	server := exec.Command(filepath.Join(p.bin, "postgres"), append([]string{"-D", p.data(), "-k", p.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(p.port),
		"-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_connections=200", "-c", "shared_buffers=128MB", "-c", "max_wal_size=2GB"}, p.settings...)...)
	server.Dir, server.SysProcAttr, server.Stderr = p.dir, p.account, &p.log
	if err := p.run(server, p.ping); err != nil {
		return fmt.Errorf("%w\n%s", err, p.log.String())
	}
	return nil
}

func (p *postgres) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url("postgres").String())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// postgresBin finds the server's programs, which Debian keeps out of PATH.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // its own programs are beside it
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("install it (Debian: apt-get install postgresql) or set %s to the URL of a running one", PostgresEnv)
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}
