package aaa

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
)

func newDirectory(t testing.TB, store DirectoryStore, options ...func(*DirectoryOptions)) *Directory {
	t.Helper()
	o := DirectoryOptions{Store: store, Dictionary: dictionary.Embedded()}
	for _, option := range options {
		option(&o)
	}
	d, err := NewDirectory(o)
	require.NoError(t, err)
	return d
}

// aesSealer seals as the store's own does.
type aesSealer struct{ aead cipher.AEAD }

func newAESSealer(t testing.TB, key byte) aesSealer {
	t.Helper()
	block, err := aes.NewCipher([]byte(strings.Repeat(string(rune(key)), 32)))
	require.NoError(t, err)
	aead, err := cipher.NewGCMWithRandomNonce(block)
	require.NoError(t, err)
	return aesSealer{aead}
}

func (s aesSealer) Seal(plain []byte, place string) []byte {
	return s.aead.Seal(nil, nil, plain, []byte(place))
}

func (s aesSealer) Open(sealed []byte, place string) ([]byte, error) {
	return s.aead.Open(nil, nil, sealed, []byte(place))
}

func TestDirectoryFollowsTheFeed(t *testing.T) {
	store := newFakeStore()
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	refresh := func() {
		t.Helper()
		require.NoError(t, d.Refresh(t.Context()))
	}

	alice := store.putUser(User{Name: "alice", Credential: cleartext("one"), ExpiresAt: monday})
	_, ok := d.User("alice")
	require.False(t, ok, "not before the feed is read")
	refresh()
	got, ok := d.User("alice")
	require.True(t, ok)
	require.Equal(t, alice, got)

	alice.Credential = cleartext("two")
	store.putUser(alice)
	refresh()
	got, _ = d.User("alice")
	require.Equal(t, "two", string(got.Credential.Secret))

	alice.Name = "Alice"
	store.putUser(alice)
	refresh()
	_, ok = d.User("alice")
	require.False(t, ok, "the old name is gone")
	_, ok = d.User("Alice")
	require.True(t, ok)

	store.deleteUser(alice.ID)
	refresh()
	_, ok = d.User("Alice")
	require.False(t, ok)
	require.Zero(t, d.Status().Users)
}

func TestDirectorySwapsNames(t *testing.T) {
	store := newFakeStore()
	a := store.putUser(User{Name: "a", Credential: cleartext("of a")})
	b := store.putUser(User{Name: "b", Credential: cleartext("of b")})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	a.Name, b.Name = "b", "a"
	store.putUser(a)
	store.putUser(b)
	require.NoError(t, d.Refresh(t.Context()))
	got, ok := d.User("a")
	require.True(t, ok)
	require.Equal(t, "of b", string(got.Credential.Secret))
	got, ok = d.User("b")
	require.True(t, ok)
	require.Equal(t, "of a", string(got.Credential.Secret))
	require.Equal(t, 2, d.Status().Users)
}

func TestDirectoryKeepsEverythingOfAUser(t *testing.T) {
	store := newFakeStore()
	gold := store.putGroup(Group{Name: "gold"})
	silver := store.putGroup(Group{Name: "silver"})
	plan := store.putPlan(Plan{Name: "basic"})
	want := store.putUser(User{
		Name: "alice", Status: UserSuspended, Credential: Credential{Scheme: SchemeNTHash, Secret: make([]byte, 16)}, PlanID: plan.ID,
		Groups:    []Membership{{silver.ID, 7}, {gold.ID, 1}},
		ExpiresAt: monday, SimultaneousUse: 3, Items: []Item{{ReplyItem, "Filter-Id", ":=", "x"}},
	})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	got, ok := d.User("alice")
	require.True(t, ok)
	want.Groups = []Membership{{gold.ID, 0}, {silver.ID, 1}} // by priority
	require.Equal(t, want, got)
}

func TestDirectoryLoadsAnewWhenTheCursorHasExpired(t *testing.T) {
	store := newFakeStore()
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	store.expired = d.cursor
	store.putUser(User{Name: "alice"})
	require.NoError(t, d.Refresh(t.Context()))
	_, ok := d.User("alice")
	require.True(t, ok)
	require.Equal(t, 2, store.reads)
}

func TestDirectoryRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		log := &safeBuffer{}
		d := newDirectory(t, store, func(o *DirectoryOptions) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		require.NoError(t, d.Load(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { d.Run(ctx) })

		store.putUser(User{Name: "alice"})
		time.Sleep(time.Second) // of the bubble's clock
		_, ok := d.User("alice")
		assert.True(t, ok, "in force within a second")

		store.setDown(true)
		store.putUser(User{Name: "carol"})
		time.Sleep(time.Minute)
		_, ok = d.User("alice")
		assert.True(t, ok, "what is in memory stays in force")
		assert.Equal(t, 1, strings.Count(log.String(), "the change feed cannot be read"), "one line for a whole outage")
		store.setDown(false)
		time.Sleep(5 * time.Second)
		_, ok = d.User("carol")
		assert.True(t, ok, "caught up when the store is back")
		cancel()
		group.Wait()
	})
}

