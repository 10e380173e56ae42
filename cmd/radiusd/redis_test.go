package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// redisNodes are two nodes on one database and one Redis.
func redisNodes(t *testing.T, redis string) (a, b *faultSite) {
	t.Helper()
	a, b = twoNodes(t)
	for _, f := range []*faultSite{a, b} {
		f.settings(redis)
	}
	return a, b
}

func redisAt(url string) string { return fmt.Sprintf("redis: {url: %q}", url) }

// patientWith is redisAt for who wants to know what Redis says and not how long it takes
// on a machine that has much to do: a node that gives it up counts alone.
func patientWith(url string) string { return fmt.Sprintf("redis: {url: %q, timeout: 10s}", url) }

// value returns the value of a metric of the server; -1 if there is none.
func (v *server) value(name string) float64 {
	v.t.Helper()
	_, body := v.get("/metrics")
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			got, err := strconv.ParseFloat(text, 64)
			require.NoError(v.t, err)
			return got
		}
	}
	return -1
}

// metric waits until a metric of the server has the value.
func (v *server) metric(name string, value float64) {
	v.t.Helper()
	is := func() bool { return v.value(name) == value }
	if !assert.Eventually(v.t, is, patience, 20*time.Millisecond) {
		var found []string
		_, body := v.get("/metrics")
		for line := range strings.Lines(body) {
			if strings.Contains(line, "redis") || strings.Contains(line, "sessions_open") {
				found = append(found, line)
			}
		}
		require.FailNow(v.t, "metric", "%s is not %v: %s\n%s", name, value, strings.Join(found, ""), v.logged())
	}
}

// device is a login of a user from a device of its own.
func device(nas *radiustest.NAS, user string, number int) *radius.Message {
	m := nas.PAP(user, "looking-glass")
	m.AddString(radius.TypeCallingStationID, fmt.Sprintf("02-00-00-00-00-%02X", number))
	m.AddUint32(radius.TypeNASPort, uint32(number))
	return m
}

