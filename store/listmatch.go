package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// userMatch is one place where the Query of a filter is looked for.
type userMatch struct {
	table, id, key string
	folded         bool
}

var userMatches = []userMatch{
	{table: "users", id: "users.id", key: "users.username"},
	{"user_profiles", "user_profiles.user_id", "user_profiles.full_name_key", true},
	{"user_profiles", "user_profiles.user_id", "user_profiles.email_key", true},
	{"user_profiles", "user_profiles.user_id", "user_profiles.phone_key", true},
}

// matchesOf are the places where the filter's Query is looked for.
func matchesOf(filter aaa.UserFilter) []userMatch {
	if filter.NamesOnly {
		return userMatches[:1]
	}
	return userMatches
}

// matchArguments are what a match has as its arguments: where its range begins and ends.
func matchArguments(query string) []any {
	query = cleanText(query)
	return []any{query, query + "\U0010FFFF"}
}

// within is a term for the keys that begin with the query, whose arguments follow n
// others. Only the engine knows how it folds case.
func (m userMatch) within(n int) string {
	fold := ""
	if m.folded {
		fold = "lower"
	}
	return fmt.Sprintf("%s >= %s(CAST($%d AS text)) AND %s < %s(CAST($%d AS text))", m.key, fold, n+1, m.key, fold, n+2)
}

// matchUsers looks for the query in one place after the other. A user who was found
// before is not found again.
func (s *Store) matchUsers(ctx context.Context, filter aaa.UserFilter, page aaa.Page) (rows []aaa.UserRow, next string, err error) {
	const name, sort = "matching users", "match"
	if field, descending, err := page.ParseSort(aaa.UserMatchSorts()); err != nil || descending || field != sort {
		return nil, "", fmt.Errorf("%w: users that match a text come in the order of the match", aaa.ErrBadSort)
	}
	matches := matchesOf(filter)
	place, after := 0, []string(nil)
	if page.Cursor != "" {
		keys, err := aaa.ParseCursor(page.Cursor, name, sort, filter)
		if err != nil {
			return nil, "", err
		}
		if len(keys) != 3 || uuid.Validate(keys[2]) != nil {
			return nil, "", aaa.ErrBadCursor
		}
		if place, err = strconv.Atoi(keys[0]); err != nil || place < 0 || place >= len(matches) {
			return nil, "", aaa.ErrBadCursor
		}
		after = keys[1:]
	}
	limit := page.PageLimit()
	err = s.readList(ctx, func(tx *sql.Tx) error {
		among, err := s.narrowed(ctx, tx, filter, sort)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		var lastPlace int
		var lastKey string
		for ; place < len(matches) && len(ids) <= limit; place, after = place+1, nil {
			query, args := matchQuery(among, filter.Query, place, after, limit+1-len(ids))
			var key string
			var userID uuid.UUID
			err := eachRow(ctx, tx, query, args, []any{&key, id{&userID}}, func() error {
				ids = append(ids, userID)
				if len(ids) == limit {
					lastPlace, lastKey = place, key
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if len(ids) > limit {
			ids = ids[:limit]
			next = aaa.FormatCursor(name, sort, filter, strconv.Itoa(lastPlace), lastKey, ids[limit-1].String())
		}
		rows, err = s.userRows(ctx, tx, ids)
		return err
	})
	if err != nil {
		return nil, "", s.listFailed("users", err)
	}
	return rows, next, nil
}

// matchQuery selects keys and ids of the users that one place finds and no place before
// it.
func matchQuery(among listedUsers, text string, place int, after []string, limit int) (query string, args []any) {
	m, c, from := userMatches[place], among.conditions, among.from
	n := len(c.args)
	c.args = append(slices.Clone(c.args), matchArguments(text)...)
	c.terms = append(slices.Clone(c.terms), m.within(n))
	if place > 0 {
		from = m.table + " JOIN " + among.from + " ON users.id = " + m.id
		for _, before := range userMatches[:place] {
			c.terms = append(c.terms, "NOT ("+before.within(n)+")")
		}
	}
	if after != nil {
		c.add("("+m.key+", "+m.id+") > ($%d, $%d)", after[0], after[1])
	}
	return fmt.Sprintf("SELECT %s, %s FROM %s%s ORDER BY %s, %s LIMIT %d", m.key, m.id, from, c.where(), m.key, m.id, limit), c.args
}
