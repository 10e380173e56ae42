package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// never is what an index holds as the expiry of who never expires.
const never = "9999-12-31T23:59:59.999999Z"

// expiry is what users are sorted by, and looked for, instead of expires_at.
const expiry = "coalesce(users.expires_at, '" + never + "')"

var userLists = lister[aaa.UserRow]{
	name:  "users",
	sorts: aaa.UserSorts(),
	keys: map[string]sortKey[aaa.UserRow]{
		"username":   uniqueKey(textKey("users.username", func(u *aaa.UserRow) string { return u.Name })),
		"created_at": timeKey("users.created_at", func(u *aaa.UserRow) time.Time { return u.CreatedAt }),
		"updated_at": timeKey("users.updated_at", func(u *aaa.UserRow) time.Time { return u.UpdatedAt }),
		"expires_at": timeKey(expiry, func(u *aaa.UserRow) time.Time {
			if u.ExpiresAt.IsZero() {
				return time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
			}
			return u.ExpiresAt
		}),
	},
	id: idKey("users.id", func(u *aaa.UserRow) uuid.UUID { return u.ID }),
}

func uniqueKey[T any](key sortKey[T]) sortKey[T] {
	key.unique = true
	return key
}

// userTerm is one condition of a filter of users.
type userTerm struct {
	column string // what the condition is about; empty: term stands for itself
	term   string // what follows the column, with %d for the arguments
	args   []any
	sorts  string // the sort that the column's index is in the order of, once the condition holds
	// found is where the users are found for whom it holds, and counted what is counted
	// to tell whether they are few; empty: by the column.
	found, counted string
	plain          bool // nothing is to be gained from few
}

// userTerms are the conditions of the filter but its Query.
func userTerms(f aaa.UserFilter) (terms []userTerm) {
	add := func(t userTerm) { terms = append(terms, t) }
	if f.Status != nil {
		t := userTerm{column: "users.status", term: " = '" + f.Status.String() + "'", sorts: "username", plain: *f.Status == aaa.UserActive}
		if !t.plain { // the index has only those, and an engine has to see that
			t.term += " AND users.status <> 'active'"
		}
		add(t)
	}
	if f.PlanID != uuid.Nil {
		add(userTerm{column: "users.plan_id", term: " = $%d", args: []any{f.PlanID.String()}, sorts: "username"})
	}
	if f.BatchID != uuid.Nil {
		add(userTerm{column: "users.batch_id", term: " = $%d", args: []any{f.BatchID.String()}, sorts: "username"})
	}
	if f.Scheme != nil {
		add(userTerm{column: "users.credential_scheme", term: " = $%d", args: []any{f.Scheme.String()}, sorts: "username"})
	}
	if f.GroupID != uuid.Nil {
		// With an OFFSET, Postgres looks at the users one by one rather than join them all.
		add(userTerm{term: "EXISTS (SELECT 1 FROM user_groups WHERE user_groups.user_id = users.id AND user_groups.group_id = $%d LIMIT 1 OFFSET 0)",
			counted: "user_groups WHERE group_id = $%d",
			found:   "user_groups JOIN users ON users.id = user_groups.user_id WHERE user_groups.group_id = $%d", args: []any{f.GroupID.String()}})
	}
	if f.Online != nil {
		found := "sessions WHERE stopped_at IS NULL ORDER BY started_at" // the index of open ones
		open := "EXISTS (SELECT 1 FROM sessions WHERE sessions.username = users.username AND sessions.stopped_at IS NULL LIMIT 1 OFFSET 0)"
		if *f.Online {
			add(userTerm{term: open, counted: found,
				found: "users WHERE users.username IN (SELECT username FROM " + found + " LIMIT " + fmt.Sprint(fewUsers+1) + ")"})
		} else {
			add(userTerm{term: "NOT " + open, plain: true})
		}
	}
	span := func(column, sort string, from, before time.Time, end string) {
		t := userTerm{column: column, sorts: sort}
		if !from.IsZero() {
			t.term, t.args = " >= $%d", []any{moment{&from}}
		}
		switch {
		case !before.IsZero() && t.term != "":
			t.term, t.args = " BETWEEN $%d AND $%d", append(t.args, until(before))
		case !before.IsZero():
			t.term, t.args = " <= $%d", []any{until(before)}
		case t.term != "" && end != "":
			t.term, t.args = " BETWEEN $%d AND $%d", append(t.args, end)
		}
		if t.term != "" {
			add(t)
		}
	}
	// Who never expires is beyond the end.
	span(expiry, "expires_at", f.ExpiresFrom, f.ExpiresBefore, "9999-12-31T23:59:59.999998Z")
	span("users.created_at", "created_at", f.CreatedFrom, f.CreatedBefore, "")
	return terms
}

