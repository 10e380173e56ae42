package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/operator"
	"radiusd/store"
)

func testSettings(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	settings, err := s.Settings(ctx)
	require.NoError(t, err)
	require.Equal(t, aaa.Settings{}, settings)
	set := func(fn func(*aaa.Settings)) (aaa.Settings, error) {
		return s.UpdateSettings(ctx, func(x *aaa.Settings) error { fn(x); return nil })
	}
	first, err := set(func(x *aaa.Settings) { x.AccountingRetentionDays, x.EventRetentionDays = new(7), new(1) })
	require.NoError(t, err)
	got, err := s.Settings(ctx)
	require.NoError(t, err)
	require.Equal(t, first, got)
	require.NotZero(t, got.UpdatedAt)
	second, err := set(func(x *aaa.Settings) { x.AccountingRetentionDays = nil; x.AuthRetentionDays = new(0) })
	require.NoError(t, err)
	require.True(t, second.UpdatedAt.After(first.UpdatedAt))
	got, err = s.Settings(ctx)
	require.NoError(t, err)
	require.Equal(t, second, got)
	require.Nil(t, got.AccountingRetentionDays)
	require.Equal(t, 0, *got.AuthRetentionDays)
	_, err = set(func(x *aaa.Settings) { x.EventRetentionDays, x.AuditRetentionDays = new(0), new(-1) })
	require.Len(t, aaa.FieldErrors(err), 2)
	same, err := set(func(*aaa.Settings) {})
	require.NoError(t, err)
	require.Equal(t, second, same)
	entries, err := s.ListAudit(ctx, operator.AuditFilter{Action: "settings.update"})
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.JSONEq(t, `{"accounting_retention_days": {"before": 7, "after": null}, "auth_retention_days": {"before": null, "after": 0}}`, string(entries[0].Changes))

	// They go before the configuration's.
	now := time.Now().UTC()
	for i, days := range []int{0, 3, 10} {
		require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(aaa.AuthRecord{ID: uuid.New(), At: now.AddDate(0, 0, -days)})))
		r := record(fmt.Sprint(i), aaa.AcctStart, 0, 0)
		r.EventTime = now.AddDate(0, 0, -days)
		r.ReceivedAt = r.EventTime
		aaa.NewResolver().Resolve(&r)
		require.NoError(t, write(ctx, sinkOf(t, s), 1, r))
	}
	_, err = set(func(x *aaa.Settings) { x.AccountingRetentionDays = new(7) })
	require.NoError(t, err)
	require.NoError(t, s.Maintain(ctx, store.Retention{AuthRecords: 24 * time.Hour}))
	db := rawDB{Raw(t, options)}
	assert.Equal(t, 3, db.count(t, "auth_records"), "the setting keeps them for good")
	assert.Equal(t, 2, db.count(t, "accounting_records"))
}

// testPseudonymiseSessions: sessions lose names when they are old.
func testPseudonymiseSessions(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	old := life("01", 1)
	for i := range old {
		old[i].EventTime = old[i].EventTime.AddDate(0, 0, -20)
		old[i].FramedIP = netip.MustParseAddr("10.0.0.7")
		aaa.NewResolver().Resolve(&old[i])
	}
	require.NoError(t, write(ctx, sinkOf(t, s), 1, append(old, life("02", 1)...)...))
	_, err := s.UpdateSettings(ctx, func(x *aaa.Settings) error { x.SessionPseudonymiseDays = new(10); return nil })
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, s.Maintain(ctx, store.Retention{}))
	}
	x, err := s.SessionByID(ctx, old[0].SessionID)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(x.Username, aaa.PseudonymPrefix), x.Username)
	assert.False(t, x.FramedIP.IsValid())
	assert.Empty(t, x.CallingStationID)
	assert.EqualValues(t, 120, x.SessionSeconds)
	records, err := s.SessionRecords(ctx, x.ID, 0)
	require.NoError(t, err)
	require.Len(t, records, 3)
	for _, r := range records {
		assert.Equal(t, x.Username, r.Username)
		assert.Empty(t, r.CallingStationID)
	}
	fresh := life("02", 1)[0]
	y, err := s.SessionByID(ctx, fresh.SessionID)
	require.NoError(t, err)
	assert.Equal(t, fresh.Username, y.Username)
	assert.Equal(t, 2, rawDB{Raw(t, options)}.count(t, "usage_daily"))
}

