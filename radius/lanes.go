package radius

import (
	"crypto/subtle"

	"radiusd/radius/internal/md5x8"
)

// lanes checks the requests of a batch and signs its replies several at a time. It
// does nothing that a [Hasher] does not do as well: what is long, rare or wrong is
// left to it, and so is everything where the processor has no lanes. The zero value
// is ready. It belongs to one goroutine.
type lanes struct {
	messages []md5x8.Message
	outer    []md5x8.Message // the second half of the HMACs
	replies  []*Reply        // that are being signed
	memory   [batchSize * laneRoom]byte
	used     int
}

const (
	// laneFewest is from how many packets on lanes are faster.
	laneFewest = 3
	// laneLongest is the longest packet that is worth its place.
	laneLongest = 512
	// laneRoom is for what is made of one packet: a copy of it with secret and
	// padding, and the block that hides its password.
	laneRoom = laneLongest + 4*md5x8.BlockSize
)

// laneKey is what a shared secret is to lanes. It never changes, so that all
// goroutines may use it.
type laneKey struct {
	secret       []byte
	inner, outer md5x8.State // of HMAC (RFC 2104) after the block with the secret
}

// newLaneKey returns nil where there are no lanes, and for a secret of a length that
// they are not made for.
func newLaneKey(secret []byte) *laneKey {
	if !md5x8.Available() || len(secret) > md5x8.BlockSize {
		return nil
	}
	var inner, outer [md5x8.BlockSize]byte
	copy(inner[:], secret)
	copy(outer[:], secret)
	for i := range inner {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	states := []md5x8.Message{{State: md5x8.Initial, Blocks: inner[:]}, {State: md5x8.Initial, Blocks: outer[:]}}
	md5x8.Sum(states)
	return &laneKey{secret: secret, inner: states[0].State, outer: states[1].State}
}

// An arrival is a request of the batch that has been admitted.
type arrival struct {
	*datagram
	packet Packet
	nas    *NAS
	hasher *Hasher // of the first secret of the NAS; nil: it has none

	// What lanes found out: whether the authenticators are right under that secret,
	// and what hides the first block of User-Password.
	proven    bool
	hidden    bool
	keystream [md5x8.Size]byte

	proof, password int // places in lanes.messages, proof then in lanes.outer; -1: none
	signature       int // where Message-Authenticator is
}

// verify looks at the requests of a batch.
func (l *lanes) verify(arrivals []arrival) {
	l.reset()
	for i := range arrivals {
		l.begin(&arrivals[i])
	}
	md5x8.Sum(l.messages)
	for i := range arrivals {
		a := &arrivals[i]
		if a.hidden = a.password >= 0; a.hidden {
			a.keystream = l.messages[a.password].State.Digest()
		}
		if a.proof >= 0 && a.signature == 0 {
			a.proves(&l.messages[a.proof], a.packet.Authenticator()[:])
		}
		if a.signature > 0 {
			l.continueHMAC(a.proof, a.hasher.key)
			a.proof = len(l.outer) - 1
		}
	}
	md5x8.Sum(l.outer)
	for i := range arrivals {
		if a := &arrivals[i]; a.signature > 0 {
			a.proves(&l.outer[a.proof], a.packet[a.signature+2:][:AuthenticatorLength])
		}
	}
}

// refuted reports whether lanes have looked at the request and no other secret of the
// NAS could make it right.
func (a *arrival) refuted() bool { return a.proof >= 0 && !a.proven && len(a.nas.Secrets) == 1 }

// proves compares an authenticator with what it should be.
func (a *arrival) proves(m *md5x8.Message, authenticator []byte) {
	digest := m.State.Digest()
	a.proven = subtle.ConstantTimeCompare(digest[:], authenticator) == 1
}

// begin adds what is to be hashed of a request: an Access-Request with one
// Message-Authenticator (RFC 3579 section 3.2) and its User-Password (RFC 2865
// section 5.2), or an Accounting-Request without (RFC 2866 section 3).
func (l *lanes) begin(a *arrival) {
	a.proven, a.proof, a.password, a.signature = false, -1, -1, 0
	p := a.packet
	if a.hasher == nil || a.hasher.key == nil || len(p) > laneLongest || len(l.memory)-l.used < laneRoom {
		return
	}
	key := a.hasher.key
	signature, signatures, password := 0, 0, false
	for i := HeaderLength; i+1 < len(p); i += int(p[i+1]) { // Parse has checked the lengths
		switch Type(p[i]) {
		case TypeMessageAuthenticator:
			signature, signatures = i, signatures+1
		case TypeUserPassword:
			password = true
		}
	}
	switch {
	case p.Code() == AccessRequest && signatures == 1 && p[signature+1] == messageAuthenticatorLength:
		a.signature = signature
		b := append(l.room(), p[:signature+2]...)
		b = append(b, zeroAuthenticator[:]...)
		b = append(b, p[signature+messageAuthenticatorLength:]...)
		a.proof = l.add(b, key.inner, md5x8.BlockSize)
		if password {
			b := append(l.room(), key.secret...)
			a.password = l.add(append(b, p.Authenticator()[:]...), md5x8.Initial, 0)
		}
	case p.Code() == AccountingRequest && signatures == 0:
		a.proof = l.addPacket(p, &zeroAuthenticator, key)
	}
}

// sign signs the replies of a batch, each as [Reply.sign] does.
func (l *lanes) sign(replies []*Reply, hashers *hashers) {
	few := len(replies) < laneFewest
	for _, w := range replies {
		if few || w.lane == nil || len(w.buf) > laneLongest {
			w.sign(hashers.get(w.secret))
			continue
		}
		l.replies = append(l.replies, w)
	}
	l.signMessages(l.replies)
	l.reset()
	for _, w := range l.replies {
		l.addPacket(w.buf, &w.authenticator, w.lane)
	}
	md5x8.Sum(l.messages)
	for i, w := range l.replies {
		*Packet(w.buf).Authenticator() = l.messages[i].State.Digest()
	}
	clear(l.replies)
	l.replies = l.replies[:0]
}

// signMessages computes the Message-Authenticator of the replies that have one, as
// their first attribute.
func (l *lanes) signMessages(replies []*Reply) {
	l.reset()
	for _, w := range replies {
		if w.signed {
			b := append(l.room(), w.buf[:4]...)
			b = append(b, w.authenticator[:]...)
			b = append(b, w.buf[HeaderLength:]...)
			l.add(b, w.lane.inner, md5x8.BlockSize)
		}
	}
	md5x8.Sum(l.messages)
	for _, w := range replies {
		if w.signed {
			l.continueHMAC(len(l.outer), w.lane)
		}
	}
	md5x8.Sum(l.outer)
	i := 0
	for _, w := range replies {
		if w.signed {
			digest := l.outer[i].State.Digest()
			copy(w.buf[HeaderLength+2:], digest[:])
			i++
		}
	}
}

// reset makes room for other messages.
func (l *lanes) reset() { l.messages, l.outer, l.used = l.messages[:0], l.outer[:0], 0 }

// room is where the octets of the next message go, until add.
func (l *lanes) room() []byte { return l.memory[l.used:l.used] }

// add makes a message of the octets in b, to which so many have led up, and returns
// its place.
func (l *lanes) add(b []byte, state md5x8.State, hashed int) int {
	b = md5x8.Pad(b, hashed)
	l.used += len(b)
	l.messages = append(l.messages, md5x8.Message{State: state, Blocks: b})
	return len(l.messages) - 1
}

// addPacket adds a packet with the authenticator replaced, followed by the secret.
func (l *lanes) addPacket(p Packet, authenticator *[AuthenticatorLength]byte, key *laneKey) int {
	b := append(l.room(), p[:4]...)
	b = append(b, authenticator[:]...)
	b = append(b, p[HeaderLength:]...)
	return l.add(append(b, key.secret...), md5x8.Initial, 0)
}

// continueHMAC adds the second half of the HMAC whose first half has been computed,
// in whose memory it is.
func (l *lanes) continueHMAC(inner int, key *laneKey) {
	m := l.messages[inner]
	digest := m.State.Digest()
	b := md5x8.Pad(append(m.Blocks[:0], digest[:]...), md5x8.BlockSize)
	l.outer = append(l.outer, md5x8.Message{State: key.outer, Blocks: b})
}
