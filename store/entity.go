package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// entity is what users, plans, groups and NASes have in common: rows with an id
// and a name, written whole.
type entity[T any] struct {
	table  string
	kind   string // for messages
	fields func(s *Store, v *T) []field
	head   func(v *T) head
	// valid says what is wrong with a row before it is written, and may normalise it.
	valid func(v *T) error
	// load and save read and write what is in other tables; nil: nothing is.
	load func(ctx context.Context, q querier, v *T) error
	save func(ctx context.Context, tx *writeTx, v *T) error
	// lists returns what save writes, for the audit log. What save writes and lists
	// does not return is a change that nobody sees, so who has the one has both.
	lists func(v *T) ([]fact, error)
	// refers says which of the rows that v refers to do not exist, after the database
	// has refused v for one of them; nil: it refers to none.
	refers func(ctx context.Context, q querier, v *T) error
	// noSecret says that v has no secret, so that one which cannot be read is gone for good;
	// nil: it always has one.
	noSecret func(v *T) bool
	// unique are the unique indexes beside that of the label, by what of v they are of.
	unique map[string]uniqueIndex
	// users is the query that counts the users of the row $1, and how to word that;
	// a row with users is not deleted. Empty: nothing keeps it.
	users, inUse string
	// removing does what comes before a row is deleted, and may refuse it; nil: nothing does.
	removing func(ctx context.Context, tx *writeTx, v *T) error
}

// uniqueIndex is a unique index, as the engines name it where it refuses a row.
type uniqueIndex struct {
	name    string // Postgres
	columns string // SQLite
}

// head is what every entity has.
type head struct {
	id                   *uuid.UUID
	label                string // the name, for messages
	createdAt, updatedAt *time.Time
}

func (e entity[T]) create(ctx context.Context, s *Store, v *T) error {
	if err := e.valid(v); err != nil {
		return err
	}
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
		if err := tx.claimKey(ctx, *h.id); err != nil {
			return err
		}
		if err := insert(ctx, tx.Tx, e.table, e.fields(s, v)); err != nil {
			return err
		}
		if err := e.saveRest(ctx, tx, v); err != nil {
			return err
		}
		after, err := e.facts(s, v)
		if err != nil {
			return err
		}
		return e.record(ctx, tx, "create", h, nil, after)
	})
	return e.failed(s, "create", h.label, e.dangling(ctx, s, v, err))
}

// change reads the row whose column, a unique one, has the value, lets fn change it
// and writes it back, in one transaction. If fn changes nothing, nothing is written.
func (e entity[T]) change(ctx context.Context, s *Store, column string, value any, fn func(*T) error) error {
	return e.changeWith(ctx, s, column, value, func(_ *writeTx, v *T) error { return fn(v) })
}

// changeWith is change for a fn that reads or writes more, in the transaction.
func (e entity[T]) changeWith(ctx context.Context, s *Store, column string, value any, fn func(*writeTx, *T) error) error {
	label := fmt.Sprint(value)
	var changed *T
	err := s.write(ctx, func(tx *writeTx) (err error) {
		changed, err = e.changeIn(ctx, tx, column, value, func(v *T) error { return fn(tx, v) })
		if changed != nil {
			label = e.head(changed).label
		}
		return err
	})
	return e.failed(s, "change", label, e.dangling(ctx, s, changed, err))
}

// changeIn is change within a transaction. It returns the row, if there is one, also
// with an error.
func (e entity[T]) changeIn(ctx context.Context, tx *writeTx, column string, value any, fn func(*T) error) (*T, error) {
	s := tx.store
	var damaged []error // secrets that cannot be read may be replaced
	v, err := e.find(ctx, s, tx.Tx, column, value, tx.forUpdate(), func(err error) { damaged = append(damaged, err) })
	if err != nil {
		return nil, err
	}
	before, err := e.facts(s, v)
	if err != nil {
		return v, err
	}
	identity, updatedAt := *e.head(v).id, *e.head(v).updatedAt
	if err := fn(v); err != nil {
		if len(aaa.FieldErrors(err)) > 0 { // perhaps for want of what cannot be read
			err = cmp.Or(e.replaced(s, v, damaged), err)
		}
		return v, err
	}
	h := e.head(v)
	if *h.id != identity {
		return v, errors.New("the id of a row cannot be changed")
	}
	if err := e.replaced(s, v, damaged); err != nil {
		return v, err
	}
	if err := e.valid(v); err != nil {
		return v, err
	}
	after, err := e.facts(s, v)
	if err != nil || same(before, after) {
		return v, err
	}
	*h.updatedAt = s.timestampAfter(updatedAt)
	if err := update(ctx, tx.Tx, e.table, e.fields(s, v)); err != nil {
		return v, err
	}
	if err := e.saveRest(ctx, tx, v); err != nil {
		return v, err
	}
	return v, e.record(ctx, tx, "update", h, before, after)
}

// replaced fails with aaa.ErrDamaged if v still lacks one of the secrets that could not be
// read: to write it would delete the secret.
func (e entity[T]) replaced(s *Store, v *T, damaged []error) error {
	if len(damaged) == 0 || e.noSecret != nil && e.noSecret(v) {
		return nil
	}
	for _, f := range e.fields(s, v) {
		c, ok := f.column.(secret)
		if !ok || *c.p != nil {
			continue
		}
		for _, err := range damaged {
			var of *damagedError
			if errors.As(err, &of) && of.column == c.column {
				return fmt.Errorf("%w (%w)", aaa.ErrDamaged, err)
			}
		}
	}
	return nil
}

