package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
)

// TestFailoverToAPromotedStandby: Postgres replicates asynchronously, the primary
// dies, and the standby that takes its place lacks the last transactions. Every
// record that was acknowledged is in the new primary once, whichever side of the
// cut it was on, sessions and usage are right, and the directory is the new one's.
func TestFailoverToAPromotedStandby(t *testing.T) {
	t.Parallel()
	primary := testserver.NewPostgresServer(t)
	standby := primary.Standby(t)
	f := newFaultSite(t, bothHosts(t, primary, standby), "")
	f.addUser("alice", "looking-glass")
	f.addUser("mallory", "looking-glass")
	f.addUser("carol", "looking-glass")
	server := f.start()
	require.True(t, f.login("mallory", "looking-glass"))
	f.do("user", "set", "mallory", "--status", "disabled")
	require.Eventually(t, func() bool { return !f.login("mallory", "looking-glass") }, patience, 20*time.Millisecond)

	load := f.accounting("--rate", "800", "--duration", "20s")
	f.storeURL = primary.URL()
	db := f.database()
	stored := func() int64 { return number(t, db, "SELECT count(*) FROM accounting_records") }
	require.Eventually(t, func() bool { return stored() > 1000 }, patience, 20*time.Millisecond)
	standby.CaughtUp(primary)
	standby.CutOff()
	kept := stored()
	// What the standby never hears of: records, and that carol was disabled.
	f.do("user", "set", "carol", "--status", "disabled")
	require.Eventually(t, func() bool { return !f.login("carol", "looking-glass") }, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool { return stored() > kept+1000 }, patience, 20*time.Millisecond)

	primary.Crash()
	server.logs("accounting is held up")
	require.True(t, f.login("alice", "looking-glass"), "authentication goes on without the store")
	require.False(t, f.login("mallory", "looking-glass"))
	nas := faultNAS(t)
	require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, nas.Session("alice", "between").Start()).Code())
	standby.Promote()
	server.logs("not where it was left") // it finds the new primary
	require.False(t, f.login("mallory", "looking-glass"), "who was disabled before the failover stays so")

	// The directory is what the new primary has: what it lost is gone, and what is new
	// there is seen, although it gives out numbers a second time.
	server.logs("directory loaded")
	f.do("user", "add", "dora", "--password", "looking-glass")
	require.Eventually(t, func() bool { return f.login("dora", "looking-glass") }, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool { return f.login("carol", "looking-glass") }, patience, 20*time.Millisecond,
		"the store has forgotten that carol was disabled")
	f.do("user", "set", "carol", "--status", "disabled")
	require.Eventually(t, func() bool { return !f.login("carol", "looking-glass") }, patience, 20*time.Millisecond)
	require.False(t, f.login("mallory", "looking-glass"))

	acks := append(load.finish(), acknowledged{session: "between", status: "start", username: "alice"})
	f.storeURL = standby.URL()
	db = f.database()
	awaitStored(t, db, acks)
	_, metrics := server.get("/metrics")
	require.Contains(t, metrics, `radiusd_ingest_rewinds_total{sink="sql"} 1`)
	require.Contains(t, metrics, "radiusd_ingest_gaps_total 0")
	require.Zero(t, server.terminate(), server.logged())
	require.GreaterOrEqual(t, strings.Count(server.logged(), "directory loaded"), 2)
	requireExactlyOnce(t, db, acks)
}

// bothHosts is the URL of a database that either of two servers has.
func bothHosts(t *testing.T, primary, standby *testserver.PostgresServer) string {
	t.Helper()
	first, err := url.Parse(primary.URL())
	require.NoError(t, err)
	second, err := url.Parse(standby.URL())
	require.NoError(t, err)
	return fmt.Sprintf("postgres://%s@%s,%s%s?%s&target_session_attrs=read-write", first.User, first.Host, second.Host, first.Path, first.RawQuery)
}
