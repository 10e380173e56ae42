package redis

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// The states of a session in Redis, as the scripts know them.
const (
	stateOpen = iota
	stateInferred
	stateStopped
)

const (
	flagStartInferred = 1 << iota
	flagOurs          // has a nonce of ours
	flagLapsed
)

// appendState appends a session as the scripts read it (STATE in common.lua), with
// how long it has been silent in the place of when it was heard of. A session that
// has lapsed is not one that has ended: the scripts see for themselves that it is
// silent, and another node may have heard of it.
func appendState(b []byte, s *aaa.SharedSession) []byte {
	stop, flags, stoppedAt, cause := byte(stateOpen), byte(0), s.StoppedAt, s.TerminateCause
	switch {
	case s.Open():
		cause = ""
	case !s.StopInferred:
		stop = stateStopped
	case s.TerminateCause == aaa.CauseLapsed:
		flags |= flagLapsed
		stoppedAt, cause = time.Time{}, ""
	default:
		stop = stateInferred
	}
	if s.StartInferred {
		flags |= flagStartInferred
	}
	nonce, ours := aaa.ParseClass(s.Class)
	if ours {
		flags |= flagOurs
	}
	b = append(b, stop, flags)
	for _, n := range [...]uint64{micros(s.StartedAt), micros(s.UpdatedAt), micros(stoppedAt), s.SessionSeconds, s.InputOctets, s.OutputOctets,
		uint64(s.Silent.Milliseconds())} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(min(s.Interval/time.Second, 1<<31)))
	nas := nasOctets(s.NASAddr)
	station := aaa.NormalizeStation(s.CallingStationID)
	for _, h := range [...][8]byte{
		deviceHash(nas, s.Port(), station), namedHash(nas, s.AcctSessionID), textHash(s.AcctMultiSessionID), textHash(station),
	} {
		b = append(b, h[:]...)
	}
	b = append(b, nonce[:]...)
	b = append(b, nas[:]...)
	b = append(b, s.NASID[:]...)
	b = append(b, byte(min(len(cause), 255)))
	b = append(b, cause[:min(len(cause), 255)]...)
	return appendDetails(b, &s.Session)
}

// stateHead is the length of a state before the cause.
const stateHead = 2 + 7*8 + 4 + 4*8 + 12 + 16 + 16

