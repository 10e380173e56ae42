package dictionary

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Pair is an attribute with a value.
type Pair struct {
	Attr *Attribute
	Tag  uint8 // RFC 2868 section 3: 1 to 31, 0 for none
	Op   Op
	// Value is in wire form, in clear and without tag. For OpReMatch and
	// OpReNotMatch it is the text of the pattern, for OpAny and OpNone empty.
	Value []byte
}

// maxTag is the highest tag (RFC 2868 section 3.1).
const maxTag = 0x1f

// String gives the pair as AppendPairs writes it. It shows the value, even
// that of a password.
func (p Pair) String() string { return string(p.append(nil)) }

// Text is the value without quotes, as AppendValue gives it.
func (p Pair) Text() string {
	if p.Op.pattern() {
		return string(p.Value)
	}
	return p.Attr.FormatValue(p.Value)
}

// Uint is the value of a numeric attribute.
func (p Pair) Uint() (uint64, bool) { return p.Attr.Uint(p.Value) }

// ParsePair reads one row of a table such as radcheck or radreply: an
// attribute's name, with a tag as in "Tunnel-Type:1", an operator, and a value
// that may stand in quotes.
func (d *Dictionary) ParsePair(name, op, value string) (Pair, error) {
	o, err := ParseOp(strings.TrimSpace(op))
	if err != nil {
		return Pair{}, fmt.Errorf("attribute %s: %w", name, err)
	}
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		text, rest, err := unquote(value)
		if err != nil {
			return Pair{}, fmt.Errorf("attribute %s: %w", name, err)
		}
		if rest == "" {
			value = text
		}
	}
	return d.pair(strings.TrimSpace(name), o, value)
}

func (d *Dictionary) pair(name string, op Op, value string) (Pair, error) {
	a, tag, err := d.resolveTagged(name)
	if err != nil {
		return Pair{}, err
	}
	p := Pair{Attr: a, Tag: tag, Op: op}
	switch {
	case op.presence():
	case op.pattern():
		p.Value = []byte(value)
	default:
		if p.Value, err = a.ParseValue(value); err != nil {
			return Pair{}, err
		}
	}
	return p, nil
}

// resolveTagged reads an attribute's name with an optional tag.
func (d *Dictionary) resolveTagged(name string) (*Attribute, uint8, error) {
	base, tagText, tagged := strings.Cut(name, ":")
	a, err := d.Resolve(base)
	if err != nil || !tagged {
		return a, 0, err
	}
	tag, err := strconv.ParseUint(tagText, 10, 8)
	if err != nil || tag > maxTag {
		return nil, 0, fmt.Errorf("attribute %s: tag %q is not from 0 to %d", base, tagText, maxTag)
	}
	if !a.Tagged && tag > 0 {
		return nil, 0, fmt.Errorf("attribute %s takes no tag", a.Name)
	}
	return a, uint8(tag), nil
}

// ParsePairs reads a list of pairs, separated by commas or line ends, as
// radclient does:
//
//	User-Name = "bob", Tunnel-Type:1 = VLAN
//	Class = 0x0102   # a comment
//
// Values are bare words, without white space, commas or quotes, or stand in "double quotes", with the escapes \n, \r,
// \t, \", \\, \xHH and \ooo (octal), or in 'single quotes' with \' and \\.
// An error gives line and column.
func (d *Dictionary) ParsePairs(text string) ([]Pair, error) {
	s := &scanner{text: text}
	var pairs []Pair
	for {
		s.skip(", \t\r\n", true)
		if s.end() {
			return pairs, nil
		}
		start := s.pos
		p, err := s.pair(d)
		if err != nil {
			return nil, s.fail(max(start, s.bad), err)
		}
		pairs = append(pairs, p)
		s.skip(" \t", true)
		if !s.end() && strings.IndexByte(",\r\n", s.text[s.pos]) < 0 {
			return nil, s.fail(s.pos, fmt.Errorf("after %s: expected a comma or the end of the line", p.Attr.Name))
		}
	}
}

// scanner walks over the text of a list of pairs.
type scanner struct {
	text string
	pos  int
	bad  int // where the value of the current pair begins
}

func (s *scanner) end() bool { return s.pos >= len(s.text) }

// skip passes over the given characters and comments.
func (s *scanner) skip(cut string, comments bool) {
	for !s.end() {
		switch c := s.text[s.pos]; {
		case strings.IndexByte(cut, c) >= 0:
			s.pos++
		case c == '#' && comments:
			n := strings.IndexByte(s.text[s.pos:], '\n')
			if n < 0 {
				s.pos = len(s.text)
				return
			}
			s.pos += n
		default:
			return
		}
	}
}

// until gives the text up to one of the given characters.
func (s *scanner) until(stop string) string {
	start := s.pos
	n := strings.IndexAny(s.text[start:], stop)
	if n < 0 {
		n = len(s.text) - start
	}
	s.pos = start + n
	return s.text[start:s.pos]
}

