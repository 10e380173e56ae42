package main

import (
	"bytes"
	"database/sql"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"radiusd/internal/testserver"
)

const (
	faultSecret = "fault-secret"
	// patience is for what must happen by itself, on a machine that is busy.
	patience = time.Minute
)

// faultSite is a site for tests that stop the server: it comes back on the same
// ports, so that a NAS that repeats its requests finds it again.
type faultSite struct {
	*site
	storeURL   string
	data       string // data_dir
	auth, acct string
}

// newFaultSite makes a site with a NAS 127.0.0.1. settings are lines added to its
// configuration.
func newFaultSite(t *testing.T, storeURL, settings string) *faultSite {
	t.Helper()
	f := plainFaultSite(t, storeURL, settings)
	f.do("migrate", "up")
	f.secret("nas", "add", "127.0.0.1", "--require-message-authenticator", "no")
	return f
}

// plainFaultSite is newFaultSite without a NAS.
func plainFaultSite(t *testing.T, storeURL, settings string) *faultSite {
	t.Helper()
	dir := t.TempDir()
	f := &faultSite{
		site:     &site{t: t, dir: dir, config: filepath.Join(dir, "radiusd.yaml")},
		storeURL: storeURL,
		data:     filepath.Join(dir, "data"),
		auth:     fmt.Sprintf("127.0.0.1:%d", testserver.Port(t)),
		acct:     fmt.Sprintf("127.0.0.1:%d", testserver.Port(t)),
	}
	f.settings(settings)
	return f
}

// settings writes the configuration with these lines added.
func (f *faultSite) settings(lines string) {
	f.configure(fmt.Sprintf(`
data_dir: %s
auth: {listen: [%q], reject_delay: 0s}
acct: {listen: [%q]}
metrics: {listen: "127.0.0.1:0"}
store: {url: %q}
%s
`, f.data, f.auth, f.acct, f.storeURL, lines))
}

// secret runs a nas command with the secret on standard input.
func (f *faultSite) secret(args ...string) {
	f.t.Helper()
	_, errs, code := f.run(faultSecret+"\n", append(args, "--secret-stdin")...)
	require.Zero(f.t, code, errs)
}

// addUser adds a user with a password.
func (f *faultSite) addUser(name, password string, args ...string) {
	f.t.Helper()
	_, errs, code := f.run(password+"\n", append([]string{"user", "add", name, "--password-stdin"}, args...)...)
	require.Zero(f.t, code, errs)
}

// login says whether an Access-Request with the password is accepted.
func (f *faultSite) login(name, password string) bool {
	f.t.Helper()
	out, accepted := radclient(f.t, f.auth, "auth", faultSecret, fmt.Sprintf("User-Name=%q,User-Password=%q", name, password))
	if !accepted {
		require.Contains(f.t, out, "Access-Reject", "an answer, if not an accept")
	}
	return accepted
}

// database opens the store beside the server.
func (f *faultSite) database() *sql.DB {
	f.t.Helper()
	driver, source := "pgx", f.storeURL
	if f.storeURL == "" {
		driver, source = "sqlite", "file:"+filepath.Join(f.data, "radiusd.db")+"?_pragma=busy_timeout(15000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { db.Close() })
	return db
}

// number asks the database for a number.
func number(t *testing.T, db *sql.DB, query string, args ...any) (n int64) {
	t.Helper()
	require.NoError(t, db.QueryRow(query, args...).Scan(&n))
	return n
}

// load is a `radiusd bench acct` that runs. It repeats every request until it is
// answered.
type load struct {
	t    *testing.T
	cmd  *exec.Cmd
	logs string // of the acknowledgements
	out  bytes.Buffer
	done chan struct{}
}

// accounting starts a load of whole sessions.
func (f *faultSite) accounting(args ...string) *load {
	f.t.Helper()
	return startLoad(f.t, append([]string{"--server", f.acct}, args...)...)
}

// startLoad starts a load of whole sessions on the servers that args name.
func startLoad(t *testing.T, args ...string) *load {
	t.Helper()
	l := &load{t: t, logs: filepath.Join(t.TempDir(), "acknowledged.csv"), done: make(chan struct{})}
	l.cmd = exec.Command(binary, append([]string{"bench", "acct", "--secret", faultSecret,
		"--wait", "250ms", "--max-wait", "500ms", "--user", "load{n}", "--users", "5", "--log", l.logs}, args...)...)
	l.cmd.Stdout, l.cmd.Stderr = &l.out, &l.out
	require.NoError(t, l.cmd.Start())
	go func() {
		defer close(l.done)
		_ = l.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = l.cmd.Process.Kill()
		<-l.done
	})
	return l
}

// finish waits until the load has ended, and returns what was acknowledged.
func (l *load) finish() []acknowledged {
	l.t.Helper()
	l.end()
	return readAcknowledged(l.t, l.logs)
}

// verify waits until the load has ended and its records are in the stores, and fails
// the test unless every acknowledged record is in each store exactly once and the
// sessions are the sums of their records. It returns what was compared.
func (f *faultSite) verify(l *load) string {
	f.t.Helper()
	l.end()
	return f.verifyLog(l.logs)
}

// verifyLog is verify with the log of a load that has ended.
func (f *faultSite) verifyLog(path string) string {
	f.t.Helper()
	out, errs, code := f.run("", "bench", "verify", path, "--wait", patience.String(), "-o", "csv")
	require.Zero(f.t, code, "%s\n%s", out, errs)
	return out
}

