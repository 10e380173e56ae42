package aaa

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/radius"
)

// An envelope is an Accounting-Request as it stands in the journal: the packet as
// received, with what the packet does not say. Numbers are in network order.
//
//	octets  0      version, 1
//	        1-8    time of receipt, µs since 1970
//	        9      4 or 6: the family of the source address
//	       10-25   source address, IPv4 as IPv4-mapped
//	       26-41   id of the directory's NAS, zero if it has none
//	       42-     the packet
const (
	envelopeVersion = 1
	envelopeHeader  = 42
	// maxEnvelope is the longest envelope.
	maxEnvelope = envelopeHeader + radius.MaxLength
)

// Envelope is the parsed form. Packet shares memory with the octets it was parsed
// from.
type Envelope struct {
	Received time.Time // UTC, in µs
	Source   netip.Addr
	NASID    uuid.UUID
	Packet   radius.Packet
}

// AppendTo appends the stored form.
func (e *Envelope) AppendTo(b []byte) []byte {
	b = append(b, envelopeVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Received.UnixMicro()))
	family := byte(6)
	if e.Source.Is4() {
		family = 4
	}
	b = append(b, family)
	addr := e.Source.As16()
	b = append(b, addr[:]...)
	b = append(b, e.NASID[:]...)
	return append(b, e.Packet...)
}

var errEnvelope = errors.New("malformed accounting envelope")

// ParseEnvelope reads what AppendTo wrote.
func ParseEnvelope(b []byte) (Envelope, error) {
	if len(b) < envelopeHeader {
		return Envelope{}, fmt.Errorf("%w: %d octets", errEnvelope, len(b))
	}
	if b[0] != envelopeVersion {
		return Envelope{}, fmt.Errorf("%w: version %d", errEnvelope, b[0])
	}
	e := Envelope{
		Received: time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC(),
		Source:   netip.AddrFrom16([16]byte(b[10:26])),
		NASID:    uuid.UUID(b[26:42]),
	}
	switch b[9] {
	case 4:
		e.Source = e.Source.Unmap()
	case 6:
	default:
		return Envelope{}, fmt.Errorf("%w: address family %d", errEnvelope, b[9])
	}
	packet, discard := radius.Parse(b[envelopeHeader:])
	if discard != 0 {
		return Envelope{}, fmt.Errorf("%w: packet: %s", errEnvelope, discard)
	}
	e.Packet = packet
	return e, nil
}
