package dictionary

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	require.NoError(t, err)
	return b
}

// written loads a dictionary of its own text on top of the embedded one.
func written(t testing.TB, text string) *Dictionary {
	t.Helper()
	d, err := Embedded().WithFiles(writeFile(t, "dictionary", text))
	require.NoError(t, err)
	return d
}

// formats has the ways to nest attributes that few embedded tables use.
const formats = `
VENDOR Long 64001 format=4,2
VENDOR Two 64002 format=2,2
VENDOR Plain 64003
BEGIN-VENDOR Long
ATTRIBUTE Long-Number 0x12345678 integer
END-VENDOR Long
BEGIN-VENDOR Two
ATTRIBUTE Two-Text 258 string
END-VENDOR Two
BEGIN-VENDOR Plain
ATTRIBUTE Plain-Array 1 ipaddr array
ATTRIBUTE Plain-Concat 2 octets concat
ATTRIBUTE Plain-TLV 3 tlv
ATTRIBUTE Plain-Sub-Number 3.1 integer
ATTRIBUTE Plain-Sub-Text 3.2 string
ATTRIBUTE Plain-Inner 3.3 tlv
ATTRIBUTE Plain-Inner-Byte 3.3.1 byte
ATTRIBUTE Plain-Inner-Short 3.3.2 short
END-VENDOR Plain
ATTRIBUTE Ext-Text 241.200 string
ATTRIBUTE Ext-TLV 241.201 tlv
ATTRIBUTE Ext-Sub 241.201.1 string
ATTRIBUTE Long-Text 245.200 octets
ATTRIBUTE Long-TLV 245.201 tlv
ATTRIBUTE Long-Sub-1 245.201.1 octets
ATTRIBUTE Long-Sub-2 245.201.2 octets
BEGIN-VENDOR Plain parent=Extended-Vendor-Specific-1
ATTRIBUTE EVS1-Text 7 string
END-VENDOR Plain
BEGIN-VENDOR Plain parent=Extended-Vendor-Specific-5
ATTRIBUTE EVS5-Octets 8 octets
END-VENDOR Plain
ATTRIBUTE Top-TLV 200 tlv
ATTRIBUTE Top-Sub 200.5 string
`

