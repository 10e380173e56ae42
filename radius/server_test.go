package radius_test

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/freeport"
	"radiusd/radius"
)

func TestStatusServer(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, _ *radius.Request) {
		t.Error("Status-Server is not for the handler")
		w.Send()
	}), func(s *radius.Server) { s.AcctReady = ready.Load })
	auth, acct := dial(t, s.auth), dial(t, s.acct)
	r := request(radius.StatusServer, 1, testSecret, with(radius.TypeProxyState, "p"), signed)
	reply := auth.exchange(r)
	require.Equal(t, radius.AccessAccept, reply.Code())
	require.Equal(t, []string{"p"}, values(reply, radius.TypeProxyState))
	require.Equal(t, radius.AccountingResponse, acct.exchange(r).Code())

	ready.Store(false)
	acct.send(r)
	require.Equal(t, radius.AccessAccept, auth.exchange(r).Code())
	require.Eventually(t, func() bool { return s.Stats().Discards[radius.DiscardNotReady] == 1 }, waitLimit, tick)
	ready.Store(true)
	acct.exchange(r)
	require.Zero(t, s.Stats().Entries)
}

func TestIPv6(t *testing.T) {
	s := serve(t, accept, func(s *radius.Server) { s.Auth, s.Acct = []string{"[::1]:0"}, []string{"[::1]:0"} })
	require.Equal(t, netip.IPv6Loopback(), s.auth.Addr())
	dial(t, s.auth).exchange(request(radius.AccessRequest, 1, testSecret, signed))
	dial(t, s.acct).exchange(request(radius.AccountingRequest, 1, testSecret))
}

// Bound to all addresses, a reply leaves from the one that was asked; the peer's
// connected socket takes no other. Sources come as what they are.
func TestRepliesLeaveFromTheAddressAsked(t *testing.T) {
	for _, c := range []struct {
		listen string
		ask    []string
	}{
		{":0", []string{"127.0.0.1", "127.0.0.2", "127.3.2.1", "::1"}},
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.3.2.1"}},
		{"[::]:0", []string{"::1"}},
		{"localhost:0", []string{"127.0.0.1"}},
	} {
		t.Run(c.listen, func(t *testing.T) {
			requests := make(chan radius.Request, 1)
			held := make(chan *radius.Reply, 1)
			s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
				requests <- *r
				if r.Packet.Identifier() == 2 {
					w.Hold()
					held <- w
					return
				}
				w.Send()
			}), func(s *radius.Server) {
				s.Auth, s.Listeners = []string{c.listen}, 2
				nas := &radius.NAS{Name: "test", Secrets: [][]byte{testSecret}}
				table := loopbackNAS(nas)
				for _, a := range c.ask { // Linux sends to its own address from there
					table[netip.MustParseAddr(a)] = nas
				}
				s.NASes = table
			})
			for _, a := range c.ask {
				to := netip.AddrPortFrom(netip.MustParseAddr(a), s.auth.Port())
				p := dial(t, to)
				p.exchange(request(radius.AccessRequest, 1, testSecret, signed))
				r := <-requests
				assert.Equal(t, to, r.Destination)
				assert.Equal(t, p.LocalAddr().(*net.UDPAddr).AddrPort(), r.Source)
				// The same through the sender, and from the table.
				late := request(radius.AccessRequest, 2, testSecret, signed)
				p.send(late)
				<-requests
				(<-held).Send()
				reply := p.receive()
				require.Eventually(t, func() bool { return s.Stats().InFlight == 0 }, waitLimit, tick)
				require.Equal(t, reply, p.exchange(late))
			}
		})
	}
}

