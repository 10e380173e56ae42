package aaa

import (
	"bytes"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"radiusd/dictionary"
	"radiusd/radius"
)

// check is a check item that compares: it holds if any instance of its attribute
// in the request satisfies it. Like FreeRADIUS, an absent attribute satisfies
// only !*.
type check struct {
	item   *Item
	attr   *dictionary.Attribute
	want   []byte         // in wire form
	number uint64         // of want, where order matters
	prefix *netip.Prefix  // an address compared with a prefix; else nil
	regex  *regexp.Regexp // =~ and !~
	source checkSource
	op     dictionary.Op
	tag    uint8
	reason Reason
}

// checkSource says where a check finds the values it compares.
type checkSource uint8

const (
	fromStandard   checkSource = iota // a standard attribute
	fromVendor                        // an attribute in a plain Vendor-Specific
	fromDictionary                    // anything else in the packet
	fromNASName                       // the directory's name of the NAS
	fromNASAddr                       // NAS-IP-Address if sent, else the source
	fromSource                        // the source address of the packet
)

// query is what checks look at.
type query struct {
	attributes radius.Attributes
	nas        *NAS
	source     netip.Addr
	dict       *dictionary.Dictionary
	pairs      []dictionary.Pair // attributes as pairs, once somebody needs them
	parsed     bool
}

