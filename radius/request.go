package radius

import (
	"net/netip"
	"time"
)

// A Request is a packet from a known NAS that passed verification. It belongs to
// the handler until the reply is sent, discarded or held, and must not be kept.
type Request struct {
	// Packet shares memory with the datagram. It is nil after Hold.
	Packet Packet
	// NAS is the one that LookupNAS gave for Source.
	NAS *NAS
	// Source is the address it came from, IPv4 never mapped into IPv6.
	Source netip.AddrPort
	// Destination is the address it was sent to. On a socket that is bound to
	// all addresses, on systems that do not tell, its address is unspecified.
	Destination netip.AddrPort
	// Received is when it was read, with a monotonic reading.
	Received time.Time

	reply *Reply
}

// AppendUserPassword appends the request's User-Password, deciphered with the
// secret that verified the request (RFC 2865 section 5.2), to dst. It reports
// false if there is none or its length is wrong. A NAS with another secret gives
// arbitrary octets: an Access-Request without Message-Authenticator proves nothing.
func (r *Request) AppendUserPassword(dst []byte) (plain []byte, ok bool) {
	encrypted, ok := r.Packet.Attributes().Get(TypeUserPassword)
	if !ok {
		return dst, false
	}
	if w := r.reply; w.hasKeystream && len(encrypted) == len(w.keystream) {
		return appendPlain(dst, encrypted, &w.keystream), true
	}
	return r.reply.hasher().AppendUserPassword(dst, encrypted, &r.reply.authenticator)
}

// Cipher encrypts attributes of the reply to this request and deciphers those of
// the request. It belongs to the reply: salts are unique across everything that is
// added to it. Use it only where the request may be used, and not after Hold or
// Defer.
func (r *Request) Cipher() *Cipher { return r.reply.hidden() }
