package ingest_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/radius"
)

// feed tells of one boot, after it has failed once.
type feed struct {
	boot  aaa.Boot
	calls int
}

func (f *feed) NextBoots(context.Context) ([]aaa.SeenBoot, error) {
	if f.calls++; f.calls == 1 {
		return nil, errors.New("starting up")
	}
	return []aaa.SeenBoot{{Boot: f.boot}}, nil
}

func TestBootsOfOtherNodesReachTheLiveSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		sql := newSink("sql")
		w.send(radius.AcctStart, "before")
		boot := aaa.Boot{NASAddr: netip.MustParseAddr("192.0.2.1"), NASIdentifier: "nas", Status: aaa.AcctOn, At: time.Now().Add(time.Second)}
		w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.Boots = &feed{boot: boot} })
		time.Sleep(500 * time.Millisecond)
		require.Equal(t, 1, w.live.OpenCount())
		time.Sleep(5 * time.Second)
		require.Zero(t, w.live.OpenCount(), "its session has ended")
		require.True(t, w.live.Resolver().Knows(&boot))
		require.Contains(t, w.log.String(), "starting up")
		w.send(radius.AcctStart, "before")
		time.Sleep(time.Second)
		require.Equal(t, 1, w.live.OpenCount(), "the same Acct-Session-Id is another one after the boot")
		w.halt()
	})
}
