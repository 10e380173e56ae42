package aaa

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// numberedName is a name whose number can be changed in place: a request's name is
// in the processor's cache, and so must a benchmark's be.
type numberedName []byte

func newNumberedName() numberedName { return []byte("subscriber0000000@example.net") }

func (n numberedName) set(number uint32) []byte {
	for i := 16; i >= 10; i-- {
		n[i] = byte('0' + number%10)
		number /= 10
	}
	return n
}

// BenchmarkLookupUser looks users up in random order: what it costs beside 1,000
// others, and beside so many that none is in the processor's cache.
func BenchmarkLookupUser(b *testing.B) {
	for _, users := range []int{1000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(users), func(b *testing.B) {
			d := newDirectory(b, &manyUsers{fakeStore: newFakeStore(), n: users})
			require.NoError(b, d.Load(b.Context()))
			table, name, random := d.users.Load(), newNumberedName(), rand.New(rand.NewPCG(1, 2))
			var a account
			b.ReportAllocs()
			for b.Loop() {
				if !table.get(name.set(random.Uint32N(uint32(users))), &a) || a.secret()[0] != '$' {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkLookupNAS looks NASes of one address each up in random order.
func BenchmarkLookupNAS(b *testing.B) {
	for _, nases := range []int{10, 1000, 10_000} {
		store := newFakeStore()
		for i := range nases {
			store.putNAS(NAS{Name: "host", Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), Secret: fmt.Appendf(nil, "secret of %d", i)})
		}
		for bits := 8; bits < 25; bits += 8 {
			store.putNAS(NAS{Name: "prefix", Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, 1, 0}), bits), Secret: []byte("s")})
		}
		d := newDirectory(b, store)
		require.NoError(b, d.Load(b.Context()))
		random := rand.New(rand.NewPCG(1, 2))
		for name, addr := range map[string]func() netip.Addr{
			"host": func() netip.Addr {
				i := random.Uint32N(uint32(nases))
				return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			},
			"prefix":  func() netip.Addr { return netip.AddrFrom4([4]byte{172, 200, 1, byte(random.Uint32())}) },
			"unknown": func() netip.Addr { return netip.AddrFrom4([4]byte{9, 9, 9, byte(random.Uint32())}) },
		} {
			b.Run(fmt.Sprintf("%d/%s", nases, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					d.LookupNAS(addr())
				}
			})
		}
	}
}

// BenchmarkChangeUser puts users that are there already in random order, with
// another secret.
func BenchmarkChangeUser(b *testing.B) {
	const users = 1_000_000
	d := newDirectory(b, &manyUsers{fakeStore: newFakeStore(), n: users})
	require.NoError(b, d.Load(b.Context()))
	table, random := d.users.Load(), rand.New(rand.NewPCG(1, 2))
	u := User{PlanID: uuid.UUID{1}, Credential: cleartext("another secret")}
	name := newNumberedName()
	b.ReportAllocs()
	for b.Loop() {
		u.Name = string(name.set(random.Uint32N(users)))
		copy(u.ID[:], "000000000"+u.Name[10:17])
		d.putUser(table, &u)
	}
}

// BenchmarkCollectGarbage is one garbage collection beside a million users.
func BenchmarkCollectGarbage(b *testing.B) {
	d := newDirectory(b, &manyUsers{fakeStore: newFakeStore(), n: 1_000_000})
	require.NoError(b, d.Load(b.Context()))
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(d)
}

func BenchmarkDirectoryLoad(b *testing.B) {
	d := newDirectory(b, &manyUsers{fakeStore: newFakeStore(), n: 1_000_000})
	for b.Loop() {
		require.NoError(b, d.Load(b.Context()))
	}
}