// dangling replaces the error of a reference to what does not exist by what says
// which one.
func (e entity[T]) dangling(ctx context.Context, s *Store, v *T, err error) error {
	if v == nil || e.refers == nil || kindOf(err) != kindForeignKey {
		return err
	}
	if missing := e.refers(ctx, s.reader, v); missing != nil {
		return missing
	}
	return err
}

func (e entity[T]) saveRest(ctx context.Context, tx *writeTx, v *T) error {
	if e.save == nil {
		return nil
	}
	return e.save(ctx, tx, v)
}

// remove deletes the row whose column, a unique one, has the value, unless check fails,
// which sees it in the same transaction; nil: nothing is checked.
func (e entity[T]) remove(ctx context.Context, s *Store, column string, value any, check func(*T) error) error {
	label := fmt.Sprint(value)
	err := s.write(ctx, func(tx *writeTx) error {
		v, err := e.find(ctx, s, tx.Tx, column, value, tx.forUpdate(), s.logDamage)
		if err != nil {
			return err
		}
		before, err := e.facts(s, v)
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(v); err != nil {
				return err
			}
		}
		h := e.head(v)
		label = h.label
		if e.removing != nil {
			if err := e.removing(ctx, tx, v); err != nil {
				return err
			}
		}
		if e.users != "" {
			var n int
			if err := tx.QueryRowContext(ctx, e.users, h.id.String()).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				return fmt.Errorf("%s %q: %w: %s", e.kind, label, ErrInUse, fmt.Sprintf(e.inUse, n))
			}
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM "+e.table+" WHERE id = $1", h.id.String())
		if kindOf(err) == kindForeignKey {
			return fmt.Errorf("%s %q: %w", e.kind, label, ErrInUse)
		}
		if err != nil {
			return err
		}
		return e.record(ctx, tx, "delete", h, before, nil)
	})
	return e.failed(s, "delete", label, err)
}

// facts returns what the audit log knows of an entity.
func (e entity[T]) facts(s *Store, v *T) ([]fact, error) {
	facts, err := factsOf(e.fields(s, v))
	if err != nil || e.lists == nil {
		return facts, err
	}
	lists, err := e.lists(v)
	return append(facts, lists...), err
}

// record writes what was done to an entity into the audit log and the outbox.
func (e entity[T]) record(ctx context.Context, tx *writeTx, verb string, h head, before, after []fact) error {
	changes, err := changesOf(before, after)
	if err != nil {
		return err
	}
	kind := strings.ReplaceAll(strings.ToLower(e.kind), " ", "_")
	return tx.record(ctx, operator.AuditEntry{
		Action: e.table + "." + verb, EntityKind: kind, EntityID: *h.id, EntityName: h.label, Changes: changes,
	}, kind+"."+verb+"d") // create, update, delete
}

// get reads one row by a unique column.
func (e entity[T]) get(ctx context.Context, s *Store, column string, value any) (*T, error) {
	var v *T
	err := s.read(ctx, func(tx *sql.Tx) (err error) {
		v, err = e.find(ctx, s, tx, column, value, "", nil)
		return err
	})
	if err != nil {
		return nil, e.failed(s, "read", fmt.Sprint(value), err)
	}
	return v, nil
}

// find reads one row by a unique column. An unreadable secret is reported to damaged
// and left nil; without damaged, find fails.
func (e entity[T]) find(ctx context.Context, s *Store, q querier, column string, value any, lock string, damaged func(error)) (*T, error) {
	v := new(T)
	fields := tolerant(e.fields(s, v), damaged)
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
	fields := tolerant(e.fields(s, &v), damaged)
	err := eachRow(ctx, q, "SELECT "+names(fields)+" FROM "+e.table+" "+rest, args, targets(fields), func() error {
		rows = append(rows, v)
		return nil
	})
	return rows, err
}

// tolerant has secrets that cannot be read reported rather than fail.
func tolerant(fields []field, damaged func(error)) []field {
	for i := range fields {
		if c, ok := fields[i].column.(secret); ok {
			c.damaged = damaged
			fields[i].column = c
		}
	}
	return fields
}

// failed words an error of an action on a named row.
func (e entity[T]) failed(s *Store, action, label string, err error) error {
	switch {
	case err == nil:
		return nil
	case kindOf(err) == kindUnique:
		for what, index := range e.unique {
			if refusedBy(err, index) {
				return fmt.Errorf("%s %q: another with its %s %w", e.kind, label, what, ErrExists)
			}
		}
		return fmt.Errorf("%s %q: %w", e.kind, label, ErrExists)
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrExists), errors.Is(err, ErrInUse):
		return err
	}
	return fmt.Errorf("%s %s %q: %w", action, e.kind, label, s.explain(err))
}

// timestamp is the present as the database holds it.
func (s *Store) timestamp() time.Time { return s.now().UTC().Truncate(time.Microsecond) }

// timestampAfter is the present, but always later than before: what has changed has
// another time.
func (s *Store) timestampAfter(before time.Time) time.Time {
	now := s.timestamp()
	if !now.After(before) {
		now = before.Add(time.Microsecond)
	}
	return now
}
