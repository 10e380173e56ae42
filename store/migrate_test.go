package store

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
	"radiusd/store/seal"
)

// engines runs a test of the inside on both engines.
func engines(t *testing.T, test func(t *testing.T, options Options)) {
	sealer := seal.New(seal.NewKey())
	t.Run("SQLite", func(t *testing.T) {
		test(t, Options{Path: filepath.Join(t.TempDir(), "radiusd.db"), Sealer: sealer, NodeID: "node"})
	})
	t.Run("Postgres", func(t *testing.T) {
		test(t, Options{URL: testserver.Postgres(t), Sealer: sealer, NodeID: "node"})
	})
}

func TestMigrations(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		ctx := t.Context()
		status, err := MigrationStatus(ctx, options)
		require.NoError(t, err)
		require.NotEmpty(t, status)
		assert.Equal(t, "directory", status[0].Name)
		assert.True(t, status[0].AppliedAt.IsZero())

		var steps []Migration
		require.NoError(t, Migrate(ctx, options, func(m Migration) { steps = append(steps, m) }))
		assert.Len(t, steps, len(status))
		require.NoError(t, Migrate(ctx, options, func(Migration) { t.Error("nothing is left to do") }))
		status, err = MigrationStatus(ctx, options)
		require.NoError(t, err)
		for _, m := range status {
			assert.WithinDuration(t, time.Now(), m.AppliedAt, time.Minute)
		}

		s, err := Open(ctx, options)
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, s.CreateUser(ctx, &aaa.User{Name: "alice"}))
		provider, err := s.migrations()
		require.NoError(t, err)
		_, err = provider.DownTo(ctx, 0)
		require.NoError(t, err, "down")
		_, err = Open(ctx, options)
		require.ErrorIs(t, err, ErrSchemaOld)
		_, err = provider.Up(ctx)
		require.NoError(t, err, "up again")
		again, err := Open(ctx, options)
		require.NoError(t, err)
		defer again.Close()
		_, err = again.UserByName(ctx, "alice")
		require.ErrorIs(t, err, ErrNotFound)

		_, err = s.writer.ExecContext(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
		require.NoError(t, err)
		_, err = Open(ctx, options)
		require.ErrorIs(t, err, ErrSchemaNew)
		require.ErrorIs(t, Migrate(ctx, options, nil), ErrSchemaNew)
	})
}

// TestMigrateAtOnce starts several nodes on one new database.
func TestMigrateAtOnce(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		options.AutoMigrate = true
		var nodes sync.WaitGroup
		for range 4 {
			nodes.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s, err := Open(ctx, options)
				if assert.NoError(t, err) {
					assert.NoError(t, s.Close())
				}
			})
		}
		nodes.Wait()
	})
}