// Every case is a list of pairs and the attributes it stands for, worked out
// by hand from the RFC named.
func TestWireBothWays(t *testing.T) {
	d := written(t, formats)
	x := func(n int) string { return strings.Repeat("aa", n) }
	for _, c := range []struct{ name, pairs, wire string }{
		{"string, RFC 2865 5.1", `User-Name = "bob"`, "01 05 626f62"},
		{"enumerated integer, RFC 2865 5.6", `Service-Type = Framed-User`, "06 06 00000002"},
		{"octets of fixed length, RFC 2869 5.4", `ARAP-Password = 0x` + x(16), "46 12" + x(16)},
		{"vendor-specific, RFC 2865 5.26", `Cisco-AVPair = "a=b"`, "1a0b 00000009 0105 613d62"},
		{"two of a vendor", `Cisco-AVPair = "a=b", Cisco-NAS-Port = "x"`,
			"1a0b 00000009 0105 613d62  1a09 00000009 0203 78"},
		{"tagged integer, RFC 2868 3.1", `Tunnel-Type:1 = VLAN`, "40 06 01 00000d"},
		{"untagged integer, RFC 2868 3.1", `Tunnel-Type = VLAN`, "40 06 00 00000d"},
		{"tagged string, RFC 2868 3.3", `Tunnel-Private-Group-Id:2 = "20"`, "51 05 02 3230"},
		{"untagged string, RFC 2868 3.6", `Tunnel-Private-Group-Id = "20"`, "51 04 3230"},
		{"untagged string that begins like a tag", `Tunnel-Private-Group-Id = "\001"`, "51 04 00 01"},
		{"tagged vendor attribute", `ERX-Service-Activate:3 = "gold"`, "1a0d 0000130a 4107 03 676f6c64"},
		{"IPv6 prefix, RFC 3162 2.3", `Framed-IPv6-Prefix = 2001:db8::/64`,
			"61 14 00 40 20010db8000000000000000000000000"},
		{"interface id, RFC 3162 2.2", `Framed-Interface-Id = 200:5eff:fe00:1`, "60 0a 02005efffe000001"},
		{"IPv4 prefix, RFC 6572 4.13", `PMIP6-Home-IPv4-HoA = 10.0.0.0/8`, "9b 08 00 08 0a000000"},
		{"64 bits, RFC 4675 and 8044 3.13", `MIP6-Feature-Vector = 1`, "7c 0a 0000000000000001"},
		{"concatenated, RFC 3579 3.1", `EAP-Message = 0x` + x(253+10),
			"4f ff" + x(253) + "4f 0c" + x(10)},
		{"EAP-Start, RFC 3579 2.1", `EAP-Message = 0x`, "4f 02"},
		{"USR, type of 4 octets and no length", `USR-Last-Number-Dialed-Out = "1"`,
			"1a0b 000001ad 00000066 31"},
		{"Lucent, type of 2 octets", `Lucent-Max-Shared-Users = 1`, "1a0d 000012ee 0002 07 00000001"},
		{"Starent, type and length of 2 octets", `SN-VPN-ID = 5`, "1a0e 00001fe4 0001 0008 00000005"},
		{"type of 4, length of 2 octets", `Long-Number = 1`, "1a10 0000fa01 12345678 000a 00000001"},
		{"type and length of 2 octets", `Two-Text = "x"`, "1a0b 0000fa02 0102 0005 78"},
		{"WiMAX, continuation octet", `WiMAX-AAA-Session-Id = 0x01`, "1a0a 000060b5 04 04 00 01"},
		{"WiMAX, continued", `WiMAX-AAA-Session-Id = 0x` + x(246+4),
			"1aff 000060b5 04 f9 80" + x(246) + "1a0d 000060b5 04 07 00" + x(4)},
		{"WiMAX TLV", `WiMAX-Release = "1.0", WiMAX-Accounting-Capabilities = Flow-Based`,
			"1a11 000060b5 01 0b 00 0105 312e30 0203 02"},
		{"WiMAX TLV of TLVs",
			`WiMAX-Packet-Data-Flow-Id = 7, WiMAX-ClassifierID = 1, WiMAX-Source-Port = 80, WiMAX-Destination-Inverted = 1`,
			"1a20 000060b5 1c 1a 00  0104 0007  0b13 0106 00000001 0506 0404 0050 0605 0603 01"},
		{"TLV, again the same sub-attribute", `Plain-Sub-Number = 1, Plain-Sub-Number = 2`,
			"1a0e 0000fa03 0308 0106 00000001  1a0e 0000fa03 0308 0106 00000002"},
		{"TLV, next inner one", `Plain-Inner-Byte = 1, Plain-Inner-Short = 2, Plain-Inner-Byte = 3`,
			"1a16 0000fa03 0310 0309 0103 01 0204 0002 0305 0103 03"},
		{"TLV, back to the outer", `Plain-Inner-Byte = 1, Plain-Sub-Number = 2`,
			"1a13 0000fa03 030d 0305 0103 01 0106 00000002"},
		{"TLV of the standard space", `Top-Sub = "x"`, "c8 05 05 03 78"},
		{"array is sent one by one", `Plain-Array = 10.0.0.1, Plain-Array = 10.0.0.2`,
			"1a0c 0000fa03 0106 0a000001 1a0c 0000fa03 0106 0a000002"},
		{"extended, RFC 6929 2.1", `Ext-Text = "ab"`, "f1 05 c8 6162"},
		{"TLV in extended, RFC 6929 2.3", `Ext-Sub = "ab"`, "f1 07 c9 01 04 6162"},
		{"extended vendor-specific, RFC 6929 2.4", `EVS1-Text = "x"`, "f1 09 1a 0000fa03 07 78"},
		{"long extended, RFC 6929 2.2", `Long-Text = 0x01`, "f5 05 c8 00 01"},
		{"long extended in two, RFC 6929 2.2", `Long-Text = 0x` + x(251+3),
			"f5 ff c8 80" + x(251) + "f5 07 c8 00" + x(3)},
		{"long extended TLVs over the fragments' edge", `Long-Sub-1 = 0x` + x(200) + `, Long-Sub-2 = 0x` + x(100),
			"f5 ff c9 80 01ca" + x(200) + "0266" + x(47) + "f5 39 c9 00" + x(53)},
		{"extended vendor-specific in two, RFC 6929 2.4", `EVS5-Octets = 0x` + x(246+2),
			"f5 ff 1a 80 0000fa03 08" + x(246) + "f5 06 1a 00" + x(2)},
		{"unknown standard", `Attr-250 = 0x0102`, "fa 04 0102"},
		{"unknown of a known vendor", `Attr-26.14988.250 = 0x01`, "1a09 00003a8c fa03 01"},
		{"unknown of an unknown vendor", `Attr-26.65535.1 = 0x01`, "1a09 0000ffff 0103 01"},
		{"unknown of a vendor with another format", `Attr-26.429.9 = 0x01`, "1a0b 000001ad 00000009 01"},
		{"unknown extended", `Attr-242.9 = 0x01`, "f2 04 09 01"},
		{"unknown long extended", `Attr-246.9 = 0x` + x(252), "f6 ff 09 80" + x(251) + "f6 05 09 00 aa"},
		{"unknown extended vendor-specific", `Attr-241.26.9.1 = 0x01`, "f1 09 1a 00000009 01 01"},
		{"unknown in a TLV", `Attr-26.64003.3.9 = 0x01`, "1a0b 0000fa03 0305 0903 01"},
		{"known and unknown in a TLV", `Plain-Sub-Text = "x", Attr-26.64003.3.9 = 0x01`,
			"1a0e 0000fa03 0308 0203 78 0903 01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := d.ParsePairs(c.pairs)
			require.NoError(t, err)
			wire, err := d.AppendWire([]byte("head"), pairs, nil)
			require.NoError(t, err)
			assert.Equal(t, hex.EncodeToString(unhex(t, c.wire)), hex.EncodeToString(wire[4:]))
			back, err := d.ParseWire(wire[4:], nil)
			require.NoError(t, err)
			assert.Equal(t, c.pairs, string(AppendPairs(nil, back, ", ")))
		})
	}
}

