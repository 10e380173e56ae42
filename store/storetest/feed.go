package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
	"radiusd/store/seal"
)

// follower reads the change feed as a directory does.
type follower struct {
	t      *testing.T
	s      *store.Store
	cursor aaa.ChangeCursor
}

func follow(t *testing.T, s *store.Store) *follower {
	cursor, err := s.ChangeCursor(t.Context())
	require.NoError(t, err)
	return &follower{t, s, cursor}
}

func (f *follower) poll() []aaa.Change {
	f.t.Helper()
	changes, cursor, err := f.s.Changes(f.t.Context(), f.cursor)
	require.NoError(f.t, err)
	f.cursor = cursor
	return changes
}

func testChanges(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	f := follow(t, s)
	assert.Empty(t, f.poll())

	user, plan, group, nas := newUser("alice"), &aaa.Plan{Name: "gold"}, &aaa.Group{Name: "staff"}, newNAS("192.0.2.1/32")
	ofUser, ofPlan, ofGroup, ofNAS := aaa.EntityUser, aaa.EntityPlan, aaa.EntityGroup, aaa.EntityNAS
	require.NoError(t, s.CreateUser(ctx, user))
	require.NoError(t, s.CreatePlan(ctx, plan))
	require.NoError(t, s.CreateGroup(ctx, group))
	require.NoError(t, s.CreateNAS(ctx, nas))
	assert.ElementsMatch(t, []aaa.Change{{Entity: ofUser, ID: user.ID}, {Entity: ofPlan, ID: plan.ID}, {Entity: ofGroup, ID: group.ID}, {Entity: ofNAS, ID: nas.ID}}, f.poll())
	assert.Empty(t, f.poll())

	item := []aaa.Item{{Attribute: "Filter-Id", Op: "=", Value: "x"}}
	for i, tt := range []struct {
		change func() error
		want   aaa.Change
	}{
		{func() error {
			return s.UpdateUser(ctx, "alice", func(u *aaa.User) error { u.Items = item; return nil })
		}, aaa.Change{Entity: ofUser, ID: user.ID}},
		{func() error { return s.UpdatePlan(ctx, "gold", func(p *aaa.Plan) error { p.Items = item; return nil }) }, aaa.Change{Entity: ofPlan, ID: plan.ID}},
		{func() error {
			return s.UpdateGroup(ctx, "staff", func(g *aaa.Group) error { g.Items = item; return nil })
		}, aaa.Change{Entity: ofGroup, ID: group.ID}},
		{func() error {
			return s.UpdateNAS(ctx, nas.Prefix, func(n *aaa.NAS) error { n.Vendor = "cisco"; return nil })
		}, aaa.Change{Entity: ofNAS, ID: nas.ID}},
		{func() error { return s.DeleteUser(ctx, "alice") }, aaa.Change{Entity: ofUser, ID: user.ID}},
		{func() error { return s.DeletePlan(ctx, "gold") }, aaa.Change{Entity: ofPlan, ID: plan.ID}},
		{func() error { return s.DeleteGroup(ctx, "staff") }, aaa.Change{Entity: ofGroup, ID: group.ID}},
		{func() error { return s.DeleteNAS(ctx, nas.Prefix) }, aaa.Change{Entity: ofNAS, ID: nas.ID}},
	} {
		require.NoError(t, tt.change())
		assert.Equal(t, []aaa.Change{tt.want}, f.poll(), "change %d", i)
	}
	refused := fmt.Errorf("no")
	require.NoError(t, s.CreateGroup(ctx, group))
	f.poll()
	require.ErrorIs(t, s.UpdateGroup(ctx, "staff", func(*aaa.Group) error { return refused }), refused)
	assert.Empty(t, f.poll(), "what was not committed is no change")

	beginning, _, err := s.Changes(ctx, "")
	require.NoError(t, err)
	assert.Len(t, beginning, 4, "the empty cursor is the beginning; each entity comes once")
}

// testChangesByHand changes rows as an operator does who knows SQL.
func testChangesByHand(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	group := &aaa.Group{Name: "staff"}
	require.NoError(t, s.CreateGroup(ctx, group))
	user := newUser("alice")
	require.NoError(t, s.CreateUser(ctx, user))
	f, db := follow(t, s), Raw(t, options)
	for _, statement := range []string{
		"UPDATE users SET status = 'disabled' WHERE username = 'alice'",
		"INSERT INTO attributes (user_id, kind, attribute, op, value) SELECT id, 'reply', 'Filter-Id', '=', 'x' FROM users WHERE username = 'alice'",
		"UPDATE attributes SET value = 'y' WHERE attribute = 'Filter-Id'",
		"DELETE FROM attributes WHERE attribute = 'Filter-Id'",
		"INSERT INTO user_groups (user_id, group_id) SELECT users.id, groups.id FROM users, groups",
		"UPDATE user_groups SET priority = 3",
		"DELETE FROM user_groups",
		"DELETE FROM users WHERE username = 'alice'",
	} {
		execute(t, db, statement)
		assert.Equal(t, []aaa.Change{{Entity: aaa.EntityUser, ID: user.ID}}, f.poll(), statement)
	}
}

