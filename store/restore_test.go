package store

import (
	"bytes"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store/archive"
)

// TestRestoreOlderSchema restores a backup of version 2 of the schema into a new
// database, and in the place of one of the newest.
func TestRestoreOlderSchema(t *testing.T) {
	engines(t, func(t *testing.T, options Options) {
		ctx := t.Context()
		identity, err := age.GenerateX25519Identity()
		require.NoError(t, err)
		old, err := connect(ctx, options)
		require.NoError(t, err)
		defer old.Close()
		provider, err := old.migrations()
		require.NoError(t, err)
		_, err = provider.UpTo(ctx, 2)
		require.NoError(t, err)
		require.NoError(t, old.checkMasterKey(ctx))
		require.NoError(t, old.identifyFeed(ctx))
		old.insertOfVersion2(t, 3)
		var backup bytes.Buffer
		manifest, err := old.Backup(ctx, &backup, BackupOptions{Recipients: []age.Recipient{identity.Recipient()}})
		require.NoError(t, err)
		require.EqualValues(t, 2, manifest.SchemaVersion)
		restore := func(how RestoreOptions) error {
			in, err := archive.NewReader(bytes.NewReader(backup.Bytes()), identity)
			require.NoError(t, err)
			defer in.Close()
			_, err = Restore(ctx, options, in, how)
			return err
		}
		require.ErrorIs(t, restore(RestoreOptions{}), ErrNotEmpty)
		check := func() {
			t.Helper()
			s, err := Open(ctx, options)
			require.NoError(t, err)
			defer s.Close()
			sessions, err := s.ListSessions(ctx, SessionFilter{})
			require.NoError(t, err)
			require.Len(t, sessions, 3)
			_, err = s.UserByName(ctx, "of the newest")
			require.ErrorIs(t, err, ErrNotFound)
		}

		// In the place of what is there now.
		options.AutoMigrate = true
		s, err := Open(ctx, options)
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, s.CreateUser(ctx, &aaa.User{Name: "of the newest"}))
		require.ErrorIs(t, restore(RestoreOptions{Replace: true}), ErrNeedsCheck, "it has not been read to its end")
		_, err = s.UserByName(ctx, "of the newest")
		require.NoError(t, err)
		require.NoError(t, restore(RestoreOptions{Replace: true, Again: true}))
		check()

		// Interrupted when the schema was changed and the rows were not there yet.
		r := restoring{store: s, header: manifest.Header}
		require.NoError(t, r.empty(ctx, 1))
		_, err = Open(ctx, options)
		require.ErrorIs(t, err, ErrUnfinished)
		require.ErrorIs(t, Migrate(ctx, options, nil), ErrUnfinished)
		require.NoError(t, restore(RestoreOptions{}), "nothing is there to be replaced")
		check()

		newer := manifest.Header
		newer.SchemaVersion = 9999
		r = restoring{store: s, header: newer}
		_, err = r.run(ctx)
		require.ErrorIs(t, err, ErrBackupNew)
		check()
		unfinished, err := s.isUnfinished(ctx, s.reader)
		require.NoError(t, err)
		assert.False(t, unfinished)
	})
}
