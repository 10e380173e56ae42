package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// faultSeed returns the seed of a test's random moments: RADIUSD_FAULT_SEED, or a
// new one. It is in the test's log.
func faultSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1<<53) + 1
	if text := os.Getenv("RADIUSD_FAULT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("RADIUSD_FAULT_SEED=%d", seed)
	return seed
}

// faultTimes is how often a test does its worst: RADIUSD_FAULT_TIMES, for longer
// runs, or the default.
func faultTimes(t *testing.T, n int) int {
	t.Helper()
	if text := os.Getenv("RADIUSD_FAULT_TIMES"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

// eachEngine runs a test on SQLite and on Postgres.
func eachEngine(t *testing.T, test func(t *testing.T, storeURL string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, testserver.Postgres(t))
	})
}

// Each round has a seed of its own: sessions, losses and the moments of the kills
// depend on it. The load runs as fast as the server answers, and goes on until
// everything is acknowledged.
func TestKillUnderAccountingLoadLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sites, rounds int }{"sqlite": {1, 6}, "postgres and clickhouse": {4, 5}} {
		for site := range c.sites {
			t.Run(fmt.Sprintf("%s %d", name, site+1), func(t *testing.T) {
				t.Parallel()
				storeURL, settings := "", "journal: {segment_bytes: 1MiB, max_bytes: 64MiB}"
				if name != "sqlite" {
					storeURL = testserver.Postgres(t)
					settings += fmt.Sprintf("\nclickhouse: {url: %q}", testserver.ClickHouse(t))
				}
				killUnderLoad(t, newFaultSite(t, storeURL, settings), c.rounds)
			})
		}
	}
}

func killUnderLoad(t *testing.T, f *faultSite, rounds int) {
	t.Helper()
	f.addUser("load1", "looking-glass")
	server := f.start()
	for range faultTimes(t, rounds) {
		seed := faultSeed(t)
		random := rand.New(rand.NewPCG(seed, 0))
		args := []string{"--seed", strconv.FormatUint(seed, 10), "--sessions", "1000", "--nas", "4"}
		if random.IntN(2) == 0 { // and a network that loses and repeats packets, and NASes that crash
			args = append(args, "--loss", "0.05", "--repeat", "0.1", "--reboot", "200", "--sockets", "4", "--concurrency", "128")
		}
		if random.IntN(4) == 0 {
			args = append(args, "--login", "--auth-server", f.auth, "--users", "1", "--password", "looking-glass")
		}
		load := f.accounting(args...)
		for range 1 + random.IntN(2) {
			// The moment is what is random here, nothing waits for it.
			<-time.After(time.Duration(random.IntN(400)) * time.Millisecond)
			server.kill()
			server = f.start()
		}
		t.Logf("seed %d: %s", seed, f.verify(load))
	}
	db := f.database()
	requireUsageIsSessions(t, db)
	require.Zero(t, server.terminate(), server.logged())
	require.NoFileExists(t, f.data+"/quarantine.jsonl")
}

// Two nodes that share the stores are killed now and then, while NASes send their
// records to both in turn, so that a session has records in two journals. NASes that
// return Class may crash as well; without Class, a node cannot know of a boot that is
// still in the journal of a dead one.
func TestKillOneOfTwoNodesUnderAccountingLoad(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	setting := fmt.Sprintf("clickhouse: {url: %q}", testserver.ClickHouse(t))
	a.settings(setting)
	b.settings(setting)
	a.do("migrate", "up")
	for n := range 5 {
		a.addUser(fmt.Sprintf("load%d", n+1), "looking-glass")
	}
	nodes := []*faultSite{a, b}
	servers := []*server{a.start(), b.start()}
	for round := range faultTimes(t, 4) {
		seed := faultSeed(t)
		random := rand.New(rand.NewPCG(seed, 0))
		args := []string{"--server", a.acct, "--server", b.acct, "--seed", strconv.FormatUint(seed, 10), "--sessions", "1000",
			"--nas", "4", "--sockets", "4", "--loss", "0.02", "--repeat", "0.05"}
		if round%2 == 0 {
			args = append(args, "--spread")
		}
		if round%4 < 2 {
			args = append(args, "--login", "--auth-server", a.auth, "--auth-server", b.auth, "--password", "looking-glass", "--clock", "both", "--reboot", "200")
		}
		load := startLoad(t, args...)
		for range 2 {
			// The moment is what is random here, nothing waits for it.
			<-time.After(time.Duration(random.IntN(500)) * time.Millisecond)
			victim := random.IntN(2)
			servers[victim].kill()
			servers[victim] = nodes[victim].start()
		}
		t.Logf("%v: %s", args, a.verify(load))
	}
	db := a.database()
	requireUsageIsSessions(t, db)
	require.Zero(t, deadlocks(t, db))
	for i, node := range nodes {
		require.Zero(t, servers[i].terminate(), servers[i].logged())
		require.NoFileExists(t, node.data+"/quarantine.jsonl")
	}
}

func TestTerminateUnderLoadStoresWhatWasAnswered(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		f := newFaultSite(t, storeURL, "")
		server := f.start()
		load := f.accounting("--duration", "1h", "--concurrency", "128", "--rate", "3000")
		db := f.database()
		require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 1500 },
			patience, 10*time.Millisecond) // some of which the load has not read the answer of
		require.Zero(t, server.terminate(), server.logged())
		acks := load.interrupt()

		// Stored by now, without another start.
		stored := make(map[acknowledged]int)
		for _, a := range readRecords(t, db) {
			stored[a]++
			require.Equal(t, 1, stored[a], "stored twice: %+v", a)
		}
		for _, a := range acks {
			require.Equal(t, 1, stored[a], "acknowledged, and not stored: %+v", a)
		}
		require.GreaterOrEqual(t, len(acks), 1000)
		requireUsageIsSessions(t, db)
	})
}
