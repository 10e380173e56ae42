package aaa

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func tableAccount(id uuid.UUID, name, secret string) *account {
	return &account{id: id, text: name + secret, nameLength: uint16(len(name)), expires: math.MaxInt64}
}

func TestUserTableKeepsAccountsWhole(t *testing.T) {
	table := newUserTable()
	rules := &accountRules{groups: []uint32{3}}
	long := strings.Repeat("n", math.MaxUint16)
	accounts := map[string]account{}
	for _, a := range []account{
		{id: uuid.New(), text: "alice", nameLength: 5, expires: math.MaxInt64},
		{id: uuid.New(), text: "bobsecret", nameLength: 3, expires: -1, plan: math.MaxUint32, simultaneous: math.MaxInt32, status: UserSuspended, scheme: SchemeCleartext},
		{id: uuid.New(), text: "carol", nameLength: 5, rules: rules, scheme: SchemeMAC},
		{id: uuid.New(), text: long + strings.Repeat("s", math.MaxUint16), nameLength: math.MaxUint16, rules: rules},
	} {
		require.NoError(t, table.put(&a))
		accounts[a.name()] = a
	}
	for name, want := range accounts {
		got := account{rules: rules}
		require.True(t, table.get([]byte(name), &got))
		require.Equal(t, want, got)
	}
	found := map[string]account{}
	require.NoError(t, table.each(func(a *account) error { found[a.name()] = *a; return nil }))
	require.Equal(t, accounts, found)
	var a account
	for _, name := range []string{"", "alic", "alicee", "bobsecret", "bo"} {
		require.False(t, table.get([]byte(name), &a), name)
	}
}

// A table that is changed at random is always like a map that is.
func TestUserTableIsLikeAMap(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		table, names, byName := newUserTable(), map[uuid.UUID]string{}, map[string]account{}
		rules := &accountRules{}
		check := func(name string) {
			want, ok := byName[name]
			var got account
			require.Equal(t, ok, table.get([]byte(name), &got), name)
			if ok {
				require.Equal(t, want, got)
			}
		}
		for range 50_000 {
			id := uuid.UUID{15: byte(random.Uint32()), 14: byte(random.Uint32N(8))}
			old, had := names[id]
			if random.Uint32N(4) == 0 {
				table.remove(id)
				if had {
					if byName[old].id == id {
						delete(byName, old)
					}
					delete(names, id)
					check(old)
				}
				continue
			}
			name := fmt.Sprint("user ", random.Uint32N(3000))
			a := *tableAccount(id, name, strings.Repeat("s", random.IntN(60)))
			if random.Uint32N(5) == 0 {
				a.rules = rules
			}
			require.NoError(t, table.put(&a))
			if had && byName[old].id == id {
				delete(byName, old)
			}
			names[id], byName[name] = name, a
			check(name)
			check(old)
		}
		require.EqualValues(t, len(byName), table.live.Load())
		for n := range 3000 {
			check(fmt.Sprint("user ", n))
		}
		require.LessOrEqual(t, len(table.byID), 8*256)
	}
}

func TestUserTableUnderConcurrentReaders(t *testing.T) {
	table := newUserTable()
	require.NoError(t, table.put(tableAccount(uuid.New(), "fixed", "secret of fixed")))
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			var a account
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !table.get([]byte("fixed"), &a) || a.secret() != "secret of fixed" || table.get([]byte("never"), &a) {
					panic("a reader lost the account")
				}
				// One that changes all the time is there as a whole or not at all.
				if table.get([]byte("user-7"), &a) && a.secret() != fmt.Sprint("secret ", a.simultaneous) {
					panic("a reader saw half of an account")
				}
				runtime.Gosched()
			}
		})
	}
	ids := make([]uuid.UUID, 2000)
	var a account
	for round := range 5 {
		for i := range ids {
			if round == 0 {
				ids[i] = uuid.New()
			}
			require.NoError(t, table.put(tableAccount(ids[i], fmt.Sprintf("user-%d-%d", i, round), "")))
			changing := tableAccount(uuid.UUID{1}, "user-7", fmt.Sprint("secret ", i))
			changing.simultaneous = int32(i)
			require.NoError(t, table.put(changing))
		}
		for i := range ids {
			assert.True(t, table.get(fmt.Appendf(nil, "user-%d-%d", i, round), &a))
			if round > 0 {
				assert.False(t, table.get(fmt.Appendf(nil, "user-%d-%d", i, round-1), &a))
			}
		}
	}
	require.EqualValues(t, len(ids)+2, table.live.Load())
	for _, id := range ids {
		table.remove(id)
	}
	close(stop)
	group.Wait()
	require.EqualValues(t, 2, table.live.Load())
}

