package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/radius"
	"radiusd/store"
)

func testUsers(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	plan := &aaa.Plan{Name: "gold"}
	require.NoError(t, s.CreatePlan(ctx, plan))
	first, second := &aaa.Group{Name: "first"}, &aaa.Group{Name: "second"}
	require.NoError(t, s.CreateGroup(ctx, first))
	require.NoError(t, s.CreateGroup(ctx, second))

	user := &aaa.User{
		Name:            "alice",
		Status:          aaa.UserSuspended,
		Credential:      aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte("p\x01w\xff")},
		PlanID:          plan.ID,
		Groups:          []aaa.Membership{{GroupID: second.ID, Priority: -1}, {GroupID: first.ID, Priority: 5}},
		ExpiresAt:       at("2031-02-03T04:05:06.123456Z"),
		SimultaneousUse: 3,
		Items: []aaa.Item{
			{Kind: aaa.ReplyItem, Attribute: "Reply-Message", Op: "+=", Value: "zwei"},
			{Kind: aaa.ReplyItem, Attribute: "Reply-Message", Op: "+=", Value: "eins"},
			{Kind: aaa.CheckItem, Attribute: "NAS-Port-Type", Op: "==", Value: "Ethernet"},
		},
	}
	require.NoError(t, s.CreateUser(ctx, user))
	assert.Equal(t, uuid.Version(7), user.ID.Version())
	assert.WithinDuration(t, time.Now(), user.CreatedAt, time.Minute)

	got, err := s.UserByName(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, user, got)

	require.NoError(t, s.UpdateUser(ctx, "alice", func(u *aaa.User) error {
		assert.Equal(t, user, u)
		u.Name = "alicia"
		u.Status = aaa.UserActive
		u.Credential = aaa.Credential{}
		u.PlanID = uuid.Nil
		u.ExpiresAt = time.Time{}
		u.Groups = u.Groups[1:]
		u.Items = slices.Delete(u.Items, 1, 2)
		return nil
	}))
	got, err = s.UserByName(ctx, "alicia")
	require.NoError(t, err)
	assert.Equal(t, aaa.Credential{}, got.Credential)
	assert.Equal(t, uuid.Nil, got.PlanID)
	assert.True(t, got.ExpiresAt.IsZero())
	assert.Equal(t, []aaa.Membership{{GroupID: first.ID, Priority: 5}}, got.Groups)
	assert.Equal(t, []aaa.Item{user.Items[0], user.Items[2]}, got.Items)
	assert.Equal(t, user.CreatedAt, got.CreatedAt)
	assert.False(t, got.UpdatedAt.Before(user.UpdatedAt))

	refused := errors.New("no")
	require.ErrorIs(t, s.UpdateUser(ctx, "alicia", func(u *aaa.User) error { u.SimultaneousUse = 9; return refused }), refused)
	got, err = s.UserByName(ctx, "alicia")
	require.NoError(t, err)
	assert.Equal(t, 3, got.SimultaneousUse, "a refused change is not written")

	require.NoError(t, s.DeleteUser(ctx, "alicia"))
	_, err = s.UserByName(ctx, "alicia")
	assert.ErrorIs(t, err, store.ErrNotFound)
	list, err := s.UsersByID(ctx, []uuid.UUID{user.ID})
	require.NoError(t, err)
	assert.Empty(t, list)
}

