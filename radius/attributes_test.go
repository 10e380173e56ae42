package radius_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the Append functions write, the accessors read.
func TestAppendAndRead(t *testing.T) {
	when := time.Date(2024, 7, 9, 12, 0, 0, 0, time.UTC)
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	prefix := netip.MustParsePrefix("2001:db8:1200::/40")

	var b []byte
	b = radius.AppendString(b, radius.TypeUserName, "alice")
	b = radius.AppendUint32(b, radius.TypeNASPort, 0xfffffffe)
	b = radius.AppendAddr(b, radius.TypeNASIPAddress, v4)
	b = radius.AppendAddr(b, radius.TypeFramedIPAddress, netip.MustParseAddr("::ffff:192.0.2.7"))
	b = radius.AppendAddr(b, radius.TypeNASIPv6Address, v6)
	b = radius.AppendPrefix(b, radius.TypeFramedIPv6Prefix, prefix)
	b = radius.AppendTime(b, radius.TypeEventTimestamp, when)
	b = radius.AppendAttribute(b, radius.TypeClass, []byte{1})
	b = radius.AppendAttribute(b, radius.TypeClass, []byte{2})
	b = radius.AppendVendor(b, 14988, 8, []byte("1M/2M"))
	b = radius.AppendVendor(b, 9, 1, []byte("a=1"))
	b = radius.AppendVendor(b, 9, 1, []byte("b=2"))
	b = radius.AppendAttribute(b, radius.TypeState, nil)
	a := radius.Attributes(b)

	name, ok := a.String(radius.TypeUserName)
	assert.True(t, ok)
	assert.Equal(t, "alice", name)
	port, ok := a.Uint32(radius.TypeNASPort)
	assert.True(t, ok)
	assert.Equal(t, uint32(0xfffffffe), port)
	for typ, want := range map[radius.Type]netip.Addr{
		radius.TypeNASIPAddress: v4, radius.TypeFramedIPAddress: netip.MustParseAddr("192.0.2.7"), radius.TypeNASIPv6Address: v6,
	} {
		addr, ok := a.Addr(typ)
		assert.True(t, ok)
		assert.Equal(t, want, addr)
	}
	gotPrefix, ok := a.Prefix(radius.TypeFramedIPv6Prefix)
	assert.True(t, ok)
	assert.Equal(t, prefix, gotPrefix)
	value, _ := a.Get(radius.TypeFramedIPv6Prefix)
	assert.Equal(t, []byte{0, 40, 0x20, 0x01, 0x0d, 0xb8, 0x12}, value)
	at, ok := a.Time(radius.TypeEventTimestamp)
	assert.True(t, ok)
	assert.Equal(t, when, at)

	value, ok = a.Get(radius.TypeClass)
	assert.True(t, ok)
	assert.Equal(t, []byte{1}, value)
	assert.Equal(t, 2, a.Count(radius.TypeClass))
	assert.Zero(t, a.Count(radius.TypeProxyState))
	assert.Equal(t, []byte{1, 2}, a.AppendConcat(nil, radius.TypeClass))
	assert.True(t, a.Has(radius.TypeState))
	assert.False(t, a.Has(radius.TypeProxyState))
	value, ok = a.Get(radius.TypeState)
	assert.True(t, ok)
	assert.Empty(t, value)

	value, ok = a.Vendor(14988, 8)
	assert.True(t, ok)
	assert.Equal(t, "1M/2M", string(value))
	_, ok = a.Vendor(14988, 9)
	assert.False(t, ok)
	_, ok = a.Vendor(311, 8)
	assert.False(t, ok)
	var pairs []string
	for typ, value := range a.AllVendor(9) {
		assert.Equal(t, uint8(1), typ)
		pairs = append(pairs, string(value))
	}
	assert.Equal(t, []string{"a=1", "b=2"}, pairs)
	for range a.AllVendor(9) {
		break
	}
	for range a.All() {
		break
	}
}

func TestTypedGettersRefuse(t *testing.T) {
	long := append([]byte{0, 129}, make([]byte, 16)...)
	tests := []struct {
		name  string
		value []byte
	}{
		{"empty", nil}, {"one octet", []byte{0}}, {"three octets", []byte{0, 200, 1}},
		{"seventeen octets", make([]byte, 17)[:17]}, {"prefix of 129 bits", long},
		{"too long", make([]byte, 19)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := radius.Attributes(radius.AppendAttribute(nil, 1, test.value))
			_, ok := a.Uint32(1)
			assert.False(t, ok)
			_, ok = a.Time(1)
			assert.False(t, ok)
			_, ok = a.Addr(1)
			assert.False(t, ok)
			_, ok = a.Prefix(1)
			assert.Equal(t, len(test.value) == 17, ok) // a prefix of no bits, if oddly long
		})
	}
	_, ok := radius.Attributes(nil).Addr(1)
	assert.False(t, ok)
	_, ok = radius.Attributes(nil).Prefix(1)
	assert.False(t, ok)
	_, ok = radius.Attributes(nil).String(1)
	assert.False(t, ok)
}

