package radius

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Client sends requests as a NAS, a proxy or a CoA client does: it retransmits as
// RFC 5080 section 2.2.1 says, the same octets each time, and takes as the response
// only what comes from the address it asked and verifies. Anything else is ignored
// and it keeps waiting, so that a forged packet cannot end an exchange.
//
// The zero value is ready for use. Its fields must not change after the first
// Exchange. It is safe for concurrent use: exchanges with one server share a few
// sockets, up to 256 at a time on each. Call Close when done.
type Client struct {
	// InitialTimeout is how long to wait before the first retransmission (IRT);
	// 0: 2 s. Later waits double.
	InitialTimeout time.Duration
	// MaxTimeout limits one wait (MRT); 0: 16 s.
	MaxTimeout time.Duration
	// MaxAttempts is how often a request is sent at most (MRC); 0: 5.
	MaxAttempts int
	// MaxDuration limits the whole exchange (MRD); 0: 30 s.
	MaxDuration time.Duration
	// AllowMissingMessageAuthenticator takes responses to Access-Request and
	// Status-Server without Message-Authenticator, as servers send them that do not
	// protect against BlastRADIUS (CVE-2024-3596). One that is there and wrong is
	// never taken.
	AllowMissingMessageAuthenticator bool
	// MaxSockets limits the sockets for one server, and with it the exchanges at a
	// time to 256 for each; more wait. 0: 16.
	MaxSockets int
	// IdleTimeout is how long a socket stays open without an exchange; 0: 30 s.
	IdleTimeout time.Duration
	// Dial opens a connected datagram socket, on which nothing arrives from other
	// addresses; nil: that of net.Dialer. It must not block: exchanges with the same
	// server wait for it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Random returns numbers in [0, 1) for the jitter of timeouts and must be safe for
	// concurrent use; nil: that of math/rand/v2.
	Random func() float64

	mu     sync.Mutex
	peers  map[netip.AddrPort]*peer
	closed bool

	exchanges sync.Pool      // of *exchange
	readers   sync.WaitGroup // the sockets' goroutines
}

// ErrClientClosed is returned by exchanges with a closed Client.
var ErrClientClosed = errors.New("radius: client closed")

// NoAnswerError says that a server did not answer, or nothing that verifies.
type NoAnswerError struct {
	Server   string // as given to Exchange
	Attempts int    // how often the request was sent
	Elapsed  time.Duration
	// Ignored is how many packets came that were not taken as the response, and
	// Reason is that of the last one: authenticator_invalid mostly means that the
	// secrets differ.
	Ignored int
	Reason  Discard
	// Cause is the context's error if that ended the exchange.
	Cause error
}

