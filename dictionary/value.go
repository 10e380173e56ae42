package dictionary

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// ParseValue reads a value as an operator writes it and gives its wire form
// (RFC 8044 section 3): in clear, without tag and without attribute header.
//
// Numbers are decimal, 0x hexadecimal or an enumerated name; dates are Unix
// seconds or a date in UTC; octets are 0x hexadecimal, anything else is taken
// as it is; a prefix without length is one address. The form of an attribute
// such as "Attr-26.9.250" is octets.
func (a *Attribute) ParseValue(text string) ([]byte, error) {
	wire, err := a.parseValue(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.Name, err)
	}
	if a.Size > 0 && len(wire) != a.Size {
		return nil, fmt.Errorf("%s: value has %d octets, must have %d", a.Name, len(wire), a.Size)
	}
	return wire, nil
}

func (a *Attribute) parseValue(text string) ([]byte, error) {
	switch a.Type {
	case String:
		return []byte(text), nil
	case Octets, ABinary:
		if isHex(text) {
			return parseHex(text)
		}
		return []byte(text), nil
	case Date:
		return parseDate(text)
	case Integer, Signed, Integer64, Byte, Short:
		return a.parseNumber(strings.TrimSpace(text))
	case IPAddr, IPv6Addr, ComboIP:
		return parseAddr(a.Type, strings.TrimSpace(text))
	case IPv4Prefix, IPv6Prefix:
		return parsePrefix(a.Type, strings.TrimSpace(text))
	case IfID:
		return parseIfID(strings.TrimSpace(text))
	case Ether:
		return parseEther(strings.TrimSpace(text))
	}
	if isHex(text) {
		return parseHex(text)
	}
	return nil, fmt.Errorf("an attribute of type %s holds other attributes: name one of those, or give its octets as 0x…", a.Type)
}

func isHex(text string) bool {
	return len(text) >= 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')
}

func parseHex(text string) ([]byte, error) {
	b, err := hex.DecodeString(text[2:])
	if err != nil {
		return nil, errors.New("not an even number of hexadecimal digits after 0x")
	}
	return b, nil
}

func (a *Attribute) parseNumber(text string) ([]byte, error) {
	size := a.Type.size()
	n, ok := a.ValueByName(text)
	if !ok {
		var err error
		if a.Type == Signed && strings.HasPrefix(text, "-") {
			var i int64
			if i, err = strconv.ParseInt(text, 10, 32); err != nil {
				return nil, fmt.Errorf("%q is not a number from -2147483648 to 2147483647", text)
			}
			n = uint64(uint32(i))
		} else if n, err = parseNumber(text, size*8); err != nil {
			if a.values != nil && (text == "" || text[0] < '0' || text[0] > '9') {
				return nil, fmt.Errorf("%q is neither a number nor one of the attribute's values", text)
			}
			return nil, err
		} else if a.Type == Signed && n > 1<<31-1 && !isHex(text) {
			return nil, fmt.Errorf("%q is not a number from -2147483648 to 2147483647", text)
		}
	}
	return appendUint(nil, n, size), nil
}

func appendUint(b []byte, n uint64, size int) []byte {
	switch size {
	case 1:
		return append(b, byte(n))
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(n))
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return binary.BigEndian.AppendUint64(b, n)
}

// readUint reads a number of 0 to 8 octets.
func readUint(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// dateLayout is how dates are written; FreeRADIUS reads and writes the same.
const dateLayout = "Jan _2 2006 15:04:05 MST"

// dateLayouts are the forms that are read besides Unix seconds; without a zone
// they mean UTC.
var dateLayouts = [...]string{
	dateLayout, "Jan _2 2006 15:04:05", "Jan _2 2006 15:04", "Jan _2 2006",
	"_2 Jan 2006 15:04:05 MST", "_2 Jan 2006 15:04:05", "_2 Jan 2006 15:04", "_2 Jan 2006",
	"January _2 2006 15:04:05", "January _2 2006 15:04", "January _2 2006",
	"_2 January 2006 15:04:05", "_2 January 2006 15:04", "_2 January 2006",
	time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
}

func parseDate(text string) ([]byte, error) {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, ",", " ")), " ")
	if n, err := parseNumber(text, 32); err == nil {
		return appendUint(nil, n, 4), nil
	}
	for _, layout := range dateLayouts {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if zone, offset := t.Zone(); offset == 0 && zone != "UTC" && zone != "GMT" && zone != "" {
			return nil, fmt.Errorf("time zone %q is not known here, use UTC", zone)
		}
		if n := t.Unix(); n >= 0 && n < 1<<32 {
			return appendUint(nil, uint64(n), 4), nil
		}
		return nil, fmt.Errorf("date %q is not from 1970 to 2106", text)
	}
	return nil, fmt.Errorf("%q is not a date such as \"Jan 31 2030 12:00:00 UTC\" or 2030-01-31", text)
}

func parseAddr(t DataType, text string) ([]byte, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return nil, fmt.Errorf("%q is not an IP address", text)
	}
	if t == IPAddr && !addr.Is4() {
		return nil, fmt.Errorf("%q is not an IPv4 address", text)
	}
	if t == IPv6Addr && addr.Is4() {
		return nil, fmt.Errorf("%q is not an IPv6 address", text)
	}
	return addr.AsSlice(), nil
}