// person is whom the tests erase; nothing else of the databases has this text.
const person = "Erika Mustermann"

// fillPerson gives a store a person, of whom there is something everywhere, and another
// one, of whom nothing may be changed.
func fillPerson(t testing.TB, s *store.Store) (*aaa.User, []aaa.Record) {
	t.Helper()
	ctx := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorLocal, Name: "admin"})
	group := &aaa.Group{Name: "group"}
	require.NoError(t, s.CreateGroup(ctx, group))
	user, other := newUser(person), newUser("user of 02")
	user.Groups = []aaa.Membership{{GroupID: group.ID}}
	user.Items = []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: ":=", Value: "item"},
		{Kind: aaa.ReplyItem, Attribute: "Cisco-AVPair", Op: "+=", Value: "tunnel:psk=hidden"}}
	require.NoError(t, s.CreateUserWithProfile(ctx, user, &aaa.Profile{FullName: "name of " + person, Email: "erika@example.org"}))
	require.NoError(t, s.CreateUser(ctx, other))
	require.NoError(t, s.UpdateUser(ctx, person, func(u *aaa.User) error { u.SimultaneousUse = 3; return nil }))
	_, err := s.ImportUsers(ctx, func(yield func(aaa.ImportRow, error) bool) {
		yield(aaa.ImportRow{Line: 2, Username: person, SimultaneousUse: new(4)}, nil)
	}, aaa.ImportOptions{Update: true})
	require.NoError(t, err)
	records := ofPerson("01")
	require.NoError(t, write(ctx, sinkOf(t, s), 10, append(records, life("02", 2)...)...))
	var decisions []aaa.AuthRecord
	for i := range 30 {
		decisions = append(decisions, aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: noon.Add(time.Duration(i) * time.Second),
			Username: []string{person, "user of 02"}[i%2], NASAddr: nasAddr, CallingStationID: "02-00-00-00-00-01"})
	}
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(decisions...)))
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	return user, records
}

// ofPerson is a session of the person.
func ofPerson(session string) []aaa.Record {
	records := life(session, 2)
	for i := range records {
		records[i].Username, records[i].FramedIP, records[i].CallingStationID = person, netip.MustParseAddr("203.0.113.77"), "AA-BB-CC-DD-EE-01"
		aaa.NewResolver().Resolve(&records[i])
	}
	return records
}

func testExportPerson(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	user, _ := fillPerson(t, s)
	var out bytes.Buffer
	require.NoError(t, s.ExportPerson(t.Context(), user.ID, &out))
	var document map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &document), out.String())
	count := func(name string) int { return len(document[name].([]any)) }
	assert.Equal(t, person, document["user"].(map[string]any)["username"])
	assert.Equal(t, "erika@example.org", document["profile"].(map[string]any)["email"])
	for name, want := range map[string]int{"groups": 1, "items": 2, "sessions": 1, "accounting_records": 4, "auth_records": 15, "usage_daily": 1, "audit_log": 2, "plan": 0} {
		assert.Equal(t, want, count(name), name)
	}
	assert.NotContains(t, out.String(), canary)
	assert.NotContains(t, out.String(), "psk=")
	assert.NotContains(t, out.String(), "user of 02")
	require.ErrorIs(t, s.ExportPerson(t.Context(), uuid.New(), &out), store.ErrNotFound)
}

