package aaa

import "bytes"

// NormalizeMAC brings a MAC address (EUI-48) into normal form: lower case with
// colons, aa:bb:cc:dd:ee:ff. It takes the spellings that NASes send: six pairs,
// three groups of four or two of six, separated by colons, hyphens, dots or
// spaces, or no separator at all, in either case. ok is false when s is anything
// else.
func NormalizeMAC(s string) (mac string, ok bool) {
	var buf [17]byte
	b, ok := AppendMAC(buf[:0], []byte(s))
	if !ok {
		return "", false
	}
	return string(b), true
}

// AppendMAC appends the normal form of raw to dst, as [NormalizeMAC] does,
// without allocating when dst has room for 17 octets. It returns dst unchanged
// when raw is not a MAC address.
func AppendMAC[T string | []byte](dst []byte, raw T) ([]byte, bool) {
	const hex = "0123456789abcdef"
	// 12 digits and at most five separators.
	if len(raw) < 12 || len(raw) > 17 {
		return dst, false
	}
	start := len(dst)
	var separator byte
	group, digits := 0, 0 // length of a group, digits since the last separator
	count := 0
	for i := range len(raw) {
		c := raw[i]
		var nibble byte
		switch {
		case '0' <= c && c <= '9':
			nibble = c - '0'
		case 'a' <= c && c <= 'f':
			nibble = c - 'a' + 10
		case 'A' <= c && c <= 'F':
			nibble = c - 'A' + 10
		case c == ':' || c == '-' || c == '.' || c == ' ':
			if separator == 0 {
				separator, group = c, digits
			}
			if c != separator || digits != group || count == 12 {
				return dst[:start], false
			}
			digits = 0
			continue
		default:
			return dst[:start], false
		}
		if count == 12 {
			return dst[:start], false
		}
		if count > 0 && count%2 == 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, hex[nibble])
		count++
		digits++
	}
	if count != 12 || separator != 0 && (digits != group || group != 2 && group != 4 && group != 6) {
		return dst[:start], false
	}
	return dst, true
}

// NormalizeStation brings a Calling-Station-Id into the form that is compared
// and grouped by: the normal form of a MAC address, and anything else (a phone
// number, an address) as it was sent.
func NormalizeStation(raw string) string {
	if mac, ok := NormalizeMAC(raw); ok {
		return mac
	}
	return raw
}

// sameStation reports whether two raw Calling-Station-Ids mean the same station.
func sameStation(a, b []byte) bool {
	var bufA, bufB [17]byte
	macA, okA := AppendMAC(bufA[:0], a)
	macB, okB := AppendMAC(bufB[:0], b)
	if okA && okB {
		return bytes.Equal(macA, macB)
	}
	return bytes.Equal(a, b)
}
