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