// eraserFunc is another database.
type eraserFunc func(username, pseudonym string) error

func (f eraserFunc) ErasePerson(_ context.Context, name aaa.UserName, pseudonym string) error {
	return f(name.Name, pseudonym)
}

// found returns the rows of a database that have a text.
func found(t testing.TB, options store.Options, text string) (list []string) {
	t.Helper()
	for table, rows := range Rows(t, options) {
		for _, row := range rows {
			if strings.Contains(row, text) {
				list = append(list, table+": "+row)
			}
		}
	}
	return list
}

func testErasePerson(t *testing.T, database Database) {
	for name, keep := range map[string]bool{"deleted": false, "kept": true} {
		s, options := openNode(t, database, "a")
		ctx := t.Context()
		user, _ := fillPerson(t, s)
		others := found(t, options, "user of 02")
		require.NotEmpty(t, found(t, options, person))
		before, err := s.VerifyAudit(ctx, operator.AuditMark{}, nil)
		require.NoError(t, err)

		_, err = s.ErasePerson(ctx, uuid.New(), aaa.EraseOptions{}, nil, nil)
		require.ErrorIs(t, err, store.ErrNotFound)
		away := errors.New("away")
		e, err := s.ErasePerson(ctx, user.ID, aaa.EraseOptions{KeepUser: keep}, []aaa.PersonEraser{eraserFunc(func(username, pseudonym string) error {
			assert.Equal(t, person, username)
			return away
		})}, nil)
		require.ErrorIs(t, err, away, name)
		assert.Equal(t, aaa.ErasureFailed, e.State)
		rows := int64(0)
		e, err = s.ErasePerson(ctx, user.ID, aaa.EraseOptions{KeepUser: keep}, nil, func(n int64) { rows = n })
		require.NoError(t, err, name)
		assert.Equal(t, aaa.ErasureDone, e.State)
		assert.Greater(t, e.Rows, int64(20))
		assert.Equal(t, e.Rows, rows)
		for _, text := range []string{person, "erika@example.org", "AA-BB-CC-DD-EE-01", "203.0.113.77"} {
			assert.Empty(t, found(t, options, text), "%s: %s", name, text)
		}
		assert.Len(t, found(t, options, "user of 02"), len(others), "nobody else is changed")
		report, err := s.VerifyAudit(ctx, before.Head, nil)
		require.NoError(t, err, "the chain holds, and goes on from where it was")
		assert.Greater(t, report.Entries, before.Entries)

		// What was used is kept.
		list, err := s.UserUsage(ctx, e.Pseudonym, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.EqualValues(t, 180, list[0].Seconds)
		kept, _, err := s.UserByID(ctx, user.ID)
		if keep {
			require.NoError(t, err)
			assert.Equal(t, e.Pseudonym, kept.Name)
			assert.Equal(t, aaa.UserDisabled, kept.Status)
			assert.Empty(t, kept.Credential.Secret)
		} else {
			require.ErrorIs(t, err, store.ErrNotFound)
		}

		// Records that come late out of a journal are found at the next maintenance, and a
		// new person of that name is left alone.
		late := ofPerson("01")
		late[3].EventTime = late[3].EventTime.Add(time.Minute)
		late[3].SessionSeconds += 60
		require.NoError(t, write(ctx, sinkOf(t, s), 20, append(late[3:], ofPerson("03")...)...))
		require.NotEmpty(t, found(t, options, person))
		require.NoError(t, s.Maintain(ctx, store.Retention{}))
		assert.Empty(t, found(t, options, person), name)
		assert.Empty(t, found(t, options, "203.0.113.77"), name)
		list, err = s.UserUsage(ctx, e.Pseudonym, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))
		require.NoError(t, err)
		require.Len(t, list, 1)
		assert.EqualValues(t, 180+60+180, list[0].Seconds)
		require.NoError(t, s.CreateUser(ctx, newUser(person)))
		now := aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: time.Now().Add(time.Second).UTC(), Username: person, NASAddr: nasAddr}
		require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(now)))
		require.NoError(t, s.Maintain(ctx, store.Retention{}))
		fresh, err := s.ListAuthRecords(ctx, store.AuthFilter{Username: person})
		require.NoError(t, err)
		assert.Len(t, fresh, 1, "that is the new one's")

		// When the watch ends, the name is forgotten.
		options.Now = func() time.Time { return time.Now().AddDate(0, 0, 31) }
		later := reopen(t, options)
		require.NoError(t, later.Maintain(ctx, store.Retention{}))
		e, err = later.ErasureByID(ctx, e.ID)
		require.NoError(t, err)
		assert.False(t, e.Watched)
		var name []byte
		require.NoError(t, Raw(t, options).QueryRowContext(ctx, "SELECT name FROM erasures").Scan(&name))
		assert.Nil(t, name)

		// Only an erasure may blank an entry.
		db := Raw(t, options)
		_, err = db.ExecContext(ctx, "UPDATE audit_log SET entity_name = 'x', redacted = $1 WHERE seq = 1", true)
		require.ErrorContains(t, err, "append-only")
		execute(t, db, "UPDATE audit_log SET entity_name = '', changes = '{}', redacted = $1 WHERE seq = 1", true)
		_, err = s.VerifyAudit(ctx, operator.AuditMark{}, nil)
		require.ErrorContains(t, err, "was blanked")
	}
}

