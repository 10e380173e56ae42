package storetest

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/store"
)

// listedUsers is a store with users of all kinds, and what is to be expected of them.
type listedUsers struct {
	s      *store.Store
	rows   []aaa.UserRow
	online map[string]bool
	plans  []uuid.UUID
	groups []uuid.UUID
	times  []time.Time
}

func fillListed(t *testing.T, database Database) *listedUsers {
	options := database(t)
	options.Sealer, options.NodeID = sealer(), "node"
	now := at("2030-01-31T08:15:00Z")
	options.Now = func() time.Time { return now }
	l := &listedUsers{s: reopen(t, options), online: map[string]bool{}}
	ctx := t.Context()
	for n := range 2 {
		plan, group := &aaa.Plan{Name: fmt.Sprint("plan", n)}, &aaa.Group{Name: fmt.Sprint("group", n)}
		require.NoError(t, l.s.CreatePlan(ctx, plan))
		require.NoError(t, l.s.CreateGroup(ctx, group))
		l.plans, l.groups = append(l.plans, plan.ID), append(l.groups, group.ID)
	}
	for n := range 4 {
		l.times = append(l.times, now.Add(time.Duration(n)*time.Hour))
	}
	var records []aaa.Record
	for n := range 60 {
		now = l.times[n%3]
		u := newUser(fmt.Sprintf("%c%c%d", "abA"[n%3], "äz"[(n%2)*2], n))
		if n%2 == 0 {
			u.Name = fmt.Sprintf("%cä%d", "abA"[n%3], n)
		}
		p := &aaa.Profile{FullName: []string{"", "Anna A.", "bert", "AB " + u.Name}[n%4], Email: []string{"", "a@example.org", u.Name + "@example.org"}[n%3], Phone: []string{"", "+49 1"}[n%2]}
		u.Status = aaa.UserStatus(n % 3)
		if n%4 > 1 {
			u.PlanID = l.plans[n%2]
		}
		if n%5 > 2 {
			u.Groups = []aaa.Membership{{GroupID: l.groups[n%2], Priority: n}}
		}
		if n%7 > 2 {
			u.ExpiresAt = l.times[n%4]
		}
		if n%6 == 0 {
			u.Credential = aaa.Credential{Scheme: aaa.SchemeNTHash, Secret: []byte(strings.Repeat("x", 16))}
			u.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: "=", Value: u.Name}}
		}
		require.NoError(t, l.s.CreateUserWithProfile(ctx, u, p))
		if n%8 == 1 {
			record := aaa.Record{Status: aaa.AcctStart, AcctSessionID: u.Name, Username: u.Name, NASAddr: netip.MustParseAddr("192.0.2.1"), EventTime: now, ReceivedAt: now}
			aaa.NewResolver().Resolve(&record)
			records = append(records, record)
			l.online[u.Name] = true
		}
		row := aaa.UserRow{ID: u.ID, Name: u.Name, Status: u.Status, Scheme: u.Credential.Scheme, PlanID: u.PlanID, Groups: u.Groups,
			ExpiresAt: u.ExpiresAt, Items: u.Items, Profile: *p, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
		if u.PlanID != uuid.Nil {
			row.Plan = fmt.Sprint("plan", n%2)
		}
		if u.Groups != nil {
			row.GroupNames = []string{fmt.Sprint("group", n%2)}
		}
		l.rows = append(l.rows, row)
	}
	sink, err := l.s.NewSink()
	require.NoError(t, err)
	require.NoError(t, sink.Write(ctx, &ingest.Batch{Records: records, End: 1}))
	return l
}

// selects is what a filter means, in Go.
func (l *listedUsers) selects(f aaa.UserFilter, u *aaa.UserRow) bool {
	within := func(t, from, before time.Time) bool {
		return (from.IsZero() || !t.Before(from)) && (before.IsZero() || t.Before(before))
	}
	expires := f.ExpiresFrom.IsZero() && f.ExpiresBefore.IsZero() || !u.ExpiresAt.IsZero() && within(u.ExpiresAt, f.ExpiresFrom, f.ExpiresBefore)
	return (f.Query == "" || match(f.Query, f.NamesOnly, u) >= 0) && (f.Status == nil || *f.Status == u.Status) && (f.Scheme == nil || *f.Scheme == u.Scheme) &&
		(f.PlanID == uuid.Nil || f.PlanID == u.PlanID) && (f.Online == nil || *f.Online == l.online[u.Name]) && f.BatchID == uuid.Nil &&
		(f.GroupID == uuid.Nil || slices.ContainsFunc(u.Groups, func(m aaa.Membership) bool { return m.GroupID == f.GroupID })) &&
		expires && within(u.CreatedAt, f.CreatedFrom, f.CreatedBefore)
}

