package dictionary

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The wire forms are worked out by hand from RFC 8044 section 3.
func TestValueBothWays(t *testing.T) {
	for _, c := range []struct {
		typ              DataType
		text, wire, back string // back: what it is written as, if not as text
	}{
		{String, "bob", "626f62", ""},                                           // 3.4
		{String, "0x41", "30783431", ""},                                        // 3.4
		{String, "größe", "6772c3b6c39f65", ""},                                 // 3.4
		{Octets, "0x00ff", "00ff", ""},                                          // 3.5
		{Octets, "0x", "", ""},                                                  // 3.5
		{Octets, "ab", "6162", "0x6162"},                                        // 3.5
		{ABinary, "0x0102", "0102", ""},                                         //
		{Integer, "3232235777", "c0a80101", ""},                                 // 3.1
		{Integer, "0x10", "00000010", "16"},                                     // 3.1
		{Signed, "-1", "ffffffff", ""},                                          //
		{Signed, "2147483647", "7fffffff", ""},                                  //
		{Integer64, "4294967296", "0000000100000000", ""},                       // 3.13
		{Integer64, "18446744073709551615", "ffffffffffffffff", ""},             // 3.13
		{Date, "Jan  1 2030 00:00:00 UTC", "70dbd880", ""},                      // 3.3
		{Date, "1893456000", "70dbd880", "Jan  1 2030 00:00:00 UTC"},            //
		{Date, "2030-01-01", "70dbd880", "Jan  1 2030 00:00:00 UTC"},            //
		{Date, "1 Jan 2030", "70dbd880", "Jan  1 2030 00:00:00 UTC"},            // as in radcheck
		{Date, "January 1, 2030 12:30", "70dc8848", "Jan  1 2030 12:30:00 UTC"}, //
		{Date, "2030-01-01T01:00:00+01:00", "70dbd880", "Jan  1 2030 00:00:00 UTC"},
		{IPAddr, "192.168.1.16", "c0a80110", ""},                                               // 3.8
		{IPv6Addr, "2001:db8::1", "20010db8000000000000000000000001", ""},                      // 3.9
		{IPv6Addr, "::ffff:10.0.0.1", "00000000000000000000ffff0a000001", ""},                  // 3.9
		{IPv6Prefix, "2001:db8:1::/48", "003020010db8000100000000000000000000", ""},            // 3.10
		{IPv6Prefix, "2001:db8::1", "008020010db8000000000000000000000001", "2001:db8::1/128"}, // 3.10
		{IPv6Prefix, "2001:db8:ffff::/33", "002120010db880000000000000000000" + "0000", "2001:db8:8000::/33"},
		{IPv4Prefix, "10.1.0.0/16", "00100a010000", ""},          // 3.11
		{IPv4Prefix, "10.1.2.3", "00200a010203", "10.1.2.3/32"},  // 3.11
		{IPv4Prefix, "0.0.0.0/0", "000000000000", ""},            // 3.11
		{ComboIP, "10.0.0.1", "0a000001", ""},                    //
		{ComboIP, "::1", "00000000000000000000000000000001", ""}, //
		{IfID, "200:5eff:fe00:1", "02005efffe000001", ""},        // 3.7
		{Ether, "00:1a:2b:3c:4d:5e", "001a2b3c4d5e", ""},
		{Ether, "001A.2B3C.4D5E", "001a2b3c4d5e", "00:1a:2b:3c:4d:5e"},
		{Ether, "00-1a-2b-3c-4d-5e", "001a2b3c4d5e", "00:1a:2b:3c:4d:5e"},
		{Byte, "255", "ff", ""},
		{Short, "65535", "ffff", ""},
		{TLV, "0x0103ff", "0103ff", ""},
	} {
		t.Run(c.typ.String()+" "+c.text, func(t *testing.T) {
			a := &Attribute{Name: "Test", OID: OID{1}, Type: c.typ}
			wire, err := a.ParseValue(c.text)
			require.NoError(t, err)
			assert.Equal(t, unhex(t, c.wire), append([]byte{}, wire...))
			back := c.back
			if back == "" {
				back = c.text
			}
			assert.Equal(t, back, a.FormatValue(wire))
			again, err := a.ParseValue(a.FormatValue(wire))
			require.NoError(t, err)
			assert.Equal(t, wire, again)
		})
	}
}

