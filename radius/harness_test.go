package radius_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

var testSecret = []byte("testing123")

// nasTable is a NASLookup.
type nasTable map[netip.Addr]*radius.NAS

func (n nasTable) LookupNAS(source netip.Addr) *radius.NAS { return n[source] }

// loopbackNAS is one NAS at 127.0.0.1 and ::1.
func loopbackNAS(nas *radius.NAS) nasTable {
	return nasTable{netip.MustParseAddr("127.0.0.1"): nas, netip.IPv6Loopback(): nas}
}

// accept answers everything at once with what suits the request.
var accept = radius.HandlerFunc(func(w *radius.Reply, r *radius.Request) {
	if r.Packet.Code() == radius.AccessRequest {
		w.SetCode(radius.AccessAccept)
	}
	w.Send()
})

type testServer struct {
	*radius.Server
	t          testing.TB
	auth, acct netip.AddrPort
}

// serve starts a server with one listener on 127.0.0.1 for each service, and shuts
// it down when the test ends.
func serve(t testing.TB, handler radius.Handler, configure ...func(*radius.Server)) *testServer {
	t.Helper()
	s := &radius.Server{
		Handler: handler,
		NASes:   loopbackNAS(&radius.NAS{Name: "test", Secrets: [][]byte{testSecret}, SingleHost: true}),
		Auth:    []string{"127.0.0.1:0"}, Acct: []string{"127.0.0.1:0"},
		Listeners: 1,
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, c := range configure {
		c(s)
	}
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
	})
	ts := &testServer{Server: s, t: t}
	auth, acct := s.Addrs()
	if len(auth) > 0 {
		ts.auth = auth[0]
	}
	if len(acct) > 0 {
		ts.acct = acct[0]
	}
	return ts
}

// peer is a client's socket.
type peer struct {
	*net.UDPConn
	t      testing.TB
	secret []byte
}

func dial(t testing.TB, server netip.AddrPort) *peer {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &peer{c, t, testSecret}
}

func (p *peer) send(packet []byte) {
	p.t.Helper()
	_, err := p.Write(packet)
	require.NoError(p.t, err)
}

// receive returns the next datagram.
func (p *peer) receive() radius.Packet {
	p.t.Helper()
	buf := make([]byte, 5000)
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(waitLimit)))
	n, err := p.Read(buf)
	require.NoError(p.t, err, "no answer")
	reply, reason := radius.Parse(buf[:n])
	require.Zero(p.t, reason, "malformed answer")
	require.Len(p.t, reply, n)
	return reply
}

// exchange sends a request and returns its verified answer.
func (p *peer) exchange(request radius.Packet) radius.Packet {
	p.t.Helper()
	p.send(request)
	reply := p.receive()
	p.verify(request, reply)
	return reply
}

// verify checks what every reply must have.
func (p *peer) verify(request, reply radius.Packet) {
	p.t.Helper()
	h := radius.NewHasher(p.secret)
	require.Equal(p.t, request.Identifier(), reply.Identifier(), "answer to another request: %v", reply.Code())
	require.True(p.t, reply.Code().Answers(request.Code()), "%v answers %v", reply.Code(), request.Code())
	require.True(p.t, h.VerifyResponse(reply, request.Authenticator()), "Response Authenticator")
	result := h.VerifyMessageAuthenticator(reply, request.Authenticator())
	if request.Code() == radius.AccountingRequest {
		require.Equal(p.t, radius.MessageAuthenticatorAbsent, result)
		return
	}
	require.Equal(p.t, radius.MessageAuthenticatorValid, result, "Message-Authenticator")
	require.EqualValues(p.t, radius.TypeMessageAuthenticator, reply[radius.HeaderLength], "first attribute")
}

// silent requires that nothing has been answered so far: a Status-Server from the
// same socket, which the same listener reads after whatever was sent before it, is
// the first that is.
func (p *peer) silent() {
	p.t.Helper()
	probe := request(radius.StatusServer, 255, p.secret, signed)
	p.exchange(probe)
}

// attributes and how to sign, for request.
type option func(r *requestBuilder)

type requestBuilder struct {
	packet        []byte
	secret        []byte
	authenticator [16]byte
	sign          bool
}

func signed(r *requestBuilder) { r.sign = true }

func with(t radius.Type, value string) option {
	return func(r *requestBuilder) { r.packet = radius.AppendString(r.packet, t, value) }
}

func authenticator(n uint64) option {
	return func(r *requestBuilder) { binary.BigEndian.PutUint64(r.authenticator[:], n) }
}

func password(plain string) option {
	return func(r *requestBuilder) {
		hidden, err := radius.NewHasher(r.secret).AppendEncryptedUserPassword(nil, []byte(plain), &r.authenticator)
		if err != nil {
			panic(err)
		}
		r.packet = radius.AppendAttribute(r.packet, radius.TypeUserPassword, hidden)
	}
}

// request builds a request. Message-Authenticator, if it is signed, comes last.
func request(code radius.Code, identifier uint8, secret []byte, options ...option) radius.Packet {
	r := &requestBuilder{secret: secret, authenticator: [16]byte{8: 1, 15: identifier}}
	r.packet = radius.AppendHeader(nil, code, identifier, &r.authenticator)
	for _, o := range options {
		o(r)
	}
	copy(r.packet[4:], r.authenticator[:])
	h := radius.NewHasher(secret)
	offset := len(r.packet)
	if r.sign {
		r.packet = radius.AppendMessageAuthenticator(r.packet)
	}
	radius.SetLength(r.packet)
	if r.sign {
		h.SignMessageAuthenticator(r.packet, offset, nil)
	}
	h.SignRequest(r.packet)
	return r.packet
}

// What happens on the server's side is awaited, never slept for.
const (
	waitLimit = time.Minute
	tick      = time.Millisecond
)

// lockedBuffer takes a log from several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func logTo(b *lockedBuffer) func(*radius.Server) {
	return func(s *radius.Server) {
		s.Logger = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}
