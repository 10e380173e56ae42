package report

import (
	"cmp"
	"slices"
)

// Ranking puts the rows of one period of a CountQuery in order, and keeps only
// as many as are asked for.
type Ranking struct {
	limit int
	rows  []Count
}

// NewRanking returns an empty ranking.
func NewRanking(q CountQuery) *Ranking { return &Ranking{limit: q.Limit} }

func compareCounts(a, b Count) int {
	inferred := func(c Count) int {
		if c.Inferred {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Cause, b.Cause), cmp.Compare(inferred(a), inferred(b)))
}

// Add takes a row.
func (r *Ranking) Add(row Count) {
	if r.limit == 0 {
		r.rows = append(r.rows, row)
		return
	}
	at, _ := slices.BinarySearchFunc(r.rows, row, compareCounts)
	if at < r.limit {
		r.rows = slices.Insert(r.rows, at, row)
		r.rows = r.rows[:min(len(r.rows), r.limit)]
	}
}

// Close calls fn for the rows in their order, and leaves the ranking empty.
func (r *Ranking) Close(fn func(Count) error) error {
	slices.SortFunc(r.rows, compareCounts)
	for _, row := range r.rows {
		if err := fn(row); err != nil {
			return err
		}
	}
	r.rows = r.rows[:0]
	return nil
}
