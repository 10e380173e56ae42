package dictionary

import (
	"cmp"
	"slices"
	"strings"
)

// near gives up to three names that resemble an unknown one, best first.
func (d *Dictionary) near(name string) []string {
	if len(name) < 2 || len(name) > 64 {
		return nil
	}
	want := lower(name)
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	limit := min(3, len(want)/3+1)
	for have, a := range d.byName {
		switch {
		case abs(len(have)-len(want)) <= limit:
			if n := distance(have, want); n <= limit {
				found = append(found, candidate{a.Name, n})
			}
		case len(want) >= 4 && strings.HasSuffix(have, "-"+want):
			found = append(found, candidate{a.Name, limit + 1})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var names []string
	for _, c := range found[:min(3, len(found))] {
		names = append(names, c.name)
	}
	return names
}

func abs(n int) int { return max(n, -n) }

// distance is the number of characters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	var row [68]int
	if len(b) >= len(row) {
		return len(b)
	}
	for j := range len(b) + 1 {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