func testChangesExpire(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	old := follow(t, s)
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	current := follow(t, s)
	require.NoError(t, s.PruneChanges(ctx, time.Now().Add(-time.Hour)))
	assert.Len(t, old.poll(), 1, "nothing was old enough")
	old.cursor = ""
	require.NoError(t, s.PruneChanges(ctx, time.Now().Add(time.Hour)))

	_, _, err := s.Changes(ctx, old.cursor)
	assert.ErrorIs(t, err, aaa.ErrCursorExpired)
	assert.Empty(t, current.poll(), "who has seen all does not mind")
	require.NoError(t, s.CreateUser(ctx, newUser("bob")))
	assert.Len(t, current.poll(), 1)
	require.NoError(t, s.PruneChanges(ctx, time.Now().Add(time.Hour)))
	assert.Empty(t, current.poll())

	other := Open(t, database)
	for _, cursor := range []aaa.ChangeCursor{current.cursor, "x", "0/", "a/b/c:d"} {
		_, _, err = other.Changes(ctx, cursor)
		assert.ErrorIs(t, err, aaa.ErrCursorExpired, "%s of another database", cursor)
	}
	again := reopen(t, options)
	_, _, err = again.Changes(ctx, current.cursor)
	assert.NoError(t, err, "a cursor outlives the process")
}

func testWrongMasterKey(t *testing.T, database Database) {
	s, options := openWith(t, database)
	require.NoError(t, s.CreateUser(t.Context(), newUser("alice")))
	options.Sealer = seal.New(seal.NewKey())
	_, err := store.Open(t.Context(), options)
	require.ErrorIs(t, err, seal.ErrWrongKey)
	assert.ErrorContains(t, err, "the master key does not fit this database")
}

// testDamagedSecret moves one user's sealed credential to another.
func testDamagedSecret(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	require.NoError(t, s.CreateUser(ctx, newUser("alice")))
	require.NoError(t, s.CreateUser(ctx, newUser("mallory")))
	require.NoError(t, s.CreateNAS(ctx, newNAS("192.0.2.1/32")))
	require.NoError(t, s.CreateNAS(ctx, newNAS("192.0.2.2/32")))
	db := Raw(t, options)
	execute(t, db, "UPDATE users SET credential = (SELECT credential FROM users WHERE username = 'mallory') WHERE username = 'alice'")
	execute(t, db, "UPDATE nas SET secret = (SELECT secret FROM nas WHERE address = '192.0.2.2') WHERE address = '192.0.2.1'")

	_, err := s.UserByName(ctx, "alice")
	assert.ErrorIs(t, err, seal.ErrCorrupt)
	secrets := map[string]string{}
	require.NoError(t, s.EachUser(ctx, func(u *aaa.User) error {
		secrets[u.Name] = string(u.Credential.Secret)
		return nil
	}))
	assert.Equal(t, map[string]string{"alice": "", "mallory": canary}, secrets, "the others are served")
	list, err := s.NASes(ctx)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "192.0.2.2/32", list[0].Prefix.String())
}

// testTwoNodes has two nodes write to one database while a third follows.
func testTwoNodes(t *testing.T, database Database) {
	first, options := openWith(t, database)
	second, third := reopen(t, options), reopen(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cursor, err := third.ChangeCursor(ctx)
	require.NoError(t, err)
	require.NoError(t, first.CreatePlan(ctx, &aaa.Plan{Name: "shared"}))

	const n = 40
	var writers sync.WaitGroup
	created := make([][]uuid.UUID, 2)
	for node, s := range []*store.Store{first, second} {
		writers.Go(func() {
			for i := range n {
				u := newUser(fmt.Sprintf("node%d-%d", node, i))
				assert.NoError(t, s.CreateUser(ctx, u))
				created[node] = append(created[node], u.ID)
				assert.NoError(t, s.UpdatePlan(ctx, "shared", func(p *aaa.Plan) error { p.SimultaneousUse++; return nil }))
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	seen := map[uuid.UUID]int{}
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		default:
		}
		changes, next, err := third.Changes(ctx, cursor)
		require.NoError(t, err)
		cursor = next
		for _, c := range changes {
			seen[c.ID]++
		}
	}
	for _, id := range slices.Concat(created...) {
		assert.Equal(t, 1, seen[id], "each change is delivered once")
	}
	plan, err := third.PlanByName(ctx, "shared")
	require.NoError(t, err)
	assert.Equal(t, 2*n, plan.SimultaneousUse, "no update is lost")
}

func testUnusualText(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	for _, name := range []string{"ünï", "o'brien", `back\slash`, "per%cent", "日本", " ", "-- x", "$1", "a@b"} {
		u := newUser(name)
		u.Items = []aaa.Item{{Attribute: "Reply-Message", Op: "=", Value: name + "\n\x00\xff"}}
		require.NoError(t, s.CreateUser(ctx, u))
		got, err := s.UserByName(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, name+"\n\uFFFD\uFFFD", got.Items[0].Value)
	}
}