// What comes in that we would not send.
func TestWireRead(t *testing.T) {
	d := written(t, formats)
	for _, c := range []struct{ name, wire, pairs string }{
		{"several vendor attributes in one, RFC 2865 5.26", "1a10 00000009 0105 613d62 0205 747479",
			`Cisco-AVPair = "a=b", Cisco-NAS-Port = "tty"`},
		{"array", "1a10 0000fa03 010a 0a000001 0a000002", `Plain-Array = 10.0.0.1, Plain-Array = 10.0.0.2`},
		{"reserved bits of long extended are ignored, RFC 6929 2.2", "f5 05 c8 7f 01", `Long-Text = 0x01`},
		{"EAP in three", "4f03 01 4f03 02 4f03 03", `EAP-Message = 0x010203`},
		{"EAP that is not in a row", "4f03 01 0103 78 4f03 02", `EAP-Message = 0x01, User-Name = "x", EAP-Message = 0x02`},
		{"empty string", "0102", `User-Name = ""`},
		{"empty integer", "0502", `Attr-5 = 0x`},
		{"integer of 3 octets", "0505 000001", `Attr-5 = 0x000001`},
		{"address of 5 octets", "0407 0a00000100", `Attr-4 = 0x0a00000100`},
		{"tagged integer with a tag out of range", "4006 2000000d", `Attr-64 = 0x2000000d`},
		{"tag 0x1f", "5104 1f 61", `Tunnel-Private-Group-Id:31 = "a"`},
		{"0x20 is not a tag, RFC 2868 3.3", "5104 20 61", `Tunnel-Private-Group-Id = " a"`},
		{"VSA without type", "1a06 00000009", `Attr-26 = 0x00000009`},
		{"VSA of 3 octets", "1a05 000000", `Attr-26 = 0x000000`},
		{"VSA with length 0", "1a0a 00000009 0100 0102", `Attr-26 = 0x0000000901000102`},
		{"VSA with length 1", "1a0a 00000009 0101 0102", `Attr-26 = 0x0000000901010102`},
		{"VSA with length past its end", "1a0a 00000009 0105 0102", `Attr-26 = 0x0000000901050102`},
		{"VSA with octets after the last", "1a0a 00000009 0103 61 02", `Attr-26 = 0x0000000901036102`},
		{"unknown vendor without inner format", "1a0a 0000ffff ffff ffff", `Attr-26 = 0x0000ffffffffffff`},
		{"vendor 0", "1a09 00000000 0103 01", `Attr-26.0.1 = 0x01`},
		{"USR too short", "1a09 000001ad 000066", `Attr-26 = 0x000001ad000066`},
		{"vendor's integer of 2 octets", "1a0b 000012ee 0002 05 0101", `Attr-26.4846.2 = 0x0101`},
		{"TLV with length 1", "1a0a 0000fa03 0304 0101", `Attr-26.64003.3 = 0x0101`},
		{"TLV with length past its end", "1a0a 0000fa03 0304 0103", `Attr-26.64003.3 = 0x0103`},
		{"TLV in a TLV malformed", "1a0f 0000fa03 0309 0203 78 0304 0109", `Plain-Sub-Text = "x", Attr-26.64003.3.3 = 0x0109`},
		{"empty TLV", "1a08 0000fa03 0302", `Attr-26.64003.3 = 0x`},
		{"TLV sub-attribute of the wrong length", "1a0c 0000fa03 0306 0104 0102", `Attr-26.64003.3.1 = 0x0102`},
		{"extended without type", "f102", `Attr-241 = 0x`},
		{"extended vendor-specific too short", "f107 1a 0000fa03", `Attr-241.26 = 0x0000fa03`},
		{"long extended without flags", "f503 c8", `Attr-245 = 0xc8`},
		{"long extended, more but nothing follows", "f505 c8 80 01", `Attr-245 = 0xc88001`},
		{"long extended, more but another follows", "f505 c8 80 01 f505 c9 00 01", `Attr-245 = 0xc88001, Attr-245.201 = 0x01`},
		{"long extended, the first of three is lost", "f505 c8 80 01 0103 78 f505 c8 00 02",
			`Attr-245 = 0xc88001, User-Name = "x", Long-Text = 0x02`},
		{"WiMAX, more but nothing follows", "1a0a 000060b5 0404 80 01", `Attr-26 = 0x000060b504048001`},
		{"WiMAX, more but another type follows", "1a0a 000060b5 0404 80 01 1a0d 000060b5 0b07 00 00000001",
			`Attr-26 = 0x000060b504048001, WiMAX-MN-hHA-MIP4-SPI = 1`},
		{"WiMAX, three in one", "1a12 000060b5 0404 00 01 0404 00 02 0404 00 03",
			`WiMAX-AAA-Session-Id = 0x01, WiMAX-AAA-Session-Id = 0x02, WiMAX-AAA-Session-Id = 0x03`},
		{"WiMAX, two in one and more", "1a0e 000060b5 0404 00 01 0404 80 02",
			`Attr-26 = 0x000060b50404000104048002`},
		{"encrypted, and no secret", "0212 0dbe708d93d413ce3196e43f782a0aee", `Attr-2 = 0x0dbe708d93d413ce3196e43f782a0aee`},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := d.ParseWire(unhex(t, c.wire), nil)
			require.NoError(t, err)
			assert.Equal(t, c.pairs, string(AppendPairs(nil, pairs, ", ")))
		})
	}
}

