package radius

import (
	"sync/atomic"
	"time"
)

// A Reply is the answer to one request, first while a handler makes it and then,
// in the duplicate table, while a retransmission of the request may still come
// (RFC 5080 section 2.2.2). It has one owner at a time: the handler, then whoever
// the handler hands it to, then the listener, which reuses it. Send, Discard,
// Hold and Defer hand it over; it must not be touched afterwards, except that
// after Hold its new owner may.
//
// Its code is Access-Reject or Accounting-Response unless SetCode says otherwise.
// Message-Authenticator and the request's Proxy-State are there already.
type Reply struct {
	listener *listener
	turn     *turn // whose turn it is to end it; nil once it is held or ended
	state    atomic.Uint32

	key           requestKey
	authenticator [AuthenticatorLength]byte // of the request
	secret        []byte                    // that verified the request and signs the reply
	lane          *laneKey                  // of the secret; nil: no lanes
	request       Request
	way           way

	buf      []byte // the packet; signed when the state is answered
	fixed    int    // octets of buf before what the handler adds
	code     Code
	signed   bool // has Message-Authenticator as its first attribute
	overflow bool // something did not fit
	delay    time.Duration
	cipher   Cipher

	keystream    [AuthenticatorLength]byte // that hides the first block of User-Password
	hasKeystream bool

	older, newer *Reply // the table's order by age; newer also links free ones

	source                   *sourceEntries // that the table has it in
	sourceOlder, sourceNewer *Reply
}

// The states of a Reply. Only the listener takes one out of the table. One that
// is answered or forgotten is then reused; any other still belongs to somebody
// else, so it becomes replaced and is left to the garbage collector when its
// owner lets go of it.
const (
	statePending   uint32 = iota // somebody makes it; repeats of the request get silence
	stateQueued                  // made off the listener, waits for its time or for the sender
	stateSending                 // the sender signs and writes it
	stateAnswered                // repeats of the request get the same octets
	stateForgotten               // discarded; a repeat of the request is a new one
	stateReplaced                // out of the table before it was sent, and never will be
)

// A turn is one call of a handler or of a deferred function: the goroutine that
// made the call learns from it whether the reply was handed over, without looking
// at the reply, which may have a new owner by then.
type turn struct{ ended bool }

// Request returns the request that is answered. After Hold it has no Packet.
func (w *Reply) Request() *Request { return &w.request }

// SetCode sets what the reply is. One that does not answer the request's code
// makes Send discard it.
func (w *Reply) SetCode(c Code) { w.code = c }

// Code returns what the reply is so far.
func (w *Reply) Code() Code { return w.code }

// Append adds encoded attributes, which it copies. If the reply would be longer
// than a packet may be they are left out and Send discards it.
func (w *Reply) Append(attributes []byte) {
	if w.room(len(attributes)) {
		w.buf = append(w.buf, attributes...)
	}
}

// Add adds an attribute; see [Reply.Append] and [AppendAttribute].
func (w *Reply) Add(t Type, value []byte) {
	if w.room(2 + len(value)) {
		w.buf = AppendAttribute(w.buf, t, value)
	}
}

// AddString adds an attribute with text; see [Reply.Append] and [AppendString].
func (w *Reply) AddString(t Type, value string) {
	if w.room(2 + len(value)) {
		w.buf = AppendString(w.buf, t, value)
	}
}

// AddUint32 adds an attribute with an integer; see [Reply.Append].
func (w *Reply) AddUint32(t Type, value uint32) {
	if w.room(6) {
		w.buf = AppendUint32(w.buf, t, value)
	}
}

// AddVendor adds a vendor's attribute; see [Reply.Append] and [AppendVendor].
func (w *Reply) AddVendor(vendor uint32, t uint8, value []byte) {
	if w.room(8 + len(value)) {
		w.buf = AppendVendor(w.buf, vendor, t, value)
	}
}

