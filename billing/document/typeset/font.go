package typeset

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"sync"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/language"

	"radiusd/billing/document/pdf"
)

//go:embed fonts/*.gz
var files embed.FS

// typeface is a font of the package, read when it is first needed.
type typeface struct {
	name string
	bold bool
	load func() loaded
}

type loaded struct {
	font *font.Font
	pdf  *pdf.Typeface
}

// newTypeface panics, when it is first used, if the font in the package is broken.
func newTypeface(name string) *typeface {
	return &typeface{name: name, load: sync.OnceValue(func() loaded {
		l, err := load(name)
		if err != nil {
			panic(fmt.Sprintf("typeset: font %s: %v", name, err))
		}
		return l
	})}
}

func load(name string) (loaded, error) {
	file, err := files.Open("fonts/" + name + ".ttf.gz")
	if err != nil {
		return loaded{}, err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return loaded{}, err
	}
	data, err := io.ReadAll(unpacked)
	if err != nil {
		return loaded{}, err
	}
	loader, err := opentype.NewLoader(bytes.NewReader(data))
	if err != nil {
		return loaded{}, err
	}
	f, err := font.NewFont(loader)
	if err != nil {
		return loaded{}, err
	}
	face, err := pdf.NewTypeface(name, loader)
	return loaded{f, face}, err
}

// The fonts. They never change, and are shared by all files.
var (
	sans     = newTypeface("NotoSans-Regular")
	sansBold = &typeface{name: "NotoSans-Bold", bold: true, load: newTypeface("NotoSans-Bold").load}
	mono     = &typeface{name: "NotoSansMono-Bold", bold: true, load: newTypeface("NotoSansMono-Bold").load}
	han      = newTypeface("DroidSansFallback")

	// ofScript are the fonts for scripts that Noto Sans does not have.
	ofScript = map[language.Script]*typeface{
		language.Arabic:     newTypeface("NotoSansArabic-Regular"),
		language.Armenian:   newTypeface("NotoSansArmenian-Regular"),
		language.Bengali:    newTypeface("NotoSansBengali-Regular"),
		language.Devanagari: newTypeface("NotoSansDevanagari-Regular"),
		language.Ethiopic:   newTypeface("NotoSansEthiopic-Regular"),
		language.Georgian:   newTypeface("NotoSansGeorgian-Regular"),
		language.Gujarati:   newTypeface("NotoSansGujarati-Regular"),
		language.Gurmukhi:   newTypeface("NotoSansGurmukhi-Regular"),
		language.Hebrew:     newTypeface("NotoSansHebrew-Regular"),
		language.Kannada:    newTypeface("NotoSansKannada-Regular"),
		language.Khmer:      newTypeface("NotoSansKhmer-Regular"),
		language.Lao:        newTypeface("NotoSansLao-Regular"),
		language.Malayalam:  newTypeface("NotoSansMalayalam-Regular"),
		language.Myanmar:    newTypeface("NotoSansMyanmar-Regular"),
		language.Sinhala:    newTypeface("NotoSansSinhala-Regular"),
		language.Tamil:      newTypeface("NotoSansTamil-Regular"),
		language.Telugu:     newTypeface("NotoSansTelugu-Regular"),
		language.Thai:       newTypeface("NotoSansThai-Regular"),
		language.Han:        han,
		language.Hiragana:   han,
		language.Katakana:   han,
		language.Hangul:     newTypeface("NotoSansKR-Regular"),
		language.Bopomofo:   han,
	}
)

// face is a typeface as a setter uses it.
type face struct {
	typeface *typeface
	shape    *font.Face
	font     *pdf.Font
}

// face returns the setter's face of a typeface.
func (s *Setter) face(t *typeface) *face {
	f, ok := s.faces[t]
	if !ok {
		l := t.load()
		f = &face{t, font.NewFace(l.font), s.file.NewFont(l.pdf)}
		s.faces[t] = f
	}
	return f
}

// owner returns the face that the shaper was given.
func (s *Setter) owner(shape *font.Face) *face {
	for _, f := range s.faces {
		if f.shape == shape {
			return f
		}
	}
	return s.face(sans) // not reached: the shaper has faces from the chooser only
}

// chooser finds a font for each character. It implements shaping.FontmapScript.
type chooser struct {
	setter *Setter
	style  Style
	script language.Script
}

// SetScript implements shaping.FontmapScript.
func (c *chooser) SetScript(script language.Script) { c.script = script }

// ResolveFace implements shaping.Fontmap. A character that no font has is drawn as a
// box.
func (c *chooser) ResolveFace(r rune) *font.Face {
	main := sans
	switch c.style {
	case Bold:
		main = sansBold
	case Monospaced:
		main = mono
	}
	first := []*typeface{main, sans}
	if t, ok := ofScript[language.LookupScript(r)]; ok {
		first = []*typeface{t, main, sans}
	} else if t, ok := ofScript[c.script]; ok {
		// Signs that several scripts share, and marks, look best in the font of the
		// script that they stand in.
		first = []*typeface{main, t, sans}
	}
	for _, t := range first {
		if f := c.setter.face(t); has(f, r) {
			return f.shape
		}
	}
	if f := c.setter.face(han); has(f, r) {
		return f.shape
	}
	return c.setter.face(main).shape
}

func has(f *face, r rune) bool {
	_, ok := f.shape.NominalGlyph(r)
	return ok
}