func testUserErrors(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	require.NoError(t, s.CreateUser(ctx, newUser("bob")))

	err := s.CreateUser(ctx, newUser("alice"))
	require.ErrorIs(t, err, store.ErrExists)
	assert.Equal(t, `user "alice": exists already`, err.Error())
	require.NoError(t, s.CreateUser(ctx, newUser("Alice")), "names are compared octet by octet")

	err = s.UpdateUser(ctx, "bob", func(u *aaa.User) error { u.Name = "alice"; return nil })
	assert.ErrorIs(t, err, store.ErrExists)

	for action, err := range map[string]error{
		"read":    func() error { _, err := s.UserByName(ctx, "carol"); return err }(),
		"change":  s.UpdateUser(ctx, "carol", func(*aaa.User) error { t.Error("called for nobody"); return nil }),
		"delete":  s.DeleteUser(ctx, "carol"),
		"profile": s.UpdateUserProfile(ctx, "carol", func(*aaa.Profile) error { return nil }),
	} {
		assert.ErrorIs(t, err, store.ErrNotFound, action)
		assert.Equal(t, `user "carol": not found`, err.Error(), action)
	}
	for _, name := range []string{"", "a\x00b", "a\xffb", "a\nb"} {
		assert.Error(t, s.CreateUser(ctx, newUser(name)), "name %q", name)
	}
	lost := newUser("dave")
	lost.PlanID = uuid.New()
	assert.Error(t, s.CreateUser(ctx, lost), "a plan that does not exist")
	_, err = s.UserByName(ctx, "dave")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func testUserLists(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	plan := &aaa.Plan{Name: "gold"}
	require.NoError(t, s.CreatePlan(ctx, plan))
	var ids []uuid.UUID
	for i := range 25 {
		u := newUser(fmt.Sprintf("user%02d", i))
		if i%2 == 1 {
			u.PlanID = plan.ID
			u.Items = []aaa.Item{{Attribute: "Filter-Id", Op: "=", Value: u.Name}}
		}
		if i%5 == 0 {
			u.Status = aaa.UserDisabled
		}
		require.NoError(t, s.CreateUser(ctx, u))
		ids = append(ids, u.ID)
	}
	require.NoError(t, s.CreateUser(ctx, newUser("other")))

	var paged []string
	filter := store.UserFilter{Limit: 7}
	for {
		list, err := s.ListUsers(ctx, filter)
		require.NoError(t, err)
		for _, u := range list {
			paged = append(paged, u.Name)
			filter.After = u.Name
		}
		if len(list) < filter.Limit {
			break
		}
	}
	assert.Len(t, paged, 26)
	assert.True(t, slices.IsSorted(paged))

	disabled := aaa.UserDisabled
	for name, tt := range map[string]struct {
		filter store.UserFilter
		want   int
	}{
		"all":      {store.UserFilter{}, 26},
		"prefix":   {store.UserFilter{Prefix: "user1"}, 10},
		"no match": {store.UserFilter{Prefix: "%"}, 0},
		"plan":     {store.UserFilter{PlanID: plan.ID}, 12},
		"status":   {store.UserFilter{Status: &disabled}, 5},
		"all of":   {store.UserFilter{Prefix: "user", Status: &disabled, PlanID: plan.ID}, 2},
	} {
		list, err := s.ListUsers(ctx, tt.filter)
		require.NoError(t, err, name)
		assert.Len(t, list, tt.want, name)
	}
	list, err := s.ListUsers(ctx, store.UserFilter{Prefix: "user03"})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, []aaa.Item{{Attribute: "Filter-Id", Op: "=", Value: "user03"}}, list[0].Items)
	assert.Equal(t, canary, string(list[0].Credential.Secret))

	byID, err := s.UsersByID(ctx, append(ids[3:6:6], uuid.New()))
	require.NoError(t, err)
	assert.Len(t, byID, 3)
}

func testPlans(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	plan := &aaa.Plan{
		Name: "gold", RateUp: 10_000_000, RateDown: 1<<63 - 1, BurstUp: 1, BurstDown: 2,
		BurstThresholdUp: 3, BurstThresholdDown: 4, BurstTime: 5 * time.Second, PolicyUp: "up", PolicyDown: "down",
		SessionTimeout: time.Hour, IdleTimeout: time.Minute, InterimInterval: 10 * time.Minute,
		AddressPool: "pool", IPv6Pool: "pool6", DelegatedIPv6Pool: "pd", AddressList: "list", FilterID: "filter",
		SimultaneousUse: 2, LoginHours: "Al0800-1800", AllowedMethods: 1<<aaa.MethodCHAP | 1<<aaa.MethodMSCHAPv2,
		QuotaSeconds: 6, QuotaOctets: 7, QuotaPeriod: aaa.PeriodMonth,
		Items: []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Class", Op: ":=", Value: "x"}},
	}
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.ErrorIs(t, s.CreatePlan(ctx, &aaa.Plan{Name: "gold"}), store.ErrExists)
	require.NoError(t, s.CreatePlan(ctx, &aaa.Plan{Name: "basic"}))

	got, err := s.PlanByName(ctx, "gold")
	require.NoError(t, err)
	assert.Equal(t, plan, got)
	got, err = s.PlanByID(ctx, plan.ID)
	require.NoError(t, err)
	assert.Equal(t, plan, got)
	list, err := s.Plans(ctx)
	require.NoError(t, err)
	require.Len(t, list, 2)
	assert.Equal(t, "basic", list[0].Name)
	assert.Equal(t, *plan, list[1])

	require.NoError(t, s.UpdatePlan(ctx, "gold", func(p *aaa.Plan) error {
		p.RateUp = 1 << 63 // more than the database can hold
		p.Items = nil
		return nil
	}))
	got, err = s.PlanByName(ctx, "gold")
	require.NoError(t, err)
	assert.Equal(t, uint64(1<<63-1), got.RateUp, "clamped, never negative")
	assert.Empty(t, got.Items)

	user := newUser("alice")
	user.PlanID = plan.ID
	require.NoError(t, s.CreateUser(ctx, user))
	err = s.DeletePlan(ctx, "gold")
	require.ErrorIs(t, err, store.ErrInUse)
	assert.Equal(t, `plan "gold": is in use: 1 users have it`, err.Error())
	require.NoError(t, s.DeleteUser(ctx, "alice"))
	require.NoError(t, s.DeletePlan(ctx, "gold"))
	assert.ErrorIs(t, s.DeletePlan(ctx, "gold"), store.ErrNotFound)
	assert.ErrorIs(t, s.UpdatePlan(ctx, "gold", func(*aaa.Plan) error { return nil }), store.ErrNotFound)
}

