package aaa

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unique"

	"radiusd/dictionary"
	"radiusd/radius"
)

// policy is the items of one user, group or plan, compiled.
type policy struct {
	items    []Item // as stored
	checks   []check
	controls *controls         // nil: none is set
	replies  []dictionary.Pair // with the operators =, := and +=
	last     bool              // Fall-Through = No: no group after this level applies
	err      error             // what did not compile; such a policy refuses
}

// CompileError says which item cannot be used, and why.
type CompileError struct {
	Item Item
	Err  error
}

// Error names the item without its value, which may be a password by mistake.
func (e *CompileError) Error() string {
	return fmt.Sprintf("%s item %s %s: %v", e.Item.Kind, e.Item.Attribute, e.Item.Op, e.Err)
}

// Unwrap returns the cause.
func (e *CompileError) Unwrap() error { return e.Err }

// ValidateItems reports all items that could not be used, joined; each is a
// [*CompileError]. Whoever stores items calls it first: an item that does not
// compile when it reaches a directory refuses its user.
func ValidateItems(dict *dictionary.Dictionary, items []Item) error {
	p := compilePolicy(dict, items)
	return p.err
}

// compilePolicy compiles items. The result always has the items that compile;
// err says what is wrong with the others.
func compilePolicy(dict *dictionary.Dictionary, items []Item) policy {
	p := policy{items: slices.Clone(items)}
	var errs []error
	for i := range p.items {
		item := &p.items[i]
		// The same few names and operators are everywhere.
		item.Attribute, item.Op = unique.Make(item.Attribute).Value(), unique.Make(item.Op).Value()
		var err error
		switch item.Kind {
		case CheckItem:
			err = p.addCheck(dict, item)
		case ReplyItem:
			err = p.addReply(dict, *item)
		default:
			err = fmt.Errorf("unknown kind %d", item.Kind)
		}
		if err != nil {
			errs = append(errs, &CompileError{*item, err})
		}
	}
	p.err = errors.Join(errs...)
	p.checks, p.replies = slices.Clip(p.checks), slices.Clip(p.replies)
	return p
}

func (p *policy) addCheck(dict *dictionary.Dictionary, item *Item) error {
	var c controls
	if p.controls != nil {
		c = *p.controls
	}
	if known, err := c.readControl(dict, *item); known {
		if err == nil {
			p.controls = &c
		}
		return err
	}
	compiled, err := compileCheck(dict, item)
	if compiled == nil || err != nil {
		return err
	}
	p.checks = append(p.checks, *compiled)
	return nil
}

func (p *policy) addReply(dict *dictionary.Dictionary, item Item) error {
	if strings.Contains(item.Value, "%{") {
		// FreeRADIUS would put something else there; the NAS must not get the text.
		return errors.New("expansions such as %{User-Name} are not made in reply items")
	}
	pair, err := dict.ParsePair(item.Attribute, item.Op, item.Value)
	if err != nil {
		return err
	}
	switch pair.Op {
	case dictionary.OpEq, dictionary.OpSet, dictionary.OpAdd:
	case dictionary.OpCmpEq:
		pair.Op = dictionary.OpEq // FreeRADIUS takes it so, with a warning
	default:
		return fmt.Errorf("operator %s does not reply: want =, := or +=", pair.Op)
	}
	if pair.Attr.Name == "Fall-Through" {
		n, _ := pair.Uint()
		p.last = n == 0
		return nil
	}
	if err := replyAllowed(pair.Attr); err != nil {
		return err
	}
	if pair.Attr.Internal {
		return fmt.Errorf("%s never goes into a packet", pair.Attr.Name)
	}
	// What cannot be encoded is found now, not when the user logs in.
	if _, err := dict.AppendWire(nil, []dictionary.Pair{pair}, discardCipher{}); err != nil {
		return err
	}
	p.replies = append(p.replies, pair)
	return nil
}

// replyAllowed refuses attributes that the protocol itself puts into a reply, or
// that have no business in an Access-Accept (RFC 2865 §5.44).
func replyAllowed(a *dictionary.Attribute) error {
	if len(a.OID) == 3 && a.OID[0] == uint32(radius.TypeVendorSpecific) && a.OID[1] == radius.VendorMicrosoft {
		switch a.OID[2] {
		case radius.MSCHAPResponse, radius.MSCHAPError, radius.MSCHAPChallenge, radius.MSCHAPMPPEKeys, radius.MSMPPESendKey, radius.MSMPPERecvKey, radius.MSCHAP2Response, radius.MSCHAP2Success:
			return fmt.Errorf("%s is made by MS-CHAP itself", a.Name)
		}
	}
	if len(a.OID) != 1 {
		return nil
	}
	switch radius.Type(a.OID[0]) {
	case radius.TypeUserPassword, radius.TypeCHAPPassword, radius.TypeCHAPChallenge,
		radius.TypeMessageAuthenticator, radius.TypeProxyState, radius.TypeEAPMessage, radius.TypeState,
		radius.TypeNASIPAddress, radius.TypeNASIdentifier, radius.TypeNASIPv6Address:
		return fmt.Errorf("%s does not belong into an Access-Accept (RFC 2865 section 5.44)", a.Name)
	}
	return nil
}