func TestWireBrokenList(t *testing.T) {
	for wire, says := range map[string]string{
		"01":            "attribute at octet 0: length 0",
		"010361 02":     "attribute at octet 3: length 0",
		"0100":          "attribute at octet 0: length 0",
		"0101":          "attribute at octet 0: length 1",
		"010561":        "attribute at octet 0: length 5",
		"010361 02ff61": "attribute at octet 3: length 255",
	} {
		_, err := Embedded().ParseWire(unhex(t, wire), nil)
		assert.ErrorContains(t, err, says)
	}
	_, err := Embedded().ParseWire(bytes.Repeat([]byte{1, 3, 'x'}, 1400), nil)
	assert.ErrorContains(t, err, "a packet holds 4076")
}

func TestWireRefused(t *testing.T) {
	d := written(t, formats)
	x := func(n int) string { return strings.Repeat("aa", n) }
	for _, c := range []struct{ name, pairs, says string }{
		{"too long", `User-Name = "x", Class = 0x` + x(254), "pair 2, Class: value of 254 octets is longer than 253"},
		{"vendor attribute too long", `Cisco-AVPair = "` + strings.Repeat("x", 248) + `"`, "longer than 247"},
		{"USR too long", `USR-Last-Number-Dialed-Out = "` + strings.Repeat("x", 246) + `"`, "longer than 245"},
		{"extended too long", `Ext-Text = "` + strings.Repeat("x", 253) + `"`, "longer than 252"},
		{"extended vendor-specific too long", `EVS1-Text = "` + strings.Repeat("x", 248) + `"`, "longer than 247"},
		{"sub-attribute too long", `Plain-Sub-Text = "` + strings.Repeat("x", 246) + `"`, "longer than 245"},
		{"sub-attribute too long anywhere", `Long-Sub-1 = 0x` + x(254), "longer than 253"},
		{"tagged string too long", `Tunnel-Private-Group-Id:1 = "` + strings.Repeat("x", 253) + `"`, "longer than 253"},
		{"tagged integer above 24 bits", `Tunnel-Type:1 = 16777216`, "above 16777215"},
		{"untagged integer above 24 bits", `Tunnel-Type = 16777216`, "above 16777215"},
		{"pattern", `User-Name =~ "x"`, "operator =~"},
		{"presence", `User-Name =* ANY`, "operator =*"},
		{"no cipher", `User-Password = "x"`, "pair 1, User-Password: the attribute is sent encrypted"},
		{"too much", strings.Repeat("Class = 0x"+x(250)+"\n", 17), "4076"},
		{"too much in one", `EAP-Message = 0x` + x(4100), "4076"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := d.ParsePairs(c.pairs)
			require.NoError(t, err)
			dst, err := d.AppendWire([]byte("head"), pairs, nil)
			assert.ErrorContains(t, err, c.says)
			assert.Equal(t, "head", string(dst))
		})
	}
	user, _ := d.ByName("User-Name")
	port, _ := d.ByName("NAS-Port")
	for _, c := range []struct {
		pair Pair
		says string
	}{
		{Pair{Attr: port, Op: OpEq, Value: []byte{1}}, "not a valid integer"},
		{Pair{Attr: user, Op: OpEq, Tag: 1, Value: []byte{1}}, "tag 1 is not allowed"},
	} {
		_, err := d.AppendWire(nil, []Pair{c.pair}, nil)
		assert.ErrorContains(t, err, c.says)
	}
}

