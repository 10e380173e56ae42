package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
)

func rowsOf(rows ...store.ImportRow) func(func(store.ImportRow, error) bool) {
	return func(yield func(store.ImportRow, error) bool) {
		for i, row := range rows {
			row.Line = i + 2 // after the heading
			if !yield(row, nil) {
				return
			}
		}
	}
}

func testImport(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	plan, group := &aaa.Plan{Name: "gold"}, &aaa.Group{Name: "staff"}
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.NoError(t, s.CreateGroup(ctx, group))
	require.NoError(t, s.UpdatePlan(ctx, "gold", func(*aaa.Plan) error { return nil }))
	f := follow(t, s)

	status, expires, many := aaa.UserDisabled, at("2031-01-01T00:00:00Z"), 4
	credential := aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(canary)}
	full := store.ImportRow{
		Username: "alice", Credential: &credential, Plan: &plan.Name, Status: &status, ExpiresAt: &expires,
		SimultaneousUse: &many, Groups: &[]string{"staff"}, FullName: new("Alice A."), Email: new("a@example.org"),
	}
	rows := []store.ImportRow{full, {Username: "bob"}}
	for i := range 60 { // enough for COPY
		rows = append(rows, store.ImportRow{Username: fmt.Sprintf("user%d", i), Credential: &credential, Phone: new(fmt.Sprint(i))})
	}
	dry, err := s.ImportUsers(ctx, rowsOf(rows...), store.ImportOptions{DryRun: true})
	require.NoError(t, err)
	assert.Equal(t, store.ImportResult{Created: 62}, dry)
	assert.Empty(t, f.poll(), "a dry run writes nothing")

	var progress []int
	result, err := s.ImportUsers(ctx, rowsOf(rows...), store.ImportOptions{Progress: func(n int) { progress = append(progress, n) }})
	require.NoError(t, err)
	assert.Equal(t, store.ImportResult{Created: 62}, result)
	assert.Equal(t, []int{62}, progress)
	assert.Len(t, f.poll(), 62)

	skipped, err := s.ImportUsers(ctx, rowsOf(full, store.ImportRow{Username: "bob", Status: &status}), store.ImportOptions{Skip: true})
	require.NoError(t, err)
	assert.Equal(t, store.ImportResult{Skipped: 2}, skipped)
	assert.Empty(t, f.poll(), "who is skipped is left as they are")

	alice, err := s.UserByName(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, &aaa.User{
		ID: alice.ID, Name: "alice", Status: status, Credential: credential, PlanID: plan.ID, ExpiresAt: expires, SimultaneousUse: 4,
		Groups: []aaa.Membership{{GroupID: group.ID}}, CreatedAt: alice.CreatedAt, UpdatedAt: alice.UpdatedAt,
	}, alice)
	assert.WithinDuration(t, time.Now(), alice.CreatedAt, time.Minute)
	bob, err := s.UserByName(ctx, "bob")
	require.NoError(t, err)
	assert.Equal(t, aaa.User{ID: bob.ID, Name: "bob", CreatedAt: bob.CreatedAt, UpdatedAt: bob.UpdatedAt}, *bob)
	p, err := s.UserProfile(ctx, "user59")
	require.NoError(t, err)
	assert.Equal(t, aaa.Profile{Phone: "59"}, p)

	active := aaa.UserActive
	update := []store.ImportRow{
		{Username: "alice", Status: &active, Plan: new(""), Groups: &[]string{}, Phone: new("1")},
		{Username: "carol"},
	}
	_, err = s.ImportUsers(ctx, rowsOf(update...), store.ImportOptions{})
	require.ErrorContains(t, err, `user "alice": exists already`)
	result, err = s.ImportUsers(ctx, rowsOf(update...), store.ImportOptions{Update: true})
	require.NoError(t, err)
	assert.Equal(t, store.ImportResult{Created: 1, Updated: 1}, result)
	alice, err = s.UserByName(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, aaa.UserActive, alice.Status)
	assert.Equal(t, uuid.Nil, alice.PlanID)
	assert.Empty(t, alice.Groups)
	assert.Equal(t, credential, alice.Credential, "what is not given is kept")
	assert.Equal(t, expires, alice.ExpiresAt)
	p, err = s.UserProfile(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, aaa.Profile{FullName: "Alice A.", Email: "a@example.org", Phone: "1"}, p)

	// What billing has suspended is neither lifted nor made an operator's.
	require.NoError(t, s.UpdateUser(ctx, "alice", func(u *aaa.User) error {
		u.Status, u.Suspension = aaa.UserSuspended, aaa.SuspendedOverdue
		return nil
	}))
	type suspended struct {
		status     aaa.UserStatus
		suspension aaa.Suspension
	}
	for i, step := range []struct {
		given *aaa.UserStatus
		want  suspended
	}{
		{nil, suspended{aaa.UserSuspended, aaa.SuspendedOverdue}},
		{new(aaa.UserActive), suspended{aaa.UserSuspended, aaa.SuspendedOverdue}},
		{new(aaa.UserSuspended), suspended{aaa.UserSuspended, aaa.SuspendedOverdue}},
		{new(aaa.UserDisabled), suspended{aaa.UserDisabled, aaa.SuspendedByHand}},
		{new(aaa.UserSuspended), suspended{aaa.UserSuspended, aaa.SuspendedByHand}},
		{new(aaa.UserActive), suspended{aaa.UserActive, aaa.SuspendedByHand}},
	} {
		_, err := s.ImportUsers(ctx, rowsOf(store.ImportRow{Username: "alice", Status: step.given}), store.ImportOptions{Update: true})
		require.NoError(t, err)
		alice, err := s.UserByName(ctx, "alice")
		require.NoError(t, err)
		assert.Equal(t, step.want, suspended{alice.Status, alice.Suspension}, "step %d", i)
		row, err := s.UserRowByID(ctx, alice.ID)
		require.NoError(t, err)
		assert.Equal(t, step.want, suspended{row.Status, row.Suspension}, "step %d, as it is listed", i)
	}
}