// discardCipher stands in for a packet's cipher when an item is tried out.
type discardCipher struct{}

func (discardCipher) Encrypt(dst []byte, e dictionary.Encryption, plain []byte) ([]byte, error) {
	// As long as the real one would be: padded to 16 octets, a salt and a length.
	size := (len(plain) + 15) / 16 * 16
	if e == dictionary.EncryptTunnel {
		size = 2 + (len(plain)+16)/16*16
	}
	return append(dst, make([]byte, size)...), nil
}

func (discardCipher) Decrypt(dst []byte, _ dictionary.Encryption, wire []byte) ([]byte, error) {
	return append(dst, wire...), nil
}

// failed returns the first check that the request does not satisfy, or nil.
func (p *policy) failed(q *query) *check {
	for i := range p.checks {
		if !p.checks[i].holds(q) {
			return &p.checks[i]
		}
	}
	return nil
}

// replyList collects the attributes of an Access-Accept from the levels of
// policy, the highest precedence first.
//
// An attribute of a higher level wins over lower ones: "=" adds where no level
// has set the attribute yet, "+=" adds another value unless a higher level
// replaced the attribute with ":=", and ":=" replaces what its own level has and
// shuts out the lower levels, but does not touch what a higher level has.
type replyList struct {
	pairs  []dictionary.Pair
	levels []uint8 // of each pair
	closed []closedAttribute
	level  uint8
	trace  *replyTrace // nil but for Explain
}

type closedAttribute struct {
	attr  *dictionary.Attribute
	tag   uint8
	level uint8
}

// emptied returns an empty list with the memory of l.
func (l *replyList) emptied() replyList {
	clear(l.pairs)
	clear(l.closed)
	return replyList{pairs: l.pairs[:0], levels: l.levels[:0], closed: l.closed[:0]}
}

// add merges the replies of the next lower level.
func (l *replyList) add(pairs []dictionary.Pair) {
	l.level++
	if l.trace != nil {
		l.trace.add(l, pairs)
		return
	}
	for _, pair := range pairs {
		if l.takes(pair) {
			l.put(pair)
		}
	}
}

// put adds a pair that is taken.
func (l *replyList) put(pair dictionary.Pair) {
	if pair.Op == dictionary.OpSet {
		for i := l.index(pair, 0); i >= 0; i = l.index(pair, i) {
			l.pairs = append(l.pairs[:i], l.pairs[i+1:]...)
			l.levels = append(l.levels[:i], l.levels[i+1:]...)
		}
		l.closed = append(l.closed, closedAttribute{pair.Attr, pair.Tag, l.level})
	}
	pair.Op = dictionary.OpEq
	l.pairs = append(l.pairs, pair)
	l.levels = append(l.levels, l.level)
}

// takes reports whether another pair of the level added last would be taken.
func (l *replyList) takes(pair dictionary.Pair) bool {
	switch {
	case l.isClosed(pair):
		return false
	case pair.Op == dictionary.OpSet:
		return !l.hasHigher(pair)
	}
	return pair.Op == dictionary.OpAdd || l.index(pair, 0) < 0
}

// index finds the first pair from start on with the attribute and tag, or -1.
func (l *replyList) index(pair dictionary.Pair, start int) int {
	for i := start; i < len(l.pairs); i++ {
		if l.pairs[i].Attr == pair.Attr && l.pairs[i].Tag == pair.Tag {
			return i
		}
	}
	return -1
}

func (l *replyList) hasHigher(pair dictionary.Pair) bool {
	i := l.index(pair, 0)
	return i >= 0 && l.levels[i] < l.level
}

func (l *replyList) isClosed(pair dictionary.Pair) bool {
	for _, c := range l.closed {
		if c.attr == pair.Attr && c.tag == pair.Tag && c.level < l.level {
			return true
		}
	}
	return false
}

// quoted writes an item for a Detail, as an operator would write it.
func (i Item) quoted() string {
	var b strings.Builder
	b.WriteString(i.Attribute + " " + i.Op)
	if i.Op != "=*" && i.Op != "!*" {
		fmt.Fprintf(&b, " %q", i.Value)
	}
	return b.String()
}
