package radius

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"
)

// A service is what a port is for.
type service uint8

const (
	authService service = iota
	acctService
	serviceCount
)

var serviceNames = [serviceCount]string{authService: "auth", acctService: "acct"}

func (s service) String() string { return serviceNames[s] }

// takes reports whether a request with the code belongs on the port.
func (s service) takes(c Code) bool {
	switch c {
	case AccessRequest:
		return s == authService
	case AccountingRequest:
		return s == acctService
	case StatusServer: // RFC 5997 section 4.2
		return true
	}
	return false
}

// A listener is one socket and the goroutine that reads it, with everything that
// its packets need, so that they meet no lock. A second goroutine, the sender,
// writes what is finished elsewhere.
type listener struct {
	server  *Server
	service service
	conn    *net.UDPConn
	local   netip.AddrPort

	reader   *batchReader
	writer   *batchWriter
	in       []datagram
	arrivals []arrival  // what of in has been admitted
	packets  []Packet   // of the arrivals
	out      []datagram // the replies to this batch
	unsigned []*Reply   // those in out that are still to be signed
	lanes    lanes
	fresh    [requestCodeCount]int // how many in out are first answers, by the request's code
	now      time.Time             // when this batch was read
	table    *duplicates
	hashers  *hashers
	turn     turn

	backlog   *backlog // what waits while more comes than the listener can handle
	floods    floods
	taken     []*backlogItem
	fullReads int // in a row
	quota     int // of the backlog to be handled next

	outbox   *outbox
	inFlight *inFlight
	counters *counters
	stopped  chan struct{} // the reading goroutine has ended
}

func newListener(s *Server, service service, conn *net.UDPConn) *listener {
	return &listener{
		server: s, service: service, conn: conn, local: localAddrPort(conn),
		reader: newBatchReader(conn), writer: newBatchWriter(conn),
		in: make([]datagram, batchSize), out: make([]datagram, 0, batchSize),
		table:   newDuplicates(s.window(), s.duplicateEntries()),
		hashers: newHashers(), backlog: newBacklog(backlogLength),
		outbox: newOutbox(), inFlight: newInFlight(), counters: new(counters),
		stopped: make(chan struct{}),
	}
}

// run reads and answers until stop.
func (l *listener) run() {
	defer close(l.stopped)
	defer l.inFlight.done()
	for {
		n, err := l.read()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
				l.finish()
				return
			}
			// The system is short of something. Reading on at once would only
			// take more of it.
			l.server.logs.readFailed(l.local, err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		l.now = time.Now()
		l.counters.received.Add(uint64(n))
		if l.congested(n) {
			l.sort(n)
			l.filter()
			l.work()
		} else {
			l.receive(l.in[:n])
		}
		l.flush()
		l.table.expire(l.now, 2*batchSize)
	}
}

// stop makes run return once it has answered the batch that it is at.
func (l *listener) stop() { _ = l.conn.SetReadDeadline(time.Unix(1, 0)) }

// receive is the path of a batch from the socket to the handler. What fails a step is
// dropped in silence; the reason is counted.
func (l *listener) receive(in []datagram) {
	l.arrivals = l.arrivals[:0]
	for i := range in {
		d := &in[i]
		p, nas, reason := l.admit(d)
		if reason != 0 {
			l.counters.discards[reason].Add(1)
			continue
		}
		l.arrivals = append(l.arrivals, arrival{datagram: d, packet: p, nas: nas, hasher: l.hashers.of(nas), proof: -1})
	}
	l.prepare()
	for i := range l.arrivals {
		l.handle(&l.arrivals[i])
	}
}

// prepare does what is done for all arrivals at a time.
func (l *listener) prepare() {
	if len(l.arrivals) < laneFewest {
		return
	}
	l.lanes.verify(l.arrivals)
	if l.server.prepare == nil {
		return
	}
	l.packets = l.packets[:0]
	for i := range l.arrivals {
		l.packets = append(l.packets, l.arrivals[i].packet)
	}
	defer func() {
		if value := recover(); value != nil {
			l.counters.panics.Add(1)
			l.server.logs.panicked(l.arrivals[0].nas, l.packets[0].Code(), value, debug.Stack())
		}
	}()
	l.server.prepare(l.packets)
}

// handle is the path of one request after its admission.
func (l *listener) handle(a *arrival) {
	p := a.packet
	hasher, reason := l.verify(a)
	if reason != 0 {
		l.counters.discardRequest(p.Code(), reason)
		l.server.logs.unverified(a.nas, a.way.peer.Addr(), p.Code(), reason, l.now)
		return
	}
	if p.Code() == StatusServer {
		l.answerStatus(l.request(a), a.way, hasher)
		return
	}
	if w := l.unseen(p, a.datagram); w != nil {
		if !w.start(l, l.request(a), a.way, hasher) {
			w.drop(true, DiscardReplyTooLong)
			return
		}
		if a.proven && a.hidden {
			w.keystream, w.hasKeystream = a.keystream, true
		}
		l.turn.ended = false
		w.turn = &l.turn
		l.server.call(w, &l.turn, l.server.serve)
	}
}

