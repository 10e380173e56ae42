package dictionary

import (
	"sort"
	"strconv"
	"strings"
)

// OID is the path of an attribute's number: 1 for User-Name, 26.9.1 for the
// first attribute of vendor 9, 241.1 for an extended attribute (RFC 6929
// section 2.7), 245.26.11344.1 for an extended vendor-specific one; further
// numbers name sub-attributes of TLVs. Callers must not change it.
type OID []uint32

// String gives the dotted form, such as "26.9.1".
func (o OID) String() string { return string(o.appendTo(nil)) }

func (o OID) appendTo(b []byte) []byte {
	for i, n := range o {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return b
}

// DataType is the data type of an attribute's value (RFC 8044 section 3, and
// the types of FreeRADIUS's dictionaries that came before it).
type DataType uint8

// The data types. ABinary (Ascend's filters) is handled as octets.
const (
	String DataType = iota + 1
	Octets
	Integer
	Signed
	Integer64
	Date
	IPAddr
	IPv6Addr
	IPv4Prefix
	IPv6Prefix
	ComboIP
	IfID
	Ether
	Byte
	Short
	ABinary
	TLV
	Extended
	LongExtended
	EVS
	VSA
)

var typeNames = [...]string{
	String: "string", Octets: "octets", Integer: "integer", Signed: "signed",
	Integer64: "integer64", Date: "date", IPAddr: "ipaddr", IPv6Addr: "ipv6addr",
	IPv4Prefix: "ipv4prefix", IPv6Prefix: "ipv6prefix", ComboIP: "combo-ip",
	IfID: "ifid", Ether: "ether", Byte: "byte", Short: "short", ABinary: "abinary",
	TLV: "tlv", Extended: "extended", LongExtended: "long-extended", EVS: "evs", VSA: "vsa",
}

// String gives the name used in dictionary files.
func (t DataType) String() string {
	if int(t) < len(typeNames) && t > 0 {
		return typeNames[t]
	}
	return "type(" + strconv.Itoa(int(t)) + ")"
}

// typeByName knows the names of FreeRADIUS 3 and those of RFC 8044 and
// FreeRADIUS 4 that mean the same.
func typeByName(name string) (DataType, bool) {
	name = strings.ToLower(name)
	for t, n := range typeNames {
		if n == name && t > 0 {
			return DataType(t), true
		}
	}
	switch name {
	case "text":
		return String, true
	case "uint32", "enum":
		return Integer, true
	case "uint8":
		return Byte, true
	case "uint16":
		return Short, true
	case "uint64":
		return Integer64, true
	case "int32":
		return Signed, true
	case "time":
		return Date, true
	case "ipv4addr":
		return IPAddr, true
	case "combo-address":
		return ComboIP, true
	case "ethernet":
		return Ether, true
	}
	return 0, false
}

// size is the number of octets of types whose values all have the same length, else 0.
func (t DataType) size() int {
	switch t {
	case Integer, Signed, Date, IPAddr:
		return 4
	case Integer64, IfID:
		return 8
	case IPv6Addr:
		return 16
	case IPv4Prefix, Ether:
		return 6
	case Byte:
		return 1
	case Short:
		return 2
	}
	return 0
}

// container reports whether values of the type hold further attributes.
func (t DataType) container() bool { return t >= TLV }

// number reports whether values of the type are numbers, which VALUE lines may name.
func (t DataType) number() bool {
	switch t {
	case Integer, Signed, Integer64, Byte, Short, Date:
		return true
	}
	return false
}

// Encryption says how an attribute's value is hidden in a packet.
type Encryption uint8

// The encryptions, numbered as dictionary files do (encrypt=1, 2, 3).
const (
	EncryptNone   Encryption = iota
	EncryptUser              // User-Password, RFC 2865 section 5.2
	EncryptTunnel            // Tunnel-Password with a salt, RFC 2868 section 3.5
	EncryptAscend            // Ascend-Send-Secret
)

// Vendor is a vendor and the format of its attributes inside of
// Vendor-Specific (RFC 2865 section 5.26). It does not change.
type Vendor struct {
	Name         string
	ID           uint32 // SMI Network Management Private Enterprise Code
	TypeSize     int    // octets of the vendor type: 1, 2 or 4
	LengthSize   int    // octets of the vendor length: 0, 1 or 2; 0 means the value goes to the end
	Continuation bool   // a continuation octet follows the length (WiMAX)
}

// header is the number of octets before a value of this vendor inside of the VSA.
func (v *Vendor) header() int {
	n := v.TypeSize + v.LengthSize
	if v.Continuation {
		n++
	}
	return n
}

// Attribute is one entry of a dictionary. It does not change after the
// dictionary is loaded; callers must not change it either.
type Attribute struct {
	Name    string
	OID     OID
	Vendor  *Vendor    // nil for attributes of the standard space
	Parent  *Attribute // the enclosing TLV, extended or EVS attribute, if any
	Type    DataType
	Size    int // for octets[n] the exact length, else 0
	Encrypt Encryption

	Tagged   bool // a tag groups it with others, RFC 2868 section 3
	Internal bool // known to servers only, never in a packet
	Array    bool // one attribute may hold several values, if of a type of fixed length
	Concat   bool // values longer than one attribute are split over several (EAP-Message)
	Secret   bool // not to be shown in logs
	Unknown  bool // not in the dictionary: named Attr-… after its number, type octets

	values *enumeration
	order  int  // position in the dictionary
	weak   bool // a file may give the name to another number
}

// String gives the name.
func (a *Attribute) String() string { return a.Name }

// Number is the last number of the OID.
func (a *Attribute) Number() uint32 { return a.OID[len(a.OID)-1] }

// Value is one enumerated value of an attribute.
type Value struct {
	Name   string
	Number uint64
}

// enumeration holds the values of an attribute and of its aliases, sorted by
// number; of several names for one number the preferred one comes first.
type enumeration struct{ values []Value }

// Values lists the enumerated values by number. Of several names for one
// number the first is the one that ValueName gives. Callers must not change it.
func (a *Attribute) Values() []Value {
	if a.values == nil {
		return nil
	}
	return a.values.values
}

// ValueName is the enumerated name of a number.
func (a *Attribute) ValueName(n uint64) (string, bool) {
	v := a.Values()
	i := sort.Search(len(v), func(i int) bool { return v[i].Number >= n })
	if i < len(v) && v[i].Number == n {
		return v[i].Name, true
	}
	return "", false
}

// ValueByName is the number of an enumerated name, in any case.
func (a *Attribute) ValueByName(name string) (uint64, bool) {
	for _, v := range a.Values() {
		if len(v.Name) == len(name) && strings.EqualFold(v.Name, name) {
			return v.Number, true
		}
	}
	return 0, false
}
