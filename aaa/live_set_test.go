package aaa

import (
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLiveSet holds the set to what a map does.
func TestLiveSet(t *testing.T) {
	seed := maphash.MakeSeed()
	for name, hash := range map[string]func(string) uint64{
		"good hash": func(k string) uint64 { return maphash.String(seed, k) },
		"bad hash":  func(k string) uint64 { return uint64(len(k)) + 6 },
	} {
		t.Run(name, func(t *testing.T) {
			set := liveSet[string, *liveUser]{hash: hash}
			want := map[string]*liveUser{}
			require.Nil(t, set.get("nobody"))
			set.remove("nobody")
			for i := range 20_000 {
				k := strconv.Itoa(rand.N(2 << (i / 2000))) // it grows
				if i > 15_000 {
					k = strconv.Itoa(i % 1024) // and shrinks
				}
				require.True(t, want[k] == set.get(k))
				if want[k] == nil && i <= 15_000 && rand.N(3) > 0 {
					want[k] = &liveUser{name: k}
					set.add(want[k])
				} else {
					delete(want, k)
					set.remove(k)
				}
				require.Equal(t, len(want), set.count)
			}
			for u := range set.all() {
				require.True(t, want[u.name] == u)
				delete(want, u.name)
			}
			require.Empty(t, want)
			require.Empty(t, set.count)
			require.LessOrEqual(t, len(set.slots), 4*liveSetMin, "memory is given back")
		})
	}
}
