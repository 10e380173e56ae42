package radiustest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"radiusd/radius"
)

// NAS is a NAS for tests: one socket that sends what it is given, octet for octet,
// and reads what comes back. It is for one goroutine.
type NAS struct {
	// Secret signs, encrypts and verifies; a test may change it between calls.
	Secret []byte
	// Name is the NAS-Identifier of its requests.
	Name string
	// Timeout is how long it waits for an answer.
	Timeout time.Duration
	// Repeat is after how long without an answer Ask sends its packet again, as it is;
	// zero: it does not. Beside other traffic a socket may have no room for the first.
	Repeat time.Duration

	t          testing.TB
	conn       *net.UDPConn
	identifier uint8
}

// NewNAS returns a NAS with a socket on a free port of the address, such as 127.0.0.1
// or ::1, with [Secret], until the test ends.
func NewNAS(t testing.TB, address string) *NAS {
	t.Helper()
	n := &NAS{Secret: []byte(Secret), Name: "test-nas", Timeout: time.Minute, t: t, conn: listen(t, address)}
	t.Cleanup(func() { n.conn.Close() })
	return n
}

// listen returns a socket on a free port of the address.
func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	addr, err := netip.ParseAddr(address)
	if err != nil {
		t.Fatalf("address of a NAS: %v", err)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		t.Fatalf("open a NAS's socket: %v", err)
	}
	return conn
}

// Addr returns the address that its requests come from.
func (n *NAS) Addr() netip.AddrPort { return n.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// message returns a request that says which NAS it is from.
func (n *NAS) message(code radius.Code) *radius.Message {
	m := &radius.Message{Code: code}
	m.AddString(radius.TypeNASIdentifier, n.Name)
	if addr := n.Addr().Addr(); addr.Is4() {
		m.AddAddr(radius.TypeNASIPAddress, addr)
	} else {
		m.AddAddr(radius.TypeNASIPv6Address, addr)
	}
	return m
}

// PAP returns an Access-Request with User-Name and User-Password, to which a test may
// add more.
func (n *NAS) PAP(user, password string) *radius.Message {
	n.t.Helper()
	m := n.message(radius.AccessRequest)
	m.AddString(radius.TypeUserName, user)
	if err := m.AddUserPassword(n.Secret, password); err != nil {
		n.t.Fatal(err)
	}
	return m
}

// CHAP returns an Access-Request with User-Name and CHAP-Password, to which a test may
// add more.
func (n *NAS) CHAP(user, password string) *radius.Message {
	m := n.message(radius.AccessRequest)
	m.AddString(radius.TypeUserName, user)
	m.AddCHAPPassword(n.identifier, password)
	return m
}

// Status returns a Status-Server.
func (n *NAS) Status() *radius.Message { return n.message(radius.StatusServer) }

// Sign returns the message as a packet with an identifier of its own, for a test that
// repeats it or spoils it.
func (n *NAS) Sign(m *radius.Message) radius.Packet {
	n.t.Helper()
	p, err := m.AppendTo(nil, n.identifier, radius.NewHasher(n.Secret))
	if err != nil {
		n.t.Fatal(err)
	}
	n.identifier++
	return p
}

// Send sends octets, of whatever content, to the server at host:port.
func (n *NAS) Send(server string, octets []byte) {
	n.t.Helper()
	addr, err := netip.ParseAddrPort(server)
	if err != nil {
		n.t.Fatalf("address of a server: %v", err)
	}
	if _, err := n.conn.WriteToUDPAddrPort(octets, addr); err != nil {
		n.t.Fatalf("send as a NAS: %v", err)
	}
}

// Receive returns the next datagram that comes within the time, unverified, or nil.
func (n *NAS) Receive(within time.Duration) []byte {
	n.t.Helper()
	buffer := make([]byte, 1<<16)
	if err := n.conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		n.t.Fatal(err)
	}
	length, err := n.conn.Read(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	} else if err != nil {
		n.t.Fatalf("receive as a NAS: %v", err)
	}
	return buffer[:length]
}

// Exchange signs and sends the message and returns its answer; see [NAS.Ask].
func (n *NAS) Exchange(server string, m *radius.Message) radius.Packet {
	n.t.Helper()
	return n.Ask(server, n.Sign(m))
}

// Ask sends a packet and returns the answer to it. Answers to others, which come late,
// are passed over. The test fails if there is none in time or if it does not verify:
// its Response Authenticator, its Message-Authenticator if it has one, and that the
// Message-Authenticator is the first attribute of the answer to an Access-Request.
func (n *NAS) Ask(server string, request radius.Packet) radius.Packet {
	n.t.Helper()
	n.Send(server, request)
	deadline := time.Now().Add(n.Timeout)
	for {
		wait := time.Until(deadline)
		if n.Repeat > 0 {
			wait = min(wait, n.Repeat)
		}
		datagram := n.Receive(wait)
		if datagram == nil && time.Now().Before(deadline) {
			n.Send(server, request)
			continue
		}
		if datagram == nil {
			n.t.Fatalf("%v: no answer from %s in %v", request.Code(), server, n.Timeout)
		}
		p, discard := radius.Parse(datagram)
		if discard != 0 {
			n.t.Fatalf("%v: the answer is not a packet: %v", request.Code(), discard)
		}
		if p.Identifier() == request.Identifier() {
			n.verify(request, p)
			return p
		}
	}
}

// verify fails the test if p is not the answer to the request.
func (n *NAS) verify(request, p radius.Packet) {
	n.t.Helper()
	h := radius.NewHasher(n.Secret)
	if !p.Code().Answers(request.Code()) {
		n.t.Fatalf("%v was answered with %v", request.Code(), p.Code())
	}
	if !h.VerifyResponse(p, request.Authenticator()) {
		n.t.Fatalf("%v to %v: wrong Response Authenticator", p.Code(), request.Code())
	}
	switch h.VerifyMessageAuthenticator(p, request.Authenticator()) {
	case radius.MessageAuthenticatorInvalid:
		n.t.Fatalf("%v to %v: wrong Message-Authenticator", p.Code(), request.Code())
	case radius.MessageAuthenticatorAbsent:
		if request.Code() == radius.AccessRequest {
			n.t.Fatalf("%v to %v: no Message-Authenticator", p.Code(), request.Code())
		}
	case radius.MessageAuthenticatorValid:
		if request.Code() == radius.AccessRequest && radius.Type(p[radius.HeaderLength]) != radius.TypeMessageAuthenticator {
			n.t.Fatalf("%v to %v: Message-Authenticator is not the first attribute", p.Code(), request.Code())
		}
	}
}

// Silent sends octets and fails the test if anything comes back within the time.
func (n *NAS) Silent(server string, octets []byte, within time.Duration) {
	n.t.Helper()
	n.Send(server, octets)
	if datagram := n.Receive(within); datagram != nil {
		n.t.Fatalf("%d octets came back where silence was expected", len(datagram))
	}
}