// end waits until the load has ended by itself.
func (l *load) end() {
	l.t.Helper()
	select {
	case <-l.done:
	case <-time.After(2 * time.Minute):
		require.FailNow(l.t, "the load does not end")
	}
	require.Zero(l.t, l.cmd.ProcessState.ExitCode(), "every request is answered in the end: %s", l.out.String())
}

// interrupt ends the load at once and returns what was acknowledged until then.
func (l *load) interrupt() []acknowledged {
	l.t.Helper()
	l.stop()
	return readAcknowledged(l.t, l.logs)
}

// stop ends the load at once.
func (l *load) stop() {
	l.t.Helper()
	require.NoError(l.t, l.cmd.Process.Signal(os.Interrupt))
	select {
	case <-l.done:
	case <-time.After(patience):
		require.FailNow(l.t, "the load does not end")
	}
}

// acknowledged is a record that the load has an Accounting-Response for.
type acknowledged struct {
	session, status, username string
	seconds, input, output    int64
}

func readAcknowledged(t *testing.T, path string) []acknowledged {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	column := make(map[string]int)
	for i, name := range rows[0] {
		column[name] = i
	}
	var list []acknowledged
	for _, row := range rows[1:] {
		cell := func(name string) string { return row[column[name]] }
		if cell("acknowledged_at") == "" {
			continue
		}
		a := acknowledged{session: cell("nas_identifier") + " " + cell("acct_session_id"), status: cell("status"), username: cell("username")}
		for name, n := range map[string]*int64{"session_seconds": &a.seconds, "input_octets": &a.input, "output_octets": &a.output} {
			*n, err = strconv.ParseInt(cell(name), 10, 64)
			require.NoError(t, err)
		}
		list = append(list, a)
	}
	return list
}

// sessionOf is what tells a session in the log of a load: its NASes count their
// Acct-Session-Ids alike.
const sessionOf = "CASE WHEN nas_identifier LIKE 'bench-%' THEN nas_identifier || ' ' || acct_session_id ELSE acct_session_id END"

// awaitStored waits until the store has as many records as were acknowledged, or
// more.
func awaitStored(t *testing.T, db *sql.DB, acks []acknowledged) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := db.QueryRow("SELECT count(*) FROM accounting_records").Scan(&n)
		return err == nil && n >= len(acks) // a store that was away may say so once more
	}, patience, 50*time.Millisecond, "%d records were acknowledged", len(acks))
}

// requireExactlyOnce fails the test unless the store has the acknowledged records,
// each once and nothing else, and sessions and daily usage are their sums.
func requireExactlyOnce(t *testing.T, db *sql.DB, acks []acknowledged) {
	t.Helper()
	require.NotEmpty(t, acks)
	expected := make(map[acknowledged]int, len(acks))
	sessions := make(map[string]acknowledged)
	for _, a := range acks {
		expected[a]++
		if a.status == "on" {
			continue // of a NAS
		}
		last := sessions[a.session]
		last.session, last.username = a.session, a.username
		last.seconds, last.input, last.output = max(last.seconds, a.seconds), max(last.input, a.input), max(last.output, a.output)
		if a.status == "stop" {
			last.status = "stop"
		}
		sessions[a.session] = last
	}

	for _, a := range readRecords(t, db) {
		expected[a]--
	}
	for a, missing := range expected {
		require.Zero(t, missing, "acknowledged more (or, negative, less) often than stored: %+v", a)
	}

	rows, err := db.Query("SELECT " + sessionOf + `, username, session_seconds, input_octets, output_octets,
		stopped_at IS NOT NULL, stop_inferred OR start_inferred FROM sessions`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var stored acknowledged
		var stopped, inferred bool
		require.NoError(t, rows.Scan(&stored.session, &stored.username, &stored.seconds, &stored.input, &stored.output, &stopped, &inferred))
		if stopped {
			stored.status = "stop"
		}
		require.Equal(t, sessions[stored.session], stored, "the session is the sum of its records, and there is one row of it")
		require.False(t, inferred, "session %s has a Start and a Stop", stored.session)
		delete(sessions, stored.session)
	}
	require.NoError(t, rows.Err())
	require.Empty(t, sessions, "sessions without a row")
	requireUsageIsSessions(t, db)
}

// readRecords returns the accounting records that the store has.
func readRecords(t *testing.T, db *sql.DB) (list []acknowledged) {
	t.Helper()
	rows, err := db.Query("SELECT " + sessionOf + `, status, username, coalesce(session_seconds, 0), coalesce(input_octets, 0),
		coalesce(output_octets, 0) FROM accounting_records`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var a acknowledged
		require.NoError(t, rows.Scan(&a.session, &a.status, &a.username, &a.seconds, &a.input, &a.output))
		list = append(list, a)
	}
	require.NoError(t, rows.Err())
	return list
}

// requireUsageIsSessions fails the test unless usage_daily is the sum of sessions.
func requireUsageIsSessions(t *testing.T, db *sql.DB) {
	t.Helper()
	sums := func(table string) map[string][3]int64 {
		rows, err := db.Query("SELECT username, sum(session_seconds), sum(input_octets), sum(output_octets) FROM " + table + " GROUP BY username HAVING sum(session_seconds) + sum(input_octets) + sum(output_octets) > 0")
		require.NoError(t, err)
		defer rows.Close()
		users := make(map[string][3]int64)
		for rows.Next() {
			var name string
			var sum [3]int64
			require.NoError(t, rows.Scan(&name, &sum[0], &sum[1], &sum[2]))
			users[name] = sum
		}
		require.NoError(t, rows.Err())
		return users
	}
	require.Equal(t, sums("sessions"), sums("usage_daily"), "usage per day is the sum of the sessions")
}