// match is in which place the query is found; -1: in none.
func match(query string, namesOnly bool, u *aaa.UserRow) int {
	if strings.HasPrefix(u.Name, query) {
		return 0
	}
	if namesOnly {
		return -1
	}
	for i, text := range []string{u.Profile.FullName, u.Profile.Email, u.Profile.Phone} {
		if strings.HasPrefix(lower(text), lower(query)) {
			return i + 1
		}
	}
	return -1
}

// lower is for ASCII, as all engines know it.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func (l *listedUsers) want(f aaa.UserFilter, sort string) (want []aaa.UserRow) {
	for i := range l.rows {
		if l.selects(f, &l.rows[i]) {
			want = append(want, l.rows[i])
		}
	}
	name, descending := strings.CutPrefix(sort, "-")
	slices.SortFunc(want, func(a, b aaa.UserRow) int {
		var order int
		switch name {
		case "username", "":
			order = cmp.Compare(a.Name, b.Name)
		case "created_at":
			order = a.CreatedAt.Compare(b.CreatedAt)
		case "updated_at":
			order = a.UpdatedAt.Compare(b.UpdatedAt)
		case "expires_at":
			never := at("9999-01-01T00:00:00Z")
			x, y := a.ExpiresAt, b.ExpiresAt
			if x.IsZero() {
				x = never
			}
			if y.IsZero() {
				y = never
			}
			order = x.Compare(y)
		case "match":
			key := func(u *aaa.UserRow) string {
				return [...]string{u.Name, lower(u.Profile.FullName), lower(u.Profile.Email), lower(u.Profile.Phone)}[match(f.Query, f.NamesOnly, u)]
			}
			order = cmp.Or(cmp.Compare(match(f.Query, f.NamesOnly, &a), match(f.Query, f.NamesOnly, &b)), cmp.Compare(key(&a), key(&b)))
		}
		order = cmp.Or(order, slices.Compare(a.ID[:], b.ID[:]))
		if descending {
			order = -order
		}
		return order
	})
	return want
}

// walk reads all pages of a list. between is called after each page.
func walk[T any](t require.TestingT, page aaa.Page, list func(aaa.Page) ([]T, string, error), between func()) (all []T) {
	for {
		rows, next, err := list(page)
		require.NoError(t, err)
		require.LessOrEqual(t, len(rows), page.PageLimit())
		all = append(all, rows...)
		if next == "" {
			return all
		}
		require.Len(t, rows, page.PageLimit(), "only the last page may be short")
		page.Cursor = next
		between()
	}
}

func pointer[T any](of *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(of, true) }

func (l *listedUsers) filters() *rapid.Generator[aaa.UserFilter] {
	return rapid.Custom(func(t *rapid.T) (f aaa.UserFilter) {
		id := func(name string, list []uuid.UUID) uuid.UUID {
			return rapid.SampledFrom(append([]uuid.UUID{{}, {}, {}}, list...)).Draw(t, name)
		}
		moment := func(name string) time.Time {
			return rapid.SampledFrom(append([]time.Time{{}, {}, {}, {}}, l.times...)).Draw(t, name)
		}
		f.Query = rapid.SampledFrom([]string{"", "", "a", "A", "anna", "AB", "bä", "+49", "a@EXAMPLE", "%", "z"}).Draw(t, "query")
		f.NamesOnly = rapid.Bool().Draw(t, "names only")
		f.Status = pointer(rapid.SampledFrom([]aaa.UserStatus{aaa.UserActive, aaa.UserDisabled})).Draw(t, "status")
		f.Scheme = pointer(rapid.SampledFrom([]aaa.Scheme{aaa.SchemeCleartext, aaa.SchemeNTHash})).Draw(t, "scheme")
		f.Online = pointer(rapid.Bool()).Draw(t, "online")
		f.PlanID, f.GroupID = id("plan", l.plans), id("group", l.groups)
		f.ExpiresFrom, f.ExpiresBefore = moment("expires from"), moment("expires before")
		f.CreatedFrom, f.CreatedBefore = moment("created from"), moment("created before")
		return f
	})
}

// testUserPages: all pages together are what the filter selects, in order.
func testUserPages(t *testing.T, database Database) {
	l := fillListed(t, database)
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		filter := l.filters().Draw(t, "filter")
		sorts := aaa.UserSorts()
		if filter.Query != "" {
			sorts = aaa.UserMatchSorts()
		}
		sort := rapid.SampledFrom(sorts).Draw(t, "sort")
		if filter.Query == "" && rapid.Bool().Draw(t, "descending") {
			sort = "-" + sort
		}
		page := aaa.Page{Sort: sort, Limit: rapid.IntRange(1, 70).Draw(t, "limit")}
		want := l.want(filter, sort)
		got := walk(t, page, func(p aaa.Page) ([]aaa.UserRow, string, error) { return l.s.ListUsersPage(ctx, filter, p) }, func() {})
		require.Equal(t, want, got)
		n, err := l.s.CountUsers(ctx, filter)
		require.NoError(t, err)
		require.Equal(t, aaa.Count{N: len(want)}, n)
	})
	row, err := l.s.UserRowByID(ctx, l.rows[7].ID)
	require.NoError(t, err)
	assert.Equal(t, l.rows[7], *row)
	_, err = l.s.UserRowByID(ctx, uuid.New())
	assert.ErrorIs(t, err, aaa.ErrNotFound)
}

