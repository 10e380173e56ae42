package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/operator"
	"radiusd/report"
	"radiusd/store"
	"radiusd/store/clickhouse"
	"radiusd/store/seal"
)

// apiReports is the admin API over a store, with a ClickHouse, and one who may read
// reports.
type apiReports struct {
	t     *testing.T
	url   string
	token string
	log   *lockedBuffer
	close func()
}

// newAPIReports serves the API with the tools that a server would make of the
// configuration.
func newAPIReports(t *testing.T, s *store.Store, name, password, clickhouseURL string) *apiReports {
	t.Helper()
	a := &app{program: "radiusd", stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, now: time.Now,
		environ: []string{"RADIUSD_CONFIG=" + filepath.Join(t.TempDir(), "none.yaml"), "RADIUSD_CLICKHOUSE_URL=" + clickhouseURL}}
	require.NoError(t, os.WriteFile(strings.TrimPrefix(a.environ[0], "RADIUSD_CONFIG="), []byte("# empty\n"), 0o600))
	cfg, err := a.loadConfig()
	require.NoError(t, err)
	dict, err := openDictionary(cfg)
	require.NoError(t, err)
	log := new(lockedBuffer)
	tools, err := newAdminTools(cfg, dict, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	handler, _, err := tools.handler(s)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	r := &apiReports{t: t, url: server.URL, log: log, close: func() { server.Close(); tools.close() }}
	t.Cleanup(r.close)
	status, answer := r.post("/api/v1/auth/login", map[string]any{"name": name, "password": password})
	require.Equal(t, http.StatusOK, status, answer)
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &tokens))
	r.token = tokens.AccessToken
	return r
}

func (r *apiReports) post(path string, body any) (int, string) {
	r.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(r.t, err)
	request, err := http.NewRequestWithContext(r.t.Context(), "POST", r.url+path, bytes.NewReader(text))
	require.NoError(r.t, err)
	request.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		request.Header.Set("Authorization", "Bearer "+r.token)
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	require.NoError(r.t, err)
	return answer.StatusCode, string(content)
}

// rows are those of a report.
func (r *apiReports) rows(name string, arguments report.Arguments) []any {
	r.t.Helper()
	status, answer := r.post("/api/v1/reports/"+name+"/run", map[string]any{"arguments": arguments})
	require.Equal(r.t, http.StatusOK, status, "%s: %s", answer, r.log)
	var result struct{ Rows []any }
	require.NoError(r.t, json.Unmarshal([]byte(answer), &result))
	return result.Rows
}

