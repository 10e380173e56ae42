package ingest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPace(t *testing.T) {
	p := newPace(Batching{Records: 10_000, Delay: 100 * time.Millisecond})
	require.Equal(t, 1000, p.limit)
	p.wrote(999, time.Millisecond)
	require.Equal(t, 1000, p.limit, "no backlog")
	for range 10 {
		p.wrote(p.limit, 20*time.Millisecond)
	}
	require.Equal(t, 10_000, p.limit, "a backlog, and a quick sink")
	p.wrote(10_000, 500*time.Millisecond)
	require.Equal(t, 10_000, p.limit, "as it should be")
	p.wrote(10_000, time.Second)
	require.Equal(t, 5000, p.limit, "slow")
	p.wrote(10, time.Minute)
	require.Equal(t, 5000, p.limit, "which is not for the size of the batch")
	for range 20 {
		p.wrote(p.limit, time.Minute)
	}
	require.Equal(t, leastBatch, p.limit)
	p.wrote(p.limit, time.Millisecond)
	require.Equal(t, 2*leastBatch, p.limit, "and recovers")

	small := newPace(Batching{Records: 7})
	small.wrote(7, time.Minute)
	require.Equal(t, 7, small.limit)
	large := newPace(Batching{Records: 50_000, Delay: 3 * time.Second})
	large.wrote(1000, time.Second)
	require.Equal(t, 2000, large.limit, "a sink that waits long for a batch may write long")
}
