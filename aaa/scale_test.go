package aaa_test

import (
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

// TestAMillionSessions with RADIUSD_SCALE=1000000: memory, and what the garbage
// collector takes while 20,000 records a second are applied.
func TestScaleTmp(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("RADIUSD_SCALE"))
	if err != nil {
		n = 100_000
	}
	before := heapInUse()
	l := aaa.NewLiveSessions(aaa.LiveOptions{})
	fill(l, n)
	each := (heapInUse() - before) / uint64(n)
	t.Logf("%d octets a session", each)
	require.LessOrEqual(t, each, uint64(600))

	const rate, seconds = 20_000, 10
	samples := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/user:cpu-seconds"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	gc0, user0, cycles0 := samples[0].Value.Float64(), samples[1].Value.Float64(), samples[2].Value.Uint64()
	began := time.Now()
	var slowest time.Duration
	for i := range rate * seconds {
		if ahead := time.Duration(i)*time.Second/rate - time.Since(began); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
		r := liveRecord(i % n)
		r.Status, r.EventTime = aaa.AcctInterim, r.EventTime.Add(time.Duration(600+i/n)*time.Second)
		counters(uint64(600+i/n), 2e9, 2e10)(&r)
		at := time.Now()
		l.Apply(&r)
		slowest = max(slowest, time.Since(at))
	}
	took := time.Since(began)
	runtime.GC()
	metrics.Read(samples)
	var gc debug.GCStats
	gc.PauseQuantiles = make([]time.Duration, 5)
	debug.ReadGCStats(&gc)
	t.Logf("%.0f records/s, %d GC cycles, %.2f s of GC, %.2f s of work, slowest apply %v, pauses %v",
		rate*seconds/took.Seconds(), samples[2].Value.Uint64()-cycles0, samples[0].Value.Float64()-gc0, samples[1].Value.Float64()-user0, slowest, gc.PauseQuantiles)
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