// Error implements error.
func (e *NoAnswerError) Error() string {
	s := fmt.Sprintf("radius: no answer from %s in %v to %d attempts", e.Server, e.Elapsed.Round(time.Millisecond), e.Attempts)
	if e.Ignored > 0 {
		s += fmt.Sprintf("; ignored %d packets, the last one as %v", e.Ignored, e.Reason)
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *NoAnswerError) Unwrap() error { return e.Cause }

// Timeout reports whether time ran out, as the errors of package net do, rather than
// that the context was canceled.
func (e *NoAnswerError) Timeout() bool { return !errors.Is(e.Cause, context.Canceled) }

// UnreachableError says that the network reported the server as unreachable: most
// often that nothing listens on its port.
type UnreachableError struct {
	Server   string // as given to Exchange
	Attempts int    // how often the request was sent
	Err      error  // wraps syscall.ECONNREFUSED, EHOSTUNREACH or ENETUNREACH
}

// Error implements error.
func (e *UnreachableError) Error() string {
	var errno syscall.Errno
	if errors.As(e.Err, &errno) {
		return fmt.Sprintf("radius: %s is unreachable: %v", e.Server, errno)
	}
	return fmt.Sprintf("radius: %s is unreachable: %v", e.Server, e.Err)
}

// Unwrap returns the network's error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// isUnreachable reports whether err is what an ICMP message makes of a socket.
func isUnreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// Exchange sends the message to the server, at host:port, signed with the secret,
// and returns the verified response, which belongs to the caller. It blocks until
// then, until it has sent and waited as often and as long as the fields say, or
// until ctx is done; it does not keep m or secret. The error is a *NoAnswerError, a
// *UnreachableError, or says what is wrong with the message, the address or the
// socket.
func (c *Client) Exchange(ctx context.Context, server string, secret []byte, m *Message) (Packet, error) {
	p, _, err := c.ExchangeTraced(ctx, server, secret, m)
	return p, err
}

// Trace is what an exchange took, whether it ended with a response or not.
type Trace struct {
	Attempts int // how often the request was sent
	Elapsed  time.Duration
	// Ignored is how many packets came that were not taken as the response, and
	// Reason is that of the last one.
	Ignored int
	Reason  Discard
}

// ExchangeTraced is [Client.Exchange] for who wants to know what it took.
func (c *Client) ExchangeTraced(ctx context.Context, server string, secret []byte, m *Message) (Packet, Trace, error) {
	addr, err := resolve(ctx, server)
	if err != nil {
		return nil, Trace{}, err
	}
	x := c.exchange(secret, m.Code)
	defer c.exchanges.Put(x)
	p, err := c.enter(addr)
	if err != nil {
		return nil, Trace{}, err
	}
	defer c.leave(p)
	s, identifier, err := p.reserve(ctx, x)
	if err != nil {
		return nil, Trace{}, fmt.Errorf("radius: exchange with %s: %w", server, err)
	}
	defer s.release(identifier)
	if x.request, err = m.AppendTo(x.request[:0], identifier, x.hasher); err != nil {
		return nil, Trace{}, err
	}
	s.expect(identifier)
	start := time.Now()
	response, attempts, err := c.transmit(ctx, server, s, x)
	trace := Trace{Attempts: attempts, Elapsed: time.Since(start)}
	trace.Ignored, trace.Reason = s.ignored(x)
	return response, trace, err
}

// transmit sends and sends again (RFC 5080 section 2.2.1) until there is a result. It
// returns how often it sent.
func (c *Client) transmit(ctx context.Context, server string, s *socket, x *exchange) (_ Packet, attempt int, _ error) {
	initial, longest := orDefault(c.InitialTimeout, 2*time.Second), orDefault(c.MaxTimeout, 16*time.Second)
	attempts, duration := orDefault(c.MaxAttempts, 5), orDefault(c.MaxDuration, 30*time.Second)

	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	noAnswer := func(attempt int, cause error) error {
		e := &NoAnswerError{Server: server, Attempts: attempt, Elapsed: time.Since(start), Cause: cause}
		e.Ignored, e.Reason = s.ignored(x)
		return e
	}
	timeout := initial + c.jitter(initial)
	for attempt = 1; ; attempt++ {
		if _, err := s.conn.Write(x.request); isUnreachable(err) {
			s.fail(err) // of all, for it is about what was sent before
		} else if err != nil {
			x.finish(result{err: err})
		}
		timer.Reset(min(timeout, duration-time.Since(start)))
		select {
		case r := <-x.result:
			if isUnreachable(r.err) {
				return nil, attempt, &UnreachableError{Server: server, Attempts: attempt, Err: r.err}
			} else if r.err != nil {
				return nil, attempt, fmt.Errorf("radius: exchange with %s: %w", server, r.err)
			}
			return r.packet, attempt, nil
		case <-ctx.Done():
			return nil, attempt, noAnswer(attempt, ctx.Err())
		case <-timer.C:
		}
		if attempt >= attempts || time.Since(start) >= duration {
			return nil, attempt, noAnswer(attempt, nil)
		}
		if timeout = 2*timeout + c.jitter(timeout); timeout > longest {
			timeout = longest + c.jitter(longest)
		}
	}
}

// jitter returns a random part of d between -0.1 and +0.1, so that clients that
// begin together do not stay together.
func (c *Client) jitter(d time.Duration) time.Duration {
	random := rand.Float64
	if c.Random != nil {
		random = c.Random
	}
	return time.Duration((random()*0.2 - 0.1) * float64(d))
}

// Close closes the sockets and waits for what reads from them. Exchanges under way
// and later ones fail with [ErrClientClosed].
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	var all []*peer
	for _, p := range c.peers {
		all = append(all, p)
	}
	c.mu.Unlock()
	for _, p := range all {
		p.close()
	}
	c.readers.Wait()
	return nil
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value > 0 {
		return value
	}
	return standard
}

// resolve returns the address of host:port, of the first one if a name has several.
func resolve(ctx context.Context, server string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddrPort(server); err == nil {
		return addr, nil
	}
	host, service, err := net.SplitHostPort(server)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("radius: server address %q: %w", server, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("radius: server address %q: %w", server, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("radius: server address %q: %w", server, err)
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), uint16(port)), nil
}