// testUserPagesGrow: who is there from the first page to the last comes once.
func testUserPagesGrow(t *testing.T, database Database) {
	l := fillListed(t, database)
	ctx, added := t.Context(), 0
	for _, sort := range append(aaa.UserSorts(), "-username", "-created_at", "-expires_at") {
		seen, pages := map[string]int{}, 0
		for _, u := range walk(t, aaa.Page{Sort: sort, Limit: 9}, func(p aaa.Page) ([]aaa.UserRow, string, error) {
			return l.s.ListUsersPage(ctx, aaa.UserFilter{}, p)
		}, func() {
			if pages++; pages > 6 { // enough: each page would add half of another one
				return
			}
			for _, letter := range []string{"", "a", "b", "z", "~"} {
				added++
				u := newUser(fmt.Sprintf("%s+%d", letter, added))
				u.ExpiresAt = l.times[added%4]
				require.NoError(t, l.s.CreateUser(ctx, u))
			}
		}) {
			seen[u.Name]++
		}
		for _, u := range l.rows {
			require.Equal(t, 1, seen[u.Name], "%s by %s", u.Name, sort)
		}
	}
}

// testBadPages: what a cursor must not be used for is refused.
func testBadPages(t *testing.T, database Database) {
	l := fillListed(t, database)
	ctx := t.Context()
	list := func(f aaa.UserFilter, p aaa.Page) error {
		_, _, err := l.s.ListUsersPage(ctx, f, p)
		return err
	}
	for _, sort := range []string{"password", "username;", "--username", "-", "username,id", "match"} {
		require.ErrorIs(t, list(aaa.UserFilter{}, aaa.Page{Sort: sort}), aaa.ErrBadSort, sort)
	}
	require.ErrorIs(t, list(aaa.UserFilter{Query: "a"}, aaa.Page{Sort: "username"}), aaa.ErrBadSort)
	_, cursor, err := l.s.ListUsersPage(ctx, aaa.UserFilter{}, aaa.Page{Limit: 1})
	require.NoError(t, err)
	require.NoError(t, list(aaa.UserFilter{}, aaa.Page{Cursor: cursor}))
	require.NoError(t, list(aaa.UserFilter{}, aaa.Page{Cursor: cursor, Sort: "username", Limit: 5}))
	online := true
	for name, tt := range map[string]struct {
		filter aaa.UserFilter
		page   aaa.Page
	}{
		"other sort":      {page: aaa.Page{Cursor: cursor, Sort: "created_at"}},
		"other direction": {page: aaa.Page{Cursor: cursor, Sort: "-username"}},
		"other filter":    {filter: aaa.UserFilter{Online: &online}, page: aaa.Page{Cursor: cursor}},
		"a search":        {filter: aaa.UserFilter{Query: "a"}, page: aaa.Page{Cursor: cursor}},
		"cut off":         {page: aaa.Page{Cursor: cursor[:len(cursor)-2]}},
		"nonsense":        {page: aaa.Page{Cursor: "nonsense"}},
		"not base64":      {page: aaa.Page{Cursor: "!"}},
		"no keys":         {page: aaa.Page{Cursor: aaa.FormatCursor("users", "username", aaa.UserFilter{})}},
		"not a time":      {page: aaa.Page{Sort: "created_at", Cursor: aaa.FormatCursor("users", "created_at", aaa.UserFilter{}, "x", uuid.NewString())}},
		"not an id":       {page: aaa.Page{Sort: "created_at", Cursor: aaa.FormatCursor("users", "created_at", aaa.UserFilter{}, "2030-01-31T08:15:00.000000Z", "x")}},
		"no text":         {page: aaa.Page{Cursor: aaa.FormatCursor("users", "username", aaa.UserFilter{}, "\xff")}},
		"another list":    {page: aaa.Page{Cursor: aaa.FormatCursor("plans", "username", aaa.UserFilter{}, "a")}},
		"no such place":   {filter: aaa.UserFilter{Query: "a"}, page: aaa.Page{Cursor: aaa.FormatCursor("matching users", "match", aaa.UserFilter{Query: "a"}, "9", "a", uuid.NewString())}},
	} {
		require.ErrorIs(t, list(tt.filter, tt.page), aaa.ErrBadCursor, name)
	}
}
