package aaa

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Live sessions are held packed: a few hundred octets in one string rather than
// the many fields of a Session, most of which are empty. What many sessions share
// (user name, NAS), the id and what every interim changes stand beside it.
//
//	octets  0     packedFlags
//	        1-8   StartedAt, µs since 1970
//	        9-    what the latest record said, as appendSaid writes it
//	              what is kept of those before
//	              since when: two octets with a bit for each attribute of which that is
//	              known and not the latest record's time, and these times
//	              StoppedAt, if packStopped
//	              AcctSessionID, TerminateCause
//
// So whether an interim says the same as the record before it is seen without unpacking.

// packedFlags
const (
	packStartInferred = 1 << iota
	packStopInferred
	packCounterWrapped
	packStopped
)

// liveCounters is what every interim changes.
type liveCounters struct {
	updated       int64 // UpdatedAt, in µs since 1970
	seconds       uint64
	inputOctets   uint64
	outputOctets  uint64
	inputPackets  uint64
	outputPackets uint64
}

func countersOf(s *Session) liveCounters {
	return liveCounters{s.UpdatedAt.UnixMicro(), s.SessionSeconds, s.InputOctets, s.OutputOctets, s.InputPackets, s.OutputPackets}
}

// appendPacked appends s without its liveCounters, ID, Username, NASID, NASAddr and NASIdentifier.
func appendPacked(b []byte, s *Session) []byte {
	flags := byte(0)
	for _, f := range [...]struct {
		set bool
		bit byte
	}{
		{s.StartInferred, packStartInferred}, {s.StopInferred, packStopInferred},
		{s.CounterWrapped, packCounterWrapped}, {!s.Open(), packStopped},
	} {
		if f.set {
			flags |= f.bit
		}
	}
	started := s.StartedAt.UnixMicro()
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(started))
	latest, earlier := s.said()
	b, of := appendSaid(b, &latest)
	b, _ = appendSaid(b, &earlier)
	since := len(b)
	var timed attributeSet
	b = append(b, 0, 0)
	for a, at := range s.Provenance.at {
		if at != 0 && !of.has(attribute(a)) {
			timed.add(attribute(a))
			b = binary.AppendVarint(b, at-started)
		}
	}
	binary.BigEndian.PutUint16(b[since:], uint16(timed))
	if !s.Open() {
		b = binary.AppendVarint(b, s.StoppedAt.UnixMicro()-started)
	}
	b = appendText(b, s.AcctSessionID)
	return appendText(b, s.TerminateCause)
}

// attributeSet has a bit for each attribute.
type attributeSet uint16

const _ = 16 - attributeCount // there are bits enough

func (s attributeSet) has(a attribute) bool { return s>>a&1 != 0 }
func (s *attributeSet) add(a attribute)     { *s |= 1 << a }

// said returns the session's attributes as records that say them: those of the time of
// its latest record, and those that are older.
func (s *Session) said() (latest, earlier Record) {
	updated := s.UpdatedAt.UnixMicro()
	of := func(a attribute) *Record {
		if at := s.Provenance.at[a]; at == updated && at != 0 {
			return &latest
		}
		return &earlier
	}
	of(attrUsername).Username = s.Username
	of(attrMultiSessionID).AcctMultiSessionID = s.AcctMultiSessionID
	of(attrNASID).NASID = s.NASID
	of(attrNASAddr).NASAddr = s.NASAddr
	of(attrNASIdentifier).NASIdentifier = s.NASIdentifier
	of(attrNASPort).NASPort = s.NASPort
	of(attrNASPortID).NASPortID = s.NASPortID
	of(attrFramedIP).FramedIP = s.FramedIP
	of(attrFramedIPv6).FramedIPv6 = s.FramedIPv6
	of(attrFramedIPv6Prefix).FramedIPv6Prefix = s.FramedIPv6Prefix
	of(attrDelegatedPrefix).DelegatedPrefix = s.DelegatedPrefix
	of(attrCallingStationID).CallingStationID = s.CallingStationID
	of(attrCalledStationID).CalledStationID = s.CalledStationID
	of(attrClass).Class = s.Class
	of(attrPlan).Plan = s.Plan
	return latest, earlier
}

// appendSaid appends which attributes the record has, and their values but for those of
// the user and the NAS. Two records that say the same are the same octets, and none is the
// beginning of another.
func appendSaid(b []byte, r *Record) (_ []byte, set attributeSet) {
	at := len(b)
	b = append(b, 0, 0)
	if r.Username != "" {
		set.add(attrUsername)
	}
	if r.NASID != uuid.Nil {
		set.add(attrNASID)
	}
	if r.NASAddr.IsValid() {
		set.add(attrNASAddr)
	}
	if r.NASIdentifier != "" {
		set.add(attrNASIdentifier)
	}
	if r.NASPort != 0 {
		set.add(attrNASPort)
		b = binary.BigEndian.AppendUint32(b, r.NASPort)
	}
	if r.FramedIP.IsValid() {
		set.add(attrFramedIP)
		b = appendAddr(b, r.FramedIP)
	}
	if r.FramedIPv6.IsValid() {
		set.add(attrFramedIPv6)
		b = appendAddr(b, r.FramedIPv6)
	}
	if r.FramedIPv6Prefix.IsValid() {
		set.add(attrFramedIPv6Prefix)
		b = appendPrefix(b, r.FramedIPv6Prefix)
	}
	if r.DelegatedPrefix.IsValid() {
		set.add(attrDelegatedPrefix)
		b = appendPrefix(b, r.DelegatedPrefix)
	}
	if r.AcctMultiSessionID != "" {
		set.add(attrMultiSessionID)
		b = appendText(b, r.AcctMultiSessionID)
	}
	if r.NASPortID != "" {
		set.add(attrNASPortID)
		b = appendText(b, r.NASPortID)
	}
	if r.CallingStationID != "" {
		set.add(attrCallingStationID)
		b = appendText(b, r.CallingStationID)
	}
	if r.CalledStationID != "" {
		set.add(attrCalledStationID)
		b = appendText(b, r.CalledStationID)
	}
	if r.Plan != "" {
		set.add(attrPlan)
		b = appendText(b, r.Plan)
	}
	if len(r.Class) != 0 {
		set.add(attrClass)
		b = appendText(b, r.Class)
	}
	binary.BigEndian.PutUint16(b[at:], uint16(set))
	return b, set
}

