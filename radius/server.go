package radius

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What a Server does where its fields are zero.
const (
	defaultDuplicateWindow  = 10 * time.Second
	minDuplicateWindow      = 5 * time.Second
	maxDuplicateWindow      = 30 * time.Second
	defaultDuplicateEntries = 1 << 17
	defaultQueueLength      = 1024
	defaultDelayLength      = 1 << 16
	defaultSocketBuffer     = 4 << 20

	// lastWrites is how long a socket that does not take the last replies can
	// hold up Shutdown.
	lastWrites = time.Second
)

// A Server answers RADIUS requests over UDP. Its zero value with a Handler, NASes
// and at least one address works; the fields must not change after Start.
type Server struct {
	// Handler answers what passes verification, except for Status-Server, which
	// the server answers itself.
	Handler Handler

	// NASes knows who may ask.
	NASes NASLookup

	// Auth and Acct are the addresses, host:port, to take Access-Requests and
	// Accounting-Requests on. ":1812" is all IPv4 and IPv6 addresses; "0.0.0.0:1812"
	// and "[::]:1812" are those of one family. A reply leaves from the address
	// that its request was sent to (not outside Linux).
	Auth, Acct []string

	// AcctReady says whether accounting records can be stored. While it does
	// not, a Status-Server on the accounting port gets no answer, so that NASes
	// turn to another server (RFC 5997 section 4.2). It is called on the
	// listener and must not block. Nil is always ready.
	AcctReady func() bool

	// Listeners is the number of sockets, each with a goroutine, for each
	// address. 0 is GOMAXPROCS. Outside Linux it is always one.
	Listeners int

	// Workers is how many deferred functions run at a time, QueueLength how many
	// requests wait for them. 0 is GOMAXPROCS, but at least 2, and 1024.
	Workers, QueueLength int

	// DelayLength is how many replies may wait for Reply.DelayUntil. More get
	// silence. 0 is 65536.
	DelayLength int

	// DuplicateWindow is how long a reply is kept for a repeat of its request, 5
	// to 30 s (RFC 5080 section 2.2.2). 0 is 10 s.
	DuplicateWindow time.Duration

	// DuplicateEntries is how many requests each listener remembers at most, and
	// half a KiB each the memory for their replies; the oldest are given up
	// first. 0 is 131072.
	DuplicateEntries int

	// SocketBuffer is how many octets the kernel is asked to buffer for each
	// socket and direction. Without CAP_NET_ADMIN it grants no more than
	// net.core.rmem_max. 0 is 4 MiB.
	SocketBuffer int

	// Registerer gets the metrics, from Start until Shutdown. Nil: none.
	Registerer prometheus.Registerer

	// Logger is told what an operator should know. Nil is slog.Default.
	Logger *slog.Logger

	mu        sync.Mutex
	started   bool
	stopping  chan struct{} // closed by the first Shutdown
	stopped   chan struct{} // closed when it has ended
	hurried   atomic.Bool   // it no longer waits
	serve     func(*Reply, *Request)
	prepare   func([]Packet) // nil: the Handler is no Preparer
	logs      *logs
	listeners []*listener
	delays    *delays
	pool      *pool
	senders   sync.WaitGroup

	attachFilter func(*net.UDPConn, []flood) error // tests have another
}

// ErrServerStarted is returned by Start when it is called a second time.
var ErrServerStarted = errors.New("radius: server has been started already")

// Start binds all addresses, or none if one fails, and serves them in the
// background until Shutdown. A server starts once.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return ErrServerStarted
	}
	if err := s.validate(); err != nil {
		return err
	}
	logger := s.Logger
	if logger == nil {
		logger = slog.Default()
	}
	s.logs = newLogs(logger)
	listeners, err := s.listen()
	if err != nil {
		return fmt.Errorf("start RADIUS server: %w", err)
	}
	s.listeners = listeners
	s.serve = s.Handler.ServeRADIUS
	if p, ok := s.Handler.(Preparer); ok {
		s.prepare = p.PrepareRADIUS
	}
	if s.attachFilter == nil {
		s.attachFilter = attachFilter
	}
	s.delays = newDelays(positive(s.DelayLength, defaultDelayLength))
	s.pool = newPool(positive(s.QueueLength, defaultQueueLength), s.window())
	if s.Registerer != nil {
		if err := s.Registerer.Register(collector{s}); err != nil {
			s.closeSockets()
			return fmt.Errorf("start RADIUS server: register metrics: %w", err)
		}
	}
	s.started = true
	s.stopping, s.stopped = make(chan struct{}), make(chan struct{})
	go s.delays.run()
	s.pool.start(positive(s.Workers, max(2, runtime.GOMAXPROCS(0))))
	for _, l := range s.listeners {
		s.senders.Go(l.send)
		go l.run()
	}
	return nil
}

