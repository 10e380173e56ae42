//go:build linux

package main

import (
	"crypto/md5"
	"encoding/binary"
	"time"
)

// An acctSource sends whole sessions, many at a time: a Start, twelve interims and a Stop,
// as of a session of an hour with an update every five minutes, each from one NAS. No two
// records are the same, so each is made when it is sent; that costs one MD5.
type acctSource struct {
	users    int
	keys     []nasKey        // by NAS
	sessions [][]acctSession // of each socket
	next     []int           // the session whose turn it is
	number   uint64          // of the last session that began
	now      uint32
	buffers  [][slotSize]byte // by socket and Identifier
}

type acctSession struct {
	number uint64
	user   uint32
	step   uint32 // 0 is Start, lastStep Stop
}

const (
	openSessions = 20_000
	lastStep     = 13
	interim      = 300 // seconds
)

// newAcctSource begins with sessions of all ages.
func newAcctSource(sockets, users int, keys []nasKey) *acctSource {
	s := &acctSource{
		users: users, keys: keys, sessions: make([][]acctSession, sockets), next: make([]int, sockets), buffers: make([][slotSize]byte, sockets*256),
		number: uint64(time.Now().UnixMicro()), // not those of a run before
		now:    uint32(time.Now().Unix()),
	}
	for i := range s.sessions {
		s.sessions[i] = make([]acctSession, openSessions/sockets)
		for k := range s.sessions[i] {
			s.begin(&s.sessions[i][k])
			s.sessions[i][k].step = uint32(k % (lastStep + 1))
		}
	}
	return s
}

func (s *acctSource) begin(session *acctSession) {
	s.number++
	user := 1 + uint32(s.number*7919%uint64(s.users))
	if limited(int(user)) {
		user-- // the sessions that a load leaves open would count against the user's next login
	}
	*session = acctSession{number: s.number, user: max(user, 1)}
}

func (s *acctSource) request(socket, identifier int) []byte {
	buffer := &s.buffers[socket*256+identifier]
	session := &s.sessions[socket][s.next[socket]]
	if s.next[socket]++; s.next[socket] == len(s.sessions[socket]) {
		s.next[socket] = 0
	}
	n := len(s.appendRecord(buffer[:0], session, nasAddress(socket), byte(identifier)))
	if session.step++; session.step > lastStep {
		s.begin(session)
	}
	setLength(buffer[:n])
	copy(buffer[n:], s.keys[0].secret[:])  // all NASes have the same
	sum := md5.Sum(buffer[:n+len(secret)]) // the authenticator is zero so far (RFC 2866 section 3)
	copy(buffer[4:], sum[:])
	return buffer[:n]
}

// appendRecord appends the packet of the session's next record, not signed. The address is
// that of the NAS.
func (s *acctSource) appendRecord(b []byte, session *acctSession, address [4]byte, identifier byte) []byte {
	user, seconds := session.user, session.step*interim
	status := uint32(3) // Interim-Update
	switch session.step {
	case 0:
		status = 1 // Start
	case lastStep:
		status = 2 // Stop
	}
	b = appendHeader(b, accountingRequest, identifier, &zeros)
	b = appendInteger(b, attrAcctStatusType, status)
	b = append(b, attrAcctSessionID, 2+16)
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789ABCDEF"[session.number>>shift&15])
	}
	b = append(b, attrUserName, 2+12, 'u', 's', 'e', 'r')
	for divisor := uint32(10_000_000); divisor > 0; divisor /= 10 {
		b = append(b, '0'+byte(user/divisor%10))
	}
	b = appendAttribute(b, attrNASIPAddress, address[:])
	b = appendText(b, attrNASIdentifier, "bras1")
	b = appendInteger(b, attrNASPort, user)
	b = appendInteger(b, attrNASPortType, 15)
	b = appendText(b, attrNASPortID, "ether2-vlan100")
	b = appendInteger(b, attrServiceType, 2)
	b = appendInteger(b, attrFramedProtocol, 1)
	b = appendInteger(b, attrFramedIPAddress, 10<<24+user)
	b = append(b, attrCallingStationID, 2+17)
	for shift := 40; shift >= 0; shift -= 8 {
		octet := byte((uint64(2)<<40 + uint64(user)) >> shift)
		b = append(b, "0123456789ABCDEF"[octet>>4], "0123456789ABCDEF"[octet&15], ':')
	}
	b = b[:len(b)-1]
	b = appendText(b, attrCalledStationID, "pppoe-service")
	b = appendInteger(b, attrAcctAuthentic, 1)
	b = appendInteger(b, attrEventTimestamp, s.now-lastStep*interim+seconds)
	if session.step == 0 {
		return b
	}
	input, output := uint64(seconds)*250_000, uint64(seconds)*2_500_000
	b = appendInteger(b, attrAcctSessionTime, seconds)
	b = appendInteger(b, attrAcctInputOctets, uint32(input))
	b = appendInteger(b, attrAcctOutputOctets, uint32(output))
	b = appendInteger(b, attrAcctInputPackets, uint32(input/500))
	b = appendInteger(b, attrAcctOutputPackets, uint32(output/1000))
	b = appendInteger(b, attrAcctInputGigawords, uint32(input>>32))
	b = appendInteger(b, attrAcctOutputGigawords, uint32(output>>32))
	if session.step == lastStep {
		b = appendInteger(b, attrAcctTerminateCause, 1)
	}
	return b
}

// verify checks the Response Authenticator; there is no other signature that an
// Accounting-Response must have.
func (s *acctSource) verify(b *answerBuffer, n int, request []byte) verdict {
	p := b.packet()
	if int(binary.BigEndian.Uint16(p[2:])) != n || !b.responseAuthentic(n, request, &s.keys[0]) {
		return unverified
	}
	if at := messageAuthenticator(p[:n]); at != 0 && !b.messageAuthentic(n, at, &s.keys[0]) {
		return unverified
	}
	if p[0] != accountingResponse {
		return wrongCode
	}
	return right
}
