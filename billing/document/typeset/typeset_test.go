package typeset

import (
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/go-text/typesetting/bidi"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/billing/document/pdf"
)

func setter() *Setter { return NewSetter(pdf.NewFile(io.Discard, 600, 800, pdf.Info{})) }

// TestBidiLevels has cases worked out by the rules of UAX #9. Hebrew stands for R, and
// Arabic for AL.
func TestBidiLevels(t *testing.T) {
	for _, c := range []struct {
		name, text, levels string
	}{
		{"letters", "abc 12", "000000"},
		{"Hebrew", "אבג", "111"},
		{"Hebrew in Latin", "a אב b", "001100"},
		{"Latin in Hebrew", "א ab ג", "112211"},
		{"a number after Hebrew", "אב 12 ג", "1112211"},
		{"a number after Hebrew in Latin", "a אב 12 b", "001112200"},
		{"a number after Latin", "a 12 א", "000001"},
		{"a European number after Arabic", "م 12", "1122"},
		{"brackets of Latin go with the Hebrew before them", "א (ab) ג", "11122111"},
		{"brackets of Hebrew in Hebrew", "a (אב) b", "00011000"},
		{"a sign of a currency goes with its number", "א 5€", "1122"},
		{"spaces at the end", "אב  ", "1111"},
		{"spaces at the end after Latin", "אב a ", "11121"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := []rune(c.text)
			var got strings.Builder
			for _, level := range bidiLevels(text, baseLevel(text)) {
				got.WriteByte('0' + byte(level))
			}
			require.Equal(t, c.levels, got.String())
		})
	}
}

func TestVisualOrder(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, visualOrder([]int8{0, 0, 0}))
	require.Equal(t, []int{2, 1, 0}, visualOrder([]int8{1, 1, 1}))
	require.Equal(t, []int{0, 3, 2, 1, 4}, visualOrder([]int8{0, 1, 2, 1, 0}))
	require.Equal(t, []int{3, 1, 2, 0}, visualOrder([]int8{1, 2, 2, 1}))
	require.Empty(t, visualOrder(nil))
}

// TestBidiAgreesWithTheLibrary compares directions with the shaping library's, which
// tells no more than those.
func TestBidiAgreesWithTheLibrary(t *testing.T) {
	letters := []rune("ab אב مح 12 ١٢ ()[] +-,./:% €!\u0301\u05b7")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom(letters), 1, 25).Draw(t, "text")
		// Paragraphs end in a letter: at the end of one the library leaves spaces as they are.
		text = append(text, 'a')
		base := baseLevel(text)
		def := bidi.LeftToRight
		if base == 1 {
			def = bidi.RightToLeft
		}
		var p bidi.Paragraph
		runs := p.Segment(text, def)
		levels := bidiLevels(text, base)
		for i := range runs.NumRuns() {
			run := runs.Run(i)
			for k := run.Start; k < run.End; k++ {
				require.Equal(t, run.IsLeftToRight(), levels[k]%2 == 0, "%q at %d: %v", string(text), k, levels)
			}
		}
	})
}

// TestFontsHaveTheLettersOfTheirScripts looks for characters that would be boxes.
func TestFontsHaveTheLettersOfTheirScripts(t *testing.T) {
	s := setter()
	for _, text := range []string{
		"ŁukaszĐặngNguyễnŞahinŌéÅÄÖẞǆ€£₹₺₽₦–…“”·", "ΓιώργοςΠαπαδόπουλοςᾧ", "ОлександрЩербакҐалаґанЂорђевић", "محمدپژمانچگینی،٣",
		"ישראלשָׁלוֹם", "王小明電信服務有限公司广东", "山田太郎サービス株式会社ひらがな、。", "김철수주식회사한국뷁", "สมชายใจดีน้ำใจ", "अमितकुमारश्रीवास्तव",
		"রবীন্দ্রনাথঠাকুর", "சுப்பிரமணியபாரதி", "శ్రీనివాసరావు", "મહાત્માગાંધી", "ਗੁਰਪ੍ਰੀਤਸਿੰਘ", "ಕೃಷ್ಣಮೂರ್ತಿ", "ശ്രീകുമാർനായർ", "ශ්\u200dරීලංකාව",
		"សុខសុវណ្ណ", "ສົມໄຊວົງສາ", "အောင်ဆန်း", "ԱրամԽաչատրյան", "შოთარუსთაველი", "ኃይለሥላሴ", " \u00a0",
	} {
		for _, style := range []Style{Regular, Bold} {
			runes := []rune(text)
			for _, item := range s.items(runes, bidiLevels(runes, baseLevel(runes)), style) {
				for _, g := range s.shaper.ShapeNoExtents(item.input).Glyphs {
					require.NotZero(t, g.GlyphID, "%q of %q", string(runes[g.TextIndex()]), text)
				}
			}
		}
	}
}

func TestLettersDependOnTheirNeighbours(t *testing.T) {
	alone := setter().Line("ه", Regular).pieces[0].glyphs[0].Code
	s := setter()
	s.Line("ه", Regular)
	require.EqualValues(t, 1, alone)
	joined := s.Line("ههه", Regular)
	require.True(t, joined.RightToLeft)
	require.Len(t, joined.pieces[0].glyphs, 3)
	require.NotContains(t, codes(joined), alone, "initial, medial and final forms, not the one of a letter by itself")

	require.Len(t, s.Line("क्ष", Regular).pieces[0].glyphs, 1, "a conjunct is one glyph")
}

func codes(l Line) (codes []uint16) {
	for _, p := range l.pieces {
		for _, g := range p.glyphs {
			codes = append(codes, g.Code)
		}
	}
	return codes
}

func TestLinesFit(t *testing.T) {
	s := setter()
	texts := []string{"The quick brown fox ", "Donaudampfschifffahrtsgesellschaft", "محمد عبد الله ", "王小明電信", "श्रीवास्तव ", "สมชายใจดี"}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.TrimSpace(strings.Join(rapid.SliceOfN(rapid.SampledFrom(texts), 1, 12).Draw(t, "text"), ""))
		width := float64(rapid.IntRange(3000, 30000).Draw(t, "width"))
		lines := s.Lines(text, Regular, width)
		require.NotEmpty(t, lines)
		for _, line := range lines {
			// A letter may be a little wider at the end of a line.
			require.LessOrEqual(t, line.Width, width*1.02)
		}
	})
}

func TestLinesBreakBetweenWords(t *testing.T) {
	s := setter()
	one := s.Line("alpha beta", Regular).Width
	require.Len(t, s.Lines("alpha beta gamma", Regular, one+1), 2)
	require.InDelta(t, one, s.Lines("alpha beta gamma", Regular, one+1)[0].Width, 1)
	require.Len(t, s.Lines("alpha\nbeta\n\ngamma", Regular, 1e6), 4)
	require.Len(t, s.Lines("", Regular, 1000), 1)
}

func TestVeryLongTextsAreCut(t *testing.T) {
	lines := setter().Lines(strings.Repeat("x\n", 100000), Regular, 1000)
	require.LessOrEqual(t, len(lines), maxRunes+1)
}

// TestSettersAtOnce is for the race detector: fonts are shared.
func TestSettersAtOnce(t *testing.T) {
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s := setter()
			for _, text := range []string{"abc", "محمد", "王小明", "श्री"} {
				s.Line(text, Bold)
			}
		})
	}
	group.Wait()
}
