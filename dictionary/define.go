package dictionary

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// attribute defines one: ATTRIBUTE name number type [flags].
func (l *loader) attribute(s *scope, f []string) {
	a := &Attribute{Name: strings.Clone(f[1])}
	if !validName(a.Name) {
		l.fail(s, "ATTRIBUTE %q: not a valid name", a.Name)
		return
	}
	if err := a.parseType(f[3]); err != nil {
		l.fail(s, "ATTRIBUTE %s: %w", a.Name, err)
		return
	}
	vendor := s.vendor
	for _, item := range f[4:] {
		for flag := range strings.SplitSeq(item, ",") {
			if v := l.d.vendorNames[lower(flag)]; v != nil && s.vendor == nil && len(s.tlvs) == 0 {
				vendor = v
			} else if err := a.parseFlag(flag); err != nil {
				l.fail(s, "ATTRIBUTE %s: %w", a.Name, err)
				return
			}
		}
	}
	if err := a.checkFlags(); err != nil {
		l.fail(s, "ATTRIBUTE %s: %w", a.Name, err)
		return
	}
	oid, err := parseOID(f[2])
	if err != nil {
		l.fail(s, "ATTRIBUTE %s: %w", a.Name, err)
		return
	}
	k, err := l.place(s, a, vendor, oid)
	if err != nil {
		l.fail(s, "ATTRIBUTE %s: %w", a.Name, err)
		return
	}
	if err := l.define(s, a, k); err != nil {
		l.fail(s, "%w", err)
	}
}

func (a *Attribute) parseType(text string) error {
	name := text
	if base, size, ok := strings.Cut(text, "["); ok {
		n, err := strconv.ParseUint(strings.TrimSuffix(size, "]"), 10, 8)
		if err != nil || n == 0 || n > 253 || !strings.HasSuffix(size, "]") || !strings.EqualFold(base, "octets") {
			return fmt.Errorf("type %q: only octets takes a length, from 1 to 253", text)
		}
		name, a.Size = base, int(n)
	}
	t, ok := typeByName(name)
	if !ok {
		return fmt.Errorf("unknown type %q", text)
	}
	a.Type = t
	return nil
}

func (a *Attribute) parseFlag(flag string) error {
	name, value, _ := strings.Cut(strings.ToLower(flag), "=")
	switch name {
	case "":
	case "has_tag":
		a.Tagged = true
	case "encrypt":
		switch value {
		case "1", "user-password":
			a.Encrypt = EncryptUser
		case "2", "tunnel-password":
			a.Encrypt = EncryptTunnel
		case "3", "ascend-secret":
			a.Encrypt = EncryptAscend
		case "0":
		default:
			return fmt.Errorf("encrypt=%s is not 1, 2 or 3", value)
		}
	case "array":
		a.Array = true
	case "concat":
		a.Concat = true
	case "secret":
		a.Secret = true
	case "virtual", "internal":
		a.Internal = true
	case "weak": // our own: a later file may give the name to another number
		a.weak = true
	default:
		return fmt.Errorf("unknown flag %q", flag)
	}
	return nil
}

func (a *Attribute) checkFlags() error {
	switch {
	case a.Tagged && a.Type != Integer && a.Type != String && a.Type != Octets:
		return fmt.Errorf("has_tag is for integer, string and octets, not %s", a.Type)
	case a.Tagged && (a.Array || a.Concat || a.Size > 0):
		return errors.New("has_tag does not go with array, concat or a fixed length")
	case a.Tagged && a.Type == Integer && a.Encrypt != EncryptNone:
		return errors.New("a tagged integer cannot be encrypted")
	case a.Encrypt != EncryptNone && (a.Type.container() || a.Array || a.Concat):
		return errors.New("encrypt does not go with array, concat or types that hold attributes")
	case a.Concat && a.Type != Octets && a.Type != String:
		return fmt.Errorf("concat is for octets and string, not %s", a.Type)
	}
	return nil
}

