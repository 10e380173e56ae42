package dictionary

import (
	"encoding/binary"
	"fmt"
)

// Cipher hides and reveals values for one packet. Encrypt and Decrypt append
// to dst; the salt of EncryptTunnel is part of the hidden value, a tag is not.
type Cipher interface {
	Encrypt(dst []byte, e Encryption, plain []byte) ([]byte, error)
	Decrypt(dst []byte, e Encryption, wire []byte) ([]byte, error)
}

// MaxAttributes is how many octets of attributes a packet holds at most
// (RFC 2865 section 3: 4096 less the header).
const MaxAttributes = 4096 - 20

// ParseWire reads the attributes of a packet. Values of TLVs, of
// Vendor-Specific and of extended attributes come one by one, those split over
// several attributes in one piece. What is not in the dictionary, or is
// malformed inside, comes as octets of an attribute named Attr-…, so that
// nothing is lost; so does what is encrypted if c is nil or cannot decrypt it.
// The error is for a list of attributes that is itself broken.
//
// Values may share memory with attrs. All pairs have the operator OpEq.
func (d *Dictionary) ParseWire(attrs []byte, c Cipher) ([]Pair, error) {
	if len(attrs) > MaxAttributes {
		return nil, fmt.Errorf("attributes have %d octets, a packet holds %d", len(attrs), MaxAttributes)
	}
	count := 0
	for i := 0; i < len(attrs); count++ {
		n := 0
		if i+1 < len(attrs) {
			n = int(attrs[i+1])
		}
		if n < 2 || i+n > len(attrs) {
			return nil, fmt.Errorf("attribute at octet %d: length %d does not fit (RFC 2865 section 5)", i, n)
		}
		i += n
	}
	w := decoder{d: d, c: c, pairs: make([]Pair, 0, count)}
	for len(attrs) > 0 {
		attrs = attrs[w.attribute(attrs):]
	}
	return w.pairs, nil
}

// decoder collects the pairs of one packet. Methods that read attributes give
// the number of octets they have used.
type decoder struct {
	d     *Dictionary
	c     Cipher
	pairs []Pair
}

func (w *decoder) raw(value []byte, oid ...uint32) {
	w.pairs = append(w.pairs, Pair{Attr: w.d.rawAttribute(oid), Op: OpEq, Value: value})
}

func (w *decoder) attribute(attrs []byte) int {
	t, n := attrs[0], int(attrs[1])
	value := attrs[2:n:n]
	a := w.d.standard[t]
	switch {
	case a == nil:
		w.raw(value, uint32(t))
	case a.Type == VSA:
		return w.vendorSpecific(attrs)
	case a.Type == Extended:
		w.extended(a, value)
	case a.Type == LongExtended:
		return w.longExtended(a, attrs)
	case a.Concat:
		return w.concat(a, attrs)
	default:
		w.value(a, value)
	}
	return n
}

// concat joins an attribute that is split over several, which follow each
// other (RFC 3579 section 3.1).
func (w *decoder) concat(a *Attribute, attrs []byte) int {
	n := int(attrs[1])
	value := attrs[2:n:n]
	for n < len(attrs) && attrs[n] == attrs[0] {
		next := int(attrs[n+1])
		value = append(value, attrs[n+2:n+next]...)
		n += next
	}
	w.value(a, value)
	return n
}

// value reads the value of an attribute, which may be a TLV.
func (w *decoder) value(a *Attribute, wire []byte) {
	ok := false
	switch {
	case a.Internal:
	case a.Type == TLV:
		ok = w.tlv(a, wire)
	case !a.Type.container():
		ok = w.leaf(a, wire)
	}
	if !ok {
		w.raw(wire, a.OID...)
	}
}

// leaf reads a plain value; false means that it does not fit the attribute.
func (w *decoder) leaf(a *Attribute, wire []byte) bool {
	p := Pair{Attr: a, Op: OpEq, Value: wire}
	switch {
	case !a.Tagged:
	case a.Encrypt != EncryptNone:
		// RFC 2868 section 3.5: the tag is always there, and ignored if out of range.
		if len(wire) == 0 {
			return false
		}
		if wire[0] <= maxTag {
			p.Tag = wire[0]
		}
		p.Value = wire[1:]
	case a.Type == Integer:
		// RFC 2868 section 3.1: the tag is the first of four octets.
		if len(wire) != 4 || wire[0] > maxTag {
			return false
		}
		if p.Tag = wire[0]; p.Tag > 0 {
			p.Value = []byte{0, wire[1], wire[2], wire[3]}
		}
	case len(wire) > 0 && wire[0] <= maxTag:
		// RFC 2868 section 3.3: a higher octet belongs to the value.
		p.Tag, p.Value = wire[0], wire[1:]
	}
	if a.Encrypt != EncryptNone {
		if w.c == nil {
			return false
		}
		plain, err := w.c.Decrypt(nil, a.Encrypt, p.Value)
		if err != nil {
			return false
		}
		p.Value = plain
	}
	if size := a.Type.size(); a.Array && len(p.Value) > size && len(p.Value)%size == 0 {
		for value := p.Value; len(value) > 0; value = value[size:] {
			p.Value = value[:size:size]
			w.pairs = append(w.pairs, p)
		}
		return true
	}
	if !a.fits(p.Value) {
		return false
	}
	w.pairs = append(w.pairs, p)
	return true
}

// tlv reads the sub-attributes of a TLV (RFC 6929 section 2.3); false means
// that it is malformed.
func (w *decoder) tlv(parent *Attribute, data []byte) bool {
	if len(data) == 0 || !validTLVs(data) {
		return false
	}
	for len(data) > 0 {
		t, n := uint32(data[0]), int(data[1])
		if a := w.d.byKey[key{parent: parent, number: t}]; a != nil {
			w.value(a, data[2:n:n])
		} else {
			w.raw(data[2:n:n], childOID(parent.OID, t)...)
		}
		data = data[n:]
	}
	return true
}

