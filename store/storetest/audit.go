package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/operator"
	"radiusd/store"
)

var ann = operator.Actor{
	Kind: operator.ActorOperator, ID: uuid.MustParse("0190a5a0-0000-7000-8000-000000000001"), Name: "ann",
	RequestID: "request-1", Addr: netip.MustParseAddr("::ffff:192.0.2.9"),
}

// lastEntry returns the newest entry with its changes.
func lastEntry(t testing.TB, s *store.Store) (operator.AuditEntry, map[string]any) {
	t.Helper()
	list, err := s.ListAudit(t.Context(), operator.AuditFilter{Limit: 1})
	require.NoError(t, err)
	require.Len(t, list, 1)
	var changes map[string]any
	require.NoError(t, json.Unmarshal(list[0].Changes, &changes))
	return list[0], changes
}

func verify(t testing.TB, s *store.Store) operator.AuditReport {
	t.Helper()
	report, err := s.VerifyAudit(t.Context(), operator.AuditMark{}, nil)
	require.NoError(t, err)
	return report
}

// events returns all events after a place.
func eventsAfter(t testing.TB, s *store.Store, position uint64) []operator.Event {
	t.Helper()
	list, err := s.EventsAfter(t.Context(), position, 10_000)
	require.NoError(t, err)
	return list
}