func TestDirectoryPlanGoesWithItsUsers(t *testing.T) {
	store := newFakeStore()
	plan := store.putPlan(Plan{Name: "basic"})
	user := store.putUser(User{Name: "alice", PlanID: plan.ID})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	planOf := func() *planEntry {
		var a account
		require.True(t, d.users.Load().get([]byte("alice"), &a))
		return d.catalog.Load().plan(a.plan)
	}
	before := planOf()
	require.Equal(t, "basic", before.plan.Name)

	other := store.putPlan(Plan{Name: "other"})
	require.NoError(t, d.Refresh(t.Context()))
	require.Same(t, before, planOf(), "an unchanged plan keeps what is encoded")

	plan.RateUp = 1000
	store.putPlan(plan)
	require.NoError(t, d.Refresh(t.Context()))
	require.NotSame(t, before, planOf())
	require.EqualValues(t, 1000, planOf().plan.RateUp)

	store.mu.Lock()
	delete(store.plans, plan.ID)
	store.changed(EntityPlan, plan.ID)
	store.mu.Unlock()
	user.PlanID = other.ID
	store.putUser(user)
	require.NoError(t, d.Refresh(t.Context()))
	require.Equal(t, "other", planOf().plan.Name)

	require.Equal(t, "other", d.PlanOf("alice"))
	require.Empty(t, d.PlanOf("nobody"))
	store.putUser(User{Name: "bob"})
	require.NoError(t, d.Refresh(t.Context()))
	require.Empty(t, d.PlanOf("bob"), "has none")
}

