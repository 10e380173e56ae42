package radius

import "encoding/binary"

const (
	// HeaderLength is the length of code, identifier, length and authenticator.
	HeaderLength = 20
	// MaxLength is the greatest length of a packet (RFC 2865 section 3).
	MaxLength = 4096
	// MaxAttributes is the greatest number of attributes that a packet may have.
	// The RFCs give no limit; real packets have a few dozen.
	MaxAttributes = 200
	// AuthenticatorLength is the length of every authenticator.
	AuthenticatorLength = 16
	// MaxValueLength is the greatest length of an attribute's value.
	MaxValueLength = 253
)

// Packet is a view of one well-formed packet in wire form. It shares memory with
// the datagram it was parsed from and is valid as long as that is.
type Packet []byte

// Parse checks that the datagram holds one well-formed packet and returns it:
// a header, a length of 20 to 4096 that the datagram reaches, and at most
// [MaxAttributes] attributes that fill it exactly. Octets beyond the packet's own
// length are padding and are cut (RFC 2865 section 3). The datagram is not
// copied. If it is malformed, Parse returns nil and the reason; the reason is 0
// otherwise.
//
// Parse looks at no attribute's value; code and authenticator are for the caller
// to check.
func Parse(datagram []byte) (Packet, Discard) {
	if len(datagram) < HeaderLength {
		return nil, DiscardMalformedHeader
	}
	length := int(binary.BigEndian.Uint16(datagram[2:]))
	if length < HeaderLength || length > MaxLength || length > len(datagram) {
		return nil, DiscardMalformedHeader
	}
	p := Packet(datagram[:length:length])
	count := 0
	for i := HeaderLength; i < length; count++ {
		if count == MaxAttributes {
			return nil, DiscardTooManyAttributes
		}
		// Type 0 is reserved; an attribute is at least its type and length.
		if length-i < 2 || p[i] == 0 || p[i+1] < 2 || int(p[i+1]) > length-i {
			return nil, DiscardMalformedAttribute
		}
		i += int(p[i+1])
	}
	return p, 0
}

// Code returns what the packet is.
func (p Packet) Code() Code { return Code(p[0]) }

// Identifier returns the number by which a response is matched to its request.
func (p Packet) Identifier() uint8 { return p[1] }

// Authenticator returns the packet's Request or Response Authenticator, in place.
func (p Packet) Authenticator() *[AuthenticatorLength]byte {
	return (*[AuthenticatorLength]byte)(p[4:HeaderLength])
}

// Attributes returns the packet's attributes, in place.
func (p Packet) Attributes() Attributes { return Attributes(p[HeaderLength:]) }

// CHAPChallenge returns the challenge that a CHAP-Password in the packet answers:
// the CHAP-Challenge if there is one, else the Request Authenticator (RFC 2865
// section 2.2).
func (p Packet) CHAPChallenge() []byte {
	if challenge, ok := p.Attributes().Get(TypeCHAPChallenge); ok {
		return challenge
	}
	return p[4:HeaderLength]
}