func testAudit(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := operator.WithActor(t.Context(), ann)
	assert.Equal(t, operator.AuditReport{First: 1, Head: verify(t, s).Head}, verify(t, s), "an empty log is in order")

	plan, group := &aaa.Plan{Name: "gold"}, &aaa.Group{Name: "staff"}
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.NoError(t, s.CreateGroup(ctx, group))
	user := newUser("alice")
	user.PlanID = plan.ID
	require.NoError(t, s.CreateUser(ctx, user))
	e, changes := lastEntry(t, s)
	assert.EqualValues(t, 3, e.Seq)
	assert.Equal(t, uuid.Version(7), e.ID.Version())
	assert.WithinDuration(t, time.Now(), e.At, time.Minute)
	want := ann
	want.Addr = netip.MustParseAddr("192.0.2.9")
	assert.Equal(t, want, e.Actor)
	assert.Equal(t, []any{"users.create", "user", user.ID, "alice"}, []any{e.Action, e.EntityKind, e.EntityID, e.EntityName})
	assert.Equal(t, map[string]any{
		"username": map[string]any{"after": "alice"}, "status": map[string]any{"after": "active"},
		"credential_scheme": map[string]any{"after": "cleartext"}, "credential": map[string]any{"changed": true},
		"plan_id": map[string]any{"after": plan.ID.String()},
	}, changes)

	require.NoError(t, s.UpdateUser(t.Context(), "alice", func(u *aaa.User) error {
		u.Name, u.Status, u.PlanID = "alicia", aaa.UserDisabled, uuid.Nil
		u.Groups = []aaa.Membership{{GroupID: group.ID, Priority: 2}}
		u.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: "f"}}
		return nil
	}))
	e, changes = lastEntry(t, s)
	assert.Equal(t, operator.Actor{Kind: operator.ActorSystem}, e.Actor, "nobody said who")
	assert.Equal(t, []any{"users.update", "alicia"}, []any{e.Action, e.EntityName})
	assert.Equal(t, map[string]any{
		"username": map[string]any{"before": "alice", "after": "alicia"},
		"status":   map[string]any{"before": "active", "after": "disabled"},
		"plan_id":  map[string]any{"before": plan.ID.String(), "after": nil},
		"groups":   map[string]any{"before": []any{}, "after": []any{map[string]any{"group_id": group.ID.String(), "priority": 2.0}}},
		"items":    map[string]any{"before": []any{}, "after": []any{"reply Filter-Id := f"}},
	}, changes)

	require.NoError(t, s.UpdateUserProfile(ctx, "alicia", func(p *aaa.Profile) error { p.Email = "a@example.org"; return nil }))
	e, changes = lastEntry(t, s)
	assert.Equal(t, "users.update", e.Action)
	assert.Equal(t, map[string]any{"email": map[string]any{"changed": true}}, changes)

	before := e.Seq
	require.NoError(t, s.UpdateUser(ctx, "alicia", func(*aaa.User) error { return nil }))
	require.NoError(t, s.UpdateUserProfile(ctx, "alicia", func(*aaa.Profile) error { return nil }))
	e, _ = lastEntry(t, s)
	assert.Equal(t, before, e.Seq, "no change, no entry")

	require.NoError(t, s.DeleteUser(ctx, "alicia"))
	e, changes = lastEntry(t, s)
	assert.Equal(t, "users.delete", e.Action)
	assert.Equal(t, map[string]any{"before": "alicia"}, changes["username"])
	assert.Equal(t, map[string]any{"changed": true}, changes["credential"])

	result, err := s.ImportUsers(ctx, rowsOf(store.ImportRow{Username: "i1"}, store.ImportRow{Username: "i2"}), store.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, result.Created)
	e, changes = lastEntry(t, s)
	assert.Equal(t, []any{"users.import", uuid.Nil}, []any{e.Action, e.EntityID})
	assert.Equal(t, map[string]any{"created": 2.0, "updated": 0.0, "first": []any{"i1", "i2"}}, changes)
	_, err = s.ImportUsers(ctx, rowsOf(store.ImportRow{Username: "i3"}), store.ImportOptions{DryRun: true})
	require.NoError(t, err)

	require.NoError(t, s.CreateNAS(ctx, newNAS("192.0.2.0/24")))
	require.NoError(t, s.AppendAudit(ctx, operator.AuditEntry{Action: "auth.login", EntityKind: "operator", EntityID: ann.ID, EntityName: "ann"}, ""))
	e, _ = lastEntry(t, s)
	assert.Equal(t, "auth.login", e.Action)

	report := verify(t, s)
	assert.EqualValues(t, e.Seq, report.Entries)
	assert.Equal(t, operator.AuditMark{Seq: e.Seq, Hash: e.Hash}, report.Head)

	var kinds []string
	for i, event := range eventsAfter(t, s, 0) {
		kinds = append(kinds, event.Kind)
		assert.EqualValues(t, i+1, event.Seq)
		var payload operator.EventPayload
		require.NoError(t, json.Unmarshal(event.Payload, &payload))
		assert.Equal(t, event.EntityKind, payload.EntityKind)
	}
	assert.Equal(t, []string{"plan.created", "group.created", "user.created", "user.updated", "user.updated", "user.deleted", "user.imported", "nas.created"}, kinds)

	for name, tt := range map[string]struct {
		filter operator.AuditFilter
		want   int
	}{
		"all":           {operator.AuditFilter{}, 9},
		"of users":      {operator.AuditFilter{Action: "users."}, 5},
		"one action":    {operator.AuditFilter{Action: "users.update"}, 2},
		"of one":        {operator.AuditFilter{EntityID: user.ID}, 4},
		"of a name":     {operator.AuditFilter{EntityKind: "plan", EntityName: "gold"}, 1},
		"by an actor":   {operator.AuditFilter{ActorID: ann.ID}, 8},
		"by nobody":     {operator.AuditFilter{ActorKind: new(operator.ActorSystem)}, 1},
		"of a request":  {operator.AuditFilter{RequestID: "request-1"}, 8},
		"since":         {operator.AuditFilter{Since: time.Now().Add(time.Hour)}, 0},
		"until":         {operator.AuditFilter{Until: time.Now().Add(time.Hour), ActorName: "ann"}, 8},
		"a second page": {operator.AuditFilter{Before: 4}, 3},
	} {
		list, err := s.ListAudit(ctx, tt.filter)
		require.NoError(t, err, name)
		assert.Len(t, list, tt.want, name)
	}
	got, err := s.AuditEntryByID(ctx, e.ID)
	require.NoError(t, err)
	assert.Equal(t, e, got)
	_, err = s.AuditEntryByID(ctx, uuid.New())
	assert.ErrorIs(t, err, store.ErrNotFound)
}