func TestValueRefused(t *testing.T) {
	for _, c := range []struct {
		typ        DataType
		text, says string
	}{
		{Integer, "4294967296", "above 4294967295"},
		{Integer, "-1", "not a number"},
		{Integer, "", "not a number"},
		{Byte, "256", "above 255"},
		{Short, "65536", "above 65535"},
		{Signed, "2147483648", "-2147483648 to 2147483647"},
		{Signed, "-2147483649", "-2147483648 to 2147483647"},
		{Integer64, "18446744073709551616", "not a number"},
		{Date, "tomorrow", "not a date"},
		{Date, "Jan 1 1969", "1970 to 2106"},
		{Date, "Jan  1 2030 00:00:00 CET", "time zone \"CET\""},
		{IPAddr, "2001:db8::1", "not an IPv4 address"},
		{IPAddr, "10.0.0", "not an IP address"},
		{IPv6Addr, "10.0.0.1", "not an IPv6 address"},
		{IPv6Addr, "fe80::1%eth0", "not an IP address"},
		{IPv4Prefix, "10.0.0.0/33", "0 to 32"},
		{IPv6Prefix, "2001:db8::/129", "0 to 128"},
		{IPv6Prefix, "2001:db8::/x", "0 to 128"},
		{IfID, "1:2:3", "interface identifier"},
		{IfID, "1:2:3:12345", "interface identifier"},
		{Ether, "00:1a:2b:3c:4d", "MAC address"},
		{Octets, "0x123", "hexadecimal"},
		{VSA, "x", "holds other attributes"},
	} {
		t.Run(c.typ.String()+" "+c.text, func(t *testing.T) {
			_, err := (&Attribute{Name: "Test", OID: OID{1}, Type: c.typ}).ParseValue(c.text)
			assert.ErrorContains(t, err, "Test: ")
			assert.ErrorContains(t, err, c.says)
		})
	}
	_, err := (&Attribute{Name: "Test", OID: OID{1}, Type: Octets, Size: 2}).ParseValue("0x010203")
	assert.EqualError(t, err, "Test: value has 3 octets, must have 2")
}

func TestValueOfWrongLengthIsShownAsHex(t *testing.T) {
	for typ := String; typ <= VSA; typ++ {
		a := &Attribute{Name: "Test", OID: OID{1}, Type: typ}
		for n := range 20 {
			wire := make([]byte, n)
			text := a.FormatValue(wire)
			if !a.fits(wire) {
				assert.Equal(t, string(appendHex(nil, wire)), text, "%s of %d", typ, n)
			}
		}
	}
}

// Prefixes with bits set past their length, and short ones, occur in the field.
func TestIPv6PrefixAsFoundInTheField(t *testing.T) {
	a, _ := Embedded().ByName("Framed-IPv6-Prefix")
	for wire, want := range map[string]string{
		"0040 20010db800010002ffffffffffffffff": "2001:db8:1:2::/64",
		"0040 20010db800010002":                 "2001:db8:1:2::/64",
		"0000":                                  "::/0",
		"0040 20010db8":                         "0x004020010db8", // prefix shorter than its length
		"0081 20010db800010002ffffffffffffffff": "0x008120010db800010002ffffffffffffffff",
	} {
		assert.Equal(t, want, a.FormatValue(unhex(t, wire)))
	}
}

func TestEnumeratedValues(t *testing.T) {
	d := Embedded()
	a, _ := d.ByName("Acct-Status-Type")
	wire, err := a.ParseValue("interim-update")
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 0, 0, 3}, wire)
	name, ok := a.ValueName(3)
	assert.True(t, ok)
	assert.Equal(t, "Interim-Update", name, "the RFC's name, not one of the old ones")
	n, ok := a.ValueByName("START")
	assert.True(t, ok)
	assert.EqualValues(t, 1, n)
	_, ok = a.ValueName(250)
	assert.False(t, ok)
	assert.Equal(t, "250", a.FormatValue([]byte{0, 0, 0, 250}))
	_, err = a.ParseValue("Begin")
	assert.EqualError(t, err, `Acct-Status-Type: "Begin" is neither a number nor one of the attribute's values`)

	fc, _ := d.ByName("Framed-Compression")
	old, err := fc.ParseValue("Van-Jacobsen-TCP-IP") // an old spelling is read
	require.NoError(t, err)
	assert.Equal(t, "Van-Jacobson-TCP-IP", fc.FormatValue(old))
}

func TestUint(t *testing.T) {
	d := Embedded()
	timeout, _ := d.ByName("Session-Timeout")
	n, ok := timeout.Uint([]byte{0, 0, 14, 16})
	assert.True(t, ok)
	assert.EqualValues(t, 3600, n)
	_, ok = timeout.Uint([]byte{0, 14, 16})
	assert.False(t, ok)
	user, _ := d.ByName("User-Name")
	_, ok = user.Uint([]byte("abcd"))
	assert.False(t, ok)
	octets, _ := d.ByName("Acct-Input-Octets-64") // Redback counts in octets
	n, ok = octets.Uint([]byte{0, 0, 0, 1, 0, 0, 0, 0})
	assert.True(t, ok)
	assert.EqualValues(t, 1<<32, n)
}
