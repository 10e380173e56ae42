package radius

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// maxVendorValueLength is what vendor number, type and length leave of an attribute.
const maxVendorValueLength = MaxValueLength - 6

// AppendHeader appends the header of a packet without attributes. Append the
// attributes, then call [SetLength] and sign.
func AppendHeader(dst []byte, code Code, identifier uint8, authenticator *[AuthenticatorLength]byte) []byte {
	dst = append(dst, byte(code), identifier, 0, HeaderLength)
	return append(dst, authenticator[:]...)
}

// SetLength writes the length of p into its header. It panics if p is longer than
// [MaxLength], which the caller has to rule out.
func SetLength(p []byte) {
	if len(p) > MaxLength {
		panic(fmt.Sprintf("radius: packet of %d octets", len(p)))
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
}

// AppendAttribute appends an attribute. It panics if the value is longer than
// [MaxValueLength]: values from elsewhere go through package dictionary, which
// checks them.
func AppendAttribute(dst []byte, t Type, value []byte) []byte {
	if len(value) > MaxValueLength {
		panic(fmt.Sprintf("radius: value of %d octets in attribute %d", len(value), t))
	}
	dst = append(dst, byte(t), byte(2+len(value)))
	return append(dst, value...)
}

// AppendString appends an attribute with text. It panics as [AppendAttribute] does.
func AppendString(dst []byte, t Type, value string) []byte {
	if len(value) > MaxValueLength {
		panic(fmt.Sprintf("radius: value of %d octets in attribute %d", len(value), t))
	}
	dst = append(dst, byte(t), byte(2+len(value)))
	return append(dst, value...)
}

// AppendUint32 appends an attribute with an integer.
func AppendUint32(dst []byte, t Type, value uint32) []byte {
	dst = append(dst, byte(t), 6)
	return binary.BigEndian.AppendUint32(dst, value)
}

// AppendTime appends an attribute with a time, in whole seconds since 1970.
func AppendTime(dst []byte, t Type, value time.Time) []byte {
	return AppendUint32(dst, t, uint32(value.Unix()))
}

// AppendAddr appends an attribute with an address: four octets for IPv4 and for
// IPv4 mapped into IPv6, sixteen for other IPv6. It panics if addr is not valid.
func AppendAddr(dst []byte, t Type, addr netip.Addr) []byte {
	if addr = addr.Unmap(); addr.Is4() {
		a := addr.As4()
		dst = append(dst, byte(t), 6)
		return append(dst, a[:]...)
	}
	if !addr.Is6() {
		panic(fmt.Sprintf("radius: no address in attribute %d", t))
	}
	a := addr.As16()
	dst = append(dst, byte(t), 18)
	return append(dst, a[:]...)
}

// AppendPrefix appends an attribute with an IPv6 prefix (RFC 3162 section 2.3), in
// as many octets as its length needs. It panics if prefix is not a valid IPv6
// prefix.
func AppendPrefix(dst []byte, t Type, prefix netip.Prefix) []byte {
	if !prefix.IsValid() || !prefix.Addr().Is6() {
		panic(fmt.Sprintf("radius: no IPv6 prefix in attribute %d", t))
	}
	a := prefix.Masked().Addr().As16()
	n := (prefix.Bits() + 7) / 8
	dst = append(dst, byte(t), byte(4+n), 0, byte(prefix.Bits()))
	return append(dst, a[:n]...)
}

// AppendVendor appends a Vendor-Specific attribute that holds one attribute of the
// vendor, in the format that RFC 2865 section 5.26 suggests. It panics if the value
// is longer than 247 octets.
func AppendVendor(dst []byte, vendor uint32, t uint8, value []byte) []byte {
	if len(value) > maxVendorValueLength {
		panic(fmt.Sprintf("radius: value of %d octets in attribute %d of vendor %d", len(value), t, vendor))
	}
	dst = append(dst, byte(TypeVendorSpecific), byte(8+len(value)))
	dst = binary.BigEndian.AppendUint32(dst, vendor)
	dst = append(dst, t, byte(2+len(value)))
	return append(dst, value...)
}

// AppendSplit appends a value of any length as attributes of at most 253 octets
// each, which the reader joins again (RFC 3579 section 3.1); see
// [Attributes.AppendConcat]. An empty value appends nothing.
func AppendSplit(dst []byte, t Type, value []byte) []byte {
	for len(value) > 0 {
		n := min(len(value), MaxValueLength)
		dst = AppendAttribute(dst, t, value[:n])
		value = value[n:]
	}
	return dst
}

// AppendMessageAuthenticator appends a Message-Authenticator that is yet to be
// signed with [Hasher.SignMessageAuthenticator].
func AppendMessageAuthenticator(dst []byte) []byte {
	return AppendAttribute(dst, TypeMessageAuthenticator, zeroAuthenticator[:])
}
