package document

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is printed of texts from outside, in characters.
const (
	maxName        = 200
	maxAddress     = 400
	maxDescription = 1000
	maxNote        = 3000
	maxMarks       = 4 // accents on one letter
)

// clean returns a text without characters that control anything (line feeds and tabs
// become spaces), at most so many characters long.
func clean(s string, limit int) string {
	return strings.Join(strings.Fields(cleanLines(strings.ReplaceAll(cut(s, limit), "\n", " "), limit)), " ")
}

// cut cuts off what is certainly more than so many characters with their accents, so
// that long texts cost no time.
func cut(s string, limit int) string {
	most := (limit + 1) * utf8.UTFMax * (1 + maxMarks)
	if len(s) <= most {
		return s
	}
	for range utf8.UTFMax - 1 {
		if utf8.RuneStart(s[most]) {
			break
		}
		most--
	}
	return s[:most] + "…"
}

// cleanLines is clean for a text of several lines.
func cleanLines(s string, limit int) string {
	var b strings.Builder
	n, marks := 0, 0
	for _, r := range cut(s, limit) {
		if !printable(r) {
			continue
		}
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if n++; n > limit {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		switch r {
		case '\t', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
			r = ' '
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}

// printable reports whether a character may stay: what is seen, spaces, and the two
// joiners that some scripts are spelled with. Marks of direction may not: with them a
// text can be made to look like another one.
func printable(r rune) bool {
	switch r {
	case '\n', '\t', '\r', '\v', '\f', '\u0085', '\u2028', '\u2029', '\u200c', '\u200d':
		return true
	}
	return unicode.IsGraphic(r) || unicode.Is(unicode.Co, r)
}