// admit lets through what is a well-formed packet from a known NAS with a code
// that is for this port. The source comes first: a flood of anything from anywhere
// costs one look-up each.
func (l *listener) admit(d *datagram) (Packet, *NAS, Discard) {
	nas := l.server.NASes.LookupNAS(d.way.peer.Addr())
	if nas == nil {
		// "A request from a client for which the RADIUS server does not have a
		// shared secret MUST be silently discarded" (RFC 2865 section 3).
		l.server.logs.unknown(d.way.peer.Addr(), l.now)
		return nil, nil, DiscardUnknownNAS
	}
	p, reason := Parse(d.data)
	if reason != 0 {
		return nil, nas, reason
	}
	if !l.service.takes(p.Code()) {
		return nil, nas, DiscardWrongCode
	}
	return p, nas, 0
}

// verify finds the secret that made the packet's authenticators. An Access-Request
// without Message-Authenticator proves nothing, so no secret can be found: it gets
// the current one, with which the password of a NAS that has another deciphers to
// garbage.
func (l *listener) verify(a *arrival) (h *Hasher, reason Discard) {
	p, nas := a.packet, a.nas
	switch {
	case a.proven:
		l.learn(p, nas)
		return a.hasher, 0
	case a.refuted() && a.signature > 0:
		return nil, DiscardMessageAuthenticatorInvalid
	case a.refuted():
		return nil, DiscardAuthenticatorInvalid
	}
	reason = DiscardAuthenticatorInvalid // if there is no secret
	for _, secret := range nas.Secrets {
		if len(secret) == 0 {
			continue
		}
		h := l.hashers.get(secret)
		result := h.VerifyMessageAuthenticator(p, nil)
		switch {
		case result == MessageAuthenticatorInvalid:
			reason = DiscardMessageAuthenticatorInvalid
		case p.Code().hashedRequest() && !h.VerifyRequestAuthenticator(p):
			reason = DiscardAuthenticatorInvalid
		case result == MessageAuthenticatorAbsent:
			return h, mayLackMessageAuthenticator(p, nas)
		default:
			l.learn(p, nas)
			return h, 0
		}
	}
	return nil, reason
}

// learn notes that the NAS has sent a valid Message-Authenticator, if it was one that
// matters.
func (l *listener) learn(p Packet, nas *NAS) {
	if p.Code() == AccessRequest && nas.learn() {
		l.server.logs.learned(nas)
	}
}

// mayLackMessageAuthenticator applies the rules for a packet without one.
func mayLackMessageAuthenticator(p Packet, nas *NAS) Discard {
	switch p.Code() {
	case AccountingRequest: // its Request Authenticator proves it
		return 0
	case StatusServer: // RFC 5997 section 3
		return DiscardMessageAuthenticatorMissing
	}
	switch {
	case nas.messageAuthenticatorRequired(),
		p.Attributes().Has(TypeEAPMessage): // RFC 3579 section 3.2
		return DiscardMessageAuthenticatorMissing
	case nas.LimitProxyState && p.Attributes().Has(TypeProxyState):
		return DiscardProxyStateLimited
	}
	return 0
}

// request is what the handler gets to see.
func (l *listener) request(a *arrival) Request {
	destination := l.local
	if a.way.local.IsValid() {
		destination = netip.AddrPortFrom(a.way.local, l.local.Port())
	}
	return Request{Packet: a.packet, NAS: a.nas, Source: a.way.peer, Destination: destination, Received: l.now}
}

// unseen looks the request up in the duplicate table. If it is new it returns its
// entry; if not, what is to be done has been done (RFC 5080 section 2.2.2).
func (l *listener) unseen(p Packet, d *datagram) *Reply {
	key := keyOf(&d.way, p)
	if w := l.table.entries[key]; w != nil {
		if w.authenticator == *p.Authenticator() {
			switch w.state.Load() {
			case stateAnswered:
				if l.now.Sub(w.request.Received) <= l.table.window {
					l.counters.repeated.Add(1)
					l.write(w.buf, d.way)
					return nil
				}
			case stateForgotten: // tried anew
			default:
				l.counters.discardRequest(key.code, DiscardDuplicateInProgress)
				return nil
			}
		}
		l.table.remove(w)
	}
	w := l.table.add(key)
	if w == nil {
		l.counters.discardRequest(key.code, DiscardOverload)
	}
	return w
}

// answer puts a reply into the batch, which is signed when it is written.
func (l *listener) answer(w *Reply) {
	w.seal()
	l.unsigned = append(l.unsigned, w)
	w.request.Packet = nil
	w.state.Store(stateAnswered)
	l.table.bytes.Add(int64(cap(w.buf)))
	l.counters.answer(w.key.code, w.code)
	l.fresh[requestIndex(w.key.code)]++
	l.write(w.buf, w.way)
}

// write puts a packet into the batch. It must not change until the batch is written.
func (l *listener) write(packet []byte, way way) {
	l.out = append(l.out, datagram{packet, way})
	if len(l.out) == batchSize {
		l.flush()
	}
}