// AddSalted adds a value that is encrypted for this request with a salt (RFC 2868
// section 3.5): with a vendor, as MS-MPPE-Send-Key wants it (RFC 2548 section
// 2.4.2); with vendor 0, as Tunnel-Password does, with the tag 0. A value that is
// too long for an attribute makes Send discard the reply.
func (w *Reply) AddSalted(vendor uint32, t uint8, plain []byte) {
	var value [MaxValueLength + 3]byte
	dst := value[:0]
	if vendor == 0 {
		dst = append(dst, 0)
	}
	dst, err := w.hidden().AppendSalted(dst, plain)
	switch {
	case err != nil || len(dst) > MaxValueLength || vendor != 0 && len(dst) > maxVendorValueLength:
		w.overflow = true
	case vendor == 0:
		w.Add(Type(t), dst)
	default:
		w.AddVendor(vendor, t, dst)
	}
}

// Reset takes back all attributes that were added, and what did not fit.
func (w *Reply) Reset() {
	w.buf = w.buf[:w.fixed]
	w.overflow = false
}

// Attributes returns the attributes so far: Message-Authenticator, which is zero
// until Send, Proxy-State, and what was added. They share memory with the reply.
func (w *Reply) Attributes() Attributes { return Attributes(w.buf[HeaderLength:]) }

// room reports whether n more octets fit, and notes if they do not.
func (w *Reply) room(n int) bool {
	if len(w.buf)+n > MaxLength {
		w.overflow = true
		return false
	}
	return true
}

// DelayUntil makes Send wait until the time d after the request was received. It
// is a floor: a reply that takes longer goes out when it is ready. While it waits,
// repeats of the request get silence. Zero takes it back.
func (w *Reply) DelayUntil(d time.Duration) { w.delay = d }

// Send signs the reply and sends it, to where the request came from and from the
// address that it was sent to. It does not block. It may be called from any
// goroutine that owns the reply. A reply whose request has been replaced by a
// newer one with the same Identifier is dropped (RFC 5080 section 2.2.2).
func (w *Reply) Send() {
	onListener := w.endTurn()
	l := w.listener
	switch {
	case w.overflow:
		w.drop(onListener, DiscardReplyTooLong)
		return
	case !w.code.Answers(w.key.code):
		l.server.logs.wrongReplyCode(w.request.NAS, w.code, w.key.code)
		w.drop(onListener, DiscardHandler)
		return
	case onListener && w.delay == 0:
		l.answer(w)
		return
	}
	// From here on others may look at the state at the same time.
	var due time.Time
	if w.delay > 0 {
		due = w.request.Received.Add(w.delay)
	}
	if onListener {
		l.inFlight.add()
	}
	source := w.request.Source.Addr()
	if !w.state.CompareAndSwap(statePending, stateQueued) {
		w.lost()
		return
	}
	if w.delay > 0 && time.Until(due) > 0 {
		if !l.server.delays.add(w, due, source) {
			w.dropHeld(DiscardOverload)
		}
		return
	}
	l.post(w)
}

// Discard answers with silence. The request is forgotten, so that a retransmission
// of it is tried anew. It may be called from any goroutine that owns the reply.
func (w *Reply) Discard(reason Discard) { w.drop(w.endTurn(), reason) }

// Hold is the end of a handler that finishes w later. The request's bytes are gone
// then: the new owner needs nothing of them, and what the reply copies from them
// it has already. Call Hold before another goroutine gets w. The number of replies
// that are held is for the holder to bound.
func (w *Reply) Hold() {
	if w.endTurn() {
		w.listener.inFlight.add()
	}
	w.cipher.hasher = nil // it belongs to the listener
	w.request.Packet = nil
}

// Defer runs f in the server's bounded pool with a copy of the request, for what
// must not run on a listener. The sources take turns, and each may have as much of the
// pool's queue as is still free; of one source's requests those that carry a State go
// first. If the source has its share, or the pool does not come to the request within
// the duplicate window, it is discarded and f is not called.
func (w *Reply) Defer(f func(w *Reply, r *Request)) {
	onListener := w.endTurn()
	l := w.listener
	if onListener {
		l.inFlight.add()
	}
	w.cipher.hasher = nil
	l.server.pool.add(w, f)
}