func validTLVs(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 2 || data[1] < 2 || int(data[1]) > len(data) {
			return false
		}
		data = data[data[1]:]
	}
	return true
}

func childOID(parent OID, number ...uint32) OID {
	oid := make(OID, 0, len(parent)+len(number))
	return append(append(oid, parent...), number...)
}

// extended reads an attribute with an Extended-Type (RFC 6929 section 2.1).
func (w *decoder) extended(a *Attribute, value []byte) {
	if len(value) == 0 {
		w.raw(value, a.OID...)
		return
	}
	w.extendedValue(a, uint32(value[0]), value[1:])
}

func (w *decoder) extendedValue(a *Attribute, t uint32, value []byte) {
	sub := w.d.byKey[key{parent: a, number: t}]
	switch {
	case sub == nil:
		w.raw(value, childOID(a.OID, t)...)
	case sub.Type == EVS && len(value) >= 5:
		// RFC 6929 section 2.4: vendor, vendor type, value.
		vendor, number := binary.BigEndian.Uint32(value), uint32(value[4])
		if va := w.d.byKey[key{sub, vendor, number}]; va != nil && vendor != 0 {
			w.value(va, value[5:])
		} else {
			w.raw(value[5:], childOID(sub.OID, vendor, number)...)
		}
	default:
		w.value(sub, value)
	}
}

// moreFlag says that the value goes on in the next attribute (RFC 6929
// section 2.2, and the WiMAX continuation octet).
const moreFlag = 0x80

// longExtended reads an attribute with an Extended-Type and flags, which may
// be split over several (RFC 6929 section 2.2). Fragments without their end
// come as they are.
func (w *decoder) longExtended(a *Attribute, attrs []byte) int {
	first := int(attrs[1])
	if first < 4 {
		w.raw(attrs[2:first], a.OID...)
		return first
	}
	n := first
	value := attrs[4:n:n]
	for flags := attrs[3]; flags&moreFlag != 0; {
		rest := attrs[n:]
		if len(rest) < 4 || rest[1] < 4 || rest[0] != attrs[0] || rest[2] != attrs[2] {
			w.raw(attrs[2:first], a.OID...)
			return first
		}
		value = append(value, rest[4:rest[1]]...)
		flags = rest[3]
		n += int(rest[1])
	}
	w.extendedValue(a, uint32(attrs[2]), value)
	return n
}

// rfcVendor is the format that RFC 2865 section 5.26 recommends.
var rfcVendor = &Vendor{TypeSize: 1, LengthSize: 1}

// vendorSpecific reads Vendor-Specific attributes (RFC 2865 section 5.26).
func (w *decoder) vendorSpecific(attrs []byte) int {
	n := int(attrs[1])
	body := attrs[2:n]
	if len(body) < 5 {
		w.raw(body, uint32(attrs[0]))
		return n
	}
	id := binary.BigEndian.Uint32(body)
	v := w.d.vendors[id]
	if v == nil {
		v = rfcVendor
	}
	if v.Continuation && len(body) > 6 && body[6]&moreFlag != 0 {
		return w.continued(v, id, attrs)
	}
	for rest := body[4:]; len(rest) > 0; {
		e, ok := v.element(rest)
		if !ok || v.Continuation && rest[2]&moreFlag != 0 {
			w.raw(body, uint32(attrs[0]))
			return n
		}
		rest = rest[e.size:]
	}
	for rest := body[4:]; len(rest) > 0; {
		e, _ := v.element(rest)
		w.vendorValue(id, e.number, e.value)
		rest = rest[e.size:]
	}
	return n
}

func (w *decoder) vendorValue(id, number uint32, value []byte) {
	if a := w.d.byKey[key{nil, id, number}]; a != nil && id != 0 {
		w.value(a, value)
		return
	}
	w.raw(value, 26, id, number)
}

// continued joins a WiMAX attribute that is split over several
// Vendor-Specific attributes, each of which holds one piece.
func (w *decoder) continued(v *Vendor, id uint32, attrs []byte) int {
	var value []byte
	var number uint32
	n := 0
	for {
		rest := attrs[n:]
		if len(rest) < 2 || rest[0] != attrs[0] || len(rest[2:rest[1]]) < 7 || binary.BigEndian.Uint32(rest[2:]) != id {
			break
		}
		e, ok := v.element(rest[6:rest[1]])
		if !ok || e.size != int(rest[1])-6 || n > 0 && e.number != number {
			break
		}
		number = e.number
		value = append(value, e.value...)
		n += int(rest[1])
		if rest[8]&moreFlag == 0 {
			w.vendorValue(id, number, value)
			return n
		}
	}
	w.raw(attrs[2:attrs[1]], uint32(attrs[0]))
	return int(attrs[1])
}

// element is one attribute of a vendor inside of Vendor-Specific.
type element struct {
	number uint32
	value  []byte
	size   int // octets with header
}

// element reads the first attribute in data; false means that it is malformed.
func (v *Vendor) element(data []byte) (element, bool) {
	h := v.header()
	if len(data) < h {
		return element{}, false
	}
	e := element{number: uint32(readUint(data[:v.TypeSize])), size: len(data)}
	if v.LengthSize > 0 {
		e.size = int(readUint(data[v.TypeSize : v.TypeSize+v.LengthSize]))
	}
	if e.size < h || e.size > len(data) {
		return element{}, false
	}
	e.value = data[h:e.size:e.size]
	return e, true
}
