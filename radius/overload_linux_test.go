package radius_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// overload is a listener that gets a multiple of what it handles, on any machine: its
// handler sends the flood. What it handles is the clock.
type overload struct {
	*testServer
	t       *testing.T
	mu      sync.Mutex // the network orders everything, but the race detector does not know
	handled uint64
	clients map[netip.Addr]*overloader
	arrive  func() // what arrives while one request is handled; nil when the flood is over
	over    chan struct{}
}

// overloader is a source of requests.
type overloader struct {
	*peer
	sent, sentBegun       int
	handled, handledBegun int
	inTheMiddle           int    // handled after a quarter of overloadLength and before its end
	wait, waitOfBegun     uint64 // the longest
}

const overloadLength = 4000 // requests that are handled

func newOverload(t *testing.T, sources ...string) *overload {
	o := &overload{t: t, clients: make(map[netip.Addr]*overloader), over: make(chan struct{})}
	nases := nasTable{netip.MustParseAddr("127.0.0.1"): {Name: "probe", Secrets: [][]byte{testSecret}}}
	for _, source := range sources {
		nases[netip.MustParseAddr(source)] = &radius.NAS{Name: source, Secrets: [][]byte{testSecret}}
	}
	o.testServer = serve(t, o, func(s *radius.Server) {
		s.NASes = nases
		s.SocketBuffer = 200_000 // what an unprivileged process may have
		radius.WithoutFilter(s)
	})
	for _, source := range sources {
		o.clients[netip.MustParseAddr(source)] = &overloader{peer: dialFrom(t, o.auth, source)}
	}
	return o
}

// run goes on until the flood is over and all has been handled.
func (o *overload) run(arrive func()) {
	o.start(arrive)
	<-o.over
	dial(o.t, o.auth).silent() // what was sent has been read
	require.Eventually(o.t, func() bool {
		stats := o.Stats()
		return stats.Received == stats.Sent+stats.Discards[radius.DiscardOverload]
	}, waitLimit, tick)
	o.mu.Lock()
	defer o.mu.Unlock()
}

// start makes the first of it arrive.
func (o *overload) start(arrive func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.arrive = arrive
	for range 40 {
		arrive()
	}
}

// send sends a fresh request from the source, or one with State.
func (o *overload) send(source string, begun bool) {
	c := o.clients[netip.MustParseAddr(source)]
	now := binary.BigEndian.AppendUint64(nil, o.handled)
	options := []option{authenticator(uint64(c.sent)), with(radius.TypeProxyState, string(now)), signed}
	if c.sent++; begun {
		c.sentBegun++
		options = append(options, with(radius.TypeState, "s"))
	}
	_, err := c.Write(request(radius.AccessRequest, uint8(c.sent), testSecret, options...))
	require.NoError(o.t, err)
}

// ServeRADIUS implements radius.Handler.
func (o *overload) ServeRADIUS(w *radius.Reply, r *radius.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.clients[r.Source.Addr()]
	value, _ := r.Packet.Attributes().Get(radius.TypeProxyState)
	wait := o.handled - binary.BigEndian.Uint64(value)
	c.wait = max(c.wait, wait)
	if c.handled++; r.Packet.Attributes().Has(radius.TypeState) {
		c.handledBegun++
		c.waitOfBegun = max(c.waitOfBegun, wait)
	}
	o.handled++
	if o.handled > overloadLength/4 && o.handled <= overloadLength {
		c.inTheMiddle++
	}
	switch {
	case o.handled < overloadLength:
		o.arrive()
	case o.handled == overloadLength:
		close(o.over)
	}
	w.Send()
}

func (o *overload) client(source string) *overloader { return o.clients[netip.MustParseAddr(source)] }

