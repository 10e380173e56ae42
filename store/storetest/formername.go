package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/journal"
	"radiusd/operator"
	"radiusd/store"
)

// sessionOf is a session of a name that begins at a time and is open.
func sessionOf(session, name string, began time.Time) []aaa.Record {
	records := life(session, 1)[:2]
	for i := range records {
		records[i].Username = name
		records[i].CallingStationID = "station of " + session
		records[i].EventTime = records[i].EventTime.Add(began.Sub(noon))
		records[i].ReceivedAt = records[i].ReceivedAt.Add(began.Sub(noon))
		aaa.NewResolver().Resolve(&records[i])
	}
	return records
}

// renamed is a store with a user who was erika, then elke, is emma now; and, if taken,
// another one who took the name erika.
type renamed struct {
	s           *store.Store
	options     store.Options
	now         time.Time
	emma, other uuid.UUID
}

// halfDay is when what happens in [rename]: erika is renamed in half day 3 and the other one
// comes in 5, elke is renamed in 7.
func halfDay(n int) time.Time { return noon.Add(time.Duration(n-12) * 12 * time.Hour) }

// rename makes it. Each name has a session and a decision at the times given: those of
// erika in half day 1 are the user's, those in 6 the other one's.
func rename(t *testing.T, database Database, taken bool) *renamed {
	t.Helper()
	r := &renamed{options: database(t), now: halfDay(0)}
	r.options.Sealer, r.options.AutoMigrate, r.options.NodeID = sealer(), true, "a"
	r.options.Now = func() time.Time { return r.now }
	r.s = reopen(t, r.options)
	ctx := operator.WithActor(t.Context(), operator.Actor{Kind: operator.ActorLocal, Name: "admin"})
	to := func(name string) func(*aaa.User, *aaa.Profile) error {
		return func(u *aaa.User, _ *aaa.Profile) error { u.Name = name; return nil }
	}
	end := journal.Position(0)
	happens := func(n int, name string) {
		t.Helper()
		at := halfDay(n)
		records := sessionOf("session "+fmt.Sprint(n), name, at)
		end++
		require.NoError(t, write(ctx, sinkOf(t, r.s), 10*end, records...))
		require.NoError(t, r.s.AppendAuthRecords(ctx, aaa.NewAuthBatch(aaa.AuthRecord{ID: uuid.Must(uuid.NewV7()), At: at, Username: name, NASAddr: nasAddr})))
		action := aaa.NewSessionAction(&aaa.Session{ID: records[0].SessionID, Username: name}, aaa.ActionDisconnect, nil)
		require.NoError(t, r.s.QueueActions(ctx, &aaa.ActionBatch{Filter: "user " + name}, []aaa.SessionAction{action}))
	}
	user := newUser("erika")
	require.NoError(t, r.s.CreateUser(ctx, user))
	r.emma = user.ID
	r.now = halfDay(1)
	happens(1, "erika")
	r.now = halfDay(3)
	require.NoError(t, r.s.ChangeUser(ctx, r.emma, to("elke")))
	r.now = halfDay(4)
	happens(4, "elke")
	if taken {
		r.now = halfDay(5)
		other := newUser("erika")
		require.NoError(t, r.s.CreateUser(ctx, other))
		r.other = other.ID
		r.now = halfDay(6)
		happens(6, "erika")
	}
	r.now = halfDay(7)
	require.NoError(t, r.s.UpdateUser(ctx, "elke", func(u *aaa.User) error { u.Name = "emma"; return nil }))
	require.NoError(t, r.s.ChangeUser(ctx, r.emma, func(u *aaa.User, _ *aaa.Profile) error { u.SimultaneousUse = 2; return nil }), "no rename")
	r.now = halfDay(8)
	happens(8, "emma")
	return r
}

// noting is another database that has nothing of anybody.
type noting func(aaa.UserName)

func (n noting) ErasePerson(_ context.Context, name aaa.UserName, _ string) error {
	n(name)
	return nil
}

