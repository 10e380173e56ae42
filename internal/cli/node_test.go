package cli

import (
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/config"
)

// A probe must not send NASes to a server that does not listen yet, or any more.
func TestReadyWhileRequestsAreTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	cfg, err := config.Load("", append(s.environ,
		"RADIUSD_AUTH_LISTEN=127.0.0.1:0", "RADIUSD_ACCT_LISTEN=127.0.0.1:0", "RADIUSD_METRICS_LISTEN=127.0.0.1:0"))
	require.NoError(t, err)
	n, err := newNode(t.Context(), cfg, false, io.Discard, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer n.close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ready := func() (int, string) {
		resp, err := client.Get("http://" + n.observer.address() + "/readyz")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	status, body := ready()
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "starting")
	require.NoError(t, n.start())
	status, body = ready()
	require.Equal(t, http.StatusOK, status, body)
	require.NoError(t, n.stop())
	status, _ = ready()
	require.Equal(t, http.StatusServiceUnavailable, status)
}