// testAuditMasks looks for secrets and personal data in everything that the audit log
// and the outbox hold, and finds a name, which shows that it looks in the right place.
func testAuditMasks(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := operator.WithActor(t.Context(), ann)
	const name, person = "findable-user-name", "personal-datum"
	user := newUser(name)
	user.Items = []aaa.Item{
		{Kind: aaa.ReplyItem, Attribute: "Tunnel-Password:1", Op: ":=", Value: canary},
		{Kind: aaa.CheckItem, Attribute: "Cleartext-Password", Op: ":=", Value: canary},
		{Kind: aaa.ReplyItem, Attribute: "Cisco-AVPair", Op: "+=", Value: "tunnel:psk=" + canary},
	}
	all := aaa.Profile{FullName: person, Email: person + "@example.org", Phone: person, Address: person, Note: person}
	require.NoError(t, s.CreateUserWithProfile(ctx, user, &all))
	require.NoError(t, s.UpdateUser(ctx, name, func(u *aaa.User) error {
		u.Credential.Secret = []byte(canary + "2")
		u.Items[0].Value = canary + "3"
		return nil
	}))
	e, changes := lastEntry(t, s)
	assert.Equal(t, "users.update", e.Action)
	assert.Equal(t, map[string]any{"credential": map[string]any{"changed": true}, "items": map[string]any{"changed": true}}, changes)
	require.NoError(t, s.UpdateUserProfile(ctx, name, func(p *aaa.Profile) error { p.Note = person + "2"; p.Email = ""; return nil }))
	row := store.ImportRow{Username: name, FullName: new(person + "3"), Credential: &aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(canary)}}
	_, err := s.ImportUsers(ctx, rowsOf(row), store.ImportOptions{Update: true})
	require.NoError(t, err)
	nas := newNAS("192.0.2.1/32")
	nas.PreviousSecret = nas.Secret
	require.NoError(t, s.CreateNAS(ctx, nas))
	hook := &operator.Webhook{Name: "hook", URL: "https://example.org/" + canary, Secret: []byte(canary + canary), Enabled: true}
	require.NoError(t, s.CreateWebhook(ctx, hook))
	require.NoError(t, s.ChangeWebhook(ctx, hook.ID, func(w *operator.Webhook) error {
		w.URL, w.Secret, w.PreviousSecret = w.URL+"2", []byte(canary+canary+"2"), w.Secret
		return nil
	}))
	require.NoError(t, s.DeleteUser(ctx, name))
	require.NoError(t, s.DeleteNAS(ctx, nas.Prefix))

	db := Raw(t, options)
	found := map[string]bool{}
	for _, table := range []string{"audit_log", "outbox", "audit_marks", "idempotency_keys", "outbox_consumers", "webhook_deliveries"} {
		rows, err := db.QueryContext(ctx, "SELECT * FROM "+table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]sql.RawBytes, len(columns))
			dest := make([]any, len(columns))
			for i := range values {
				dest[i] = &values[i]
			}
			require.NoError(t, rows.Scan(dest...))
			for _, text := range []string{name, canary, person, "Y2FuYXJ5"} { // canary in base64
				if bytes.Contains(bytes.Join(asSlices(values), nil), []byte(text)) {
					found[text] = true
				}
			}
		}
		require.NoError(t, rows.Err())
		rows.Close()
	}
	assert.Equal(t, map[string]bool{name: true}, found)
	verify(t, s)
}

func asSlices(values []sql.RawBytes) [][]byte {
	list := make([][]byte, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}

// tamper changes the log as somebody with all rights in the database could.
func tamper(t testing.TB, options store.Options, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if options.URL == "" {
			execute(t, db, "DROP TRIGGER IF EXISTS audit_log_update")
			execute(t, db, "DROP TRIGGER IF EXISTS audit_log_delete")
		} else {
			execute(t, db, "ALTER TABLE audit_log DISABLE TRIGGER USER")
		}
		execute(t, db, statement)
	}
}

