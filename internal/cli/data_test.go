package cli

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
	"radiusd/store"
)

// open opens the site's store as the server does.
func (s *site) open() *store.Store {
	s.t.Helper()
	a := &app{environ: s.environ}
	c, err := a.loadConfig()
	require.NoError(s.t, err)
	nodeID, err := openNodeID(c)
	require.NoError(s.t, err)
	opened, err := openStore(s.t.Context(), c, nodeID, true, slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { opened.Close() })
	return opened
}

func TestUsers(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home", "--rate-down", "50M")
		s.ok("group", "add", "staff", "--reply", "Session-Timeout := 3600")
		assert.Equal(t, "user alice added\n", s.ok("user", "add", "alice", "--password", "s3cret", "--plan", "home",
			"--group", "staff:10", "--expires", "2030-12-31", "--simultaneous-use", "2", "--full-name", "Alice A", "--email", "a@example.org",
			"--check", "Calling-Station-Id == 02-00-00-00-00-01", "--reply", "Framed-IP-Address := 192.0.2.7"))
		assert.Equal(t, `user "alice": exists already`, s.fails(exitFailed, "user", "add", "alice", "--password", "x"))

		alice := s.object("user", "show", "alice")
		for key, want := range map[string]any{
			"username": "alice", "status": "active", "plan": "home", "expires_at": "2031-01-01T00:00:00Z", "credential": "cleartext",
			"groups": []any{"staff:10"}, "simultaneous_use": 2.0, "full_name": "Alice A", "email": "a@example.org", "phone": "",
			"check_items": []any{"Calling-Station-Id == 02-00-00-00-00-01"}, "reply_items": []any{"Framed-IP-Address := 192.0.2.7"},
			"open_sessions": []any{}, "last_decisions": []any{},
		} {
			assert.Equal(t, want, alice[key], key)
		}

		// set changes what is given, and nothing else.
		s.ok("user", "set", "alice", "--status", "suspended", "--add-reply", "Idle-Timeout := 600", "--phone", "+43 1")
		alice = s.object("user", "show", "alice")
		assert.Equal(t, "suspended", alice["status"])
		assert.Equal(t, "home", alice["plan"])
		assert.Equal(t, "Alice A", alice["full_name"])
		assert.Equal(t, "+43 1", alice["phone"])
		assert.Equal(t, []any{"Framed-IP-Address := 192.0.2.7", "Idle-Timeout := 600"}, alice["reply_items"])
		s.ok("user", "set", "alice", "--plan", "none", "--expires", "never", "--clear-groups", "--clear-check", "--reply", "Class = 0x00", "--rename", "alicia")
		alice = s.object("user", "show", "alicia")
		assert.Equal(t, "", alice["plan"])
		assert.Nil(t, alice["expires_at"])
		assert.Equal(t, []any{}, alice["groups"])
		assert.Equal(t, []any{}, alice["check_items"])
		assert.Equal(t, []any{"Class = 0x00"}, alice["reply_items"])

		assert.Equal(t, "user 02:00:00:00:00:0a added\n", s.ok("user", "add", "0200.0000.000A", "--mac"))
		assert.Equal(t, "mac", s.object("user", "show", "02:00:00:00:00:0a")["credential"])
		assert.Equal(t, `user "alica": not found: did you mean alicia`, s.fails(exitFailed, "user", "show", "alica"))
		assert.Equal(t, `user "alica": not found: did you mean alicia`, s.fails(exitFailed, "user", "set", "alica", "--status", "active"))
		assert.Equal(t, `user "alica": not found: did you mean alicia`, s.fails(exitFailed, "user", "delete", "alica", "--yes"))
		assert.Equal(t, `plan "hme": not found: did you mean home`, s.fails(exitFailed, "user", "set", "alicia", "--plan", "hme"))
		assert.Equal(t, `group "stf": not found`, s.fails(exitFailed, "user", "set", "alicia", "--group", "stf"))
		assert.Contains(t, s.fails(exitUsage, "user", "delete", "alicia"), "--yes")
		assert.Equal(t, "user alicia deleted\n", s.ok("user", "delete", "alicia", "--yes"))
		assert.Equal(t, `user "alicia": not found`, s.fails(exitFailed, "user", "show", "alicia"))
	})
}

