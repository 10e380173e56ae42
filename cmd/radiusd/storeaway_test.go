package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// logs waits until the server has logged a text.
func (v *server) logs(text string) {
	v.t.Helper()
	require.Eventually(v.t, func() bool { return strings.Contains(v.logged(), text) }, patience, 20*time.Millisecond, "the log says %q", text)
}

// ready returns what /readyz says.
func (v *server) ready() (status int, checks map[string]string) {
	v.t.Helper()
	status, body := v.get("/readyz")
	require.NoError(v.t, json.Unmarshal([]byte(body), &checks))
	return status, checks
}

func TestPostgresGoesAwayUnderLoadAndComesBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(*testserver.PostgresServer)
		away time.Duration // no less than it takes to see that the rest goes on
	}{
		{"stopped for a minute", (*testserver.PostgresServer).Stop, time.Minute},
		{"crashed", (*testserver.PostgresServer).Crash, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			postgres := testserver.NewPostgresServer(t)
			f := newFaultSite(t, postgres.URL(), "")
			f.addUser("alice", "looking-glass")
			server := f.start()
			load := f.accounting("--rate", "500", "--duration", (10*time.Second + test.away).String())
			db := f.database()
			require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 100 },
				patience, 20*time.Millisecond)

			test.end(postgres)
			back := time.After(test.away)
			server.logs("accounting is held up")
			require.True(t, f.login("alice", "looking-glass"), "authentication goes on without the store")
			require.False(t, f.login("alice", "wrong"))
			require.False(t, f.login("nobody", "looking-glass"))
			nas := faultNAS(t)
			require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, nas.Session("alice", "away").Start()).Code(),
				"accounting is answered without the store")
			status, checks := server.ready()
			require.Equal(t, http.StatusOK, status, "a server that answers is ready: %v", checks)

			<-back // what is waited for is the time itself
			require.True(t, f.login("alice", "looking-glass"), "authentication still goes on")
			postgres.Start()
			server.logs("accounting goes on")
			acks := append(load.finish(), acknowledged{session: "away", status: "start", username: "alice"})
			awaitStored(t, db, acks)
			require.Zero(t, server.terminate(), server.logged())
			requireExactlyOnce(t, db, acks)
		})
	}
}

func TestServerStartsWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	postgres := testserver.NewPostgresServer(t)
	f := newFaultSite(t, postgres.URL(), "")
	f.addUser("alice", "looking-glass")
	f.addUser("bob", "brick-by-brick")
	f.do("user", "set", "bob", "--status", "disabled")
	server := f.start()
	require.True(t, f.login("alice", "looking-glass"))
	require.Zero(t, server.terminate(), server.logged())

	postgres.Stop()
	server = f.start()
	require.Contains(t, server.logged(), "serving the last snapshot of the directory", "an operator is told")
	require.True(t, f.login("alice", "looking-glass"))
	require.False(t, f.login("bob", "brick-by-brick"), "who was disabled before stays so")
	nas := faultNAS(t)
	session := nas.Session("alice", "away")
	require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, session.Start()).Code())
	_, checks := server.ready()
	require.Contains(t, checks["directory"], "snapshot", "a probe is told that users may be out of date")
	_, metrics := server.get("/metrics")
	require.Contains(t, metrics, "radiusd_directory_snapshot_in_use 1")
	require.Contains(t, metrics, "radiusd_directory_age_seconds NaN")

	// A second crash while it is away changes nothing.
	server.kill()
	server = f.start()
	stop := nas.Exchange(f.acct, session.Stop(radiustest.Usage{Time: time.Minute, Input: 10, Output: 20}, 1))
	require.Equal(t, radius.AccountingResponse, stop.Code())

	postgres.Start()
	f.do("user", "set", "alice", "--status", "disabled")
	require.Eventually(t, func() bool { return !f.login("alice", "looking-glass") }, patience, 50*time.Millisecond,
		"what has changed meanwhile is in force when the store is back")
	acks := []acknowledged{
		{session: "away", status: "start", username: "alice"},
		{session: "away", status: "stop", username: "alice", seconds: 60, input: 10, output: 20},
	}
	db := f.database()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

func TestServerNeedsTheStoreOrASnapshot(t *testing.T) {
	t.Parallel()
	f := plainFaultSite(t, "postgres://radiusd@127.0.0.1:1/radiusd?sslmode=disable", "")
	_, errs, code := f.run("", "serve")
	require.Equal(t, 1, code, errs)
	require.Contains(t, errs, "cannot be reached")
	require.Contains(t, errs, "127.0.0.1:1/radiusd")
}

