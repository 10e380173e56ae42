package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"context"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius/rfc2759"

	"radiusd/journal"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// oracle answers logins of alice with the password s3cret by any method, and all
// accounting, of which it keeps the records.
type oracle struct {
	lie bool // prove a wrong password with mschapv2

	mu      sync.Mutex
	records map[string]int // session and status
}

func (o *oracle) ServeRADIUS(w *radius.Reply, r *radius.Request) {
	attributes := r.Packet.Attributes()
	name, _ := attributes.String(radius.TypeUserName)
	if r.Packet.Code() == radius.AccountingRequest {
		session, _ := attributes.String(radius.TypeAcctSessionID)
		status, _ := attributes.Uint32(radius.TypeAcctStatusType)
		o.mu.Lock()
		o.records[fmt.Sprintf("%s/%s/%d", session, name, status)]++
		o.mu.Unlock()
		w.SetCode(radius.AccountingResponse)
		w.Send()
		return
	}
	w.SetCode(radius.AccessReject)
	if name == "alice" && o.check(w, r, attributes) {
		w.SetCode(radius.AccessAccept)
		w.AddString(radius.TypeReplyMessage, "welcome")
	}
	w.Send()
}

func (o *oracle) check(w *radius.Reply, r *radius.Request, attributes radius.Attributes) bool {
	password := []byte("s3cret")
	if plain, ok := r.AppendUserPassword(nil); ok {
		return bytes.Equal(plain, password)
	}
	if value, ok := attributes.Get(radius.TypeCHAPPassword); ok {
		return radius.VerifyCHAP(value, password, r.Packet.CHAPChallenge())
	}
	challenge, _ := attributes.Vendor(radius.VendorMicrosoft, radius.MSCHAPChallenge)
	if response, ok := attributes.Vendor(radius.VendorMicrosoft, radius.MSCHAPResponse); ok {
		unicode, _ := rfc2759.ToUTF16(password)
		return bytes.Equal(response[26:], rfc2759.ChallengeResponse(challenge, rfc2759.NTPasswordHash(unicode)))
	}
	response, ok := attributes.Vendor(radius.VendorMicrosoft, radius.MSCHAP2Response)
	if !ok {
		return false
	}
	nt, _ := rfc2759.GenerateNTResponse(challenge, response[2:18], []byte("alice"), password)
	if o.lie {
		nt = response[26:]
		password = []byte("guess")
	}
	success, _ := rfc2759.GenerateAuthenticatorResponse(challenge, response[2:18], nt, []byte("alice"), password)
	w.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Success, append([]byte{response[0]}, success...))
	return bytes.Equal(response[26:], nt)
}

// newOracle starts a server and returns its ports.
func newOracle(t *testing.T, o *oracle) (auth, acct string) {
	t.Helper()
	o.records = map[string]int{}
	s := radiustest.NewServer(t, o)
	auths, accts := s.Addrs()
	return auths[0].String(), accts[0].String()
}

func TestTestAuth(t *testing.T) {
	auth, _ := newOracle(t, &oracle{})
	s := newSite(t, "")
	for _, method := range passwordMethods {
		out := s.ok("test", "auth", "alice", "s3cret", "--server", auth, "--method", method)
		assert.Contains(t, out, "Access-Accept from "+auth)
		assert.Contains(t, out, `Reply-Message = "welcome"`)
		assert.Equal(t, method == "mschapv2", strings.Contains(out, "MS-CHAP2-Success: the server knows the password"))

		r := s.run("test", "auth", "alice", "wrong", "--server", auth, "--method", method)
		assert.Equal(t, exitFailed, r.code, method)
		assert.Contains(t, r.out, "Access-Reject from "+auth)
		assert.Empty(t, r.err, "the answer says it all")
	}
	r := s.runWith("s3cret\n", "test", "auth", "alice", "--password-stdin", "--server", auth, "-v",
		"--attr", `Calling-Station-Id = "02-00-00-00-00-01", NAS-Port = 7`, "--attr", "NAS-IP-Address = 192.0.2.1")
	require.Zero(t, r.code, r.err)
	assert.Contains(t, r.out, "Access-Request to "+auth)
	assert.Contains(t, r.out, `Calling-Station-Id = "02-00-00-00-00-01"`)
	assert.Contains(t, r.out, "NAS-Port = 7")
	assert.Contains(t, r.out, "User-Password = (hidden)")
	assert.NotContains(t, r.out, "s3cret")
	assert.NotContains(t, r.out, "NAS-Identifier", "the attributes name the NAS")
	assert.Contains(t, s.ok("test", "status", "--server", auth), "Access-Accept from "+auth)
}

