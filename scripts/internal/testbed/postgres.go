package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"radiusd/internal/freeport"
)

// Postgres is a server of Postgres that trusts the account radiusd.
type Postgres struct {
	*Process
	Port int
	bin  string
}

// postgresSettings are what differs from the defaults. fsync and synchronous_commit
// are as they are: on.
var postgresSettings = []string{"shared_buffers=512MB", "max_wal_size=4GB", "max_connections=100", "checkpoint_timeout=15min"}

// postgresPrograms is the folder of Postgres's programs.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", errors.New("no initdb: Postgres is not installed; scripts/install-test-servers installs it (Debian: postgresql)")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// postgresAccount is who runs Postgres, which refuses to run as root.
func postgresAccount(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

// StartPostgres starts Postgres on the database cluster in the bed's folder, which it
// makes if there is none, with the databases that are missing. It runs through the
// command in front, such as taskset with its arguments.
func (b *Bed) StartPostgres(databases []string, front ...string) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Dir, "postgres")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	who, err := postgresAccount(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); err != nil {
		initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", filepath.Join(dir, "data"), "--username", "radiusd", "--auth", "trust",
			"--encoding", "UTF8", "--locale", "C")
		initdb.Dir, initdb.SysProcAttr = dir, who
		if out, err := initdb.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("initdb: %w\n%s", err, out)
		}
	}
	port, err := freeport.Reserve()
	if err != nil {
		return nil, err
	}
	args := append(front[:len(front):len(front)], filepath.Join(bin, "postgres"),
		"-D", filepath.Join(dir, "data"), "-k", dir, "-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(port))
	for _, setting := range postgresSettings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.SysProcAttr = dir, who
	process, err := b.Start("postgres", syscall.SIGINT, cmd)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Process: process, Port: port, bin: bin}
	if err := p.Await(func() error { _, err := p.SQL("postgres", "-c", "SELECT 1"); return err }); err != nil {
		return nil, err
	}
	for _, name := range databases {
		found, err := p.SQL("postgres", "-Atc", "SELECT 1 FROM pg_database WHERE datname = '"+name+"'")
		if err == nil && found == "" {
			_, err = p.SQL("postgres", "-c", "CREATE DATABASE "+name)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// SQL runs psql on a database with more arguments and returns what it prints.
func (p *Postgres) SQL(database string, args ...string) (string, error) {
	args = append([]string{"-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "radiusd", "-d", database, "-X", "-q", "-v", "ON_ERROR_STOP=1"}, args...)
	out, err := exec.Command(filepath.Join(p.bin, "psql"), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// URL is that of a database for radiusd.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://radiusd@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}
