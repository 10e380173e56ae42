// Package typeset lays text out in lines: it chooses fonts that have its characters,
// orders what is written from right to left, shapes scripts whose letters depend on
// their neighbours, and breaks lines where the script allows it.
//
// The fonts are in the package, compressed; each is unpacked when a text first needs it.
package typeset

import (
	"strings"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/segmenter"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"

	"radiusd/billing/document/pdf"
)

// Style says how letters look.
type Style int

// The styles. Monospaced has the characters of ASCII only.
const (
	Regular Style = iota
	Bold
	Monospaced
)

// Align says where in the width that it has a line stands.
type Align int

// The alignments. Start is on the left, and on the right for a text that is written
// from right to left.
const (
	Start Align = iota
	Left
	Right
	Center
)

// Line is a line of text ready to be drawn.
type Line struct {
	// Width is in thousandths of the font's size.
	Width       float64
	RightToLeft bool // the text that it is a line of
	pieces      []piece
}

// piece is a part of a line in one font, from left to right.
type piece struct {
	font   *pdf.Font
	glyphs []pdf.Glyph
	meant  string // see pdf.Page.TextAs
	bold   bool   // made so, for want of a bold font
	width  float64
}

// Setter lays out text for one file. It is for one goroutine.
type Setter struct {
	file      *pdf.File
	faces     map[*typeface]*face // of those that are used
	shaper    shaping.HarfbuzzShaper
	runs      shaping.Segmenter
	segmenter segmenter.Segmenter
	lines     map[lineKey][]Line
}

// lineKey is a text that has been laid out. Invoices say the same again and again.
type lineKey struct {
	text  string
	style Style
	width float64
}

// so many texts are kept.
const keptTexts = 2048

// maxRunes is how much of a text is laid out; what is beyond it is not drawn.
const maxRunes = 4000

// NewSetter returns a setter for a file.
func NewSetter(file *pdf.File) *Setter {
	s := &Setter{file: file, faces: map[*typeface]*face{}, lines: map[lineKey][]Line{}}
	s.shaper.SetFontCacheSize(32)
	return s
}

// Lines breaks a text into lines that are at most so wide, in thousandths of the font's
// size, and shorter ones where it has line feeds. The caller must not change them.
func (s *Setter) Lines(text string, style Style, width float64) []Line {
	key := lineKey{text, style, width}
	if lines, ok := s.lines[key]; ok {
		return lines
	}
	var lines []Line
	left := maxRunes
	for paragraph := range strings.SplitSeq(text, "\n") {
		runes := []rune(paragraph)
		if len(runes) > left {
			runes = runes[:left]
		}
		left -= len(runes)
		lines = append(lines, s.paragraph(runes, style, width)...)
		if left <= 0 {
			break
		}
	}
	if len(s.lines) >= keptTexts {
		clear(s.lines)
	}
	s.lines[key] = lines
	return lines
}

// Line lays a text out on one line, however long it gets.
func (s *Setter) Line(text string, style Style) Line {
	return s.Lines(strings.ReplaceAll(text, "\n", " "), style, unlimited)[0]
}

const unlimited = 1e9

// Draw draws a line with the base line y, aligned within a width that begins at x.
func (l Line) Draw(p *pdf.Page, size, x, y, width float64, align Align) {
	free := width - l.Width*size/1000
	switch {
	case align == Right, align == Start && l.RightToLeft:
		x += free
	case align == Center:
		x += free / 2
	}
	for _, piece := range l.pieces {
		p.TextAs(piece.font, size, x, y, piece.glyphs, piece.meant, piece.bold)
		x += piece.width * size / 1000
	}
}

// item is a part of a paragraph of one font, script and direction.
type item struct {
	input shaping.Input
	level int8
}

// paragraph lays out a text without line feeds.
func (s *Setter) paragraph(text []rune, style Style, width float64) []Line {
	base := baseLevel(text)
	levels := bidiLevels(text, base)
	items := s.items(text, levels, style)
	advances := make([]float64, len(text))
	total := 0.0
	outputs := make([]shaping.Output, len(items))
	for i, item := range items {
		outputs[i] = s.shaper.ShapeNoExtents(item.input)
		for _, g := range outputs[i].Glyphs {
			advances[g.TextIndex()] += thousandths(g.Advance)
		}
		total += thousandths(outputs[i].Advance)
	}
	if total <= width {
		return []Line{s.line(text, items, outputs, levels, base, style)}
	}
	var lines []Line
	for _, span := range s.breakLines(text, advances, width) {
		// The ends of a line may join or not otherwise than in the middle: shape again.
		parts, outputs := part(items, span[0], span[1]), outputs[:0:0]
		for _, item := range parts {
			outputs = append(outputs, s.shaper.ShapeNoExtents(item.input))
		}
		lines = append(lines, s.line(text, parts, outputs, levels, base, style))
	}
	return lines
}

// items splits a text by direction, script and font.
func (s *Setter) items(text []rune, levels []int8, style Style) []item {
	var items []item
	for start := 0; start < len(text); {
		end := start + 1
		for end < len(text) && levels[end] == levels[start] {
			end++
		}
		direction := di.DirectionLTR
		if levels[start]%2 == 1 {
			direction = di.DirectionRTL
		}
		for _, input := range s.runs.Split(shaping.Input{
			Text: text, RunStart: start, RunEnd: end, Direction: direction,
			Size: fixed.I(1000), Language: language.NewLanguage("en"),
		}, &chooser{setter: s, style: style}) {
			items = append(items, item{input, levels[start]})
		}
		start = end
	}
	return items
}

