package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/subtle"
	"hash"
)

// zeroAuthenticator stands in for an authenticator that is not computed yet.
var zeroAuthenticator [AuthenticatorLength]byte

// messageAuthenticatorLength is the length of the whole attribute.
const messageAuthenticatorLength = 2 + AuthenticatorLength

// Hasher is what a shared secret needs to check and sign packets and to hide
// passwords in them: MD5 and HMAC-MD5 whose state is kept, so that nothing
// allocates. It takes about a kilobyte. It is not safe for concurrent use; have one
// for each secret and listener.
type Hasher struct {
	secret []byte
	md5    hash.Hash
	mac    hash.Hash
	sum    [md5.Size]byte

	// authenticator is a copy of the one that is hashed, so that it does not have to
	// escape to the heap where the caller has it.
	authenticator [AuthenticatorLength]byte

	key *laneKey // nil, unless the Hasher is one of a listener that has lanes
}

// NewHasher returns a Hasher for a secret, which it copies. An empty secret is one
// like any other here; refuse it where secrets are configured.
func NewHasher(secret []byte) *Hasher {
	h := &Hasher{
		secret: append([]byte(nil), secret...),
		md5:    md5.New(),
		mac:    hmac.New(md5.New, secret),
	}
	h.mac.Reset() // the first Reset keeps the state after the key block
	return h
}

// MessageAuthenticatorResult is what [Hasher.VerifyMessageAuthenticator] found.
type MessageAuthenticatorResult uint8

// The results. Only MessageAuthenticatorValid says who sent the packet.
const (
	MessageAuthenticatorAbsent MessageAuthenticatorResult = iota
	MessageAuthenticatorValid
	MessageAuthenticatorInvalid // wrong, of wrong length, or twice
)

// VerifyMessageAuthenticator checks the packet's Message-Authenticator, at whatever
// position (RFC 3579 section 3.2). For a response, requestAuthenticator is that of
// the request; for a request it is not used and may be nil. Having two is invalid,
// and so is one that is not of 16 octets.
func (h *Hasher) VerifyMessageAuthenticator(p Packet, requestAuthenticator *[AuthenticatorLength]byte) MessageAuthenticatorResult {
	at := 0
	for i := HeaderLength; i+1 < len(p) && p[i+1] >= 2; i += int(p[i+1]) {
		if Type(p[i]) != TypeMessageAuthenticator {
			continue
		}
		if at != 0 || p[i+1] != messageAuthenticatorLength || len(p)-i < messageAuthenticatorLength {
			return MessageAuthenticatorInvalid
		}
		at = i
	}
	if at == 0 {
		return MessageAuthenticatorAbsent
	}
	h.hashMessageAuthenticator(p, at, messageAuthenticatorBase(p, requestAuthenticator))
	if subtle.ConstantTimeCompare(h.sum[:], p[at+2:at+messageAuthenticatorLength]) != 1 {
		return MessageAuthenticatorInvalid
	}
	return MessageAuthenticatorValid
}

// SignMessageAuthenticator computes the Message-Authenticator that stands at
// p[offset:], its type octet, which must be there with 16 octets of value whose
// content does not matter. All else in the packet must be final, the length too,
// except the authenticator of a response or of a request that hashes it (see
// [Hasher.SignResponse] and [Hasher.SignRequest]), which comes after. The argument
// requestAuthenticator is as for [Hasher.VerifyMessageAuthenticator].
func (h *Hasher) SignMessageAuthenticator(p Packet, offset int, requestAuthenticator *[AuthenticatorLength]byte) {
	h.hashMessageAuthenticator(p, offset, messageAuthenticatorBase(p, requestAuthenticator))
	copy(p[offset+2:offset+messageAuthenticatorLength], h.sum[:])
}

// messageAuthenticatorBase returns what stands in for the authenticator while
// Message-Authenticator is computed: a random Request Authenticator itself (RFC 3579
// section 3.2), zeros where it is a hash (RFC 5176 section 3.4), and the Request
// Authenticator in a response.
func messageAuthenticatorBase(p Packet, requestAuthenticator *[AuthenticatorLength]byte) *[AuthenticatorLength]byte {
	code := p.Code()
	switch {
	case code.randomRequest():
		return p.Authenticator()
	case code.hashedRequest() || requestAuthenticator == nil:
		return &zeroAuthenticator
	}
	return requestAuthenticator
}

// hashMessageAuthenticator leaves in h.sum the HMAC-MD5 of p with the authenticator
// replaced and the value of the attribute at the offset zeroed.
func (h *Hasher) hashMessageAuthenticator(p Packet, offset int, authenticator *[AuthenticatorLength]byte) {
	h.authenticator = *authenticator
	h.mac.Reset()
	h.mac.Write(p[:4])
	h.mac.Write(h.authenticator[:])
	h.mac.Write(p[HeaderLength : offset+2])
	h.mac.Write(zeroAuthenticator[:])
	h.mac.Write(p[offset+messageAuthenticatorLength:])
	h.mac.Sum(h.sum[:0])
}

// VerifyRequestAuthenticator checks the Request Authenticator of an
// Accounting-Request (RFC 2866 section 3), Disconnect-Request or CoA-Request
// (RFC 5176 section 2.3). That of other codes is random and says nothing.
func (h *Hasher) VerifyRequestAuthenticator(p Packet) bool {
	h.hashPacket(p, &zeroAuthenticator)
	return subtle.ConstantTimeCompare(h.sum[:], p.Authenticator()[:]) == 1
}

// SignRequest computes the Request Authenticator of an Accounting-Request,
// Disconnect-Request or CoA-Request. All else must be final. It leaves that of
// other codes as it is.
func (h *Hasher) SignRequest(p Packet) {
	if p.Code().hashedRequest() {
		h.hashPacket(p, &zeroAuthenticator)
		*p.Authenticator() = h.sum
	}
}

// VerifyResponse checks the Response Authenticator of a response (RFC 2865
// section 3) to the request that had the given authenticator.
func (h *Hasher) VerifyResponse(p Packet, requestAuthenticator *[AuthenticatorLength]byte) bool {
	h.hashPacket(p, requestAuthenticator)
	return subtle.ConstantTimeCompare(h.sum[:], p.Authenticator()[:]) == 1
}

// SignResponse computes the Response Authenticator of a response. All else must be
// final; this is the last step.
func (h *Hasher) SignResponse(p Packet, requestAuthenticator *[AuthenticatorLength]byte) {
	h.hashPacket(p, requestAuthenticator)
	*p.Authenticator() = h.sum
}

// hashPacket leaves in h.sum the MD5 of p with the authenticator replaced, followed
// by the secret.
func (h *Hasher) hashPacket(p Packet, authenticator *[AuthenticatorLength]byte) {
	h.authenticator = *authenticator
	h.md5.Reset()
	h.md5.Write(p[:4])
	h.md5.Write(h.authenticator[:])
	h.md5.Write(p[HeaderLength:])
	h.md5.Write(h.secret)
	h.md5.Sum(h.sum[:0])
}