func testAuditTampering(t *testing.T, database Database) {
	const head = "UPDATE audit_marks SET seq = (SELECT max(seq) FROM audit_log), hash = (SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1) WHERE name = 'head'"
	tests := map[string]struct {
		statements []string
		seq        uint64
		problem    string
	}{
		"deleted":                {[]string{"DELETE FROM audit_log WHERE seq = 4"}, 4, "is missing: it was deleted"},
		"several deleted":        {[]string{"DELETE FROM audit_log WHERE seq IN (4, 5, 9)"}, 4, "is missing, and all up to 5: they were deleted"},
		"the first deleted":      {[]string{"DELETE FROM audit_log WHERE seq = 1"}, 1, "is missing"},
		"cut off":                {[]string{"DELETE FROM audit_log WHERE seq > 8"}, 9, "the end of the log was cut off"},
		"cut off with the head":  {[]string{"DELETE FROM audit_log WHERE seq > 8", head}, 8, "the head was changed"},
		"cut off, no head":       {[]string{"DELETE FROM audit_log WHERE seq > 8", "DELETE FROM audit_marks"}, 8, "head that says so is missing"},
		"all deleted":            {[]string{"DELETE FROM audit_log"}, 1, "is missing, and all up to 10"},
		"a hash exchanged":       {[]string{"UPDATE audit_log SET hash = (SELECT hash FROM audit_log WHERE seq = 1) WHERE seq = 2"}, 2, "was changed"},
		"a hash of nonsense":     {[]string{"UPDATE audit_log SET hash = prev_hash WHERE seq = 3"}, 3, "was changed"},
		"inserted at the end":    {[]string{copyEntry(9, 11)}, 11, "was not written by radiusd: it was inserted"},
		"inserted before":        {[]string{copyEntry(1, 0)}, 0, "inserted before the log's beginning"},
		"renumbered":             {[]string{"UPDATE audit_log SET seq = 99 WHERE seq = 4", "UPDATE audit_log SET seq = 4 WHERE seq = 5", "UPDATE audit_log SET seq = 5 WHERE seq = 99"}, 4, "was changed"},
		"the head changed":       {[]string{"UPDATE audit_marks SET seq = 9 WHERE name = 'head'"}, 9, "the head was changed"},
		"a time of nonsense":     {[]string{"UPDATE audit_log SET at = '2001-01-01T00:00:00.000000Z' WHERE seq = 3"}, 3, "was changed"},
		"an anchor made up":      {[]string{"DELETE FROM audit_log WHERE seq <= 3", "INSERT INTO audit_marks SELECT 'anchor', 3, prev_hash, prev_hash FROM audit_log WHERE seq = 4"}, 3, "the anchor was changed"},
		"a kind that is unknown": {[]string{"UPDATE audit_log SET actor_kind = 'nobody' WHERE seq = 7"}, 7, "its column actor_kind cannot be read"},
	}
	for column, value := range map[string]string{
		"actor_name": "'bob'", "actor_kind": "'local'", "actor_id": "NULL", "request_id": "'x'", "addr": "'203.0.113.1'", "action": "'x.y'", "entity_kind": "'x'",
		"entity_id": "NULL", "entity_name": "'x'", "changes": "'{}'", "id": "'0190a5a0-0000-7000-8000-000000000009'",
	} {
		tests[column+" changed"] = struct {
			statements []string
			seq        uint64
			problem    string
		}{[]string{"UPDATE audit_log SET " + column + " = " + value + " WHERE seq = 6"}, 6, "was changed"}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, options := openWith(t, database)
			ctx := operator.WithActor(t.Context(), ann)
			for i := range 10 {
				require.NoError(t, s.CreateUser(ctx, newUser(fmt.Sprintf("user%d", i))))
			}
			verify(t, s)
			db := Raw(t, options)
			tamper(t, options, db, tt.statements...)
			_, err := s.VerifyAudit(ctx, operator.AuditMark{}, nil)
			var found *operator.AuditError
			require.ErrorAs(t, err, &found)
			assert.Equal(t, tt.seq, found.Seq, "%v", err)
			assert.Contains(t, err.Error(), tt.problem)
			// The work goes on, and what comes later does not hide it.
			require.NoError(t, s.CreateUser(ctx, newUser("later")))
			_, err = s.VerifyAudit(ctx, operator.AuditMark{}, nil)
			require.ErrorAs(t, err, &found)
		})
	}
}

// copyEntry is the statement that inserts a copy of an entry under another number.
func copyEntry(from, to int) string {
	return fmt.Sprintf(`INSERT INTO audit_log SELECT %d, '0190a5a0-0000-7000-8000-0000000000ff', at, actor_kind, actor_id, actor_name, request_id, addr,
		action, entity_kind, entity_id, entity_name, changes, prev_hash, hash, content_mac, redacted FROM audit_log WHERE seq = %d`, to, from)
}