// footprint is the memory of the table's segments.
func (t *userTable) footprint() (octets, longest int) {
	for i := range t.segments {
		if s := t.segments[i].Load(); s != nil {
			octets += len(s.data) + 4*len(s.slots) + 8*len(s.rules)
			longest = max(longest, s.used)
		}
	}
	return octets, longest
}

// However often users change their names and secrets, what they take stays in
// proportion to what they have; and nothing that is written at once grows with the
// number of users beyond its share.
func TestUserTableStaysSmall(t *testing.T) {
	const users = 50_000
	table := newUserTable()
	random := rand.New(rand.NewPCG(1, 1))
	size := 0
	for i := range users {
		a := tableAccount(uuid.UUID{0: 1, 12: byte(i >> 16), 13: byte(i >> 8), 14: byte(i)}, fmt.Sprintf("subscriber%07d", i), "password")
		size += recordSize(len(a.text))
		require.NoError(t, table.put(a))
	}
	for range 10 * users {
		i := random.IntN(users)
		name := fmt.Sprintf("subscriber%07d", i+users*random.IntN(2))
		require.NoError(t, table.put(tableAccount(uuid.UUID{0: 1, 12: byte(i >> 16), 13: byte(i >> 8), 14: byte(i)}, name, "password")))
	}
	require.EqualValues(t, users, table.live.Load())
	octets, longest := table.footprint()
	t.Logf("%d octets of records in %d octets, %d at most in one piece", size, octets, longest)
	require.Less(t, octets, size*3/2+userSegments*64)
	require.Less(t, longest, 4*size/userSegments)
	for i := range users {
		table.remove(uuid.UUID{0: 1, 12: byte(i >> 16), 13: byte(i >> 8), 14: byte(i)})
	}
	require.Zero(t, table.live.Load())
	require.Empty(t, table.byID)
}

func TestUserTableRefusesWhatItCannotHold(t *testing.T) {
	table := newUserTable()
	secret := strings.Repeat("s", math.MaxUint16)
	name := func(i int) string { return fmt.Sprint("user ", i) }
	segment := func(name string) uint64 { return maphash.String(table.seed, name) >> (64 - userSegmentBits) }
	stored, refused := 0, 0
	var last string
	for i := 0; refused == 0; i++ {
		if segment(name(i)) != segment("user 0") {
			continue
		}
		if err := table.put(tableAccount(uuid.New(), name(i), secret)); err != nil {
			require.ErrorIs(t, err, errSegmentFull)
			refused++
			continue
		}
		stored, last = stored+1, name(i)
	}
	require.Greater(t, stored, maxSegmentData/2/math.MaxUint16)
	require.EqualValues(t, stored, table.live.Load())
	var a account
	for _, name := range []string{"user 0", last} {
		require.True(t, table.get([]byte(name), &a))
		require.True(t, bytes.Equal([]byte(secret), []byte(a.secret())))
	}
}

// A prefetch reads nothing that is not there: of an empty table, of names that are
// unknown, removed or as many as there may be.
func TestUserTablePrefetch(t *testing.T) {
	table := newUserTable()
	names := make([][]byte, prefetchMost)
	for i := range names {
		names[i] = fmt.Appendf(nil, "user%d", i)
	}
	table.prefetch(names)
	for i := range 1000 {
		id := uuid.UUID{byte(i), byte(i >> 8)}
		require.NoError(t, table.put(&account{id: id, text: fmt.Sprintf("user%d", i), nameLength: uint16(len(fmt.Sprint(i)) + 4)}))
		if i%3 == 0 {
			table.remove(id)
		}
		table.prefetch(names)
		table.prefetch(nil)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { table.prefetch(names) }))
}
