package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key that is lost is not replaced by another one.
func TestMigrateWithoutTheMasterKey(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *site) {
		s.ok("nas", "add", "192.0.2.1", "--secret", "s3cret") // sealed
		key := filepath.Join(s.dir, "data", masterKeyFile)
		kept, err := os.ReadFile(key)
		require.NoError(t, err)
		require.NoError(t, os.Remove(key))
		r := s.run("migrate", "up")
		require.Equal(t, exitFailed, r.code)
		require.Contains(t, r.err, "there is no master key at "+key)
		require.NoFileExists(t, key)
		require.NoError(t, os.WriteFile(key, kept, 0o600))
		s.ok("migrate", "up")
	})
}