// flush writes the batch. Entries that left the table may be reused then.
func (l *listener) flush() {
	if len(l.out) > 0 {
		l.lanes.sign(l.unsigned, l.hashers)
		l.unsigned = l.unsigned[:0]
		failed, err := l.writer.write(l.out)
		l.counters.sent.Add(uint64(len(l.out) - failed))
		if failed > 0 {
			l.counters.sendErrors.Add(uint64(failed))
			l.server.logs.writeFailed(l.local, err)
		}
		l.out = l.out[:0]
		l.observe()
	}
	l.table.reuse()
}

// observe counts how long the first answers took.
func (l *listener) observe() {
	took := time.Since(l.now)
	for i, n := range l.fresh {
		l.counters.durations[i].observe(took, n)
	}
	l.fresh = [requestCodeCount]int{}
}

// post hands a reply that was finished on another goroutine to the sender.
func (l *listener) post(w *Reply) {
	if !l.outbox.add(w) {
		w.dropHeld(DiscardShutdown)
	}
}

// send is the sender's goroutine: it writes what is in the outbox, until that is
// closed and empty.
func (l *listener) send() {
	writer, hashers, lanes := newBatchWriter(l.conn), newHashers(), new(lanes)
	var spare []*Reply
	out := make([]datagram, 0, batchSize)
	for {
		ready := l.outbox.take(spare)
		if len(ready) == 0 {
			return
		}
		for rest := ready; len(rest) > 0; {
			n := min(len(rest), batchSize)
			l.sendBatch(writer, hashers, lanes, rest[:n], out)
			rest = rest[n:]
		}
		clear(ready)
		spare = ready[:0]
	}
}

// sendBatch writes replies, those aside that have been replaced. After the change
// to answered each of them belongs to the listener.
func (l *listener) sendBatch(writer *batchWriter, hashers *hashers, lanes *lanes, replies []*Reply, out []datagram) {
	sending := replies[:0]
	for _, w := range replies {
		if !w.state.CompareAndSwap(stateQueued, stateSending) {
			w.lost()
			continue
		}
		w.seal()
		sending = append(sending, w)
		out = append(out, datagram{w.buf, w.way})
	}
	lanes.sign(sending, hashers)
	failed, err := writer.write(out)
	l.counters.sent.Add(uint64(len(out) - failed))
	if failed > 0 {
		l.counters.sendErrors.Add(uint64(failed))
		l.server.logs.writeFailed(l.local, err)
	}
	now := time.Now()
	for _, w := range sending {
		l.counters.answer(w.key.code, w.code)
		l.counters.durations[requestIndex(w.key.code)].observe(now.Sub(w.request.Received), 1)
		octets := int64(cap(w.buf))
		l.table.bytes.Add(octets)
		if !w.state.CompareAndSwap(stateSending, stateAnswered) { // replaced, so not in the table
			l.table.bytes.Add(-octets)
		}
		l.inFlight.done()
	}
}

// answerStatus answers a Status-Server (RFC 5997 section 4.2), which is not for the
// handler: on the authentication port with Access-Accept, on the accounting port
// with Accounting-Response as long as records can be stored. It is not entered
// into the duplicate table: to answer again is as cheap and more truthful.
func (l *listener) answerStatus(r Request, way way, hasher *Hasher) {
	if l.service == acctService && !l.server.acctReady() {
		l.counters.discardRequest(StatusServer, DiscardNotReady)
		return
	}
	w := l.table.take()
	w.key = keyOf(&way, r.Packet)
	if !w.start(l, r, way, hasher) {
		l.counters.discardRequest(StatusServer, DiscardReplyTooLong)
		l.table.retire(w)
		return
	}
	w.code = AccessAccept
	if l.service == acctService {
		w.code = AccountingResponse
	}
	w.seal()
	l.unsigned = append(l.unsigned, w)
	l.counters.answer(StatusServer, w.code)
	l.fresh[requestIndex(StatusServer)]++
	l.write(w.buf, way)
	l.table.retire(w)
}

// maxHashers bounds what one goroutine keeps for the secrets that it has met. A
// Hasher takes about a kilobyte; more secrets than this only cost time.
const maxHashers = 16384

// hashers are one goroutine's, by secret, so that they outlive a reload of the
// NASes and serve all that share a secret.
type hashers struct{ bySecret map[string]*Hasher }

func newHashers() *hashers { return &hashers{make(map[string]*Hasher)} }

func (h *hashers) get(secret []byte) *Hasher {
	if hasher := h.bySecret[string(secret)]; hasher != nil {
		return hasher
	}
	if len(h.bySecret) >= maxHashers {
		clear(h.bySecret)
	}
	hasher := NewHasher(secret)
	hasher.key = newLaneKey(hasher.secret)
	h.bySecret[string(secret)] = hasher
	return hasher
}

// of returns the one for the first secret of a NAS, or nil if that is empty.
func (h *hashers) of(nas *NAS) *Hasher {
	if len(nas.Secrets) == 0 || len(nas.Secrets[0]) == 0 {
		return nil
	}
	return h.get(nas.Secrets[0])
}
