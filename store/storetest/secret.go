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

// testReplaceSecret: a secret that cannot be read is replaced, and stays as it is when
// something else is changed.
func testReplaceSecret(t *testing.T, database Database) {
	s, options := openWith(t, database)
	ctx := t.Context()
	user, nas := newUser("alice"), newNAS("192.0.2.1/32")
	require.NoError(t, s.CreateUser(ctx, user))
	require.NoError(t, s.CreateNAS(ctx, nas))
	db := Raw(t, options)
	damage := func() {
		execute(t, db, "UPDATE users SET credential = $1", []byte("not sealed at all, but long enough for a nonce"))
		execute(t, db, "UPDATE nas SET secret = $1", []byte("not sealed at all, but long enough for a nonce"))
	}
	damage()
	err := s.ChangeUser(ctx, user.ID, func(u *aaa.User, _ *aaa.Profile) error { u.SimultaneousUse = 2; return nil })
	require.ErrorIs(t, err, aaa.ErrDamaged)
	require.NotContains(t, err.Error(), "not sealed at all")
	require.ErrorIs(t, s.ChangeNAS(ctx, nas.ID, func(n *aaa.NAS) error { n.Name = "bras"; return nil }), aaa.ErrDamaged)
	var kept []byte
	require.NoError(t, db.QueryRowContext(ctx, "SELECT credential FROM users").Scan(&kept))
	require.NotEmpty(t, kept, "perhaps the right key opens it yet")

	require.NoError(t, s.ChangeUser(ctx, user.ID, func(u *aaa.User, _ *aaa.Profile) error { u.Credential = newUser("").Credential; return nil }))
	require.NoError(t, s.ChangeNAS(ctx, nas.ID, func(n *aaa.NAS) error { n.Secret = []byte("a new secret"); return nil }))
	got, err := s.UserByName(ctx, "alice")
	require.NoError(t, err)
	require.Equal(t, canary, string(got.Credential.Secret))

	damage()
	require.NoError(t, s.UpdateUser(ctx, "alice", func(u *aaa.User) error { u.Credential = aaa.Credential{}; return nil }), "none at all is an answer too")
	got, err = s.UserByName(ctx, "alice")
	require.NoError(t, err)
	require.Equal(t, aaa.SchemeNone, got.Credential.Scheme)
}
