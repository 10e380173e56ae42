package store

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
)

// TestListsUseIndexes asks the engines how they would run the queries that grow
// with the database.
func TestListsUseIndexes(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		s, err := Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		session := &aaa.Session{ID: uuid.New(), StartedAt: time.Now()}
		decision := &aaa.AuthRecord{ID: uuid.New(), At: time.Now()}
		sessions := func(f SessionFilter) func() (string, []any) {
			return func() (string, []any) {
				rest, args := f.query()
				return "SELECT id FROM sessions" + rest, args
			}
		}
		decisions := func(f AuthFilter) func() (string, []any) {
			return func() (string, []any) {
				rest, args := f.query()
				return "SELECT id FROM auth_records" + rest, args
			}
		}
		usersBy := func(f UserFilter) func() (string, []any) {
			return func() (string, []any) {
				c := f.conditions()
				return "SELECT id FROM users" + c.where() + " ORDER BY username LIMIT 100", c.args
			}
		}
		plain := func(query string, args ...any) func() (string, []any) {
			return func() (string, []any) { return query, args }
		}
		for name, tt := range map[string]struct {
			query func() (string, []any)
			sorts bool // few rows, sorted after they were found
		}{
			"sessions":                   {query: sessions(SessionFilter{})},
			"next page":                  {query: sessions(SessionFilter{After: session})},
			"online":                     {query: sessions(SessionFilter{Online: true})},
			"online, next page":          {query: sessions(SessionFilter{Online: true, After: session})},
			"of a user":                  {query: sessions(SessionFilter{Username: "alice"}), sorts: true},
			"of a NAS":                   {query: sessions(SessionFilter{NASAddr: netip.MustParseAddr("192.0.2.1"), Online: true}), sorts: true},
			"of a prefix":                {query: sessions(SessionFilter{NASID: uuid.New(), Online: true})},
			"of a NAS, with the stopped": {query: sessions(SessionFilter{NASID: uuid.New()})},
			"boots of other nodes":       {query: plain("SELECT at FROM nas_boots WHERE seen_at >= $1", from(time.Now()))},
			"in a time":                  {query: sessions(SessionFilter{StartedFrom: time.Now(), StartedBefore: time.Now()})},
			"open sessions":              {query: plain("SELECT id FROM sessions WHERE stopped_at IS NULL")},
			"stopped sessions":           {query: plain("SELECT id FROM sessions WHERE stopped_at >= $1", from(time.Now()))},
			"decisions":                  {query: decisions(AuthFilter{})},
			"decisions, next":            {query: decisions(AuthFilter{After: decision})},
			"decisions of user":          {query: decisions(AuthFilter{Username: "alice", Limit: 10}), sorts: true},
			"records":                    {query: plain("SELECT record_id FROM accounting_records WHERE session_id = $1", uuid.NewString())},
			"copies of a record": {query: plain(map[bool]string{
				true: `SELECT k.r FROM unnest($1::text[]::uuid[]) AS k (r), LATERAL (SELECT 1 FROM accounting_records a
					WHERE a.session_id = k.r AND a.record_id = k.r AND a.event_time >= $2 LIMIT 1) AS present`,
				false: `SELECT a.record_id FROM (VALUES ($1, $2), ($1, $2)) AS k CROSS JOIN accounting_records a
					WHERE a.session_id = k.column1 AND a.record_id = k.column2`,
			}[s.pool != nil], map[bool]any{true: []string{uuid.NewString()}, false: "x"}[s.pool != nil], from(time.Now()))},
			"users":           {query: usersBy(UserFilter{})},
			"users by prefix": {query: usersBy(UserFilter{Prefix: "a"})},
			"users of a plan": {query: usersBy(UserFilter{PlanID: uuid.New()}), sorts: true},
			"user by name":    {query: plain("SELECT id FROM users WHERE username = $1", "alice")},
			"usage":           {query: plain("SELECT day FROM usage_daily WHERE username = $1 AND day >= $2", "alice", "2030-01-01")},
			"items":           {query: plain("SELECT kind FROM attributes WHERE user_id BETWEEN $1 AND $2 ORDER BY user_id, id", uuid.NewString(), uuid.NewString())},
			"of users": {query: plain("SELECT id FROM sessions WHERE username IN ($1, $2) AND (stopped_at IS NULL OR stopped_at >= $3)",
				"alice", "bob", from(time.Now()))},
			"by boot": {query: plain(`SELECT id FROM sessions WHERE nas_ip = $1 AND started_at < $2
				AND (stopped_at IS NULL OR stop_inferred AND stopped_at > $2)`, "192.0.2.1", from(time.Now()))},
		} {
			query, args := tt.query()
			plan := s.plan(t, query, args, tt.sorts)
			assert.NotContains(t, plan, "Seq Scan", "%s\n%s", name, query)
			for line := range strings.Lines(plan) {
				scan := strings.Contains(line, "SCAN") && !strings.Contains(line, "USING") && !strings.Contains(line, "VALUES") &&
					!strings.Contains(line, "CONSTANT ROW") // SQLite
				assert.False(t, scan, "%s\n%s\n%s", name, query, plan)
			}
			if !tt.sorts {
				assert.NotContains(t, plan, "Sort", "%s\n%s", name, query)
				assert.NotContains(t, plan, "ORDER BY", "%s\n%s", name, query)
			}
		}
	})
}

