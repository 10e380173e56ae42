package httpserver

import (
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// AccessLog says which requests are logged.
type AccessLog string

// What can be logged: nothing, requests that were not answered as asked (status 400 and
// above), everything.
const (
	LogNone   AccessLog = "off"
	LogFailed AccessLog = "failed"
	LogAll    AccessLog = "all"
)

func (a AccessLog) takes(status int) bool {
	return a == LogAll || a == LogFailed && status >= http.StatusBadRequest
}

// metrics are of all requests, by the pattern that served them and never by the path.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	inFlight prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_api_requests_total",
			Help: "Requests to the admin API, by route, method and class of the status.",
		}, []string{"route", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "radiusd_api_request_duration_seconds",
			Help:    "How long a request to the admin API took until its answer was written.",
			Buckets: []float64{.001, .0025, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_api_response_bytes_total",
			Help: "Octets of the bodies of answers, as sent.",
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "radiusd_api_requests_in_flight",
			Help: "Requests to the admin API that are being handled.",
		}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.bytes, m.inFlight} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// observe counts requests and logs them.
func observe(next http.Handler, which AccessLog, registerer prometheus.Registerer, log *slog.Logger, now func() time.Time) (http.Handler, error) {
	m, err := newMetrics(registerer)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, seen := now(), &recorder{ResponseWriter: w}
		m.inFlight.Inc()
		defer func() { // also when the answer is cut off
			m.inFlight.Dec()
			n, took := noteOf(r.Context()), now().Sub(began)
			status := seen.status
			if status == 0 {
				status = http.StatusOK // net/http answers so for a handler that says nothing
			}
			route, method := routeName(n.route), methodName(r.Method)
			m.requests.WithLabelValues(route, method, strconv.Itoa(status/100)+"xx").Inc()
			m.duration.WithLabelValues(route).Observe(took.Seconds())
			m.bytes.WithLabelValues(route).Add(float64(seen.bytes))
			if which.takes(status) {
				log.LogAttrs(r.Context(), slog.LevelInfo, "request", slog.String("method", method), slog.String("route", route),
					slog.Int("status", status), slog.Duration("duration", took), slog.Int64("bytes", seen.bytes),
					slog.String("request_id", n.id), slog.String("actor", n.actor), slog.String("client", n.client.String()))
			}
		}()
		next.ServeHTTP(seen, r)
	}), nil
}

// routeName is a pattern without its method; "none" for a request that nothing served.
func routeName(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		pattern = path
	}
	return or(pattern, "none")
}

// methodName bounds the methods, which clients may make up.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