// testErasureResumes interrupts an erasure, and has it gone on with by maintenance.
func testErasureResumes(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	user, _ := fillPerson(t, s)
	var records []aaa.Record
	for i := range 450 {
		records = append(records, ofPerson(fmt.Sprintf("many-%03d", i))[:2]...)
	}
	require.NoError(t, write(t.Context(), sinkOf(t, s), 30, records...))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	e, err := s.ErasePerson(ctx, user.ID, aaa.EraseOptions{}, nil, func(rows int64) {
		if rows > 0 {
			cancel()
		}
	})
	require.Error(t, err)
	require.NotEmpty(t, found(t, options, person), "it is not done")
	_, err = s.UserByName(t.Context(), person)
	require.ErrorIs(t, err, store.ErrNotFound, "but the person is not let in any more")
	stopped, err := s.ErasureByID(t.Context(), e.ID)
	require.NoError(t, err)
	require.Greater(t, stopped.Rows, int64(400))
	require.Equal(t, aaa.ErasureRunning, stopped.State)
	list, _, err := s.ListErasuresPage(t.Context(), aaa.ErasureFilter{UserID: user.ID, State: aaa.ErasureRunning}, aaa.Page{})
	require.NoError(t, err)
	require.Equal(t, []aaa.Erasure{stopped}, list)
	list, _, err = s.ListErasuresPage(t.Context(), aaa.ErasureFilter{UserID: uuid.New()}, aaa.Page{})
	require.NoError(t, err)
	require.Empty(t, list)

	// After a kill, nobody has given the lease back.
	lease := time.Now().Add(10 * time.Second).UTC()
	execute(t, Raw(t, options), "UPDATE erasures SET lease_until = $1", lease.Format("2006-01-02T15:04:05.000000Z"))
	require.NoError(t, s.RunErasures(t.Context(), nil))
	require.NoError(t, s.Maintain(t.Context(), store.Retention{}))
	require.NotEmpty(t, found(t, options, person), "somebody may be at it")
	options.Now = func() time.Time { return time.Now().Add(time.Minute) }
	later := reopen(t, options)
	require.NoError(t, later.RunErasures(t.Context(), nil))
	require.Empty(t, found(t, options, person))
	done, err := s.ErasureByID(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, aaa.ErasureDone, done.State)
	require.Equal(t, e.Pseudonym, done.Pseudonym)
	require.Greater(t, done.Rows, int64(1300))
}
