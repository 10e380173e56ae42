package pdf

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Font is a typeface in a file. What is used of it is embedded.
type Font struct {
	face  *Typeface
	name  string // of the resource
	codes map[use]uint16
	uses  []use // by code
}

// use is a glyph and the text that it stands for. A glyph that stands for several texts
// has as many codes.
type use struct {
	glyph uint16
	text  string
}

// NewFont makes a typeface available to the file.
func (f *File) NewFont(face *Typeface) *Font {
	font := &Font{face: face, name: fmt.Sprintf("F%d", len(f.fonts)+1), codes: map[use]uint16{}, uses: []use{{}}}
	f.fonts = append(f.fonts, font)
	return font
}

// Code returns the code of a glyph of the font that stands for a text. It is 0, which
// draws nothing of use, if the font has no such glyph or a file has 65,535 codes.
func (f *Font) Code(glyph uint16, text string) uint16 {
	u := use{glyph, text}
	if code, ok := f.codes[u]; ok {
		return code
	}
	if len(f.uses) > 0xFFFF || int(glyph) >= f.face.glyphs {
		return 0
	}
	code := uint16(len(f.uses))
	f.codes[u], f.uses = code, append(f.uses, u)
	return code
}

// width returns the width of a code's glyph in thousandths of the font's size, as the
// file says it.
func (f *Font) width(code uint16) int { return f.face.Width(f.uses[code].glyph) }

// write writes the font's objects and returns the number of its dictionary.
func (f *Font) write(file *File) int {
	subset := newSubset(f.face)
	toGlyph := make([]byte, 2*len(f.uses))
	for code, u := range f.uses {
		if code == 0 {
			continue // .notdef
		}
		glyph := subset.add(u.glyph)
		toGlyph[2*code], toGlyph[2*code+1] = byte(glyph>>8), byte(glyph)
	}
	program := subset.bytes()
	// Six letters before the name say that it is a subset, and tell subsets apart.
	name := subsetTag(program) + "+" + f.face.name
	data := file.stream(fmt.Sprintf("/Length1 %d", len(program)), program)
	box := f.face.box
	descriptor := file.object(file.number(), fmt.Sprintf(
		"<</Type/FontDescriptor/FontName/%s/Flags 4/FontBBox[%d %d %d %d]/ItalicAngle 0/Ascent %d/Descent %d/CapHeight %d/StemV 80/FontFile2 %d 0 R>>",
		name, box[0], box[1], box[2], box[3], f.face.Ascent, f.face.Descent, f.face.capHeight, data))
	mapping := file.stream("", toGlyph)
	descendant := file.object(file.number(), fmt.Sprintf(
		"<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/FontDescriptor %d 0 R/CIDToGIDMap %d 0 R/DW 1000/W[0[%s]]>>",
		name, descriptor, mapping, f.widths()))
	unicode := file.stream("", f.toUnicode())
	return file.object(file.number(), fmt.Sprintf(
		"<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>",
		name, descendant, unicode))
}

func (f *Font) widths() string {
	var b strings.Builder
	for code := range f.uses {
		if code > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, f.width(uint16(code)))
	}
	return b.String()
}

// toUnicode returns the CMap of what the codes mean (ISO 32000-1, 9.10.3).
func (f *Font) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit/ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def\n" +
		"/CMapName/Adobe-Identity-UCS def\n/CMapType 2 def\n" +
		"1 begincodespacerange\n<0000><FFFF>\nendcodespacerange\n")
	var entries []string
	for code, u := range f.uses {
		if u.text == "" {
			continue
		}
		var text strings.Builder
		for _, unit := range utf16.Encode([]rune(u.text)) {
			fmt.Fprintf(&text, "%04X", unit)
		}
		entries = append(entries, fmt.Sprintf("<%04X><%s>\n", code, text.String()))
	}
	for len(entries) > 0 { // at most 100 in a block
		n := min(len(entries), 100)
		fmt.Fprintf(&b, "%d beginbfchar\n%sendbfchar\n", n, strings.Join(entries[:n], ""))
		entries = entries[n:]
	}
	b.WriteString("endcmap\nCMapName currentdict/CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}