// "0.0.0.0" is not IPv6 and "[::]" not IPv4, so that both can be listed.
func TestFamiliesAreWhatTheySay(t *testing.T) {
	v4 := serve(t, accept, func(s *radius.Server) { s.Auth, s.Listeners = []string{"0.0.0.0:0"}, 2 })
	v6 := serve(t, accept, func(s *radius.Server) {
		s.Auth, s.Listeners = []string{netip.AddrPortFrom(netip.IPv6Unspecified(), v4.auth.Port()).String()}, 2
	})
	dial(t, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), v4.auth.Port())).exchange(request(radius.AccessRequest, 1, testSecret, signed))
	dial(t, netip.AddrPortFrom(netip.IPv6Loopback(), v4.auth.Port())).exchange(request(radius.AccessRequest, 1, testSecret, signed))
	require.EqualValues(t, 1, v4.Stats().Received)
	require.EqualValues(t, 1, v6.Stats().Received)
}

// Whatever socket a client's port leads to, its repeats lead there, too.
func TestRepeatsMeetTheirListener(t *testing.T) {
	var calls atomic.Int64
	s := serve(t, counted(&calls, accept), func(s *radius.Server) { s.Listeners = 8 })
	for range 32 {
		p := dial(t, s.auth)
		r := request(radius.AccessRequest, 1, testSecret, signed)
		require.Equal(t, p.exchange(r), p.exchange(r))
	}
	require.EqualValues(t, 32, calls.Load())
}

func TestStartFails(t *testing.T) {
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	nases := loopbackNAS(&radius.NAS{})
	port, err := freeport.Reserve()
	require.NoError(t, err)
	free := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for _, c := range []struct {
		name   string
		server *radius.Server
		want   []string
	}{
		{"nothing set", &radius.Server{}, []string{"no Handler", "no NASes", "no address"}},
		{"window too short", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free}, DuplicateWindow: time.Second}, []string{"duplicate window 1s, want 5s to 30s"}},
		{"window too long", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free}, DuplicateWindow: time.Minute}, []string{"duplicate window 1m0s"}},
		{"no port", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free}, Acct: []string{"127.0.0.1"}}, []string{"listen on 127.0.0.1:", "missing port"}},
		{"port in use", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free}, Acct: []string{taken.LocalAddr().String()}, Listeners: 1}, []string{taken.LocalAddr().String(), "address already in use"}},
		{"port in use, several listeners", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free}, Acct: []string{taken.LocalAddr().String()}, Listeners: 4}, []string{taken.LocalAddr().String(), "address already in use"}},
		{"not our address", &radius.Server{Handler: accept, NASes: nases, Auth: []string{free, "192.0.2.1:0"}}, []string{"192.0.2.1:0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.server.Start()
			require.Error(t, err)
			for _, w := range c.want {
				assert.ErrorContains(t, err, w)
			}
			again, err := net.ListenPacket("udp4", free)
			require.NoError(t, err, "what was bound before the failure is released")
			require.NoError(t, again.Close())
			require.NoError(t, c.server.Shutdown(context.Background()))
		})
	}
}

// Two servers must not share a port by accident, which SO_REUSEPORT would allow.
func TestSecondServerOnThePort(t *testing.T) {
	first := serve(t, accept, func(s *radius.Server) { s.Listeners = 2 })
	second := &radius.Server{
		Handler: accept, NASes: loopbackNAS(&radius.NAS{}),
		Auth: []string{first.auth.String()}, Listeners: 2,
	}
	require.ErrorContains(t, second.Start(), "address already in use")
	require.ErrorIs(t, first.Start(), radius.ErrServerStarted)
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	replies := make(chan *radius.Reply, 1)
	proceed := make(chan struct{})
	started := make(chan struct{})
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		switch r.Packet.Identifier() {
		case 1:
			w.Hold()
			replies <- w
		case 2:
			w.Defer(func(w *radius.Reply, _ *radius.Request) { close(started); <-proceed; w.Send() })
		case 3:
			w.DelayUntil(300 * time.Millisecond)
			w.Send()
		}
	}))
	p := dial(t, s.auth)
	var requests [4]radius.Packet
	for id := 1; id <= 3; id++ {
		requests[id] = request(radius.AccessRequest, uint8(id), testSecret, signed)
		p.send(requests[id])
	}
	w := <-replies
	<-started
	require.Eventually(t, func() bool { return s.Stats().InFlight == 3 }, waitLimit, tick)

	down := make(chan error, 2)
	for range 2 { // a second call waits for the first
		go func() { down <- s.Shutdown(context.Background()) }()
	}
	// Nothing is read any more: a socket that is closed or not read gives no answer.
	w.Send()
	close(proceed)
	got := make(map[uint8]bool)
	for range 3 {
		reply := p.receive()
		p.verify(requests[reply.Identifier()], reply)
		got[reply.Identifier()] = true
	}
	require.Len(t, got, 3)
	require.NoError(t, <-down)
	require.NoError(t, <-down)
	require.Empty(t, s.Stats().Discards)
}

