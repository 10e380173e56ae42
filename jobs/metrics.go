package jobs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What becomes of an attempt.
const (
	outcomeCompleted = "completed"
	outcomeRetried   = "retried"   // it failed and is tried again
	outcomeFailed    = "failed"    // for good
	outcomeCancelled = "cancelled" // by an operator
	outcomePutBack   = "put_back"  // the process ended
	outcomeAbandoned = "abandoned" // the process was gone
)

// backlog is what waits of a kind.
type backlog struct {
	jobs   int64
	oldest float64 // seconds
}

// metrics are labelled with the kinds that are registered, so there are few of them.
type metrics struct {
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	waiting  *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_jobs_total", Help: "Attempts of background jobs that ended, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "radiusd_job_duration_seconds", Help: "How long attempts of background jobs took.",
			Buckets: []float64{.01, .1, 1, 10, 60, 300, 1800, 3600},
		}, []string{"kind"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "radiusd_jobs_waiting", Help: "Background jobs that are due and wait, in all processes.",
		}, []string{"kind"}),
		oldest: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "radiusd_jobs_oldest_waiting_seconds", Help: "How long the oldest background job that is due has waited.",
		}, []string{"kind"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.attempts, m.duration, m.waiting, m.oldest} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// begin makes the series of a kind, so that a first failure is an increase.
func (m *metrics) begin(kind string) {
	for _, outcome := range []string{outcomeCompleted, outcomeRetried, outcomeFailed, outcomeCancelled, outcomePutBack, outcomeAbandoned} {
		m.attempts.WithLabelValues(kind, outcome)
	}
	m.wait([]string{kind}, nil)
}

func (m *metrics) ended(kind, outcome string) { m.attempts.WithLabelValues(kind, outcome).Inc() }

func (m *metrics) took(kind string, d time.Duration) {
	m.duration.WithLabelValues(kind).Observe(d.Seconds())
}

func (m *metrics) wait(kinds []string, waiting map[string]backlog) {
	for _, kind := range kinds {
		m.waiting.WithLabelValues(kind).Set(float64(waiting[kind].jobs))
		m.oldest.WithLabelValues(kind).Set(max(waiting[kind].oldest, 0))
	}
}