func TestHashes(t *testing.T) {
	s := newSite(t, "")
	for hash, want := range map[string]aaa.Scheme{
		"cleartext": aaa.SchemeCleartext, "nt": aaa.SchemeNTHash, "argon2id": aaa.SchemeHash, "bcrypt": aaa.SchemeHash,
	} {
		r := s.runWith("s3cret\n", "user", "add", hash, "--password-stdin", "--hash", hash)
		require.Zero(t, r.code, r.err)
		assert.NotContains(t, r.out+r.err, "s3cret")
		user, err := s.open().UserByName(t.Context(), hash)
		require.NoError(t, err)
		assert.Equal(t, want, user.Credential.Scheme, hash)
		assert.NoError(t, user.Credential.Validate())
		if hash != "cleartext" {
			assert.NotContains(t, string(user.Credential.Secret), "s3cret")
		}
	}
	s.ok("user", "add", "imported", "--password-hash", "{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr")
	assert.Contains(t, s.fails(exitUsage, "user", "add", "long", "--hash", "bcrypt", "--password", strings.Repeat("x", 73)), "72 octets")
	assert.Contains(t, s.fails(exitUsage, "user", "add", "long", "--password", strings.Repeat("x", 129)), "128 octets")
}

func TestUserList(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		for _, name := range []string{"carol", "alice", "bob", "=evil()"} {
			s.ok("user", "add", name, "--password", "x", "--plan", "home")
		}
		s.ok("user", "set", "bob", "--status", "disabled", "--plan", "none")
		list := func(args ...string) (names []any) {
			for _, row := range s.rows(append([]string{"user", "list"}, args...)...) {
				names = append(names, row["username"])
			}
			return names
		}
		assert.ElementsMatch(t, []any{"=evil()", "alice", "bob", "carol"}, list())
		assert.Equal(t, []any{"bob"}, list("--status", "disabled"))
		assert.Equal(t, []any{"carol"}, list("car"))
		assert.Len(t, list("--plan", "home"), 3)
		assert.Len(t, list("--limit", "2"), 2)
		assert.Contains(t, s.ok("user", "list", "-o", "csv"), "\n'=evil(),active,home,", "no formula")
		assert.Equal(t, `plan "homes": not found: did you mean home`, s.fails(exitFailed, "user", "list", "--plan", "homes"))
		table := s.ok("user", "list", "alice")
		assert.Equal(t, []string{"USERNAME", "STATUS", "PLAN", "EXPIRES", "AT", "CREDENTIAL", "GROUPS", "alice", "active", "home", "-", "cleartext", "-"}, strings.Fields(table))
	})
}

