package userfile

import (
	"strings"
	"unicode/utf8"
)

// Protect keeps a spreadsheet from taking text for a formula: a cell whose
// text begins with = + - @, a tab, a line break or one of the full-width forms
// of these signs gets an apostrophe in front, and so does one that begins so
// after apostrophes, so that Unprotect restores every text. Names may come
// from a NAS, so this guards who opens an export.
func Protect(s string) string {
	if startsFormula(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}

// Unprotect takes back what Protect did.
func Unprotect(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && startsFormula(strings.TrimLeft(rest, "'")) {
		return rest
	}
	return s
}

func startsFormula(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", r)
}
