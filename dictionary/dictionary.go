package dictionary

import (
	"cmp"
	"embed"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed tables
var tables embed.FS

// Dictionary is a set of attributes and vendors. It does not change once it
// is loaded and is safe for concurrent use.
type Dictionary struct {
	byName      map[string]*Attribute // by lower-case name
	byKey       map[key]*Attribute
	standard    [256]*Attribute // the same for standard attributes
	unknown     [256]*Attribute // Attr-0 to Attr-255
	attributes  []*Attribute    // in order of definition
	vendors     map[uint32]*Vendor
	vendorNames map[string]*Vendor // by lower-case name
}

// key finds an attribute by number: parent is the enclosing TLV, extended or
// EVS attribute, vendor is set for vendor attributes directly inside of
// Vendor-Specific (parent nil) or of an EVS attribute.
type key struct {
	parent *Attribute
	vendor uint32
	number uint32
}

// key is where an attribute is filed.
func (a *Attribute) key() key {
	k := key{parent: a.Parent, number: a.Number()}
	if a.Vendor != nil && (a.Parent == nil || a.Parent.Type == EVS) {
		k.vendor = a.Vendor.ID
	}
	return k
}

var loadEmbedded = sync.OnceValue(func() *Dictionary {
	d, err := parseFS(New(), tables, "tables/dictionary")
	if err != nil {
		panic("dictionary: embedded tables: " + err.Error())
	}
	return d
})

// Embedded is the dictionary that is built in. It is parsed at the first call
// and shared by all callers.
func Embedded() *Dictionary { return loadEmbedded() }

// New is a dictionary without any attribute, for use with WithFiles where the
// embedded one is not wanted.
func New() *Dictionary {
	d := &Dictionary{
		byName:      map[string]*Attribute{},
		byKey:       map[key]*Attribute{},
		vendors:     map[uint32]*Vendor{},
		vendorNames: map[string]*Vendor{},
	}
	for i := range d.unknown {
		d.unknown[i] = &Attribute{
			Name: "Attr-" + strconv.Itoa(i), OID: OID{uint32(i)}, Type: Octets, Unknown: true,
		}
	}
	return d
}

// clone copies everything that loading may change.
func (d *Dictionary) clone() *Dictionary {
	c := &Dictionary{
		byName:      make(map[string]*Attribute, len(d.byName)),
		byKey:       make(map[key]*Attribute, len(d.byKey)),
		unknown:     d.unknown,
		attributes:  make([]*Attribute, len(d.attributes)),
		vendors:     maps.Clone(d.vendors),
		vendorNames: maps.Clone(d.vendorNames),
	}
	copies := make([]Attribute, len(d.attributes))
	enums := map[*enumeration]*enumeration{}
	for i, a := range d.attributes {
		copies[i] = *a
		if e := a.values; e != nil {
			if enums[e] == nil {
				enums[e] = &enumeration{values: slices.Clip(e.values)}
			}
			copies[i].values = enums[e]
		}
		c.attributes[i] = &copies[i]
	}
	of := func(a *Attribute) *Attribute {
		if a == nil {
			return nil
		}
		return c.attributes[a.order]
	}
	for i := range copies {
		copies[i].Parent = of(copies[i].Parent)
	}
	for name, a := range d.byName {
		c.byName[name] = of(a)
	}
	for k, a := range d.byKey {
		c.byKey[key{of(k.parent), k.vendor, k.number}] = of(a)
	}
	for i, a := range d.standard {
		c.standard[i] = of(a)
	}
	return c
}

// ByName finds an attribute by its name, in any case.
func (d *Dictionary) ByName(name string) (*Attribute, bool) {
	var buf [64]byte
	a := d.byName[string(appendLower(buf[:0], name))]
	return a, a != nil
}

// appendLower appends s with ASCII letters in lower case.
func appendLower(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

func lower(s string) string { return strings.ToLower(s) }

// ByType finds an attribute of the standard space.
func (d *Dictionary) ByType(t uint8) (*Attribute, bool) {
	a := d.standard[t]
	return a, a != nil
}

// ByVendor finds an attribute of a vendor by its number inside of
// Vendor-Specific.
func (d *Dictionary) ByVendor(vendor, t uint32) (*Attribute, bool) {
	if vendor == 0 {
		return nil, false
	}
	a := d.byKey[key{nil, vendor, t}]
	return a, a != nil
}

// VendorByName finds a vendor by its name, in any case.
func (d *Dictionary) VendorByName(name string) (*Vendor, bool) {
	v := d.vendorNames[lower(name)]
	return v, v != nil
}

// VendorByID finds a vendor by its Private Enterprise Code.
func (d *Dictionary) VendorByID(id uint32) (*Vendor, bool) {
	v := d.vendors[id]
	return v, v != nil
}

// Attributes yields all attributes in the order of their definition.
func (d *Dictionary) Attributes() iter.Seq[*Attribute] { return slices.Values(d.attributes) }

// Vendors yields all vendors by name.
func (d *Dictionary) Vendors() iter.Seq[*Vendor] {
	v := slices.SortedFunc(maps.Values(d.vendors), func(a, b *Vendor) int {
		return cmp.Or(strings.Compare(lower(a.Name), lower(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	return slices.Values(v)
}

// maxOID bounds the nesting of TLVs.
const maxOID = 16

// Resolve finds an attribute by name, by OID ("26.9.1") or in the form
// "Attr-26.9.1". A number that is not in the dictionary, and every Attr-…
// form, gives an attribute of type octets, so that anything can be sent.
// An unknown name is an error that lists names like it.
func (d *Dictionary) Resolve(name string) (*Attribute, error) {
	if a, ok := d.ByName(name); ok {
		return a, nil
	}
	raw := len(name) > 5 && strings.EqualFold(name[:5], "Attr-")
	text := name
	if raw {
		text = name[5:]
	}
	if text != "" && text[0] >= '0' && text[0] <= '9' {
		oid, err := parseOID(text)
		if err == nil {
			return d.byOID(name, oid, raw)
		}
		if raw {
			return nil, fmt.Errorf("attribute %q: %w", name, err)
		}
	}
	if near := d.near(name); len(near) > 0 {
		return nil, fmt.Errorf("unknown attribute %q, did you mean %s?", name, strings.Join(near, ", "))
	}
	return nil, fmt.Errorf("unknown attribute %q", name)
}

func (d *Dictionary) byOID(name string, oid OID, raw bool) (*Attribute, error) {
	if oid[0] > 255 {
		if a := d.byKey[key{number: oid[0]}]; a != nil && len(oid) == 1 && !raw {
			return a, nil
		}
		return nil, fmt.Errorf("attribute %q: the first number is at most 255", name)
	}
	a := d.find(oid)
	if a == nil || raw {
		a = d.rawAttribute(oid)
	}
	for i, n := range oid[1:] {
		limit := uint32(255)
		switch {
		case d.vendorAt(oid, i+1):
			limit = 1<<32 - 1
		case d.isVSA(oid) && i == 1:
			if v := d.vendors[oid[1]]; v != nil && v.TypeSize > 1 {
				limit = 1<<32 - 1
				if v.TypeSize == 2 {
					limit = 1<<16 - 1
				}
			}
		}
		if n > limit {
			return nil, fmt.Errorf("attribute %q: number %d is above %d", name, n, limit)
		}
	}
	return a, nil
}

// isVSA reports whether an OID is inside of Vendor-Specific.
func (d *Dictionary) isVSA(oid OID) bool {
	return oid[0] == 26 || d.standard[oid[0]] != nil && d.standard[oid[0]].Type == VSA
}

// isEVS reports whether the first two numbers of an OID name an Extended-Vendor-Specific attribute.
func (d *Dictionary) isEVS(oid OID) bool {
	if len(oid) < 2 || oid[0] > 255 {
		return false
	}
	a := d.standard[oid[0]]
	if a == nil || a.Type != Extended && a.Type != LongExtended {
		return false
	}
	evs := d.byKey[key{parent: a, number: oid[1]}]
	return evs != nil && evs.Type == EVS
}

// vendorAt reports whether oid[i] is a vendor's number.
func (d *Dictionary) vendorAt(oid OID, i int) bool {
	return i == 1 && d.isVSA(oid) || i == 2 && d.isEVS(oid)
}

// find gives the attribute with a number, or nil.
func (d *Dictionary) find(oid OID) *Attribute {
	k := key{}
	rest := oid
	if oid[0] <= 255 && d.isVSA(oid) && len(oid) > 1 {
		if len(oid) == 2 {
			return nil
		}
		k.vendor, rest = oid[1], oid[2:]
	}
	var a *Attribute
	for len(rest) > 0 {
		if a != nil && a.Type == EVS {
			if len(rest) == 1 {
				return nil
			}
			k.vendor, rest = rest[0], rest[1:]
		}
		k.number = rest[0]
		if a = d.byKey[k]; a == nil {
			return nil
		}
		k = key{parent: a}
		rest = rest[1:]
	}
	return a
}

// rawAttribute makes the Attr-… form of a number.
func (d *Dictionary) rawAttribute(oid OID) *Attribute {
	if len(oid) == 1 && oid[0] <= 255 {
		return d.unknown[oid[0]]
	}
	a := &Attribute{
		Name: string(oid.appendTo(append(make([]byte, 0, 24), "Attr-"...))),
		OID:  oid, Type: Octets, Unknown: true,
	}
	switch {
	case d.isVSA(oid):
		a.Vendor = d.vendors[oid[1]]
	case len(oid) > 2 && d.isEVS(oid):
		a.Vendor = d.vendors[oid[2]]
	}
	return a
}

// parseOID reads numbers separated by dots; each may be decimal or 0x hexadecimal.
func parseOID(text string) (OID, error) {
	oid := make(OID, 0, strings.Count(text, ".")+1)
	if cap(oid) > maxOID {
		return nil, fmt.Errorf("number %q is nested deeper than %d", text, maxOID)
	}
	for p := range strings.SplitSeq(text, ".") {
		n, err := parseNumber(p, 32)
		if err != nil {
			return nil, fmt.Errorf("number %q: %w", text, err)
		}
		oid = append(oid, uint32(n))
	}
	return oid, nil
}

// parseNumber reads a decimal or 0x hexadecimal number of at most the given number of bits.
func parseNumber(text string, bits int) (uint64, error) {
	digits, base := text, 10
	if len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X") {
		digits, base = text[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	if bits < 64 && n >= 1<<bits {
		return 0, fmt.Errorf("%s is above %d", text, uint64(1)<<bits-1)
	}
	return n, nil
}
