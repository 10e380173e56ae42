package redis

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	seconds   prometheus.Histogram
	fallbacks *prometheus.CounterVec
	published prometheus.Counter
	mends     prometheus.Counter
	faults    prometheus.Counter
	online    atomic.Int64
}

func newMetrics(s *Store, r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "radiusd_redis_reserve_seconds",
			Help:    "Time that Redis took to answer for the limits of an Access-Request.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .3},
		}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "radiusd_redis_fallbacks_total",
			Help: "Limits that were decided by this node's own view, because Redis was away or failed.",
		}, []string{"reason"}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "radiusd_redis_published_sessions_total",
			Help: "States of sessions that were told to the other nodes.",
		}),
		mends: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "radiusd_redis_mends_total",
			Help: "How often all sessions of this node were told anew, because Redis may have lost some.",
		}),
	}
	m.faults = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "radiusd_redis_faults_total",
		Help: "Keys in Redis that cannot be read, and sessions that could not be told of for it.",
	})
	for _, why := range []string{"away", "failed"} {
		m.fallbacks.WithLabelValues(why)
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.seconds, m.fallbacks, m.published, m.mends, m.faults,
		gauge("radiusd_redis_up", "1 while Redis answers; 0 while limits go by this node's own view.",
			func() float64 { return yes(s.up.Load()) }),
		gauge("radiusd_redis_mending", "1 while sessions of this node are told anew.",
			func() float64 { return yes(s.mending.Load()) }),
		gauge("radiusd_redis_pending_sessions", "Sessions that have changed and were not told to the other nodes yet.",
			func() float64 { return float64(s.pending()) }),
		gauge("radiusd_sessions_open_shared", "Sessions that are open on all nodes, as Redis knows them.",
			func() float64 { return float64(m.online.Load()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of redis: %w", err)
		}
	}
	return m, nil
}