func TestWireLeavesOut(t *testing.T) {
	d := Embedded()
	pairs, err := d.ParsePairs(`Fall-Through = Yes, Simultaneous-Use := 1, Reply-Message = "", Packet-Dst-Port = 1812, Class = 0x, NAS-Port = 1`)
	require.NoError(t, err)
	wire, err := d.AppendWire(nil, pairs, nil)
	require.NoError(t, err)
	assert.Equal(t, unhex(t, "0506 00000001"), wire)
}

// A TLV that gets too long is continued in a new one rather than refused.
func TestWireTLVOverflow(t *testing.T) {
	d := written(t, formats)
	pairs, err := d.ParsePairs(`Plain-Sub-Text = "` + strings.Repeat("x", 240) + `", Plain-Sub-Number = 1`)
	require.NoError(t, err)
	wire, err := d.AppendWire(nil, pairs, nil)
	require.NoError(t, err)
	back, err := d.ParseWire(wire, nil)
	require.NoError(t, err)
	assert.Equal(t, AppendPairs(nil, pairs, "\n"), AppendPairs(nil, back, "\n"))
	assert.EqualValues(t, 250, wire[1])
}

// layehCipher hides values with the implementation of layeh.com/radius.
type layehCipher struct {
	secret, authenticator []byte
	salt                  []byte
}

