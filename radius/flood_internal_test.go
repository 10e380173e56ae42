package radius

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// floodInterval of a source of which so many arrive and are handled.
func (f *floods) interval(now *time.Time, source netip.Addr, arrived, handled int) (changed bool) {
	for range arrived {
		f.arrive(source)
	}
	for range handled {
		f.handle(source)
	}
	*now = now.Add(floodInterval)
	return f.adapt(*now)
}

// A busy source of which the listener handles nearly all is none that floods, however
// much the rest is: a part above 1 is not one that a filter can let through.
func TestBusySourceIsNoFlood(t *testing.T) {
	var f floods
	now, busy := time.Unix(1000, 0), netip.MustParseAddr("10.0.0.1")
	f.adapt(now)
	require.False(t, f.interval(&now, busy, 7200, 6000))
	require.Zero(t, f.filtered)
}

// What passes the filter in any case, as State does, does not make the part of the
// rest ever smaller, or it would take as long until the source is let through again.
func TestFloodEndsSoonAfterState(t *testing.T) {
	var f floods
	now, source := time.Unix(1000, 0), netip.MustParseAddr("10.0.0.1")
	f.adapt(now)
	require.True(t, f.interval(&now, source, 10_000, 500))
	for range 2000 {
		f.interval(&now, source, 900, 400)
		require.Equal(t, 1, f.filtered)
	}
	for range 20 {
		f.interval(&now, source, 0, 0)
	}
	require.Zero(t, f.filtered)
}

// A filter that cannot be replaced is taken away: it would drop a part for ever.
func TestFilterThatFailsIsTakenAway(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer c.Close()
	source, attached := netip.MustParseAddr("10.0.0.1"), 0
	s := &Server{logs: newLogs(slog.New(slog.NewTextHandler(io.Discard, nil)))}
	s.attachFilter = func(_ *net.UDPConn, sources []flood) error {
		n := 0
		for i := range sources {
			if sources[i].filtered() {
				n++
			}
		}
		if n > 1 {
			return errors.New("not so many")
		}
		attached = n
		return nil
	}
	l := newListener(s, authService, c)
	l.now = time.Unix(1000, 0)
	l.filter()
	flood := func(source netip.Addr) {
		for range 10_000 {
			l.floods.arrive(source)
		}
		l.now = l.now.Add(floodInterval)
		l.filter()
	}
	flood(source)
	require.Equal(t, 1, attached)
	flood(source.Next())
	require.Zero(t, attached)
	require.True(t, l.floods.failed)
	require.Zero(t, l.counters.floods.Load())
}
