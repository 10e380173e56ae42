package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-text/typesetting/font/opentype"
	"github.com/stretchr/testify/require"
)

// triangle is a font of three glyphs: .notdef, a triangle, and a composite of it.
func triangle(t *testing.T) *Typeface {
	t.Helper()
	simple := []byte{
		0, 1, 0, 0, 0, 0, 1, 244, 1, 244, // one contour in 0 0 500 500
		0, 2, 0, 0, // ends at point 2, no instructions
		1, 1, 1, // three points on the curve
		0, 0, 1, 244, 255, 6, // x: 0 +500 -250
		0, 0, 0, 0, 1, 244, // y: 0 0 +500
		0,
	}
	simple = append(simple, make([]byte, (4-len(simple)%4)%4)...)
	composite := []byte{
		255, 255, 0, 0, 0, 0, 1, 244, 1, 244,
		0, 2, 0, 1, 0, 0, // ARGS_ARE_XY_VALUES, glyph 1, at 0 0
	}
	glyf := append(append([]byte{}, simple...), composite...)
	end1, end2 := byte(len(simple)/2), byte(len(glyf)/2)
	head := make([]byte, 54)
	head[18], head[19] = 3, 232 // 1000 units
	hhea := make([]byte, 36)
	hhea[4], hhea[5] = 3, 32 // 800
	hhea[35] = 2
	maxp := []byte{0, 1, 0, 0, 0, 3}
	loader, err := opentype.NewLoader(bytes.NewReader(opentype.WriteTTF([]opentype.Table{
		{Tag: opentype.MustNewTag("glyf"), Content: glyf},
		{Tag: opentype.MustNewTag("head"), Content: head},
		{Tag: opentype.MustNewTag("hhea"), Content: hhea},
		{Tag: opentype.MustNewTag("hmtx"), Content: []byte{2, 88, 0, 0, 1, 244, 0, 0, 0, 9}}, // 600, 500, and 500 again
		{Tag: opentype.MustNewTag("loca"), Content: []byte{0, 0, 0, 0, 0, end1, 0, end2}},
		{Tag: opentype.MustNewTag("maxp"), Content: maxp},
	})))
	require.NoError(t, err)
	face, err := NewTypeface("Triangle", loader)
	require.NoError(t, err)
	return face
}

func TestSubsetTakesThePartsOfAComposite(t *testing.T) {
	face := triangle(t)
	require.Equal(t, 600, face.Width(0))
	require.Equal(t, 500, face.Width(2))
	s := newSubset(face)
	require.EqualValues(t, 1, s.add(2))
	require.EqualValues(t, 1, s.add(2), "a glyph is taken once")
	loader, err := opentype.NewLoader(bytes.NewReader(s.bytes()))
	require.NoError(t, err)
	again, err := NewTypeface("Again", loader)
	require.NoError(t, err)
	require.Equal(t, 3, again.glyphs)
	require.Equal(t, 500, again.Width(1))
	require.EqualValues(t, 2, u16(again.outline(1), 12), "the composite names its part by the new number")
	require.Equal(t, face.outline(1), again.outline(2))
	require.Empty(t, again.outline(0))
}

func TestBrokenFontsAreRefused(t *testing.T) {
	whole := newSubset(triangle(t))
	whole.add(1)
	program := whole.bytes()
	const directory = 12 + 6*16 // which is the loader's
	for at := directory; at < len(program); at++ {
		broken := bytes.Clone(program)
		broken[at] ^= 0xFF
		loader, err := opentype.NewLoader(bytes.NewReader(broken))
		if err != nil {
			continue
		}
		if face, err := NewTypeface("Broken", loader); err == nil {
			s := newSubset(face)
			s.add(1)
			s.bytes() // must not panic
		}
	}
}

func TestCodesAreByGlyphAndMeaning(t *testing.T) {
	f := NewFile(&bytes.Buffer{}, 100, 100, Info{})
	font := f.NewFont(triangle(t))
	a := font.Code(1, "a")
	require.Equal(t, a, font.Code(1, "a"))
	require.NotEqual(t, a, font.Code(1, "b"))
	require.Zero(t, font.Code(77, "a"), "the font has no such glyph")
	require.Contains(t, string(font.toUnicode()), "<0001><0061>")
}