func (c layehCipher) Encrypt(dst []byte, e Encryption, plain []byte) ([]byte, error) {
	var wire []byte
	var err error
	switch e {
	case EncryptUser:
		wire, err = radius.NewUserPassword(plain, c.secret, c.authenticator)
	case EncryptTunnel:
		wire, err = radius.NewTunnelPassword(plain, c.salt, c.secret, c.authenticator)
	default:
		err = fmt.Errorf("encryption %d", e)
	}
	return append(dst, wire...), err
}

func (c layehCipher) Decrypt(dst []byte, e Encryption, wire []byte) ([]byte, error) {
	var plain []byte
	var err error
	switch e {
	case EncryptUser:
		plain, err = radius.UserPassword(wire, c.secret, c.authenticator)
	case EncryptTunnel:
		plain, _, err = radius.TunnelPassword(wire, c.secret, c.authenticator)
	default:
		err = fmt.Errorf("encryption %d", e)
	}
	return append(dst, plain...), err
}

// The packets of RFC 2865 section 7.
func TestRFC2865Packets(t *testing.T) {
	c := layehCipher{secret: []byte("xyzzy5461"), authenticator: unhex(t, "0f403f9473978057bd83d5cb98f4227a")}
	for _, p := range []struct{ name, wire, pairs string }{
		{"7.1 Access-Request", "01066e656d6f 02120dbe708d93d413ce3196e43f782a0aee 0406c0a80110 050600000003",
			`User-Name = "nemo", User-Password = "arctangent", NAS-IP-Address = 192.168.1.16, NAS-Port = 3`},
		{"7.1 Access-Accept", "060600000001 0f0600000000 0e06c0a80103",
			`Service-Type = Login-User, Login-Service = Telnet, Login-IP-Host = 192.168.1.3`},
		{"7.2 Access-Request", "0108666c6f707379 031316e97557c316185895f293ff6344077275 0406c0a80110 050600000014 060600000002 070600000001",
			`User-Name = "flopsy", CHAP-Password = 0x16e97557c316185895f293ff6344077275, NAS-IP-Address = 192.168.1.16, ` +
				`NAS-Port = 20, Service-Type = Framed-User, Framed-Protocol = PPP`},
		{"7.2 Access-Accept", "060600000002 070600000001 0806fffffffe 0a0600000000 0d0600000001 0c06000005dc",
			`Service-Type = Framed-User, Framed-Protocol = PPP, Framed-IP-Address = 255.255.255.254, ` +
				`Framed-Routing = None, Framed-Compression = Van-Jacobson-TCP-IP, Framed-MTU = 1500`},
	} {
		t.Run(p.name, func(t *testing.T) {
			pairs, err := Embedded().ParseWire(unhex(t, p.wire), c)
			require.NoError(t, err)
			assert.Equal(t, p.pairs, string(AppendPairs(nil, pairs, ", ")))
			wire, err := Embedded().AppendWire(nil, pairs, c)
			require.NoError(t, err)
			assert.Equal(t, unhex(t, p.wire), wire)
		})
	}
}

// RFC 2868 section 3.5: the tag is outside of the encryption, and always there.
func TestTunnelPassword(t *testing.T) {
	d := Embedded()
	c := layehCipher{secret: []byte("testing123"), authenticator: bytes.Repeat([]byte{7}, 16), salt: []byte{0x80, 1}}
	for _, tag := range []string{"", ":1"} {
		pairs, err := d.ParsePairs(`Tunnel-Password` + tag + ` = "secret"`)
		require.NoError(t, err)
		wire, err := d.AppendWire(nil, pairs, c)
		require.NoError(t, err)
		assert.Equal(t, []byte{69, 2 + 1 + 2 + 16, pairs[0].Tag, 0x80, 1}, wire[:5])
		back, err := d.ParseWire(wire, c)
		require.NoError(t, err)
		assert.Equal(t, pairs, back)
	}
	// Not tagged: MS-MPPE-Send-Key, RFC 2548 section 2.4.2.
	pairs, err := d.ParsePairs(`MS-MPPE-Send-Key = 0x0102030405060708090a0b0c0d0e0f10`)
	require.NoError(t, err)
	wire, err := d.AppendWire(nil, pairs, c)
	require.NoError(t, err)
	assert.Equal(t, unhex(t, "1a2a 00000137 1024 8001"), wire[:10])
	back, err := d.ParseWire(wire, c)
	require.NoError(t, err)
	assert.Equal(t, pairs, back)
	// What cannot be decrypted is kept as it is.
	back, err = d.ParseWire([]byte{69, 6, 1, 0, 0, 0}, c)
	require.NoError(t, err)
	assert.Equal(t, "Attr-69 = 0x01000000", string(AppendPairs(nil, back, "")))
}

