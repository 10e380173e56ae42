package radius

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// identifiers is how many requests may be under way on one socket, which is how
// many identifiers there are.
const identifiers = 256

// result ends an exchange.
type result struct {
	packet Packet
	err    error
}

// exchange is one request under way.
type exchange struct {
	hasher  *Hasher
	code    Code // of the request
	lenient bool // takes responses without Message-Authenticator
	request Packet
	result  chan result // takes one result, so that who sends it never waits

	// The rest is guarded by the socket's mutex.
	expected bool // the request is complete: responses may be checked against it
	ignored  int
	reason   Discard
}

// exchange returns an exchange with the secret, of one that is done if there is one.
func (c *Client) exchange(secret []byte, code Code) *exchange {
	x, _ := c.exchanges.Get().(*exchange)
	if x == nil {
		x = &exchange{result: make(chan result, 1)}
	}
	if x.hasher == nil || !bytes.Equal(x.hasher.secret, secret) {
		x.hasher = NewHasher(secret)
	}
	x.code, x.lenient = code, c.AllowMissingMessageAuthenticator
	x.expected, x.ignored, x.reason = false, 0, 0
	return x
}

// check returns the response that the datagram holds if it is the one to x, or why
// it is not.
func (x *exchange) check(p Packet) Discard {
	authenticator := x.request.Authenticator()
	if !p.Code().Answers(x.code) {
		return DiscardWrongCode
	}
	if !x.hasher.VerifyResponse(p, authenticator) {
		return DiscardAuthenticatorInvalid
	}
	switch x.hasher.VerifyMessageAuthenticator(p, authenticator) {
	case MessageAuthenticatorAbsent:
		// RFC 2869 defines none for accounting, and RFC 5176 leaves it to choice.
		protected := x.code == AccessRequest || x.code == StatusServer && p.Code() != AccountingResponse
		if protected && !x.lenient {
			return DiscardMessageAuthenticatorMissing
		}
	case MessageAuthenticatorInvalid:
		// FreeRADIUS computes that of an Accounting-Response over zeros.
		if x.code != AccountingRequest || x.hasher.VerifyMessageAuthenticator(p, &zeroAuthenticator) != MessageAuthenticatorValid {
			return DiscardMessageAuthenticatorInvalid
		}
	}
	return 0
}

// peer is a server and the sockets that are open for it.
type peer struct {
	client *Client
	addr   netip.AddrPort
	slots  chan struct{} // one for each exchange under way, which it limits
	users  int           // exchanges that hold the peer; guarded by the client's mutex

	mu      sync.Mutex
	sockets []*socket
	closed  bool
}

// enter returns the peer for an address and holds it until leave.
func (c *Client) enter(addr netip.AddrPort) (*peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClientClosed
	}
	p := c.peers[addr]
	if p == nil {
		p = &peer{client: c, addr: addr, slots: make(chan struct{}, identifiers*orDefault(c.MaxSockets, 16))}
		if c.peers == nil {
			c.peers = make(map[netip.AddrPort]*peer)
		}
		c.peers[addr] = p
	}
	p.users++
	return p, nil
}

// leave lets the peer go.
func (c *Client) leave(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.users--
	c.forget(p)
}

// forget drops a peer that has neither exchanges nor sockets. The client's mutex is
// held.
func (c *Client) forget(p *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 && len(p.sockets) == 0 && c.peers[p.addr] == p {
		delete(c.peers, p.addr)
	}
}

// reserve finds a socket with a free identifier, or opens one, and takes it for x.
// It waits while all sockets are full.
func (p *peer) reserve(ctx context.Context, x *exchange) (*socket, uint8, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	s, identifier, err := p.take(ctx, x)
	if err != nil {
		<-p.slots
	}
	return s, identifier, err
}

func (p *peer) take(ctx context.Context, x *exchange) (*socket, uint8, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, 0, ErrClientClosed
	}
	for _, s := range p.sockets {
		if identifier, ok := s.take(x); ok {
			return s, identifier, nil
		}
	}
	// Slots are as many as identifiers, so there is room for one more socket.
	s, err := p.open(ctx)
	if err != nil {
		return nil, 0, err
	}
	identifier, _ := s.take(x)
	return s, identifier, nil
}

