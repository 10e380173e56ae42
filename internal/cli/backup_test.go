package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// masterKey is where a site has its key.
func (s *site) masterKey() string { return filepath.Join(s.dir, "data", masterKeyFile) }

// TestBackup makes backups, and moves an installation from SQLite to Postgres.
func TestBackup(t *testing.T) {
	engines(t, func(t *testing.T, s *site) {
		s.ok("plan", "add", "home")
		s.ok("user", "add", "alice", "--password", "wonderland", "--plan", "home")
		s.ok("nas", "add", "192.0.2.1", "--secret", "testing123")
		identity, file := filepath.Join(s.dir, "backup.key"), filepath.Join(s.dir, "radiusd.backup")
		public := strings.TrimSpace(s.ok("backup", "keygen", identity))
		require.Contains(t, s.fails(1, "backup", "keygen", identity), "file exists")
		info, err := os.Stat(identity)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		require.Contains(t, s.fails(2, "backup", file), "a backup is always encrypted")
		require.Contains(t, s.fails(2, "backup", file, "--recipient", "nobody"), "not a public key")
		r := s.run("backup", file, "--recipient", public)
		require.Zero(t, r.code, r.err)
		require.Contains(t, r.err, "rows backed up: ")
		info, err = os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		found := s.object("backup", "verify", file, "-i", identity)
		require.Contains(t, found["tables"], "users=1")
		require.Equal(t, false, found["has_master_key"])

		// Nothing is replaced unasked, and nothing by what is damaged.
		r = s.run("restore", file, "-i", identity)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "the store is not empty")
		require.Contains(t, r.err, "--replace")
		r = s.run("restore", file, "-i", identity, "--replace")
		require.Equal(t, 2, r.code)
		require.Contains(t, r.err, "Give --yes")
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		content[len(content)/2] ^= 1
		broken := s.file("broken", string(content))
		require.Contains(t, s.fails(1, "restore", broken, "-i", identity, "--replace", "--yes"), "damaged or not complete")
		require.Contains(t, s.fails(1, "backup", "verify", broken, "-i", identity), "damaged or not complete")
		other := filepath.Join(s.dir, "other.key")
		s.ok("backup", "keygen", other)
		require.Contains(t, s.fails(1, "restore", file, "-i", other), "another key or passphrase")
		require.Contains(t, s.fails(1, "backup", "verify", other, "-i", other), "not a backup")

		s.ok("user", "add", "bob", "--password", "builder")
		require.Contains(t, s.ok("restore", file, "-i", identity, "--replace", "--yes"), "restored ")
		require.Len(t, s.rows("user", "list"), 1)

		// A new installation on Postgres needs the master key.
		moved := newSite(t, testserver.Postgres(t))
		r = moved.run("restore", file, "-i", identity)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "there is none at "+moved.masterKey()+": copy it there")
		moved.ok("migrate", "up") // makes another one
		r = moved.run("restore", file, "-i", identity)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "put the right one there")
		key, err := os.ReadFile(s.masterKey())
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(moved.masterKey(), key, 0o600))
		require.Contains(t, moved.ok("restore", file, "-i", identity), "restored ")
		require.Equal(t, "alice", moved.rows("user", "list")[0]["username"])

		// With the key, and by a passphrase, through pipes.
		var out, errs bytes.Buffer
		code := Main(context.Background(), []string{"backup", "-", "--recipient", public, "--with-master-key"}, strings.NewReader(""), &out, &errs, s.environ)
		require.Zero(t, code, errs.String())
		piped := newSite(t, "")
		r = piped.runWith(out.String(), "restore", "-", "-i", identity)
		require.Zero(t, r.code, r.err)
		copied, err := os.ReadFile(piped.masterKey())
		require.NoError(t, err)
		require.Equal(t, key, copied)
		require.Equal(t, "alice", piped.rows("user", "list")[0]["username"])
		require.Equal(t, 2, s.runWith("short\n", "backup", file, "--passphrase-stdin").code)
	})
}

// TestBackupByPassphrase: work for a passphrase takes a second by design, so it is tried
// once.
func TestBackupByPassphrase(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "add", "alice", "--password", "wonderland")
	file := filepath.Join(s.dir, "radiusd.backup")
	r := s.runWith("correct horse battery\n", "backup", file, "--passphrase-stdin")
	require.Zero(t, r.code, r.err)
	r = s.runWith("correct horse battery\n", "backup", "verify", file, "--passphrase-stdin")
	require.Zero(t, r.code, r.err)
	r = s.runWith("wrong horse battery\n", "backup", "verify", file, "--passphrase-stdin")
	require.Equal(t, 1, r.code)
	assert.Contains(t, r.err, "another key or passphrase")
	assert.Contains(t, s.fails(2, "backup", "verify", "-", "--passphrase-stdin"), "cannot have both")
	before, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	assert.Equal(t, 2, s.runWith("", "backup", file, "--passphrase-stdin").code)
	after, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	assert.Equal(t, len(before), len(after), "no file is left behind")
}
