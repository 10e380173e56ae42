package dictionary

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// AppendWire appends pairs as the attributes of a packet: vendor attributes
// each in a Vendor-Specific of its own, neighbours of one TLV together, long
// values split where the attribute allows it, tags in place, encrypted by c
// where the dictionary says so.
//
// Internal attributes are left out. So are empty values, which RFC 2865
// section 5 forbids, but for attributes such as EAP-Message, where an empty
// one has a meaning (RFC 3579 section 2.1). An error names the pair that
// cannot be sent: a value too long, an operator that is not an assignment,
// an encrypted attribute without cipher, or more than MaxAttributes octets in
// all; dst is returned unchanged then.
func (d *Dictionary) AppendWire(dst []byte, pairs []Pair, c Cipher) ([]byte, error) {
	w := encoder{d: d, c: c, out: dst, start: len(dst)}
	for i, p := range pairs {
		if p.Attr.Internal {
			continue
		}
		if err := w.pair(p); err != nil {
			return dst, fmt.Errorf("pair %d, %s: %w", i+1, p.Attr.Name, err)
		}
	}
	if err := w.flush(); err != nil {
		return dst, err
	}
	return w.out, nil
}

// encoder writes the pairs of one packet. A TLV that may get more
// sub-attributes is kept open in unit.
type encoder struct {
	d     *Dictionary
	c     Cipher
	out   []byte
	start int

	value []byte // of the pair at hand
	unit  tlvUnit
}

// place is where an attribute goes: the numbers outside of any TLV.
type place struct {
	attribute uint32
	vendor    uint32
	extended  uint32 // Extended-Type
	number    uint32 // the vendor's type
	depth     int    // how many numbers of the OID this takes
}

func (d *Dictionary) place(oid OID) (place, error) {
	p := place{attribute: oid[0], depth: 1}
	if oid[0] > 255 {
		return p, errors.New("the attribute has no number for a packet")
	}
	at := func(n *uint32) {
		if p.depth < len(oid) {
			*n = oid[p.depth]
			p.depth++
		}
	}
	a := d.standard[oid[0]]
	switch {
	case d.isVSA(oid):
		at(&p.vendor)
		at(&p.number)
	case a != nil && (a.Type == Extended || a.Type == LongExtended):
		at(&p.extended)
		if d.isEVS(oid) {
			at(&p.vendor)
			at(&p.number)
		}
	}
	return p, nil
}

func (w *encoder) pair(p Pair) error {
	if p.Op.pattern() || p.Op.presence() {
		return fmt.Errorf("operator %s has no value to send", p.Op)
	}
	value, err := w.encode(p)
	if err != nil {
		return err
	}
	at, err := w.d.place(p.Attr.OID)
	if err != nil {
		return err
	}
	if len(value) == 0 && !p.Attr.Concat {
		return nil
	}
	if at.depth == len(p.Attr.OID) {
		if err := w.flush(); err != nil {
			return err
		}
		return w.emit(at, value, p.Attr.Concat)
	}
	return w.sub(at, p.Attr.OID, value)
}

// encode gives the value as it goes into the packet: encrypted, with tag.
// It is valid until the next call.
func (w *encoder) encode(p Pair) ([]byte, error) {
	a := p.Attr
	if !a.fits(p.Value) {
		return nil, fmt.Errorf("value of %d octets is not a valid %s", len(p.Value), a.Type)
	}
	if p.Tag > maxTag || p.Tag > 0 && !a.Tagged {
		return nil, fmt.Errorf("tag %d is not allowed", p.Tag)
	}
	if !a.Tagged && a.Encrypt == EncryptNone {
		return p.Value, nil
	}
	w.value = w.value[:0]
	switch {
	case !a.Tagged:
	case a.Encrypt != EncryptNone:
		w.value = append(w.value, p.Tag)
	case a.Type == Integer:
		if p.Value[0] != 0 {
			return nil, fmt.Errorf("value %d is above %d, which a tagged attribute holds", readUint(p.Value), 1<<24-1)
		}
		w.value = append(append(w.value, p.Tag), p.Value[1:]...)
		return w.value, nil
	case p.Tag > 0 || len(p.Value) > 0 && p.Value[0] <= maxTag:
		w.value = append(w.value, p.Tag)
	}
	if a.Encrypt == EncryptNone {
		w.value = append(w.value, p.Value...)
		return w.value, nil
	}
	if w.c == nil {
		return nil, errors.New("the attribute is sent encrypted, and there is no secret to encrypt it with")
	}
	if len(p.Value) == 0 {
		return nil, nil
	}
	value, err := w.c.Encrypt(w.value, a.Encrypt, p.Value)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	w.value = value
	return value, nil
}

