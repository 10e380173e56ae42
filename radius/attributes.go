package radius

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"time"
)

// Attributes is a well-formed list of attributes in wire form, as [Parse] checks
// and the Append functions write. Values returned are slices of it, not copies.
type Attributes []byte

// next splits the first attribute off. It reports false at the end, and at what
// is not well-formed, so that no list can make a loop endless.
func (a Attributes) next() (t Type, value []byte, rest Attributes, ok bool) {
	if len(a) < 2 {
		return 0, nil, nil, false
	}
	n := int(a[1])
	if n < 2 || n > len(a) {
		return 0, nil, nil, false
	}
	return Type(a[0]), a[2:n:n], a[n:], true
}

// All returns the attributes in their order.
func (a Attributes) All() iter.Seq2[Type, []byte] {
	return func(yield func(Type, []byte) bool) {
		for t, value, rest, ok := a.next(); ok; t, value, rest, ok = rest.next() {
			if !yield(t, value) {
				return
			}
		}
	}
}

// Get returns the value of the first attribute of the type.
func (a Attributes) Get(want Type) ([]byte, bool) {
	for t, value, rest, ok := a.next(); ok; t, value, rest, ok = rest.next() {
		if t == want {
			return value, true
		}
	}
	return nil, false
}

// Has reports whether there is an attribute of the type.
func (a Attributes) Has(t Type) bool {
	_, ok := a.Get(t)
	return ok
}

// Count returns how many attributes of the type there are.
func (a Attributes) Count(want Type) int {
	n := 0
	for t, _, rest, ok := a.next(); ok; t, _, rest, ok = rest.next() {
		if t == want {
			n++
		}
	}
	return n
}

// String returns a copy of the first attribute of the type as text. The octets
// are as received and need not be UTF-8.
func (a Attributes) String(t Type) (string, bool) {
	value, ok := a.Get(t)
	return string(value), ok
}

// Uint32 returns the first attribute of the type as an integer. It reports false
// if there is none or it is not of four octets.
func (a Attributes) Uint32(t Type) (uint32, bool) {
	value, ok := a.Get(t)
	if !ok || len(value) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(value), true
}

// Time returns the first attribute of the type as a time in UTC, in seconds since
// 1970 (RFC 8044 section 3.3). It reports false if there is none or it is not of
// four octets.
func (a Attributes) Time(t Type) (time.Time, bool) {
	seconds, ok := a.Uint32(t)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// Addr returns the first attribute of the type as an IPv4 address of four octets
// or an IPv6 address of sixteen. It reports false if there is none or it is of
// another length.
func (a Attributes) Addr(t Type) (netip.Addr, bool) {
	value, ok := a.Get(t)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(value)
}

// Prefix returns the first attribute of the type as an IPv6 prefix (RFC 3162
// section 2.3). Bits set beyond the prefix's length occur in the field; they are
// cleared. It reports false if there is none or it is malformed.
func (a Attributes) Prefix(t Type) (netip.Prefix, bool) {
	value, ok := a.Get(t)
	if !ok || len(value) < 2 || len(value) > 18 || value[1] > 128 {
		return netip.Prefix{}, false
	}
	var addr [16]byte
	copy(addr[:], value[2:])
	prefix, err := netip.AddrFrom16(addr).Prefix(int(value[1]))
	return prefix, err == nil
}

// AppendConcat appends the values of all attributes of the type, in their order,
// to dst: what EAP-Message and others mean that are split over several attributes
// (RFC 3579 section 3.1). The result is never longer than the list.
func (a Attributes) AppendConcat(dst []byte, want Type) []byte {
	for t, value, rest, ok := a.next(); ok; t, value, rest, ok = rest.next() {
		if t == want {
			dst = append(dst, value...)
		}
	}
	return dst
}

// Vendor returns the value of the vendor's first attribute of the type, in a
// Vendor-Specific attribute of the format that RFC 2865 section 5.26 suggests.
// Several vendor attributes in one Vendor-Specific are found; what does not follow
// that format is passed over.
func (a Attributes) Vendor(vendor uint32, t uint8) ([]byte, bool) {
	for t0, value, rest, ok := a.next(); ok; t0, value, rest, ok = rest.next() {
		if t0 != TypeVendorSpecific || len(value) < 4 || binary.BigEndian.Uint32(value) != vendor {
			continue
		}
		if v, ok := Attributes(value[4:]).Get(Type(t)); ok {
			return v, true
		}
	}
	return nil, false
}

// AllVendor returns the vendor's attributes in their order; see [Attributes.Vendor].
func (a Attributes) AllVendor(vendor uint32) iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for t, value, rest, ok := a.next(); ok; t, value, rest, ok = rest.next() {
			if t != TypeVendorSpecific || len(value) < 4 || binary.BigEndian.Uint32(value) != vendor {
				continue
			}
			inner := Attributes(value[4:])
			for vt, v, innerRest, ok := inner.next(); ok; vt, v, innerRest, ok = innerRest.next() {
				if !yield(uint8(vt), v) {
					return
				}
			}
		}
	}
}