// place sets OID, vendor and parent of an attribute from its number and what
// surrounds the line, and gives the key to file it under.
func (l *loader) place(s *scope, a *Attribute, vendor *Vendor, oid OID) (key, error) {
	k := key{}
	switch {
	case len(s.tlvs) > 0:
		k.parent = s.tlvs[len(s.tlvs)-1]
	case vendor != nil:
		k.parent, k.vendor = s.evs, vendor.ID
	case len(oid) > 1 && oid[0] == 26:
		vendor = l.d.vendors[oid[1]]
		if len(oid) < 3 || vendor == nil {
			return k, fmt.Errorf("number %s: 26 is followed by a known vendor and its number", oid)
		}
		k.vendor, oid = vendor.ID, oid[2:]
	}
	for len(oid) > 1 || k.parent != nil && k.parent.Type == EVS && k.vendor == 0 {
		if k.parent != nil && k.parent.Type == EVS && k.vendor == 0 {
			v := l.d.vendors[oid[0]]
			if v == nil || len(oid) < 2 {
				return k, fmt.Errorf("%d is not a known vendor with a number of its own after it", oid[0])
			}
			k.vendor, vendor, oid = v.ID, v, oid[1:]
			continue
		}
		k.number = oid[0]
		parent := l.d.byKey[k]
		if parent == nil {
			return k, fmt.Errorf("no attribute has the number before the last dot of %s", oid)
		}
		if parent.Type != TLV && parent.Type != Extended && parent.Type != LongExtended && parent.Type != EVS {
			return k, fmt.Errorf("%s is of type %s and cannot hold attributes", parent.Name, parent.Type)
		}
		k = key{parent: parent}
		oid = oid[1:]
	}
	k.number = oid[0]
	a.Parent = k.parent
	if k.parent != nil {
		a.Vendor = k.parent.Vendor
		a.Internal = a.Internal || k.parent.Internal
	}
	if vendor != nil {
		a.Vendor = vendor
	}
	switch {
	case k.parent != nil:
		a.OID = slices.Clone(k.parent.OID)
		if k.vendor != 0 {
			a.OID = append(a.OID, k.vendor)
		}
	case k.vendor != 0:
		a.OID = OID{26, k.vendor}
	}
	a.OID = slices.Clip(append(a.OID, k.number))
	if len(a.OID) > maxOID {
		return k, fmt.Errorf("nested deeper than %d", maxOID)
	}
	return k, a.checkPlace(k)
}

func (a *Attribute) checkPlace(k key) error {
	top := k.parent == nil && k.vendor == 0
	limit := uint64(255)
	switch {
	case top:
		limit = 1<<32 - 1 // above 255: internal
		if k.number == 0 {
			return errors.New("number 0 is not valid")
		}
		a.Internal = a.Internal || k.number > 255
	case k.parent == nil:
		limit = 1<<(8*a.Vendor.TypeSize) - 1
	}
	if uint64(k.number) > limit {
		return fmt.Errorf("number %d is above %d", k.number, limit)
	}
	switch a.Type {
	case Extended, LongExtended, VSA:
		if !top {
			return fmt.Errorf("type %s is for standard attributes only", a.Type)
		}
	case EVS:
		if k.vendor != 0 || k.parent == nil || k.parent.Type != Extended && k.parent.Type != LongExtended {
			return errors.New("type evs is for extended attributes only")
		}
	}
	return nil
}

// define files an attribute. A name keeps its number, unless it is an internal
// one, whose number has no meaning outside of this server.
func (l *loader) define(s *scope, a *Attribute, k key) error {
	d := l.d
	name := lower(a.Name)
	if old := d.byName[name]; old != nil {
		internal := old.Internal && a.Internal && old.Parent == nil && k.parent == nil && k.vendor == 0
		switch {
		case slices.Equal(old.OID, a.OID):
			if old.Type.container() && old.Type != a.Type && l.hasChildren(old) {
				return fmt.Errorf("ATTRIBUTE %s is of type %s and holds attributes, now %s", a.Name, old.Type, a.Type)
			}
		case old.weak && !a.weak, internal:
			if d.byKey[old.key()] == old {
				delete(d.byKey, old.key())
			}
			if n := old.OID[0]; len(old.OID) == 1 && n <= 255 && d.standard[n] == old {
				d.standard[n] = nil
			}
		default:
			return fmt.Errorf("ATTRIBUTE %s has number %s already, now %s", a.Name, old.OID, a.OID)
		}
		if a.Type.number() {
			a.values = old.values
		}
		a.order = old.order
		*old = *a // whoever points to it goes on doing so
		a = old
	} else {
		a.order = len(d.attributes)
		d.attributes = append(d.attributes, a)
		d.byName[name] = a
	}
	if other := d.byKey[k]; other != nil && other != a {
		if other.Type.container() && other.Type != a.Type {
			l.taken = append(l.taken, taken{*s, k, a, other})
		}
		if a.weak && !other.weak {
			return nil // an old name does not take the number over
		}
		if a.values == nil && other.Type == a.Type {
			a.values = other.values
		}
	}
	d.byKey[k] = a
	if k.parent == nil && k.vendor == 0 && k.number <= 255 {
		d.standard[k.number] = a
	}
	return nil
}

