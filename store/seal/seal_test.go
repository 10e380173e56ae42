package seal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSealOpens(t *testing.T) {
	s := New(NewKey())
	for _, plain := range []string{"", "x", "a secret of some length"} {
		sealed := s.Seal([]byte(plain), "nas.secret 1")
		assert.Len(t, sealed, len(plain)+Overhead)
		if len(plain) > 8 { // a letter may well be in it by chance
			assert.NotContains(t, string(sealed), plain)
		}
		opened, err := s.Open(sealed, "nas.secret 1")
		require.NoError(t, err)
		assert.Equal(t, plain, string(opened))
	}
	assert.NotEqual(t, s.Seal([]byte("x"), "p"), s.Seal([]byte("x"), "p"), "the nonce is random")
}

func TestOpenRefuses(t *testing.T) {
	s := New(NewKey())
	sealed := s.Seal([]byte("secret"), "nas.secret 1")

	_, err := s.Open(sealed, "nas.secret 2")
	assert.ErrorIs(t, err, ErrCorrupt, "moved to another row")

	_, err = New(NewKey()).Open(sealed, "nas.secret 1")
	assert.ErrorIs(t, err, ErrWrongKey)

	for i := range sealed {
		changed := append([]byte(nil), sealed...)
		changed[i] ^= 0x40
		_, err := s.Open(changed, "nas.secret 1")
		assert.Error(t, err, "octet %d changed", i)
		_, err = s.Open(sealed[:i], "nas.secret 1")
		assert.Error(t, err, "cut to %d octets", i)
	}
}

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	keys := make([]Key, 8)
	created := make([]bool, len(keys))
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			keys[i], created[i], err = LoadOrCreateKey(path)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	n := 0
	for i := range keys {
		assert.True(t, keys[i] == keys[0], "all have the same key")
		if created[i] {
			n++
		}
	}
	assert.Equal(t, 1, n, "one of them made it")

	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".master-key-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestLoadKeyRefuses(t *testing.T) {
	good := strings.Repeat("0a", 32)
	tests := []struct {
		name, content string
		mode          os.FileMode
		message       string
	}{
		{"empty", "", 0o600, "64 hex digits"},
		{"short", good[2:], 0o600, "64 hex digits"},
		{"long", good + "00", 0o600, "64 hex digits"},
		{"not hex", "zz" + good[2:], 0o600, "64 hex digits"},
		{"group readable", good, 0o640, "chmod 600"},
		{"world readable", good, 0o604, "chmod 600"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			require.NoError(t, os.WriteFile(path, []byte(tt.content), 0o600))
			require.NoError(t, os.Chmod(path, tt.mode))
			_, err := LoadKey(path)
			require.ErrorContains(t, err, tt.message)
			assert.NotContains(t, err.Error(), "0a0a")
			_, _, err = LoadOrCreateKey(path)
			require.ErrorContains(t, err, tt.message, "a bad file is never replaced")
		})
	}
	_, err := LoadKey(t.TempDir())
	assert.ErrorContains(t, err, "not a regular file")
	_, err = LoadKey(filepath.Join(t.TempDir(), "absent"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestKeyIsNotPrinted(t *testing.T) {
	key := Key([]byte(strings.Repeat("k", 32)))
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.Equal(t, "master key", fmt.Sprintf(format, key))
	}
}
