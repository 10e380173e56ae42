package aaa

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"radiusd/dictionary"
	"radiusd/radius"
)

// pairList collects pairs and the memory of their values.
type pairList struct {
	pairs  []dictionary.Pair
	values []byte
}

// emptied returns an empty list with the memory of l.
func (l *pairList) emptied() pairList {
	clear(l.pairs)
	clear(l.values)
	return pairList{pairs: l.pairs[:0], values: l.values[:0]}
}

// addTemplate adds what the template makes of its input, for the level below the
// plan's items: the lines that depend on the plan alone, or the others.
func (l *pairList) addTemplate(t *template, in *templateInput, perRequest bool) error {
	for i := range t.lines {
		if line := &t.lines[i]; line.perRequest == perRequest {
			if err := l.addLine(t, line, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// addLine adds the line's pair unless it is left out.
func (l *pairList) addLine(t *template, line *templateLine, in *templateInput) error {
	start := len(l.values)
	var ok bool
	if l.values, ok = line.appendText(l.values, in); !ok {
		l.values = l.values[:start]
		return nil
	}
	pair := line.pair
	var err error
	if pair.Value, err = l.wireValue(pair.Attr, l.values[start:]); err != nil {
		return fmt.Errorf("reply template %s: %w", t.name, err)
	}
	l.pairs = append(l.pairs, pair)
	return nil
}

// wireValue turns a text into the value of an attribute. That of the types that
// templates mostly have is in the memory of l, as the text is.
func (l *pairList) wireValue(attr *dictionary.Attribute, text []byte) ([]byte, error) {
	switch {
	case attr.Type == dictionary.String && attr.Size == 0:
		return text, nil
	case attr.Type == dictionary.Integer && attr.Size == 0:
		if n, err := strconv.ParseUint(string(text), 10, 32); err == nil {
			l.values = binary.BigEndian.AppendUint32(l.values, uint32(n))
			return l.values[len(l.values)-4:], nil
		}
	case attr.Type == dictionary.Integer64 && attr.Size == 0:
		if n, err := strconv.ParseUint(string(text), 10, 64); err == nil {
			l.values = binary.BigEndian.AppendUint64(l.values, n)
			return l.values[len(l.values)-8:], nil
		}
	}
	return attr.ParseValue(string(text))
}

// appendText appends the line's value as text; false if the line is left out.
func (l *templateLine) appendText(dst []byte, in *templateInput) ([]byte, bool) {
	for _, condition := range l.when {
		if !slices.ContainsFunc(condition, func(c templateComparison) bool {
			return c.holds(&templateVariables[c.variable], in)
		}) {
			return dst, false
		}
	}
	for _, part := range l.parts {
		dst = append(dst, part.literal...)
		if part.variable == 0 {
			continue
		}
		v := &templateVariables[part.variable]
		if !part.optional && v.empty(in) {
			return dst, false
		}
		dst = v.append(dst, in, part.format, l.unit)
	}
	return dst, true
}

func (v *templateVariableInfo) empty(in *templateInput) bool {
	if v.number != nil {
		return v.number(in) == 0
	}
	return v.text(in) == ""
}

func (c *templateComparison) holds(v *templateVariableInfo, in *templateInput) bool {
	switch c.op {
	case "<=":
		return v.number(in) <= c.limit
	case ">":
		return v.number(in) > c.limit
	}
	return v.empty(in) == c.negate
}

func (v *templateVariableInfo) append(dst []byte, in *templateInput, format string, unit uint64) []byte {
	switch v.kind {
	case textVariable:
		return append(dst, v.text(in)...)
	case timeVariable:
		return in.left.until.In(in.left.now.Location()).AppendFormat(dst, "2006-01-02T15:04:05-07:00")
	}
	n := v.number(in)
	switch {
	case format == "low32":
		n &= 1<<32 - 1
	case format == "high32":
		n >>= 32
	case format == "k":
		return appendRate(dst, n)
	case v.kind == rateVariable && n > 0:
		n = max(n/unit, 1)
	}
	return strconv.AppendUint(dst, n, 10)
}

// appendRate writes bit/s with the suffix k or M where that loses nothing.
func appendRate(dst []byte, n uint64) []byte {
	switch {
	case n > 0 && n%1000000 == 0:
		return append(strconv.AppendUint(dst, n/1000000, 10), 'M')
	case n > 0 && n%1000 == 0:
		return append(strconv.AppendUint(dst, n/1000, 10), 'k')
	}
	return strconv.AppendUint(dst, n, 10)
}

// planReply is what a plan replies through a template to a user without items of
// their own: made once, then copied.
type planReply struct {
	template       *template
	wire           []byte            // encoded
	hidden         []dictionary.Pair // encrypted for each request
	perRequest     []*templateLine   // depend on what the user has left
	fromTemplate   []dictionary.Pair // what the template alone makes of the plan
	sessionTimeout uint32            // zero: none; not in wire
	err            error
}

// reply returns the plan's reply through the template. What depends on the
// request is not in it.
func (p *planEntry) reply(dict *dictionary.Dictionary, t *template) *planReply {
	if known := p.replies.Load(); known != nil {
		for i := range *known {
			if (*known)[i].template == t {
				return &(*known)[i]
			}
		}
	}
	made := p.makeReply(dict, t)
	for {
		known := p.replies.Load()
		var all []planReply
		if known != nil {
			all = slices.Clone(*known)
		}
		all = append(all, made)
		if p.replies.CompareAndSwap(known, &all) {
			return &all[len(all)-1]
		}
	}
}

func (p *planEntry) makeReply(dict *dictionary.Dictionary, t *template) planReply {
	r := planReply{template: t}
	var list replyList
	list.add(p.policy.replies)
	var made pairList
	if r.err = made.addTemplate(t, &templateInput{plan: &p.plan}, false); r.err != nil {
		return r
	}
	r.fromTemplate = made.pairs
	list.add(made.pairs)
	for i := range t.lines {
		if line := &t.lines[i]; line.perRequest && list.takes(line.pair) {
			r.perRequest = append(r.perRequest, line)
		}
	}
	rest, timeout := takeSessionTimeout(list.pairs)
	r.sessionTimeout = timeout
	var open []dictionary.Pair
	for _, pair := range rest {
		if pair.Attr.Encrypt != dictionary.EncryptNone {
			r.hidden = append(r.hidden, pair)
			continue
		}
		open = append(open, pair)
	}
	r.wire, r.err = dict.AppendWire(nil, open, nil)
	return r
}

// takeSessionTimeout takes Session-Timeout out of pairs, which it changes: it is
// made for each request from all that limits the session.
func takeSessionTimeout(pairs []dictionary.Pair) (rest []dictionary.Pair, seconds uint32) {
	rest = pairs[:0]
	for _, pair := range pairs {
		if len(pair.Attr.OID) == 1 && pair.Attr.OID[0] == uint32(radius.TypeSessionTimeout) {
			if n, ok := pair.Uint(); ok {
				seconds = uint32(n)
				continue
			}
		}
		rest = append(rest, pair)
	}
	return rest, seconds
}
