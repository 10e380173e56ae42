package dictionary

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// loader reads files into a dictionary that nobody else sees yet.
type loader struct {
	d      *Dictionary
	src    source
	open   []string // files being read, outermost first
	files  int
	errs   []error
	values []valueLine
	taken  []taken
}

// taken is an attribute's number given to another name.
type taken struct {
	at       scope
	key      key
	by, from *Attribute
}

// valueLine is a VALUE kept until all attributes are known.
type valueLine struct {
	file  string
	line  int
	attr  string
	value Value
	early bool // stands before its attribute
}

// scope is what surrounds a line: a BEGIN-VENDOR block, with the EVS attribute
// it is put in if any, and BEGIN-TLV blocks.
type scope struct {
	file   string
	line   int
	vendor *Vendor
	evs    *Attribute
	tlvs   []*Attribute
}

func newLoader(d *Dictionary, src source) *loader { return &loader{d: d, src: src} }

func (l *loader) fail(s *scope, format string, args ...any) {
	l.add(&ParseError{File: s.file, Line: s.line, Err: fmt.Errorf(format, args...)})
}

func (l *loader) add(err error) {
	switch {
	case len(l.errs) < maxErrors:
		l.errs = append(l.errs, err)
	case len(l.errs) == maxErrors:
		l.errs = append(l.errs, errTooMany)
	}
}

// file reads one file; from is the place of the $INCLUDE, nil for the first.
func (l *loader) file(name string, from *scope) {
	report := func(err error) {
		if from == nil {
			l.add(err)
		} else {
			l.fail(from, "%w", err)
		}
	}
	if slices.Contains(l.open, name) {
		report(fmt.Errorf("$INCLUDE loop: %s", strings.Join(append(slices.Clone(l.open), name), " -> ")))
		return
	}
	if len(l.open) >= maxDepth {
		report(fmt.Errorf("$INCLUDE %s is nested deeper than %d", name, maxDepth))
		return
	}
	if l.files++; l.files > maxFiles {
		report(fmt.Errorf("$INCLUDE %s: more than %d files", name, maxFiles))
		return
	}
	text, err := readFile(l.src, name)
	if err != nil {
		report(fmt.Errorf("read dictionary: %w", err))
		return
	}
	l.open = append(l.open, name)
	l.lines(name, string(text))
	l.open = l.open[:len(l.open)-1]
}

func (l *loader) lines(name, text string) {
	s := &scope{file: name}
	var buf [8]string
	for line := range strings.Lines(text) {
		s.line++
		if len(l.errs) > maxErrors {
			return
		}
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if f := fields(buf[:0], line); len(f) > 0 {
			l.statement(s, f)
		}
	}
	if s.vendor != nil {
		l.fail(s, "BEGIN-VENDOR %s without END-VENDOR", s.vendor.Name)
	}
	for _, t := range s.tlvs {
		l.fail(s, "BEGIN-TLV %s without END-TLV", t.Name)
	}
}

// fields is strings.Fields into a given slice.
func fields(dst []string, line string) []string {
	for f := range strings.FieldsSeq(line) {
		dst = append(dst, f)
	}
	return dst
}

func (l *loader) statement(s *scope, f []string) {
	need := func(low, high int, form string) bool {
		if n := len(f) - 1; n < low || n > high {
			l.fail(s, "%s needs: %s", f[0], form)
			return false
		}
		return true
	}
	switch strings.ToUpper(f[0]) {
	case "ATTRIBUTE":
		if need(3, 1<<30, "NAME NUMBER TYPE [FLAGS]") {
			l.attribute(s, f)
		}
	case "VALUE":
		if need(3, 3, "ATTRIBUTE NAME NUMBER") {
			l.value(s, f)
		}
	case "VENDOR":
		if need(2, 3, "NAME NUMBER [format=…]") {
			l.vendor(s, f)
		}
	case "BEGIN-VENDOR":
		if need(1, 2, "NAME [parent=ATTRIBUTE]") {
			l.beginVendor(s, f)
		}
	case "END-VENDOR":
		if need(1, 1, "NAME") {
			if s.vendor == nil || s.vendor != l.d.vendorNames[lower(f[1])] {
				l.fail(s, "END-VENDOR %s without BEGIN-VENDOR %s", f[1], f[1])
			}
			s.vendor, s.evs, s.tlvs = nil, nil, nil
		}
	case "BEGIN-TLV":
		if need(1, 1, "ATTRIBUTE") {
			l.beginTLV(s, f[1])
		}
	case "END-TLV":
		if need(1, 1, "ATTRIBUTE") {
			n := len(s.tlvs)
			if n == 0 || !strings.EqualFold(s.tlvs[n-1].Name, f[1]) {
				l.fail(s, "END-TLV %s without BEGIN-TLV %s", f[1], f[1])
				return
			}
			s.tlvs = s.tlvs[:n-1]
		}
	case "$INCLUDE":
		if need(1, 1, "FILE") {
			l.file(l.src.include(s.file, f[1]), s)
		}
	case "$INCLUDE-":
		if need(1, 1, "FILE") {
			l.optional(s, f[1])
		}
	case "ALIAS":
		if need(2, 2, "NAME ATTRIBUTE") {
			l.alias(s, f)
		}
	default:
		l.fail(s, "unknown keyword %q", f[0])
	}
}

