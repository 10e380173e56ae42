package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	secret   = "s3cr3t-of-the-nas"
	password = "correct horse"
)

// furnish adds a NAS on loopback and a user, by commands, before the server runs.
func (s *site) furnish() {
	s.t.Helper()
	s.do("migrate", "up")
	s.do("nas", "add", "127.0.0.1", "--secret", secret, "--name", "edge", "--require-message-authenticator", "no")
	s.do("nas", "add", "::1", "--secret", secret, "--name", "edge6", "--require-message-authenticator", "no")
	s.do("plan", "add", "home", "--rate-up", "10M", "--rate-down", "50M", "--session-timeout", "8h")
	s.do("user", "add", "alice", "--password", password, "--hash", "cleartext", "--plan", "home")
}

func acct(status string, more ...string) string {
	return strings.Join(append([]string{
		"Acct-Status-Type=" + status, "Acct-Session-Id=5A17", "User-Name=alice",
		"NAS-IP-Address=127.0.0.1", "NAS-Port=7", "Framed-IP-Address=10.0.0.9",
	}, more...), ",")
}

func TestAuthenticateAndAccountAcrossKill(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		s.furnish()
		v := s.start()

		out, ok := radclient(t, v.auth[0], "auth", secret, `User-Name=alice,User-Password="`+password+`"`)
		require.True(t, ok, out)
		require.Contains(t, out, "Received Access-Accept")
		require.Contains(t, out, "Session-Timeout = 28800")
		out, ok = radclient(t, v.auth[0], "auth", secret, "User-Name=alice,User-Password=wrong")
		require.False(t, ok, out)
		require.Contains(t, out, "Received Access-Reject")

		require.Eventually(t, func() bool {
			return strings.Contains(s.do("user", "show", "alice"), "wrong_password")
		}, patience, 50*time.Millisecond, "the last decisions are shown")

		started := time.Now().Add(-10 * time.Minute).Unix()
		steps := []string{
			acct("Start", fmt.Sprintf("Event-Timestamp=%d", started)),
			acct("Interim-Update", fmt.Sprintf("Event-Timestamp=%d", started+300), "Acct-Session-Time=300",
				"Acct-Input-Octets=1000", "Acct-Output-Octets=2000", "Acct-Output-Gigawords=1"),
			acct("Stop", fmt.Sprintf("Event-Timestamp=%d", started+600), "Acct-Session-Time=600",
				"Acct-Input-Octets=3000", "Acct-Output-Octets=4000", "Acct-Output-Gigawords=1",
				"Acct-Terminate-Cause=User-Request"),
		}
		for _, step := range steps {
			out, ok := radclient(t, v.acct[0], "acct", secret, step)
			require.True(t, ok, out)
			v.kill()
			v = s.start()
		}
		var session map[string]any
		require.Eventually(t, func() bool {
			rows := s.rows("session", "list", "--user", "alice")
			if len(rows) != 1 {
				return false
			}
			session = rows[0]
			return session["stopped_at"] != nil && session["stopped_at"] != ""
		}, patience, 100*time.Millisecond)
		require.EqualValues(t, 600, session["session_seconds"])
		require.EqualValues(t, 3000, session["input_octets"])
		require.EqualValues(t, 1<<32+4000, session["output_octets"])
		require.Equal(t, "User-Request", session["terminate_cause"])
		require.Equal(t, false, session["stop_inferred"])
		require.Empty(t, s.rows("session", "list", "--online"))

		require.NotContains(t, s.do("user", "show", "alice"), password)
		require.Zero(t, v.terminate())
		require.NotContains(t, v.logged(), password)
		require.NotContains(t, v.logged(), secret)
	})
}

func TestEveryMethodOverBothFamilies(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		s.furnish()
		v := s.start()
		for family, address := range v.auth {
			acctAddress := v.acct[family]
			for _, method := range []string{"pap", "chap", "mschap", "mschapv2"} {
				out := s.do("test", "auth", "alice", password, "--method", method, "--server", address, "--secret", secret)
				require.Contains(t, out, "Access-Accept", method)
				_, _, code := s.run("", "test", "auth", "alice", "wrong", "--method", method, "--server", address, "--secret", secret)
				require.Equal(t, 1, code, method)
			}
			for name, pairs := range map[string]string{
				"PAP":     `User-Name=alice,User-Password="` + password + `"`,
				"CHAP":    `User-Name=alice,CHAP-Password="` + password + `"`,
				"MS-CHAP": `User-Name=alice,MS-CHAP-Password="` + password + `"`,
			} {
				out, ok := radclient(t, address, "auth", secret, pairs)
				require.True(t, ok, "%s to %s: %s", name, address, out)
			}
			out, ok := radclient(t, acctAddress, "status", secret, "Message-Authenticator=0x00")
			require.True(t, ok, out)
			out, ok = radclient(t, acctAddress, "acct", secret, acct("Start", fmt.Sprintf("Acct-Session-Id=%d", family)))
			require.True(t, ok, out)
		}
	})
}