func (s *scanner) fail(at int, err error) error {
	before := s.text[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}

func (s *scanner) pair(d *Dictionary) (Pair, error) {
	s.bad = s.pos
	name := s.until(" \t\r\n=<>!+~*,#\"'")
	// The tag's colon is part of the name, that of := is not.
	if n := len(name); n > 0 && name[n-1] == ':' {
		name = name[:n-1]
		s.pos--
	}
	if name == "" {
		return Pair{}, fmt.Errorf("expected an attribute, found %q", s.text[s.pos:min(len(s.text), s.pos+1)])
	}
	s.skip(" \t", false)
	op, err := s.op()
	if err != nil {
		return Pair{}, fmt.Errorf("attribute %s: %w", name, err)
	}
	s.skip(" \t", false)
	if _, _, err := d.resolveTagged(name); err != nil {
		return Pair{}, err
	}
	s.bad = s.pos
	value, err := s.value()
	if err != nil {
		return Pair{}, fmt.Errorf("attribute %s: %w", name, err)
	}
	return d.pair(name, op, value)
}

func (s *scanner) op() (Op, error) {
	for n := 2; n > 0; n-- {
		if s.pos+n > len(s.text) {
			continue
		}
		if op, err := ParseOp(s.text[s.pos : s.pos+n]); err == nil {
			s.pos += n
			return op, nil
		}
	}
	return 0, fmt.Errorf("expected an operator such as =, found %q", s.text[s.pos:min(len(s.text), s.pos+2)])
}

func (s *scanner) value() (string, error) {
	if !s.end() && (s.text[s.pos] == '"' || s.text[s.pos] == '\'') {
		text, rest, err := unquote(s.text[s.pos:])
		if err != nil {
			return "", err
		}
		s.pos = len(s.text) - len(rest)
		return text, nil
	}
	text := s.until(" \t\r\n,\"'`")
	if text == "" || text[0] == '#' {
		return "", fmt.Errorf("expected a value; an empty one is written as \"\"")
	}
	return text, nil
}

// unquote reads a quoted text at the beginning of s and gives what follows it.
func unquote(s string) (text, rest string, err error) {
	quote := s[0]
	b := make([]byte, 0, min(len(s), 256))
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == quote {
			return string(b), s[i+1:], nil
		}
		if c != '\\' || i+1 >= len(s) {
			b = append(b, c)
			continue
		}
		i++
		c = s[i]
		if quote == '\'' {
			if c != '\'' && c != '\\' {
				b = append(b, '\\')
			}
			b = append(b, c)
			continue
		}
		switch {
		case c == 'n':
			b = append(b, '\n')
		case c == 'r':
			b = append(b, '\r')
		case c == 't':
			b = append(b, '\t')
		case c == 'x' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", "", fmt.Errorf("escape \\x needs two hexadecimal digits")
			}
			b = append(b, byte(n))
			i += 2
		case c >= '0' && c <= '3' && i+2 < len(s):
			n, err := strconv.ParseUint(s[i:i+3], 8, 8)
			if err != nil {
				return "", "", fmt.Errorf("escape \\%c needs three octal digits", c)
			}
			b = append(b, byte(n))
			i += 2
		case c == '"' || c == '\\' || c == '\'':
			b = append(b, c)
		default:
			return "", "", fmt.Errorf("unknown escape \\%c", c)
		}
	}
	return "", "", fmt.Errorf("missing the closing %c", quote)
}

// AppendPairs appends pairs as text that ParsePairs reads back, with a
// separator such as ", " or "\n" between them.
func AppendPairs(dst []byte, pairs []Pair, sep string) []byte {
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, sep...)
		}
		dst = p.append(dst)
	}
	return dst
}

func (p Pair) append(dst []byte) []byte {
	dst = append(dst, p.Attr.Name...)
	if p.Tag > 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(p.Tag), 10)
	}
	dst = append(append(append(dst, ' '), p.Op.String()...), ' ')
	switch {
	case p.Op.presence():
		return append(dst, "ANY"...)
	case p.Op.pattern():
		return appendQuoted(dst, p.Value)
	case p.Attr.Type == String && p.Attr.fits(p.Value):
		return appendQuoted(dst, p.Value)
	}
	start := len(dst)
	dst = p.Attr.AppendValue(dst, p.Value)
	if word := dst[start:]; len(word) == 0 || bytes.ContainsAny(word, " \t\r\n,#\"'`\\") {
		return appendQuoted(dst[:start], bytes.Clone(word))
	}
	return dst
}

// appendQuoted appends text in double quotes; what is not printable UTF-8 is escaped.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r == utf8.RuneError && n == 1, !strconv.IsPrint(r):
			for _, c := range text[:n] {
				dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			}
		default:
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return append(dst, '"')
}
