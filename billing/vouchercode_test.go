package billing

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMakeCodes: each character is of an octet of its own, of whose 256 values each eight
// make the same, so all 32 are equally likely. A code that was made is not made again.
func TestMakeCodes(t *testing.T) {
	var octets []byte
	for i := range 256 {
		octets = append(octets, byte(i))
	}
	octets = append(octets, bytes.Repeat([]byte{31}, 32)...)
	codes, err := MakeCodes(bytes.NewReader(octets), 2, 32)
	require.NoError(t, err)
	require.Equal(t, []string{codeAlphabet, "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ"}, codes)
}

// TestCodesCannotBeGuessed: of a thousand codes each place has each of the 32 characters (that
// one is missing by chance has a probability of 12 * 32 * (31/32)^1000, 6e-12), and no place
// says what the next one is.
func TestCodesCannotBeGuessed(t *testing.T) {
	codes, err := MakeCodes(rand.Reader, 1000, 0)
	require.NoError(t, err)
	require.Len(t, codes, 1000)
	places, pairs := map[int]map[byte]bool{}, map[string]bool{}
	for i := range DefaultCodeLength {
		places[i] = map[byte]bool{}
	}
	for _, code := range codes {
		require.Len(t, code, DefaultCodeLength)
		for i := range len(code) {
			places[i][code[i]] = true
			if i > 0 {
				pairs[code[i-1:i+1]] = true
			}
		}
	}
	for i, seen := range places {
		require.Len(t, seen, len(codeAlphabet), "place %d", i)
	}
	require.Greater(t, len(pairs), 1000, "of 1024, of which 11,000 were drawn")
}

func TestMakeCodesFails(t *testing.T) {
	_, err := MakeCodes(iotest.ErrReader(errors.New("gone")), 1, 12)
	require.ErrorContains(t, err, "no random numbers: gone")
	_, err = MakeCodes(bytes.NewReader(make([]byte, 3)), 1, 12)
	require.ErrorContains(t, err, "no random numbers", "half a code is none")
}

func TestNormalizeCode(t *testing.T) {
	for typed, want := range map[string]string{
		"7K3M-9QXW-2RTH": "7K3M9QXW2RTH", " 7k3m 9qxw_2rth.": "7K3M9QXW2RTH", "OIL0-1ooi-l1uU": "0110100111VV",
	} {
		code, ok := NormalizeCode(typed)
		require.True(t, ok, typed)
		require.Equal(t, want, code)
		again, ok := NormalizeCode(FormatCode(code))
		require.True(t, ok)
		require.Equal(t, code, again)
	}
	require.Equal(t, "7K3M-9QXW-2R", FormatCode("7K3M9QXW2R"))
	for _, typed := range []string{"", "7K3M-9QXW-2", "7K3M-9QXW-2RT!", "7K3M-9QXW-2RTÉ", string(bytes.Repeat([]byte("A"), 33))} {
		_, ok := NormalizeCode(typed)
		require.False(t, ok, typed)
	}
}

// The hash is keyed: who has the database alone cannot try codes.
func TestVoucherKeyHashes(t *testing.T) {
	one, two := VoucherKey{1}, VoucherKey{2}
	a, ok := one.Hash([]byte("7K3M-9QXW-2RTH"))
	require.True(t, ok)
	b, _ := one.Hash([]byte("7k3m9qxw2rth"))
	require.Equal(t, a, b, "however it is spelled")
	c, _ := one.Hash([]byte("7K3M-9QXW-2RTJ"))
	require.NotEqual(t, a, c)
	d, _ := two.Hash([]byte("7K3M-9QXW-2RTH"))
	require.NotEqual(t, a, d, "under another key")
	_, ok = one.Hash([]byte("no code!"))
	require.False(t, ok)
}

func TestRedemptionLock(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 10: 32 * time.Second, 14: 512 * time.Second, 15: 15 * time.Minute, 1 << 30: 15 * time.Minute} {
		require.Equal(t, want, RedemptionLock(failures, FreeGuesses), failures)
	}
}
