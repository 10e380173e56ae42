package seal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzOpen opens anything: what was not sealed under the key is an error and never a
// panic, and what was opens at its place only.
func FuzzOpen(f *testing.F) {
	const place, plain = "nas.secret.1", "secret"
	s := New(Key{1, 2, 3})
	sealed := s.Seal([]byte(plain), place)
	f.Add(sealed)
	f.Add(s.Seal([]byte(plain), "nas.secret.2"))
	f.Add(New(Key{4}).Seal([]byte(plain), place))
	f.Add(sealed[:Overhead])
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, input []byte) {
		opened, err := s.Open(input, place)
		if err != nil {
			return
		}
		require.Equal(t, plain, string(opened))
		_, err = s.Open(input, "elsewhere")
		require.ErrorIs(t, err, ErrCorrupt)
		input = bytes.Clone(input)
		input[len(input)-1] ^= 1
		_, err = s.Open(input, place)
		require.ErrorIs(t, err, ErrCorrupt)
	})
}