func TestTestAuthFindsAServerThatLies(t *testing.T) {
	auth, _ := newOracle(t, &oracle{lie: true})
	s := newSite(t, "")
	r := s.run("test", "auth", "alice", "s3cret", "--method", "mschapv2", "--server", auth)
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.out, "Access-Accept")
	assert.Contains(t, r.err, "the server does not know the password")
}

func TestTestSecrets(t *testing.T) {
	auth, _ := newOracle(t, &oracle{})
	s := newSite(t, "")
	quick := []string{"test", "auth", "alice", "s3cret", "--server", auth, "--timeout", "200ms", "--tries", "2"}
	assert.Contains(t, s.fails(exitFailed, append(quick, "--secret", "wrong")...), "no answer from "+auth+" after 2 attempts")
	s.environ = append(s.environ, secretVariable+"=wrong")
	s.fails(exitFailed, quick...)
	assert.Contains(t, s.ok(append(quick, "--secret", radiustest.Secret)...), "Access-Accept")
	r := s.runWith(radiustest.Secret+"\n", append(quick, "--secret-stdin")...)
	assert.Zero(t, r.code, r.err)
	assert.Equal(t, "127.0.0.1:1: nothing listens on that port", s.fails(exitFailed, "test", "auth", "alice", "x", "--secret", "x", "--server", "127.0.0.1:1"))
}

func TestTestAcct(t *testing.T) {
	o := &oracle{}
	_, acct := newOracle(t, o)
	s := newSite(t, "")
	out := s.ok("test", "acct", "session", "alice", "--server", acct, "--session-id", "s1", "--time", "1h", "--input", "10GB", "--output", "1MB", "-v", "--framed-ip", "192.0.2.7")
	assert.Equal(t, 3, strings.Count(out, "Accounting-Response from "+acct))
	for _, want := range []string{"Acct-Input-Octets = 1410065408", "Acct-Input-Gigawords = 2", "Acct-Session-Time = 3600", "Acct-Terminate-Cause = User-Request", "Framed-IP-Address = 192.0.2.7", "Event-Timestamp = "} {
		assert.Contains(t, out, want)
	}
	s.ok("test", "acct", "on", "--server", acct)
	random := s.ok("test", "acct", "start", "bob", "--server", acct)
	assert.Regexp(t, `^Acct-Session-Id [0-9a-f]{16}\n`, random)
	o.mu.Lock()
	defer o.mu.Unlock()
	records := maps.Clone(o.records)
	delete(records, strings.Fields(random)[1]+"/bob/1")
	assert.Equal(t, map[string]int{"s1/alice/1": 1, "s1/alice/3": 1, "s1/alice/2": 1, "//7": 1}, records)
}

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1:1812", "192.0.2.1:99": "192.0.2.1:99", "::1": "[::1]:1812", "[::1]": "[::1]:1812", "[::1]:99": "[::1]:99", "radius.example": "radius.example:1812",
	} {
		got, err := hostPort(text, authPort)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
	}
	for _, text := range []string{"", "a:b:c", "[::1"} {
		_, err := hostPort(text, authPort)
		assert.Error(t, err, text)
	}
	assert.True(t, isLoopback("[::1]:1"))
	assert.True(t, isLoopback("127.9.9.9:1"))
	assert.True(t, isLoopback("localhost:1"))
	assert.False(t, isLoopback("192.0.2.1:1"))
	assert.False(t, isLoopback("localhost.example:1"))
}

