package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// actedOn decodes what a command that acts on sessions has written.
func actedOn(t *testing.T, out string) (rows []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(out), &rows), out)
	return rows
}

// TestSessionsAreDisconnected has sessions that came by accounting ended by their
// NAS, which tells so by its Stops, while the server runs.
func TestSessionsAreDisconnected(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, site *site) {
		var mu sync.Mutex
		stop := func(string) {}
		port := radiustest.NewDynamic(t, "127.0.0.1", func(p radius.Packet) radiustest.DynamicAnswer {
			id, _ := p.Attributes().String(radius.TypeAcctSessionID)
			switch {
			case id == "0003":
				return radiustest.NAK(503)
			case p.Code() == radius.CoARequest:
				return radiustest.ACK()
			}
			return radiustest.ACK().Twice().Then(func() {
				mu.Lock()
				defer mu.Unlock()
				stop(id)
			})
		})
		site.do("migrate", "up")
		site.do("nas", "add", "127.0.0.0/8", "--secret", radiustest.Secret, "--vendor", "mikrotik",
			"--coa-port", fmt.Sprint(netip.MustParseAddrPort(port.Addr).Port()))
		server := site.start()
		nas := radiustest.NewNAS(t, "127.0.0.1")
		sessions := map[string]*radiustest.Session{}
		for i := range 6 {
			id := fmt.Sprintf("%04d", i)
			s := nas.Session("alice", id)
			s.EventTime = time.Now().Add(-time.Minute)
			sessions[id] = s
			nas.Exchange(server.acct[0], s.Start())
		}
		mu.Lock()
		stop = func(id string) {
			s := sessions[id]
			s.EventTime = time.Now()
			stopper := radiustest.NewNAS(t, "127.0.0.1")
			s.NAS = stopper
			stopper.Exchange(server.acct[0], s.Stop(radiustest.Usage{Time: time.Minute, Input: 1, Output: 2}, 6))
		}
		mu.Unlock() // from here on the sessions are the NAS's, too
		require.Eventually(t, func() bool { return len(site.rows("session", "list", "--online")) == 6 }, patience, 50*time.Millisecond)

		rows := actedOn(t, site.do("session", "disconnect", "0000", "--stop-wait", patience.String(), "-o", "json"))
		require.Len(t, rows, 1)
		assert.Equal(t, "acknowledged", rows[0]["state"])
		assert.NotNil(t, rows[0]["stopped_at"], "the Stop came")
		shown := site.do("session", "show", rows[0]["session_id"].(string))
		assert.Contains(t, shown, "Admin-Reset")

		rows = actedOn(t, site.do("session", "coa", "0001", "--attribute", "Mikrotik-Rate-Limit := 1M/2M", "-o", "json"))
		assert.Equal(t, "acknowledged", rows[0]["state"])
		assert.Nil(t, rows[0]["stopped_at"])

		rows = actedOn(t, site.do("session", "disconnect", "--user", "alice", "--yes", "--rate", "20", "--stop-wait", patience.String(), "-o", "json"))
		states := map[any]int{}
		for _, row := range rows {
			states[row["state"]]++
		}
		assert.Equal(t, map[any]int{"acknowledged": 4, "gone": 1}, states)
		require.Eventually(t, func() bool { return len(site.rows("session", "list", "--online")) == 0 }, patience, 50*time.Millisecond)
		for _, row := range site.rows("session", "list") {
			if row["acct_session_id"] == "0003" {
				assert.Equal(t, "Lost-Service", row["terminate_cause"], "its NAS did not know it")
				assert.Equal(t, true, row["stop_inferred"])
			} else {
				assert.Equal(t, "Admin-Reset", row["terminate_cause"])
			}
		}
		// The server has heard that 0003 is gone, whoever was told.
		require.Eventually(t, func() bool {
			_, metrics := server.get("/metrics")
			return strings.Contains(metrics, "\nradiusd_sessions_open 0\n")
		}, patience, 50*time.Millisecond)
		assert.Len(t, site.rows("session", "actions"), 7)
		require.Zero(t, server.terminate())
	})
}

// TestBatchGoesOnWithoutItsCommand kills the command in the middle of a batch: the
// server, when it runs, finishes it, and every session was asked for.
func TestBatchGoesOnWithoutItsCommand(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, site *site) {
		const count = 40
		var mu sync.Mutex
		asked := map[string]int{}
		port := radiustest.NewDynamic(t, "127.0.0.1", func(p radius.Packet) radiustest.DynamicAnswer {
			mu.Lock()
			defer mu.Unlock()
			id, _ := p.Attributes().String(radius.TypeAcctSessionID)
			asked[id]++
			return radiustest.ACK()
		})
		seen := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(asked)
		}
		site.do("migrate", "up")
		site.do("nas", "add", "127.0.0.0/8", "--secret", radiustest.Secret, "--coa-port", fmt.Sprint(netip.MustParseAddrPort(port.Addr).Port()))
		server := site.start()
		nas := radiustest.NewNAS(t, "127.0.0.1")
		for i := range count {
			nas.Exchange(server.acct[0], nas.Session("alice", fmt.Sprintf("%04d", i)).Start())
		}
		require.Eventually(t, func() bool { return len(site.rows("session", "list", "--online")) == count }, patience, 50*time.Millisecond)
		require.Zero(t, server.terminate())

		command := exec.Command(binary, "session", "disconnect", "--all-online", "--yes", "--rate", "4", "--config", site.config)
		require.NoError(t, command.Start())
		require.Eventually(t, func() bool { return seen() >= 3 }, patience, 5*time.Millisecond)
		require.NoError(t, command.Process.Kill())
		_ = command.Wait()
		require.Less(t, seen(), count)

		server = site.start()
		// What the command had leased and not sent waits for the lease to be over, a minute.
		require.Eventually(t, func() bool { return seen() == count }, time.Minute+2*patience, 50*time.Millisecond)
		// What the command had sent and not recorded, if anything, is asked for again
		// when its lease is over: a minute, so here only what is certain. An outcome is
		// recorded after its answer, so it may be seen later.
		states := map[any]int{}
		require.Eventually(t, func() bool {
			clear(states)
			for _, row := range site.rows("session", "actions") {
				states[row["state"]]++
			}
			return states["acknowledged"] >= count-5
		}, patience, 50*time.Millisecond, "%v", states)
		assert.Equal(t, count, states["acknowledged"]+states["sent"], "%v", states)
		require.Zero(t, server.terminate())
	})
}
