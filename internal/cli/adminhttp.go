package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/api"
	"radiusd/api/apidoc"
	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/internal/httpserver"
	"radiusd/operator"
	"radiusd/store"
)

// adminHTTP is the admin API on its listener. It answers from the beginning, but until the
// store is open only that it is not.
type adminHTTP struct {
	cfg    *config.Config
	tools  *adminTools
	log    *slog.Logger
	stderr io.Writer

	server *httpserver.Server
	api    atomic.Pointer[http.Handler] // nil until the store is open
	store  atomic.Pointer[store.Store]
	probed probe
}

// listenAdmin binds admin.listen and serves in the background; what is wrong with address
// or certificate is returned.
func listenAdmin(cfg *config.Config, dict *dictionary.Dictionary, registry prometheus.Registerer, spans *traces, stderr io.Writer, log *slog.Logger) (*adminHTTP, error) {
	tools, err := newAdminTools(cfg, dict, log)
	if err != nil {
		return nil, err
	}
	a := &adminHTTP{cfg: cfg, tools: tools, log: log, stderr: stderr}
	documents, err := apidoc.New(api.SpecYAML())
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(api.BasePath+"/", a.serveAPI)
	documents.Register(mux)
	mux.Handle("GET /{$}", http.RedirectHandler(apidoc.Path, http.StatusFound))
	mux.Handle("/", httpserver.Problem(http.StatusNotFound, "not_found", "there is no such path; the API is at "+api.BasePath+", its documentation at "+apidoc.Path))
	o := httpserver.Options{
		Handler: mux, Routes: adminRoutes(), Describe: describeRequest,
		Probes: map[string]http.Handler{
			"/healthz": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }),
			"/readyz":  http.HandlerFunc(a.serveReady),
		},
		TrustedProxies: config.Prefixes(cfg.Admin.TrustedProxies), Origins: cfg.Admin.CORSOrigins,
		AccessLog:  httpserver.AccessLog(cfg.Admin.AccessLog),
		Registerer: registry, Tracer: spans.tracer(), Logger: log,
	}
	if cfg.Admin.TLSCertFile != "" {
		if o.Certificate, err = httpserver.LoadCertificate(cfg.Admin.TLSCertFile, cfg.Admin.TLSKeyFile, log, nil); err != nil {
			return nil, err
		}
		if err := registry.Register(expiryMetric(o.Certificate)); err != nil {
			return nil, err
		}
	}
	if a.server, err = httpserver.Listen(cfg.Admin.Listen, o); err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	return a, nil
}

func expiryMetric(c *httpserver.Certificate) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "radiusd_api_certificate_expiry_timestamp_seconds",
		Help: "Until when the admin API's TLS certificate is valid.",
	}, func() float64 { return float64(c.Expires().Unix()) })
}

// url is where the API is.
func (a *adminHTTP) url() string {
	scheme := "http://"
	if a.cfg.Admin.TLSCertFile != "" {
		scheme = "https://"
	}
	return scheme + a.server.Addr().String()
}

func (a *adminHTTP) serveAPI(w http.ResponseWriter, r *http.Request) {
	if handler := a.api.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	storeNotOpen.ServeHTTP(w, r)
}

var storeNotOpen = httpserver.Problem(http.StatusServiceUnavailable, "unavailable", "the store has not been reached since the start")

// serveReady tells whoever asks only whether requests can be answered; why not is in the
// log.
func (a *adminHTTP) serveReady(w http.ResponseWriter, r *http.Request) {
	if err := a.ready(r.Context()); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "unavailable")
		return
	}
	fmt.Fprintln(w, "ok")
}

// ready is nil if requests can be answered.
func (a *adminHTTP) ready(ctx context.Context) error {
	s := a.store.Load()
	if s == nil || a.api.Load() == nil {
		return errStoreAway
	}
	return a.probed.ask(ctx, s.Ping)
}

// run makes the API once await gives a store.
func (a *adminHTTP) run(ctx context.Context, await func(context.Context) *store.Store) error {
	s := await(ctx)
	if s == nil {
		return nil
	}
	handler, operators, err := a.tools.handler(s)
	if err != nil {
		return err
	}
	if !a.begin(ctx, operators) {
		return nil
	}
	a.store.Store(s)
	a.api.Store(&handler)
	return nil
}

// begin sees to it that there is an operator; false: ctx ended before.
func (a *adminHTTP) begin(ctx context.Context, operators *operator.Service) bool {
	try := func(ctx context.Context) error { return showFirstOperator(ctx, operators, a.stderr) }
	err := try(ctx)
	if err == nil {
		return true
	}
	report := func(err error) {
		a.log.Error("the operators cannot be read, so the admin API waits", "error", oneLine(err))
	}
	report(err)
	return keepTrying(ctx, try, report, err)
}

// stop ends the listener after the requests in flight.
func (a *adminHTTP) stop(ctx context.Context) error {
	defer a.tools.close()
	if err := a.server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop the admin API: %w", err)
	}
	return nil
}

// probe remembers for a second whether something answers, so that many who ask cost one
// question.
type probe struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// probeTime bounds a question.
const probeTime = 2 * time.Second

func (p *probe) ask(ctx context.Context, ping func(context.Context) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < time.Second {
		return p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer cancel()
	if p.err = ping(ctx); errors.Is(p.err, context.DeadlineExceeded) {
		p.err = errors.New("the store does not answer")
	}
	p.at = time.Now()
	return p.err
}