// Prefixes with bits set beyond their length occur in the field.
func TestPrefixClearsHostBits(t *testing.T) {
	a := radius.Attributes(radius.AppendAttribute(nil, 97, append([]byte{0, 56}, netip.MustParseAddr("2001:db8:1:23ff::9").AsSlice()...)))
	prefix, ok := a.Prefix(97)
	assert.True(t, ok)
	assert.Equal(t, netip.MustParsePrefix("2001:db8:1:2300::/56"), prefix)
}

// Several vendor attributes may share a Vendor-Specific, and what is not of the
// suggested format does no harm.
func TestVendorFormats(t *testing.T) {
	vsa := func(octets ...byte) []byte {
		return radius.AppendAttribute(nil, radius.TypeVendorSpecific, append([]byte{0, 0, 0, 9}, octets...))
	}
	tests := []struct {
		name   string
		inner  []byte
		want   []string
		first2 string
	}{
		{"two in one", vsa(1, 3, 'a', 2, 3, 'b'), []string{"a", "b"}, "b"},
		{"no attribute", vsa(), nil, ""},
		{"length 0", vsa(2, 0, 'a'), nil, ""},
		{"length 1", vsa(2, 1, 'a'), nil, ""},
		{"beyond the end", vsa(1, 3, 'a', 2, 4, 'b'), []string{"a"}, ""},
		{"no vendor", radius.AppendAttribute(nil, radius.TypeVendorSpecific, []byte{0, 0, 9}), nil, ""},
		{"second Vendor-Specific", append(vsa(1, 3, 'a'), vsa(2, 3, 'b')...), []string{"a", "b"}, "b"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := radius.Attributes(test.inner)
			var got []string
			for _, value := range a.AllVendor(9) {
				got = append(got, string(value))
			}
			assert.Equal(t, test.want, got)
			value, ok := a.Vendor(9, 2)
			assert.Equal(t, test.first2, string(value))
			assert.Equal(t, test.first2 != "", ok)
		})
	}
}

func TestAppendSplit(t *testing.T) {
	for _, n := range []int{0, 1, 252, 253, 254, 506, 507, 2000} {
		value := bytes.Repeat([]byte{'x'}, n)
		a := radius.Attributes(radius.AppendSplit(nil, radius.TypeEAPMessage, value))
		assert.Equal(t, (n+252)/253, a.Count(radius.TypeEAPMessage))
		assert.Equal(t, value, append([]byte{}, a.AppendConcat(nil, radius.TypeEAPMessage)...))
	}
}

func TestAppendPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"value of 254":    func() { radius.AppendAttribute(nil, 1, make([]byte, 254)) },
		"string of 254":   func() { radius.AppendString(nil, 1, strings.Repeat("x", 254)) },
		"vendor's of 248": func() { radius.AppendVendor(nil, 9, 1, make([]byte, 248)) },
		"no address":      func() { radius.AppendAddr(nil, 1, netip.Addr{}) },
		"no prefix":       func() { radius.AppendPrefix(nil, 1, netip.Prefix{}) },
		"IPv4 prefix":     func() { radius.AppendPrefix(nil, 1, netip.MustParsePrefix("192.0.2.0/24")) },
		"packet of 4097":  func() { radius.SetLength(make([]byte, 4097)) },
	} {
		assert.Panics(t, f, name)
	}
	assert.Len(t, radius.AppendAttribute(nil, 1, make([]byte, 253)), 255)
	assert.Len(t, radius.AppendVendor(nil, 9, 1, make([]byte, 247)), 255)
}

func TestAppendDoesNotAllocate(t *testing.T) {
	b := make([]byte, 0, 4096)
	authenticator := new([16]byte)
	addr := netip.MustParseAddr("2001:db8::1")
	prefix := netip.MustParsePrefix("2001:db8::/48")
	now := time.Now()
	value := []byte("1M/1M")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		p := radius.AppendHeader(b, radius.AccessAccept, 1, authenticator)
		p = radius.AppendMessageAuthenticator(p)
		p = radius.AppendAttribute(p, radius.TypeClass, value)
		p = radius.AppendString(p, radius.TypeFramedPool, "pool")
		p = radius.AppendUint32(p, radius.TypeSessionTimeout, 3600)
		p = radius.AppendTime(p, radius.TypeEventTimestamp, now)
		p = radius.AppendAddr(p, radius.TypeFramedIPv6Address, addr)
		p = radius.AppendPrefix(p, radius.TypeFramedIPv6Prefix, prefix)
		p = radius.AppendVendor(p, 14988, 8, value)
		p = radius.AppendSplit(p, radius.TypeEAPMessage, value)
		radius.SetLength(p)
		b = p[:0]
	}))
	_, discard := radius.Parse(b[:cap(b)])
	require.Zero(t, discard)
}
