package cli

import (
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/config"
	"radiusd/internal/httpserver"
	"radiusd/store"
)

// receiver is where traces are sent.
type receiver struct {
	mu    sync.Mutex
	spans []*tracepb.Span
	raw   strings.Builder
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request coltrace.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw.Write(body)
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			v.spans = append(v.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// A request makes a span, and the statements within it are its children. Statements of
// nobody's request make none, and no argument of any is told.
func TestTracesThroughAPIAndStore(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		var got receiver
		server := httptest.NewServer(&got)
		defer server.Close()
		cfg, err := config.Load("", append(s.environ, "RADIUSD_ADMIN_TRACES="+server.URL+"/v1/traces"))
		require.NoError(t, err)
		log := slog.New(slog.DiscardHandler)
		spans, err := openTraces(t.Context(), cfg, "adminapi", log)
		require.NoError(t, err)
		options, madeKey, err := storeOptions(cfg, nil)
		require.NoError(t, err)
		options.Tracer = spans.tracer()
		db, err := openStoreWith(t.Context(), options, madeKey, "", true)
		require.NoError(t, err)
		_, err = db.UserByName(t.Context(), "of-nobody")
		require.ErrorIs(t, err, store.ErrNotFound)

		mux := http.NewServeMux()
		mux.HandleFunc("GET /users/{name}", func(_ http.ResponseWriter, r *http.Request) {
			_, err := db.UserByName(r.Context(), r.PathValue("name"))
			require.ErrorIs(t, err, store.ErrNotFound)
		})
		handler, err := httpserver.NewHandler(httpserver.Options{Handler: mux, Tracer: spans.tracer(), Registerer: prometheus.NewRegistry(), Logger: log})
		require.NoError(t, err)
		r := httptest.NewRequest("GET", "/users/canary-name?q=canary-query", nil)
		r.Header.Set("Authorization", "Bearer canary-token")
		r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
		handler.ServeHTTP(httptest.NewRecorder(), r)
		spans.close(log)
		require.NoError(t, db.Close())

		require.NotContains(t, got.raw.String(), "canary")
		var request *tracepb.Span
		for _, span := range got.spans {
			if span.Kind == tracepb.Span_SPAN_KIND_SERVER {
				require.Nil(t, request)
				request = span
			}
		}
		require.NotNil(t, request)
		require.Equal(t, "GET /users/{name}", request.Name)
		require.NotEqual(t, "0123456789abcdef0123456789abcdef", hex.EncodeToString(request.TraceId), "a stranger's trace is not gone on with")
		require.Empty(t, request.ParentSpanId)
		require.Greater(t, len(got.spans), 1, "the statements are there")
		for _, span := range got.spans {
			require.Equal(t, request.TraceId, span.TraceId, "%s belongs to no request", span.Name)
		}
	})
}

func TestNoTracesUnlessAsked(t *testing.T) {
	spans, err := openTraces(t.Context(), config.Default(), "adminapi", nil)
	require.NoError(t, err)
	require.Nil(t, spans.tracer())
	spans.close(nil)
}
