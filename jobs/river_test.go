package jobs_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"radiusd/internal/testserver"
)

// TestSchemaIsRivers compares the tables that the store's migration makes with those that
// River makes itself, so that a newer River does not find older tables.
func TestSchemaIsRivers(t *testing.T) {
	engines(t, func(t *testing.T, e *engine) {
		ctx := t.Context()
		var theirs *sql.DB
		query := `SELECT concat_ws(' ', 'column', table_name, column_name, data_type, udt_name, is_nullable, column_default) FROM information_schema.columns WHERE table_name LIKE 'river%'
			UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE tablename LIKE 'river%'
			UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid::regclass::text LIKE 'river%'
			UNION ALL SELECT concat_ws(' ', 'state', enumlabel, rank() OVER (ORDER BY enumsortorder)) FROM pg_enum
			UNION ALL SELECT concat_ws(' ', 'table', relname, relpersistence) FROM pg_class WHERE relname LIKE 'river%'
			UNION ALL SELECT concat_ws(' ', 'migration', line, version) FROM river_migration`
		var migrate func(context.Context) error
		if e.options.URL != "" {
			pool, err := pgxpool.New(ctx, testserver.Postgres(t))
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			m, err := rivermigrate.New(riverpgxv5.New(pool), nil)
			require.NoError(t, err)
			migrate = func(ctx context.Context) error {
				_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
				return err
			}
			theirs, err = sql.Open("pgx", pool.Config().ConnString())
			require.NoError(t, err)
		} else {
			query = `SELECT concat_ws(' ', 'column', t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk) FROM pragma_table_list t, pragma_table_xinfo(t.name) c WHERE t.name LIKE 'river%'
				UNION ALL SELECT concat_ws(' ', 'index', tbl_name, name, replace(replace(replace(sql, char(10), ''), ' ', ''), char(9), '')) FROM sqlite_master WHERE type = 'index' AND tbl_name LIKE 'river%'
				UNION ALL SELECT concat_ws(' ', 'migration', line, version) FROM river_migration`
			var err error
			theirs, err = sql.Open("sqlite", filepath.Join(t.TempDir(), "river.db"))
			require.NoError(t, err)
			m, err := rivermigrate.New(riversqlite.New(theirs), nil)
			require.NoError(t, err)
			migrate = func(ctx context.Context) error {
				_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
				return err
			}
		}
		t.Cleanup(func() { assert.NoError(t, theirs.Close()) })
		require.NoError(t, migrate(ctx))
		describe := func(db *sql.DB) (lines []string) {
			rows, err := db.QueryContext(ctx, query)
			require.NoError(t, err)
			defer rows.Close()
			for rows.Next() {
				var line string
				require.NoError(t, rows.Scan(&line))
				lines = append(lines, strings.ReplaceAll(line, "pkey1", "pkey")) // River made that table twice
			}
			require.NoError(t, rows.Err())
			slices.Sort(lines)
			return lines
		}
		want := describe(theirs)
		require.Greater(t, len(want), 50)
		assert.Equal(t, want, describe(e.store.Handles().Reader))
	})
}
