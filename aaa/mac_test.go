package aaa

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNormalizeMAC(t *testing.T) {
	tests := []struct {
		name, raw, want string
	}{
		{"colons", "00:1A:2b:3C:4d:5E", "00:1a:2b:3c:4d:5e"},
		{"hyphens, RFC 3580 §3.21", "00-1A-2B-3C-4D-5E", "00:1a:2b:3c:4d:5e"},
		{"Cisco dots", "001a.2b3c.4d5e", "00:1a:2b:3c:4d:5e"},
		{"bare", "001A2B3C4D5E", "00:1a:2b:3c:4d:5e"},
		{"two halves", "001a2b-3c4d5e", "00:1a:2b:3c:4d:5e"},
		{"Huawei quads", "001a-2b3c-4d5e", "00:1a:2b:3c:4d:5e"},
		{"spaces", "00 1a 2b 3c 4d 5e", "00:1a:2b:3c:4d:5e"},
		{"mixed separators", "00:1a-2b:3c:4d:5e", ""},
		{"uneven groups", "00:1a2b:3c:4d:5e", ""},
		{"groups of three", "001-a2b-3c4-d5e", ""},
		{"trailing separator", "00:1a:2b:3c:4d:5e:", ""},
		{"leading separator", ":001a2b3c4d5e", ""},
		{"eleven digits", "001a2b3c4d5", ""},
		{"thirteen digits", "001a2b3c4d5e0", ""},
		{"not hex", "001a2b3c4d5g", ""},
		{"with SSID", "00-1A-2B-3C-4D-5E:guest", ""},
		{"phone number", "+4930123456789", ""},
		{"empty", "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := NormalizeMAC(test.raw)
			require.Equal(t, test.want, got)
			require.Equal(t, test.want != "", ok)
			if ok {
				require.Equal(t, test.want, NormalizeStation(test.raw))
			} else {
				require.Equal(t, test.raw, NormalizeStation(test.raw))
			}
		})
	}
}

func TestAppendMACKeepsWhatIsThere(t *testing.T) {
	b, ok := AppendMAC([]byte("x"), "00-1A-2B-3C-4D-5E")
	require.True(t, ok)
	require.Equal(t, "x00:1a:2b:3c:4d:5e", string(b))
	b, ok = AppendMAC([]byte("x"), "00-1A-2B-3C-4D-zz")
	require.False(t, ok)
	require.Equal(t, "x", string(b))
}

func FuzzNormalizeMAC(f *testing.F) {
	for _, seed := range []string{"00:1A:2b:3C:4d:5E", "001a.2b3c.4d5e", "001A2B3C4D5E", "00-", "", "::::::::::::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		mac, ok := NormalizeMAC(raw)
		if !ok {
			require.Empty(t, mac)
			return
		}
		require.Len(t, mac, 17)
		again, ok := NormalizeMAC(mac)
		require.True(t, ok)
		require.Equal(t, mac, again, "the normal form is its own normal form")
		require.True(t, sameStation([]byte(raw), []byte(mac)))
	})
}

func TestClass(t *testing.T) {
	nonce := Nonce{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	class := AppendClass(nil, nonce)
	require.Len(t, class, 16)
	got, ok := ParseClass(class)
	require.True(t, ok)
	require.Equal(t, nonce, got)
	require.Equal(t, "0102030405060708090a0b0c", nonce.String())
	for name, foreign := range map[string][]byte{
		"empty": {}, "shorter": class[:15], "longer": append(class[:16:16], 0), "another magic": append([]byte("rd2:"), class[4:]...),
	} {
		t.Run(name, func(t *testing.T) {
			_, ok := ParseClass(foreign)
			require.False(t, ok)
		})
	}
}