func TestShutdownGivesUp(t *testing.T) {
	replies := make(chan *radius.Reply, 1)
	proceed, started, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := &radius.Server{
		Handler: radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
			switch r.Packet.Identifier() {
			case 1:
				w.Hold()
				replies <- w
			case 2:
				w.Defer(func(w *radius.Reply, _ *radius.Request) {
					defer close(ended)
					close(started)
					<-proceed
					w.Send()
				})
			case 3:
				w.Defer(func(w *radius.Reply, _ *radius.Request) { t.Error("not run any more") })
			case 4:
				w.DelayUntil(time.Hour)
				w.Send()
			}
		}),
		NASes: loopbackNAS(&radius.NAS{Secrets: [][]byte{testSecret}}),
		Auth:  []string{"127.0.0.1:0"}, Listeners: 1, Workers: 1,
	}
	require.NoError(t, s.Start())
	auth, _ := s.Addrs()
	p := dial(t, auth[0])
	for id := 1; id <= 4; id++ {
		p.send(request(radius.AccessRequest, uint8(id), testSecret, signed))
	}
	w := <-replies
	<-started
	require.Eventually(t, func() bool { return s.Stats().InFlight == 4 }, waitLimit, tick)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
	require.NoError(t, s.Shutdown(context.Background()))
	w.Send() // too late, and harmless
	close(proceed)
	<-ended
	require.Equal(t, map[radius.Discard]uint64{radius.DiscardShutdown: 4}, s.Stats().Discards)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	s := serve(t, radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
		if r.Packet.Attributes().Has(radius.TypeUserName) {
			w.SetCode(radius.AccessAccept)
		}
		w.Send()
	}), func(s *radius.Server) { s.Registerer = registry })
	auth, acct := dial(t, s.auth), dial(t, s.acct)
	r := request(radius.AccessRequest, 1, testSecret, with(radius.TypeUserName, "alice"), signed)
	auth.exchange(r)
	auth.exchange(r)
	auth.exchange(request(radius.AccessRequest, 2, testSecret, signed))
	auth.send(request(radius.AccessRequest, 3, testSecret))
	auth.exchange(request(radius.StatusServer, 4, testSecret, signed))
	acct.exchange(request(radius.AccountingRequest, 1, testSecret))

	problems, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	require.Empty(t, problems)
	const want = `
# HELP radiusd_requests_total Requests from known NASes by code and result, duplicates not counted.
# TYPE radiusd_requests_total counter
radiusd_requests_total{code="Access-Request",result="Access-Accept"} 1
radiusd_requests_total{code="Access-Request",result="Access-Challenge"} 0
radiusd_requests_total{code="Access-Request",result="Access-Reject"} 1
radiusd_requests_total{code="Access-Request",result="Protocol-Error"} 0
radiusd_requests_total{code="Access-Request",result="discarded"} 1
radiusd_requests_total{code="Accounting-Request",result="Accounting-Response"} 1
radiusd_requests_total{code="Accounting-Request",result="Protocol-Error"} 0
radiusd_requests_total{code="Accounting-Request",result="discarded"} 0
radiusd_requests_total{code="Status-Server",result="Access-Accept"} 1
radiusd_requests_total{code="Status-Server",result="Accounting-Response"} 0
radiusd_requests_total{code="Status-Server",result="Protocol-Error"} 0
radiusd_requests_total{code="Status-Server",result="discarded"} 0
# HELP radiusd_duplicates_total Repeated requests: answered with the same reply again, or dropped because the first one is in progress.
# TYPE radiusd_duplicates_total counter
radiusd_duplicates_total{result="answered",service="acct"} 0
radiusd_duplicates_total{result="answered",service="auth"} 1
radiusd_duplicates_total{result="in_progress",service="acct"} 0
radiusd_duplicates_total{result="in_progress",service="auth"} 0
# HELP radiusd_duplicate_table_entries Requests that the duplicate tables remember.
# TYPE radiusd_duplicate_table_entries gauge
radiusd_duplicate_table_entries{service="acct"} 1
radiusd_duplicate_table_entries{service="auth"} 2
`
	require.Eventually(t, func() bool { return s.Stats().Sent == 5 }, waitLimit, tick) // counted after it is written
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want),
		"radiusd_requests_total", "radiusd_duplicates_total", "radiusd_duplicate_table_entries"))

	families, err := registry.Gather()
	require.NoError(t, err)
	seen := make(map[string]bool)
	for _, f := range families {
		seen[f.GetName()] = true
		if f.GetName() == "radiusd_request_duration_seconds" {
			counts := make(map[string]uint64)
			for _, m := range f.GetMetric() {
				counts[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
			require.Equal(t, map[string]uint64{"Access-Request": 2, "Accounting-Request": 1, "Status-Server": 1}, counts)
		}
		if f.GetName() == "radiusd_discards_total" {
			total := 0.0
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue()
			}
			require.EqualValues(t, 1, total)
		}
	}
	for _, name := range []string{"radiusd_deferred_queue_length", "radiusd_responses_total", "radiusd_socket_drops_total", "radiusd_requests_in_flight", "radiusd_handler_panics_total"} {
		require.True(t, seen[name], name)
	}
}

