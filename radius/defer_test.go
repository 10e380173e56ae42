package radius_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// The deferred function gets a copy of the request, whatever comes in meanwhile.
func TestDeferCopiesTheRequest(t *testing.T) {
	names := make(chan string, 1)
	started, proceed := make(chan struct{}), make(chan struct{})
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Identifier() != 1 {
			w.Send()
			return
		}
		w.AddSalted(311, 16, []byte("key"))
		w.Defer(func(w *radius.Reply, r *radius.Request) {
			close(started)
			<-proceed
			plain, _ := r.AppendUserPassword(nil)
			name, _ := r.Packet.Attributes().String(radius.TypeUserName)
			names <- name + ":" + string(plain)
			w.SetCode(radius.AccessAccept)
			w.AddSalted(311, 17, []byte("key"))
			w.Send()
		})
	}))
	p := dial(t, s.auth)
	r := request(radius.AccessRequest, 1, testSecret, with(radius.TypeUserName, "alice"), password("secret"), with(radius.TypeProxyState, "p"), signed)
	p.send(r)
	<-started
	for i := range 100 { // these take the place of its datagram
		p.exchange(request(radius.AccessRequest, uint8(2+i), testSecret, with(radius.TypeUserName, "bobby"), password("public"), signed))
	}
	p.send(r) // in progress
	p.silent()
	close(proceed)
	require.Equal(t, "alice:secret", <-names)
	reply := p.receive()
	p.verify(r, reply)
	require.Equal(t, []string{"p"}, values(reply, radius.TypeProxyState))
	a, _ := reply.Attributes().Vendor(311, 16)
	b, _ := reply.Attributes().Vendor(311, 17)
	require.NotEqual(t, a[:2], b[:2], "salts")
	require.EqualValues(t, 1, s.Stats().Discards[radius.DiscardDuplicateInProgress])
}

// A deferred function may defer again, or hold.
func TestDeferFurther(t *testing.T) {
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) {
		w.Defer(func(w *radius.Reply, r *radius.Request) {
			w.Defer(func(w *radius.Reply, r *radius.Request) {
				class, _ := r.Packet.Attributes().Get(radius.TypeUserName)
				w.Add(radius.TypeClass, class)
				w.Hold()
				go w.Send()
			})
		})
	}))
	p := dial(t, s.auth)
	reply := p.exchange(request(radius.AccessRequest, 1, testSecret, with(radius.TypeUserName, "alice"), signed))
	require.Equal(t, []string{"alice"}, values(reply, radius.TypeClass))
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
}

// plug occupies the only worker of a pool until it is pulled.
type plug struct{ started, pull chan struct{} }

// order is what has been done, as source and Identifier.
type order struct {
	mu   sync.Mutex
	done []string
}

func (o *order) add(r *radius.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = append(o.done, fmt.Sprintf("%v/%d", r.Source.Addr(), r.Packet.Identifier()))
}

func (o *order) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.done...)
}

// deferring is a handler that defers everything behind the plug, which is the
// request with Identifier 0, and notes in which order the rest is done.
func deferring(p plug, done *order) radius.Handler {
	return radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) {
		w.Defer(func(w *radius.Reply, r *radius.Request) {
			if r.Packet.Identifier() == 0 {
				close(p.started)
				<-p.pull
			} else {
				done.add(r)
			}
			w.Send()
		})
	})
}

// dialFrom is dial from an address of ours.
func dialFrom(t testing.TB, server netip.AddrPort, from string) *peer {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(server))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t, testSecret}
}