// part returns the items of a part of the text.
func part(items []item, start, end int) []item {
	var parts []item
	for _, it := range items {
		it.input.RunStart = max(it.input.RunStart, start)
		it.input.RunEnd = min(it.input.RunEnd, end)
		if it.input.RunStart < it.input.RunEnd {
			// What the line does not show must not shape what it shows.
			it.input.Text = it.input.Text[:end]
			parts = append(parts, it)
		}
	}
	return parts
}

// breakLines returns from where to where the lines go, without the spaces at their ends.
func (s *Setter) breakLines(text []rune, advances []float64, width float64) [][2]int {
	s.segmenter.Init(text)
	words := make([]bool, len(text)+1)   // after which rune a line may end
	letters := make([]bool, len(text)+1) // and where it must not cut a letter in two
	for it := s.segmenter.LineIterator(); it.Next(); {
		words[it.Line().Offset+len(it.Line().Text)] = true
	}
	for it := s.segmenter.GraphemeIterator(); it.Next(); {
		letters[it.Grapheme().Offset+len(it.Grapheme().Text)] = true
	}
	var spans [][2]int
	for start := 0; start < len(text); {
		end, word, letter, at := start, 0, 0, 0.0
		for end < len(text) {
			at += advances[end]
			if at > width && !isSpace(text[end]) && end > start {
				break
			}
			end++
			if words[end] {
				word = end
			}
			if letters[end] {
				letter = end
			}
		}
		switch {
		case end == len(text):
		case word > start:
			end = word
		case letter > start:
			end = letter
		}
		shown := end
		for shown > start && isSpace(text[shown-1]) {
			shown--
		}
		if shown > start {
			spans = append(spans, [2]int{start, shown})
		}
		start = end
	}
	return spans
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\u3000' }

// line makes a line of shaped items, which it orders from left to right.
func (s *Setter) line(text []rune, items []item, outputs []shaping.Output, levels []int8, base int8, style Style) Line {
	line := Line{RightToLeft: base == 1}
	levelsOf := make([]int8, len(items))
	for i, item := range items {
		levelsOf[i] = item.level
	}
	for _, i := range visualOrder(levelsOf) {
		pieces := s.pieces(text, &outputs[i], style)
		for _, p := range pieces {
			line.Width += p.width
		}
		line.pieces = append(line.pieces, pieces...)
	}
	return line
}

// pieces makes pieces of a shaped run. Where letters consist of several glyphs the file
// says what they mean together: of a whole word, since readers that reckon the places of
// letters find gaps in it otherwise; and of each letter where they stand from right to
// left, since readers turn them around.
func (s *Setter) pieces(text []rune, output *shaping.Output, style Style) []piece {
	owner := s.owner(output.Face)
	bold := style == Bold && !owner.typeface.bold
	byLetter := output.Direction == di.DirectionRTL
	var pieces []piece
	glyphs := output.Glyphs
	for len(glyphs) > 0 {
		n, several := 0, false
		for n < len(glyphs) { // until the end of the word, or before or after a letter of several
			g := glyphs[n]
			size := min(max(1, g.GlyphsCount()), len(glyphs)-n)
			if byLetter && size > 1 {
				if n == 0 {
					n, several = size, true
				}
				break
			}
			n, several = n+size, several || size > 1
			if !byLetter && text[g.TextIndex()] == ' ' {
				break
			}
		}
		p := s.glyphs(owner.font, text, glyphs[:n])
		p.bold = bold
		if several {
			p.meant = meaning(text, glyphs[:n])
		}
		if last := len(pieces) - 1; last >= 0 && p.meant == "" && pieces[last].meant == "" {
			pieces[last].glyphs = append(pieces[last].glyphs, p.glyphs...)
			pieces[last].width += p.width
		} else {
			pieces = append(pieces, p)
		}
		glyphs = glyphs[n:]
	}
	return pieces
}

// meaning returns the text that glyphs were made of.
func meaning(text []rune, glyphs []shaping.Glyph) string {
	from, to := len(text), 0
	for _, g := range glyphs {
		from = min(from, g.TextIndex())
		to = max(to, min(g.TextIndex()+max(1, g.RunesCount()), len(text)))
	}
	return string(text[from:to])
}

// glyphs makes a piece. Of the glyphs of a letter the first has its meaning.
func (s *Setter) glyphs(font *pdf.Font, text []rune, glyphs []shaping.Glyph) piece {
	p := piece{font: font, glyphs: make([]pdf.Glyph, len(glyphs))}
	for i, g := range glyphs {
		says := ""
		if i == 0 || glyphs[i-1].TextIndex() != g.TextIndex() {
			says = meaning(text, glyphs[i:i+1])
		}
		p.glyphs[i] = pdf.Glyph{
			Code:    font.Code(uint16(g.GlyphID), says),
			Advance: thousandths(g.Advance), X: thousandths(g.XOffset), Y: thousandths(g.YOffset),
		}
		p.width += thousandths(g.Advance)
	}
	return p
}

// thousandths converts a length at a size of 1000.
func thousandths(v fixed.Int26_6) float64 { return float64(v) / 64 }