func TestPlans(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home", "--rate-up", "10M", "--rate-down", "50M", "--burst-down", "100M", "--burst-threshold-down", "40M", "--burst-time", "10s",
			"--quota", "100GB", "--quota-time", "30h", "--period", "month", "--session-timeout", "12h", "--idle-timeout", "10m",
			"--interim-interval", "5m", "--simultaneous-use", "1", "--login-hours", "Wk0800-1800", "--allowed-methods", "pap,chap",
			"--address-pool", "pool1", "--filter-id", "std", "--policy-down", "gold", "--ipv6-pool", "p6", "--delegated-ipv6-pool", "pd",
			"--address-list", "vip", "--reply", "Reply-Message := hello")
		home := s.object("plan", "show", "home")
		for key, want := range map[string]any{
			"name": "home", "rate_up": 10e6, "rate_down": 50e6, "burst_down": 100e6, "burst_threshold_down": 40e6, "burst_time": 10.0,
			"quota_octets": 100e9, "quota_seconds": 108000.0, "quota_period": "month", "session_timeout": 43200.0, "idle_timeout": 600.0,
			"interim_interval": 300.0, "simultaneous_use": 1.0, "login_hours": "Wk0800-1800", "allowed_methods": "pap,chap",
			"address_pool": "pool1", "filter_id": "std", "policy_down": "gold", "ipv6_pool": "p6", "delegated_ipv6_pool": "pd",
			"address_list": "vip", "reply_items": []any{"Reply-Message := hello"},
		} {
			assert.Equal(t, want, home[key], key)
		}
		s.ok("plan", "set", "home", "--quota", "none", "--rate-down", "100M", "--login-hours", "none", "--rename", "fiber")
		fiber := s.object("plan", "show", "fiber")
		assert.Equal(t, 0.0, fiber["quota_octets"])
		assert.Equal(t, 100e6, fiber["rate_down"])
		assert.Equal(t, 10e6, fiber["rate_up"])
		assert.Equal(t, "", fiber["login_hours"])
		assert.Len(t, s.rows("plan", "list"), 1)
		assert.Equal(t, `plan "fibre": not found: did you mean fiber`, s.fails(exitFailed, "plan", "show", "fibre"))
		assert.Equal(t, `plan "fiber": exists already`, s.fails(exitFailed, "plan", "add", "fiber"))
		assert.Contains(t, s.fails(exitUsage, "plan", "set", "fiber", "--ipv6-pool", "pd"), "must differ")

		s.ok("user", "add", "alice", "--password", "x", "--plan", "fiber")
		assert.Contains(t, s.fails(exitFailed, "plan", "delete", "fiber", "--yes"), "is in use")
		s.ok("user", "delete", "alice", "--yes")
		s.ok("plan", "delete", "fiber", "--yes")
		assert.Empty(t, s.rows("plan", "list"))
	})
}

func TestGroups(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("group", "add", "staff", "--check", "Service-Type == Framed-User")
		s.ok("group", "set", "staff", "--reply", "Session-Timeout := 60", "--add-reply", "Idle-Timeout := 30", "--rename", "crew")
		crew := s.object("group", "show", "crew")
		assert.Equal(t, []any{"Service-Type == Framed-User"}, crew["check_items"])
		assert.Equal(t, []any{"Session-Timeout := 60", "Idle-Timeout := 30"}, crew["reply_items"])
		s.ok("group", "set", "crew", "--clear-check")
		assert.Equal(t, []any{}, s.rows("group", "list")[0]["check_items"])
		s.ok("user", "add", "alice", "--password", "x", "--group", "crew")
		assert.Contains(t, s.fails(exitFailed, "group", "delete", "crew", "--yes"), "is in use")
		assert.Equal(t, `group "crw": not found: did you mean crew`, s.fails(exitFailed, "group", "delete", "crw", "--yes"))
		assert.Contains(t, s.fails(exitUsage, "group", "add", "x", "--reply", "Session-Timeout := soon"), "Session-Timeout")
		s.ok("user", "delete", "alice", "--yes")
		s.ok("group", "delete", "crew", "--yes")
	})
}