// Every attribute of every table goes out and comes back, as text and on the wire.
func TestEveryAttributeBothWays(t *testing.T) {
	d := Embedded()
	sent := 0
	for a := range d.Attributes() {
		if a.Internal || a.Type.container() {
			continue
		}
		p := Pair{Attr: a, Op: OpEq, Value: sampleValue(a)}
		if a.Tagged {
			p.Tag = 1
		}
		back, err := d.ParsePairs(p.String())
		require.NoError(t, err, a.Name)
		require.Equal(t, []Pair{p}, back)
		wire, err := d.AppendWire(nil, back, fuzzCipher{})
		require.NoError(t, err, a.Name)
		back, err = d.ParseWire(wire, fuzzCipher{})
		require.NoError(t, err, a.Name)
		require.Len(t, back, 1, a.Name)
		main := d.find(a.OID)
		if main.Type == a.Type && main.Tagged == a.Tagged && main.Encrypt == a.Encrypt {
			p.Attr = main // of several names of one number the preferred one
			require.Equal(t, p, back[0])
		}
		sent++
	}
	require.Greater(t, sent, 6500)
}

// What an Accounting-Request holds, for benchmarks.
const accounting = `User-Name = "alice@example.net", NAS-IP-Address = 10.0.0.1, NAS-Port = 15728640, NAS-Port-Type = Ethernet
Service-Type = Framed-User, Framed-Protocol = PPP, Framed-IP-Address = 100.64.1.2, Calling-Station-Id = "00:1A:2B:3C:4D:5E"
Called-Station-Id = "pppoe1", Acct-Status-Type = Interim-Update, Acct-Session-Id = "81a00001", Acct-Session-Time = 3600
Acct-Input-Octets = 123456, Acct-Output-Octets = 654321, Acct-Input-Gigawords = 1, Acct-Output-Gigawords = 2
Event-Timestamp = 1893456000, NAS-Identifier = "bras-1", Class = 0x0102030405060708, Framed-IPv6-Prefix = 2001:db8::/64
Mikrotik-Rate-Limit = "10M/20M", ERX-Virtual-Router-Name = "default", Acct-Delay-Time = 0`

func BenchmarkParseWire(b *testing.B) {
	d := Embedded()
	pairs, err := d.ParsePairs(accounting)
	require.NoError(b, err)
	wire, err := d.AppendWire(nil, pairs, nil)
	require.NoError(b, err)
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if _, err := d.ParseWire(wire, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendWire(b *testing.B) {
	d := Embedded()
	pairs, err := d.ParsePairs(accounting)
	require.NoError(b, err)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.AppendWire(dst, pairs, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A full packet of the smallest attributes costs little memory.
func TestParseWireMemory(t *testing.T) {
	d := written(t, formats)
	for name, unit := range map[string]string{
		"unknown": "fa02", "vendor": "1a08 0000fa03 0902", "fragments": "f504 c880", "wimax": "1a09 000060b5 040380",
		"sub": "f1fd c9" + strings.Repeat("0902", 125),
	} {
		one := unhex(t, unit)
		wire := bytes.Repeat(one, MaxAttributes/len(one))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := d.ParseWire(wire, nil)
		runtime.ReadMemStats(&after)
		require.NoError(t, err, name)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), name)
	}
}
