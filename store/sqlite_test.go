package store_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

var nasAddr = netip.MustParseAddr("192.0.2.1")

func TestSQLiteOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte("this file is long enough to be no database at all, whatever it says"), 0o600))
	for name, tt := range map[string]struct{ path, message string }{
		"no path":         {"", "no database file is named"},
		"no folder":       {filepath.Join(dir, "absent", "x.db"), "no such file or directory"},
		"a file as one":   {filepath.Join(text, "x.db"), "is not a folder"},
		"a folder":        {dir, "is a directory"},
		"not a database":  {text, "not an SQLite database"},
		"never migrated":  {filepath.Join(dir, "new.db"), "run radiusd migrate up"},
		"spaces and more": {filepath.Join(dir, "a b?c#d%e.db"), "run radiusd migrate up"},
	} {
		_, err := store.Open(t.Context(), store.Options{Path: tt.path, Sealer: seal.New(storetest.Key)})
		require.ErrorContains(t, err, tt.message, name)
	}
	_, err := os.Stat(filepath.Join(dir, "a b?c#d%e.db"))
	assert.NoError(t, err)
}

// TestSQLiteFilesArePrivate: they hold personal data.
func TestSQLiteFilesArePrivate(t *testing.T) {
	options := sqliteDatabase(t)
	options.Sealer, options.AutoMigrate = seal.New(storetest.Key), true
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	files, err := filepath.Glob(options.Path + "*")
	require.NoError(t, err)
	assert.Len(t, files, 3, "database, write-ahead log and its index")
	for _, file := range files {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
}