func TestFiftyAtOnceThroughTwoNodes(t *testing.T) {
	t.Parallel()
	for name, redis := range map[string]func(t *testing.T) string{
		"server": func(t *testing.T) string { return patientWith(testserver.Redis(t)) },
		"cluster": func(t *testing.T) string {
			return fmt.Sprintf("redis: {url: %q, cluster: true, prefix: fifty, timeout: 10s}", testserver.RedisCluster(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := redisNodes(t, redis(t))
			const rounds, users = 4, 12
			for i := range users {
				a.addUser(fmt.Sprintf("alice%d", i), "looking-glass", "--simultaneous-use", "1")
			}
			nodes := []*server{a.start(), b.start()}
			for _, node := range nodes {
				node.metric("radiusd_redis_mending", 0)
			}
			client := radius.Client{}
			defer client.Close()
			nas := faultNAS(t)
			// A node decides by its own view when Redis takes longer than 300 ms, as it may on a
			// machine that is busy: what came of that round then tells nothing.
			alone := func() (n float64) {
				for _, node := range nodes {
					n += node.value(`radiusd_redis_fallbacks_total{reason="away"}`) + node.value(`radiusd_redis_fallbacks_total{reason="failed"}`)
				}
				return n
			}
			told := 0
			for i := 0; told < rounds; i++ {
				require.Less(t, i, users, "rounds in which Redis answers")
				before := alone()
				var all sync.WaitGroup
				var accepted, rejected atomic.Int32
				for n := range 50 {
					m := device(nas, fmt.Sprintf("alice%d", i), n)
					address := []string{a.auth, b.auth}[n%2]
					all.Go(func() {
						answer, err := client.Exchange(t.Context(), address, []byte(faultSecret), m)
						switch {
						case !assert.NoError(t, err):
						case answer.Code() == radius.AccessAccept:
							accepted.Add(1)
						case answer.Code() == radius.AccessReject:
							rejected.Add(1)
						}
					})
				}
				all.Wait()
				if alone() > before {
					continue
				}
				told++
				require.Equal(t, []int32{1, 49}, []int32{accepted.Load(), rejected.Load()})
			}
			for _, node := range nodes {
				require.Zero(t, node.terminate(), node.logged())
			}
		})
	}
}

func TestASessionThatMovesBetweenNodes(t *testing.T) {
	t.Parallel()
	a, b := redisNodes(t, patientWith(testserver.Redis(t)))
	a.addUser("alice", "looking-glass", "--simultaneous-use", "1")
	a.do("plan", "add", "prepaid", "--quota", "1KB")
	a.addUser("bob", "looking-glass", "--plan", "prepaid")
	first, second := a.start(), b.start()
	nas := faultNAS(t)
	account := func(f *faultSite, m *radius.Message) {
		t.Helper()
		require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, m).Code())
	}

	accept := nas.Exchange(a.auth, device(nas, "alice", 1))
	require.Equal(t, radius.AccessAccept, accept.Code())
	require.False(t, accepts(nas, b.auth, "alice", "looking-glass"), "the place is taken before the Start")
	session := nas.Session("alice", "moving")
	session.Accepted(accept)
	account(a, session.Start())
	second.metric("radiusd_sessions_open_shared", 1)
	require.False(t, accepts(nas, b.auth, "alice", "looking-glass"))
	first.metric("radiusd_sessions_open", 1)

	for _, f := range []*faultSite{a, b} {
		for _, filter := range [][]string{nil, {"--user", "alice"}, {"--nas", "127.0.0.0/8"}} {
			live := f.rows(append([]string{"session", "list", "--live"}, filter...)...)
			require.Len(t, live, 1)
			require.Equal(t, []any{"alice", "moving", "127.0.0.1", nil},
				[]any{live[0]["username"], live[0]["acct_session_id"], live[0]["nas_ip"], live[0]["stopped_at"]})
		}
		require.Empty(t, f.rows("session", "list", "--live", "--nas", "192.0.2.1"))
		require.JSONEq(t, `{"sessions": 1}`, f.do("session", "count", "--live", "-o", "json"))
		require.Equal(t, "nas_ip,sessions\n127.0.0.1,1\n", f.do("session", "count", "--live", "--by", "nas", "-o", "csv"))
		require.Equal(t, "username,sessions\nalice,1\n", f.do("session", "count", "--live", "--by", "user", "-o", "csv"))
	}
	require.Eventually(t, func() bool {
		return a.do("session", "count", "--by", "user", "-o", "csv") == "username,sessions\nalice,1\n"
	}, patience, 50*time.Millisecond, "the store knows it as well")

	account(b, session.Stop(radiustest.Usage{Time: time.Minute, Input: 10, Output: 20}, 1))
	require.Eventually(t, func() bool { return accepts(nas, a.auth, "alice", "looking-glass") }, patience, 10*time.Millisecond)
	first.metric("radiusd_sessions_open", 0) // where it began as well
	second.metric("radiusd_sessions_open_shared", 0)

	// What is used through one node counts at the other.
	require.True(t, accepts(nas, a.auth, "bob", "looking-glass"))
	require.True(t, accepts(nas, b.auth, "bob", "looking-glass"))
	spent := nas.Session("bob", "spent")
	account(a, spent.Start())
	account(a, spent.Interim(radiustest.Usage{Time: time.Minute, Input: 600, Output: 600}))
	require.Eventually(t, func() bool { return !accepts(nas, b.auth, "bob", "looking-glass") }, patience, 20*time.Millisecond)
	account(b, spent.Stop(radiustest.Usage{Time: time.Minute, Input: 600, Output: 600}, 1))
	require.False(t, accepts(nas, a.auth, "bob", "looking-glass"))
	for _, node := range []*server{first, second} {
		require.Zero(t, node.terminate(), node.logged())
	}
}

