package cli

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"radiusd/radius"
)

// What the packets of `bench acct` say.

func (s *acctSource) encode(dst []byte, slot int, identifier uint8, since time.Duration) ([]byte, error) {
	r := &s.slots[slot]
	m := &s.message
	m.Attributes = m.Attributes[:0]
	if r.status == 0 {
		return s.encodeLogin(dst, r, identifier)
	}
	m.Code = radius.AccountingRequest
	m.AddUint32(radius.TypeAcctStatusType, r.status)
	m.Attributes = r.nas.append(m.Attributes)
	s.scratch = appendSessionID(s.scratch[:0], r.session.number)
	m.Add(radius.TypeAcctSessionID, s.scratch)
	if !r.bootRecord() {
		s.addSession(r)
	}
	if r.nas.clock.timestamp {
		m.Attributes = radius.AppendTime(m.Attributes, radius.TypeEventTimestamp, r.event)
	}
	if r.nas.clock.delay {
		r.delay = r.nas.clock.delayOf(since, r.bootRecord())
		m.AddUint32(radius.TypeAcctDelayTime, r.delay)
	}
	return m.AppendTo(dst, identifier, s.hasher)
}

// append appends what tells the NAS.
func (n *benchNAS) append(attributes []byte) []byte {
	attributes = radius.AppendString(attributes, radius.TypeNASIdentifier, n.identifier)
	if n.addr.IsValid() {
		attributes = radius.AppendAddr(attributes, radius.TypeNASIPAddress, n.addr)
	}
	return attributes
}

// addSession adds what an Accounting-Request says of its session.
func (s *acctSource) addSession(r *acctRequest) {
	m, b := &s.message, &r.session
	s.addUser(r)
	m.AddUint32(radius.TypeNASPort, b.port)
	m.AddAddr(radius.TypeFramedIPAddress, r.framedIP())
	if b.port%2 == 1 {
		m.Attributes = radius.AppendPrefix(m.Attributes, radius.TypeFramedIPv6Prefix, r.framedPrefix())
	}
	s.addStation(r)
	if b.class != nil {
		m.Add(radius.TypeClass, b.class)
	}
	// In a Start it is zero, and needed without Event-Timestamp: what else would tell
	// that a Start that is sent again is not a second one?
	if r.status != radius.AcctStart || !r.nas.clock.timestamp {
		m.AddUint32(radius.TypeAcctSessionTime, r.seconds)
	}
	if r.status == radius.AcctStart {
		return
	}
	m.AddUint32(radius.TypeAcctInputOctets, uint32(b.input))
	m.AddUint32(radius.TypeAcctOutputOctets, uint32(b.output))
	m.AddUint32(radius.TypeAcctInputPackets, uint32(b.input/1000))
	m.AddUint32(radius.TypeAcctOutputPackets, uint32(b.output/1000))
	m.AddUint32(radius.TypeAcctInputGigawords, uint32(b.input>>32))
	m.AddUint32(radius.TypeAcctOutputGigawords, uint32(b.output>>32))
	if r.status == radius.AcctStop {
		m.AddUint32(radius.TypeAcctTerminateCause, 1) // User-Request
	}
}

func (s *acctSource) addUser(r *acctRequest) {
	s.scratch = s.user.append(s.scratch[:0], s.userNumber(r))
	s.message.Add(radius.TypeUserName, s.scratch)
}

// userNumber is the user's whose session it is; the same after a boot, so that
// Acct-Session-Id and User-Name do not tell its sessions from those before.
func (s *acctSource) userNumber(r *acctRequest) int {
	return (int(r.session.number-1)*s.o.nases+r.nas.index)%s.o.users + 1
}

// addStation adds a Calling-Station-Id of the session's own: it is another device.
func (s *acctSource) addStation(r *acctRequest) {
	const digits = "0123456789ABCDEF"
	address := [6]byte{0x02, byte(r.nas.index)}
	binary.BigEndian.PutUint32(address[2:], r.session.port)
	address[1] ^= byte(r.nas.index >> 8 << 4)
	b := s.scratch[:0]
	for i, octet := range address {
		if i > 0 {
			b = append(b, '-')
		}
		b = append(b, digits[octet>>4], digits[octet&15])
	}
	s.scratch = b
	s.message.Add(radius.TypeCallingStationID, b)
}

func (r *acctRequest) framedIP() netip.Addr {
	n := uint32(r.nas.index)<<16 + r.session.port
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func (r *acctRequest) framedPrefix() netip.Prefix {
	addr := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint16(addr[4:], uint16(r.nas.index))
	binary.BigEndian.PutUint16(addr[6:], uint16(r.session.port))
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}

// appendSessionID appends an Acct-Session-Id, in hexadecimal as many NASes do.
func appendSessionID(b []byte, number uint32) []byte {
	const digits = "0123456789ABCDEF"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[number>>shift&15])
	}
	return b
}

func (s *acctSource) encodeLogin(dst []byte, r *acctRequest, identifier uint8) ([]byte, error) {
	m := &s.message
	m.Code = radius.AccessRequest
	s.random.Read(m.Authenticator[:])
	s.addUser(r)
	s.scratch = s.password.append(s.scratch[:0], s.userNumber(r))
	hidden, err := s.hasher.AppendEncryptedUserPassword(nil, s.scratch, &m.Authenticator)
	if err != nil {
		return dst, err
	}
	m.Add(radius.TypeUserPassword, hidden)
	m.Attributes = r.nas.append(m.Attributes)
	m.AddUint32(radius.TypeNASPort, r.session.port)
	s.addStation(r)
	return m.AppendTo(dst, identifier, s.hasher)
}

// numberedText is a pattern in which {n} stands for a number.
type numberedText struct{ parts []string }

func newNumberedText(pattern string) numberedText {
	return numberedText{strings.Split(pattern, "{n}")}
}

// append appends the text with the number.
func (t numberedText) append(b []byte, n int) []byte {
	for i, part := range t.parts {
		if i > 0 {
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = append(b, part...)
	}
	return b
}