func testFormerNames(t *testing.T, database Database) {
	r := rename(t, database, true)
	ctx := t.Context()
	names, err := r.s.UserNames(ctx, r.emma)
	require.NoError(t, err)
	hour := time.Hour
	require.Equal(t, []aaa.UserName{
		{Name: "erika", Before: halfDay(3).Add(hour)}, // nobody else had it until then
		{Name: "elke", From: halfDay(3).Add(-hour), Before: halfDay(7).Add(hour)},
		{Name: "emma", From: halfDay(7).Add(-hour)},
	}, names)
	names, err = r.s.UserNames(ctx, r.other)
	require.NoError(t, err)
	require.Equal(t, []aaa.UserName{{Name: "erika", From: halfDay(3)}}, names)
	_, err = r.s.UserNames(ctx, uuid.New())
	require.ErrorIs(t, err, store.ErrNotFound)
	for name, want := range map[string]map[int]uuid.UUID{
		"erika": {1: r.emma, 2: r.emma, 3: uuid.Nil, 6: uuid.Nil}, "elke": {2: uuid.Nil, 3: r.emma, 6: r.emma, 7: uuid.Nil}, "emma": {8: uuid.Nil}, "nobody": {1: uuid.Nil},
	} {
		for at, id := range want {
			found, err := r.s.FormerUser(ctx, name, halfDay(at))
			require.NoError(t, err)
			assert.Equal(t, id, found, "%s in half day %d", name, at)
		}
	}

	// A name comes back to its first owner, and one that is handed over within the time that
	// clocks may be off has a sharp end.
	to := func(id uuid.UUID, name string) {
		require.NoError(t, r.s.ChangeUser(ctx, id, func(u *aaa.User, _ *aaa.Profile) error { u.Name = name; return nil }))
	}
	r.now = halfDay(9)
	to(r.other, "xaver")
	to(r.emma, "erika")
	names, err = r.s.UserNames(ctx, r.emma)
	require.NoError(t, err)
	require.Equal(t, aaa.UserName{Name: "erika", Before: halfDay(3).Add(hour)}, names[0])
	require.Equal(t, aaa.UserName{Name: "erika", From: r.now}, names[3])
	names, err = r.s.UserNames(ctx, r.other)
	require.NoError(t, err)
	require.Equal(t, aaa.UserName{Name: "erika", From: halfDay(3), Before: r.now}, names[0])

	require.NoError(t, r.s.RemoveUser(ctx, r.emma, aaa.CloseOptions{}, nil))
	require.Equal(t, 1, rawDB{Raw(t, r.options)}.count(t, "former_usernames"), "they go with the user")
	_, err = r.s.UserNames(ctx, r.emma)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func testExportRenamed(t *testing.T, database Database) {
	r := rename(t, database, true)
	export := func(id uuid.UUID) (map[string]any, string) {
		t.Helper()
		var out bytes.Buffer
		require.NoError(t, r.s.ExportPerson(t.Context(), id, &out))
		var document map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &document), out.String())
		return document, out.String()
	}
	document, text := export(r.emma)
	for name, want := range map[string]int{"former_names": 2, "sessions": 3, "accounting_records": 6, "auth_records": 3, "usage_daily": 3} {
		assert.Len(t, document[name], want, name)
	}
	assert.Equal(t, []any{"erika", "elke"}, []any{document["former_names"].([]any)[0].(map[string]any)["username"], document["former_names"].([]any)[1].(map[string]any)["username"]})
	theirs := "station of session 6"
	assert.NotContains(t, text, theirs)
	document, text = export(r.other)
	for name, want := range map[string]int{"former_names": 0, "sessions": 1, "accounting_records": 2, "auth_records": 1} {
		assert.Len(t, document[name], want, name)
	}
	assert.Contains(t, text, theirs)
	assert.NotContains(t, text, "station of session 1")
}