func testGroups(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	group := &aaa.Group{Name: "staff", Items: []aaa.Item{{Kind: aaa.CheckItem, Attribute: "NAS-Identifier", Op: "=~", Value: "^a"}}}
	require.NoError(t, s.CreateGroup(ctx, group))
	require.ErrorIs(t, s.CreateGroup(ctx, &aaa.Group{Name: "staff"}), store.ErrExists)
	require.NoError(t, s.UpdateGroup(ctx, "staff", func(g *aaa.Group) error {
		g.Items = append(g.Items, aaa.Item{Kind: aaa.ReplyItem, Attribute: "Filter-Id", Op: "=", Value: "y"})
		return nil
	}))
	got, err := s.GroupByName(ctx, "staff")
	require.NoError(t, err)
	require.Len(t, got.Items, 2)
	list, err := s.Groups(ctx)
	require.NoError(t, err)
	assert.Equal(t, []aaa.Group{*got}, list)

	user := newUser("alice")
	user.Groups = []aaa.Membership{{GroupID: group.ID}}
	require.NoError(t, s.CreateUser(ctx, user))
	require.ErrorIs(t, s.DeleteGroup(ctx, "staff"), store.ErrInUse)
	require.NoError(t, s.DeleteUser(ctx, "alice"))
	require.NoError(t, s.DeleteGroup(ctx, "staff"))
	assert.ErrorIs(t, s.DeleteGroup(ctx, "staff"), store.ErrNotFound)
}

