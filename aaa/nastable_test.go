package aaa

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// The longest prefix that holds an address is found whatever its length.
func TestNASTableFindsTheLongestPrefix(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	address := func() netip.Addr {
		octets := make([]byte, 4+12*random.IntN(2))
		for i := range octets {
			octets[i] = byte(random.IntN(2)) << random.IntN(8) // so that many begin alike
		}
		a, _ := netip.AddrFromSlice(octets)
		return a
	}
	var nases []NAS
	for range 500 {
		a := address()
		prefix, err := a.Prefix(random.IntN(a.BitLen() + 1))
		require.NoError(t, err)
		nases = append(nases, NAS{ID: uuid.New(), Name: prefix.String(), Prefix: prefix, Secret: []byte("s")})
	}
	table := newNASTable(nil, nases, nil)
	found := 0
	for range 20_000 {
		source := address()
		want, longest := "", -1
		for i := range nases {
			if p := nases[i].Prefix; p.Contains(source) && p.Bits() > longest {
				want, longest = nases[i].Name, p.Bits()
			}
		}
		got := table.lookup(source)
		if want == "" {
			require.Nil(t, got)
			continue
		}
		require.NotNil(t, got, "%v", source)
		require.Equal(t, want, got.Name, "%v", source)
		found++
	}
	require.Greater(t, found, 1000)
	require.Nil(t, table.lookup(netip.Addr{}))
}