// At a multiple of what it can do the pool sheds fresh requests in silence, brings
// logins that have begun to their end, and serves the sources evenly.
func TestOverload(t *testing.T) {
	var done order
	stopper := plug{make(chan struct{}), make(chan struct{})}
	s := serve(t, deferring(stopper, &done), func(s *radius.Server) {
		s.Workers, s.QueueLength = 1, 16
		nas := &radius.NAS{Name: "test", Secrets: [][]byte{testSecret}}
		s.NASes = nasTable{}
		for _, a := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
			s.NASes.(nasTable)[netip.MustParseAddr(a)] = nas
		}
	})
	flood, other, late := dialFrom(t, s.auth, "127.0.0.1"), dialFrom(t, s.auth, "127.0.0.2"), dialFrom(t, s.auth, "127.0.0.3")
	flood.send(request(radius.AccessRequest, 0, testSecret, signed))
	<-stopper.started

	for i := 1; i <= 48; i++ { // three times the queue, from one source
		flood.send(request(radius.AccessRequest, uint8(i), testSecret, signed))
	}
	flood.silent()
	require.Equal(t, 8, s.Stats().Queued, "one source gets half of the queue")
	require.EqualValues(t, 40, s.Stats().Discards[radius.DiscardOverload])
	for i := 1; i <= 8; i++ {
		other.send(request(radius.AccessRequest, uint8(i), testSecret, signed))
	}
	other.silent()
	require.Equal(t, 12, s.Stats().Queued, "another one half of the rest")
	late.send(request(radius.AccessRequest, 1, testSecret, signed))
	late.send(request(radius.AccessRequest, 2, testSecret, with(radius.TypeState, "s"), signed))
	// A login that has begun displaces a fresh one of the same source.
	other.send(request(radius.AccessRequest, 9, testSecret, with(radius.TypeState, "s"), signed))
	late.silent()
	require.Equal(t, 14, s.Stats().Queued)
	require.EqualValues(t, 45, s.Stats().Discards[radius.DiscardOverload])

	// What was shed was forgotten: a retransmission may have more luck.
	close(stopper.pull)
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	require.Equal(t, []string{
		"127.0.0.1/1", "127.0.0.2/9", "127.0.0.3/2", // each in turn, State first
		"127.0.0.1/2", "127.0.0.2/2", "127.0.0.3/1",
		"127.0.0.1/3", "127.0.0.2/3",
		"127.0.0.1/4", "127.0.0.2/4",
		"127.0.0.1/5", "127.0.0.1/6", "127.0.0.1/7", "127.0.0.1/8",
	}, done.list())
	shed := request(radius.AccessRequest, 48, testSecret, signed)
	for range 1 + 8 {
		flood.receive()
	}
	flood.exchange(shed)
}

// A flood of logins that have begun does not push each other out.
func TestOverloadOfBegunLogins(t *testing.T) {
	var done order
	stopper := plug{make(chan struct{}), make(chan struct{})}
	s := serve(t, deferring(stopper, &done), func(s *radius.Server) { s.Workers, s.QueueLength = 1, 8 })
	p := dial(t, s.auth)
	p.send(request(radius.AccessRequest, 0, testSecret, signed))
	<-stopper.started
	for i := 1; i <= 12; i++ {
		p.send(request(radius.AccessRequest, uint8(i), testSecret, with(radius.TypeState, "s"), signed))
	}
	p.silent()
	require.Equal(t, 4, s.Stats().Queued)
	require.EqualValues(t, 8, s.Stats().Discards[radius.DiscardOverload])
	close(stopper.pull)
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	require.Equal(t, []string{"127.0.0.1/1", "127.0.0.1/2", "127.0.0.1/3", "127.0.0.1/4"}, done.list())
}

// A flood with an invented State leaves others their turns.
func TestOverloadWithInventedState(t *testing.T) {
	var done order
	stopper := plug{make(chan struct{}), make(chan struct{})}
	s := serve(t, deferring(stopper, &done), func(s *radius.Server) {
		s.Workers, s.QueueLength = 1, 16
		nas := &radius.NAS{Name: "test", Secrets: [][]byte{testSecret}}
		s.NASes = nasTable{netip.MustParseAddr("127.0.0.1"): nas, netip.MustParseAddr("127.0.0.2"): nas}
	})
	flood, other := dialFrom(t, s.auth, "127.0.0.1"), dialFrom(t, s.auth, "127.0.0.2")
	flood.send(request(radius.AccessRequest, 0, testSecret, signed))
	<-stopper.started
	for i := 1; i <= 48; i++ {
		flood.send(request(radius.AccessRequest, uint8(i), testSecret, with(radius.TypeState, "invented"), signed))
	}
	flood.silent()
	other.send(request(radius.AccessRequest, 1, testSecret, signed))
	other.send(request(radius.AccessRequest, 2, testSecret, signed))
	other.silent()
	close(stopper.pull)
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	require.Equal(t, []string{
		"127.0.0.1/1", "127.0.0.2/1", "127.0.0.1/2", "127.0.0.2/2",
		"127.0.0.1/3", "127.0.0.1/4", "127.0.0.1/5", "127.0.0.1/6", "127.0.0.1/7", "127.0.0.1/8",
	}, done.list())
}

