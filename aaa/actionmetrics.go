package aaa

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"radiusd/radius"
)

// actionMetrics count what became of session actions.
type actionMetrics struct {
	results      *prometheus.CounterVec
	queued       *prometheus.HistogramVec
	durations    *prometheus.HistogramVec
	ignoredTotal *prometheus.CounterVec
	stopsMissing prometheus.Counter
}

func newActionMetrics(r prometheus.Registerer) (*actionMetrics, error) {
	m := &actionMetrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_session_actions_total",
			Help: "Disconnect- and CoA-Requests that this node has an outcome of, by kind and result.",
		}, []string{"kind", "result"}),
		queued: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "radiusd_session_action_queue_seconds",
			Help:    "Time that session actions waited for their turn before the first request.",
			Buckets: []float64{.05, .1, .2, .3, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"kind"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "radiusd_session_action_duration_seconds",
			Help:    "Time from the first request of a session action to the answer, or to giving up.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"kind"}),
		ignoredTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_session_action_answers_ignored_total",
			Help: "Packets that were not taken as the answer to a Disconnect- or CoA-Request, by reason.",
		}, []string{"reason"}),
		stopsMissing: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "radiusd_session_action_stops_missing_total",
			Help: "Disconnect-Requests that were acknowledged, repeated, and after which no Stop came.",
		}),
	}
	for _, kind := range actionKindNames {
		for state, name := range actionStateNames {
			if !ActionState(state).Pending() {
				m.results.WithLabelValues(kind, name) // there from the start, so that the first one is seen
			}
		}
		m.queued.WithLabelValues(kind)
		m.durations.WithLabelValues(kind)
	}
	m.ignoredTotal.WithLabelValues(radius.DiscardAuthenticatorInvalid.String())
	if r == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.results, m.queued, m.durations, m.ignoredTotal, m.stopsMissing} {
		errs = append(errs, r.Register(c))
	}
	return m, errors.Join(errs...)
}

func (m *actionMetrics) waited(kind ActionKind, d time.Duration) {
	m.queued.WithLabelValues(kind.String()).Observe(max(d, 0).Seconds())
}

func (m *actionMetrics) asked(kind ActionKind, d time.Duration) {
	m.durations.WithLabelValues(kind.String()).Observe(d.Seconds())
}

func (m *actionMetrics) done(kind ActionKind, state ActionState) {
	m.results.WithLabelValues(kind.String(), state.String()).Inc()
}

func (m *actionMetrics) ignored(reason radius.Discard, n int) {
	m.ignoredTotal.WithLabelValues(reason.String()).Add(float64(n))
}
