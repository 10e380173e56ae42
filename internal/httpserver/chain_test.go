package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestRequestIDs(t *testing.T) {
	var told string
	o := options(t, func(http.ResponseWriter, *http.Request) {})
	o.Describe = func(ctx context.Context, id string, _ netip.Addr) context.Context { told = id; return ctx }
	h := chain(t, o)
	made := func(w *httptest.ResponseRecorder) {
		t.Helper()
		require.Equal(t, told, w.Header().Get("X-Request-Id"))
		id, err := uuid.Parse(told)
		require.NoError(t, err)
		require.EqualValues(t, 7, id.Version())
	}
	made(ask(h, "GET", "/", nil))
	made(ask(h, "GET", "/", nil, "X-Request-Id", "of-a-stranger"))
	for _, bad := range []string{"two words", "line\nbreak", strings.Repeat("x", 129), `"`, "ü"} {
		made(ask(h, "GET", "/", nil, "peer", "192.0.2.1:80", "X-Request-Id", bad))
	}
	w := ask(h, "GET", "/", nil, "peer", "192.0.2.1:80", "X-Request-Id", "edge-42/7")
	require.Equal(t, "edge-42/7", w.Header().Get("X-Request-Id"))
	require.Equal(t, "edge-42/7", told)
}

func TestSecurityHeaders(t *testing.T) {
	h := chain(t, options(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	header := ask(h, "GET", "/", nil).Header()
	require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	require.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(t, "no-referrer", header.Get("Referrer-Policy"))
	require.Equal(t, "same-origin", header.Get("Cross-Origin-Resource-Policy"))
	require.Contains(t, header.Get("Permissions-Policy"), "camera=()")
	require.Empty(t, header.Get("Server"))
	require.Empty(t, header.Get("Strict-Transport-Security"), "plain HTTP")
	require.Empty(t, ask(h, "GET", "/", nil, "X-Forwarded-Proto", "https").Header().Get("Strict-Transport-Security"), "a stranger's word")
	require.NotEmpty(t, ask(h, "GET", "/", nil, "peer", "192.0.2.1:1", "X-Forwarded-Proto", "https").Header().Get("Strict-Transport-Security"))
}

func TestCORS(t *testing.T) {
	const origin = "https://console.example.net"
	preflight := []string{"Origin", origin, "Access-Control-Request-Method", "PATCH"}
	t.Run("off", func(t *testing.T) {
		h := chain(t, options(t, func(http.ResponseWriter, *http.Request) {}))
		for _, w := range []*httptest.ResponseRecorder{ask(h, "OPTIONS", "/", nil, preflight...), ask(h, "GET", "/", nil, "Origin", origin)} {
			for name := range w.Header() {
				require.NotContains(t, name, "Access-Control")
			}
		}
	})
	t.Run("listed", func(t *testing.T) {
		o := options(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		o.Origins = []string{origin}
		h := chain(t, o)
		w := ask(h, "OPTIONS", "/", nil, preflight...)
		require.Equal(t, http.StatusNoContent, w.Code)
		require.Equal(t, origin, w.Header().Get("Access-Control-Allow-Origin"))
		require.Contains(t, w.Header().Get("Access-Control-Allow-Methods"), "PATCH")
		w = ask(h, "GET", "/", nil, "Origin", origin)
		require.Equal(t, http.StatusAccepted, w.Code)
		require.Contains(t, w.Header().Get("Access-Control-Expose-Headers"), "ETag")
		require.Contains(t, w.Header().Values("Vary"), "Origin")
		require.Empty(t, w.Header().Get("Access-Control-Allow-Credentials"))
		for _, other := range []string{"https://console.example.net.evil.test", "http://console.example.net", "null", "https://evil.test"} {
			w := ask(h, "GET", "/", nil, "Origin", other)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"), other)
			require.Contains(t, w.Header().Values("Vary"), "Origin")
		}
	})
	for _, bad := range []string{"*", "null", "console.example.net", "https://console.example.net/", "https://Console.example.net", "ftp://x", ""} {
		o := options(t, nil)
		o.Handler, o.Origins = http.NotFoundHandler(), []string{bad}
		_, err := NewHandler(o)
		require.ErrorContains(t, err, "is not an origin", bad)
	}
}

func TestPanicsAreKeptInTheLog(t *testing.T) {
	var log bytes.Buffer
	o := options(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.WriteHeader(http.StatusOK)
		}
		w.Header().Set("ETag", `"x"`)
		panic("the inner secret")
	})
	o.Logger = slog.New(slog.NewJSONHandler(&log, nil))
	h := chain(t, o)
	w := ask(h, "GET", "/", nil, "Accept-Encoding", "gzip")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Empty(t, w.Header().Get("ETag"))
	require.NotContains(t, w.Body.String(), "inner secret")
	var problem map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem))
	require.Equal(t, "internal", problem["code"])
	require.Equal(t, w.Header().Get("X-Request-Id"), problem["request_id"])
	require.Contains(t, log.String(), "the inner secret")
	require.Contains(t, log.String(), "chain_test.go", "the stack")
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { ask(h, "GET", "/late", nil) }, "an answer that began is cut off")
}