func (l *loader) hasChildren(a *Attribute) bool {
	for _, b := range l.d.attributes {
		if b.Parent == a {
			return true
		}
	}
	return false
}

// checkTaken reports attributes that stand in the place of one that holds
// attributes. It is done at the end: FreeRADIUS's own files do so with old
// names, and let later names have the numbers back.
func (l *loader) checkTaken() {
	for _, t := range l.taken {
		if l.d.byKey[t.key] == t.by && l.hasChildren(t.from) {
			l.fail(&t.at, "ATTRIBUTE %s: number %s is %s, which holds attributes", t.by.Name, t.by.OID, t.from.Name)
		}
	}
}

// value keeps one: VALUE attribute name number.
func (l *loader) value(s *scope, f []string) {
	n, err := parseNumber(f[3], 64)
	if err != nil {
		if i, err2 := strconv.ParseInt(f[3], 10, 32); err2 == nil {
			n, err = uint64(uint32(i)), nil // of a signed attribute
		}
	}
	if err != nil {
		l.fail(s, "VALUE %s %s: %w", f[1], f[2], err)
		return
	}
	_, known := l.d.ByName(f[1])
	l.values = append(l.values, valueLine{s.file, s.line, f[1], Value{strings.Clone(f[2]), n}, !known})
}

// finish adds the values to their attributes.
func (l *loader) finish() (*Dictionary, error) {
	l.checkTaken()
	type pending struct {
		attr  *Attribute
		lines []*valueLine
	}
	var attrs []*pending
	byEnum := map[*enumeration]*pending{}
	for i := range l.values {
		v := &l.values[i]
		at := &scope{file: v.file, line: v.line}
		a, ok := l.d.ByName(v.attr)
		if !ok {
			l.fail(at, "VALUE %s %s: unknown attribute", v.attr, v.value.Name)
			continue
		}
		if a.Type == Octets {
			continue // FreeRADIUS takes these, for CableLabs, and makes no use of them
		}
		if !a.Type.number() {
			l.fail(at, "VALUE %s %s: the attribute is of type %s, not a number", a.Name, v.value.Name, a.Type)
			continue
		}
		if size := a.Type.size(); size < 8 && v.value.Number >= 1<<(8*size) {
			l.fail(at, "VALUE %s %s: %d does not fit type %s", a.Name, v.value.Name, v.value.Number, a.Type)
			continue
		}
		l.shareValues(a)
		p := byEnum[a.values]
		if p == nil {
			p = &pending{attr: a}
			byEnum[a.values] = p
			attrs = append(attrs, p)
		}
		p.lines = append(p.lines, v)
	}
	names := map[string]uint64{}
	for _, p := range attrs {
		clear(names)
		l.addValues(p.attr, p.lines, names)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	l.d.attributes = slices.Clip(l.d.attributes)
	return l.d, nil
}

// shareValues gives an attribute an enumeration, that of its number if the
// attribute has several names.
func (l *loader) shareValues(a *Attribute) {
	if a.values != nil {
		return
	}
	main := l.d.byKey[a.key()]
	if main != nil && main != a && main.Type == a.Type {
		if main.values == nil {
			main.values = &enumeration{}
		}
		a.values = main.values
		return
	}
	a.values = &enumeration{}
}

// addValues merges lines into an attribute's enumeration. Of several names for
// one number the last is preferred, but one that stood before its attribute is
// an old name and comes after those, as in FreeRADIUS.
func (l *loader) addValues(a *Attribute, lines []*valueLine, names map[string]uint64) {
	e := a.values
	for _, v := range e.values {
		names[lower(v.Name)] = v.Number
	}
	var fresh, early []Value
	for _, v := range lines {
		name := lower(v.value.Name)
		if n, ok := names[name]; ok && n != v.value.Number {
			l.fail(&scope{file: v.file, line: v.line}, "VALUE %s %s is %d already, now %d",
				a.Name, v.value.Name, n, v.value.Number)
			continue
		}
		names[name] = v.value.Number
		if v.early {
			early = append(early, v.value)
		} else {
			fresh = append(fresh, v.value)
		}
	}
	slices.Reverse(fresh)
	merged := make([]Value, 0, len(e.values)+len(lines))
	for _, values := range [][]Value{fresh, e.values, early} {
		for _, v := range values {
			name := lower(v.Name)
			if _, ok := names[name]; ok {
				delete(names, name) // taken once
				merged = append(merged, v)
			}
		}
	}
	slices.SortStableFunc(merged, func(a, b Value) int { return cmp.Compare(a.Number, b.Number) })
	e.values = slices.Clip(merged)
}
