package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// What bounds a request and a connection where Options say nothing.
const (
	defaultBodyBytes   = 1 << 20
	defaultDeadline    = 30 * time.Second
	defaultInFlight    = 256
	defaultStreams     = 16
	defaultConnections = 2048
	defaultPatience    = 10 * time.Second
	idleTime           = 2 * time.Minute
	maxHeaderBytes     = 32 << 10
)

// Options is how a Server works.
type Options struct {
	// Handler is what is served. Required.
	Handler http.Handler
	// Probes are paths that are served before all bounds, without log and metrics, such
	// as /healthz, so that an overloaded server can still be watched.
	Probes map[string]http.Handler
	// Routes are the exceptions from the bounds, by pattern.
	Routes []Route

	// Certificate serves TLS. Nil: plain HTTP.
	Certificate *Certificate
	// TrustedProxies are the peers whose X-Forwarded-For, Forwarded, X-Forwarded-Proto,
	// X-Request-Id and traceparent are believed.
	TrustedProxies []netip.Prefix
	// Origins may read answers from a browser's page of another origin, as
	// https://console.example.net. None: no page but the server's own.
	Origins []string
	// Describe puts what is known of a request into the context of its handler. Nil:
	// nothing.
	Describe func(ctx context.Context, requestID string, client netip.Addr) context.Context
	// AccessLog says which requests are logged.
	AccessLog AccessLog

	// BodyBytes bounds a body. Zero: 1 MiB.
	BodyBytes int64
	// Deadline bounds a request, from its header to its answer. Zero: 30 s.
	Deadline time.Duration
	// InFlight bounds the requests that are handled at once; more are answered 503.
	// Zero: 256.
	InFlight int
	// Streams bounds the requests of Routes that stream, apart from InFlight. Zero: 16.
	Streams int
	// Connections bounds the open connections; more are closed at once. Zero: 2048.
	Connections int
	// Patience is how long a client may take for the header of a request, and how long
	// it may make no progress with a body or an answer. Zero: 10 s for a header, 30 s
	// for the rest.
	Patience time.Duration

	// Registerer takes the metrics. Required.
	Registerer prometheus.Registerer
	// Tracer makes a span of each request. Nil: no traces.
	Tracer trace.TracerProvider
	// Logger takes panics and the access log. Required.
	Logger *slog.Logger
	// Now is the clock of durations. Nil: time.Now.
	Now func() time.Time
}

// Server serves one listener.
type Server struct {
	http   *http.Server
	listen net.Listener
	done   func() error // waits until nothing is served any more
}

// Listen binds the address, host:port, and serves in the background until Shutdown.
func Listen(address string, o Options) (*Server, error) {
	handler, err := NewHandler(o)
	if err != nil {
		return nil, err
	}
	bound, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	listen := net.Listener(newBoundedListener(bound, or(o.Connections, defaultConnections), o.Registerer))
	deadline := or(o.Deadline, defaultDeadline)
	s := &Server{
		http: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: or(o.Patience, defaultPatience),
			ReadTimeout:       deadline, // streams have others, see progress.go
			WriteTimeout:      deadline + grace,
			IdleTimeout:       idleTime,
			MaxHeaderBytes:    maxHeaderBytes,
			// Of clients that hang up and handshakes that fail.
			ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		},
	}
	if o.Certificate != nil {
		s.http.TLSConfig = tlsConfig(o.Certificate)
		listen = tls.NewListener(listen, s.http.TLSConfig)
	}
	s.listen = listen
	done := make(chan error, 1)
	go func() { done <- s.http.Serve(listen) }()
	s.done = sync.OnceValue(func() error { return <-done })
	return s, nil
}

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.listen.Addr() }

// Shutdown takes no more requests, waits for those in flight until ctx is done, and cuts
// off the rest. To call it again does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), s.http.Close())
	}
	if served := s.done(); !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// NewHandler returns Options.Handler with everything around it that is not the
// listener's.
//
// A request passes from the outside to the inside in this order: probes, description
// (id and address), log and metrics, headers, CORS, the bound on requests in flight,
// trace, deadline and size, compression, conditions, recovery from panics, handler.
func NewHandler(o Options) (http.Handler, error) {
	switch {
	case o.Handler == nil:
		return nil, errors.New("httpserver: no handler is given")
	case o.Registerer == nil, o.Logger == nil:
		return nil, errors.New("httpserver: a registerer and a logger are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	routes, err := newRouteTable(o.Routes)
	if err != nil {
		return nil, err
	}
	proxies := proxies(o.TrustedProxies)

	h := notePattern(o.Handler)
	h = recoverPanics(h, o.Logger)
	h = answerConditions(h)
	if h, err = compress(h, routes); err != nil {
		return nil, err
	}
	h = bound(h, routes, limits{bodyBytes: or(o.BodyBytes, defaultBodyBytes), deadline: or(o.Deadline, defaultDeadline), patience: or(o.Patience, defaultDeadline)})
	if o.Tracer != nil {
		h = traced(h, o.Tracer, proxies)
	}
	h = boundInFlight(h, routes, or(o.InFlight, defaultInFlight), or(o.Streams, defaultStreams))
	if h, err = allowOrigins(h, o.Origins); err != nil {
		return nil, err
	}
	h = secureHeaders(h, proxies)
	if h, err = observe(h, o.AccessLog, o.Registerer, o.Logger, o.Now); err != nil {
		return nil, err
	}
	h = describe(h, proxies, o.Describe)
	return probe(h, o.Probes), nil
}

// probe answers the probes.
func probe(next http.Handler, probes map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := probes[r.URL.Path]; h != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cache-Control", "no-store")
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// or is value, or what holds where it is zero.
func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
