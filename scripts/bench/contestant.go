//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

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
	mixed       bool // the packets of the NASes arrive in turn rather than in runs
	stopped     bool // Postgres stands still meanwhile
	special     bool // only measured when it is asked for, or with -scale
	disturbance disturbance
}

// An instance is a radiusd.
type instance struct {
	name     string // of the server
	folder   string
	database string
	users    int
	nases    int  // each with a secret of its own; zero: one for each socket
	others   int  // NASes besides those
	shared   bool // the first one's database, which it has set up
	cpus     string
	record   string // which decisions; empty: all
}

// instances are the radiusds that contestants name.
func (b *bench) instances() []instance {
	list := []instance{
		{name: "radiusd", users: b.users, cpus: b.places.server},
		{name: "radiusd-2", users: b.users, cpus: b.places.two, shared: true},
		{name: disturbedServer, users: b.users, others: crowdNASes + 1, cpus: b.places.server},
		{name: readServer, users: b.users, others: crowdNASes, cpus: b.places.server, record: "refused"},
	}
	for _, users := range []int{1000, 100_000, 1_000_000} {
		list = append(list, instance{name: fmt.Sprintf("radiusd-users-%d", users), users: users, cpus: b.places.server})
	}
	for _, nases := range []int{10, 10_000} {
		list = append(list, instance{name: fmt.Sprintf("radiusd-nases-%d", nases), users: b.users, nases: nases, cpus: b.places.server})
	}
	for i := range list {
		list[i].folder = filepath.Join(b.bed.Dir, list[i].name)
		list[i].database = strings.ReplaceAll(list[i].name, "-", "_")
		if list[i].shared {
			list[i].database = list[0].database
		}
	}
	return list
}

var contestants = []*contestant{
	{name: "echo", title: "floor: UDP echo in batches", server: "floor echo", method: "echo"},

	{name: "crypto-pap", title: "floor: the bare cryptography of PAP", server: "floor pap", method: "pap", latency: true},
	{name: "crypto-pap-bare", title: "floor: the same, without reply items", server: "floor pap-bare", method: "pap"},
	{name: "radiusd-pap", title: "radiusd, PAP", server: "radiusd", method: "pap", latency: true,
		floor: "crypto-pap", rivals: []string{"freeradius-pap", "freeradius-sql-pap"}},
	{name: "freeradius-pap", title: "FreeRADIUS, users in memory, PAP", server: "freeradius", method: "pap", concurrency: 128, latency: true},
	{name: "freeradius-sql-pap", title: "FreeRADIUS on Postgres, PAP", server: "freeradius-sql", method: "pap", concurrency: 64},
	{name: "crypto-pap-mixed", title: "floor: the bare cryptography of PAP, NASes in turn", server: "floor pap", method: "pap", mixed: true},
	{name: "radiusd-pap-mixed", title: "radiusd, PAP, NASes in turn", server: "radiusd", method: "pap", mixed: true, floor: "crypto-pap-mixed"},
	{name: "radiusd-pap-2", title: "radiusd, PAP, two cores", server: "radiusd-2", method: "pap", floor: "radiusd-pap", rivals: []string{"radiusd-pap"}},

	{name: "crypto-chap", title: "floor: the bare cryptography of CHAP", server: "floor chap", method: "chap"},
	{name: "radiusd-chap", title: "radiusd, CHAP", server: "radiusd", method: "chap", latency: true,
		floor: "crypto-chap", rivals: []string{"freeradius-chap"}},
	{name: "freeradius-chap", title: "FreeRADIUS, users in memory, CHAP", server: "freeradius", method: "chap", concurrency: 128},

	{name: "crypto-mschapv2", title: "floor: the bare cryptography of MS-CHAPv2", server: "floor mschapv2", method: "mschapv2"},
	{name: "radiusd-mschapv2", title: "radiusd, MS-CHAPv2", server: "radiusd", method: "mschapv2", latency: true,
		floor: "crypto-mschapv2", rivals: []string{"freeradius-mschapv2"}},
	{name: "freeradius-mschapv2", title: "FreeRADIUS, users in memory, MS-CHAPv2", server: "freeradius", method: "mschapv2", concurrency: 128},

	{name: "acct-floor", title: "floor: accounting, synced in groups", server: "floor acct", method: "acct", latency: true},
	{name: "radiusd-acct-ack", title: "radiusd, accounting, Postgres standing still", server: "radiusd", method: "acct", stopped: true,
		floor: "acct-floor", rivals: []string{"freeradius-acct", "freeradius-sql-acct"}},
	{name: "radiusd-acct", title: "radiusd, accounting with all that follows, into Postgres", server: "radiusd", method: "acct", latency: true,
		floor: "acct-floor", rivals: []string{"freeradius-acct", "freeradius-sql-acct"}},
	{name: "freeradius-acct", title: "FreeRADIUS, accounting to a detail file, not synced", server: "freeradius", method: "acct", concurrency: 128},
	{name: "freeradius-sql-acct", title: "FreeRADIUS, accounting on Postgres", server: "freeradius-sql", method: "acct", concurrency: 64},

	{name: "disturbed-not", title: "nothing else", server: disturbedServer, method: "pap", disturbance: nothing},
	{name: "disturbed-flood-elsewhere", title: "the same flood at a socket that nobody reads", server: disturbedServer, method: "pap", disturbance: floodElsewhere},
	{name: "disturbed-flood", title: "one more NAS floods, three times the peak", server: disturbedServer, method: "pap", disturbance: floodServer},
	{name: "disturbed-update-elsewhere", title: "the same UPDATE of another table, as large and with such a trigger", server: disturbedServer, method: "pap", disturbance: updateElsewhere},
	{name: "disturbed-update", title: "one UPDATE of all users, until all is in force", server: disturbedServer, method: "pap", disturbance: updateUsers},
	{name: "disturbed-reads-not", title: "nothing else, only refusals are recorded", server: readServer, method: "pap", disturbance: nothing},
	{name: "disturbed-reads-elsewhere", title: "2,000 reads a second of an admin API on a copy of the database, which radiusd does not use", server: readServer, method: "pap", disturbance: readElsewhere},
	{name: "disturbed-reads", title: "2,000 reads a second of an admin API on the same database", server: readServer, method: "pap", disturbance: readAPI},

	{name: "users-1000", title: "radiusd, PAP, 1,000 users", server: "radiusd-users-1000", method: "pap", special: true},
	{name: "users-100000", title: "radiusd, PAP, 100,000 users", server: "radiusd-users-100000", method: "pap", special: true, floor: "users-1000"},
	{name: "users-1000000", title: "radiusd, PAP, 1,000,000 users", server: "radiusd-users-1000000", method: "pap", special: true, floor: "users-1000"},
	{name: "nases-10", title: "radiusd, PAP, 10 NASes in turn, each with its secret", server: "radiusd-nases-10", method: "pap", mixed: true, special: true},
	{name: "nases-10000", title: "radiusd, PAP, 10,000 NASes in turn, each with its secret", server: "radiusd-nases-10000", method: "pap", mixed: true, special: true, floor: "nases-10"},
}