func TestBodies(t *testing.T) {
	o := options(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			var tooLarge *http.MaxBytesError
			require.ErrorAs(t, err, &tooLarge)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	o.BodyBytes = 100
	o.Routes = []Route{{Pattern: "POST /import", BodyBytes: 1000, Stream: true}}
	h := chain(t, o)
	unknownLength := func(n int) io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", n))) }
	for name, test := range map[string]struct {
		path string
		body io.Reader
		want int
	}{
		"fits":                              {"/users", strings.NewReader(strings.Repeat("x", 100)), 200},
		"too long by Content-Length":        {"/users", strings.NewReader(strings.Repeat("x", 101)), 413},
		"too long without Content-Length":   {"/users", unknownLength(101), 413},
		"an import fits":                    {"/import", strings.NewReader(strings.Repeat("x", 1000)), 200},
		"an import is bounded":              {"/import", unknownLength(1001), 413},
		"another path with the same ending": {"/users/import", unknownLength(101), 413},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, ask(h, "POST", test.path, test.body).Code)
		})
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		o := options(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				ended = r.Context().Err()
			case <-time.After(time.Hour):
				ended = errors.New("none")
			}
		})
		o.Routes = []Route{{Pattern: "GET /export", Stream: true}}
		h := chain(t, o)
		began := time.Now()
		ask(h, "GET", "/", nil)
		require.ErrorIs(t, ended, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(began))
		ask(h, "GET", "/export", nil)
		require.EqualError(t, ended, "none")
	})
}

func TestBoundInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := options(t, func(http.ResponseWriter, *http.Request) { <-release })
		o.Probes = map[string]http.Handler{"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })}
		o.Routes = []Route{{Pattern: "GET /export", Stream: true}}
		o.InFlight, o.Streams = 2, 1
		h := chain(t, o)
		for _, path := range []string{"/", "/", "/export"} {
			go ask(h, "GET", path, nil)
		}
		synctest.Wait()
		for _, path := range []string{"/", "/export"} {
			w := ask(h, "GET", path, nil)
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
			require.Equal(t, "1", w.Header().Get("Retry-After"))
			require.Contains(t, w.Body.String(), `"code":"busy"`)
		}
		require.Equal(t, http.StatusOK, ask(h, "GET", "/healthz", nil).Code)
		close(release)
		synctest.Wait()
		require.Equal(t, http.StatusOK, ask(h, "GET", "/", nil).Code)
	})
}

func TestCompression(t *testing.T) {
	long := strings.Repeat(`{"username":"alice"},`, 500)
	o := options(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		text := long
		switch r.URL.Path {
		case "/short":
			text = "{}"
		case "/strong":
			w.Header().Set("ETag", `"1"`)
		case "/weak":
			w.Header().Set("ETag", `W/"1"`)
		}
		_, _ = io.WriteString(w, text)
	})
	o.Routes = []Route{{Pattern: "/auth/", Uncompressed: true}}
	h := chain(t, o)
	for name, test := range map[string]struct{ path, accept, want string }{
		"not asked":       {"/", "", ""},
		"gzip":            {"/", "gzip", "gzip"},
		"zstd":            {"/", "zstd", "zstd"},
		"short":           {"/short", "gzip", ""},
		"strong ETag":     {"/strong", "gzip", ""},
		"weak ETag":       {"/weak", "gzip", "gzip"},
		"answers of auth": {"/auth/login", "gzip", ""},
		"refused":         {"/", "gzip;q=0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, "GET", test.path, nil, "Accept-Encoding", test.accept)
			require.Equal(t, test.want, w.Header().Get("Content-Encoding"))
			require.Empty(t, w.Header().Get("No-Gzip-Compression"))
			var text []byte
			switch test.want {
			case "gzip":
				r, err := gzip.NewReader(w.Body)
				require.NoError(t, err)
				text, err = io.ReadAll(r)
				require.NoError(t, err)
			case "zstd":
				r, err := zstd.NewReader(w.Body)
				require.NoError(t, err)
				defer r.Close()
				text, err = io.ReadAll(r)
				require.NoError(t, err)
			default:
				text = w.Body.Bytes()
			}
			if test.path == "/short" {
				require.Equal(t, "{}", string(text))
			} else {
				require.Equal(t, long, string(text))
			}
		})
	}
}