// testAuditPutBack puts the log back with its head, which only a mark that was kept
// elsewhere shows.
func testAuditPutBack(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	db := Raw(t, options)
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	execute(t, db, "CREATE TABLE saved AS SELECT * FROM audit_marks")
	require.NoError(t, s.CreateUser(ctx, newUser("bob")))
	mark := verify(t, s).Head
	parsed, err := operator.ParseAuditMark(mark.String())
	require.NoError(t, err)
	require.Equal(t, mark, parsed)
	_, err = s.VerifyAudit(ctx, mark, nil)
	require.NoError(t, err)

	tamper(t, options, db, "DELETE FROM audit_log WHERE seq = 2", "DELETE FROM audit_marks", "INSERT INTO audit_marks SELECT * FROM saved")
	verify(t, s)
	_, err = s.VerifyAudit(ctx, mark, nil)
	require.ErrorContains(t, err, "entry 2 is missing, and all up to 2 which an earlier verification has seen")
	require.NoError(t, s.CreateUser(ctx, newUser("carol")))
	_, err = s.VerifyAudit(ctx, mark, nil)
	require.ErrorContains(t, err, "entry 2 is another one than an earlier verification has seen")
}

// testAuditAppendOnly tries what a role that may write, but not alter, could do.
func testAuditAppendOnly(t *testing.T, database Database) {
	s, options := openWith(t, database)
	require.NoError(t, s.CreateUser(t.Context(), newUser("alice")))
	db := Raw(t, options)
	for _, statement := range []string{"UPDATE audit_log SET actor_name = 'bob'", "DELETE FROM audit_log", "TRUNCATE audit_log"} {
		if options.URL == "" && strings.HasPrefix(statement, "TRUNCATE") {
			continue
		}
		_, err := db.ExecContext(t.Context(), statement)
		require.ErrorContains(t, err, "audit_log is append-only", statement)
	}
	verify(t, s)
}

func testAuditRetention(t *testing.T, database Database) {
	options := database(t)
	now := at("2030-01-01T00:00:00Z")
	options.Now = func() time.Time { return now }
	s, _ := openNode(t, func(testing.TB) store.Options { return options }, "")
	ctx := t.Context()
	for i := range 10 {
		now = now.Add(time.Hour)
		require.NoError(t, s.CreateUser(ctx, newUser(fmt.Sprintf("user%d", i))))
	}
	before := verify(t, s)
	require.NoError(t, s.PruneAudit(ctx, at("2030-01-01T06:30:00Z")))
	report := verify(t, s)
	assert.Equal(t, operator.AuditReport{Entries: 4, First: 7, Head: before.Head}, report)
	require.NoError(t, s.PruneAudit(ctx, at("2030-01-01T06:30:00Z")))
	assert.Equal(t, report, verify(t, s), "nothing more to delete")

	now = now.Add(time.Hour)
	require.NoError(t, s.Maintain(ctx, store.Retention{Audit: 4*time.Hour - time.Minute}))
	assert.EqualValues(t, 3, verify(t, s).Entries)
	db := Raw(t, options)
	_, err := db.ExecContext(ctx, "DELETE FROM audit_log WHERE seq = 9")
	require.Error(t, err, "only what is before the anchor")

	// Retention does not remove the traces of somebody else.
	tamper(t, options, db, "UPDATE audit_log SET actor_name = 'bob' WHERE seq = 9")
	require.ErrorContains(t, s.Maintain(ctx, store.Retention{Audit: time.Minute}), "entry 9 was changed")
	_, err = s.VerifyAudit(ctx, operator.AuditMark{}, nil)
	require.ErrorContains(t, err, "entry 9 was changed")
	tamper(t, options, db, "UPDATE audit_log SET actor_name = '' WHERE seq = 9")
	require.NoError(t, s.Maintain(ctx, store.Retention{Audit: time.Minute}), "all of it is old")
	assert.Zero(t, verify(t, s).Entries)
	require.NoError(t, s.CreateUser(ctx, newUser("new")))
	assert.EqualValues(t, 1, verify(t, s).Entries)
}

// testAuditAtOnce has many writers, which must not hold each other up for long or
// break the chain.
func testAuditAtOnce(t *testing.T, database Database) {
	s, options := openWith(t, database)
	other := reopen(t, options)
	const writers, changes = 20, 15
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			node := []*store.Store{s, other}[w%2]
			ctx := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorToken, Name: fmt.Sprint(w)})
			name := fmt.Sprintf("user%d", w)
			assert.NoError(t, node.CreateUser(ctx, newUser(name)))
			for i := range changes - 1 {
				assert.NoError(t, node.UpdateUser(ctx, name, func(u *aaa.User) error { u.SimultaneousUse = i + 1; return nil }))
			}
		})
	}
	group.Wait()
	assert.EqualValues(t, writers*changes, verify(t, s).Entries)
	list, err := s.ListAudit(t.Context(), operator.AuditFilter{Limit: 1000})
	require.NoError(t, err)
	events := eventsAfter(t, s, 0)
	require.Len(t, events, len(list))
	slices.Reverse(list)
	for i, e := range events {
		var payload operator.EventPayload
		require.NoError(t, json.Unmarshal(e.Payload, &payload))
		require.Equal(t, list[i].ID.String(), payload.AuditID, "events are in the order of the log, which is that of commits")
	}
}

