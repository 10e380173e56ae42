package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// twoNodes makes two sites on one database, with the same master key.
func twoNodes(t *testing.T) (a, b *faultSite) {
	t.Helper()
	storeURL := testserver.Postgres(t)
	a = newFaultSite(t, storeURL, "")
	b = plainFaultSite(t, storeURL, "")
	key, err := os.ReadFile(filepath.Join(a.data, "master.key"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(b.data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(b.data, "master.key"), key, 0o600))
	return a, b
}

// accepts says whether the server at the address accepts the user.
func accepts(nas *radiustest.NAS, address, name, password string) bool {
	return nas.Exchange(address, nas.PAP(name, password)).Code() == radius.AccessAccept
}

func TestDisabledOnOneNodeIsRefusedOnAll(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	a.addUser("alice", "looking-glass")
	nodes := []*server{a.start(), b.start()}
	nas := faultNAS(t)
	for _, site := range []*faultSite{a, b} {
		require.True(t, accepts(nas, site.auth, "alice", "looking-glass"))
	}
	b.do("user", "set", "alice", "--status", "disabled")
	for _, site := range []*faultSite{a, b} {
		require.Eventually(t, func() bool { return !accepts(nas, site.auth, "alice", "looking-glass") }, patience, 10*time.Millisecond)
	}
	// A new secret of the NAS reaches both as well.
	a.do("user", "set", "alice", "--status", "active")
	_, errs, code := a.run("other-secret\n", "nas", "set", "127.0.0.1", "--secret-stdin")
	require.Zero(t, code, errs)
	nas.Secret = []byte("other-secret")
	for _, site := range []*faultSite{a, b} {
		require.Eventually(t, func() bool {
			nas.Send(site.auth, nas.Sign(nas.PAP("alice", "looking-glass")))
			return nas.Receive(100*time.Millisecond) != nil
		}, patience, time.Millisecond)
	}
	// A NAS that is removed gets no answer from either any more.
	a.do("nas", "delete", "127.0.0.1", "--yes")
	for _, site := range []*faultSite{a, b} {
		require.Eventually(t, func() bool {
			nas.Send(site.auth, nas.Sign(nas.PAP("alice", "looking-glass")))
			return nas.Receive(100*time.Millisecond) == nil
		}, patience, time.Millisecond)
	}
	for _, node := range nodes {
		require.Zero(t, node.terminate(), node.logged())
	}
}

func TestAccountingThroughTwoNodes(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	a.addUser("load1", "looking-glass")
	nodes := []*server{a.start(), b.start()}
	db := a.database()

	// The same users through both, and one NAS that changes its mind all the time.
	loads := []*load{a.accounting("--sessions", "300"), b.accounting("--sessions", "300")}
	nas := faultNAS(t)
	answered := func(site *faultSite, m *radius.Message) {
		t.Helper()
		require.Equal(t, radius.AccountingResponse, nas.Exchange(site.acct, m).Code())
	}
	accept := nas.Exchange(a.auth, nas.PAP("load1", "looking-glass"))
	require.Equal(t, radius.AccessAccept, accept.Code())
	// The NAS has booted, and only one of them knows.
	answered(a, nas.On())
	acks := []acknowledged{{session: "00000000", status: "on"}}
	for i := range 60 {
		first, second := a, b
		if i%2 == 1 {
			first, second = b, a
		}
		s := nas.Session(fmt.Sprintf("load%d", i%3+1), fmt.Sprintf("wanderer-%d", i))
		s.CallingStationID = fmt.Sprintf("02-00-00-00-00-%02d", i)
		s.EventTime = time.Now()
		if i == 0 { // the others come without a Class
			s.Accepted(accept)
		}
		answered(first, s.Start())
		answered(second, s.Interim(radiustest.Usage{Input: 10, Output: 100}))
		answered(first, s.Interim(radiustest.Usage{Input: 20, Output: 200}))
		answered(second, s.Stop(radiustest.Usage{Input: 30, Output: 300}, 1))
		answered(first, s.Stop(radiustest.Usage{Input: 30, Output: 300}, 1)) // whose answer was lost
		for j, status := range []string{"start", "interim", "interim", "stop"} {
			acks = append(acks, acknowledged{session: s.ID, status: status, username: s.User, input: int64(10 * j), output: int64(100 * j)})
		}
	}
	for _, load := range loads {
		acks = append(acks, load.finish()...)
	}
	awaitStored(t, db, acks)
	for _, node := range nodes {
		require.Zero(t, node.terminate(), node.logged())
		require.NotContains(t, node.logged(), "held up")
	}
	require.Zero(t, deadlocks(t, db))
	requireExactlyOnce(t, db, acks)
}

func deadlocks(t *testing.T, db *sql.DB) int64 {
	return number(t, db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}