func testNAS(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	nas := &aaa.NAS{
		Name: "edge", Prefix: netip.MustParsePrefix("192.0.2.77/24"), Secret: []byte("s\x00ecret"), PreviousSecret: []byte("old"),
		Vendor: "mikrotik", CoAPort: 1700, RequireMessageAuthenticator: radius.RequireAuto, LimitProxyState: true,
	}
	require.NoError(t, s.CreateNAS(ctx, nas))
	assert.Equal(t, "192.0.2.0/24", nas.Prefix.String(), "host bits are cleared")
	single := newNAS("2001:db8::1/128")
	require.NoError(t, s.CreateNAS(ctx, single))
	mapped := newNAS("::ffff:198.51.100.1/128")
	require.NoError(t, s.CreateNAS(ctx, mapped))
	assert.Equal(t, "198.51.100.1/32", mapped.Prefix.String())

	err := s.CreateNAS(ctx, newNAS("192.0.2.0/24"))
	require.ErrorIs(t, err, store.ErrExists)
	assert.Equal(t, `NAS "192.0.2.0/24": exists already`, err.Error())
	require.NoError(t, s.CreateNAS(ctx, newNAS("192.0.2.0/25")), "a longer prefix is another NAS")
	named := newNAS("203.0.113.1/32")
	named.Name = "edge"
	err = s.CreateNAS(ctx, named)
	require.ErrorIs(t, err, store.ErrExists)
	assert.Equal(t, `NAS "203.0.113.1": another with its name exists already`, err.Error())
	assert.Error(t, s.CreateNAS(ctx, &aaa.NAS{Prefix: netip.MustParsePrefix("203.0.113.1/32")}), "no secret")
	assert.Error(t, s.CreateNAS(ctx, &aaa.NAS{Secret: []byte("x")}), "no prefix")

	list, err := s.NASes(ctx)
	require.NoError(t, err)
	var prefixes []string
	for _, n := range list {
		prefixes = append(prefixes, n.Prefix.String())
	}
	assert.Equal(t, []string{"192.0.2.0/24", "192.0.2.0/25", "198.51.100.1/32", "2001:db8::1/128"}, prefixes)
	assert.Equal(t, *nas, list[0])

	got, err := s.NASByName(ctx, "edge")
	require.NoError(t, err)
	assert.Equal(t, nas, got)
	require.NoError(t, s.UpdateNAS(ctx, single.Prefix, func(n *aaa.NAS) error {
		n.PreviousSecret, n.Secret = n.Secret, []byte("new")
		return nil
	}))
	got, err = s.NASByPrefix(ctx, single.Prefix)
	require.NoError(t, err)
	assert.Equal(t, "new", string(got.Secret))
	assert.Equal(t, canary, string(got.PreviousSecret))
	require.NoError(t, s.DeleteNAS(ctx, single.Prefix))
	err = s.DeleteNAS(ctx, single.Prefix)
	require.ErrorIs(t, err, store.ErrNotFound)
	assert.Equal(t, `NAS "2001:db8::1": not found`, err.Error())
}

func testProfiles(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	user := newUser("alice")
	require.NoError(t, s.CreateUser(ctx, user))
	p, err := s.UserProfile(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, aaa.Profile{}, p)
	want := aaa.Profile{FullName: "Alice Ä.", Email: "a@example.org", Phone: "+1", Address: "Street 1\nTown", Note: "n"}
	require.NoError(t, s.UpdateUserProfile(ctx, "alice", func(p *aaa.Profile) error { *p = want; return nil }))
	want.Phone = "+2"
	require.NoError(t, s.UpdateUserProfile(ctx, "alice", func(p *aaa.Profile) error { p.Phone = "+2"; return nil }))
	p, err = s.UserProfile(ctx, "alice")
	require.NoError(t, err)
	assert.Equal(t, want, p)
	n := 0
	require.NoError(t, s.EachUserProfile(ctx, func(userID uuid.UUID, p aaa.Profile) error {
		n++
		assert.Equal(t, user.ID, userID)
		assert.Equal(t, want, p)
		return nil
	}))
	assert.Equal(t, 1, n)
	require.NoError(t, s.DeleteUser(ctx, "alice"))
	_, err = s.UserProfile(ctx, "alice")
	assert.ErrorIs(t, err, store.ErrNotFound)
}

// testEachUser crosses the borders of the pages that EachUser reads.
func testEachUser(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	group := &aaa.Group{Name: "staff"}
	require.NoError(t, s.CreateGroup(ctx, group))
	const n = 10_001
	rows := func(yield func(store.ImportRow, error) bool) {
		for i := range n {
			if !yield(store.ImportRow{Line: i + 1, Username: fmt.Sprintf("u%d", i)}, nil) {
				return
			}
		}
	}
	_, err := s.ImportUsers(ctx, rows, store.ImportOptions{})
	require.NoError(t, err)
	marked := []string{"u0", "u4999", "u5000", "u9999", "u10000"}
	for _, name := range marked {
		require.NoError(t, s.UpdateUser(ctx, name, func(u *aaa.User) error {
			u.Groups = []aaa.Membership{{GroupID: group.ID}}
			u.Items = []aaa.Item{{Attribute: "Filter-Id", Op: "=", Value: name}}
			return nil
		}))
	}
	seen := map[string]bool{}
	var complete []string
	require.NoError(t, s.EachUser(ctx, func(u *aaa.User) error {
		seen[u.Name] = true
		if len(u.Groups) == 1 && len(u.Items) == 1 && u.Items[0].Value == u.Name {
			complete = append(complete, u.Name)
		}
		return nil
	}))
	assert.Len(t, seen, n)
	assert.ElementsMatch(t, marked, complete)

	stop := errors.New("enough")
	assert.ErrorIs(t, s.EachUser(ctx, func(*aaa.User) error { return stop }), stop)
}
