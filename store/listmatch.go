package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
func (m userMatch) within(n int) string { return m.between(n, "%s") }

// searched is within for the place where it is looked. The arguments are hidden from
// Postgres, which would have a plan for each: there is one way to read a page, by the
// index of the keys, and to plan takes longer.
func (m userMatch) searched(n int) string { return m.between(n, "(SELECT %s)") }

func (m userMatch) between(n int, bound string) string {
	argument := "CAST($%d AS text)"
	if m.folded {
		argument = "lower(" + argument + ")"
	}
	return fmt.Sprintf(m.key+" >= "+fmt.Sprintf(bound, argument)+" AND "+m.key+" < "+fmt.Sprintf(bound, argument), n+1, n+2)
}

// profilesMatch is an expression for whether anybody's personal data begin with the query,
// whose arguments follow n others. It is asked once for all rows.
func profilesMatch(n int) string {
	var found []string
	for _, m := range userMatches[1:] { // sorted, lest Postgres read the table in its own order
		found = append(found, "(SELECT 1 FROM "+m.table+" WHERE "+m.searched(n)+" ORDER BY "+m.key+" LIMIT 1) IS NOT NULL")
	}
	return strings.Join(found, " OR ")
}

// matchUsers looks for the query in one place after the other. A user who was found
// before is not found again.
func (s *Store) matchUsers(ctx context.Context, filter aaa.UserFilter, page aaa.Page) (rows []aaa.UserRow, next string, err error) {
	const name, sort = "matching users", "match"
	if field, descending, err := page.ParseSort(aaa.UserMatchSorts()); err != nil || descending || field != sort {
		return nil, "", fmt.Errorf("%w: users that match a text come in the order of the match", aaa.ErrBadSort)
	}
	matches := matchesOf(filter)
	begin := foundUser{place: -1} // nobody
	if page.Cursor != "" {
		keys, err := aaa.ParseCursor(page.Cursor, name, sort, filter)
		if err != nil {
			return nil, "", err
		}
		if len(keys) != 3 {
			return nil, "", aaa.ErrBadCursor
		}
		place, wrongPlace := strconv.Atoi(keys[0])
		userID, wrongID := uuid.Parse(keys[2])
		if wrongPlace != nil || wrongID != nil || place < 0 || place >= len(matches) {
			return nil, "", aaa.ErrBadCursor
		}
		begin = foundUser{place, keys[1], userID}
	}
	limit := page.PageLimit()
	err = s.amongUsers(ctx, filter, sort, func(q querier, among listedUsers) error {
		var found []foundUser
		inProfiles := len(matches) > 1
		if begin.place <= 0 {
			if rows, inProfiles, err = s.matchNames(ctx, q, among, filter, begin, limit+1); err != nil {
				return err
			}
			for i := range rows {
				found = append(found, foundUser{0, rows[i].Name, rows[i].ID})
			}
		}
		if len(found) <= limit && inProfiles {
			more, err := s.matchProfiles(ctx, q, among, filter.Query, begin, limit+1-len(found))
			if err != nil {
				return err
			}
			found = append(found, more...)
		}
		if len(found) > limit {
			last := found[limit-1]
			next = aaa.FormatCursor(name, sort, filter, strconv.Itoa(last.place), last.key, last.id.String())
			found = found[:limit]
		}
		if len(found) <= len(rows) {
			rows = rows[:len(found)]
			return nil
		}
		ids := make([]uuid.UUID, 0, len(found)-len(rows))
		for _, f := range found[len(rows):] {
			ids = append(ids, f.id)
		}
		more, err := s.userRows(ctx, q, ids)
		rows = append(rows, more...)
		return err
	})
	if err != nil {
		return nil, "", s.listFailed("users", err)
	}
	return rows, next, nil
}

// foundUser is where a user was found.
type foundUser struct {
	place int
	key   string
	id    uuid.UUID
}

// matchNames reads users whose name begins with the filter's Query, from after begin on.
// inProfiles says whether personal data may begin with it too: most do not, which spares
// to look for whom. Where no name does, it is not known.
func (s *Store) matchNames(ctx context.Context, q querier, among listedUsers, filter aaa.UserFilter, begin foundUser, limit int) (rows []aaa.UserRow, inProfiles bool, err error) {
	n := len(among.args)
	where := among.matching(userMatches[0].searched(n), filter.Query)
	if begin.place == 0 {
		where.add("users.username > $%d", begin.key)
	}
	inProfiles = !filter.NamesOnly
	var asked []field
	if inProfiles {
		asked = []field{{profilesMatch(n), flag{&inProfiles}}}
	}
	rows, err = among.page(ctx, s, q, where, "users.username", limit, asked...)
	return rows, inProfiles, err
}

// matching are the conditions with another one, which has the arguments of a match.
func (l *listedUsers) matching(term, text string) (c conditions) {
	c.terms = append(slices.Clone(l.terms), term)
	c.args = append(slices.Clone(l.args), matchArguments(text)...)
	return c
}

// matchProfiles finds users by their personal data, from after begin on, whom their name
// does not find.
func (s *Store) matchProfiles(ctx context.Context, q querier, among listedUsers, text string, begin foundUser, limit int) (found []foundUser, err error) {
	query, args := matchProfilesQuery(among, text, begin, limit)
	if len(among.args) > 0 {
		args = s.planned(args)
	}
	var f foundUser
	err = eachRow(ctx, q, query, args, []any{&f.place, &f.key, id{&f.id}}, func() error {
		found = append(found, f)
		return nil
	})
	return found, err
}

// matchProfilesQuery looks into a place only if those before it did not fill the page:
// whoever is found there may be many, and not be found again here.
func matchProfilesQuery(among listedUsers, text string, begin foundUser, limit int) (query string, args []any) {
	n := len(among.args)
	args = among.matching("", text).args
	var with, all, before []string
	for place := max(begin.place, 1); place < len(userMatches); place++ {
		m := userMatches[place]
		c := conditions{terms: append(slices.Clone(among.terms), m.searched(n)), args: args}
		for _, earlier := range userMatches[:place] {
			c.terms = append(c.terms, "NOT ("+earlier.within(n)+")")
		}
		if before != nil {
			c.terms = append(c.terms, strings.Join(before, " + ")+" < "+strconv.Itoa(limit))
		}
		if place == begin.place {
			c.add("("+m.key+", "+m.id+") > ($%d, $%d)", begin.key, begin.id.String())
			args = c.args
		}
		name := "found" + strconv.Itoa(place)
		with = append(with, fmt.Sprintf("%s AS (SELECT %d AS place, %s AS key, %s AS id FROM %s JOIN %s ON users.id = %s%s ORDER BY %s, %s LIMIT %d)",
			name, place, m.key, m.id, m.table, among.from, m.id, c.where(), m.key, m.id, limit))
		all = append(all, "SELECT place, key, id FROM "+name)
		before = append(before, "(SELECT count(*) FROM "+name+")")
	}
	return "WITH " + strings.Join(with, ", ") + " " + strings.Join(all, " UNION ALL ") + " ORDER BY place, key, id LIMIT " + strconv.Itoa(limit), args
}