// A server runs and is measured.
type server struct {
	name     string // of an instance, if it is one
	process  *testbed.Process
	auth     string
	acct     string
	metrics  string // address; empty: it has none
	database string
	folder   string
	core     string // the CPU that is its own; empty: it shares
	users    int
	nases    int           // as an instance has them
	loaded   time.Duration // from its start until it was ready
	memory   int64         // bytes, then
}

// bench is one run.
type bench struct {
	*options
	places    places
	bed       *testbed.Bed
	chosen    []*contestant
	disturbed []*contestant // the others that were chosen: those with a disturbance
	servers   map[string]*server
	apis      map[string]*adminAPI // by database
	postgres  *testbed.Postgres
	results   []map[string]*result // by round and contestant
	halves    []map[string]*result // the same, at half that rate
	peaks     map[string]float64   // of the servers that are disturbed, undisturbed
	under     []map[string]*result // a disturbance, at half of it
	alone     []reads              // of an admin API, while nothing else happens
}

// needs reports whether a server is part of this run.
func (b *bench) needs(name string) bool {
	return slices.ContainsFunc(slices.Concat(b.chosen, b.disturbed), func(c *contestant) bool { return c.server == name })
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
	var needed []instance
	for _, i := range b.instances() {
		if b.needs(i.name) || i.name == "radiusd" && b.needs("radiusd-2") {
			needed = append(needed, i)
		}
	}
	if len(needed) > 0 || b.needs("freeradius-sql") {
		if err := b.startPostgres(); err != nil {
			return err
		}
	}
	for _, i := range needed {
		if err := b.startRadiusd(ctx, i); err != nil {
			return err
		}
	}
	if s := b.servers[readServer]; s != nil {
		if err := b.startAdminAPIs(ctx, s); err != nil {
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

// startPostgres starts Postgres with a database for each radiusd and for FreeRADIUS.
func (b *bench) startPostgres() (err error) {
	say("starting Postgres")
	databases := []string{"radius"}
	for _, i := range b.instances() {
		if (b.needs(i.name) || i.name == "radiusd") && !i.shared {
			databases = append(databases, i.database)
		}
	}
	b.postgres, err = b.bed.StartPostgres(databases, b.aside(b.places.stores)...)
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
	s := &server{process: process, users: b.users, core: b.places.server}
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
