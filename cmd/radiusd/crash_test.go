package main

import (
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
func faultSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("RADIUSD_FAULT_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("RADIUSD_FAULT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
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

func TestKillUnderAccountingLoadLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		random, kills := faultSeed(t), faultTimes(t, 4)
		f := newFaultSite(t, storeURL, "journal: {segment_bytes: 1MiB, max_bytes: 64MiB}")
		server := f.start()
		load := f.accounting("--rate", "1500", "--duration", (time.Duration(kills) * 1200 * time.Millisecond).String())
		for range kills {
			// The moment is what is random here, nothing waits for it.
			<-time.After(time.Duration(random.IntN(900)) * time.Millisecond)
			server.kill()
			began := time.Now()
			server = f.start()
			require.Less(t, time.Since(began), patience)
			t.Logf("ready %v after the kill", time.Since(began).Round(time.Millisecond))
		}
		acks := load.finish()
		db := f.database()
		awaitStored(t, db, acks)
		require.Zero(t, server.terminate(), server.logged())
		t.Logf("%d records acknowledged", len(acks))
		requireExactlyOnce(t, db, acks)
		require.NoFileExists(t, f.data+"/quarantine.jsonl")
	})
}

func TestTerminateUnderLoadStoresWhatWasAnswered(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		f := newFaultSite(t, storeURL, "")
		server := f.start()
		load := f.accounting("--duration", "1h", "--concurrency", "128", "--rate", "3000")
		db := f.database()
		require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 1000 },
			patience, 10*time.Millisecond)
		began := time.Now()
		require.Zero(t, server.terminate(), server.logged())
		require.Less(t, time.Since(began), 10*time.Second)
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