// endTurn takes the reply from the call that has it and reports whether that is
// the listener's own.
func (w *Reply) endTurn() (onListener bool) {
	t := w.turn
	if t == nil {
		return false
	}
	w.turn = nil
	t.ended = true
	return t == &w.listener.turn
}

// drop ends the reply in silence.
func (w *Reply) drop(onListener bool, reason Discard) {
	if !onListener {
		w.dropHeld(reason)
		return
	}
	w.listener.counters.discardRequest(w.key.code, reason)
	w.state.Store(stateForgotten)
	w.listener.table.remove(w)
}

// dropHeld is drop off the listener, which finds out when it next looks.
func (w *Reply) dropHeld(reason Discard) {
	l, code := w.listener, w.key.code
	if w.state.CompareAndSwap(statePending, stateForgotten) || w.state.CompareAndSwap(stateQueued, stateForgotten) {
		l.counters.discardRequest(code, reason)
		l.inFlight.done()
		return
	}
	w.lost()
}

// lost ends a reply that was replaced while it was held. In any other state it has
// been ended before, by a mistake of its owner, and there is nothing to do.
func (w *Reply) lost() {
	if w.state.Load() == stateReplaced {
		w.listener.counters.discardRequest(w.key.code, DiscardReplaced)
		w.listener.inFlight.done()
	}
}

// start makes w the reply to a request. It reports false if the request has more
// Proxy-State than a reply can carry.
func (w *Reply) start(l *listener, request Request, way way, hasher *Hasher) bool {
	p := request.Packet
	w.listener, w.request, w.way, w.secret, w.lane = l, request, way, hasher.secret, hasher.key
	w.hasKeystream = false
	w.request.reply = w
	w.authenticator = *p.Authenticator()
	w.state.Store(statePending)
	w.code = AccessReject
	if p.Code() == AccountingRequest {
		w.code = AccountingResponse
	}
	// Message-Authenticator goes first into every reply to an Access-Request
	// (CVE-2024-3596) and to a Status-Server. In an Accounting-Response it would
	// add nothing to the Response Authenticator, no RFC asks for it, and none says
	// what it is computed over, so that clients differ.
	w.signed = p.Code() != AccountingRequest
	w.overflow, w.delay, w.cipher = false, 0, Cipher{}
	if w.buf == nil {
		w.buf = make([]byte, 0, 128)
	}
	w.buf = AppendHeader(w.buf[:0], w.code, p.Identifier(), &zeroAuthenticator)
	if w.signed {
		w.buf = AppendMessageAuthenticator(w.buf)
	}
	// "Any Proxy-State attributes MUST be copied in order" (RFC 2865 section
	// 5.33); where they stand among the others is free.
	for t, value, rest, ok := p.Attributes().next(); ok; t, value, rest, ok = rest.next() {
		if t == TypeProxyState {
			w.Add(t, value)
		}
	}
	w.fixed = len(w.buf)
	return !w.overflow
}

// seal makes everything final but the authenticators.
func (w *Reply) seal() {
	w.buf[0] = byte(w.code)
	SetLength(w.buf)
	w.keystream = [AuthenticatorLength]byte{}
}

// sign computes Message-Authenticator, then the Response Authenticator.
func (w *Reply) sign(h *Hasher) {
	if w.signed {
		h.SignMessageAuthenticator(w.buf, HeaderLength, &w.authenticator)
	}
	h.SignResponse(w.buf, &w.authenticator)
}

// hidden is the cipher for attributes under the shared secret.
func (w *Reply) hidden() *Cipher {
	w.hasher()
	return &w.cipher
}

// hasher is one for the secret that this goroutine may use.
func (w *Reply) hasher() *Hasher {
	if w.cipher.hasher != nil {
		return w.cipher.hasher
	}
	h := (*Hasher)(nil)
	if w.turn == &w.listener.turn {
		h = w.listener.hashers.get(w.secret)
	} else {
		h = NewHasher(w.secret)
	}
	if salt := w.cipher.salt; salt != 0 { // went on with elsewhere
		w.cipher.hasher = h
	} else {
		w.cipher = h.Cipher(&w.authenticator)
	}
	return h
}
