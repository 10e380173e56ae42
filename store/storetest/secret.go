package storetest

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
)

// testSealed looks for secrets in the clear, and finds a name, which shows that
// it looks in the right place.
func testSealed(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	const name = "findable-user-name"
	require.NoError(t, s.CreateUser(ctx, newUser(name)))
	nas := newNAS("192.0.2.1/32")
	nas.PreviousSecret = nas.Secret
	require.NoError(t, s.CreateNAS(ctx, nas))
	credential := aaa.Credential{Scheme: aaa.SchemeCleartext, Secret: []byte(canary)}
	var rows []store.ImportRow
	for i := range 30 {
		rows = append(rows, store.ImportRow{Username: "imported" + string(rune('a'+i)), Credential: &credential})
	}
	_, err := s.ImportUsers(ctx, rowsOf(rows...), store.ImportOptions{})
	require.NoError(t, err)

	found := map[string]bool{}
	look := func(content []byte) {
		for _, text := range []string{name, canary, string(Key[:])} {
			if bytes.Contains(content, []byte(text)) || bytes.Contains(content, []byte(hex.EncodeToString([]byte(text)))) {
				found[text] = true
			}
		}
	}
	db := Raw(t, options)
	if options.URL == "" {
		files, err := filepath.Glob(options.Path + "*")
		require.NoError(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			look(content)
		}
	} else {
		execute(t, db, "CHECKPOINT")
		lookInTables(t, db, look)
		lookInFiles(t, db, look)
	}
	assert.Equal(t, map[string]bool{name: true}, found)
}

// lookInTables reads every table of a Postgres database as text.
func lookInTables(t *testing.T, db *sql.DB, look func([]byte)) {
	t.Helper()
	var tables []string
	rows, err := db.QueryContext(t.Context(), "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var table string
		require.NoError(t, rows.Scan(&table))
		tables = append(tables, table)
	}
	require.NoError(t, rows.Err())
	require.Contains(t, tables, "users")
	for _, table := range tables {
		var content sql.NullString
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT string_agg(t::text, ' ') FROM "+table+" t").Scan(&content))
		look([]byte(content.String))
	}
}

// lookInFiles reads the files of a Postgres server, write-ahead log included, if
// it runs here.
func lookInFiles(t *testing.T, db *sql.DB, look func([]byte)) {
	t.Helper()
	var dir string
	if err := db.QueryRowContext(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		return // a server of somebody else
	}
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if content, err := os.ReadFile(path); err == nil {
				look(content)
			}
		}
		return nil
	})
}
