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
	name    string
	title   string
	server  string // whose load it is: floor with its kind, radiusd, freeradius or freeradius-sql
	method  string // of the generator
	floor   string // what it is compared with
	versus  string // the kind of load, to compare servers
	special bool   // only measured when it is asked for
}

var contestants = []*contestant{
	{name: "echo", title: "floor: UDP echo in batches", server: "floor echo", method: "echo"},
	{name: "crypto-pap", title: "floor: the bare cryptography of PAP", server: "floor pap", method: "pap", floor: "echo"},
	{name: "crypto-pap-bare", title: "the same, with an answer that has no reply items", server: "floor pap-bare", method: "pap", floor: "echo"},
	{name: "radiusd-pap", title: "radiusd, users on Postgres, PAP", server: "radiusd", method: "pap", floor: "crypto-pap", versus: "pap"},
	{name: "crypto-chap", title: "floor: the bare cryptography of CHAP", server: "floor chap", method: "chap", floor: "echo"},
	{name: "radiusd-chap", title: "radiusd, users on Postgres, CHAP", server: "radiusd", method: "chap", floor: "crypto-chap", versus: "chap"},
	{name: "crypto-mschapv2", title: "floor: the bare cryptography of MS-CHAPv2", server: "floor mschapv2", method: "mschapv2", floor: "echo"},
	{name: "radiusd-mschapv2", title: "radiusd, users on Postgres, MS-CHAPv2", server: "radiusd", method: "mschapv2", floor: "crypto-mschapv2", versus: "mschapv2"},
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
	slow     map[string]*result   // at half the rate
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
	if b.needs("radiusd") {
		if err := b.startPostgres(); err != nil {
			return err
		}
		if err := b.startRadiusd(ctx); err != nil {
			return err
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