func TestNASes(t *testing.T) {
	const secret = "a long and secret text"
	engines(t, func(t *testing.T, s *site) {
		r := s.runWith(secret+"\n", "nas", "add", "192.0.2.1", "--secret-stdin", "--name", "bras1", "--vendor", "mikrotik", "--coa-port", "1700")
		require.Zero(t, r.code, r.err)
		s.ok("nas", "add", "2001:db8:1::/48", "--secret", secret, "--require-message-authenticator", "no", "--limit-proxy-state=false")
		assert.Equal(t, `NAS "192.0.2.1": exists already`, s.fails(exitFailed, "nas", "add", "192.0.2.1/32", "--secret", secret))

		bras1 := s.object("nas", "show", "192.0.2.1")
		for key, want := range map[string]any{"address": "192.0.2.1", "name": "bras1", "vendor": "mikrotik", "coa_port": 1700.0,
			"require_message_authenticator": "yes", "limit_proxy_state": true, "has_previous_secret": false} {
			assert.Equal(t, want, bras1[key], key)
		}
		rows := s.rows("nas", "list")
		require.Len(t, rows, 2)
		assert.Equal(t, "2001:db8:1::/48", rows[1]["address"])
		assert.Equal(t, false, rows[1]["limit_proxy_state"])
		for _, out := range []string{s.ok("nas", "list"), s.ok("nas", "list", "-o", "json"), s.ok("nas", "show", "bras1", "-o", "csv")} {
			assert.NotContains(t, out, secret)
		}

		s.ok("nas", "set", "bras1", "--secret", "another long and secret text", "--keep-old")
		nas, err := s.open().NASByName(t.Context(), "bras1")
		require.NoError(t, err)
		assert.Equal(t, "another long and secret text", string(nas.Secret))
		assert.Equal(t, secret, string(nas.PreviousSecret))
		assert.Equal(t, true, s.object("nas", "show", "bras1")["has_previous_secret"])
		s.ok("nas", "set", "192.0.2.1", "--forget-old", "--vendor", "none", "--require-message-authenticator", "auto")
		bras1 = s.object("nas", "show", "bras1")
		assert.Equal(t, false, bras1["has_previous_secret"])
		assert.Equal(t, "", bras1["vendor"])
		assert.Equal(t, "auto", bras1["require_message_authenticator"])

		r = s.run("nas", "set", "bras1", "--secret", "short")
		assert.Zero(t, r.code)
		assert.Contains(t, r.err, "warning: a shared secret of less than 16 characters")
		assert.Equal(t, `NAS "bras": not found: did you mean bras1`, s.fails(exitFailed, "nas", "show", "bras"))
		assert.Equal(t, `NAS "192.0.2.2": not found: did you mean 192.0.2.1`, s.fails(exitFailed, "nas", "delete", "192.0.2.2", "--yes"))
		assert.Equal(t, "NAS bras1 deleted\n", s.ok("nas", "delete", "bras1", "--yes"))
		assert.Len(t, s.rows("nas", "list"), 1)
	})
}

func TestPostgresWantsMigration(t *testing.T) {
	t.Parallel()
	s := newSite(t, testserver.Postgres(t))
	assert.Contains(t, s.run("user", "list").err, "run radiusd migrate up")
	steps := s.rows("migrate", "status")
	require.NotEmpty(t, steps)
	assert.Equal(t, "pending", steps[0]["state"])
	assert.Contains(t, s.ok("migrate", "up"), "applied 1 ")
	assert.Equal(t, "the schema is up to date\n", s.ok("migrate", "up"))
	for _, step := range s.rows("migrate", "status") {
		assert.Equal(t, "applied", step["state"])
		assert.NotNil(t, step["applied_at"])
	}
	s.ok("user", "add", "alice", "--password", "x")

	// Another machine without the master key gets a clear word, and no new key
	// that would be taken for the right one.
	other := newSite(t, "")
	other.environ[2] = s.environ[2]
	r := other.run("user", "list")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "this database needs the one it was begun with")
	assert.NoFileExists(t, filepath.Join(other.dir, "data", masterKeyFile))
}

func TestUnreachablePostgres(t *testing.T) {
	s := newSite(t, "postgres://radiusd:hunter2@127.0.0.1:1/radiusd")
	r := s.run("user", "list")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "cannot be reached")
	assert.NotContains(t, r.err, "hunter2")
}

// record is an accounting record of a session of alice on 127.0.0.1.
func record(session string, status aaa.AcctStatus, at time.Time, seconds, octets uint64) aaa.Record {
	r := aaa.Record{
		Status: status, AcctSessionID: session, Username: "alice", NASAddr: netip.MustParseAddr("127.0.0.1"), NASIdentifier: "bras",
		FramedIP: netip.MustParseAddr("192.0.2.7"), CallingStationID: "02-00-00-00-00-01", EventTime: at, ReceivedAt: at,
	}
	if status != aaa.AcctStart {
		r.HasSeconds, r.HasOctets, r.SessionSeconds, r.InputOctets, r.OutputOctets = true, true, seconds, octets, 10*octets
	}
	if status == aaa.AcctStop {
		r.TerminateCause = "User-Request"
	}
	aaa.NewResolver().Resolve(&r)
	return r
}