// until is the last moment before a time, as the databases hold it.
func until(before time.Time) any {
	last := before.Truncate(time.Microsecond)
	if last.Equal(before) {
		last = last.Add(-time.Microsecond)
	}
	return from(last)
}

// userConditions are the filter's, but its Query.
func userConditions(f aaa.UserFilter) (c conditions) {
	for _, t := range userTerms(f) {
		c.add(t.column+t.term, t.args...)
	}
	return c
}

// fewUsers is how many users are looked up one by one rather than looked for in the
// order of a list.
const fewUsers = 2500

// listedUsers is what a list of users is asked of: all, or few.
type listedUsers struct {
	from string // a table or query called users
	few  bool   // it is a query
	conditions
}

// userColumns are what a list asks of users.
const userColumns = "users.id, users.username, users.status, users.suspension, users.credential_scheme, users.plan_id, users.batch_id, users.expires_at, users.simultaneous_use, users.created_at, users.updated_at"

// amongUsers calls fn with where the users of the filter are best asked for, for a page by
// sort. An engine cannot know that a list by one column has the few users that another
// column selects at its end, or not at all, and would read all of it. So it is asked first
// whether there are few, in the same state of the database.
func (s *Store) amongUsers(ctx context.Context, f aaa.UserFilter, sort string, fn func(q querier, among listedUsers) error) error {
	terms := userTerms(f)
	if !slices.ContainsFunc(terms, func(t userTerm) bool { return !t.plain }) {
		return fn(s.reader, s.allUsers(terms, sort))
	}
	return s.read(ctx, func(tx *sql.Tx) error {
		for i, t := range terms {
			if t.plain {
				continue
			}
			var n int
			if err := tx.QueryRowContext(ctx, t.count(), s.planned(t.args)...).Scan(&n); err != nil {
				return err
			}
			if n <= fewUsers {
				return fn(tx, s.fewOf(t, slices.Delete(terms, i, i+1)))
			}
		}
		return fn(tx, s.allUsers(terms, sort))
	})
}

// allUsers are the users for whom the terms hold, of which none holds for few.
func (s *Store) allUsers(terms []userTerm, sort string) listedUsers {
	l := listedUsers{from: "users"}
	for _, t := range terms {
		column := t.column
		if column != "" && t.sorts != sort && s.pool == nil {
			column = "+" + column // SQLite: not by its index, there are many
		}
		l.add(column+t.term, t.args...)
	}
	return l
}

// fewOf are those of the few users of a term for whom the other terms hold as well.
func (s *Store) fewOf(few userTerm, others []userTerm) listedUsers {
	c := conditions{}
	c.add(few.few(), few.args...)
	// No engine looks into a query with a limit for something better.
	l := listedUsers{from: "(SELECT " + userColumns + c.terms[0] + ") AS users", few: true, conditions: conditions{args: c.args}}
	for _, t := range others {
		l.add(t.column+t.term, t.args...)
	}
	return l
}