// optional is $INCLUDE-, which takes it well if the file does not exist.
func (l *loader) optional(s *scope, name string) {
	name = l.src.include(s.file, name)
	f, err := l.src.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		f.Close()
	}
	l.file(name, s)
}

func (l *loader) vendor(s *scope, f []string) {
	n, err := parseNumber(f[2], 24)
	if err != nil || n == 0 || !validName(f[1]) {
		l.fail(s, "VENDOR %s: number %s is not from 1 to %d, or the name is not valid", f[1], f[2], 1<<24-1)
		return
	}
	v := &Vendor{Name: f[1], ID: uint32(n), TypeSize: 1, LengthSize: 1}
	if len(f) == 4 {
		if err := v.parseFormat(f[3]); err != nil {
			l.fail(s, "VENDOR %s: %w", f[1], err)
			return
		}
	}
	if old := l.d.vendorNames[lower(f[1])]; old != nil && old.ID != v.ID {
		l.fail(s, "VENDOR %s has number %d already, now %d", f[1], old.ID, v.ID)
		return
	}
	if old := l.d.vendors[v.ID]; old != nil {
		if len(f) == 4 && (v.TypeSize != old.TypeSize || v.LengthSize != old.LengthSize || v.Continuation != old.Continuation) {
			l.fail(s, "VENDOR %s: number %d has another format already, as %s", f[1], v.ID, old.Name)
			return
		}
		v = old // keep one Vendor per number; the further name is an alias
	}
	l.d.vendors[v.ID] = v
	l.d.vendorNames[lower(f[1])] = v
}

// parseFormat reads format=TYPE,LENGTH[,c].
func (v *Vendor) parseFormat(text string) error {
	parts := strings.Split(strings.TrimPrefix(strings.ToLower(text), "format="), ",")
	bad := fmt.Errorf("%q is not format=TYPE,LENGTH[,c] with type 1, 2 or 4 and length 0, 1 or 2", text)
	if !strings.HasPrefix(strings.ToLower(text), "format=") || len(parts) < 2 || len(parts) > 3 {
		return bad
	}
	t, err1 := strconv.Atoi(parts[0])
	n, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || t != 1 && t != 2 && t != 4 || n < 0 || n > 2 {
		return bad
	}
	if len(parts) == 3 {
		// The octet of flags is WiMAX's; it needs a length of its own.
		if parts[2] != "c" || t != 1 || n != 1 {
			return bad
		}
		v.Continuation = true
	}
	v.TypeSize, v.LengthSize = t, n
	return nil
}

func (l *loader) beginVendor(s *scope, f []string) {
	if s.vendor != nil || len(s.tlvs) > 0 {
		l.fail(s, "BEGIN-VENDOR %s inside of another block", f[1])
		return
	}
	v := l.d.vendorNames[lower(f[1])]
	if v == nil {
		l.fail(s, "BEGIN-VENDOR %s: unknown vendor", f[1])
		return
	}
	if len(f) == 3 {
		option, name, _ := strings.Cut(f[2], "=")
		option = strings.ToLower(option)
		if option != "parent" && option != "format" {
			l.fail(s, "BEGIN-VENDOR %s: unknown option %q", f[1], f[2])
			return
		}
		evs, ok := l.d.ByName(strings.TrimPrefix(name, "."))
		if !ok {
			if oid, err := parseOID(name); err == nil {
				evs = l.d.find(oid)
			}
		}
		if evs == nil || evs.Type != EVS && evs.Type != VSA {
			l.fail(s, "BEGIN-VENDOR %s: %q is not an attribute of type evs", f[1], name)
			return
		}
		if evs.Type == EVS {
			s.evs = evs
		}
	}
	s.vendor = v
}

func (l *loader) beginTLV(s *scope, name string) {
	a, ok := l.d.ByName(name)
	if !ok || a.Type != TLV {
		l.fail(s, "BEGIN-TLV %s: not an attribute of type tlv", name)
		return
	}
	s.tlvs = append(s.tlvs, a)
}

func (l *loader) alias(s *scope, f []string) {
	a, ok := l.d.ByName(f[2])
	if !ok {
		l.fail(s, "ALIAS %s: unknown attribute %s", f[1], f[2])
		return
	}
	if old, ok := l.d.ByName(f[1]); ok && old != a {
		l.fail(s, "ALIAS %s: the name is taken by attribute %s", f[1], old.OID)
		return
	}
	if !validName(f[1]) {
		l.fail(s, "ALIAS %q: not a valid name", f[1])
		return
	}
	l.d.byName[lower(f[1])] = a
}

// validName reports whether a name can be written in a list of pairs.
func validName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-_./", c) >= 0:
		default:
			return false
		}
	}
	return !strings.EqualFold(name[:min(5, len(name))], "Attr-")
}
