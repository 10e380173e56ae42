// Package spelling finds the names a user may have meant.
package spelling

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Near returns those of the candidates that are a likely misspelling away from
// word, the nearest first and at most three. Case does not count.
func Near(word string, candidates []string) []string {
	type match struct {
		name     string
		distance int
	}
	word = strings.ToLower(word)
	limit := 1 + utf8.RuneCountInString(word)/4
	var matches []match
	for _, name := range candidates {
		lower := strings.ToLower(name)
		d := Distance(word, lower)
		if d > limit && len(word) >= 3 && strings.Contains(lower, word) {
			d = limit
		}
		if d <= limit {
			matches = append(matches, match{name, d})
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int { return a.distance - b.distance })
	var names []string
	for _, m := range matches {
		if len(names) < 3 && !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	return names
}

// Hint returns "did you mean x, y or z?" for the near candidates, or "".
func Hint(word string, candidates []string) string {
	names := Near(word, candidates)
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return "did you mean " + names[0] + "?"
	default:
		return "did you mean " + strings.Join(names[:n-1], ", ") + " or " + names[n-1] + "?"
	}
}

// Distance is how many characters have to be inserted, deleted, replaced or
// swapped with their neighbour to make b of a (optimal string alignment).
func Distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, row, next := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		next[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			next[j+1] = min(row[j+1]+1, next[j]+1, row[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(t)]
}
