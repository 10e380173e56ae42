package redis

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/aaa/limitstest"
	"radiusd/internal/testserver"
)

// logBuffer is a log for several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// run runs the node until the test ends, or until stop is called.
func (n *node) run(t *testing.T) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// quick is for tests in which Redis goes away.
func quick(log *logBuffer) func(*Options) {
	return func(o *Options) {
		o.Timeout = 3 * time.Second // as a call may take that long, too, on a machine that is busy
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

func (n *node) settled() bool { return n.up.Load() && !n.mending.Load() && n.pending() == 0 }

func reservation(clock *limitstest.Clock, user string, nonce byte) aaa.Reservation {
	return aaa.Reservation{Username: user, Limit: 1, Nonce: aaa.Nonce{nonce}, NASAddr: benchNAS, At: clock.Now()}
}

func TestSessionsThatEndElsewhere(t *testing.T) {
	for name, open := range map[string]func(*testing.T) server{"server": oneServer, "cluster": clusterServer} {
		t.Run(name, func(t *testing.T) {
			clock := limitstest.NewClock()
			v := open(t)
			a, b := v.newNode(t, "a", aaa.LiveOptions{Now: clock.Now}), v.newNode(t, "b", aaa.LiveOptions{Now: clock.Now})
			for _, n := range []*node{a, b} {
				n.run(t)
				eventually(t, n.settled, "connected")
			}
			for i := range 20 {
				r := startOf(clock, i)
				a.local.Apply(&r)
			}
			eventually(t, func() bool { n, err := b.OnlineCount(t.Context()); return err == nil && n == 20 }, "told")
			clock.Advance(time.Minute)
			for i := range 10 {
				r := startOf(clock, i)
				r.Status, r.TerminateCause = aaa.AcctStop, "User-Request"
				r.HasSeconds, r.SessionSeconds = true, 60
				b.local.Apply(&r)
			}
			// A device that begins again on its port, at the other node.
			again := startOf(clock, 15)
			again.AcctSessionID, again.AcctMultiSessionID, again.Class = "another", "", nil
			b.local.Apply(&again)
			eventually(t, func() bool { return a.local.OpenCount() == 9 }, "closed where they began")
			require.Equal(t, uint64(60), a.local.Used("user3", aaa.PeriodEver, clock.Now()).Seconds, "with what they used")
			require.Zero(t, a.local.Open("user15"))
			require.Equal(t, 1, b.local.Open("user15"))
		})
	}
}

func TestRedisGoesAway(t *testing.T) {
	for name, end := range map[string]func(*testserver.RedisServer){
		"stopped": (*testserver.RedisServer).Stop,
		"killed":  (*testserver.RedisServer).Crash,
		"hanging": (*testserver.RedisServer).Pause,
	} {
		t.Run(name, func(t *testing.T) {
			clock := limitstest.NewClock()
			redis := testserver.NewRedisServer(t)
			v := server{url: redis.URL(), prefix: "test"}
			log := new(logBuffer)
			a := v.newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, quick(log))
			b := v.newNode(t, "b", aaa.LiveOptions{Now: clock.Now}, quick(log))
			a.run(t)
			b.run(t)
			eventually(t, func() bool { return a.settled() && b.settled() }, "connected")
			require.True(t, a.Waits())
			for i := range 500 {
				r := startOf(clock, i)
				[]*node{a, b}[i%2].local.Apply(&r)
			}
			eventually(t, func() bool { n, err := b.OnlineCount(t.Context()); return err == nil && n == 500 }, "told")
			require.False(t, b.Reserve(reservation(clock, "user2", 1)).Reserved, "open at the other node")
			require.True(t, a.Reserve(reservation(clock, "before", 1)).Reserved)

			end(redis)
			eventually(t, func() bool { return !a.Waits() && !b.Waits() }, "noticed")
			require.False(t, a.Reserve(reservation(clock, "user2", 1)).Reserved, "by its own view")
			require.False(t, a.Reserve(reservation(clock, "before", 2)).Reserved, "with the places it gave")
			require.True(t, a.Reserve(reservation(clock, "meanwhile", 3)).Reserved)
			require.False(t, a.Reserve(reservation(clock, "meanwhile", 4)).Reserved)
			require.True(t, a.Reserve(reservation(clock, "returned", 5)).Reserved)
			a.Release("returned", aaa.Nonce{5})
			require.InDelta(t, 5, a.fallbacks(), 0.1)
			clock.Advance(time.Second)
			stop, start := startOf(clock, 4), startOf(clock, 1000)
			stop.Status = aaa.AcctStop
			a.local.Apply(&stop)
			b.local.Apply(&start)
			require.Zero(t, a.pending(), "nothing piles up")

			if redis.Resume(); name != "hanging" {
				redis.Start()
			}
			eventually(t, func() bool { return a.settled() && b.settled() }, "mended")
			count, err := b.OnlineCount(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 500, count, "500 that began, one that ended, one that began")
			require.False(t, b.Reserve(reservation(clock, "user2", 6)).Reserved)
			require.False(t, b.Reserve(reservation(clock, "meanwhile", 7)).Reserved, "the place is known to all")
			require.True(t, b.Reserve(reservation(clock, "returned", 8)).Reserved)
			require.True(t, b.Reserve(reservation(clock, "user4", 9)).Reserved)
			require.Equal(t, 2, log.count("Redis is away"), "once at each node:\n%s", log.b.String())
			require.Equal(t, 4, log.count("Redis answers"))
		})
	}
}

// TestLossIsNoticed: whatever part of the data goes, all is told anew.
func TestLossIsNoticed(t *testing.T) {
	fill := func(t *testing.T, clock *limitstest.Clock, n *node) {
		for i := range 300 {
			r := startOf(clock, i)
			n.local.Apply(&r)
		}
		n.share(t)
	}
	lose := func(t *testing.T, v server, clear func()) {
		clock := limitstest.NewClock()
		n := v.newNode(t, "a", aaa.LiveOptions{Now: clock.Now}).connect(t)
		fill(t, clock, n)
		require.NoError(t, n.h.check(t.Context()))
		require.False(t, n.mending.Load(), "nothing is lost yet")
		clear()
		require.NoError(t, n.h.check(t.Context()))
		require.True(t, n.mending.Load())
		require.NoError(t, n.h.connect(t.Context())) // the scripts may be gone, too
		for n.mending.Load() {
			require.NoError(t, n.h.mend(t.Context()))
		}
		count, err := n.OnlineCount(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 300, count)
	}
	t.Run("a server is emptied", func(t *testing.T) {
		redis := testserver.NewRedisServer(t)
		lose(t, server{url: redis.URL(), prefix: "test"}, func() {
			require.NoError(t, redis.Client().FlushAll(t.Context()).Err())
		})
	})
	t.Run("another has emptied it and told of its own first", func(t *testing.T) {
		redis := testserver.NewRedisServer(t)
		v := server{url: redis.URL(), prefix: "test"}
		lose(t, v, func() {
			require.NoError(t, redis.Client().FlushAll(t.Context()).Err())
			v.newNode(t, "b", aaa.LiveOptions{}).connect(t)
		})
	})
	t.Run("a server starts again with what it had saved", func(t *testing.T) {
		redis := testserver.NewRedisServer(t)
		lose(t, server{url: redis.URL(), prefix: "test"}, func() {
			kept := map[string]string{}
			for b := range buckets {
				key := keys{"test"}.marker(b)
				kept[key] = redis.Client().Get(t.Context(), key).Val()
			}
			redis.Stop()
			redis.Start()
			for key, marker := range kept {
				require.NoError(t, redis.Client().Set(t.Context(), key, marker, 0).Err())
			}
		})
	})
	t.Run("a master of a cluster is emptied", func(t *testing.T) {
		lose(t, clusterServer(t), func() {
			url := testserver.RedisClusterMasters(t)[1]
			opt, err := goredis.ParseURL(url)
			require.NoError(t, err)
			master := goredis.NewClient(opt)
			defer master.Close()
			require.NoError(t, master.FlushAll(t.Context()).Err())
		})
	})
	t.Run("the scripts are forgotten", func(t *testing.T) {
		redis := testserver.NewRedisServer(t)
		clock := limitstest.NewClock()
		n := server{url: redis.URL(), prefix: "test"}.newNode(t, "a", aaa.LiveOptions{Now: clock.Now}).connect(t)
		require.NoError(t, redis.Client().ScriptFlush(t.Context()).Err())
		require.True(t, n.Reserve(reservation(clock, "alice", 1)).Reserved)
		require.NoError(t, redis.Client().ScriptFlush(t.Context()).Err())
		r := startOf(clock, 1)
		n.local.Apply(&r)
		require.Error(t, n.flush(t.Context(), n.takeDirty(0)), "not told")
		n.share(t)
		count, err := n.OnlineCount(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, count)
	})
}

// TestWhileMending: what this node knows and Redis does not yet is not forgotten.
func TestWhileMending(t *testing.T) {
	clock := limitstest.NewClock()
	loaded := false
	n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, func(o *Options) { o.Loaded = func() bool { return loaded } })
	r := startOf(clock, 1)
	n.local.Apply(&r)
	require.NoError(t, n.h.connect(t.Context()))
	require.NoError(t, n.h.mend(t.Context()))
	require.True(t, n.mending.Load(), "not before the sessions are loaded")
	require.False(t, n.Reserve(reservation(clock, "user1", 1)).Reserved)
	require.True(t, n.Reserve(reservation(clock, "user2", 1)).Reserved)
	require.False(t, n.Reserve(reservation(clock, "user2", 2)).Reserved)
	loaded = true
	for n.mending.Load() {
		require.NoError(t, n.h.mend(t.Context()))
	}
	require.Equal(t, 1, len(must(n.UserSessions(t.Context(), "user1"))))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestMendRate: a million sessions are not told at once.
func TestMendRate(t *testing.T) {
	clock := limitstest.NewClock()
	n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, func(o *Options) { o.MendRate = 100 })
	for i := range 2000 {
		r := startOf(clock, i)
		n.local.Apply(&r)
	}
	require.NoError(t, n.h.connect(t.Context()))
	began := time.Now()
	for n.mending.Load() && time.Since(began) < 500*time.Millisecond {
		require.NoError(t, n.h.mend(t.Context()))
	}
	count, err := n.OnlineCount(t.Context())
	require.NoError(t, err)
	require.Positive(t, count)
	require.Less(t, count, int64(500))
	require.True(t, n.mending.Load())
}

func TestAKeyThatIsNotOurs(t *testing.T) {
	clock := limitstest.NewClock()
	log := new(logBuffer)
	n := oneServer(t).newNode(t, "a", aaa.LiveOptions{Now: clock.Now}, quick(log)).connect(t)
	require.NoError(t, n.client.Set(t.Context(), n.keys.user("user1").live, "x", 0).Err())
	require.True(t, n.Reserve(reservation(clock, "user1", 1)).Reserved, "by its own view")
	require.False(t, n.Reserve(reservation(clock, "user1", 2)).Reserved)
	require.True(t, n.Waits(), "Redis is there nevertheless")
	for i := range 3 {
		r := startOf(clock, i)
		n.local.Apply(&r)
	}
	n.share(t)
	require.Len(t, must(n.UserSessions(t.Context(), "user2")), 1, "the others are told of")
	require.Equal(t, 1, log.count("cannot be told of"))
}
