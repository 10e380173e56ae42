package aaa

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"

	"radiusd/radius"
)

// nasTable finds the NAS with the longest prefix that holds an address. It never
// changes.
type nasTable struct {
	ipv4 []nasLevel[uint32] // by length of prefix, the longest first
	ipv6 []nasLevel[ipv6]
	byID map[uuid.UUID]*radius.NAS
}

// ipv6 is an address in two halves.
type ipv6 struct{ high, low uint64 }

// nasLevel is the NASes of all prefixes of one length.
type nasLevel[A comparable] struct {
	bits  int
	mask  A
	nases map[A]*radius.NAS
}

func ipv4Mask(bits int) uint32 { return ^uint32(0) << (32 - bits) }

func ipv6Mask(bits int) ipv6 {
	return ipv6{^uint64(0) << max(64-bits, 0), ^uint64(0) << min(128-bits, 64)}
}

func ipv4Of(a netip.Addr) uint32 {
	octets := a.As4()
	return binary.BigEndian.Uint32(octets[:])
}

func ipv6Of(a netip.Addr) ipv6 {
	octets := a.As16()
	return ipv6{binary.BigEndian.Uint64(octets[:8]), binary.BigEndian.Uint64(octets[8:])}
}

// putNAS adds a NAS to the level of its prefix.
func putNAS[A comparable](levels []nasLevel[A], bits int, mask func(int) A, address A, n *radius.NAS) []nasLevel[A] {
	i, ok := slices.BinarySearchFunc(levels, bits, func(l nasLevel[A], bits int) int { return bits - l.bits })
	if !ok {
		levels = slices.Insert(levels, i, nasLevel[A]{bits, mask(bits), map[A]*radius.NAS{}})
	}
	levels[i].nases[address] = n
	return levels
}

// newNASTable keeps what is unchanged since the table before: a NAS that is the
// same stays the same pointer, and one whose other settings changed keeps what
// was learned about it.
func newNASTable(pace *Pace, nases []NAS, before *nasTable) *nasTable {
	t := &nasTable{
		byID: make(map[uuid.UUID]*radius.NAS, len(nases)),
	}
	for i := range nases {
		pace.Step()
		n := nases[i]
		n.Prefix = unmapPrefix(n.Prefix)
		if !n.Prefix.IsValid() || len(n.Secret) == 0 {
			continue
		}
		var old *radius.NAS
		if before != nil {
			old = before.byID[n.ID]
		}
		entry := publishNAS(&n, old)
		t.byID[n.ID] = entry
		if addr, bits := n.Prefix.Addr(), n.Prefix.Bits(); addr.Is4() {
			t.ipv4 = putNAS(t.ipv4, bits, ipv4Mask, ipv4Of(addr), entry)
		} else {
			t.ipv6 = putNAS(t.ipv6, bits, ipv6Mask, ipv6Of(addr), entry)
		}
	}
	return t
}

// lookup returns nil for an address that no NAS has.
func (t *nasTable) lookup(source netip.Addr) *radius.NAS {
	switch {
	case source.Is4() || source.Is4In6():
		address := ipv4Of(source)
		for i := range t.ipv4 {
			if n := t.ipv4[i].nases[address&t.ipv4[i].mask]; n != nil {
				return n
			}
		}
	case source.Is6():
		address := ipv6Of(source)
		for i := range t.ipv6 {
			mask := t.ipv6[i].mask
			if n := t.ipv6[i].nases[ipv6{address.high & mask.high, address.low & mask.low}]; n != nil {
				return n
			}
		}
	}
	return nil
}

// publishNAS makes the protocol's record of a NAS.
func publishNAS(n *NAS, old *radius.NAS) *radius.NAS {
	var learned *atomic.Bool
	if old != nil {
		was := old.Owner.(*NAS)
		if sameNAS(was, n) {
			return old
		}
		if was.Prefix == n.Prefix {
			learned = old.Learned
		}
	}
	if learned == nil {
		learned = new(atomic.Bool)
	}
	secrets := [][]byte{n.Secret}
	if len(n.PreviousSecret) > 0 {
		secrets = append(secrets, n.PreviousSecret)
	}
	return &radius.NAS{
		Name:                        n.Name,
		Secrets:                     secrets,
		RequireMessageAuthenticator: n.RequireMessageAuthenticator,
		LimitProxyState:             n.LimitProxyState,
		SingleHost:                  n.Prefix.IsSingleIP(),
		Learned:                     learned,
		Owner:                       n,
	}
}

// sameNAS compares everything but the times.
func sameNAS(a, b *NAS) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Prefix == b.Prefix &&
		bytes.Equal(a.Secret, b.Secret) && bytes.Equal(a.PreviousSecret, b.PreviousSecret) &&
		a.Vendor == b.Vendor && a.CoAPort == b.CoAPort &&
		a.RequireMessageAuthenticator == b.RequireMessageAuthenticator && a.LimitProxyState == b.LimitProxyState
}

// unmapPrefix turns an IPv4-mapped IPv6 prefix into the IPv4 prefix it means,
// and clears the bits beyond the length.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return netip.PrefixFrom(p.Addr().WithZone(""), p.Bits()).Masked()
}
