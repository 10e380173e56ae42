package store

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"radiusd/store/seal"
)

// TestSessionIndexes: what an Interim leaves alone is what the indexes are over.
func TestSessionIndexes(t *testing.T) {
	path := t.TempDir() + "/radiusd.db"
	s, err := Open(t.Context(), Options{Path: path, Sealer: seal.New(seal.Key([]byte("0123456789abcdef0123456789abcdef"))), AutoMigrate: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT DISTINCT info.name FROM pragma_index_list('sessions') AS list, pragma_index_info(list.name) AS info
		WHERE info.name <> 'id'`)
	require.NoError(t, err)
	defer rows.Close()
	var columns []string
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		columns = append(columns, column)
	}
	require.NoError(t, rows.Err())
	require.ElementsMatch(t, sessionIndexes, columns)
}