func TestConditionalGet(t *testing.T) {
	o := options(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/none" {
			w.Header().Set("ETag", `"v2"`)
		}
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "{}")
	})
	h := chain(t, o)
	for name, test := range map[string]struct {
		method, path, known string
		want                int
	}{
		"same":              {"GET", "/", `"v2"`, 304},
		"one of several":    {"GET", "/", `"v1", "v2"`, 304},
		"weak":              {"GET", "/", `W/"v2"`, 304},
		"any":               {"GET", "/", `*`, 304},
		"head":              {"HEAD", "/", `"v2"`, 304},
		"another":           {"GET", "/", `"v1"`, 200},
		"without condition": {"GET", "/", "", 200},
		"a change":          {"POST", "/", `"v2"`, 200},
		"not there":         {"GET", "/missing", `*`, 404},
		"no ETag":           {"GET", "/none", `*`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(h, test.method, test.path, nil, "If-None-Match", test.known)
			require.Equal(t, test.want, w.Code)
			if test.want == http.StatusNotModified {
				require.Empty(t, w.Body.String())
				require.Equal(t, `"v2"`, w.Header().Get("ETag"))
				require.Empty(t, w.Header().Get("Content-Type"))
			} else {
				require.Equal(t, "{}", w.Body.String())
			}
		})
	}
}

func TestMetricsAndAccessLog(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) {
		SetActor(r.Context(), "carla")
		if r.PathValue("id") == "0" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, "12345")
	})
	for _, which := range []AccessLog{LogNone, LogFailed, LogAll} {
		t.Run(string(which), func(t *testing.T) {
			var log bytes.Buffer
			registry := prometheus.NewRegistry()
			o := options(t, mux.ServeHTTP)
			o.Registerer, o.AccessLog, o.Logger = registry, which, slog.New(slog.NewJSONHandler(&log, nil))
			h := chain(t, o)
			ask(h, "GET", "/users/7?token=s3cret", nil, "Authorization", "Bearer s3cret")
			ask(h, "GET", "/users/0", nil)
			ask(h, "BREW", "/anything/s3cret", nil)
			require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP radiusd_api_requests_total Requests to the admin API, by route, method and class of the status.
# TYPE radiusd_api_requests_total counter
radiusd_api_requests_total{method="GET",route="/users/{id}",status="2xx"} 1
radiusd_api_requests_total{method="GET",route="/users/{id}",status="4xx"} 1
radiusd_api_requests_total{method="other",route="none",status="4xx"} 1
`), "radiusd_api_requests_total"))
			require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP radiusd_api_requests_in_flight Requests to the admin API that are being handled.
# TYPE radiusd_api_requests_in_flight gauge
radiusd_api_requests_in_flight 0
`), "radiusd_api_requests_in_flight"))
			want := map[AccessLog]int{LogNone: 0, LogFailed: 2, LogAll: 3}[which]
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if want == 0 {
				require.Empty(t, log.String())
				return
			}
			require.Len(t, lines, want)
			require.NotContains(t, log.String(), "s3cret")
			var line map[string]any
			require.NoError(t, json.Unmarshal([]byte(lines[0]), &line))
			require.Equal(t, "carla", line["actor"])
			require.Equal(t, "/users/{id}", line["route"])
			require.Equal(t, "198.51.100.7", line["client"])
			require.NotEmpty(t, line["request_id"])
			require.EqualValues(t, 5, line["bytes"])
		})
	}
}
