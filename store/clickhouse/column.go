package clickhouse

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// column is a column of a table that rows of type T are inserted into. fill returns
// its values for all rows, as a slice of a type that clickhouse-go copies without
// boxing each of them.
type column[T any] struct {
	name string
	fill func(s *scratch, rows []T) any
}

// scratch is memory for the values of one column at a time, used again for the next.
type scratch struct {
	texts   []string
	octets  []byte
	ends    []int
	wide    []uint64
	pointer []*uint64
	signed  []int64
	narrow  []uint32
	flags   []uint8
	times   []time.Time
	ids     []uuid.UUID
}

func text[T any](name string, get func(*T) string) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.texts = s.texts[:0]
		for i := range rows {
			s.texts = append(s.texts, get(&rows[i]))
		}
		return s.texts
	}}
}

// octets is a text column whose values are made by appending: one allocation serves
// the whole column.
func octets[T any](name string, appendTo func([]byte, *T) []byte) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.texts, s.octets, s.ends = s.texts[:0], s.octets[:0], s.ends[:0]
		for i := range rows {
			s.octets = appendTo(s.octets, &rows[i])
			s.ends = append(s.ends, len(s.octets))
		}
		whole, from := string(s.octets), 0
		for _, end := range s.ends {
			s.texts = append(s.texts, whole[from:end])
			from = end
		}
		return s.texts
	}}
}

func wide[T any](name string, get func(*T) uint64) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.wide = s.wide[:0]
		for i := range rows {
			s.wide = append(s.wide, get(&rows[i]))
		}
		return s.wide
	}}
}

// optional is a column with NULL where has is false.
func optional[T any](name string, get func(*T) (n uint64, has bool)) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		if cap(s.wide) < len(rows) {
			s.wide = make([]uint64, 0, len(rows)) // pointers into it must stay valid
		}
		s.wide, s.pointer = s.wide[:0], s.pointer[:0]
		for i := range rows {
			n, has := get(&rows[i])
			s.wide = append(s.wide, n)
			if has {
				s.pointer = append(s.pointer, &s.wide[i])
			} else {
				s.pointer = append(s.pointer, nil)
			}
		}
		return s.pointer
	}}
}

func signed[T any](name string, get func(*T) int64) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.signed = s.signed[:0]
		for i := range rows {
			s.signed = append(s.signed, get(&rows[i]))
		}
		return s.signed
	}}
}

func narrow[T any](name string, get func(*T) uint32) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.narrow = s.narrow[:0]
		for i := range rows {
			s.narrow = append(s.narrow, get(&rows[i]))
		}
		return s.narrow
	}}
}

func flag[T any](name string, get func(*T) bool) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.flags = s.flags[:0]
		for i := range rows {
			var set uint8
			if get(&rows[i]) {
				set = 1
			}
			s.flags = append(s.flags, set)
		}
		return s.flags
	}}
}

func id[T any](name string, get func(*T) uuid.UUID) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.ids = s.ids[:0]
		for i := range rows {
			s.ids = append(s.ids, get(&rows[i]))
		}
		return s.ids
	}}
}

// moment is a DateTime column: whole seconds.
func moment[T any](name string, get func(*T) time.Time) column[T] {
	return column[T]{name, func(s *scratch, rows []T) any {
		s.times = s.times[:0]
		for i := range rows {
			s.times = append(s.times, get(&rows[i]))
		}
		return s.times
	}}
}

// storable is the time nearest to t that a DateTime can hold, in UTC.
func storable(t time.Time) time.Time {
	if seconds := t.Unix(); seconds < 0 {
		return time.Unix(0, 0).UTC()
	} else if seconds > math.MaxUint32 {
		return time.Unix(math.MaxUint32, 0).UTC()
	}
	return t.UTC()
}

func microseconds(t time.Time) uint32 { return uint32(t.Nanosecond() / 1000) }

// names lists the columns.
func names[T any](columns []column[T]) []string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].name
	}
	return list
}

// insertRows inserts rows as one native block.
func insertRows[T any](ctx context.Context, s *Store, memory *scratch, table string, columns []column[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	ctx, done := s.writing(ctx)
	defer done()
	batch, err := s.conn.PrepareBatch(ctx, s.insert(table, names(columns)...))
	if err != nil {
		return fmt.Errorf("insert into %s: %w", table, explain(err))
	}
	pace := aaa.PaceOf(ctx)
	for i, c := range columns {
		pace.Step() // listeners may wait for this processor
		if err := batch.Column(i).Append(c.fill(memory, rows)); err != nil {
			return fmt.Errorf("insert into %s: column %s: %w", table, c.name, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", table, explain(err))
	}
	return nil
}
