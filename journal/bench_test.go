package journal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
)

// BenchmarkAppend appends from several goroutines, each of which waits for the
// acknowledgement of 256 records at a time, to a real file.
func BenchmarkAppend(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir()})
	require.NoError(b, err)
	j.Retain("bench", 0)
	record := make([]byte, 300)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		const window = 256
		free := make(chan struct{}, window)
		for range window {
			free <- struct{}{}
		}
		var c journal.Committed = journal.CommittedFunc(func(_ journal.Position, err error) { free <- struct{}{} })
		for pb.Next() {
			<-free
			for j.Append(record, c) != nil {
				j.Retain("bench", j.End()) // full: let go of what is committed
			}
		}
		for range window {
			<-free
		}
	})
	b.StopTimer()
	s := j.Stats()
	require.NoError(b, j.Close())
	b.ReportMetric(float64(s.Records)/float64(s.Groups), "records/sync")
	b.ReportMetric(float64(s.Records)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkReader(b *testing.B) {
	j, err := journal.Open(journal.Options{Dir: b.TempDir()})
	require.NoError(b, err)
	defer j.Close()
	record := make([]byte, 300)
	for range 100000 {
		for j.Append(record, nil) != nil {
		}
	}
	_, err = appendWait(b, j, record)
	require.NoError(b, err)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	r, err := j.Reader(0)
	require.NoError(b, err)
	defer func() { r.Close() }()
	for b.Loop() {
		_, _, ok, err := r.TryNext()
		if !ok {
			require.NoError(b, err)
			r.Close()
			r, err = j.Reader(0)
			require.NoError(b, err)
		}
	}
}
