package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"radiusd/aaa"
)

// check is one condition of readiness. Its state is an error if the server cannot
// answer as it should, else "ok" or what an operator may want to know.
type check struct {
	name  string
	state func() (string, error)
}

// observer is the HTTP listener for those who watch the server: Prometheus, a
// load balancer's probes, an operator with pprof or `radiusd debug`. It has no
// authentication and belongs on loopback or a management network.
type observer struct {
	http   *http.Server
	listen net.Listener
	done   chan error
}

// observe binds address, which key configures, and serves in the background; bind errors
// are returned. access may be nil: then there are no decisions to watch.
func observe(key, address string, registry *prometheus.Registry, checks []check, access *aaa.Access, log *slog.Logger) (*observer, error) {
	listen, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerReady(w, checks) })
	pages := "/metrics /healthz /readyz /debug/pprof/"
	if access != nil {
		pages += " " + decisionsPath
		mux.HandleFunc("GET "+decisionsPath, func(w http.ResponseWriter, r *http.Request) { streamDecisions(w, r, access) })
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "radiusd: "+pages)
	})
	o := &observer{
		listen: listen,
		done:   make(chan error, 1),
		http: &http.Server{
			Handler:           mux,
			ReadHeaderTimeout: 5 * time.Second,
			ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		},
	}
	go func() { o.done <- o.http.Serve(listen) }()
	return o, nil
}

// address returns the bound address.
func (o *observer) address() string { return o.listen.Addr().String() }

// close ends the listener and the streams that are open on it.
func (o *observer) close() error {
	err := o.http.Close()
	if served := <-o.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// answerReady answers 200 when every check holds and 503 otherwise, with one
// entry for each check: its state or what is missing.
func answerReady(w http.ResponseWriter, checks []check) {
	status, results := http.StatusOK, make(map[string]string, len(checks))
	for _, c := range checks {
		state, err := c.state()
		if err != nil {
			status, state = http.StatusServiceUnavailable, err.Error()
		}
		results[c.name] = state
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(results) // the probe has hung up
}
