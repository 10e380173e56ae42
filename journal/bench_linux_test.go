package journal_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
)

// BenchmarkLoad appends records of 300 octets at a rate, as they come from NASes, and
// gives what a record waits for its acknowledgement and what a group costs: with
// segments that are prepared, and with segments that grow.
func BenchmarkLoad(b *testing.B) {
	for _, rate := range []struct {
		name string
		in   int // a millisecond
	}{{"20k", 20}, {"100k", 100}} {
		b.Run("rate="+rate.name, func(b *testing.B) {
			b.Run("segments=growing", func(b *testing.B) {
				load(b, journal.NotPrepared(journal.Options{Dir: b.TempDir()}), rate.in)
			})
			b.Run("segments=prepared", func(b *testing.B) {
				load(b, journal.Options{Dir: b.TempDir()}, rate.in)
			})
		})
	}
}

// load appends b.N times what comes in a millisecond.
func load(b *testing.B, opt journal.Options, in int) {
	j, err := journal.Open(opt)
	require.NoError(b, err)
	j.Retain("bench", 0)
	record := make([]byte, 300)
	for i := range record {
		record[i] = byte(i)
	}
	waits := make([]time.Duration, 0, b.N)
	var before, after syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		time.Sleep(time.Until(began.Add(time.Duration(i) * time.Millisecond)))
		at := time.Now()
		for range in - 1 {
			for j.Append(record, nil) != nil {
				j.Retain("bench", j.End())
			}
		}
		err := j.Append(record, journal.CommittedFunc(func(journal.Position, error) {
			waits = append(waits, time.Since(at))
		}))
		require.NoError(b, err)
		if i%1000 == 0 {
			j.Retain("bench", j.End())
		}
	}
	b.StopTimer()
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	s := j.Stats()
	require.NoError(b, j.Close())
	slices.Sort(waits)
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/1e3/float64(s.Groups), "cpu-µs/group")
	b.ReportMetric(float64(s.CommitTime.Microseconds())/float64(s.Groups), "commit-µs/group")
	b.ReportMetric(float64(len(waits)*in)/float64(s.Groups), "records/group")
	for _, q := range []struct {
		name string
		of   float64
	}{{"p50-µs", 0.5}, {"p99-µs", 0.99}, {"p99.9-µs", 0.999}} {
		b.ReportMetric(float64(waits[int(q.of*float64(len(waits)-1))].Microseconds()), q.name)
	}
}