// A request that has been replaced while it waited is not worked on.
func TestReplacedWhileQueued(t *testing.T) {
	var done order
	stopper := plug{make(chan struct{}), make(chan struct{})}
	s := serve(t, deferring(stopper, &done), func(s *radius.Server) { s.Workers = 1 })
	p := dial(t, s.auth)
	p.send(request(radius.AccessRequest, 0, testSecret, signed))
	<-stopper.started
	p.send(request(radius.AccessRequest, 1, testSecret, authenticator(1), signed))
	newer := request(radius.AccessRequest, 1, testSecret, authenticator(2), signed)
	p.send(newer)
	p.silent()
	close(stopper.pull)
	p.receive()
	p.verify(newer, p.receive())
	require.Equal(t, []string{"127.0.0.1/1"}, done.list())
	require.Equal(t, map[radius.Discard]uint64{radius.DiscardReplaced: 1}, s.Stats().Discards)
}

// giveUp shuts a server down without waiting for what it has delayed for an hour.
func giveUp(t *testing.T, s *testServer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
}

// A delay is a floor, and silence to repeats until then.
func TestDelay(t *testing.T) {
	const delay = 200 * time.Millisecond
	slow, slower := make(chan *radius.Reply, 1), 3*delay
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		w.DelayUntil(delay)
		if r.Packet.Identifier() == 4 {
			w.DelayUntil(time.Hour)
		}
		switch r.Packet.Identifier() {
		case 1, 4:
			w.Send()
		case 2:
			w.Hold()
			slow <- w
		case 3:
			w.DelayUntil(0)
			w.Send()
		}
	}))
	p := dial(t, s.auth)
	sent := time.Now()
	r := request(radius.AccessRequest, 1, testSecret, signed)
	reply := p.exchange(r)
	require.GreaterOrEqual(t, time.Since(sent), delay)
	require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
	require.Equal(t, reply, p.exchange(r), "a repeat does not wait again")

	late := request(radius.AccessRequest, 2, testSecret, signed)
	sent = time.Now()
	p.send(late)
	w := <-slow
	timer := time.NewTimer(slower)
	defer timer.Stop()
	<-timer.C
	w.Send()
	require.Zero(t, s.Stats().Delayed, "it has taken longer than the delay")
	p.verify(late, p.receive())
	require.GreaterOrEqual(t, time.Since(sent), slower)

	long := request(radius.AccessRequest, 4, testSecret, signed)
	p.send(long)
	p.send(long)
	p.silent()
	p.exchange(request(radius.AccessRequest, 3, testSecret, signed))
	require.Equal(t, 1, s.Stats().Delayed)
	giveUp(t, s)
}

// Ten thousand rejects that wait do not hold up an accept.
func TestAcceptsAmongDelayedRejects(t *testing.T) {
	const rejects, accepts = 10000, 1000
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Attributes().Has(radius.TypeUserName) {
			w.SetCode(radius.AccessAccept)
		} else {
			w.DelayUntil(2 * time.Second)
		}
		w.Send()
	}))
	p := dial(t, s.auth)
	measure := func() time.Duration {
		began := time.Now()
		for i := range accepts {
			p.exchange(request(radius.AccessRequest, uint8(i), testSecret, authenticator(uint64(time.Now().UnixNano())), with(radius.TypeUserName, "alice"), signed))
		}
		return time.Since(began)
	}
	alone := measure()
	peers := make([]*peer, 0, rejects/200)
	for len(peers) < cap(peers) {
		q := dial(t, s.auth)
		peers = append(peers, q)
		for i := range 200 {
			q.send(request(radius.AccessRequest, uint8(i), testSecret, signed))
		}
		p.silent() // the listener has read them; q may have its first answer
	}
	among := measure()
	t.Logf("%d accepts take %v alone, %v among %d rejects", accepts, alone, among, s.Stats().Delayed)
	// One that waited for a reject before it would take its 2 s a thousand times.
	require.Less(t, among, 5*alone+20*time.Second)
	for _, q := range peers {
		for range 200 {
			require.Equal(t, radius.AccessReject, q.receive().Code())
		}
	}
	require.Empty(t, s.Stats().Discards)
	require.EqualValues(t, rejects, s.Stats().Answers[radius.AccessRequest][radius.AccessReject])
}

// No more replies wait than there is room for; one source has half of it.
func TestDelayedRepliesAreBounded(t *testing.T) {
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) {
		w.DelayUntil(time.Hour)
		w.Send()
	}), func(s *radius.Server) { s.DelayLength = 20 })
	p := dial(t, s.auth)
	for i := range 30 {
		p.send(request(radius.AccessRequest, uint8(i), testSecret, signed))
	}
	p.silent()
	require.Equal(t, map[radius.Discard]uint64{radius.DiscardOverload: 20}, s.Stats().Discards)
	require.Equal(t, 10, s.Stats().Delayed)
	giveUp(t, s)
}