// parsePrefix writes RFC 8044 section 3.10 and 3.11: a reserved octet, the
// prefix length, the prefix. An IPv6 prefix is written whole, which every NAS takes.
func parsePrefix(t DataType, text string) ([]byte, error) {
	addrText, bitsText, found := strings.Cut(text, "/")
	addr, err := parseAddr(map[DataType]DataType{IPv4Prefix: IPAddr, IPv6Prefix: IPv6Addr}[t], addrText)
	if err != nil {
		return nil, err
	}
	bits := uint64(len(addr) * 8)
	if found {
		if bits, err = strconv.ParseUint(bitsText, 10, 8); err != nil || bits > uint64(len(addr)*8) {
			return nil, fmt.Errorf("%q has no prefix length from 0 to %d", text, len(addr)*8)
		}
	}
	maskBits(addr, int(bits))
	return append([]byte{0, byte(bits)}, addr...), nil
}

// maskBits clears what is past the prefix length.
func maskBits(addr []byte, bits int) {
	for i := range addr {
		switch keep := bits - i*8; {
		case keep <= 0:
			addr[i] = 0
		case keep < 8:
			addr[i] &= ^byte(0xff >> keep)
		}
	}
}

func parseIfID(text string) ([]byte, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 4 {
		return nil, fmt.Errorf("%q is not an interface identifier such as 200:5eff:fe00:1", text)
	}
	var wire []byte
	for _, p := range parts {
		n, err := strconv.ParseUint(p, 16, 16)
		if err != nil {
			return nil, fmt.Errorf("%q is not an interface identifier such as 200:5eff:fe00:1", text)
		}
		wire = appendUint(wire, n, 2)
	}
	return wire, nil
}

func parseEther(text string) ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ':' || r == '-' || r == '.' {
			return -1
		}
		return r
	}, text)
	if isHex(digits) {
		digits = digits[2:]
	}
	wire, err := hex.DecodeString(digits)
	if err != nil || len(wire) != 6 {
		return nil, fmt.Errorf("%q is not a MAC address", text)
	}
	return wire, nil
}

// fits reports whether a wire value is valid for the attribute's type.
func (a *Attribute) fits(wire []byte) bool {
	if a.Size > 0 {
		return len(wire) == a.Size
	}
	if n := a.Type.size(); n > 0 && len(wire) != n {
		return false
	}
	switch a.Type {
	case ComboIP:
		return len(wire) == 4 || len(wire) == 16
	case IPv4Prefix:
		return wire[1]&0x3f <= 32
	case IPv6Prefix:
		return len(wire) >= 2 && len(wire) <= 18 && wire[1] <= 128 && int(wire[1]) <= (len(wire)-2)*8
	case TLV, Extended, LongExtended, EVS, VSA:
		return false
	}
	return true
}

// AppendValue appends the text of a wire value: the enumerated name where
// there is one, what ParseValue reads in any case. The text of a string is
// appended as it is, control characters included; use AppendPairs for quoted
// text. A value that is invalid for the attribute's type is shown as 0x
// hexadecimal.
func (a *Attribute) AppendValue(dst, wire []byte) []byte {
	if !a.fits(wire) {
		return appendHex(dst, wire)
	}
	switch a.Type {
	case String:
		return append(dst, wire...)
	case Integer, Integer64, Byte, Short, Signed:
		n := readUint(wire)
		if name, ok := a.ValueName(n); ok {
			return append(dst, name...)
		}
		if a.Type == Signed {
			return strconv.AppendInt(dst, int64(int32(n)), 10)
		}
		return strconv.AppendUint(dst, n, 10)
	case Date:
		return time.Unix(int64(readUint(wire)), 0).UTC().AppendFormat(dst, dateLayout)
	case IPAddr, IPv6Addr, ComboIP:
		addr, _ := netip.AddrFromSlice(wire)
		return addr.AppendTo(dst)
	case IPv4Prefix, IPv6Prefix:
		return appendPrefix(dst, wire, a.Type)
	case IfID:
		for i := range 4 {
			if i > 0 {
				dst = append(dst, ':')
			}
			dst = strconv.AppendUint(dst, readUint(wire[i*2:i*2+2]), 16)
		}
		return dst
	case Ether:
		for i, b := range wire {
			if i > 0 {
				dst = append(dst, ':')
			}
			dst = hex.AppendEncode(dst, []byte{b})
		}
		return dst
	}
	return appendHex(dst, wire)
}

func appendHex(dst, wire []byte) []byte {
	return hex.AppendEncode(append(dst, "0x"...), wire)
}

// appendPrefix shows a prefix without the bits past its length, which occur in the field.
func appendPrefix(dst, wire []byte, t DataType) []byte {
	bits := int(wire[1])
	if t == IPv4Prefix {
		bits &= 0x3f
	}
	var buf [16]byte
	addr := buf[:4]
	if t == IPv6Prefix {
		addr = buf[:]
	}
	copy(addr, wire[2:])
	maskBits(addr, bits)
	a, _ := netip.AddrFromSlice(addr)
	return netip.PrefixFrom(a, bits).AppendTo(dst)
}

// FormatValue is AppendValue to a string.
func (a *Attribute) FormatValue(wire []byte) string { return string(a.AppendValue(nil, wire)) }

// Uint reads the value of a numeric attribute (or a date, or octets of at most
// 8 octets); false where the attribute's type is another or the length is wrong.
func (a *Attribute) Uint(wire []byte) (uint64, bool) {
	if a.Type.number() && a.fits(wire) || a.Type == Octets && len(wire) > 0 && len(wire) <= 8 {
		return readUint(wire), true
	}
	return 0, false
}
