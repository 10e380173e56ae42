package storetest

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
)

// testByID reads, changes and removes by id, with a clock that stands still.
func testByID(t *testing.T, database Database) {
	options := database(t)
	options.Sealer, options.AutoMigrate = sealer(), true
	now := at("2030-01-31T08:15:00Z")
	options.Now = func() time.Time { return now }
	s, ctx := reopen(t, options), t.Context()

	user, profile := newUser("alice"), &aaa.Profile{FullName: "Alice A.", Email: "a@example.org"}
	require.NoError(t, s.CreateUserWithProfile(ctx, user, profile))
	got, p, err := s.UserByID(ctx, user.ID)
	require.NoError(t, err)
	assert.Equal(t, user, got)
	assert.Equal(t, profile, p)
	for range 3 {
		before := *got
		require.NoError(t, s.ChangeUser(ctx, user.ID, func(u *aaa.User, p *aaa.Profile) error {
			u.Name, u.Status, p.Phone = "alicia", aaa.UserSuspended, "+1"
			u.SimultaneousUse++
			return nil
		}))
		got, p, err = s.UserByID(ctx, user.ID)
		require.NoError(t, err)
		assert.Equal(t, "alicia", got.Name)
		assert.Equal(t, "+1", p.Phone)
		assert.True(t, got.UpdatedAt.After(before.UpdatedAt), "the time of a change is always another one")
	}
	refused := errors.New("somebody else was faster")
	err = s.ChangeUser(ctx, user.ID, func(u *aaa.User, p *aaa.Profile) error {
		u.Status, p.Phone = aaa.UserActive, "+2"
		return refused
	})
	require.ErrorIs(t, err, refused)
	err = s.ChangeUser(ctx, user.ID, func(u *aaa.User, p *aaa.Profile) error {
		u.Status, p.Phone = aaa.UserActive, "+2"
		u.Groups = []aaa.Membership{{GroupID: uuid.New()}}
		return nil
	})
	require.Error(t, err)
	again, p, err := s.UserByID(ctx, user.ID)
	require.NoError(t, err)
	assert.Equal(t, got, again)
	assert.Equal(t, "+1", p.Phone, "user and profile are written together or not at all")
	require.NoError(t, s.UpdateUserProfile(ctx, "alicia", func(p *aaa.Profile) error { p.Note = "n"; return nil }))
	again, _, err = s.UserByID(ctx, user.ID)
	require.NoError(t, err)
	assert.True(t, again.UpdatedAt.After(got.UpdatedAt), "the profile is part of the user")

	plan, group, nas := &aaa.Plan{Name: "gold"}, &aaa.Group{Name: "staff"}, newNAS("192.0.2.1/32")
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.NoError(t, s.CreateGroup(ctx, group))
	require.NoError(t, s.CreateNAS(ctx, nas))
	require.NoError(t, s.ChangePlan(ctx, plan.ID, func(p *aaa.Plan) error { p.RateUp = 1; return nil }))
	require.NoError(t, s.ChangeGroup(ctx, group.ID, func(g *aaa.Group) error { g.Name = "team"; return nil }))
	require.NoError(t, s.ChangeNAS(ctx, nas.ID, func(n *aaa.NAS) error { n.Prefix = netip.MustParsePrefix("192.0.2.9/24"); return nil }))
	gotPlan, err := s.PlanByID(ctx, plan.ID)
	require.NoError(t, err)
	assert.True(t, gotPlan.UpdatedAt.After(plan.UpdatedAt))
	gotGroup, err := s.GroupByID(ctx, group.ID)
	require.NoError(t, err)
	assert.Equal(t, "team", gotGroup.Name)
	gotNAS, err := s.NASByID(ctx, nas.ID)
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.0/24", gotNAS.Prefix.String())

	require.NoError(t, s.ChangeUser(ctx, user.ID, func(u *aaa.User, _ *aaa.Profile) error {
		u.PlanID, u.Groups = plan.ID, []aaa.Membership{{GroupID: group.ID}}
		return nil
	}))
	require.ErrorIs(t, s.RemovePlan(ctx, plan.ID, nil), aaa.ErrInUse)
	require.ErrorIs(t, s.RemoveGroup(ctx, group.ID, nil), store.ErrInUse)
	kept := errors.New("kept")
	require.ErrorIs(t, s.RemoveUser(ctx, user.ID, aaa.CloseOptions{}, func(u *aaa.User, _ *aaa.Profile) error {
		assert.Equal(t, user.ID, u.ID)
		return kept
	}), kept)
	_, _, err = s.UserByID(ctx, user.ID)
	require.NoError(t, err, "what check refuses is left")
	require.Panics(t, func() {
		_ = s.RemoveUser(ctx, user.ID, aaa.CloseOptions{}, func(*aaa.User, *aaa.Profile) error { panic("a mistake") })
	})
	require.NoError(t, s.RemoveUser(ctx, user.ID, aaa.CloseOptions{}, nil), "what panics holds no lock")
	require.NoError(t, s.RemovePlan(ctx, plan.ID, nil))
	require.NoError(t, s.RemoveGroup(ctx, group.ID, nil))
	require.NoError(t, s.RemoveNAS(ctx, nas.ID, nil))
	_, _, err = s.UserByID(ctx, user.ID)
	for what, err := range map[string]error{
		"user": err, "remove user": s.RemoveUser(ctx, user.ID, aaa.CloseOptions{}, nil), "remove plan": s.RemovePlan(ctx, plan.ID, nil),
		"remove group": s.RemoveGroup(ctx, group.ID, nil), "remove NAS": s.RemoveNAS(ctx, nas.ID, nil),
		"change": s.ChangeUser(ctx, user.ID, func(*aaa.User, *aaa.Profile) error { return refused }),
	} {
		assert.ErrorIs(t, err, aaa.ErrNotFound, what)
	}
}

