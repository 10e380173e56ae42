package aaa

import (
	"fmt"
	"slices"
	"strconv"

	"radiusd/dictionary"
	"radiusd/radius"
)

// pairs appends what the template makes of its input, for the level below the
// plan's items: the lines that depend on the plan alone, or the others.
func (t *template) pairs(dst []dictionary.Pair, in *templateInput, perRequest bool) ([]dictionary.Pair, error) {
	for i := range t.lines {
		line := &t.lines[i]
		if line.perRequest != perRequest {
			continue
		}
		var err error
		if dst, err = line.appendPair(dst, in); err != nil {
			return dst, fmt.Errorf("reply template %s: %w", t.name, err)
		}
	}
	return dst, nil
}

// appendPair appends the line's pair unless it is left out.
func (l *templateLine) appendPair(dst []dictionary.Pair, in *templateInput) ([]dictionary.Pair, error) {
	text, ok := l.text(in)
	if !ok {
		return dst, nil
	}
	value, err := l.pair.Attr.ParseValue(text)
	if err != nil {
		return dst, err
	}
	pair := l.pair
	pair.Value = value
	return append(dst, pair), nil
}

// text is the line's value; false if the line is left out.
func (l *templateLine) text(in *templateInput) (string, bool) {
	for _, condition := range l.when {
		if !slices.ContainsFunc(condition, func(c templateComparison) bool {
			return c.holds(&templateVariables[c.variable], in)
		}) {
			return "", false
		}
	}
	var text []byte
	for _, part := range l.parts {
		text = append(text, part.literal...)
		if part.variable == 0 {
			continue
		}
		v := &templateVariables[part.variable]
		if !part.optional && v.empty(in) {
			return "", false
		}
		text = v.append(text, in, part.format, l.unit)
	}
	return string(text), true
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
	if v.text != nil {
		return append(dst, v.text(in)...)
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
	pairs, err := t.pairs(nil, &templateInput{plan: &p.plan}, false)
	if err != nil {
		r.err = err
		return r
	}
	r.fromTemplate = pairs
	list.add(pairs)
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
