package aaa

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Live sessions are held packed: a few hundred octets in one string rather than
// the many fields of a Session, most of which are empty. What many sessions share
// (user name, NAS) and the id stand beside it.

// packedFlags
const (
	packStartInferred = 1 << iota
	packStopInferred
	packCounterWrapped
	packStopped
)

// appendPacked appends s without ID, Username, NASID, NASAddr and NASIdentifier.
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
	b = append(b, flags)
	b = binary.AppendVarint(b, s.UpdatedAt.UnixMicro())
	b = binary.AppendVarint(b, s.UpdatedAt.UnixMicro()-s.StartedAt.UnixMicro())
	if !s.Open() {
		b = binary.AppendVarint(b, s.UpdatedAt.UnixMicro()-s.StoppedAt.UnixMicro())
	}
	for _, n := range [...]uint64{s.SessionSeconds, s.InputOctets, s.OutputOctets, s.InputPackets, s.OutputPackets, uint64(s.NASPort)} {
		b = binary.AppendUvarint(b, n)
	}
	for _, text := range [...]string{s.AcctSessionID, s.AcctMultiSessionID, s.NASPortID, s.CallingStationID,
		s.CalledStationID, s.TerminateCause, s.Plan, string(s.Class)} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	b = appendAddr(b, s.FramedIP)
	b = appendAddr(b, s.FramedIPv6)
	b = appendPrefix(b, s.FramedIPv6Prefix)
	b = appendPrefix(b, s.DelegatedPrefix)
	return s.Provenance.AppendTo(b)
}

func appendAddr(b []byte, addr netip.Addr) []byte {
	octets := addr.AsSlice()
	return append(append(b, byte(len(octets))), octets...)
}

func appendPrefix(b []byte, prefix netip.Prefix) []byte {
	b = appendAddr(b, prefix.Addr())
	if prefix.IsValid() {
		b = append(b, byte(prefix.Bits()))
	}
	return b
}

// unpack reads what appendPacked wrote; s shares the string.
func unpack(packed string, s *Session) {
	u := unpacker{packed}
	flags := u.take(1)[0]
	s.StartInferred = flags&packStartInferred != 0
	s.StopInferred = flags&packStopInferred != 0
	s.CounterWrapped = flags&packCounterWrapped != 0
	updated := u.varint()
	s.UpdatedAt = time.UnixMicro(updated).UTC()
	s.StartedAt = time.UnixMicro(updated - u.varint()).UTC()
	s.StoppedAt = time.Time{}
	if flags&packStopped != 0 {
		s.StoppedAt = time.UnixMicro(updated - u.varint()).UTC()
	}
	for _, n := range [...]*uint64{&s.SessionSeconds, &s.InputOctets, &s.OutputOctets, &s.InputPackets, &s.OutputPackets} {
		*n = u.uvarint()
	}
	s.NASPort = uint32(u.uvarint())
	for _, text := range [...]*string{&s.AcctSessionID, &s.AcctMultiSessionID, &s.NASPortID, &s.CallingStationID,
		&s.CalledStationID, &s.TerminateCause, &s.Plan} {
		*text = u.take(int(u.uvarint()))
	}
	s.Class = nil
	if n := u.uvarint(); n > 0 {
		s.Class = []byte(u.take(int(n)))
	}
	s.FramedIP, s.FramedIPv6 = u.addr(), u.addr()
	s.FramedIPv6Prefix, s.DelegatedPrefix = u.prefix(), u.prefix()
	u.provenance(&s.Provenance)
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

func (u *unpacker) addr() netip.Addr {
	addr, _ := netip.AddrFromSlice([]byte(u.take(int(u.take(1)[0]))))
	return addr
}

func (u *unpacker) prefix() netip.Prefix {
	addr := u.addr()
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(addr, int(u.take(1)[0]))
}

// provenance mirrors Provenance.AppendTo.
func (u *unpacker) provenance(p *Provenance) {
	*p = Provenance{}
	u.take(2)
	latest := u.varint()
	for i := range p.at {
		if lag := u.uvarint(); lag != 0 {
			p.at[i] = latest - int64(lag-1)
		}
	}
}