func testImportErrors(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, newUser("there")))
	_, err := s.ImportUsers(ctx, rowsOf(
		store.ImportRow{Username: "good"},
		store.ImportRow{Username: ""},
		store.ImportRow{Username: "good"},
		store.ImportRow{Username: "planless", Plan: new("nope")},
		store.ImportRow{Username: "there"},
		store.ImportRow{Username: "grouped", Groups: &[]string{"nope"}},
		store.ImportRow{Username: strings.Repeat("ä", 127)},
	), store.ImportOptions{})
	require.Error(t, err)
	for _, line := range []string{
		"line 3: a user needs a name",
		`line 4: user "good" is on line 2 already`,
		`line 5: plan "nope": not found`,
		`line 6: user "there": exists already`,
		`line 7: group "nope": not found`,
		"line 8: the user name has 254 octets, and RADIUS carries 253",
	} {
		assert.ErrorContains(t, err, line)
	}
	var first *store.LineError
	require.ErrorAs(t, err, &first)
	var fields []string
	for _, e := range aaa.FieldErrors(err) {
		fields = append(fields, e.Field)
	}
	assert.ElementsMatch(t, []string{"username", "username", "plan", "username", "groups", "username"}, fields)
	_, err = s.UserByName(ctx, "good")
	assert.ErrorIs(t, err, store.ErrNotFound, "nothing is half imported")

	unreadable := func(yield func(store.ImportRow, error) bool) {
		_ = yield(store.ImportRow{Line: 2, Username: "good"}, nil) &&
			yield(store.ImportRow{}, &store.LineError{Line: 3, Err: errors.New("too many fields")}) &&
			yield(store.ImportRow{Line: 4, Username: "there"}, nil)
	}
	_, err = s.ImportUsers(ctx, unreadable, store.ImportOptions{})
	assert.ErrorContains(t, err, "line 3: too many fields")
	assert.ErrorContains(t, err, "line 4: ")

	var bad []store.ImportRow
	for range 500 {
		bad = append(bad, store.ImportRow{})
	}
	_, err = s.ImportUsers(ctx, rowsOf(bad...), store.ImportOptions{MaxErrors: 10})
	assert.ErrorContains(t, err, "line 11: ")
	assert.NotContains(t, err.Error(), "line 12: ")
	assert.ErrorContains(t, err, "more errors than are shown")

	broken := errors.New("disk on fire")
	_, err = s.ImportUsers(ctx, func(yield func(store.ImportRow, error) bool) { yield(store.ImportRow{}, broken) }, store.ImportOptions{})
	assert.ErrorIs(t, err, broken)
	n, err := s.CountUsers(ctx, aaa.UserFilter{})
	require.NoError(t, err)
	assert.Equal(t, aaa.Count{N: 1}, n)
}