// One NAS sends three times what the listener can handle. Another one notices nothing:
// it loses nothing, and waits for two batches at most.
func TestFloodLeavesOthersAlone(t *testing.T) {
	o := newOverload(t, "127.0.0.2", "127.0.0.3")
	n := 0
	o.run(func() {
		for range 3 {
			o.send("127.0.0.2", false)
		}
		if n++; n%20 == 0 {
			o.send("127.0.0.3", false)
		}
	})
	flood, victim := o.client("127.0.0.2"), o.client("127.0.0.3")
	stats := o.Stats()
	t.Logf("flood: %d of %d, waits %d; victim: %d of %d, waits %d; discards %v",
		flood.handled, flood.sent, flood.wait, victim.handled, victim.sent, victim.wait, stats.Discards)
	require.Zero(t, stats.Dropped, "in the kernel")
	require.Equal(t, victim.sent, victim.handled)
	require.Greater(t, victim.sent, 150)
	require.LessOrEqual(t, victim.wait, uint64(4*32+2*32), "until the listener knows that it is behind")
	require.EqualValues(t, flood.sent-flood.handled, stats.Discards[radius.DiscardOverload])
	require.Greater(t, flood.handled, overloadLength*9/10, "all that is left")
	require.LessOrEqual(t, flood.wait, uint64(4096/2+4*32), "what is accepted waits no longer than half of the backlog")
}

// Of the requests of a source that sends too many those with State go first.
func TestStateGoesFirst(t *testing.T) {
	o := newOverload(t, "127.0.0.2")
	n := 0
	o.run(func() {
		for range 3 {
			n++
			o.send("127.0.0.2", n%6 == 0)
		}
	})
	flood := o.client("127.0.0.2")
	t.Logf("%d of %d handled, with State %d of %d, which wait %d", flood.handled, flood.sent, flood.handledBegun, flood.sentBegun, flood.waitOfBegun)
	require.Equal(t, flood.sentBegun, flood.handledBegun)
	require.Less(t, flood.handled, flood.sent/2)
	require.LessOrEqual(t, flood.waitOfBegun, uint64(4*32+2*32))
}

// Sources that send too much get equal shares, whatever they send.
func TestFloodsShareEvenly(t *testing.T) {
	o := newOverload(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	o.run(func() {
		o.send("127.0.0.2", false)
		o.send("127.0.0.2", false)
		o.send("127.0.0.3", true)
		o.send("127.0.0.3", true)
		o.send("127.0.0.3", true)
		o.send("127.0.0.4", false)
	})
	for source, c := range o.clients {
		t.Logf("%v: %d, in all %d of %d", source, c.inTheMiddle, c.handled, c.sent)
		assert.InEpsilon(t, overloadLength/4, c.inTheMiddle, 0.02, source)
	}
}

// Shutdown answers what waits.
func TestShutdownEmptiesTheBacklog(t *testing.T) {
	o := newOverload(t, "127.0.0.2")
	stopped := make(chan error)
	o.start(func() {
		for range 3 {
			o.send("127.0.0.2", false)
		}
		if o.handled == overloadLength-1 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
				defer cancel()
				stopped <- o.Shutdown(ctx)
			}()
		}
	})
	require.NoError(t, <-stopped)
	stats := o.Stats()
	require.Equal(t, o.handled, stats.Sent)
	require.Equal(t, o.handled+stats.Discards[radius.DiscardOverload], stats.Received, "nothing that was read is lost")
}

// When Shutdown gives up waiting, what waits in the backlog is dropped, not handled
// after its return.
func TestShutdownThatEndsDropsTheBacklog(t *testing.T) {
	o := newOverload(t, "127.0.0.2")
	reached, goOn := make(chan struct{}), make(chan struct{})
	o.start(func() {
		for range 3 {
			o.send("127.0.0.2", false)
		}
		if o.handled == overloadLength/2 {
			o.arrive = func() {}
			close(reached)
			<-goOn
		}
	})
	<-reached
	require.Greater(t, o.Stats().Backlog, 3*32)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, o.Shutdown(ctx), context.Canceled)
	close(goOn)
	require.Eventually(t, func() bool { return o.Stats().Backlog == 0 }, waitLimit, tick)
	o.mu.Lock()
	defer o.mu.Unlock()
	require.LessOrEqual(t, o.handled, uint64(overloadLength/2+32), "the batch that it was at")
	stats := o.Stats()
	require.Equal(t, stats.Received, o.handled+stats.Discards[radius.DiscardOverload]+stats.Discards[radius.DiscardShutdown])
}
