package bank

import (
	"slices"
	"strconv"
	"strings"

	"radiusd/billing"
)

// numberDigits is how many digits billing.InvoiceNumber writes at least: SERIES-000001.
const numberDigits = 6

// maxMentions bounds how much of a text is looked up.
const maxMentions = 32

// mention is a place in a text that may name an invoice.
type mention struct {
	// numbers are what it can mean, in the form SERIES-000001; more than one if digits
	// that stand apart may or may not belong to it.
	numbers []string
	// full means that all digits of the number are there, with their zeros.
	full bool
	// bare means that there is no series, only digits.
	bare    bool
	written string // as it stands in the text
}

// findMentions finds invoice numbers in a text, whatever its case and wherever it is
// broken by spaces and marks: INV-000123, inv 123, Inv.-Nr. 00 0123.
func findMentions(text string, series []string) []mention {
	runes := []rune(strings.ToUpper(text))
	taken := make([]bool, len(runes))
	var found []mention
	for _, s := range longestFirst(series) {
		key := []rune(alphanumeric(s))
		if len(key) == 0 {
			continue
		}
		for at := range runes {
			if len(found) == maxMentions {
				return found
			}
			if taken[at] || !boundary(runes, at) {
				continue
			}
			end, ok := matchKey(runes, at, key)
			if !ok {
				continue
			}
			m, end, ok := readNumber(runes, end, s, key)
			if !ok || slices.Contains(taken[at:end], true) {
				continue
			}
			for i := at; i < end; i++ {
				taken[i] = true
			}
			m.written = strings.TrimSpace(string(runes[at:end]))
			found = append(found, m)
		}
	}
	return append(found, bareMentions(runes, taken, series, maxMentions-len(found))...)
}

// longestFirst has INV-2026 found before INV.
func longestFirst(series []string) []string {
	series = slices.Clone(series)
	slices.SortStableFunc(series, func(a, b string) int { return len(b) - len(a) })
	return series
}

func alphanumeric(s string) string {
	return strings.Map(func(r rune) rune {
		if separator(r) {
			return -1
		}
		return r
	}, strings.ToUpper(s))
}

func separator(r rune) bool { return strings.ContainsRune(" \t\r\n-–_./:;,#*()[]+\u00a0", r) }
func digit(r rune) bool     { return r >= '0' && r <= '9' }

// boundary reports whether a word, or the digits or letters in one, begin at i.
func boundary(runes []rune, i int) bool {
	return i == 0 || separator(runes[i-1]) || digit(runes[i-1]) != digit(runes[i])
}

// matchKey matches the letters and digits of a series, with at most two marks between
// any of them.
func matchKey(runes []rune, at int, key []rune) (end int, ok bool) {
	if runes[at] != key[0] {
		return 0, false
	}
	i := at + 1
	for _, k := range key[1:] {
		i = skipSeparators(runes, i, 2)
		if i == len(runes) || runes[i] != k {
			return 0, false
		}
		i++
	}
	return i, true
}

func skipSeparators(runes []rune, i, most int) int {
	for n := 0; n < most && i < len(runes) && separator(runes[i]); n++ {
		i++
	}
	return i
}