// testFieldErrors: what is wrong with what was entered comes by field.
func testFieldErrors(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	fields := func(err error) (names []string) {
		require.Error(t, err)
		for _, e := range aaa.FieldErrors(err) {
			names = append(names, e.Field)
		}
		return names
	}
	group := &aaa.Group{Name: "staff"}
	require.NoError(t, s.CreateGroup(ctx, group))
	user := newUser("alice")
	user.PlanID, user.Groups = uuid.New(), []aaa.Membership{{GroupID: group.ID}, {GroupID: uuid.New()}}
	assert.Equal(t, []string{"plan_id", "groups[1]"}, fields(s.CreateUser(ctx, user)))
	user = newUser("")
	user.SimultaneousUse, user.Groups = -1, []aaa.Membership{{GroupID: group.ID}, {GroupID: group.ID}}
	user.ExpiresAt = time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)
	assert.Equal(t, []string{"username", "groups[1]", "expires_at", "simultaneous_use"}, fields(s.CreateUser(ctx, user)))
	assert.Equal(t, []string{"email"}, fields(s.CreateUserWithProfile(ctx, newUser("bob"), &aaa.Profile{Email: "\xff"})))
	assert.Equal(t, []string{"email"}, fields(s.CreateUserWithProfile(ctx, newUser("bob"), &aaa.Profile{Email: "bob"})))
	assert.Equal(t, []string{"name", "login_hours"}, fields(s.CreatePlan(ctx, &aaa.Plan{LoginHours: "sometimes"})))
	assert.Equal(t, []string{"address", "secret"}, fields(s.CreateNAS(ctx, &aaa.NAS{})))
	require.NoError(t, s.CreateUser(ctx, newUser("bob")))
	assert.Equal(t, []string{"username"}, fields(s.UpdateUser(ctx, "bob", func(u *aaa.User) error { u.Name = ""; return nil })))
	err := s.UpdateUser(ctx, "bob", func(u *aaa.User) error { u.PlanID = uuid.New(); return nil })
	assert.Equal(t, []string{"plan_id"}, fields(err))

	// An e-mail from before they were checked hinders no other change.
	require.NoError(t, s.CreateUserWithProfile(ctx, newUser("carol"), &aaa.Profile{Email: "carol@example.org"}))
	execute(t, Raw(t, options), "UPDATE user_profiles SET email = 'carol'")
	require.NoError(t, s.UpdateUserProfile(ctx, "carol", func(p *aaa.Profile) error { p.Phone = "1"; return nil }))
	assert.Equal(t, []string{"email"}, fields(s.UpdateUserProfile(ctx, "carol", func(p *aaa.Profile) error { p.Email = "carola"; return nil })))
}
