package aaa

import (
	"bytes"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/google/uuid"

	"radiusd/radius"
)

// nasTable finds the NAS with the longest prefix that holds an address. It never
// changes.
type nasTable struct {
	hosts    map[netip.Addr]*radius.NAS // prefixes of full length
	prefixes map[netip.Prefix]*radius.NAS
	lengths4 []int // lengths of prefixes in use, longest first
	lengths6 []int
	byID     map[uuid.UUID]*radius.NAS
}

// newNASTable keeps what is unchanged since the table before: a NAS that is the
// same stays the same pointer, and one whose other settings changed keeps what
// was learned about it.
func newNASTable(nases []NAS, before *nasTable) *nasTable {
	t := &nasTable{
		hosts:    make(map[netip.Addr]*radius.NAS, len(nases)),
		prefixes: map[netip.Prefix]*radius.NAS{},
		byID:     make(map[uuid.UUID]*radius.NAS, len(nases)),
	}
	for i := range nases {
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
		if n.Prefix.IsSingleIP() {
			t.hosts[n.Prefix.Addr()] = entry
			continue
		}
		t.prefixes[n.Prefix] = entry
		lengths := &t.lengths4
		if n.Prefix.Addr().Is6() {
			lengths = &t.lengths6
		}
		if !slices.Contains(*lengths, n.Prefix.Bits()) {
			*lengths = append(*lengths, n.Prefix.Bits())
		}
	}
	descending := func(a, b int) int { return b - a }
	slices.SortFunc(t.lengths4, descending)
	slices.SortFunc(t.lengths6, descending)
	return t
}

// lookup returns nil for an address that no NAS has.
func (t *nasTable) lookup(source netip.Addr) *radius.NAS {
	source = source.Unmap().WithZone("")
	if n := t.hosts[source]; n != nil {
		return n
	}
	lengths := t.lengths4
	if source.Is6() {
		lengths = t.lengths6
	}
	for _, bits := range lengths {
		prefix, err := source.Prefix(bits)
		if err != nil {
			return nil
		}
		if n := t.prefixes[prefix]; n != nil {
			return n
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
