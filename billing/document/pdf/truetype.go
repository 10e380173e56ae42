package pdf

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-text/typesetting/font/opentype"
)

// Typeface is a TrueType font that can be embedded. It does not change and may be used
// by several files at a time.
type Typeface struct {
	name   string // PostScript name
	tables map[string][]byte
	glyphs int
	loca   []uint32 // where the glyphs are in glyf, and the end
	upem   int
	long   int // number of long metrics in hmtx
	// Ascent and Descent are how far the font's glyphs go above and, negative, below
	// the base line, in thousandths of its size.
	Ascent, Descent int
	capHeight       int
	box             [4]int
}

// tables that are needed of a font to embed it.
var tagsNeeded = []string{"head", "hhea", "maxp", "hmtx", "loca", "glyf"}

// NewTypeface reads a TrueType font with outlines in a glyf table. The name is what it
// is called in the files, a PostScript name.
func NewTypeface(name string, loader *opentype.Loader) (*Typeface, error) {
	t := &Typeface{name: name, tables: map[string][]byte{}}
	for _, tag := range tagsNeeded {
		table, err := loader.RawTable(opentype.MustNewTag(tag))
		if err != nil {
			return nil, fmt.Errorf("font %s: table %s: %w", name, tag, err)
		}
		t.tables[tag] = table
	}
	if err := t.read(); err != nil {
		return nil, fmt.Errorf("font %s: %w", name, err)
	}
	return t, nil
}

func (t *Typeface) read() error {
	head, hhea, maxp := t.tables["head"], t.tables["hhea"], t.tables["maxp"]
	if len(head) < 54 || len(hhea) < 36 || len(maxp) < 6 {
		return errors.New("a table is too short")
	}
	t.upem = int(u16(head, 18))
	t.glyphs = int(u16(maxp, 4))
	t.long = int(u16(hhea, 34))
	if t.upem == 0 || t.glyphs == 0 || t.long == 0 || t.long > t.glyphs || len(t.tables["hmtx"]) < 4*t.long {
		return errors.New("its metrics contradict each other")
	}
	loca, long := t.tables["loca"], u16(head, 50) == 1
	size := 2
	if long {
		size = 4
	}
	if len(loca) < size*(t.glyphs+1) {
		return errors.New("table loca is too short")
	}
	t.loca = make([]uint32, t.glyphs+1)
	for i := range t.loca {
		if long {
			t.loca[i] = binary.BigEndian.Uint32(loca[4*i:])
		} else {
			t.loca[i] = 2 * uint32(u16(loca, 2*i))
		}
		if i > 0 && t.loca[i] < t.loca[i-1] || int(t.loca[i]) > len(t.tables["glyf"]) {
			return errors.New("table loca leads out of table glyf")
		}
	}
	t.Ascent, t.Descent = t.thousandths(i16(hhea, 4)), t.thousandths(i16(hhea, 6))
	t.capHeight = t.Ascent * 2 / 3
	for i := range t.box {
		t.box[i] = t.thousandths(i16(head, 36+2*i))
	}
	return nil
}

// Width returns the width of a glyph in thousandths of the font's size.
func (t *Typeface) Width(glyph uint16) int { return t.thousandths(int(u16(t.metrics(glyph), 0))) }

func (t *Typeface) thousandths(units int) int {
	return int(round(float64(units) * 1000 / float64(t.upem)))
}

// metrics returns the advance and the left side bearing of a glyph, as in hmtx.
func (t *Typeface) metrics(glyph uint16) []byte {
	hmtx := t.tables["hmtx"]
	if int(glyph) < t.long {
		return hmtx[4*int(glyph):][:4]
	}
	last := hmtx[4*(t.long-1):][:4]
	bearing := []byte{0, 0}
	if at := 4*t.long + 2*(int(glyph)-t.long); at+2 <= len(hmtx) {
		bearing = hmtx[at:][:2]
	}
	return []byte{last[0], last[1], bearing[0], bearing[1]}
}

// outline returns the description of a glyph in glyf.
func (t *Typeface) outline(glyph uint16) []byte {
	if int(glyph) >= t.glyphs {
		return nil
	}
	return t.tables["glyf"][t.loca[glyph]:t.loca[glyph+1]]
}