func (s *Server) validate() error {
	var errs []error
	if s.Handler == nil {
		errs = append(errs, errors.New("radius: server has no Handler"))
	}
	if s.NASes == nil {
		errs = append(errs, errors.New("radius: server has no NASes"))
	}
	if len(s.Auth)+len(s.Acct) == 0 {
		errs = append(errs, errors.New("radius: server has no address to listen on"))
	}
	if w := s.DuplicateWindow; w != 0 && (w < minDuplicateWindow || w > maxDuplicateWindow) {
		errs = append(errs, fmt.Errorf("radius: duplicate window %v, want %v to %v", w, minDuplicateWindow, maxDuplicateWindow))
	}
	return errors.Join(errs...)
}

// listen opens all sockets.
func (s *Server) listen() (listeners []*listener, err error) {
	var opened []*net.UDPConn
	defer func() {
		if err != nil {
			closeSockets(opened)
		}
	}()
	n := positive(s.Listeners, runtime.GOMAXPROCS(0))
	for i, addresses := range [serviceCount][]string{authService: s.Auth, acctService: s.Acct} {
		service := service(i)
		for _, address := range addresses {
			sockets, err := openSockets(context.Background(), address, n)
			if err != nil {
				return nil, err
			}
			opened = append(opened, sockets...)
			for _, c := range sockets {
				granted, err := tuneSocket(c, positive(s.SocketBuffer, defaultSocketBuffer))
				if err != nil {
					return nil, fmt.Errorf("set options of the socket on %s: %w", address, err)
				}
				l := newListener(s, service, c)
				s.logs.logger.Debug("listening", "service", service, "address", l.local, "receive_buffer", granted)
				listeners = append(listeners, l)
			}
		}
	}
	return listeners, nil
}

// Addrs returns the addresses that are bound, in the order of Auth and Acct: where
// those said port 0, here is the port.
func (s *Server) Addrs() (auth, acct []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range s.listeners {
		if i > 0 && s.listeners[i-1].local == l.local && s.listeners[i-1].service == l.service {
			continue
		}
		if l.service == authService {
			auth = append(auth, l.local)
		} else {
			acct = append(acct, l.local)
		}
	}
	return auth, acct
}

// Shutdown stops reading, waits until what is in flight has been answered, and
// closes the sockets. When ctx ends first, what is left is dropped and the error
// is that of ctx; a handler or deferred function that still runs then is not waited
// for. Shutdown of a server that has not been started does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.started {
		s.mu.Unlock()
		return nil
	}
	select {
	case <-s.stopping: // by another call
		s.mu.Unlock()
		return wait(ctx, s.stopped)
	default:
	}
	close(s.stopping)
	s.mu.Unlock()
	defer close(s.stopped)

	for _, l := range s.listeners {
		l.stop()
	}
	var err error
	for _, l := range s.listeners {
		err = errors.Join(err, wait(ctx, l.stopped), wait(ctx, l.inFlight.idle))
		if err != nil {
			break
		}
	}
	s.hurried.Store(err != nil)
	s.pool.close()
	s.delays.close()
	for _, l := range s.listeners {
		l.outbox.close()
		_ = l.conn.SetWriteDeadline(time.Now().Add(lastWrites))
	}
	s.senders.Wait()
	s.closeSockets()
	if err == nil {
		s.pool.workers.Wait()
	}
	if s.Registerer != nil {
		s.Registerer.Unregister(collector{s})
	}
	if err != nil {
		return fmt.Errorf("shut down RADIUS server: %w", err)
	}
	return nil
}

// wait waits for done or for the end of ctx.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) closeSockets() {
	for _, l := range s.listeners {
		_ = l.conn.Close() // a second time, maybe
	}
}

// call runs a handler or a deferred function, whose turn it is, on a reply, and
// outlives its panics. After the call the reply may belong to somebody else.
func (s *Server) call(w *Reply, t *turn, f func(*Reply, *Request)) {
	nas, code, c := w.request.NAS, w.key.code, w.listener.counters
	defer func() {
		if value := recover(); value != nil {
			c.panics.Add(1)
			s.logs.panicked(nas, code, value, debug.Stack())
			if !t.ended {
				w.Discard(DiscardHandler)
			}
			return
		}
		if !t.ended {
			s.logs.unended(nas, code)
			w.Discard(DiscardHandler)
		}
	}()
	f(w, &w.request)
}

func (s *Server) window() time.Duration {
	if s.DuplicateWindow > 0 {
		return s.DuplicateWindow
	}
	return defaultDuplicateWindow
}

// duplicateEntries has room for a batch at least, whose packets must stay unchanged.
func (s *Server) duplicateEntries() int {
	return max(positive(s.DuplicateEntries, defaultDuplicateEntries), 2*batchSize)
}

func (s *Server) acctReady() bool { return s.AcctReady == nil || s.AcctReady() }

// positive returns n, or the default if n is not positive.
func positive(n, byDefault int) int {
	if n > 0 {
		return n
	}
	return byDefault
}
