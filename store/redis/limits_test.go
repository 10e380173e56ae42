package redis

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
	"radiusd/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if code == 0 {
		if err := testserver.Leaked(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// accounts is a UsageStore.
type accounts []aaa.UsageAccount

func (a accounts) UsageAccounts(_ context.Context, usernames []string, _, _ time.Time) (found []aaa.UsageAccount, err error) {
	for _, x := range a {
		if slices.Contains(usernames, x.Username) {
			found = append(found, x)
		}
	}
	return found, nil
}

var prefixes atomic.Int64

// server is where a test's nodes meet.
type server struct {
	url     string
	cluster bool
	prefix  string
}

func oneServer(t *testing.T) server { return server{url: testserver.Redis(t), prefix: "test"} }

func clusterServer(t *testing.T) server {
	return server{url: testserver.RedisCluster(t), cluster: true, prefix: fmt.Sprintf("test%d", prefixes.Add(1))}
}

// node is one of the nodes that share a server.
type node struct {
	*Store
	local *aaa.LiveSessions
	h     health
}

// patience is for answers on a machine that is busy.
const patience = time.Minute

// fallbacks counts what was decided without Redis.
func (s *Store) fallbacks() (n float64) {
	for _, why := range []string{"away", "failed"} {
		n += testutil.ToFloat64(s.metrics.fallbacks.WithLabelValues(why))
	}
	return n
}

// open makes a node that does nothing by itself.
func (v server) open(id string, live aaa.LiveOptions, change ...func(*Options)) (*node, error) {
	local := aaa.NewLiveSessions(live)
	opt := Options{
		URL: v.url, Cluster: v.cluster, Prefix: v.prefix, NodeID: id, Local: local, Usage: accounts(nil), Location: live.Location,
		ReservationTTL: live.ReservationTTL, Liveness: live.Liveness, MinLiveness: live.MinLiveness, SilentLiveness: live.SilentLiveness,
		ClosedRetention: live.ClosedRetention, InferredRetention: live.InferredRetention, Now: live.Now,
		Timeout: patience, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&opt)
	}
	s, err := New(opt)
	return &node{Store: s, local: local, h: health{store: s}}, err
}

// newNode is open until the test ends.
func (v server) newNode(t *testing.T, id string, live aaa.LiveOptions, change ...func(*Options)) *node {
	t.Helper()
	n, err := v.open(id, live, change...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	if n.opt.Timeout == patience { // a test in which Redis is always there
		t.Cleanup(func() { require.Zero(t, n.fallbacks()) })
	}
	return n
}

// connect makes it ready.
func (n *node) connect(t *testing.T) *node {
	t.Helper()
	require.NoError(t, n.h.connect(t.Context()))
	for n.mending.Load() {
		require.NoError(t, n.h.mend(t.Context()))
	}
	return n
}

// share tells of everything there is to tell, and reads what is wanted.
func (n *node) share(t *testing.T) {
	t.Helper()
	require.NoError(t, n.flush(t.Context(), n.takeDirty(0)))
	if names := n.takeUnsure(); len(names) > 0 {
		require.NoError(t, n.seed(t.Context(), names))
	}
}

func TestLimits(t *testing.T) {
	for name, open := range map[string]func(*testing.T) server{"server": oneServer, "cluster": clusterServer} {
		t.Run(name, func(t *testing.T) {
			limitstest.Run(t, func(t *testing.T, opt aaa.LiveOptions, list ...aaa.UsageAccount) (a, b limitstest.Node) {
				v := open(t)
				var nodes []limitstest.Node
				for _, id := range []string{"a", "b"} {
					n := v.newNode(t, id, opt, func(o *Options) { o.Usage = accounts(list) }).connect(t)
					nodes = append(nodes, limitstest.Node{Limits: n, Live: n.local, Share: func() { n.share(t) }})
				}
				return nodes[0], nodes[1]
			})
		})
	}
}
