package typeset

import (
	"slices"

	"golang.org/x/text/unicode/bidi"
)

// The Unicode Bidirectional Algorithm (UAX #9) for text without explicit formatting
// characters, which the caller has taken out. The shaping library has it too, but does
// not tell the levels that the order of the parts of a line depends on.

// baseLevel returns 1 for a text whose first letter is of a script written from right to
// left, else 0 (P2, P3).
func baseLevel(text []rune) int8 {
	for _, r := range text {
		switch class(r) {
		case bidi.L:
			return 0
		case bidi.R, bidi.AL:
			return 1
		}
	}
	return 0
}

func class(r rune) bidi.Class {
	if r < 0x80 { // the common case
		properties, _ := bidi.LookupString(string(rune(r)))
		return properties.Class()
	}
	properties, _ := bidi.LookupRune(r)
	return properties.Class()
}

// bidiLevels returns the embedding level of each rune: even ones are written from left
// to right. What has no direction of its own and is ignored by the algorithm (BN) goes
// with what is before it.
func bidiLevels(text []rune, base int8) []int8 {
	levels := make([]int8, len(text))
	classes := make([]bidi.Class, 0, len(text))
	where := make([]int, 0, len(text)) // of the classes in the text
	simple := base == 0
	for i, r := range text {
		c := class(r)
		switch c {
		case bidi.R, bidi.AL, bidi.AN:
			simple = false
		case bidi.BN, bidi.LRE, bidi.RLE, bidi.LRO, bidi.RLO, bidi.PDF: // X9
			continue
		case bidi.LRI, bidi.RLI, bidi.FSI, bidi.PDI, bidi.B, bidi.S, bidi.WS:
			c = bidi.ON
		}
		classes, where = append(classes, c), append(where, i)
	}
	if simple {
		return levels
	}
	sor := bidi.L
	if base == 1 {
		sor = bidi.R
	}
	runes := make([]rune, len(where))
	for i, at := range where {
		runes[i] = text[at]
	}
	resolveWeak(classes, sor)
	resolveBrackets(runes, classes, sor)
	resolveNeutral(classes, sor)
	for i, c := range classes { // I1, I2
		level := base
		switch {
		case base == 0 && c == bidi.R:
			level = 1
		case base == 0 && (c == bidi.AN || c == bidi.EN):
			level = 2
		case base == 1 && c != bidi.R:
			level = 2
		}
		levels[where[i]] = level
	}
	last, next := base, 0
	for i := range levels {
		if next < len(where) && where[next] == i {
			last, next = levels[i], next+1
		} else {
			levels[i] = last
		}
	}
	// L1: spaces at the end are as the paragraph. Lines have none at their ends.
	for i := len(text) - 1; i >= 0 && isSpace(text[i]); i-- {
		levels[i] = base
	}
	return levels
}

// resolveWeak resolves numbers and what goes with them (W1 to W7).
func resolveWeak(c []bidi.Class, sor bidi.Class) {
	before := sor
	for i := range c { // W1
		if c[i] == bidi.NSM {
			c[i] = before
		}
		before = c[i]
	}
	strong := sor
	for i := range c { // W2, W3
		switch c[i] {
		case bidi.L, bidi.R:
			strong = c[i]
		case bidi.AL:
			strong, c[i] = bidi.AL, bidi.R
		case bidi.EN:
			if strong == bidi.AL {
				c[i] = bidi.AN
			}
		}
	}
	for i := 1; i+1 < len(c); i++ { // W4
		if c[i-1] == c[i+1] && (c[i] == bidi.ES && c[i-1] == bidi.EN ||
			c[i] == bidi.CS && (c[i-1] == bidi.EN || c[i-1] == bidi.AN)) {
			c[i] = c[i-1]
		}
	}
	for i := 0; i < len(c); { // W5, W6
		end := i
		for end < len(c) && c[end] == bidi.ET {
			end++
		}
		if end > i {
			to := bidi.ON
			if i > 0 && c[i-1] == bidi.EN || end < len(c) && c[end] == bidi.EN {
				to = bidi.EN
			}
			for ; i < end; i++ {
				c[i] = to
			}
			continue
		}
		if c[i] == bidi.ES || c[i] == bidi.CS {
			c[i] = bidi.ON
		}
		i++
	}
	strong = sor
	for i := range c { // W7
		switch c[i] {
		case bidi.L, bidi.R:
			strong = c[i]
		case bidi.EN:
			if strong == bidi.L {
				c[i] = bidi.L
			}
		}
	}
}

// direction returns what a class counts as among neutrals: numbers count as R.
func direction(c bidi.Class) bidi.Class {
	if c == bidi.EN || c == bidi.AN {
		return bidi.R
	}
	return c
}

// resolveBrackets makes pairs of brackets go with what they enclose (N0).
func resolveBrackets(text []rune, c []bidi.Class, embedding bidi.Class) {
	type pair struct{ open, end int }
	type opening struct {
		closer rune
		at     int
	}
	var stack []opening
	var pairs []pair
	for i, r := range text {
		if c[i] != bidi.ON {
			continue
		}
		if closer, ok := closers[r]; ok {
			if len(stack) == 63 { // BD16
				break
			}
			stack = append(stack, opening{closer, i})
			continue
		}
		for j := len(stack) - 1; j >= 0; j-- {
			if stack[j].closer == r {
				pairs = append(pairs, pair{stack[j].at, i})
				stack = stack[:j]
				break
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return a.open - b.open })
	for _, p := range pairs {
		found := bidi.ON
		for i := p.open + 1; i < p.end; i++ {
			if d := direction(c[i]); d == embedding {
				found = d
				break
			} else if d == bidi.L || d == bidi.R {
				found = d
			}
		}
		if found == bidi.ON {
			continue
		}
		if found != embedding { // N0 c: what is before the bracket decides
			context := embedding
			for i := p.open - 1; i >= 0; i-- {
				if d := direction(c[i]); d == bidi.L || d == bidi.R {
					context = d
					break
				}
			}
			if context != found {
				found = embedding
			}
		}
		c[p.open], c[p.end] = found, found
	}
}

// closers are the brackets that stand in names, and what closes them.
var closers = map[rune]rune{
	'(': ')', '[': ']', '{': '}', '⟨': '⟩', '〈': '〉', '《': '》', '「': '」', '『': '』', '【': '】', '（': '）', '［': '］', '｛': '｝',
}

// resolveNeutral makes what has no direction go with what is around it (N1, N2).
func resolveNeutral(c []bidi.Class, sor bidi.Class) {
	neutral := func(c bidi.Class) bool { d := direction(c); return d != bidi.L && d != bidi.R }
	for i := 0; i < len(c); {
		if !neutral(c[i]) {
			i++
			continue
		}
		end := i
		for end < len(c) && neutral(c[end]) {
			end++
		}
		before, after := sor, sor
		if i > 0 {
			before = direction(c[i-1])
		}
		if end < len(c) {
			after = direction(c[end])
		}
		to := sor
		if before == after {
			to = before
		}
		for ; i < end; i++ {
			c[i] = to
		}
	}
}

// visualOrder returns the order of parts with the levels given from left to right (L2).
func visualOrder(levels []int8) []int {
	order := make([]int, len(levels))
	for i := range order {
		order[i] = i
	}
	if len(levels) == 0 {
		return order
	}
	for level := slices.Max(levels); level > 0; level-- {
		for i := 0; i < len(order); i++ {
			end := i
			for end < len(order) && levels[order[end]] >= level {
				end++
			}
			if end > i {
				slices.Reverse(order[i:end])
				i = end
			}
		}
	}
	return order
}