// TestPagesUseIndexes: no page of a list, by any filter and sort there is, reads a whole
// table or sorts what it does not know to be few.
func TestPagesUseIndexes(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		s, err := Open(t.Context(), options)
		require.NoError(t, err)
		defer s.Close()
		now, someone, addr := time.Now(), uuid.New(), netip.MustParseAddr("2001:db8::1")
		check := func(name, query string, args []any, sorts bool) {
			t.Helper()
			plan := s.plan(t, query, args, sorts)
			assert.NotContains(t, plan, "Seq Scan", "%s\n%s", name, query)
			for line := range strings.Lines(plan) {
				scan := strings.Contains(line, "SCAN") && !strings.Contains(line, "USING") && !strings.Contains(line, "CONSTANT ROW") && !strings.Contains(line, "SCAN few") && !strings.Contains(line, "SCAN found")
				assert.False(t, scan, "%s\n%s\n%s", name, query, plan)
			}
			if !sorts {
				assert.NotRegexp(t, `(?m)(^|-> +)Sort  `, plan, "%s\n%s", name, query) // not the one that is incremental
				assert.NotContains(t, strings.ReplaceAll(plan, "LAST TERM OF ORDER BY", ""), "ORDER BY", "%s\n%s\n%s", name, query, plan)
			}
		}
		suspended, device, yes, no := aaa.UserSuspended, aaa.SchemeMAC, true, false
		after := func(list, sort string, filter any, keys ...string) aaa.Page {
			return aaa.Page{Sort: sort, Cursor: aaa.FormatCursor(list, sort, filter, keys...)}
		}
		for name, f := range map[string]aaa.UserFilter{
			"all users": {}, "suspended": {Status: &suspended}, "of a plan": {PlanID: someone}, "of a group": {GroupID: someone}, "of a batch": {BatchID: someone},
			"devices": {Scheme: &device}, "online": {Online: &yes}, "offline": {Online: &no}, "expiring": {ExpiresFrom: now}, "new": {CreatedFrom: now, CreatedBefore: now},
		} {
			for _, term := range userTerms(f) {
				if !term.plain {
					few := conditions{}
					few.add(term.few(), term.args...)
					check(name+", few", "SELECT "+userColumns+few.terms[0], few.args, true)
					check(name+", how many", term.count(), term.args, true)
				}
			}
			for _, sort := range aaa.UserSorts() {
				keys := []string{from(now), someone.String()}
				if sort == "username" {
					keys = []string{"alice"}
				}
				p, err := userLists.begin(after("users", sort, f, keys...), f)
				require.NoError(t, err)
				rest, args := p.rest(userConditions(f))
				// SQLite is told of the index of a filter that has many; here it may sort.
				sorts := name != "all users" && (s.pool == nil || name == "of a group" || name == "online" || name == "offline")
				check(name+" by "+sort, "SELECT users.id FROM users"+rest, args, sorts)
			}
		}
		check("match at all", "SELECT "+profilesMatch(0), matchArguments("a"), false)
		for place := range userMatches {
			query, args := matchProfilesQuery(listedUsers{from: "users"}, "a", foundUser{place, "alice", someone}, 11)
			check(fmt.Sprint("match from ", place), query, args, true)
			for _, index := range []string{"full_name", "email", "phone"}[max(place, 1)-1:] {
				assert.Contains(t, s.plan(t, query, args, true), "user_profiles_"+index)
			}
		}
		sessions := func(f aaa.SessionFilter, sort string) (string, []any) {
			p, err := sessionLists.begin(after("sessions", sort, f, from(now), someone.String()), f)
			require.NoError(t, err)
			rest, args := p.rest(sessionConditions(f))
			return "SELECT id FROM sessions" + rest, args
		}
		for name, tt := range map[string]struct {
			filter aaa.SessionFilter
			sorts  bool
		}{
			"sessions": {}, "open": {aaa.SessionFilter{Online: &yes}, false}, "past": {aaa.SessionFilter{Online: &no}, false}, "of a user": {aaa.SessionFilter{Username: "alice"}, true},
			"of an address": {aaa.SessionFilter{NASAddr: addr}, true}, "of a NAS": {aaa.SessionFilter{NASID: someone}, false}, "holding": {aaa.SessionFilter{Address: addr}, true},
			"of a station": {aaa.SessionFilter{CallingStationID: "a"}, false}, "under a plan": {aaa.SessionFilter{Plan: "a"}, false}, "in a time": {aaa.SessionFilter{StartedFrom: now, StartedBefore: now}, false},
			"stopped in a time": {aaa.SessionFilter{StoppedFrom: now, StoppedBefore: now}, true},
		} {
			query, args := sessions(tt.filter, "-started_at")
			check(name, query, args, tt.sorts)
		}
		for name, f := range map[string]aaa.RecordFilter{"records": {From: now}, "of a session": {From: now, SessionID: someone}, "of a user": {From: now, Username: "alice"}, "of a NAS": {From: now, NASAddr: addr}} {
			p, err := recordLists.begin(after("accounting records", "-event_time", f, from(now), someone.String(), from(now)), f)
			require.NoError(t, err)
			rest, args := p.rest(recordConditions(f))
			check("records "+name, "SELECT record_id FROM accounting_records"+rest, args, f.SessionID != uuid.Nil || f.Username != "")
		}
		for name, f := range map[string]aaa.AuthFilter{"decisions": {From: now}, "of a user": {From: now, Username: "alice"}, "refused": {From: now, Accepted: &no}} {
			p, err := authLists.begin(after("auth records", "-at", f, from(now), someone.String(), from(now)), f)
			require.NoError(t, err)
			rest, args := p.rest(authConditions(f))
			check("decisions "+name, "SELECT id FROM auth_records"+rest, args, f.Username != "")
		}
		which, args := s.isOneOf([]uuid.UUID{someone})
		check("users of plans", "SELECT plan_id, count(*) FROM users WHERE plan_id "+which+" GROUP BY plan_id", args, true)
		check("members of groups", "SELECT group_id, count(*) FROM user_groups WHERE group_id "+which+" GROUP BY group_id", args, true)
	})
}

// plan returns how the engine would run a query. Postgres is told that reading
// whole tables is dear, for they are empty here, and sorting too.
func (s *Store) plan(t *testing.T, query string, args []any, sorts bool) string {
	t.Helper()
	explain := "EXPLAIN QUERY PLAN "
	tx, err := s.writer.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	if s.pool != nil {
		explain = "EXPLAIN "
		_, err := tx.ExecContext(t.Context(), "SET LOCAL enable_seqscan = off")
		require.NoError(t, err)
		if !sorts {
			_, err := tx.ExecContext(t.Context(), "SET LOCAL enable_sort = off")
			require.NoError(t, err)
		}
	}
	rows, err := tx.QueryContext(t.Context(), explain+query, args...)
	require.NoError(t, err, query)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	var plan strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(t, rows.Scan(values...))
		fmt.Fprintln(&plan, *values[len(values)-1].(*any))
	}
	require.NoError(t, rows.Err())
	return plan.String()
}