func TestRedisGoesAwayAndComesBackEmpty(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testserver.RedisServer){
		"stopped": (*testserver.RedisServer).Stop,
		"crashed": (*testserver.RedisServer).Crash,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := testserver.NewRedisServer(t)
			a, b := redisNodes(t, redisAt(redis.URL()))
			for _, user := range []string{"alice", "bob", "carol"} {
				a.addUser(user, "looking-glass", "--simultaneous-use", "1")
			}
			a.addUser("dave", "looking-glass")
			first, second := a.start(), b.start()
			nas := faultNAS(t)
			session := nas.Session("alice", "through-a")
			require.Equal(t, radius.AccountingResponse, nas.Exchange(a.acct, session.Start()).Code())
			second.metric("radiusd_sessions_open_shared", 1)
			require.False(t, accepts(nas, b.auth, "alice", "looking-glass"))
			require.True(t, accepts(nas, a.auth, "carol", "looking-glass"))

			end(redis)
			for _, node := range []*server{first, second} {
				node.metric("radiusd_redis_up", 0)
				node.logs("Redis is away")
			}
			require.False(t, accepts(nas, a.auth, "alice", "looking-glass"), "by the node's own view")
			require.False(t, accepts(nas, a.auth, "carol", "looking-glass"), "which has the places that were given before")
			require.True(t, accepts(nas, b.auth, "bob", "looking-glass"))
			require.False(t, accepts(nas, b.auth, "bob", "looking-glass"), "never open")
			require.True(t, accepts(nas, a.auth, "dave", "looking-glass"))
			second.metric(`radiusd_redis_fallbacks_total{reason="away"}`, 2)
			away := nas.Session("dave", "while-away")
			require.Equal(t, radius.AccountingResponse, nas.Exchange(b.acct, away.Start()).Code(), "answers go on")

			redis.Start()
			for _, node := range []*server{first, second} {
				node.metric("radiusd_redis_up", 1)
				node.metric("radiusd_redis_mending", 0)
				node.metric("radiusd_sessions_open_shared", 2)
				node.logs("Redis answers")
			}
			require.False(t, accepts(nas, b.auth, "alice", "looking-glass"), "the view is mended from the sessions of each node")
			require.False(t, accepts(nas, a.auth, "bob", "looking-glass"), "and from the places given meanwhile")
			require.Equal(t, radius.AccountingResponse, nas.Exchange(b.acct, session.Stop(radiustest.Usage{Time: time.Minute}, 1)).Code())
			require.Eventually(t, func() bool { return accepts(nas, a.auth, "alice", "looking-glass") }, patience, 20*time.Millisecond)
			for _, node := range []*server{first, second} {
				require.Zero(t, node.terminate(), node.logged())
			}
		})
	}
}

func TestRedisLosesEverythingAtOnce(t *testing.T) {
	t.Parallel()
	redis := testserver.NewRedisServer(t)
	a, b := redisNodes(t, redisAt(redis.URL()))
	a.addUser("alice", "looking-glass", "--simultaneous-use", "1")
	first, second := a.start(), b.start()
	nas := faultNAS(t)
	require.Equal(t, radius.AccountingResponse, nas.Exchange(a.acct, nas.Session("alice", "x").Start()).Code())
	second.metric("radiusd_sessions_open_shared", 1)
	require.NoError(t, redis.Client().FlushAll(t.Context()).Err())
	require.NoError(t, redis.Client().ScriptFlush(t.Context()).Err())
	require.Eventually(t, func() bool { return redis.Client().DBSize(t.Context()).Val() > 0 }, patience, 10*time.Millisecond)
	first.metric("radiusd_redis_mends_total", 2)
	first.metric("radiusd_redis_mending", 0)
	require.False(t, accepts(nas, b.auth, "alice", "looking-glass"))
	for _, node := range []*server{first, second} {
		require.Zero(t, node.terminate(), node.logged())
	}
}

func TestRedisHangs(t *testing.T) {
	t.Parallel()
	redis := testserver.NewRedisServer(t)
	f := newFaultSite(t, testserver.Postgres(t), redisAt(redis.URL()))
	f.addUser("alice", "looking-glass", "--simultaneous-use", "1000")
	server := f.start()
	nas := faultNAS(t)
	require.True(t, accepts(nas, f.auth, "alice", "looking-glass"))
	redis.Pause()
	server.metric("radiusd_redis_up", 0)
	failed := server.value(`radiusd_redis_fallbacks_total{reason="failed"}`)
	for range 100 {
		require.True(t, accepts(nas, f.auth, "alice", "looking-glass"))
	}
	require.Equal(t, failed, server.value(`radiusd_redis_fallbacks_total{reason="failed"}`), "300 ms each if everybody had to find out")
	require.Zero(t, server.terminate(), server.logged())
	server = f.start()
	require.Contains(t, server.logged(), "Redis is away")
	redis.Resume()
	server.metric("radiusd_redis_up", 1)
	require.Zero(t, server.terminate(), server.logged())
}

func TestServerStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	f := newFaultSite(t, "", redisAt(fmt.Sprintf("redis://user:s3cret@127.0.0.1:%d", testserver.Port(t))))
	f.addUser("alice", "looking-glass", "--simultaneous-use", "1")
	server := f.start()
	server.metric("radiusd_redis_up", 0)
	require.Contains(t, server.logged(), "Redis is away")
	nas := faultNAS(t)
	require.True(t, accepts(nas, f.auth, "alice", "looking-glass"))
	require.False(t, accepts(nas, f.auth, "alice", "looking-glass"))
	_, errs, code := f.run("", "session", "list", "--live")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "without --live, what the store knows is shown")
	require.NotContains(t, errs, "s3cret")
	require.Zero(t, server.terminate(), server.logged())
	require.NotContains(t, server.logged(), "s3cret")
	f.settings("")
	_, errs, code = f.run("", "session", "count", "--live")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "redis.url")
}
