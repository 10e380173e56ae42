//go:build unix

package seal

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMostMode(t *testing.T) {
	for name, tt := range map[string]struct {
		owner, reader int
		want          fs.FileMode
	}{
		"own file":              {1000, 1000, 0o600},
		"root's own":            {0, 0, 0o600},
		"root's, lent by group": {0, 1000, 0o640},
		"a stranger's":          {1001, 1000, 0o600},
	} {
		require.Equal(t, tt.want, mostMode(tt.owner, tt.reader), name)
	}
}

func TestKeyFileThatOthersMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	_, _, err := LoadOrCreateKey(path)
	require.NoError(t, err)
	for _, mode := range []fs.FileMode{0o644, 0o660, 0o602, 0o640} {
		require.NoError(t, os.Chmod(path, mode)) // the reader's own file, also for root
		_, err := LoadKey(path)
		require.ErrorContains(t, err, "only its owner may have access", "%04o", mode)
	}
	require.NoError(t, os.Chmod(path, 0o400))
	_, err = LoadKey(path)
	require.NoError(t, err)
}