// compileCheck makes a check of an item that sets no control attribute. It
// returns nil for := and +=, which set and do not compare, as in FreeRADIUS.
func compileCheck(dict *dictionary.Dictionary, item *Item) (*check, error) {
	op, err := dictionary.ParseOp(strings.TrimSpace(item.Op))
	if err != nil {
		return nil, err
	}
	if op == dictionary.OpEq {
		op = dictionary.OpCmpEq // as FreeRADIUS takes it
	}
	c := &check{item: item, op: op, reason: ReasonCheckFailed}
	text := item.Value
	prefixed := strings.Contains(text, "/") && op != dictionary.OpReMatch && op != dictionary.OpReNotMatch
	pair, err := dict.ParsePair(item.Attribute, op.String(), text)
	if err != nil && prefixed {
		// An address compared with a prefix is no value of its type.
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(strings.Trim(strings.TrimSpace(text), `"'`))
		c.prefix = &prefix
		if err == nil {
			pair, err = dict.ParsePair(item.Attribute, dictionary.OpAny.String(), "")
		}
		if err == nil && pair.Attr.Type != dictionary.IPAddr && pair.Attr.Type != dictionary.IPv6Addr && pair.Attr.Type != dictionary.ComboIP {
			err = fmt.Errorf("%s is not an address", pair.Attr.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	c.attr, c.tag, c.want = pair.Attr, pair.Tag, pair.Value
	if c.attr.Secret || c.attr.Encrypt != dictionary.EncryptNone || isCredentialAttribute(c.attr) {
		return nil, fmt.Errorf("passwords are not compared by items: set the user's credential")
	}
	if op == dictionary.OpSet || op == dictionary.OpAdd {
		return nil, nil
	}
	if err := c.place(); err != nil {
		return nil, err
	}
	return c, c.prepare()
}

// isCredentialAttribute reports whether the request's values of an attribute are
// secret although the dictionary does not hide them.
func isCredentialAttribute(a *dictionary.Attribute) bool {
	switch a.Name {
	case "User-Password", "CHAP-Password", "MS-CHAP-Response", "MS-CHAP2-Response", "Password":
		return true
	}
	return strings.HasSuffix(a.Name, "-Password") && a.Internal
}

// place decides where the values come from, and what refusal a failure means.
func (c *check) place() error {
	switch c.attr.Name {
	case "Huntgroup-Name", "Client-Shortname", "NAS-Name":
		c.source, c.reason = fromNASName, ReasonNASNotAllowed
		return nil
	case "Packet-Src-IP-Address", "Packet-Src-IPv6-Address", "Client-IP-Address":
		c.source, c.reason = fromSource, ReasonNASNotAllowed
		return nil
	case "NAS-IP-Address", "NAS-IPv6-Address":
		c.source, c.reason = fromNASAddr, ReasonNASNotAllowed
		return nil
	case "NAS-Identifier":
		c.reason = ReasonNASNotAllowed
	case "Calling-Station-Id":
		c.reason = ReasonStationNotAllowed
	}
	if c.attr.Internal {
		return fmt.Errorf("%s is not in a request and not known as a control item", c.attr.Name)
	}
	oid, vendor := c.attr.OID, c.attr.Vendor
	switch {
	case c.attr.Tagged || c.attr.Concat || c.attr.Array:
		c.source = fromDictionary
	case len(oid) == 1:
		c.source = fromStandard
	case len(oid) == 3 && oid[0] == uint32(radius.TypeVendorSpecific) &&
		vendor != nil && vendor.TypeSize == 1 && vendor.LengthSize == 1 && !vendor.Continuation:
		c.source = fromVendor
	default:
		c.source = fromDictionary
	}
	return nil
}

// prepare checks that the operator suits the type.
func (c *check) prepare() error {
	switch c.op {
	case dictionary.OpReMatch, dictionary.OpReNotMatch:
		regex, err := regexp.Compile(string(c.want))
		if err != nil {
			return fmt.Errorf("regular expression: %w", err)
		}
		c.regex = regex
	case dictionary.OpLt, dictionary.OpGt, dictionary.OpLe, dictionary.OpGe:
		if c.prefix != nil {
			return fmt.Errorf("operator %s does not compare with a prefix", c.op)
		}
		switch c.attr.Type {
		case dictionary.IPAddr, dictionary.IPv6Addr, dictionary.ComboIP:
			return nil
		}
		number, ok := c.attr.Uint(c.want)
		if !ok {
			return fmt.Errorf("operator %s needs a number: %s is of type %s", c.op, c.attr.Name, c.attr.Type)
		}
		c.number = c.ordered(number)
	}
	return nil
}

// ordered maps a number so that unsigned order is the order of the type.
func (c *check) ordered(n uint64) uint64 {
	if c.attr.Type == dictionary.Signed {
		return uint64(int64(int32(n))) ^ 1<<63
	}
	return n
}

// holds reports whether the request satisfies the check.
func (c *check) holds(q *query) bool {
	found, satisfied := false, false
	c.values(q, func(value []byte) bool {
		found = true
		satisfied = c.op != dictionary.OpAny && c.op != dictionary.OpNone && c.compare(value)
		return !satisfied
	})
	switch c.op {
	case dictionary.OpAny:
		return found
	case dictionary.OpNone:
		return !found
	}
	return satisfied
}

// values calls fn for each value of the attribute until it returns false.
func (c *check) values(q *query, fn func(value []byte) bool) {
	switch c.source {
	case fromStandard:
		for t, value := range q.attributes.All() {
			if uint32(t) == c.attr.OID[0] && !fn(value) {
				return
			}
		}
	case fromVendor:
		for t, value := range q.attributes.AllVendor(c.attr.OID[1]) {
			if uint32(t) == c.attr.OID[2] && !fn(value) {
				return
			}
		}
	case fromNASName:
		if q.nas != nil {
			fn([]byte(q.nas.Name))
		}
	case fromSource:
		fn(q.source.AsSlice())
	case fromNASAddr:
		if value, ok := q.attributes.Get(radius.Type(c.attr.OID[0])); ok {
			fn(value)
		} else if q.source.Is4() == (c.attr.Type == dictionary.IPAddr) {
			fn(q.source.AsSlice())
		}
	case fromDictionary:
		if !q.parsed {
			// A malformed list has not come this far; what does not parse is
			// found under another name.
			q.pairs, _ = q.dict.ParseWire(q.attributes, nil)
			q.parsed = true
		}
		for _, pair := range q.pairs {
			if pair.Attr == c.attr && (c.tag == 0 || pair.Tag == c.tag) && !fn(pair.Value) {
				return
			}
		}
	}
}

// compare reports whether one value satisfies the check.
func (c *check) compare(value []byte) bool {
	switch c.op {
	case dictionary.OpCmpEq:
		return c.equal(value)
	case dictionary.OpNe:
		return !c.equal(value)
	case dictionary.OpReMatch:
		return c.match(value)
	case dictionary.OpReNotMatch:
		return !c.match(value)
	}
	var order int
	if number, ok := c.attr.Uint(value); ok {
		number = c.ordered(number)
		switch {
		case number < c.number:
			order = -1
		case number > c.number:
			order = 1
		}
	} else if len(value) != len(c.want) {
		return false // of wrong length: no number and no address
	} else {
		order = bytes.Compare(value, c.want)
	}
	switch c.op {
	case dictionary.OpLt:
		return order < 0
	case dictionary.OpGt:
		return order > 0
	case dictionary.OpLe:
		return order <= 0
	case dictionary.OpGe:
		return order >= 0
	}
	return false
}

func (c *check) equal(value []byte) bool {
	switch {
	case c.prefix != nil:
		addr, ok := netip.AddrFromSlice(value)
		return ok && c.prefix.Contains(addr)
	case c.source == fromStandard && (c.attr.OID[0] == uint32(radius.TypeCallingStationID) || c.attr.OID[0] == uint32(radius.TypeCalledStationID)):
		return sameStation(value, c.want)
	}
	return bytes.Equal(value, c.want)
}

func (c *check) match(value []byte) bool {
	if c.attr.Type == dictionary.String {
		return c.regex.Match(value)
	}
	return c.regex.MatchString(c.attr.FormatValue(value))
}