func TestSessions(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		opened := s.open()
		sink, err := opened.NewSink()
		require.NoError(t, err)
		now := time.Now().UTC().Truncate(time.Second)
		require.NoError(t, sink.Write(t.Context(), &ingest.Batch{End: 8, Records: []aaa.Record{
			record("1", aaa.AcctStart, now.Add(-2*time.Hour), 0, 0),
			record("1", aaa.AcctStop, now.Add(-time.Hour), 3600, 1000),
			record("2", aaa.AcctStart, now.Add(-time.Minute), 0, 0),
			record("2", aaa.AcctInterim, now, 60, 5_000_000_000),
		}}))
		require.NoError(t, opened.AppendAuthRecords(t.Context(), aaa.NewAuthBatch([]aaa.AuthRecord{{
			ID: uuid.Must(uuid.NewV7()), At: now, Username: "alice", Reason: aaa.ReasonExpired, Detail: "since yesterday",
			Method: aaa.MethodCHAP, NASAddr: netip.MustParseAddr("127.0.0.1"),
		}, {
			ID: uuid.Must(uuid.NewV7()), At: now, Username: "nobody", Reason: aaa.ReasonUnknownUser, Method: aaa.MethodPAP,
		}}...)))
		s.ok("user", "add", "alice", "--password", "x")

		all := s.rows("session", "list")
		require.Len(t, all, 2)
		assert.Equal(t, "2", all[0]["acct_session_id"], "the latest first")
		open := s.rows("session", "list", "--online")
		require.Len(t, open, 1)
		assert.Equal(t, 5e9, open[0]["input_octets"])
		assert.Equal(t, "127.0.0.1", open[0]["nas_ip"])
		assert.Nil(t, open[0]["stopped_at"])
		assert.Empty(t, s.rows("session", "list", "--user", "bob"))
		assert.Len(t, s.rows("session", "list", "--nas", "127.0.0.1", "--limit", "1"), 1)
		assert.Len(t, s.rows("session", "list", "--from", now.Add(-90*time.Minute).Format(time.RFC3339)), 1)
		assert.Contains(t, s.fails(exitUsage, "session", "list", "--before", "today"), "--before")

		shown := s.object("session", "show", "2")
		assert.Equal(t, open[0]["id"], shown["id"])
		assert.Len(t, shown["records"], 2)
		table := s.ok("session", "show", all[1]["id"].(string))
		assert.Contains(t, table, "User-Request")
		assert.Contains(t, table, "records:\nEVENT TIME")
		assert.Contains(t, s.fails(exitFailed, "session", "show", "nope"), `session "nope": not found`)
		assert.Contains(t, s.fails(exitFailed, "session", "show", uuid.Nil.String()), "not found")

		user := s.ok("user", "show", "alice")
		assert.Contains(t, user, "open sessions:")
		assert.Regexp(t, `reject +expired +since yesterday +chap +127\.0\.0\.1`, user)
		decisions := s.object("user", "show", "alice")["last_decisions"].([]any)
		assert.Equal(t, "expired", decisions[0].(map[string]any)["reason"])
		r := s.run("user", "show", "nobody")
		assert.Equal(t, exitFailed, r.code)
		assert.Contains(t, r.out, "unknown_user", "somebody tries that name: show it")

		testDisconnect(t, s, all[1]["id"].(string))
	})
}