func appendText[T string | []byte](b []byte, text T) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

func appendAddr(b []byte, addr netip.Addr) []byte {
	if addr.Is4() {
		octets := addr.As4()
		return append(append(b, 4), octets[:]...)
	}
	octets := addr.As16()
	return append(append(b, 16), octets[:]...)
}

func appendPrefix(b []byte, prefix netip.Prefix) []byte {
	return append(appendAddr(b, prefix.Addr()), byte(prefix.Bits()))
}

// unpack reads what appendPacked wrote and countersOf gave; s shares the string.
func unpack(packed string, c *liveCounters, s *Session) {
	*s = Session{}
	u := unpacker{packed}
	flags := u.head(c, s)
	latest := u.said(s)
	u.said(s)
	started, timed := s.StartedAt.UnixMicro(), attributeSet(u.uint(2))
	for a := range attributeCount {
		switch {
		case latest.has(a):
			s.Provenance.at[a] = c.updated
		case timed.has(a):
			s.Provenance.at[a] = started + u.varint()
		}
	}
	if flags&packStopped != 0 {
		s.StoppedAt = time.UnixMicro(started + u.varint()).UTC()
	}
	s.AcctSessionID, s.TerminateCause = u.text(), u.text()
}

// unpacker reads from the front of what this process packed itself.
type unpacker struct{ s string }

func (u *unpacker) take(n int) string {
	taken := u.s[:n]
	u.s = u.s[n:]
	return taken
}

func (u *unpacker) uvarint() uint64 {
	var n uint64
	for shift := 0; ; shift += 7 {
		c := u.take(1)[0]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
}

func (u *unpacker) varint() int64 {
	n := u.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

// head reads what stands before the attributes, and takes over the counters.
func (u *unpacker) head(c *liveCounters, s *Session) (flags byte) {
	flags = u.take(1)[0]
	s.StartInferred = flags&packStartInferred != 0
	s.StopInferred = flags&packStopInferred != 0
	s.CounterWrapped = flags&packCounterWrapped != 0
	s.StartedAt, s.UpdatedAt = time.UnixMicro(int64(u.uint(8))).UTC(), time.UnixMicro(c.updated).UTC()
	s.SessionSeconds, s.InputOctets, s.OutputOctets = c.seconds, c.inputOctets, c.outputOctets
	s.InputPackets, s.OutputPackets = c.inputPackets, c.outputPackets
	return flags
}

// uint reads a number of n octets in network order.
func (u *unpacker) uint(n int) (number uint64) {
	for _, octet := range []byte(u.take(n)) {
		number = number<<8 | uint64(octet)
	}
	return number
}

func (u *unpacker) text() string { return u.take(int(u.uvarint())) }

func (u *unpacker) addr() netip.Addr {
	addr, _ := netip.AddrFromSlice([]byte(u.take(int(u.take(1)[0]))))
	return addr
}

func (u *unpacker) prefix() netip.Prefix {
	addr := u.addr()
	return netip.PrefixFrom(addr, int(u.take(1)[0]))
}

// said reads what appendSaid wrote.
func (u *unpacker) said(s *Session) attributeSet {
	set := attributeSet(u.uint(2))
	if set.has(attrNASPort) {
		s.NASPort = uint32(u.uint(4))
	}
	if set.has(attrFramedIP) {
		s.FramedIP = u.addr()
	}
	if set.has(attrFramedIPv6) {
		s.FramedIPv6 = u.addr()
	}
	if set.has(attrFramedIPv6Prefix) {
		s.FramedIPv6Prefix = u.prefix()
	}
	if set.has(attrDelegatedPrefix) {
		s.DelegatedPrefix = u.prefix()
	}
	for _, text := range [...]struct {
		attribute
		kept *string
	}{
		{attrMultiSessionID, &s.AcctMultiSessionID}, {attrNASPortID, &s.NASPortID}, {attrCallingStationID, &s.CallingStationID},
		{attrCalledStationID, &s.CalledStationID}, {attrPlan, &s.Plan},
	} {
		if set.has(text.attribute) {
			*text.kept = u.text()
		}
	}
	if set.has(attrClass) {
		s.Class = []byte(u.text())
	}
	return set
}
