package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"radiusd/aaa"
)

// lister is what lists of one kind of row have in common: the sorts and how a place in
// them is written.
type lister[T any] struct {
	name  string // in cursors
	sorts []string
	keys  map[string]sortKey[T] // by what sorts names
	id    sortKey[T]            // tells apart rows with the same key
	// bounded lists go back to a time, which is the same on all pages.
	bounded bool
}

// sortKey is something that an index sorts by.
type sortKey[T any] struct {
	column string // an expression
	text   func(row *T) string
	valid  func(text string) bool // whether a cursor may have it
	unique bool
}

func textKey[T any](column string, value func(*T) string) sortKey[T] {
	return sortKey[T]{column: column, text: func(row *T) string { return cleanText(value(row)) }, valid: func(string) bool { return true }}
}

func timeKey[T any](column string, value func(*T) time.Time) sortKey[T] {
	return sortKey[T]{column: column, text: func(row *T) string { return from(value(row)) }, valid: func(text string) bool {
		_, err := time.Parse(timeLayout, text)
		return err == nil
	}}
}

func idKey[T any](column string, value func(*T) uuid.UUID) sortKey[T] {
	return sortKey[T]{column: column, unique: true, text: func(row *T) string { return value(row).String() }, valid: func(text string) bool {
		return uuid.Validate(text) == nil
	}}
}

func prefixKey[T any](column string, value func(*T) netip.Prefix) sortKey[T] {
	return sortKey[T]{column: column, unique: true, text: func(row *T) string { return nasLabel(value(row)) }, valid: func(text string) bool {
		return network{new(netip.Prefix)}.Scan(text) == nil
	}}
}

// listing is one page that is being read.
type listing[T any] struct {
	list       lister[T]
	sort       string
	filter     any
	keys       []sortKey[T]
	descending bool
	limit      int
	after      []string  // the keys of the last row of the page before; nil: none
	since      time.Time // of a bounded list that goes on, where the first page began
}

// begin reads what page is wanted.
func (l lister[T]) begin(page aaa.Page, filter any) (*listing[T], error) {
	name, descending, err := page.ParseSort(l.sorts)
	if err != nil {
		return nil, fmt.Errorf("%w: sort %q, want one of %s", err, page.Sort, strings.ReplaceAll(strings.Join(l.sorts, ", "), "-", ""))
	}
	p := &listing[T]{list: l, sort: name, filter: filter, descending: descending, limit: page.PageLimit()}
	if descending {
		p.sort = "-" + name
	}
	p.keys = []sortKey[T]{l.keys[name]}
	if !p.keys[0].unique {
		p.keys = append(p.keys, l.id)
	}
	if page.Cursor == "" {
		return p, nil
	}
	if p.after, err = aaa.ParseCursor(page.Cursor, l.name, p.sort, filter); err != nil {
		return nil, err
	}
	if l.bounded && len(p.after) > 0 {
		last := len(p.after) - 1
		if p.since, err = time.Parse(timeLayout, p.after[last]); err != nil {
			return nil, aaa.ErrBadCursor
		}
		p.after = p.after[:last]
	}
	if len(p.after) != len(p.keys) {
		return nil, aaa.ErrBadCursor
	}
	for i, key := range p.keys {
		if !key.valid(p.after[i]) {
			return nil, aaa.ErrBadCursor
		}
	}
	return p, nil
}

// place returns the conditions with that of where the page begins, and how it is sorted.
func (p *listing[T]) place(c conditions) (where conditions, order string) {
	where.terms, where.args = slices.Clone(c.terms), slices.Clone(c.args)
	columns, sorted, than, direction := make([]string, len(p.keys)), make([]string, len(p.keys)), ">", ""
	if p.descending {
		than, direction = "<", " DESC"
	}
	for i, key := range p.keys {
		columns[i], sorted[i] = key.column, key.column+direction
	}
	if p.after != nil {
		left, right := columns[0], "$%d"
		if len(columns) > 1 {
			left, right = "("+strings.Join(columns, ", ")+")", "("+strings.Repeat("$%d, ", len(columns)-1)+"$%d)"
		}
		where.add(left+" "+than+" "+right, arguments(p.after)...)
	}
	return where, strings.Join(sorted, ", ")
}

// rest returns what follows FROM the table: one row more than the page has, which tells
// whether there is another page.
func (p *listing[T]) rest(c conditions) (rest string, args []any) {
	where, order := p.place(c)
	return where.where() + " ORDER BY " + order + " LIMIT " + fmt.Sprint(p.limit+1), where.args
}

// page cuts off what does not belong to the page any more, and returns the cursor of the
// next one.
func (p *listing[T]) page(rows []T) (page []T, next string) {
	if len(rows) <= p.limit {
		return rows, ""
	}
	rows = rows[:p.limit]
	last := make([]string, len(p.keys))
	for i, key := range p.keys {
		last[i] = key.text(&rows[p.limit-1])
	}
	if p.list.bounded {
		last = append(last, from(p.since))
	}
	return rows, aaa.FormatCursor(p.list.name, p.sort, p.filter, last...)
}

// span appends terms for a time within a span, of which zero bounds are none.
func (c *conditions) span(column string, from, before time.Time) {
	if !from.IsZero() {
		c.add(column+" >= $%d", moment{&from})
	}
	if !before.IsZero() {
		c.add(column+" < $%d", moment{&before})
	}
}

// prefix appends terms for a text that begins with another one: a range rather than
// LIKE, which the index of both engines serves.
func (c *conditions) prefix(column, prefix string) {
	if prefix = cleanText(prefix); prefix != "" {
		c.add(column+" >= $%d", prefix)
		c.add(column+" < $%d", prefix+"\U0010FFFF")
	}
}

// planned has Postgres make the plan of a list's query for its arguments. One that is
// made once for all arguments, as Postgres does it in time for a statement that is
// prepared, is the wrong one for those that are rare. A list without arguments, and a
// place in it, is the same for all; to plan that takes longer than to read it.
func (s *Store) planned(args []any) []any {
	if s.pool == nil || len(args) == 0 {
		return args
	}
	return append([]any{pgx.QueryExecModeCacheDescribe}, args...)
}

// eachListed is eachRow for the query of a list.
func (s *Store) eachListed(ctx context.Context, query string, args, dest []any, fn func() error) error {
	return eachRow(ctx, s.reader, query, s.planned(args), dest, fn)
}

// count counts what the conditions select, no more than there is a point in.
func (s *Store) count(ctx context.Context, what, table string, c conditions) (aaa.Count, error) {
	var n int
	err := s.eachListed(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s%s LIMIT %d) AS counted", table, c.where(), aaa.MaxCount+1),
		c.args, []any{&n}, func() error { return nil })
	if err != nil {
		return aaa.Count{}, fmt.Errorf("count %s: %w", what, s.explain(err))
	}
	if n > aaa.MaxCount {
		return aaa.Count{N: aaa.MaxCount, AtLeast: true}, nil
	}
	return aaa.Count{N: n}, nil
}

// listFailed words an error of a list.
func (s *Store) listFailed(what string, err error) error {
	if errors.Is(err, aaa.ErrBadCursor) || errors.Is(err, aaa.ErrBadSort) {
		return err
	}
	return fmt.Errorf("list %s: %w", what, s.explain(err))
}

// listIDs reads the ids that a query selects.
func listIDs(ctx context.Context, q querier, query string, args []any) (ids []uuid.UUID, err error) {
	var rowID uuid.UUID
	err = eachRow(ctx, q, query, args, []any{id{&rowID}}, func() error {
		ids = append(ids, rowID)
		return nil
	})
	return ids, err
}