// testAuditRollback breaks changes off: neither an entry nor an event is left.
func testAuditRollback(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	refused := errors.New("no")
	require.ErrorIs(t, s.CreateUser(ctx, newUser("alice")), store.ErrExists)
	require.ErrorIs(t, s.UpdateUser(ctx, "alice", func(u *aaa.User) error { u.Status = aaa.UserDisabled; return refused }), refused)
	require.ErrorIs(t, s.DeleteUser(ctx, "bob"), store.ErrNotFound)
	lost := newUser("carol")
	lost.PlanID = uuid.New()
	require.Error(t, s.CreateUser(ctx, lost))
	canceled, cancel := context.WithCancel(ctx)
	require.Error(t, s.UpdateUser(canceled, "alice", func(u *aaa.User) error { u.Status = aaa.UserDisabled; cancel(); return nil }))
	_, err := s.ImportUsers(ctx, rowsOf(store.ImportRow{Username: "x"}, store.ImportRow{Username: "alice"}), store.ImportOptions{})
	require.Error(t, err)
	assert.EqualValues(t, 1, verify(t, s).Entries)
	assert.Len(t, eventsAfter(t, s, 0), 1)
}

func testIdempotency(t *testing.T, database Database) {
	options := database(t)
	now := time.Now()
	var mu sync.Mutex
	options.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s, _ := openNode(t, func(testing.TB) store.Options { return options }, "")
	key := operator.IdempotencyKey{Key: "k", Operation: "createUser", RequestHash: [32]byte{1}}
	ctx := operator.WithIdempotency(operator.WithActor(t.Context(), ann), key)

	// Many at once: one is made, the others are told which.
	var made sync.Map
	var created, repeated int
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			user := newUser("alice")
			err := s.CreateUser(ctx, user)
			var again *operator.RepeatedError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				created++
				made.Store(user.ID, true)
			case errors.As(err, &again):
				repeated++
				made.Store(again.EntityID, true)
			default:
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	assert.Equal(t, []int{1, 9}, []int{created, repeated})
	n := 0
	made.Range(func(id, _ any) bool { n++; return true })
	assert.Equal(t, 1, n, "all have the same id")
	assert.EqualValues(t, 1, verify(t, s).Entries)
	var kept []byte
	require.NoError(t, Raw(t, options).QueryRowContext(t.Context(), "SELECT request_hash FROM idempotency_keys").Scan(&kept))
	assert.Len(t, kept, len(key.RequestHash))
	assert.NotEqual(t, key.RequestHash[:], kept, "a hash that needs no key would give passwords away")

	other := key
	other.RequestHash[0] = 2
	require.ErrorIs(t, s.CreateUser(operator.WithIdempotency(ctx, other), newUser("bob")), operator.ErrKeyReused)
	other = key
	other.Operation = "createPlan"
	require.ErrorIs(t, s.CreatePlan(operator.WithIdempotency(ctx, other), &aaa.Plan{Name: "gold"}), operator.ErrKeyReused)
	require.NoError(t, s.CreateUser(operator.WithActor(ctx, operator.Actor{Kind: operator.ActorToken, Name: "else"}), newUser("bob")), "another actor's key is another")

	failing := operator.WithIdempotency(ctx, operator.IdempotencyKey{Key: "f", Operation: "createUser"})
	require.ErrorIs(t, s.CreateUser(failing, newUser("bob")), store.ErrExists)
	require.NoError(t, s.CreateUser(failing, newUser("carol")), "what failed may be tried again")

	mu.Lock()
	now = now.Add(operator.IdempotencyRetention + time.Second)
	mu.Unlock()
	require.ErrorIs(t, s.CreateUser(ctx, newUser("alice")), store.ErrExists, "a day later it is a new request")
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Zero(t, rawDB{Raw(t, options)}.count(t, "idempotency_keys"))
}