// link is a connection to a server that can be frozen: nothing comes through and
// nothing is refused, as with a host that has lost its power or a network that
// drops everything.
type link struct {
	address string
	gate    sync.RWMutex // held by who freezes
	frozen  bool
	latency atomic.Int64 // ns that everything takes
}

// newLink listens on a port of its own and passes everything on to address.
func newLink(t *testing.T, address string) *link {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{address: listen.Addr().String()}
	var mu sync.Mutex
	var open []net.Conn
	var running sync.WaitGroup
	pass := func(to, from net.Conn) {
		defer to.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			if latency := time.Duration(l.latency.Load()); latency > 0 {
				<-time.After(latency)
			}
			l.gate.RLock()
			_, failed := to.Write(buffer[:n])
			l.gate.RUnlock()
			if err != nil || failed != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			near, err := listen.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			mu.Lock()
			open = append(open, near, far)
			mu.Unlock()
			running.Go(func() { pass(far, near) })
			running.Go(func() { pass(near, far) })
		}
	})
	t.Cleanup(func() {
		l.thaw()
		listen.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l
}

func (l *link) freeze() { l.gate.Lock(); l.frozen = true }

func (l *link) thaw() {
	if l.frozen {
		l.frozen = false
		l.gate.Unlock()
	}
}

func TestPostgresHangs(t *testing.T) {
	t.Parallel()
	storeURL, err := url.Parse(testserver.Postgres(t))
	require.NoError(t, err)
	direct := storeURL.String()
	link := newLink(t, storeURL.Host)
	storeURL.Host = link.address
	f := newFaultSite(t, storeURL.String(), "")
	f.addUser("alice", "looking-glass")
	server := f.start()
	load := f.accounting("--rate", "500", "--duration", "2s")
	f.storeURL = direct // for who looks at it from outside
	db := f.database()
	require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 100 },
		patience, 20*time.Millisecond)

	link.freeze()
	acks := load.finish() // everything is answered
	for range 20 {
		require.True(t, f.login("alice", "looking-glass"), "authentication does not wait for a store that hangs")
	}
	require.Zero(t, server.terminate(), "nor does the end: "+server.logged())

	// And a start serves the snapshot, in spite of a server that takes connections
	// and says nothing.
	server = f.start()
	require.Contains(t, server.logged(), "serving the last snapshot of the directory")
	require.True(t, f.login("alice", "looking-glass"))
	link.thaw()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

func TestPostgresIsSlow(t *testing.T) {
	t.Parallel()
	storeURL, err := url.Parse(testserver.Postgres(t))
	require.NoError(t, err)
	direct := storeURL.String()
	link := newLink(t, storeURL.Host)
	storeURL.Host = link.address
	f := newFaultSite(t, storeURL.String(), "")
	f.addUser("alice", "looking-glass")
	server := f.start()
	load := f.accounting("--rate", "1000", "--duration", "8s")
	f.storeURL = direct // for who looks at it from outside
	db := f.database()
	require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 100 },
		patience, 20*time.Millisecond)

	link.latency.Store(int64(500 * time.Millisecond)) // seconds for a transaction
	nas := faultNAS(t)
	answered := make(chan struct{})
	for n := range 40 {
		go func() {
			nas := faultNAS(t)
			if n%2 == 0 {
				nas.Exchange(f.auth, nas.PAP("alice", "looking-glass"))
			} else {
				nas.Exchange(f.acct, nas.Session("alice", fmt.Sprint("slow-", n)).Start())
			}
			answered <- struct{}{}
		}()
	}
	for range 40 {
		<-answered
	}
	require.Less(t, number(t, db, "SELECT count(*) FROM sessions WHERE acct_session_id LIKE 'slow-%'"), int64(20),
		"no answer waits for a store that is slow")
	require.Equal(t, radius.AccessAccept, nas.Exchange(f.auth, nas.PAP("alice", "looking-glass")).Code())
	acks := load.finish() // everything is answered
	for n := range 20 {
		acks = append(acks, acknowledged{session: fmt.Sprint("slow-", 2*n+1), status: "start", username: "alice"})
	}
	require.Less(t, number(t, db, "SELECT count(*) FROM accounting_records"), int64(len(acks)), "the store is behind")
	require.LessOrEqual(t, number(t, db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"), int64(12),
		"connections do not pile up")

	link.latency.Store(0)
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	require.NotContains(t, server.logged(), "quarantined")
	requireExactlyOnce(t, db, acks)
}
