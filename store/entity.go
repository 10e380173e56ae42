package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// entity is what users, plans, groups and NASes have in common: rows with an id
// and a name, written whole.
type entity[T any] struct {
	table  string
	kind   string // for messages
	name   string // the column that names it
	fields func(s *Store, v *T) []field
	head   func(v *T) head
	// load and save read and write what is in other tables; nil: nothing is.
	load func(ctx context.Context, q querier, v *T) error
	save func(ctx context.Context, tx *writeTx, v *T) error
}

// head is what every entity has.
type head struct {
	id                   *uuid.UUID
	label                string // the name, for messages
	createdAt, updatedAt *time.Time
}

func (e entity[T]) create(ctx context.Context, s *Store, v *T) error {
	h := e.head(v)
	if *h.id == uuid.Nil {
		created, err := uuid.NewV7()
		if err != nil {
			return err
		}
		*h.id = created
	}
	*h.createdAt = s.timestamp()
	*h.updatedAt = *h.createdAt
	err := s.write(ctx, func(tx *writeTx) error {
		if err := insert(ctx, tx.Tx, e.table, e.fields(s, v)); err != nil {
			return err
		}
		return e.saveRest(ctx, tx, v)
	})
	return e.failed(s, "create", h.label, err)
}

// change reads the row that the name stands for, lets fn change it and writes it
// back, in one transaction.
func (e entity[T]) change(ctx context.Context, s *Store, name any, fn func(*T) error) error {
	label := fmt.Sprint(name)
	err := s.write(ctx, func(tx *writeTx) error {
		v, err := e.find(ctx, s, tx.Tx, e.name, name, tx.forUpdate())
		if err != nil {
			return err
		}
		before := *e.head(v).id
		if err := fn(v); err != nil {
			return err
		}
		h := e.head(v)
		label = h.label
		if *h.id != before {
			return errors.New("the id of a row cannot be changed")
		}
		*h.updatedAt = s.timestamp()
		if err := update(ctx, tx.Tx, e.table, e.fields(s, v)); err != nil {
			return err
		}
		return e.saveRest(ctx, tx, v)
	})
	return e.failed(s, "change", label, err)
}

func (e entity[T]) saveRest(ctx context.Context, tx *writeTx, v *T) error {
	if e.save == nil {
		return nil
	}
	return e.save(ctx, tx, v)
}

func (e entity[T]) remove(ctx context.Context, s *Store, name any) error {
	err := s.write(ctx, func(tx *writeTx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM "+e.table+" WHERE "+e.name+" = $1", name)
		if err != nil {
			if kindOf(err) == kindForeignKey {
				return fmt.Errorf("%s %q: %w", e.kind, name, ErrInUse)
			}
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, notFound(e.kind, fmt.Sprint(name)))
		}
		return nil
	})
	return e.failed(s, "delete", fmt.Sprint(name), err)
}

// get reads one row by a unique column.
func (e entity[T]) get(ctx context.Context, s *Store, column string, value any) (*T, error) {
	var v *T
	err := s.read(ctx, func(tx *sql.Tx) (err error) {
		v, err = e.find(ctx, s, tx, column, value, "")
		return err
	})
	if err != nil {
		return nil, e.failed(s, "read", fmt.Sprint(value), err)
	}
	return v, nil
}

func (e entity[T]) find(ctx context.Context, s *Store, q querier, column string, value any, lock string) (*T, error) {
	v := new(T)
	fields := e.fields(s, v)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM "+e.table+" WHERE "+column+" = $1"+lock, value).
		Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound(e.kind, fmt.Sprint(value))
	}
	if err == nil && e.load != nil {
		err = e.load(ctx, q, v)
	}
	return v, err
}

// list reads rows without what is in other tables. rest is what follows FROM
// the table. An unreadable secret is reported to damaged and left nil; without
// damaged, list fails.
func (e entity[T]) list(ctx context.Context, s *Store, q querier, rest string, args []any, damaged func(error)) ([]T, error) {
	var rows []T
	var v T
	fields := e.fields(s, &v)
	for i := range fields {
		if c, ok := fields[i].column.(secret); ok {
			c.damaged = damaged
			fields[i].column = c
		}
	}
	err := eachRow(ctx, q, "SELECT "+names(fields)+" FROM "+e.table+" "+rest, args, targets(fields), func() error {
		rows = append(rows, v)
		return nil
	})
	return rows, err
}

// failed words an error of an action on a named row.
func (e entity[T]) failed(s *Store, action, label string, err error) error {
	switch {
	case err == nil:
		return nil
	case kindOf(err) == kindUnique:
		return fmt.Errorf("%s %q: %w", e.kind, label, ErrExists)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists), errors.Is(err, ErrInUse):
		return err
	}
	return fmt.Errorf("%s %s %q: %w", action, e.kind, label, s.explain(err))
}

// timestamp is the present as the database holds it.
func (s *Store) timestamp() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// maxName is how many octets an attribute of RADIUS holds (RFC 2865 section 5).
const maxName = 253

// checkName refuses names that a database cannot hold, that no packet can carry or
// that nobody could type.
func checkName(kind, name string) error {
	if name == "" {
		return fmt.Errorf("a %s needs a name", kind)
	}
	if len(name) > maxName {
		return fmt.Errorf("the %s name has %d octets, and RADIUS carries %d", kind, len(name), maxName)
	}
	if cleanText(name) != name || strings.ContainsAny(name, "\r\n") {
		return fmt.Errorf("%s name %q has characters that are not text", kind, name)
	}
	return nil
}