func TestChangesAreInForceWithoutARestart(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		v := s.start()
		// answer is what alice gets; empty: silence, because the NAS is not known yet.
		answer := func() string {
			cmd := exec.Command("radclient", "-r", "1", "-t", "0.5", v.auth[0], "auth", secret)
			cmd.Stdin = strings.NewReader(`User-Name=alice,User-Password="` + password + `"`)
			out, _ := cmd.CombinedOutput() // a reject is an exit status
			return string(out)
		}
		becomes := func(want string) {
			t.Helper()
			changed := time.Now()
			for !strings.Contains(answer(), want) {
				require.Less(t, time.Since(changed), patience, "no %s", want)
			}
		}
		s.furnish()
		becomes("Access-Accept")
		s.do("user", "set", "alice", "--status", "disabled")
		becomes("Received Access-Reject")
		require.Eventually(t, func() bool {
			return strings.Contains(s.do("user", "show", "alice"), "disabled")
		}, patience, 100*time.Millisecond)
	})
}

func TestAnUnknownSourceGetsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	v := s.start()
	out, ok := radclient(t, v.auth[0], "auth", secret, "User-Name=alice,User-Password=x")
	require.False(t, ok)
	require.Contains(t, out, "No reply")
	_, metrics := v.get("/metrics")
	require.Contains(t, metrics, `radiusd_discards_total{reason="unknown_nas",service="auth"}`)
	require.NotContains(t, metrics, `radiusd_discards_total{reason="unknown_nas",service="auth"} 0`)
}

func TestWatchingTheServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.furnish()
	v := s.start()
	status, _ := v.get("/healthz")
	require.Equal(t, http.StatusOK, status)
	status, ready := v.get("/readyz")
	require.Equal(t, http.StatusOK, status, ready)

	watched, err := http.Get("http://" + v.metrics + "/debug/decisions?user=alice")
	require.NoError(t, err)
	defer watched.Body.Close()
	_, _ = radclient(t, v.auth[0], "auth", secret, "User-Name=bob,User-Password=wrong")
	_, _ = radclient(t, v.auth[0], "auth", secret, "User-Name=alice,User-Password=wrong")
	lines := bufio.NewScanner(watched.Body)
	require.True(t, lines.Scan())
	var event map[string]any
	require.NoError(t, json.Unmarshal(lines.Bytes(), &event))
	require.Equal(t, "alice", event["user"])
	require.Equal(t, "wrong_password", event["reason"])

	_, metrics := v.get("/metrics")
	for _, name := range []string{
		"radiusd_build_info", "radiusd_requests_total", "radiusd_discards_total", "radiusd_request_duration_seconds_bucket",
		"radiusd_journal_bytes", "radiusd_ingest_lag_records", "radiusd_directory_users", "radiusd_sessions_open",
		"radiusd_auth_decisions_total",
	} {
		require.Contains(t, metrics, "\n"+name, name)
	}
	require.NotContains(t, metrics, "alice")
}

func TestReloadAndTermination(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	v := s.start()
	s.configure("auth: {lisn: []}\n")
	require.NoError(t, v.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(v.logged(), "auth.lisn") }, patience, 20*time.Millisecond)
	status, _ := v.get("/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Zero(t, v.terminate())
}

func TestWhatServeRefuses(t *testing.T) {
	t.Parallel()
	t.Run("a data_dir in use", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "")
		s.start()
		_, stderr, code := s.run("", "serve")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "in use by another process")
	})
	t.Run("a data_dir that cannot be made", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "")
		s.configure("data_dir: /proc/radiusd\n")
		_, stderr, code := s.run("", "serve")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "/proc/radiusd")
	})
	t.Run("a configuration with several mistakes", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "")
		s.configure("auth:\n  listen: [nonsense]\nacct:\n  lisn: []\nlog: {level: loud}\n")
		_, stderr, code := s.run("", "serve")
		require.Equal(t, 2, code)
		for _, part := range []string{"radiusd.yaml:2", "auth.listen", "radiusd.yaml:4", "acct.lisn", "radiusd.yaml:5", "log.level"} {
			require.Contains(t, stderr, part)
		}
	})
	t.Run("demo data without --demo", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "")
		v := s.start("--demo")
		require.Zero(t, v.terminate())
		_, stderr, code := s.run("", "serve")
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "--demo")
	})
}

func TestDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	v := s.start("--demo")
	for _, address := range v.auth {
		out, ok := radclient(t, address, "auth", "testing123", "User-Name=alice,User-Password=wonderland")
		require.True(t, ok, out)
	}
}