func testEraseRenamed(t *testing.T, database Database) {
	for name, keep := range map[string]bool{"deleted": false, "kept": true} {
		r := rename(t, database, false)
		e, err := r.s.ErasePerson(t.Context(), r.emma, aaa.EraseOptions{KeepUser: keep}, nil, nil)
		require.NoError(t, err, name)
		require.Equal(t, aaa.ErasureDone, e.State)
		for _, text := range []string{"erika", "elke", "emma", "station of"} {
			assert.Empty(t, found(t, r.options, text), "%s: %s", name, text)
		}
		_, err = r.s.VerifyAudit(t.Context(), operator.AuditMark{}, nil)
		require.NoError(t, err)

		// Late records of a former name are found too.
		require.NoError(t, write(t.Context(), sinkOf(t, r.s), 1000, sessionOf("late", "elke", halfDay(5))...))
		require.NotEmpty(t, found(t, r.options, "elke"))
		require.NoError(t, r.s.Maintain(t.Context(), store.Retention{}))
		assert.Empty(t, found(t, r.options, "elke"))
		r.now = r.now.AddDate(0, 0, 31)
		require.NoError(t, r.s.Maintain(t.Context(), store.Retention{}))
		var sealed []byte
		require.NoError(t, Raw(t, r.options).QueryRowContext(t.Context(), "SELECT names FROM erasures").Scan(&sealed))
		assert.Nil(t, sealed, "in the end they are forgotten")
	}

	// Who took a name keeps what is under it.
	r := rename(t, database, true)
	theirs := "station of session 6"
	before := found(t, r.options, theirs)
	require.NotEmpty(t, before)
	var erasers []aaa.UserName
	e, err := r.s.ErasePerson(t.Context(), r.emma, aaa.EraseOptions{}, []aaa.PersonEraser{noting(func(n aaa.UserName) { erasers = append(erasers, n) })}, nil)
	require.NoError(t, err)
	assert.ElementsMatch(t, before, found(t, r.options, theirs))
	for _, text := range []string{"elke", "emma", "station of session 1"} {
		assert.Empty(t, found(t, r.options, text), text)
	}
	sessions, _, err := r.s.ListSessionsPage(t.Context(), aaa.SessionFilter{Username: "erika"}, aaa.Page{})
	require.NoError(t, err)
	require.Len(t, sessions, 1)
	assert.True(t, sessions[0].StartedAt.Equal(halfDay(6)))
	sessions, _, err = r.s.ListSessionsPage(t.Context(), aaa.SessionFilter{Username: e.Pseudonym}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, sessions, 3)
	decisions, _, err := r.s.ListAuthPage(t.Context(), aaa.AuthFilter{Username: "erika", From: halfDay(0)}, aaa.Page{})
	require.NoError(t, err)
	assert.Len(t, decisions, 1)
	require.Len(t, erasers, 3)
	assert.Equal(t, "erika", erasers[0].Name)
	assert.False(t, erasers[0].Before.After(halfDay(5)), "other databases are told as well")

	// And who had a name before keeps what was under it then.
	r = rename(t, database, true)
	mine := "station of session 1"
	before = found(t, r.options, mine)
	_, err = r.s.ErasePerson(t.Context(), r.other, aaa.EraseOptions{}, nil, nil)
	require.NoError(t, err)
	assert.ElementsMatch(t, before, found(t, r.options, mine))
	assert.Empty(t, found(t, r.options, theirs))
}

// testErasedTotals: what was used ever goes along with its days.
func testErasedTotals(t *testing.T, database Database) {
	r := rename(t, database, true)
	r.now = r.now.AddDate(0, 3, 0)
	require.NoError(t, r.s.Maintain(t.Context(), store.Retention{}))
	seconds := func(name string) (n uint64) {
		list, err := r.s.UsageAccounts(t.Context(), []string{name}, r.now.AddDate(0, 0, -1), r.now.AddDate(0, 0, -1))
		require.NoError(t, err)
		for _, account := range list {
			n += account.Ever.Seconds
		}
		return n
	}
	ever := seconds("erika") + seconds("elke") + seconds("emma")
	require.EqualValues(t, 4*60, ever)
	e, err := r.s.ErasePerson(t.Context(), r.emma, aaa.EraseOptions{}, nil, nil)
	require.NoError(t, err)
	assert.EqualValues(t, ever, seconds("erika")+seconds(e.Pseudonym), "nothing is lost or counted twice")
	assert.EqualValues(t, 60, seconds("erika"))
	assert.Zero(t, seconds("emma")+seconds("elke"))
}
