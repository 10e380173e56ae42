package dictionary

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	require.NoError(t, err)
	return b
}

// Every case is a list of pairs and the attributes it stands for, worked out
// by hand from the RFC named.
func TestWireBothWays(t *testing.T) {
	d := Embedded()
	for _, c := range []struct{ name, pairs, wire string }{
		{"string, RFC 2865 5.1", `User-Name = "bob"`, "01 05 626f62"},
		{"enumerated integer, RFC 2865 5.6", `Service-Type = Framed-User`, "06 06 00000002"},
		{"vendor-specific, RFC 2865 5.26", `Cisco-AVPair = "a=b"`, "1a0b 00000009 0105 613d62"},
		{"tagged integer, RFC 2868 3.1", `Tunnel-Type:1 = VLAN`, "40 06 01 00000d"},
		{"tagged string, RFC 2868 3.3", `Tunnel-Private-Group-Id:2 = "20"`, "51 05 02 3230"},
		{"untagged string, RFC 2868 3.6", `Tunnel-Private-Group-Id = "20"`, "51 04 3230"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs, err := d.ParsePairs(c.pairs)
			require.NoError(t, err)
			wire, err := d.AppendWire([]byte("head"), pairs, nil)
			require.NoError(t, err)
			assert.Equal(t, unhex(t, c.wire), wire[4:])
			back, err := d.ParseWire(wire[4:], nil)
			require.NoError(t, err)
			assert.Equal(t, c.pairs, string(AppendPairs(nil, back, ", ")))
		})
	}
}