// subset is a font with some of a typeface's glyphs. The first is .notdef.
type subset struct {
	face   *Typeface
	number map[uint16]uint16 // of the typeface's glyphs in the subset
	glyphs []uint16
}

func newSubset(face *Typeface) *subset {
	s := &subset{face: face, number: map[uint16]uint16{}, glyphs: []uint16{0}}
	return s
}

// add returns the number that a glyph has in the subset. The typeface's .notdef, which
// shows where a character is missing, gets one that is not 0: PDF/A forbids text in
// .notdef.
func (s *subset) add(glyph uint16) uint16 {
	if number, ok := s.number[glyph]; ok {
		return number
	}
	if len(s.glyphs) > 0xFFFF {
		return 0
	}
	number := uint16(len(s.glyphs))
	s.number[glyph] = number
	s.glyphs = append(s.glyphs, glyph)
	return number
}

// bytes returns the font file.
func (s *subset) bytes() []byte {
	var glyf, hmtx []byte
	loca := []byte{0, 0, 0, 0}
	for i := 0; i < len(s.glyphs); i++ { // which grows by the parts of composite glyphs
		outline := s.renumber(s.face.outline(s.glyphs[i]))
		glyf = append(glyf, outline...)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		hmtx = append(hmtx, s.face.metrics(s.glyphs[i])...)
	}
	count := uint16(len(s.glyphs))
	head := append([]byte(nil), s.face.tables["head"]...)
	binary.BigEndian.PutUint32(head[8:], 0)  // checkSumAdjustment, of the whole font
	binary.BigEndian.PutUint16(head[50:], 1) // indexToLocFormat: long
	hhea := append([]byte(nil), s.face.tables["hhea"]...)
	binary.BigEndian.PutUint16(hhea[34:], count)
	maxp := append([]byte(nil), s.face.tables["maxp"]...)
	binary.BigEndian.PutUint16(maxp[4:], count)
	tables := []opentype.Table{ // by tag
		{Tag: opentype.MustNewTag("glyf"), Content: glyf},
		{Tag: opentype.MustNewTag("head"), Content: padded(head)},
		{Tag: opentype.MustNewTag("hhea"), Content: padded(hhea)},
		{Tag: opentype.MustNewTag("hmtx"), Content: padded(hmtx)},
		{Tag: opentype.MustNewTag("loca"), Content: loca},
		{Tag: opentype.MustNewTag("maxp"), Content: padded(maxp)},
	}
	return opentype.WriteTTF(tables)
}

// Flags of the parts of composite glyphs (OpenType, glyf).
const (
	argsAreWords  = 1 << 0
	hasScale      = 1 << 3
	moreParts     = 1 << 5
	hasXYScale    = 1 << 6
	hasTwoByTwo   = 1 << 7
	partHeaderLen = 4
)

// renumber returns a glyph's description with the numbers that the parts of a composite
// glyph have in the subset.
func (s *subset) renumber(outline []byte) []byte {
	if len(outline) < 10 || i16(outline, 0) >= 0 {
		return outline
	}
	b := append([]byte(nil), outline...)
	for at := 10; at+partHeaderLen <= len(b); {
		flags := u16(b, at)
		binary.BigEndian.PutUint16(b[at+2:], s.add(u16(b, at+2)))
		at += partHeaderLen + 2
		if flags&argsAreWords != 0 {
			at += 2
		}
		switch {
		case flags&hasScale != 0:
			at += 2
		case flags&hasXYScale != 0:
			at += 4
		case flags&hasTwoByTwo != 0:
			at += 8
		}
		if flags&moreParts == 0 {
			break
		}
	}
	return b
}

// subsetTag returns six capital letters that depend on the font's contents.
func subsetTag(program []byte) string {
	sum := sha256.Sum256(program)
	tag := make([]byte, 6)
	for i := range tag {
		tag[i] = 'A' + sum[i]%26
	}
	return string(tag)
}

func padded(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func u16(b []byte, at int) uint16 { return binary.BigEndian.Uint16(b[at:]) }
func i16(b []byte, at int) int    { return int(int16(u16(b, at))) }