// open opens a socket. The peer's mutex is held.
func (p *peer) open(ctx context.Context) (*socket, error) {
	dial := p.client.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "udp", p.addr.String())
	if err != nil {
		return nil, err
	}
	s := &socket{peer: p, conn: conn, next: uint8(rand.Uint32())}
	p.sockets = append(p.sockets, s)
	p.client.readers.Go(s.read)
	return s, nil
}

// close closes the sockets for good.
func (p *peer) close() {
	p.mu.Lock()
	p.closed = true
	sockets := slices.Clone(p.sockets)
	p.mu.Unlock()
	for _, s := range sockets {
		s.close(ErrClientClosed)
	}
}

// remove takes a socket that is closed off the list.
func (p *peer) remove(s *socket) {
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	p.mu.Lock()
	p.sockets = slices.DeleteFunc(p.sockets, func(other *socket) bool { return other == s })
	p.mu.Unlock()
	c.forget(p)
}

// socket is a connected socket: the system passes on what comes from the server's
// address only, and what ICMP says about it.
type socket struct {
	peer *peer
	conn net.Conn

	mu        sync.Mutex
	exchanges [identifiers]*exchange
	count     int   // of exchanges
	next      uint8 // where to look for a free identifier: the one used longest ago
	idle      *time.Timer
	closed    bool
}

// take gives x an identifier, if one is free.
func (s *socket) take(x *exchange) (uint8, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.count == identifiers {
		return 0, false
	}
	for s.exchanges[s.next] != nil {
		s.next++
	}
	identifier := s.next
	s.next++
	s.exchanges[identifier] = x
	s.count++
	if s.idle != nil {
		s.idle.Stop()
	}
	return identifier, true
}

// expect lets responses in, now that the request is complete. If the socket was
// closed meanwhile, the exchange has its result already.
func (s *socket) expect(identifier uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges[identifier].expected = true
}

// release frees the identifier.
func (s *socket) release(identifier uint8) {
	s.mu.Lock()
	x := s.exchanges[identifier]
	s.exchanges[identifier] = nil
	s.count--
	select {
	case <-x.result: // came too late
	default:
	}
	if s.count == 0 && !s.closed {
		timeout := orDefault(s.peer.client.IdleTimeout, 30*time.Second)
		if s.idle == nil {
			s.idle = time.AfterFunc(timeout, s.closeIdle)
		} else {
			s.idle.Reset(timeout)
		}
	}
	s.mu.Unlock()
	<-s.peer.slots
}

// ignored returns how many packets were not taken as the response to x, and why.
func (s *socket) ignored(x *exchange) (int, Discard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.ignored, x.reason
}

// read passes responses on until the socket is closed.
func (s *socket) read() {
	buffer := make([]byte, MaxLength+1)
	for {
		n, err := s.conn.Read(buffer)
		switch {
		case err == nil:
			s.receive(buffer[:n])
		case isUnreachable(err):
			s.fail(err)
		default:
			s.close(err)
			return
		}
	}
}

// receive passes the datagram on if it is the response to an exchange.
func (s *socket) receive(datagram []byte) {
	p, discard := Parse(datagram)
	if discard != 0 {
		return // nothing says whose it would be
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.exchanges[p.Identifier()]
	if x == nil || !x.expected {
		return
	}
	if discard = x.check(p); discard != 0 {
		x.ignored++
		x.reason = discard
		return
	}
	x.finish(result{packet: append(Packet(nil), p...)})
}

// finish gives the exchange a result, unless it has one.
func (x *exchange) finish(r result) {
	select {
	case x.result <- r:
	default:
	}
}

// fail ends the exchanges under way with the network's error.
func (s *socket) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.exchanges {
		if x != nil {
			x.finish(result{err: err})
		}
	}
}

// closeIdle closes the socket if no exchange is under way.
func (s *socket) closeIdle() {
	s.mu.Lock()
	if s.count > 0 || s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	s.conn.Close()
	s.peer.remove(s)
}

// close ends the exchanges under way with err and closes the socket.
func (s *socket) close(err error) {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.fail(err)
	s.conn.Close()
	s.peer.remove(s)
}
