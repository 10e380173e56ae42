package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// A rename leaves sessions and records under the name of their time, so a user's names are
// kept with the times between which they were the user's. Who takes a name afterwards has
// only what is newer.

// nameSlack is how far clocks of NASes and nodes may be off at the ends of a name's time,
// if nobody else had the name.
const nameSlack = time.Hour

// heldName is a name with the time in which it was a user's.
type heldName struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"` // zero: since there is the user
	Until time.Time `json:"until"` // zero: it is the user's
}

func heldNameFields(userID *uuid.UUID, n *heldName) []field {
	return []field{
		{"user_id", id{userID}},
		{"username", text{&n.Name}},
		{"since", moment{&n.Since}},
		{"until", moment{&n.Until}},
	}
}

// keepFormerName notes that a user was renamed when it was last updated.
func keepFormerName(ctx context.Context, tx *writeTx, user *aaa.User, former string) error {
	held := heldName{Name: former, Until: user.UpdatedAt}
	names, err := formerNames(ctx, tx, user.ID)
	if err != nil {
		return err
	}
	if n := len(names); n > 0 {
		held.Since = names[n-1].Until
	}
	return insert(ctx, tx.Tx, "former_usernames", heldNameFields(&user.ID, &held))
}

// formerNames returns the names that a user had, the first one first.
func formerNames(ctx context.Context, q querier, userID uuid.UUID) (list []heldName, err error) {
	var n heldName
	fields := heldNameFields(&userID, &n)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM former_usernames WHERE user_id = $1 ORDER BY until", []any{userID.String()}, targets(fields), func() error {
		list = append(list, n)
		return nil
	})
	return list, err
}

// namesHeld returns all names of a user, the one that it has last.
func namesHeld(ctx context.Context, q querier, userID uuid.UUID, name string) ([]heldName, error) {
	names, err := formerNames(ctx, q, userID)
	if err != nil {
		return nil, err
	}
	last := heldName{Name: name}
	if n := len(names); n > 0 {
		last.Since = names[n-1].Until
	}
	return append(names, last), nil
}

// recordName is a name with the times of a user's records.
type recordName struct {
	aaa.UserName
	// Somebody else had the name until, and from; zero: nobody before, or since.
	othersUntil, othersFrom time.Time
}

// shared says that somebody else had or has the name.
func (r *recordName) shared() bool { return !r.othersUntil.IsZero() || !r.othersFrom.IsZero() }

// recordsOf says which records of a name that a user held are the user's.
func recordsOf(ctx context.Context, q querier, userID uuid.UUID, held heldName) (recordName, error) {
	r := recordName{UserName: aaa.UserName{Name: held.Name}}
	if !held.Since.IsZero() {
		r.From = held.Since.Add(-nameSlack)
	}
	if !held.Until.IsZero() {
		r.Before = held.Until.Add(nameSlack)
	}
	var since, until time.Time
	err := eachRow(ctx, q, `SELECT coalesce(f.since, u.created_at), f.until FROM former_usernames f JOIN users u ON u.id = f.user_id
			WHERE f.username = $1 AND f.user_id <> $2
		UNION ALL SELECT coalesce((SELECT max(f.until) FROM former_usernames f WHERE f.user_id = u.id), u.created_at), NULL FROM users u
			WHERE u.username = $1 AND u.id <> $2`,
		[]any{held.Name, userID.String()}, []any{moment{&since}, moment{&until}}, func() error {
			after := until.IsZero() || !held.Until.IsZero() && until.After(held.Until)
			if after && (r.othersFrom.IsZero() || since.Before(r.othersFrom)) {
				r.othersFrom = since
			} else if !after && until.After(r.othersUntil) {
				r.othersUntil = until
			}
			return nil
		})
	if r.othersUntil.After(r.From) {
		r.From = r.othersUntil
	}
	if !r.othersFrom.IsZero() && (r.Before.IsZero() || r.othersFrom.Before(r.Before)) {
		r.Before = r.othersFrom
	}
	return r, err
}

// rows is which rows of a table are the user's, by the column that has their time.
func (r recordName) rows(column string) (c conditions) {
	c.add("username = $%d", r.Name)
	c.span(column, r.From, r.Before)
	return c
}

// days is which days of usage_daily are the user's. One on which the name changed hands is
// nobody's.
func (r recordName) days(s *Store) (c conditions) {
	day := "$%d"
	if s.pool != nil {
		day = "$%d::text::date"
	}
	c.add("username = $%d", r.Name)
	for _, bound := range []struct {
		days string
		at   time.Time
	}{{"day >= ", r.From}, {"day <= ", r.Before}, {"day > ", r.othersUntil}, {"day < ", r.othersFrom}} {
		if !bound.at.IsZero() {
			c.add(bound.days+day, bound.at.In(s.location).Format(dayLayout))
		}
	}
	return c
}

// UserNames returns the names under which a user's records are, the one that it has last.
// It fails with ErrNotFound.
func (s *Store) UserNames(ctx context.Context, userID uuid.UUID) (list []aaa.UserName, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list = nil
		found, err := recordNames(ctx, tx, userID)
		for _, n := range found {
			list = append(list, n.UserName)
		}
		return err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read the names of user %s: %w", userID, s.explain(err))
	}
	return list, nil
}

// recordNames is UserNames within a transaction.
func recordNames(ctx context.Context, q querier, userID uuid.UUID) (list []recordName, err error) {
	var name string
	err = q.QueryRowContext(ctx, "SELECT username FROM users WHERE id = $1", userID.String()).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("user", userID.String())
	}
	if err != nil {
		return nil, err
	}
	held, err := namesHeld(ctx, q, userID, name)
	if err != nil {
		return nil, err
	}
	for _, h := range held {
		r, err := recordsOf(ctx, q, userID, h)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// FormerUser returns the id of the user who had a name at a time and was renamed since;
// zero: nobody.
func (s *Store) FormerUser(ctx context.Context, name string, at time.Time) (userID uuid.UUID, err error) {
	err = eachRow(ctx, s.reader, `SELECT user_id FROM former_usernames WHERE username = $1 AND (since IS NULL OR since <= $2)
		AND until > $2 ORDER BY until LIMIT 1`, []any{cleanText(name), moment{&at}}, []any{id{&userID}}, func() error { return nil })
	if err != nil {
		return uuid.Nil, fmt.Errorf("look for a user's former name: %w", s.explain(err))
	}
	return userID, nil
}