// readNumber reads the digits after a series.
func readNumber(runes []rune, at int, series string, key []rune) (m mention, end int, ok bool) {
	i := skipSeparators(runes, at, 3)
	for _, word := range []string{"NUMMER", "NUMBER", "NR", "NO"} { // Inv.-Nr. 123
		if rest := string(runes[i:min(i+len(word), len(runes))]); rest == word {
			i = skipSeparators(runes, i+len(word), 3)
			break
		}
	}
	digitsOnly := strings.Trim(string(key), "0123456789") == ""
	// Digits cannot be told from the digits of a series that touch them.
	attached := i == at
	groups, ends := digitGroups(runes, i)
	if len(groups) == 0 {
		return mention{}, 0, false
	}
	add := func(digits string) bool {
		number, ok := invoiceNumber(series, digits)
		if ok && !slices.Contains(m.numbers, number) {
			m.numbers = append(m.numbers, number)
		}
		return ok
	}
	if len(groups[0]) >= numberDigits {
		m.full = true
		return m, ends[0], add(groups[0])
	}
	// A number cut in pieces has all its digits: 00 0123. One without its zeros is in
	// one piece.
	joined := ""
	for n, g := range groups {
		if joined += g; len(joined) == numberDigits && n > 0 {
			m.full = add(joined)
			end = ends[n]
			break
		}
	}
	short := !attached || !digitsOnly
	if digitsOnly && !strings.ContainsAny(string(runes[at:i]), "-/") {
		short = false // 2026 12 may be anything; 2026-12 and 2026/12 are numbers
	}
	if next := ends[0]; next < len(runes) && !separator(runes[next]) {
		short = false // 12B
	}
	if short && add(groups[0]) {
		end = max(end, ends[0])
		m.full = m.full && len(m.numbers) == 1
	}
	return m, end, len(m.numbers) > 0
}

// digitGroups returns runs of digits with one mark between each, and where they end.
func digitGroups(runes []rune, i int) (groups []string, ends []int) {
	for i < len(runes) && digit(runes[i]) && len(groups) < numberDigits {
		begin := i
		for i < len(runes) && digit(runes[i]) {
			i++
		}
		groups, ends = append(groups, string(runes[begin:i])), append(ends, i)
		if i < len(runes) && separator(runes[i]) {
			i++
		}
	}
	return groups, ends
}

// bareMentions finds numbers with all their digits and no series: 000123.
func bareMentions(runes []rune, taken []bool, series []string, most int) []mention {
	var found []mention
	for i := 0; i < len(runes) && len(found) < most; i++ {
		if !digit(runes[i]) {
			continue
		}
		begin := i
		for i < len(runes) && digit(runes[i]) {
			i++
		}
		alone := (begin == 0 || separator(runes[begin-1])) && (i == len(runes) || separator(runes[i]))
		if i-begin != numberDigits || !alone || taken[begin] {
			continue
		}
		m := mention{bare: true, written: string(runes[begin:i])}
		for _, s := range series {
			if number, ok := invoiceNumber(s, m.written); ok {
				m.numbers = append(m.numbers, number)
			}
		}
		if len(m.numbers) > 0 {
			found = append(found, m)
		}
	}
	return found
}

// invoiceNumber writes the number of a series as invoices have it.
func invoiceNumber(series, digits string) (string, bool) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n == 0 || len(digits) > 12 {
		return "", false
	}
	return billing.InvoiceNumber(series, n), true
}

// findReferences finds creditor references (ISO 11649) whose check digits are right in
// a text, also in groups of four as they are printed, and returns what they carry.
func findReferences(text string) (bodies []string) {
	runes := []rune(strings.ToUpper(text))
	for at := 0; at+4 < len(runes) && len(bodies) < maxMentions; at++ {
		if runes[at] != 'R' || runes[at+1] != 'F' || !digit(runes[at+2]) || !digit(runes[at+3]) ||
			at > 0 && !separator(runes[at-1]) {
			continue
		}
		body, end := longestReference(runes, at)
		if body != "" {
			bodies = append(bodies, body)
			at = end - 1
		}
	}
	return bodies
}

// longestReference takes words after RF as long as the check digits come out right at
// the end of one of them.
func longestReference(runes []rune, at int) (body string, end int) {
	var ref strings.Builder
	for i := at; i < len(runes) && ref.Len() <= 25; i++ {
		if !separator(runes[i]) {
			ref.WriteRune(runes[i])
		} else if runes[i] != ' ' {
			break
		}
		if i+1 == len(runes) || separator(runes[i+1]) {
			if b, err := billing.ParseRFReference(ref.String()); err == nil {
				body, end = b, i+1
			}
		}
	}
	return body, end
}
