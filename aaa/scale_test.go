package aaa_test

import (
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// scaleSessions is how many sessions the tests of scale make; RADIUSD_SCALE=1000000
// makes the million.
func scaleSessions() int {
	if n, err := strconv.Atoi(os.Getenv("RADIUSD_SCALE")); err == nil {
		return n
	}
	return 100_000
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestMemoryOfAnOpenSession(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred thousand sessions")
	}
	n := scaleSessions()
	before := heapInUse()
	l := aaa.NewLiveSessions(aaa.LiveOptions{})
	fill(l, n)
	each := (heapInUse() - before) / uint64(n)
	t.Logf("%d sessions: %d octets each, its user and the user's usage included", n, each)
	require.LessOrEqual(t, each, uint64(600))
	require.Equal(t, n, l.OpenCount())
}

// TestRecordsBesideManySessions measures what the garbage collector takes while
// 20,000 records a second are applied, and how long Access-Requests wait beside.
func TestRecordsBesideManySessions(t *testing.T) {
	if os.Getenv("RADIUSD_SCALE") == "" {
		t.Skip("a measurement: RADIUSD_SCALE=1000000 makes it")
	}
	n := scaleSessions()
	l := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return epoch }})
	fill(l, n)
	runtime.GC()
	began := time.Now()
	runtime.GC()
	mark := time.Since(began)

	var slowest, sweeping time.Duration
	for range aaa.LiveShards {
		began := time.Now()
		require.Empty(t, l.Sweep())
		took := time.Since(began)
		slowest, sweeping = max(slowest, took), sweeping+took
	}
	t.Logf("a sweep looks at %d sessions in %v, at worst %v", n/aaa.LiveShards, sweeping/aaa.LiveShards, slowest)

	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	collected, cycles := samples[0].Value.Float64(), samples[1].Value.Uint64()
	var before debug.GCStats
	debug.ReadGCStats(&before)

	const rate, seconds = 20_000, 60
	var working time.Duration
	began = time.Now()
	for i := range rate * seconds {
		if i%(rate/100) == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / rate)))
		}
		r := liveRecord(rand.N(n))
		r.Status, r.EventTime = aaa.AcctInterim, r.EventTime.Add(time.Duration(600+i/n)*time.Second)
		counters(uint64(600+i/n), 2e9, 2e10)(&r)
		at := time.Now()
		l.Apply(&r)
		working += time.Since(at)
	}
	took := time.Since(began)
	metrics.Read(samples)
	var after debug.GCStats
	debug.ReadGCStats(&after)
	longest := time.Duration(0)
	for _, pause := range after.Pause[:min(len(after.Pause), int(after.NumGC-before.NumGC))] {
		longest = max(longest, pause)
	}
	t.Logf("%d sessions, %.0f records/s: applying takes %.1f %% of a core, %d garbage collections %.1f %%, the longest pause is %v; one collection takes %v",
		n, rate*seconds/took.Seconds(), 100*working.Seconds()/took.Seconds(), samples[1].Value.Uint64()-cycles,
		100*(samples[0].Value.Float64()-collected)/took.Seconds(), longest, mark)
}