func TestDirectorySnapshot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "directory.snapshot")
	sealer := newAESSealer(t, 1)
	log := &safeBuffer{}
	withSnapshot := func(o *DirectoryOptions) {
		o.SnapshotFile, o.Sealer = file, sealer
		o.Logger = slog.New(slog.NewTextHandler(log, nil))
	}
	store := newFakeStore()
	nas := store.putNAS(NAS{Name: "edge", Prefix: netip.MustParsePrefix("192.0.2.0/24"), Secret: []byte("canary-nas-secret"), Vendor: "mikrotik", CreatedAt: monday})
	group := store.putGroup(Group{Name: "gold", Items: []Item{{ReplyItem, "Filter-Id", "=", "gold"}}})
	plan := store.putPlan(Plan{Name: "basic", RateUp: 5, SessionTimeout: time.Hour})
	var users []User
	for i := range 3*usersPerRead + 1 {
		u := User{Name: fmt.Sprintf("user-%d", i), Credential: cleartext(fmt.Sprintf("canary-password-%d", i)), PlanID: plan.ID}
		if i%100 == 0 {
			u.Groups = []Membership{{GroupID: group.ID}}
			u.Items = []Item{{CheckItem, "Calling-Station-Id", "==", "x"}}
			u.ExpiresAt = monday.Add(time.Duration(i) * time.Second)
		}
		users = append(users, store.putUser(u))
	}
	d := newDirectory(t, store, withSnapshot)
	require.NoError(t, d.Load(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.Run(ctx) // saves on its way out
	saved, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(saved), "canary", "sealed")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	t.Run("serves without the store and swaps in when it is back", func(t *testing.T) {
		store.setDown(true)
		registry := prometheus.NewRegistry()
		d := newDirectory(t, store, withSnapshot, func(o *DirectoryOptions) { o.Registerer = registry })
		require.NoError(t, d.Load(t.Context()))
		for _, want := range users {
			got, ok := d.User(want.Name)
			require.True(t, ok, want.Name)
			require.Equal(t, want, got)
		}
		require.True(t, d.Status().SnapshotInUse)
		require.Contains(t, log.String(), "serving the last snapshot")
		found := d.LookupNAS(netip.MustParseAddr("192.0.2.9"))
		require.NotNil(t, found)
		require.Equal(t, &nas, found.Owner)
		require.Error(t, d.Refresh(t.Context()), "still away")
		require.True(t, d.Status().SnapshotInUse)
		gathered, err := registry.Gather()
		require.NoError(t, err)
		values := map[string]float64{}
		for _, family := range gathered {
			values[family.GetName()] = family.GetMetric()[0].GetGauge().GetValue()
		}
		require.Equal(t, 1.0, values["radiusd_directory_snapshot_in_use"])
		require.Equal(t, float64(len(users)), values["radiusd_directory_users"])

		store.setDown(false)
		store.deleteUser(users[0].ID)
		require.NoError(t, d.Refresh(t.Context()))
		require.False(t, d.Status().SnapshotInUse)
		_, ok := d.User(users[0].Name)
		require.False(t, ok, "revoked while the server was down")
	})
	for name, damage := range map[string]func([]byte) []byte{
		"cut off":              func(b []byte) []byte { return b[:len(b)-1] },
		"a chunk is missing":   func(b []byte) []byte { return b[:len(snapshotMagic)+16+5+100] },
		"a bit is changed":     func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"not a snapshot":       func([]byte) []byte { return []byte(strings.Repeat("x", 100)) },
		"empty":                func([]byte) []byte { return nil },
		"the end is elsewhere": func(b []byte) []byte { b[len(snapshotMagic)+16+4] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			store.setDown(true)
			broken := filepath.Join(t.TempDir(), "broken")
			require.NoError(t, os.WriteFile(broken, damage(append([]byte(nil), saved...)), 0o600))
			d := newDirectory(t, store, withSnapshot, func(o *DirectoryOptions) { o.SnapshotFile = broken })
			err := d.Load(t.Context())
			require.ErrorIs(t, err, errStoreDown)
			require.ErrorContains(t, err, "load snapshot")
			require.Zero(t, d.Status().Users, "nothing of it is served")
		})
	}
	t.Run("another key", func(t *testing.T) {
		store.setDown(true)
		d := newDirectory(t, store, withSnapshot, func(o *DirectoryOptions) { o.Sealer = newAESSealer(t, 2) })
		require.ErrorContains(t, d.Load(t.Context()), "load snapshot")
	})
	t.Run("no snapshot yet", func(t *testing.T) {
		store.setDown(true)
		d := newDirectory(t, store, withSnapshot, func(o *DirectoryOptions) { o.SnapshotFile = filepath.Join(t.TempDir(), "none") })
		err := d.Load(t.Context())
		require.ErrorIs(t, err, errStoreDown)
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestLookupNAS(t *testing.T) {
	store := newFakeStore()
	for name, prefix := range map[string]string{
		"host": "10.1.2.3/32", "wide": "10.0.0.0/8", "site": "10.1.0.0/16", "unmasked": "172.16.9.9/12",
		"host6": "2001:db8::1/128", "site6": "2001:db8::/32", "mapped": "::ffff:192.0.2.0/120",
	} {
		store.putNAS(NAS{Name: name, Prefix: netip.MustParsePrefix(prefix), Secret: []byte("s")})
	}
	store.putNAS(NAS{Name: "no secret", Prefix: netip.MustParsePrefix("198.51.100.0/24")})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	for _, test := range []struct{ name, source, want string }{
		{"exact", "10.1.2.3", "host"},
		{"the longer prefix wins", "10.1.2.4", "site"},
		{"the shorter prefix", "10.2.0.1", "wide"},
		{"bits beyond the prefix do not matter", "172.16.0.1", "unmasked"},
		{"unknown", "11.0.0.1", ""},
		{"exact IPv6", "2001:db8::1", "host6"},
		{"IPv6 prefix", "2001:db8:1::1", "site6"},
		{"unknown IPv6", "2001:db9::1", ""},
		{"with a zone", "2001:db8::1%eth0", "host6"},
		{"IPv4 mapped source", "::ffff:10.1.2.3", "host"},
		{"IPv4 mapped prefix", "192.0.2.77", "mapped"},
		{"a NAS without secret is no NAS", "198.51.100.1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := d.LookupNAS(netip.MustParseAddr(test.source))
			if test.want == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			require.Equal(t, test.want, got.Name)
			require.Equal(t, test.want, got.Owner.(*NAS).Name)
			require.Equal(t, strings.HasPrefix(test.want, "host"), got.SingleHost)
		})
	}
}

func TestNASReload(t *testing.T) {
	store := newFakeStore()
	addr := netip.MustParseAddr("10.1.2.3")
	nas := store.putNAS(NAS{Name: "edge", Prefix: netip.MustParsePrefix("10.1.2.3/32"), Secret: []byte("old"), RequireMessageAuthenticator: radius.RequireAuto})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	before := d.LookupNAS(addr)
	before.Learned.Store(true)

	store.putNAS(NAS{Name: "other", Prefix: netip.MustParsePrefix("10.1.2.4/32"), Secret: []byte("s")})
	require.NoError(t, d.Refresh(t.Context()))
	require.Same(t, before, d.LookupNAS(addr), "an unchanged NAS stays the same")

	nas.Secret, nas.PreviousSecret = []byte("new"), []byte("old")
	store.putNAS(nas)
	require.NoError(t, d.Refresh(t.Context()))
	changed := d.LookupNAS(addr)
	require.NotSame(t, before, changed)
	require.Equal(t, [][]byte{[]byte("new"), []byte("old")}, changed.Secrets)
	require.True(t, changed.Learned.Load(), "what was learned stays")

	nas.Prefix = netip.MustParsePrefix("10.1.2.5/32")
	store.putNAS(nas)
	require.NoError(t, d.Refresh(t.Context()))
	require.Nil(t, d.LookupNAS(addr))
	require.False(t, d.LookupNAS(nas.Prefix.Addr()).Learned.Load(), "another address may be another device")

	store.deleteNAS(nas.ID)
	require.NoError(t, d.Refresh(t.Context()))
	require.Nil(t, d.LookupNAS(nas.Prefix.Addr()))
}

// manyUsers is a store with users made on the fly.
type manyUsers struct {
	*fakeStore
	n      int
	items  []Item // of every user
	groups []Membership
}

func (s *manyUsers) EachUser(_ context.Context, fn func(*User) error) error {
	var u User
	for i := range s.n {
		id := uuid.UUID{}
		copy(id[:], fmt.Sprintf("%016d", i))
		u = User{
			ID: id, Name: fmt.Sprintf("subscriber%07d@example.net", i), PlanID: uuid.UUID{1}, ExpiresAt: monday, Groups: s.groups,
			Credential: Credential{Scheme: SchemeHash, Secret: []byte("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g")},
		}
		for _, item := range s.items {
			item.Attribute, item.Op = strings.Clone(item.Attribute), strings.Clone(item.Op) // as from a database
			item.Value = fmt.Sprintf(item.Value, i)
			u.Items = append(u.Items, item)
		}
		if err := fn(&u); err != nil {
			return err
		}
	}
	return nil
}

func TestDirectoryMemory(t *testing.T) {
	for name, store := range map[string]*manyUsers{
		"with a plan":               {n: 100_000},
		"with a group":              {n: 20_000, groups: []Membership{{GroupID: uuid.UUID{7}}}},
		"with a reply item":         {n: 20_000, items: []Item{replyItem("Reply-Message", ":=", "user %d")}},
		"with a control item":       {n: 20_000, items: []Item{checkItem("Simultaneous-Use", ":=", "%d")}},
		"with a check of a station": {n: 20_000, items: []Item{checkItem("Calling-Station-Id", "==", "00-1A-2B-%06x")}},
	} {
		t.Run(name, func(t *testing.T) {
			store.fakeStore = newFakeStore()
			d := newDirectory(t, store)
			heap := func() int64 {
				runtime.GC()
				runtime.GC() // what is pooled outlives the first
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before := heap()
			began := time.Now()
			require.NoError(t, d.Load(t.Context()))
			took := time.Since(began)
			perUser := float64(heap()-before) / float64(store.n)
			require.Equal(t, store.n, d.Status().Users)
			t.Logf("%.0f octets a user, %d users loaded in %v", perUser, store.n, took)
			require.Less(t, perUser, 600.0)
			runtime.KeepAlive(d)
		})
	}
}

func TestDirectoryLookupsDoNotAllocate(t *testing.T) {
	store := newFakeStore()
	store.putUser(User{Name: "alice"})
	store.putNAS(NAS{Name: "edge", Prefix: netip.MustParsePrefix("10.0.0.0/8"), Secret: []byte("s")})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	name, addr := []byte("alice"), netip.MustParseAddr("10.1.2.3")
	var a account
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !d.users.Load().get(name, &a) || d.LookupNAS(addr) == nil || d.PlanOf("alice") != "" {
			panic("not found")
		}
	}))
}

// A user who has become one that cannot be held is not there any more: what was in
// force before is not.
func TestDirectoryDropsUserThatCannotBeUsed(t *testing.T) {
	store := newFakeStore()
	alice := store.putUser(User{Name: "alice", Credential: cleartext("old")})
	d := newDirectory(t, store)
	require.NoError(t, d.Load(t.Context()))
	alice.Credential = cleartext(strings.Repeat("x", math.MaxUint16+1))
	store.putUser(alice)
	require.NoError(t, d.Refresh(t.Context()))
	_, ok := d.User("alice")
	require.False(t, ok)
	require.Zero(t, d.Status().Users)
	alice.Credential = cleartext("new")
	store.putUser(alice)
	require.NoError(t, d.Refresh(t.Context()))
	_, ok = d.User("alice")
	require.True(t, ok)
}