// room checks that n more octets fit the packet.
func (w *encoder) room(n int) error {
	if len(w.out)-w.start+n > MaxAttributes {
		return fmt.Errorf("attributes exceed the %d octets that a packet holds", MaxAttributes)
	}
	return nil
}

func tooLong(n, limit int) error {
	return fmt.Errorf("value of %d octets is longer than %d", n, limit)
}

// emit writes one attribute, or several if the value may be split.
func (w *encoder) emit(at place, value []byte, concat bool) error {
	if err := w.room(len(value)); err != nil {
		return err
	}
	a := w.d.standard[at.attribute]
	switch {
	case at.depth > 1 && w.d.isVSA(OID{at.attribute}):
		return w.vendorSpecific(at, value, concat)
	case at.depth > 1 && a.Type == Extended:
		return w.extended(at, value)
	case at.depth > 1 && a.Type == LongExtended:
		return w.longExtended(at, value)
	}
	for {
		n := min(len(value), 253)
		if n < len(value) && !concat {
			return tooLong(len(value), 253)
		}
		if err := w.room(2 + n); err != nil {
			return err
		}
		w.out = append(w.out, byte(at.attribute), byte(2+n))
		w.out = append(w.out, value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return nil
		}
	}
}

func (w *encoder) vendorSpecific(at place, value []byte, concat bool) error {
	v := w.d.vendors[at.vendor]
	if v == nil {
		v = rfcVendor
	}
	h := v.header()
	if at.depth == 2 {
		h = 0 // octets of the vendor without any structure
	}
	limit := 255 - 6 - h
	for {
		n := min(len(value), limit)
		if n < len(value) && !concat && (!v.Continuation || h == 0) {
			return tooLong(len(value), limit)
		}
		if err := w.room(6 + h + n); err != nil {
			return err
		}
		w.out = append(w.out, byte(at.attribute), byte(6+h+n))
		w.out = binary.BigEndian.AppendUint32(w.out, at.vendor)
		if h > 0 {
			w.out = appendUint(w.out, uint64(at.number), v.TypeSize)
			if v.LengthSize > 0 {
				w.out = appendUint(w.out, uint64(h+n), v.LengthSize)
			}
			if v.Continuation {
				more := byte(0)
				if n < len(value) {
					more = moreFlag
				}
				w.out = append(w.out, more)
			}
		}
		w.out = append(w.out, value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return nil
		}
	}
}

// extendedHeader appends vendor and vendor type of an EVS attribute, if it is one.
func (at place) extendedHeader(b []byte) []byte {
	if at.depth >= 3 {
		b = binary.BigEndian.AppendUint32(b, at.vendor)
	}
	if at.depth == 4 {
		b = append(b, byte(at.number))
	}
	return b
}

func (w *encoder) extended(at place, value []byte) error {
	var buf [5]byte
	header := at.extendedHeader(buf[:0])
	n := 3 + len(header) + len(value)
	if n > 255 {
		return tooLong(len(value), 252-len(header))
	}
	if err := w.room(n); err != nil {
		return err
	}
	w.out = append(w.out, byte(at.attribute), byte(n), byte(at.extended))
	w.out = append(append(w.out, header...), value...)
	return nil
}

func (w *encoder) longExtended(at place, value []byte) error {
	var buf [5]byte
	header := at.extendedHeader(buf[:0])
	for {
		n := min(len(value), 251-len(header))
		more := byte(0)
		if n < len(value) {
			more = moreFlag
		}
		if err := w.room(4 + len(header) + n); err != nil {
			return err
		}
		w.out = append(w.out, byte(at.attribute), byte(4+len(header)+n), byte(at.extended), more)
		w.out = append(append(w.out, header...), value[:n]...)
		header = nil // only in the first, RFC 6929 section 2.4
		if value = value[n:]; len(value) == 0 {
			return nil
		}
	}
}
