package cli

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
)

// TestPolicyExplain follows docs/policy.md.
func TestPolicyExplain(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		const secret = "a long and secret text"
		s.ok("nas", "add", "192.0.2.0/24", "--secret", secret, "--name", "bras1", "--vendor", "mikrotik")
		s.ok("plan", "add", "home", "--rate-up", "10M", "--rate-down", "50M", "--simultaneous-use", "1", "--login-hours", "Al0600-2300",
			"--quota-time", "1h", "--period", "ever", "--address-pool", "pool1")
		s.ok("group", "add", "guests", "--check", "Called-Station-Id =~ guest", "--reply", "Mikrotik-Rate-Limit := 1M/2M")
		s.ok("user", "add", "alice", "--password", "wonder-pw", "--plan", "home", "--group", "guests", "--reply", "Tunnel-Password:1 := hidden-pw")

		explain := []string{"policy", "explain", "alice", "--nas", "192.0.2.7", "--at", "2026-12-01T22:00:00Z"}
		guest := append(explain, "--attribute", `Called-Station-Id = "guest-1"`)
		out := s.ok(guest...)
		assert.Regexp(t, `(?m)^login +accepted$`, out)
		assert.Regexp(t, `(?m)^check +group guests +Called-Station-Id =~ guest +holds: the request has Called-Station-Id = "guest-1"$`, out)
		assert.Regexp(t, `(?m)^reply +template mikrotik +Mikrotik-Rate-Limit = "10M/50M" +shut out by group guests$`, out)
		assert.Regexp(t, `(?m)^Mikrotik-Rate-Limit +"1M/2M" +group guests`, out)
		assert.Regexp(t, `(?m)^Session-Timeout +3600 +plan home +`, out)
		assert.Regexp(t, `(?m)^Tunnel-Password:1 +\(hidden\) +user`, out)
		got := s.object(guest...)
		assert.Equal(t, true, got["accepted"])
		assert.Equal(t, "mikrotik", got["template"])
		for _, text := range []string{out, fmt.Sprint(got)} {
			for _, hidden := range []string{secret, "wonder-pw", "hidden-pw"} {
				assert.NotContains(t, text, hidden)
			}
		}

		late := s.object("policy", "explain", "alice", "--nas", "bras1", "--at", "2026-12-01T23:30:00Z")
		assert.Equal(t, "outside_login_hours", late["reason"])
		assert.Empty(t, late["reply"])
		effective := s.object("policy", "explain", "alice", "--nas", "bras1", "--at", "2026-12-01T23:30:00Z", "--effective")
		assert.Equal(t, "outside_login_hours", effective["reason"])
		assert.NotEmpty(t, effective["reply"])

		// What the store has of sessions and usage counts.
		opened := s.open()
		sink, err := opened.NewSink()
		require.NoError(t, err)
		begin := time.Date(2026, 12, 1, 20, 0, 0, 0, time.UTC)
		start, interim := record("1", aaa.AcctStart, begin, 0, 0), record("1", aaa.AcctInterim, begin.Add(10*time.Minute), 600, 600)
		for _, r := range []*aaa.Record{&start, &interim} {
			r.Username = "alice"
			aaa.NewResolver().Resolve(r)
		}
		interim.SessionSeconds = 600
		require.NoError(t, sink.Write(t.Context(), &ingest.Batch{End: 8, Records: []aaa.Record{start, interim}}))
		busy := s.object(explain...)
		assert.Equal(t, "simultaneous_use", busy["reason"])
		steps, err := json.Marshal(busy["steps"])
		require.NoError(t, err)
		assert.Contains(t, string(steps), "1 open, limit 1")
		assert.Contains(t, string(steps), "600 of 3600 s used")

		r := s.runWith("looking-glass\n", append(explain, "--password-stdin", "-o", "json")...)
		require.Zero(t, r.code, r.err)
		assert.Contains(t, r.out, `"reason": "wrong_password"`)
		assert.NotContains(t, r.out, "looking-glass")

		assert.Equal(t, `user "alce": not found: did you mean alice`, s.fails(exitFailed, "policy", "explain", "alce"))
		assert.Contains(t, s.fails(exitFailed, "policy", "explain", "alice", "--nas", "198.51.100.1"), "no NAS has the address")
		assert.Contains(t, s.fails(exitUsage, "policy", "explain", "alice", "--attribute", "Nas-Prot = 3"), `--attribute "Nas-Prot = 3"`)
		assert.Contains(t, s.fails(exitUsage, "policy", "explain", "alice", "--method", "eap"), "--method")
		assert.Contains(t, s.fails(exitUsage, "policy", "explain", "alice", "--at", "soon"), "--at")
		assert.Contains(t, s.fails(exitUsage, "policy", "explain", "alice", "-o", "csv"), "table, json")

		s.ok("user", "add", "02:00:00:00:00:01", "--mac")
		device := s.object("policy", "explain", "02-00-00-00-00-01")
		assert.Equal(t, "mac", device["method"])
		assert.Equal(t, true, device["accepted"])
	})
}