// sample is a file of two pages with everything that a file can have.
func sample(t *testing.T, w *bytes.Buffer) error {
	f := NewFile(w, 200, 100, Info{
		Title: "T <&> Ω", Author: "A", Subject: "S", Creator: "C", Lang: "en", Created: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
	})
	font := f.NewFont(triangle(t))
	f.Footer = func(page, pages int, p *Page) { p.Line(0, 0, float64(page), float64(pages), 1) }
	for range 2 {
		p := f.NewPage()
		p.Gray(0.5)
		p.Rectangle(1, 2, 3, 4)
		p.Frame(1, 2, 3, 4, 0.5)
		glyphs := []Glyph{{Code: font.Code(1, "a"), Advance: 500}, {Code: font.Code(2, "b"), Advance: 400, Y: 100}, {Code: font.Code(1, "c"), Advance: 500, X: -20}}
		p.Text(font, 10, 5, 50, glyphs)
		p.Turned(10, 10, 0, 1, func() { p.TextAs(font, 10, 0, 0, glyphs[:1], "meant", true) })
	}
	f.Attach(Attachment{Name: "a.xml", MIME: "text/xml", Description: "An XML", Relation: "Alternative", Data: []byte("<a/>")})
	return f.Close()
}

// TestEveryObjectIsWhereTheTableSays reads the file as a reader does, from its end.
func TestEveryObjectIsWhereTheTableSays(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, sample(t, &b))
	file := b.String()
	start := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindStringSubmatch(file)
	require.NotNil(t, start)
	at, err := strconv.Atoi(start[1])
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(file[at:], "xref\n0 "))
	entries := regexp.MustCompile(`(?m)^(\d{10}) 00000 n $`).FindAllStringSubmatch(file[at:], -1)
	for n, entry := range entries {
		offset, err := strconv.Atoi(entry[1])
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(file[offset:], fmt.Sprintf("%d 0 obj\n", n+1)), "object %d", n+1)
	}
	for _, reference := range regexp.MustCompile(`(\d+) 0 R`).FindAllStringSubmatch(file, -1) {
		n, _ := strconv.Atoi(reference[1])
		require.LessOrEqual(t, n, len(entries))
	}
	require.Equal(t, 2, strings.Count(file, "/Type/Page/"))
	require.Contains(t, file, "/AFRelationship/Alternative")
	require.Contains(t, file, "/Subtype/text#2Fxml")
	require.Contains(t, file, "T &lt;&amp;&gt; Ω")
	require.Contains(t, file, "/Title <FEFF00540020003C0026003E002003A9>")
	var again bytes.Buffer
	require.NoError(t, sample(t, &again))
	require.Equal(t, file, again.String())
}

// TestTextOperators is what a run of glyphs becomes: kerning as an adjustment, a raised
// glyph by text rise.
func TestTextOperators(t *testing.T) {
	f := NewFile(&bytes.Buffer{}, 100, 100, Info{})
	font := f.NewFont(triangle(t))
	one, two := font.Code(1, "a"), font.Code(2, "b")
	var p Page
	p.Text(font, 10, 5, 50.5, []Glyph{{Code: one, Advance: 450}, {Code: two, Advance: 500, Y: 100}, {Code: one, Advance: 500}})
	require.Equal(t, "BT/F1 10 Tf 1 0 0 1 5 50.5 Tm[<0001>]TJ 1 Ts[<>50<0002>]TJ 0 Ts[<0001>]TJ ET\n", p.content.String())
}

func TestDecimal(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1.5: "1.5", -0.0004: "0", 1e-9: "0", 123456.789: "123456.789", -2.25: "-2.25"} {
		require.Equal(t, want, decimal(v))
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestCloseReturnsTheWritersError(t *testing.T) {
	f := NewFile(full{}, 10, 10, Info{})
	f.NewPage()
	require.ErrorContains(t, f.Close(), "full")
}
