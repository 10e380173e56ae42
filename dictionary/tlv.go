package dictionary

import "slices"

// tlvUnit is the value of a TLV under construction: the TLV itself at depth 0,
// those open inside of it, innermost last.
type tlvUnit struct {
	at    place
	path  []uint32 // numbers of the open TLVs inside of the unit
	level [maxOID]tlvLevel
	value []byte
	open  bool
}

// tlvLevel is one open TLV: where its length is, and what it holds.
type tlvLevel struct {
	length int
	holds  [4]uint64 // numbers of plain sub-attributes
}

func (l *tlvLevel) has(n uint32) bool { return l.holds[n>>6&3]&(1<<(n&63)) != 0 }
func (l *tlvLevel) add(n uint32)      { l.holds[n>>6&3] |= 1 << (n & 63) }

// maxUnit bounds a TLV that can be split over several attributes.
const maxUnit = MaxAttributes

// limit is how long the value of an attribute at a place may be.
func (w *encoder) limit(at place) int {
	a := w.d.standard[at.attribute]
	switch {
	case w.d.isVSA(OID{at.attribute}):
		v := w.d.vendors[at.vendor]
		if v == nil {
			v = rfcVendor
		}
		if v.Continuation {
			return maxUnit
		}
		return 255 - 6 - v.header()
	case a != nil && a.Type == LongExtended:
		return maxUnit
	case a != nil && a.Type == Extended:
		if at.depth > 2 {
			return 252 - 5
		}
		return 252
	}
	return 253
}

// sub adds a sub-attribute to the TLV that is open, or to a new one. A new one
// begins where another place begins, where a sub-attribute occurs again, and
// where the open one is full.
func (w *encoder) sub(at place, oid OID, value []byte) error {
	u := &w.unit
	inner, leaf := oid[at.depth:len(oid)-1], oid[len(oid)-1]
	if len(value) > 253 {
		return tooLong(len(value), 253)
	}
	if u.open && u.at == at && u.fit(inner, leaf, len(value), w.limit(at)) {
		u.add(inner, leaf, value)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	u.begin(at)
	if !u.fit(inner, leaf, len(value), w.limit(at)) {
		u.open = false
		return tooLong(len(value), w.limit(at)-2*(len(inner)+1))
	}
	u.add(inner, leaf, value)
	return nil
}

func (w *encoder) flush() error {
	if !w.unit.open {
		return nil
	}
	w.unit.open = false
	return w.emit(w.unit.at, w.unit.value, false)
}

func (u *tlvUnit) begin(at place) {
	u.at, u.open = at, true
	u.path, u.value = u.path[:0], u.value[:0]
	u.level[0] = tlvLevel{}
}

// shared is how many of the open TLVs the sub-attribute can go into.
func (u *tlvUnit) shared(inner []uint32, leaf uint32) int {
	n := 0
	for n < len(inner) && n < len(u.path) && inner[n] == u.path[n] {
		n++
	}
	if n > 0 && n == len(inner) && u.level[n].has(leaf) {
		n-- // again in the same TLV: this is the next one of that kind
	}
	return n
}

// fit reports whether the sub-attribute can be added to the unit.
func (u *tlvUnit) fit(inner []uint32, leaf uint32, size, limit int) bool {
	if len(inner) == 0 && u.level[0].has(leaf) {
		return false
	}
	n := u.shared(inner, leaf)
	grow := 2 + size + 2*(len(inner)-n)
	if len(u.value)+grow > limit {
		return false
	}
	for i := 1; i <= n; i++ {
		if len(u.value)-u.level[i].length+1+grow > 255 {
			return false
		}
	}
	return 2*(len(inner)-n)+2+size <= 255
}

func (u *tlvUnit) add(inner []uint32, leaf uint32, value []byte) {
	n := u.shared(inner, leaf)
	u.path = append(u.path[:n], inner[n:]...)
	for i, number := range inner[n:] {
		u.value = append(u.value, byte(number), 2)
		u.level[n+i+1] = tlvLevel{length: len(u.value) - 1}
	}
	u.value = append(u.value, byte(leaf), byte(2+len(value)))
	u.value = append(u.value, value...)
	u.level[len(inner)].add(leaf)
	for i := range inner {
		at := u.level[i+1].length
		u.value[at] = byte(len(u.value) - at + 1)
	}
}

// Clone copies a pair with its value.
func (p Pair) Clone() Pair {
	p.Value = slices.Clone(p.Value)
	return p
}
