package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	osexec "os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

func opened(t testing.TB, options store.Options) (*store.Store, store.Options) {
	t.Helper()
	options.Sealer, options.NodeID, options.AutoMigrate = seal.New(storetest.Key), "a", true
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, options
}

// TestBackupFromEngineToEngine: SQLite to Postgres to SQLite leaves every row as it was.
func TestBackupFromEngineToEngine(t *testing.T) {
	s, first := opened(t, sqliteDatabase(t))
	storetest.Fill(t, s)
	rows := storetest.Rows(t, first)
	require.Greater(t, len(rows), 10)

	middle := postgresDatabase(t)
	middle.Sealer, middle.NodeID = first.Sealer, first.NodeID
	_, err := storetest.Restore(t.Context(), middle, bytes.NewReader(storetest.Backup(t, s)), store.RestoreOptions{})
	require.NoError(t, err)
	p, err := store.Open(t.Context(), middle)
	require.NoError(t, err)
	defer p.Close()
	users, err := p.ListUsers(t.Context(), store.UserFilter{})
	require.NoError(t, err)
	require.Len(t, users, 49)
	db := storetest.Raw(t, middle)
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM accounting_records_"+time.Now().UTC().AddDate(0, 0, -1).Format("20060102")).Scan(&n))
	assert.NotZero(t, n, "rows are in the partition of their day")

	last := sqliteDatabase(t)
	last.Sealer, last.NodeID = first.Sealer, first.NodeID
	_, err = storetest.Restore(t.Context(), last, bytes.NewReader(storetest.Backup(t, p)), store.RestoreOptions{})
	require.NoError(t, err)
	assert.Equal(t, rows, storetest.Rows(t, last))
}

// killedRestore names the variable with the options of TestKilledRestore's child.
const killedRestore = "RADIUSD_TEST_KILLED_RESTORE"

// TestKilledRestore kills a process in the middle of restoring.
func TestKilledRestore(t *testing.T) {
	if child := os.Getenv(killedRestore); child != "" {
		var options store.Options
		require.NoError(t, json.Unmarshal([]byte(child), &options))
		options.Sealer, options.NodeID = seal.New(storetest.Key), "a"
		_, err := storetest.RestoreWith(context.Background(), options, os.Stdin, os.Getenv(killedRestore+"_KEY"), store.RestoreOptions{Replace: true})
		t.Fatal("the end of the backup never came, and yet it ended: ", err)
	}
	for name, database := range map[string]storetest.Database{"SQLite": sqliteDatabase, "Postgres": postgresDatabase} {
		t.Run(name, func(t *testing.T) {
			s, options := opened(t, database(t))
			storetest.Fill(t, s)
			random := make([]byte, 1<<21)
			_, err := rand.Read(random)
			require.NoError(t, err)
			_, err = storetest.Raw(t, options).ExecContext(t.Context(), "UPDATE user_profiles SET note = $1", hex.EncodeToString(random))
			require.NoError(t, err)
			backup := storetest.Backup(t, s)
			require.NoError(t, s.DeleteUser(t.Context(), "user-07"))
			rows := storetest.Rows(t, options)

			target, err := json.Marshal(struct{ URL, Path string }{options.URL, options.Path})
			require.NoError(t, err)
			child := osexec.Command(os.Args[0], "-test.run=^TestKilledRestore$")
			child.Env = append(os.Environ(), killedRestore+"="+string(target), killedRestore+"_KEY="+storetest.Identity.String())
			stdin, err := child.StdinPipe()
			require.NoError(t, err)
			child.Stderr = os.Stderr
			require.NoError(t, child.Start())
			_, err = io.Copy(stdin, bytes.NewReader(backup[:len(backup)-100]))
			require.NoError(t, err)
			// It has read all but the end, and holds the store for itself.
			db := storetest.Raw(t, options)
			db.SetMaxOpenConns(1)
			if options.URL == "" {
				_, err = db.ExecContext(t.Context(), "PRAGMA busy_timeout = 0")
				require.NoError(t, err)
			}
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				_, err := db.ExecContext(ctx, "UPDATE plans SET rate_up = rate_up")
				return err != nil
			}, 30*time.Second, 20*time.Millisecond)
			require.NoError(t, child.Process.Kill())
			_ = child.Wait()

			assert.Equal(t, rows, storetest.Rows(t, options), "nothing has changed")
			_, err = storetest.Restore(t.Context(), options, bytes.NewReader(backup), store.RestoreOptions{Replace: true})
			require.NoError(t, err)
			_, err = s.UserByName(t.Context(), "user-07")
			require.NoError(t, err)
		})
	}
}