func TestJournalCommands(t *testing.T) {
	s := newSite(t, "")
	assert.Contains(t, s.fails(exitFailed, "journal", "info"), "there is no journal in")
	r := s.run("journal", "verify")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "there is no journal in")

	dir := filepath.Join(s.dir, "data", journalDir)
	j, err := journal.Open(journal.Options{Dir: dir})
	require.NoError(t, err)
	var stored sync.WaitGroup
	for i := range 10 {
		stored.Add(1)
		require.NoError(t, j.Append([]byte(strings.Repeat("x", 100+i)), journal.CommittedFunc(func(journal.Position, error) { stored.Done() })))
	}
	stored.Wait()
	assert.Equal(t, false, s.object("journal", "info")["closed"], "while a server has it open")
	assert.Equal(t, 10.0, s.object("journal", "verify")["records"])
	j.Retain("sql", j.End())
	j.Retain("clickhouse", j.End()/2)
	require.NoError(t, j.Close())
	info := s.object("journal", "info")
	assert.Equal(t, true, info["closed"])
	assert.Equal(t, "clickhouse", info["held_by"])
	assert.EqualValues(t, j.End()-j.End()/2, info["held_bytes"])
	assert.EqualValues(t, journal.DefaultMaxBytes, info["limit_bytes"])
	assert.Equal(t, 0.0, info["used_percent"])
	cursors := s.rows("journal", "info", "--cursors")
	require.Len(t, cursors, 2)
	assert.Equal(t, map[string]any{"name": "sql", "position": float64(j.End()), "behind_bytes": 0.0}, cursors[1])
	assert.Equal(t, 1.0, info["segments"])
	segments := s.rows("journal", "info", "--segments")
	require.Len(t, segments, 1)

	segment := filepath.Join(dir, segments[0]["name"].(string))
	content, err := os.ReadFile(segment)
	require.NoError(t, err)
	content[len(content)/2] ^= 0xff
	require.NoError(t, os.WriteFile(segment, content, 0o600))
	r = s.run("journal", "verify", "-o", "json")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "the journal is damaged in 1 places: ")
	assert.Contains(t, r.out, `"damaged_places": 1`)
}

func TestDebug(t *testing.T) {
	events := []decisionEvent{
		{Time: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Username: "al\x1bice", User: "alice", NAS: "bras1", Source: "192.0.2.1:1000", Result: "reject", Reason: "expired",
			Method: "pap", Detail: "since yesterday", Rules: []string{"user: expires_at"}, Request: []string{`User-Name = "alice"`}, Microseconds: 120},
		{Username: "bob", User: "bob", Result: "accept", Reason: "accepted", Missed: 3, Reply: []string{"Session-Timeout = 60"}},
	}
	var query string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != decisionsPath {
			http.NotFound(w, r)
			return
		}
		query = r.URL.RawQuery
		for _, e := range events {
			_ = json.NewEncoder(w).Encode(e)
		}
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	s := newSite(t, "")
	r := s.run("debug", "--server", address, "--user", "al ice", "--nas", "bras1")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "radiusd: the server has ended the stream\n")
	assert.Equal(t, "nas=bras1&user=al+ice", query)
	assert.Equal(t, strings.Join([]string{
		`12:00:00.000 REJECT al\x1bice user=alice reason=expired method=pap nas=bras1 source=192.0.2.1:1000 took=120µs`,
		`    why since yesterday`, `    rule user: expires_at`, `    > User-Name = "alice"`,
		`(3 decisions missed)`, `00:00:00.000 ACCEPT bob reason=accepted took=0s`, `    < Session-Timeout = 60`, ``}, "\n"), r.out)

	s.environ = append(s.environ, "RADIUSD_METRICS_LISTEN="+address)
	r = s.run("debug", "-o", "json")
	var first decisionEvent
	require.NoError(t, json.Unmarshal([]byte(strings.SplitN(r.out, "\n", 2)[0]), &first))
	assert.Equal(t, events[0].Reason, first.Reason)

	assert.Contains(t, s.fails(exitFailed, "debug", "--server", "127.0.0.1:1"), "no server answers on 127.0.0.1:1 (metrics.listen)")
	s.environ = append(s.environ, "RADIUSD_METRICS_LISTEN=")
	assert.Contains(t, s.fails(exitUsage, "debug"), "metrics.listen is empty")
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	assert.Contains(t, s.fails(exitFailed, "debug", "--server", strings.TrimPrefix(other.URL, "http://")), "404 Not Found: is it the metrics listener")
}

func TestDebugEndsWithTheContext(t *testing.T) {
	began := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(began)
		<-r.Context().Done()
	}))
	defer server.Close()
	s := newSite(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	var out, errs bytes.Buffer
	code := Main(ctx, []string{"debug", "--server", strings.TrimPrefix(server.URL, "http://")}, strings.NewReader(""), &out, &errs, s.environ)
	assert.Zero(t, code, "Ctrl-C is how one ends it")
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{":9812": "127.0.0.1:9812", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "[::1]:1", "192.0.2.1:1": "192.0.2.1:1"} {
		got, err := reachable(listen)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
}
