package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"radiusd/internal/freeport"

	"github.com/jackc/pgx/v5"
)

// Standby starts a hot standby that follows the server by asynchronous streaming
// replication. It is ended with the test, and may be stopped and started as well.
func (s *PostgresServer) Standby(t testing.TB) *PostgresServer {
	t.Helper()
	p, err := s.p.standby()
	if err != nil {
		t.Fatalf("make a standby: %v", err)
	}
	standby := &PostgresServer{t: t, p: p}
	t.Cleanup(func() {
		p.stop(syscall.SIGQUIT)
		p.remove()
	})
	standby.Start()
	return standby
}

func (p *postgres) standby() (_ *postgres, err error) {
	dir, err := os.MkdirTemp("", "radiusd-standby-")
	if err != nil {
		return nil, err
	}
	q := &postgres{dir: dir, bin: p.bin, settings: p.settings}
	defer func() {
		if err != nil {
			q.remove()
		}
	}()
	if q.account, err = serverAccount(dir); err != nil {
		return nil, err
	}
	backup := exec.Command(filepath.Join(p.bin, "pg_basebackup"), "--pgdata", q.data(), "--dbname", p.url("postgres").String(),
		"--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	backup.Dir = dir
	backup.SysProcAttr = q.account
	if out, err := backup.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	q.port, err = freeport.Reserve()
	return q, err
}

// CaughtUp waits until the standby has everything that is committed on the primary.
func (s *PostgresServer) CaughtUp(primary *PostgresServer) {
	s.t.Helper()
	var end string
	primary.query("SELECT pg_current_wal_flush_lsn()::text", &end)
	deadline := time.Now().Add(30 * time.Second)
	for replayed := false; !replayed; s.query("SELECT pg_last_wal_replay_lsn() >= '"+end+"'::pg_lsn", &replayed) {
		if time.Now().After(deadline) {
			s.t.Fatal("the standby does not catch up")
		}
	}
}

// CutOff ends replication: the standby gets nothing more from the primary.
func (s *PostgresServer) CutOff() {
	s.t.Helper()
	s.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
	deadline := time.Now().Add(30 * time.Second)
	for receiving := true; receiving; s.query("SELECT count(*) > 0 FROM pg_stat_wal_receiver", &receiving) {
		if time.Now().After(deadline) {
			s.t.Fatal("the standby still follows")
		}
	}
}

// Promote makes the standby a primary, and waits until it takes writes.
func (s *PostgresServer) Promote() {
	s.t.Helper()
	var promoted bool
	if s.query("SELECT pg_promote(true, 30)", &promoted); !promoted {
		s.t.Fatal("the standby is not promoted")
	}
}

func (s *PostgresServer) execute(statements ...string) {
	s.t.Helper()
	s.with(func(ctx context.Context, conn *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}

// query asks for one value.
func (s *PostgresServer) query(query string, value any) {
	s.t.Helper()
	s.with(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query).Scan(value)
	})
}

func (s *PostgresServer) with(fn func(context.Context, *pgx.Conn) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL())
	if err == nil {
		err = fn(ctx, conn)
		conn.Close(ctx)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
