package testbed

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const exposition = `# HELP radiusd_ingest_lag_records Records that a sink has not taken yet.
# TYPE radiusd_ingest_lag_records gauge
radiusd_ingest_lag_records{sink="sql"} 3
radiusd_ingest_lag_records{sink="clickhouse"} 4.5
radiusd_journal_bytes 1e+06
`

func serve(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestScrape(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/metrics", r.URL.Path)
		_, _ = w.Write([]byte(exposition))
	})
	m, err := Scrape(t.Context(), address)
	require.NoError(t, err)
	require.Equal(t, Metrics{
		`radiusd_ingest_lag_records{sink="sql"}`: 3, `radiusd_ingest_lag_records{sink="clickhouse"}`: 4.5,
		"radiusd_ingest_lag_records": 7.5, "radiusd_journal_bytes": 1e6,
	}, m)
	require.Equal(t, map[string]float64{"sql": 3, "clickhouse": 4.5}, m.By("radiusd_ingest_lag_records", "sink"))
	require.Empty(t, m.By("radiusd_ingest_lag", "sink"))
	require.Equal(t, 6e5, m.Since(Metrics{"radiusd_journal_bytes": 4e5})["radiusd_journal_bytes"])
}

func TestProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.String())) })
	require.NoError(t, Profile(t.Context(), address, 2500*time.Millisecond, path))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "/debug/pprof/profile?seconds=2", string(content))

	address = serve(t, http.NotFound)
	require.ErrorContains(t, Profile(t.Context(), address, time.Second, path), "404")
}