// testDisconnect has the session 2 of a NAS on loopback disconnected and changed.
func testDisconnect(t *testing.T, s *site, ended string) {
	var answer atomic.Value
	answer.Store(radiustest.ACK())
	port := radiustest.NewDynamic(t, "127.0.0.1", func(radius.Packet) radiustest.DynamicAnswer {
		return answer.Load().(radiustest.DynamicAnswer)
	})
	// act runs a command about one session that must end with the code, and returns
	// its row.
	act := func(code int, args ...string) map[string]any {
		t.Helper()
		r := s.run(append(append([]string{"session"}, args...), "-o", "json")...)
		require.Equal(t, code, r.code, r.err)
		var rows []map[string]any
		require.NoError(t, json.Unmarshal([]byte(r.out), &rows))
		require.Len(t, rows, 1)
		return rows[0]
	}
	assert.Contains(t, s.fails(exitFailed, "session", "disconnect", ended), "has ended already")
	row := act(exitFailed, "disconnect", "2")
	assert.Equal(t, "failed", row["state"])
	assert.Contains(t, row["detail"], "no NAS with the address 127.0.0.1")
	s.ok("nas", "add", "127.0.0.0/8", "--secret", radiustest.Secret, "--coa-port", netip.MustParseAddrPort(port.Addr).String()[len("127.0.0.1:"):])

	row = act(exitOK, "disconnect", "2", "--stop-wait", "0")
	assert.Equal(t, "acknowledged", row["state"])
	assert.Equal(t, "disconnect", row["kind"])
	assert.Equal(t, 1.0, row["attempts"])
	assert.Nil(t, row["stopped_at"])
	assert.NotEmpty(t, row["actor"])
	request := <-port.Requests
	assert.True(t, request.Verified)
	attributes := request.Packet.Attributes()
	assert.Equal(t, radius.DisconnectRequest, request.Packet.Code())
	for typ, want := range map[radius.Type]string{
		radius.TypeAcctSessionID: "2", radius.TypeUserName: "alice", radius.TypeCallingStationID: "02-00-00-00-00-01",
	} {
		got, _ := attributes.String(typ)
		assert.Equal(t, want, got, typ)
	}
	framed, _ := attributes.Addr(radius.TypeFramedIPAddress)
	assert.Equal(t, "192.0.2.7", framed.String())
	assert.False(t, attributes.Has(radius.TypeNASIPAddress), "no proxy is in between")
	assert.True(t, attributes.Has(radius.TypeEventTimestamp))
	assert.True(t, attributes.Has(radius.TypeMessageAuthenticator))

	s.ok("plan", "add", "slow", "--session-timeout", "10m")
	row = act(exitOK, "coa", "2", "--attribute", "Session-Timeout := 600", "--attribute", "Idle-Timeout := 60")
	assert.Equal(t, []any{"Session-Timeout := 600", "Idle-Timeout := 60"}, row["attributes"])
	request = <-port.Requests
	assert.Equal(t, radius.CoARequest, request.Packet.Code())
	seconds, _ := request.Packet.Attributes().Uint32(radius.TypeSessionTimeout)
	assert.Equal(t, uint32(600), seconds)
	row = act(exitOK, "coa", "--user", "alice", "--plan", "slow", "--yes")
	assert.Equal(t, []any{"Session-Timeout += 600"}, row["attributes"])
	<-port.Requests
	s.run("user", "add", "alice", "--password", "wonderland") // if the test has not made her
	r := s.run("user", "set", "alice", "--plan", "slow")
	require.Zero(t, r.code, r.err)
	assert.Contains(t, r.err, "radiusd user set alice --apply")
	assert.NotContains(t, s.run("user", "set", "alice", "--full-name", "Alice").err, "--apply", "no session would notice")
	out := s.ok("user", "set", "alice", "--apply")
	assert.Contains(t, out, "1 change was asked for: 1 acknowledged; see radiusd session actions --batch ")
	request = <-port.Requests
	assert.Equal(t, radius.CoARequest, request.Packet.Code())
	seconds, _ = request.Packet.Attributes().Uint32(radius.TypeSessionTimeout)
	assert.Equal(t, uint32(600), seconds)
	assert.Contains(t, s.ok("user", "set", "alice", "--plan", "none", "--apply"), "1 acknowledged")
	assert.Equal(t, radius.DisconnectRequest, (<-port.Requests).Packet.Code(), "no CoA-Request takes an attribute away")
	assert.Contains(t, s.ok("user", "set", "alice", "--apply"), "no open session needs a change")
	s.ok("plan", "add", "bare")
	assert.NotContains(t, s.run("user", "set", "alice", "--plan", "bare").err, "--apply", "it changes nothing in a session")
	for want, args := range map[string][]string{
		"either --attribute or --plan": {"2"},
		"identifies the session":       {"2", "--attribute", "Framed-IP-Address := 192.0.2.1"},
		"is not 'ATTRIBUTE OP VALUE'":  {"2", "--attribute", "Session-Timeout"},
		"want the ids of sessions":     {"--plan", "slow"},
		"--rate must not be negative":  {"2", "--plan", "slow", "--rate", "-1"},
		"Give --yes":                   {"--all-online", "--plan", "slow"},
		"--all-online goes without":    {"--all-online", "--user", "alice", "--plan", "slow"},
	} {
		assert.Contains(t, s.fails(exitUsage, append([]string{"session", "coa"}, args...)...), want)
	}
	assert.Contains(t, s.fails(exitFailed, "session", "coa", "2", "--plan", "nope"), "not found")

	answer.Store(radiustest.NAK(404))
	row = act(exitFailed, "disconnect", "2")
	assert.Equal(t, "refused", row["state"])
	assert.Equal(t, "Invalid-Request", row["error_cause"])
	answer.Store(radiustest.Silence())
	row = act(exitFailed, "disconnect", "--nas", "127.0.0.1", "--yes", "--timeout", "100ms")
	assert.Equal(t, "unanswered", row["state"])
	assert.Contains(t, row["detail"], "no answer from 127.0.0.1:")

	listed := s.rows("session", "actions")
	assert.Len(t, listed, 8)
	assert.Equal(t, row["id"], listed[0]["id"])
	assert.Len(t, s.rows("session", "actions", "--state", "failed,refused"), 2)
	assert.Len(t, s.rows("session", "actions", "--batch", row["batch_id"].(string)), 1)
	assert.Contains(t, s.fails(exitUsage, "session", "actions", "--state", "lost"), "--state")
	assert.Contains(t, s.fails(exitUsage, "session", "actions", "--batch", "7"), "is not an id")

	// What the NAS does not know has ended: it is closed, as if it had lapsed.
	answer.Store(radiustest.NAK(503))
	row = act(exitOK, "disconnect", "2")
	assert.Equal(t, "gone", row["state"])
	session := s.object("session", "show", row["session_id"].(string))
	assert.NotNil(t, session["stopped_at"])
	assert.Equal(t, true, session["stop_inferred"])
	assert.Equal(t, aaa.CauseLapsed, session["terminate_cause"])
	assert.Empty(t, s.rows("session", "disconnect", "--all-online", "--yes"), "none is open")
}