// page reads a page of the users, and what is asked besides. where is the page's
// conditions, order how it is sorted.
func (l *listedUsers) page(ctx context.Context, s *Store, q querier, where conditions, order string, limit int, asked ...field) ([]aaa.UserRow, error) {
	from, rest := l.from, where.where()+" ORDER BY "+order+" LIMIT "+strconv.Itoa(limit)
	if l.few { // they are sorted before anything else is looked up
		from, rest = "(SELECT * FROM "+from+rest+") AS users", " ORDER BY "+order
	}
	args := where.args
	if len(l.args) > 0 {
		args = s.planned(args)
	}
	return s.readUserRows(ctx, q, from, rest, args, asked...)
}

// few is the end of a query for the users for whom the term holds, of no more than show
// that they are not few.
func (t userTerm) few() string {
	found := t.found
	if found == "" {
		found = "users WHERE " + t.column + t.term
	}
	return " FROM " + found + " LIMIT " + fmt.Sprint(fewUsers+1)
}

// count is the query that tells whether they are.
func (t userTerm) count() string {
	counted := t.counted
	if counted == "" {
		counted = "users WHERE " + t.column + t.term
	}
	var c conditions
	c.add("SELECT count(*) FROM (SELECT 1 FROM "+counted+" LIMIT "+fmt.Sprint(fewUsers+1)+") AS few", t.args...)
	return c.terms[0]
}

// ListUsersPage returns a page of the users that the filter selects, and the cursor of
// the next page; empty: there is none. It opens no secret. It fails with
// aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListUsersPage(ctx context.Context, filter aaa.UserFilter, page aaa.Page) (rows []aaa.UserRow, next string, err error) {
	if filter.Query != "" {
		return s.matchUsers(ctx, filter, page)
	}
	p, err := userLists.begin(page, filter)
	if err != nil {
		return nil, "", s.listFailed("users", err)
	}
	err = s.amongUsers(ctx, filter, strings.TrimPrefix(p.sort, "-"), func(q querier, among listedUsers) error {
		where, order := p.place(among.conditions)
		rows, err = among.page(ctx, s, q, where, order, p.limit+1)
		return err
	})
	if err != nil {
		return nil, "", s.listFailed("users", err)
	}
	rows, next = p.page(rows)
	return rows, next, nil
}

// CountUsers counts the users that the filter selects, on all pages.
func (s *Store) CountUsers(ctx context.Context, filter aaa.UserFilter) (aaa.Count, error) {
	c := userConditions(filter)
	if filter.Query != "" {
		n := len(c.args)
		c.args = append(c.args, matchArguments(filter.Query)...)
		terms := "users.id IN ("
		for i, m := range matchesOf(filter) {
			if i > 0 {
				terms += " UNION "
			}
			terms += "SELECT " + m.id + " FROM " + m.table + " WHERE " + m.within(n)
		}
		c.terms = append(c.terms, terms+")")
	}
	return s.count(ctx, "users", "users", c)
}

// UserRowByID returns a user as a list has it, without a look at the secret.
func (s *Store) UserRowByID(ctx context.Context, userID uuid.UUID) (*aaa.UserRow, error) {
	rows, err := s.readUserRows(ctx, s.reader, "users", " WHERE users.id = $1", []any{userID.String()})
	if err == nil && len(rows) == 0 {
		err = notFound("user", userID.String())
	}
	if err != nil {
		return nil, users.failed(s, "read", userID.String(), err)
	}
	return &rows[0], nil
}

// UserRowsByName returns those of the users that exist, as a list has them, in no
// particular order.
func (s *Store) UserRowsByName(ctx context.Context, names []string) (rows []aaa.UserRow, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		rows = nil
		for chunk := range slices.Chunk(names, inListSize) {
			var c conditions
			c.in("users.username", chunk)
			found, err := s.readUserRows(ctx, tx, "users", c.where(), c.args)
			if err != nil {
				return err
			}
			rows = append(rows, found...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read users: %w", s.explain(err))
	}
	return rows, nil
}
