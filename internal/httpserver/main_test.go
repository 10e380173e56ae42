package httpserver

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// options are what a test begins with: proxies on 192.0.2.0/24, and a handler that says
// who it was told the client is.
func options(t *testing.T, handler http.HandlerFunc) Options {
	t.Helper()
	return Options{
		Handler: handler, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:ffff::/48")},
	}
}

// chain is the whole chain around a handler.
func chain(t *testing.T, o Options) http.Handler {
	t.Helper()
	h, err := NewHandler(o)
	require.NoError(t, err)
	return h
}

// ask hands a request to a handler.
func ask(h http.Handler, method, path string, body io.Reader, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, path, body)
	r.RemoteAddr = "198.51.100.7:4711"
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "peer" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
