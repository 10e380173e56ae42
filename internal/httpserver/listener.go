package httpserver

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// boundedListener keeps so many connections at most. More are closed at once rather than
// left waiting: every connection takes a file descriptor, which the process may need for
// something better.
type boundedListener struct {
	net.Listener
	most    int64
	open    atomic.Int64
	refused prometheus.Counter
}

func newBoundedListener(l net.Listener, most int, registerer prometheus.Registerer) *boundedListener {
	b := &boundedListener{Listener: l, most: int64(most), refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "radiusd_api_connections_refused_total",
		Help: "Connections to the admin API that were closed because there were too many.",
	})}
	registerer.MustRegister(b.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "radiusd_api_connections",
		Help: "Open connections to the admin API.",
	}, func() float64 { return float64(b.open.Load()) }))
	return b
}

func (b *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) > b.most {
			b.open.Add(-1)
			b.refused.Inc()
			c.Close()
			continue
		}
		return &boundedConn{Conn: c, closed: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	closed func()
}

func (c *boundedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}
