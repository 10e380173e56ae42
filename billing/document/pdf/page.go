package pdf

import (
	"bytes"
	"fmt"
	"strconv"
)

// Page is what is drawn onto a page. Coordinates are in points from the page's lower
// left corner.
type Page struct {
	content bytes.Buffer
	gray    float64
}

func newPage() *Page {
	p := &Page{}
	p.Gray(0)
	return p
}

// Glyph is a glyph of a font at its place in a run.
type Glyph struct {
	Code uint16 // from Font.Code
	// Advance is how far it is to the next glyph, and X and Y how far off its place the
	// glyph stands, in thousandths of the font's size.
	Advance, X, Y float64
}

// Text draws glyphs from left to right, the first at x on the base line y.
func (p *Page) Text(font *Font, size, x, y float64, glyphs []Glyph) {
	p.TextAs(font, size, x, y, glyphs, "", false)
}

// TextAs is Text for glyphs of which the reader of the page is told that together they
// are the text meant, unless it is empty. Bold thickens the strokes, for fonts that have
// no bold one at their side.
func (p *Page) TextAs(font *Font, size, x, y float64, glyphs []Glyph, meant string, bold bool) {
	if len(glyphs) == 0 {
		return
	}
	b := &p.content
	if meant != "" {
		fmt.Fprintf(b, "/Span<</ActualText%s>>BDC\n", textString(meant))
	}
	fmt.Fprintf(b, "BT/%s %s Tf ", font.name, decimal(size))
	if bold {
		fmt.Fprintf(b, "2 Tr %s w ", decimal(size*0.03))
	}
	fmt.Fprintf(b, "1 0 0 1 %s %s Tm[<", decimal(x), decimal(y))
	// where is where the next glyph would be drawn, want where it is to be.
	var where, want, rise float64
	for _, g := range glyphs {
		if g.Y != rise {
			rise = g.Y
			fmt.Fprintf(b, ">]TJ %s Ts[<", decimal(rise*size/1000))
		}
		if off := want + g.X - where; off >= 0.5 || off <= -0.5 {
			n := int(-round(off))
			fmt.Fprintf(b, ">%d<", n)
			where -= float64(n)
		}
		fmt.Fprintf(b, "%04X", g.Code)
		where += float64(font.width(g.Code))
		want += g.Advance
	}
	b.WriteString(">]TJ")
	if rise != 0 {
		b.WriteString(" 0 Ts")
	}
	if bold {
		b.WriteString(" 0 Tr")
	}
	b.WriteString(" ET\n")
	if meant != "" {
		b.WriteString("EMC\n")
	}
}

// Gray sets the shade of what is drawn next: 0 is black, which pages begin with, 1 is
// white.
func (p *Page) Gray(shade float64) {
	p.gray = shade
	s := decimal(shade)
	fmt.Fprintf(&p.content, "%s g %s G\n", s, s)
}

// Line draws a line of the width given.
func (p *Page) Line(x1, y1, x2, y2, width float64) {
	fmt.Fprintf(&p.content, "%s w %s %s m %s %s l S\n", decimal(width), decimal(x1), decimal(y1), decimal(x2), decimal(y2))
}

// Rectangle fills a rectangle.
func (p *Page) Rectangle(x, y, width, height float64) {
	fmt.Fprintf(&p.content, "%s %s %s %s re f\n", decimal(x), decimal(y), decimal(width), decimal(height))
}

// Frame draws the outline of a rectangle.
func (p *Page) Frame(x, y, width, height, line float64) {
	fmt.Fprintf(&p.content, "%s w %s %s %s %s re S\n", decimal(line), decimal(x), decimal(y), decimal(width), decimal(height))
}

// Turned draws what draw draws about a new origin x, y, turned by an angle whose
// cosine and sine are given.
func (p *Page) Turned(x, y, cosine, sine float64, draw func()) {
	fmt.Fprintf(&p.content, "q %s %s %s %s %s %s cm\n", decimal(cosine), decimal(sine), decimal(-sine), decimal(cosine), decimal(x), decimal(y))
	draw()
	p.content.WriteString("Q\n")
}

func round(v float64) float64 {
	if v < 0 {
		return float64(int64(v - 0.5))
	}
	return float64(int64(v + 0.5))
}

// decimal writes a number with at most three decimals: a PDF has no exponents.
func decimal(v float64) string {
	return strconv.FormatFloat(round(v*1000)/1000, 'f', -1, 64)
}
