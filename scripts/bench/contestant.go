//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"radiusd/scripts/internal/testbed"
)

// A contestant is a server with one kind of load.
type contestant struct {
	name        string
	title       string
	server      string // floor with its kind, radiusd, freeradius or freeradius-sql
	method      string // of the generator
	floor       string // the contestant that this one cannot be faster than
	rivals      []string
	concurrency int  // requests under way; zero: as the command line says
	latency     bool // at half the rate, too
	stopped     bool // Postgres stands still meanwhile
	special     bool // only measured when it is asked for
}

var contestants = []*contestant{
	{name: "echo", title: "floor: UDP echo in batches", server: "floor echo", method: "echo"},

	{name: "crypto-pap", title: "floor: the bare cryptography of PAP", server: "floor pap", method: "pap"},
	{name: "crypto-pap-bare", title: "floor: the same, without reply items", server: "floor pap-bare", method: "pap"},
	{name: "radiusd-pap", title: "radiusd, PAP", server: "radiusd", method: "pap", latency: true,
		floor: "crypto-pap", rivals: []string{"freeradius-pap", "freeradius-sql-pap"}},
	{name: "freeradius-pap", title: "FreeRADIUS, users in memory, PAP", server: "freeradius", method: "pap", latency: true},
	{name: "freeradius-sql-pap", title: "FreeRADIUS on Postgres, PAP", server: "freeradius-sql", method: "pap", concurrency: 64},

	{name: "crypto-chap", title: "floor: the bare cryptography of CHAP", server: "floor chap", method: "chap"},
	{name: "radiusd-chap", title: "radiusd, CHAP", server: "radiusd", method: "chap", latency: true,
		floor: "crypto-chap", rivals: []string{"freeradius-chap"}},
	{name: "freeradius-chap", title: "FreeRADIUS, users in memory, CHAP", server: "freeradius", method: "chap"},

	{name: "crypto-mschapv2", title: "floor: the bare cryptography of MS-CHAPv2", server: "floor mschapv2", method: "mschapv2"},
	{name: "radiusd-mschapv2", title: "radiusd, MS-CHAPv2", server: "radiusd", method: "mschapv2", latency: true,
		floor: "crypto-mschapv2", rivals: []string{"freeradius-mschapv2"}},
	{name: "freeradius-mschapv2", title: "FreeRADIUS, users in memory, MS-CHAPv2", server: "freeradius", method: "mschapv2"},

	{name: "acct-floor", title: "floor: accounting, synced in groups", server: "floor acct", method: "acct"},
	{name: "radiusd-acct-ack", title: "radiusd, accounting up to the acknowledgement, Postgres standing still", server: "radiusd", method: "acct", stopped: true,
		floor: "acct-floor", rivals: []string{"freeradius-acct", "freeradius-sql-acct"}},
	{name: "radiusd-acct", title: "radiusd, accounting with all that follows, into Postgres", server: "radiusd", method: "acct", latency: true,
		floor: "acct-floor", rivals: []string{"freeradius-acct", "freeradius-sql-acct"}},
	{name: "freeradius-acct", title: "FreeRADIUS, accounting to a detail file, not synced", server: "freeradius", method: "acct", concurrency: 128},
	{name: "freeradius-sql-acct", title: "FreeRADIUS, accounting on Postgres", server: "freeradius-sql", method: "acct", concurrency: 64},
}

// A server runs and is measured.
type server struct {
	process *testbed.Process
	auth    string
	acct    string
	metrics string // address; empty: it has none
}

// bench is one run.
type bench struct {
	*options
	places   places
	bed      *testbed.Bed
	chosen   []*contestant
	servers  map[string]*server
	postgres *testbed.Postgres
	results  []map[string]*result // by round and contestant
	halves   []map[string]*result // the same, at half that rate
}

// needs reports whether a server is part of this run.
func (b *bench) needs(name string) bool {
	for _, c := range b.chosen {
		if c.server == name {
			return true
		}
	}
	return false
}

// startAll starts every server that is needed.
func (b *bench) startAll(ctx context.Context) error {
	b.servers = map[string]*server{}
	for _, c := range b.chosen {
		if kind, ok := strings.CutPrefix(c.server, "floor "); ok && b.servers[c.server] == nil && !b.setup {
			if err := b.startFloor(c.server, kind); err != nil {
				return err
			}
		}
	}
	if b.needs("radiusd") || b.needs("freeradius-sql") {
		if err := b.startPostgres(); err != nil {
			return err
		}
	}
	if b.needs("radiusd") {
		if err := b.startRadiusd(ctx); err != nil {
			return err
		}
	}
	for _, name := range []string{"freeradius", "freeradius-sql"} {
		if b.needs(name) {
			if err := b.startFreeRADIUS(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) startPostgres() (err error) {
	say("starting Postgres")
	b.postgres, err = b.bed.StartPostgres([]string{"radiusd", "radius"}, front(b.places.stores)...)
	return err
}

// startFloor starts this program as a floor.
func (b *bench) startFloor(name, kind string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append(front(b.places.server), self, "floor", kind, filepath.Join(b.bed.Dir, "floor-"+kind+".records"))
	process, err := b.bed.Start("floor-"+kind, syscall.SIGKILL, exec.Command(args[0], args[1:]...))
	if err != nil {
		return err
	}
	s := &server{process: process}
	b.servers[name] = s
	return process.Await(func() error {
		log, err := os.Open(filepath.Join(b.bed.Dir, "floor-"+kind+".log"))
		if err != nil {
			return err
		}
		defer log.Close()
		line, err := bufio.NewReader(log).ReadString('\n')
		if err != nil {
			return fmt.Errorf("no address yet: %w", err)
		}
		s.auth = strings.TrimSpace(line)
		s.acct = s.auth
		return nil
	})
}
