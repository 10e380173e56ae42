package ingest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

// TestLiveViewLetsPacketsInOnceItIsLoaded: a start waits for it, and on one processor
// a turn of which nobody makes use takes a millisecond.
func TestLiveViewLetsPacketsInOnceItIsLoaded(t *testing.T) {
	const work = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var seen []time.Time
		w.sendAll(ids(0, 100))
		w.start([]ingest.Sink{newSink("sql")}, func(o *ingest.Options, _ *aaa.LiveOptions) {
			o.Seen = func(*aaa.Record) {
				seen = append(seen, time.Now())
				time.Sleep(work)
			}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, w.in.Loaded())
		require.Len(t, seen, 100)
		require.Equal(t, 99*work, seen[99].Sub(seen[0]))

		w.sendAll(ids(100, 100))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, seen, 200)
		require.Greater(t, seen[199].Sub(seen[100]), 99*work)
		w.halt()
	})
}