func TestCompletion(t *testing.T) {
	s := newSite(t, "")
	s.ok("plan", "add", "home")
	s.ok("group", "add", "staff")
	s.ok("user", "add", "alice", "--password", "x")
	s.ok("user", "add", "bob", "--password", "x")
	s.ok("nas", "add", "192.0.2.1", "--secret", "0123456789abcdef", "--name", "bras1")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"user", "show", ""}, []string{"alice", "bob"}},
		{[]string{"user", "delete", "al"}, []string{"alice"}},
		{[]string{"user", "delete", "alice", ""}, nil},
		{[]string{"user", "add", "x", "--plan", ""}, []string{"home"}},
		{[]string{"user", "set", "x", "--group", "st"}, []string{"staff"}},
		{[]string{"user", "set", "x", "--status", ""}, []string{"active", "disabled", "suspended"}},
		{[]string{"user", "set", "x", "--reply", "mikrotik-rate"}, []string{"Mikrotik-Rate-Limit"}},
		{[]string{"plan", "show", ""}, []string{"home"}},
		{[]string{"nas", "delete", ""}, []string{"bras1", "192.0.2.1"}},
		{[]string{"nas", "add", "192.0.2.2", "--vendor", "juni"}, []string{"juniper-erx"}},
		{[]string{"test", "auth", ""}, []string{"alice", "bob"}},
		{[]string{"test", "acct", "st"}, []string{"start", "stop"}},
		{[]string{"test", "auth", "alice", "x", "--method", ""}, passwordMethods},
		{[]string{"dictionary", "lookup", "User-P"}, []string{"User-Password"}},
		{[]string{"user", "list", "-o", ""}, []string{"table", "json", "csv"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			lines := strings.Split(strings.TrimSpace(s.ok(append([]string{"__complete"}, c.args...)...)), "\n")
			var words []string
			for _, line := range lines[:len(lines)-1] {
				word, _, _ := strings.Cut(line, "\t")
				if strings.HasPrefix(strings.ToLower(word), strings.ToLower(c.args[len(c.args)-1])) {
					words = append(words, word)
				}
			}
			for _, want := range c.want {
				assert.Contains(t, words, want)
			}
			if c.want == nil {
				assert.Empty(t, words)
			}
		})
	}
}