// appendDetails appends what the scripts only keep, for those who list sessions.
func appendDetails(b []byte, s *aaa.Session) []byte {
	for _, text := range [...]string{s.AcctSessionID, s.AcctMultiSessionID, s.NASIdentifier, s.NASPortID, s.CallingStationID, s.CalledStationID} {
		b = appendText(b, text)
	}
	for _, addr := range [...]netip.Addr{s.FramedIP, s.FramedIPv6} {
		b = appendText(b, string(addr.AsSlice()))
	}
	for _, prefix := range [...]netip.Prefix{s.FramedIPv6Prefix, s.DelegatedPrefix} {
		octets, _ := prefix.MarshalBinary() // never fails
		b = appendText(b, string(octets))
	}
	for _, n := range [...]uint64{uint64(s.NASPort), s.InputPackets, s.OutputPackets} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

var errState = errors.New("malformed session in Redis")

// state is a session as Redis holds it.
type state struct {
	aaa.Session
	seen     time.Time // by the clock of the scripts
	interval time.Duration
}

// parseState reads what the scripts wrote; username is that of the key.
func parseState(id uuid.UUID, username, packed string) (s state, err error) {
	if len(packed) <= stateHead {
		return s, errState
	}
	b := []byte(packed)
	stop, flags := b[0], b[1]
	number := func(i int) uint64 { return binary.BigEndian.Uint64(b[2+8*i:]) }
	s.ID, s.Username = id, username
	s.StartedAt, s.UpdatedAt = fromMicros(number(0)), fromMicros(number(1))
	s.StartInferred, s.StopInferred = flags&flagStartInferred != 0, stop == stateInferred
	if stop != stateOpen {
		s.StoppedAt = fromMicros(number(2))
	}
	s.SessionSeconds, s.InputOctets, s.OutputOctets = number(3), number(4), number(5)
	s.seen = time.UnixMilli(int64(number(6))).UTC()
	rest := b[2+7*8:]
	s.interval = time.Duration(binary.BigEndian.Uint32(rest)) * time.Second
	rest = rest[4+4*8:]
	if flags&flagOurs != 0 {
		s.Class = aaa.AppendClass(nil, aaa.Nonce(rest[:12]))
	}
	s.NASAddr = nasAddr([16]byte(rest[12:28]))
	copy(s.NASID[:], rest[28:44])
	n := int(rest[44])
	if len(rest) < 45+n {
		return s, errState
	}
	s.TerminateCause = string(rest[45 : 45+n])
	return s, parseDetails(rest[45+n:], &s.Session)
}

func parseDetails(b []byte, s *aaa.Session) error {
	if len(b) == 0 {
		return nil // of one that has ended
	}
	ok := true
	uvarint := func() uint64 {
		value, n := binary.Uvarint(b)
		if n <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[n:]
		return value
	}
	text := func() []byte {
		n := uvarint()
		if n > uint64(len(b)) {
			ok = false
			return nil
		}
		taken := b[:n]
		b = b[n:]
		return taken
	}
	for _, field := range [...]*string{&s.AcctSessionID, &s.AcctMultiSessionID, &s.NASIdentifier, &s.NASPortID, &s.CallingStationID, &s.CalledStationID} {
		*field = string(text())
	}
	for _, field := range [...]*netip.Addr{&s.FramedIP, &s.FramedIPv6} {
		*field, _ = netip.AddrFromSlice(text())
	}
	for _, field := range [...]*netip.Prefix{&s.FramedIPv6Prefix, &s.DelegatedPrefix} {
		ok = field.UnmarshalBinary(text()) == nil && ok
	}
	s.NASPort, s.InputPackets, s.OutputPackets = uint32(uvarint()), uvarint(), uvarint()
	if !ok {
		return errState
	}
	return nil
}

// end is what other nodes are told of a session that has ended.
func (s *state) end() aaa.SharedEnd {
	return aaa.SharedEnd{
		SessionID: s.ID, UpdatedAt: s.UpdatedAt, StoppedAt: s.StoppedAt, StopInferred: s.StopInferred, TerminateCause: s.TerminateCause,
		Used: aaa.Usage{Seconds: s.SessionSeconds, InputOctets: s.InputOctets, OutputOctets: s.OutputOctets},
	}
}

// micros is a time in µs since 1970; the zero time, and what was before, is 0.
func micros(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(max(t.UnixMicro(), 0))
}

func fromMicros(n uint64) time.Time { return time.UnixMicro(int64(n)).UTC() }

// nasOctets is an address in 16 octets; none is all zeros.
func nasOctets(addr netip.Addr) [16]byte {
	if !addr.IsValid() {
		return [16]byte{}
	}
	return addr.As16()
}

func nasAddr(octets [16]byte) netip.Addr {
	if octets == ([16]byte{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(octets).Unmap()
}

// deviceHash tells a device on a port of a NAS from others; zero if it is not known
// by station and port. All nodes must agree on it.
func deviceHash(nas [16]byte, port, station string) [8]byte {
	if station == "" || port == "" {
		return [8]byte{}
	}
	return hashOf("device", string(nas[:]), station, port)
}

// namedHash tells what a NAS calls a session from what others do.
func namedHash(nas [16]byte, acctSessionID string) [8]byte {
	if acctSessionID == "" {
		return [8]byte{}
	}
	return hashOf("session", string(nas[:]), acctSessionID)
}

// textHash is zero for no text.
func textHash(text string) [8]byte {
	if text == "" {
		return [8]byte{}
	}
	return hashOf("text", text)
}

func hashOf(parts ...string) [8]byte {
	var buffer [256]byte
	b := buffer[:0]
	for _, part := range parts {
		b = appendText(b, part)
	}
	sum := sha256.Sum256(b)
	sum[0] |= 1 // never zero
	return [8]byte(sum[:8])
}