// Where no setting would help, none is advised.
func TestLogOfWhatIsAlwaysRequired(t *testing.T) {
	eap := with(radius.TypeEAPMessage, "\x02\x01\x00\x06\x01a")
	for name, r := range map[string]radius.Packet{
		"Status-Server": request(radius.StatusServer, 1, testSecret),
		"EAP-Message":   request(radius.AccessRequest, 1, testSecret, eap),
	} {
		t.Run(name, func(t *testing.T) {
			log := new(lockedBuffer)
			s := serve(t, accept, logTo(log), singleNAS(func(n *radius.NAS) { n.RequireMessageAuthenticator = radius.RequireNo }))
			p := dial(t, s.auth)
			p.send(r)
			p.silent()
			require.Contains(t, log.String(), "must have whatever require_message_authenticator says")
			require.NotContains(t, log.String(), "accept the risk")
		})
	}
}

// A NAS that must change gets one line that names it and says what to do, however
// many packets it sends; a stranger, too.
func TestLogsOncePerNAS(t *testing.T) {
	log := new(lockedBuffer)
	s := serve(t, accept, logTo(log), singleNAS(func(*radius.NAS) {}))
	p := dial(t, s.auth)
	for i := range 10 {
		p.send(request(radius.AccessRequest, uint8(i), testSecret))
	}
	p.silent()
	require.Equal(t, 1, strings.Count(log.String(), "no Message-Authenticator"), log.String())
	require.Contains(t, log.String(), "nas=edge-1")
	require.Contains(t, log.String(), "require_message_authenticator")
	for i := range 10 {
		p.send(request(radius.AccessRequest, uint8(i), []byte("wrong"), signed))
	}
	p.silent()
	require.Equal(t, 1, strings.Count(log.String(), "Message-Authenticator is wrong"))
	require.NotContains(t, log.String(), string(testSecret))

	log = new(lockedBuffer)
	s = serve(t, accept, logTo(log), func(s *radius.Server) { s.NASes = nasTable{} })
	p = dial(t, s.auth)
	for range 10 {
		p.send([]byte("x"))
	}
	require.Eventually(t, func() bool { return s.Stats().Discards[radius.DiscardUnknownNAS] == 10 }, waitLimit, tick)
	require.Equal(t, 1, strings.Count(log.String(), "unknown source"))
	require.Contains(t, log.String(), "source=127.0.0.1")
}