// TestReportsOfTheAPI: the API asks ClickHouse if there is one, which answers what the
// store does, and the store while ClickHouse is away.
func TestReportsOfTheAPI(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list")
	key, err := seal.LoadKey(filepath.Join(s.dir, "data", masterKeyFile))
	require.NoError(t, err)
	sql, err := store.Open(t.Context(), store.Options{Path: filepath.Join(s.dir, "data", databaseFile), Sealer: seal.New(key), NodeID: "node"})
	require.NoError(t, err)
	defer sql.Close()
	server := testserver.NewClickHouseServer(t)
	history, err := clickhouse.Open(t.Context(), clickhouse.Options{URL: server.URL(), NodeID: "node", AutoMigrate: true})
	require.NoError(t, err)
	defer history.Close()

	// Both take the same history, as of a node's journal.
	start := time.Now().UTC().Add(-6 * time.Hour).Truncate(time.Second)
	var records []aaa.Record
	for n, status := range []aaa.AcctStatus{aaa.AcctStart, aaa.AcctInterim, aaa.AcctStop} {
		for _, name := range []string{"alice", "bob"} {
			at := start.Add(time.Duration(n) * time.Hour)
			octets := uint64(n) * uint64(len(name)) * 1_000_000
			records = append(records, aaa.Record{Status: status, AcctSessionID: "of " + name, Username: name, Plan: "home", NASAddr: netip.MustParseAddr("192.0.2.1"),
				FramedIP: netip.AddrFrom4([4]byte{198, 51, 100, byte(len(name))}), EventTime: at, ReceivedAt: at, HasSeconds: n > 0, HasOctets: n > 0, HasGigawords: true,
				SessionSeconds: uint64(n) * 3600, InputOctets: octets, OutputOctets: 2 * octets})
		}
	}
	for i := range records {
		if records[i].Status == aaa.AcctStop {
			records[i].TerminateCause = "User-Request"
		}
		aaa.NewResolver().Resolve(&records[i])
	}
	sqlSink, err := sql.NewSink()
	require.NoError(t, err)
	historySink, err := history.NewSink()
	require.NoError(t, err)
	decision := func(username string, at time.Time) *aaa.AuthBatch {
		return aaa.NewAuthBatch(aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: at, Username: username, Reason: aaa.ReasonExpired, NASAddr: netip.MustParseAddr("192.0.2.1")})
	}
	rejected := decision("carol", start)
	require.NoError(t, sql.AppendAuthRecords(t.Context(), rejected))
	require.NoError(t, history.AppendAuthRecords(t.Context(), rejected))
	for _, sink := range []ingest.Sink{sqlSink, historySink} {
		require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, End: 1}))
	}

	operators, err := operator.New(operator.Options{Store: sql})
	require.NoError(t, err)
	name, password, err := operators.EnsureFirst(t.Context())
	require.NoError(t, err)
	serve := func(clickhouseURL string) *apiReports { return newAPIReports(t, sql, name, password, clickhouseURL) }
	ofStore, ofBoth := serve(""), serve(server.URL())
	span := report.Arguments{"from": start.Add(-time.Hour).Format(time.RFC3339), "to": start.Add(5 * time.Hour).Format(time.RFC3339)}
	with := func(more report.Arguments) report.Arguments {
		all := report.Arguments{}
		for _, part := range []report.Arguments{span, more} {
			for name, value := range part {
				all[name] = value
			}
		}
		return all
	}
	for name, arguments := range map[string]report.Arguments{
		"usage": with(report.Arguments{"by": "user", "period": "hour"}), "top-users": span, "concurrent": with(report.Arguments{"step": "1h"}),
		"address": with(report.Arguments{"address": "198.51.100.5"}), "terminate-causes": with(report.Arguments{"by": "nas"}), "reject-reasons": with(report.Arguments{"by": "user"}),
	} {
		want := ofStore.rows(name, arguments)
		require.NotEmpty(t, want, name)
		assert.Equal(t, want, ofBoth.rows(name, arguments), name)
	}

	// And it is ClickHouse that was asked: what only one of them has tells.
	require.NoError(t, sql.AppendAuthRecords(t.Context(), decision("in the store", start)))
	require.NoError(t, history.AppendAuthRecords(t.Context(), decision("in ClickHouse", start)))
	asked := func(r *apiReports) string {
		t.Helper()
		text, err := json.Marshal(r.rows("reject-reasons", with(report.Arguments{"by": "user"})))
		require.NoError(t, err)
		return string(text)
	}
	assert.Contains(t, asked(ofBoth), "in ClickHouse")
	assert.NotContains(t, asked(ofBoth), "in the store")
	assert.Contains(t, asked(ofStore), "in the store")

	server.Stop() // while the API has connections to it
	assert.Contains(t, asked(ofBoth), "in the store")
	assert.Contains(t, ofBoth.log.String(), "reports are read from the store instead of ClickHouse")
	// One that finds nobody there from the start.
	ofBoth.close()
	later := serve(server.URL())
	assert.Contains(t, asked(later), "in the store")
	server.Start()
	require.Eventually(t, func() bool { return strings.Contains(asked(later), "in ClickHouse") }, time.Minute, 200*time.Millisecond, "it is asked again")

	// What waiting does not mend is told, and not hidden by other answers.
	wrong := serve(strings.Replace(server.URL(), "clickhouse://", "clickhouse://nobody:wrong@", 1))
	status, answer := wrong.post("/api/v1/reports/usage/run", map[string]any{"arguments": span})
	require.Equal(t, http.StatusServiceUnavailable, status, answer)
	require.Contains(t, answer, "the database of the reports cannot be used")
	require.NotContains(t, answer, "wrong")
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
