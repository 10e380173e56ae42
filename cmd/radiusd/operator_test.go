package main

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// refuses runs serve, which must not start, and returns what it wrote.
func (f *faultSite) refuses() string {
	f.t.Helper()
	_, errs, code := f.run("", "serve")
	require.Equal(f.t, 1, code, errs)
	return errs
}

func TestReloadOfABadConfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFaultSite(t, "", "")
	f.addUser("alice", "looking-glass")
	server := f.start()
	hangup := func() { require.NoError(t, server.cmd.Process.Signal(syscall.SIGHUP)) }

	f.settings("log: {level: debgu}\nauht: {}")
	hangup()
	server.logs("configuration not reloaded: the old one stays")
	require.Contains(t, server.logged(), "debgu")
	require.Contains(t, server.logged(), "auht")
	require.True(t, f.login("alice", "looking-glass"))

	require.NoError(t, os.Remove(f.config))
	hangup()
	require.Eventually(t, func() bool { return strings.Count(server.logged(), "configuration not reloaded") == 2 }, patience, 20*time.Millisecond)
	require.True(t, f.login("alice", "looking-glass"))

	f.settings("log: {level: debug}\nsessions: {liveness: 3h}")
	hangup()
	server.logs("these settings need a restart")
	require.Contains(t, server.logged(), "sessions.liveness")
	require.Zero(t, server.terminate())
}

func TestDataDirThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	t.Run("a server has it", func(t *testing.T) {
		t.Parallel()
		f := newFaultSite(t, "", "")
		server := f.start()
		second := plainFaultSite(t, "", "")
		second.data = f.data
		second.settings("")
		errs := second.refuses()
		require.Contains(t, errs, "already in use by another process")
		require.Contains(t, errs, f.data)
		require.Zero(t, server.terminate(), "the first one goes on")
	})
	t.Run("a file", func(t *testing.T) {
		t.Parallel()
		f := plainFaultSite(t, "", "")
		require.NoError(t, os.WriteFile(f.data, nil, 0o600))
		errs := f.refuses()
		require.Contains(t, errs, f.data)
		require.Contains(t, errs, "not a directory")
	})
	t.Run("read-only", func(t *testing.T) {
		t.Parallel()
		disk := smallDisk(t, "1m")
		require.NoError(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
		f := plainFaultSite(t, "", "")
		f.data = disk
		f.settings("")
		errs := f.refuses()
		require.Contains(t, errs, disk)
		require.Contains(t, errs, "read-only file system")
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		disk := smallDisk(t, "64k")
		f := plainFaultSite(t, "", "")
		f.data = disk
		f.settings("")
		require.Regexp(t, "no space left on device|disk is full", f.refuses())
	})
	t.Run("port taken", func(t *testing.T) {
		t.Parallel()
		f := newFaultSite(t, "", "")
		server := f.start()
		second := plainFaultSite(t, "", "")
		second.acct = f.acct
		second.settings("")
		errs := second.refuses()
		require.Contains(t, errs, f.acct)
		require.Contains(t, errs, "address already in use")
		require.Zero(t, server.terminate())
	})
}

func TestMasterKeyLostOrWrong(t *testing.T) {
	t.Parallel()
	wrong := func(t *testing.T, path string) {
		key := make([]byte, 32)
		rand.Read(key)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Remove(path))
		other := plainFaultSite(t, "", "") // a key in the right form
		other.do("migrate", "up")
		stranger, err := os.ReadFile(filepath.Join(other.data, "master.key"))
		require.NoError(t, err)
		require.NotEqual(t, content, stranger)
		require.NoError(t, os.WriteFile(path, stranger, 0o600))
	}
	lost := func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }

	// start makes a site that has run, with its key in use.
	start := func(t *testing.T, storeURL string) (f *faultSite, key string) {
		f = newFaultSite(t, storeURL, "")
		require.Zero(t, f.start().terminate())
		return f, filepath.Join(f.data, "master.key")
	}
	t.Run("wrong", func(t *testing.T) {
		t.Parallel()
		f, key := start(t, "")
		wrong(t, key)
		require.Contains(t, f.refuses(), "the master key does not fit this database")
	})
	t.Run("lost", func(t *testing.T) {
		t.Parallel()
		f, key := start(t, "")
		lost(t, key)
		for range 2 { // the first try must not spoil the second
			errs := f.refuses()
			require.Contains(t, errs, "there is no master key at "+key)
			require.NoFileExists(t, key)
		}
	})
	for name, spoil := range map[string]func(*testing.T, string){"wrong": wrong, "lost": lost} {
		t.Run(name+" while Postgres is away", func(t *testing.T) {
			t.Parallel()
			f, key := start(t, testserver.Postgres(t))
			spoil(t, key)
			reachable := f.storeURL
			f.storeURL = "postgres://radiusd@127.0.0.1:1/radiusd?sslmode=disable"
			f.settings("")
			require.Contains(t, f.refuses(), "directory.snapshot", "the snapshot is sealed")
			if name == "lost" {
				require.NoFileExists(t, key, "a new one would only be in the way")
			}
			f.storeURL = reachable
			f.settings("")
			require.Contains(t, f.refuses(), "master key")
		})
	}
	t.Run("readable for all", func(t *testing.T) {
		t.Parallel()
		f, key := start(t, "")
		require.NoError(t, os.Chmod(key, 0o644))
		require.Contains(t, f.refuses(), key)
	})
}

func TestSnapshotDamaged(t *testing.T) {
	t.Parallel()
	f := newFaultSite(t, testserver.Postgres(t), "")
	f.addUser("alice", "looking-glass")
	require.Zero(t, f.start().terminate())
	snapshot := filepath.Join(f.data, "directory.snapshot")
	flip(t, snapshot, 100)
	reachable := f.storeURL
	f.storeURL = "postgres://radiusd@127.0.0.1:1/radiusd?sslmode=disable"
	f.settings("")
	errs := f.refuses()
	require.Contains(t, errs, snapshot)
	require.Contains(t, errs, "cannot be reached")

	f.storeURL = reachable // with the store it does not matter, and is made anew
	f.settings("")
	server := f.start()
	require.True(t, f.login("alice", "looking-glass"))
	require.Zero(t, server.terminate())
	f.storeURL = "postgres://radiusd@127.0.0.1:1/radiusd?sslmode=disable"
	f.settings("")
	server = f.start()
	require.True(t, f.login("alice", "looking-glass"))
	require.Zero(t, server.terminate())
}

// flip changes an octet of a file; a negative offset counts from its end.
func flip(t *testing.T, path string, offset int64) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	if offset < 0 {
		offset += int64(len(content))
	}
	require.Less(t, offset, int64(len(content)))
	content[offset] ^= 0x10
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func TestNodeIDLost(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, storeURL string) {
		f := newFaultSite(t, storeURL, "")
		server := f.start()
		acks := f.accounting("--sessions", "200").finish()
		server.kill() // some are stored, some are not, all are in the journal
		id := filepath.Join(f.data, "node_id")
		require.NoError(t, os.WriteFile(id, []byte("not an id\n"), 0o600))
		require.Contains(t, f.refuses(), id)

		require.NoError(t, os.Remove(id))
		server = f.start()
		db := f.database()
		awaitStored(t, db, acks)
		require.Zero(t, server.terminate(), server.logged())
		requireExactlyOnce(t, db, acks) // what is read again changes nothing
	})
}

func TestDatabaseFileLostWhileTheJournalRemains(t *testing.T) {
	t.Parallel()
	f := newFaultSite(t, "", "")
	server := f.start()
	acks := f.accounting("--sessions", "200").finish()
	awaitStored(t, f.database(), acks)
	server.kill()
	for _, name := range []string{"radiusd.db", "radiusd.db-wal", "radiusd.db-shm"} {
		if err := os.Remove(filepath.Join(f.data, name)); name == "radiusd.db" {
			require.NoError(t, err)
		}
	}
	server = f.start()
	server.logs("no NAS is known")
	db := f.database()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

func TestJournalLostWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	postgres := testserver.NewPostgresServer(t)
	f := newFaultSite(t, postgres.URL(), "")
	server := f.start()
	before := f.accounting("--sessions", "100").finish()
	db := f.database()
	awaitStored(t, db, before)
	require.Zero(t, server.terminate())

	// A damaged journal was moved away, say, and the server goes on with a new one,
	// which grows past where the old one's cursor in the store points.
	postgres.Stop()
	require.NoError(t, os.Rename(filepath.Join(f.data, "journal"), filepath.Join(f.data, "journal.old")))
	server = f.start()
	acks := append(before, f.accounting("--sessions", "300").finish()...)
	postgres.Start()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

// segments lists the files of the journal, the oldest first.
func (f *faultSite) segments() []string {
	f.t.Helper()
	paths, err := filepath.Glob(filepath.Join(f.data, "journal", "*.journal"))
	require.NoError(f.t, err)
	return paths
}

func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	for name, damaged := range map[string]func(segments []string) string{
		"segment that is full": func(segments []string) string { return segments[0] },
		"segment in use":       func(segments []string) string { return segments[len(segments)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaultSite(t, "", "journal: {segment_bytes: 1MiB, max_bytes: 64MiB}")
			f.addUser("alice", "looking-glass")
			server := f.start()
			db := f.database()
			thief, err := db.Conn(t.Context()) // keeps everything in the journal
			require.NoError(t, err)
			defer thief.Close()
			_, err = thief.ExecContext(t.Context(), "BEGIN IMMEDIATE")
			require.NoError(t, err)
			load := f.accounting("--sessions", "2500")
			acks := load.finish()
			server.kill()
			_, err = thief.ExecContext(t.Context(), "ROLLBACK")
			require.NoError(t, err)

			segments := f.segments()
			require.Greater(t, len(segments), 1)
			path := damaged(segments)
			segment := filepath.Base(path)
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			at := strings.Index(string(content[len(content)/4:]), "load") + len(content)/4 // in the middle of a record
			flip(t, path, int64(at))

			out, errs, code := f.run("", "journal", "verify")
			require.Equal(t, 1, code, out)
			require.Regexp(t, segment+" is damaged at offset [0-9]+ ", errs)
			require.Contains(t, errs, "radiusd journal skip "+segment)

			if name == "segment in use" {
				errs := f.refuses()
				require.Regexp(t, segment+" is damaged at offset [0-9]+ ", errs)
				require.Contains(t, errs, "radiusd journal skip "+segment)
			} else {
				server = f.start()
				server.logs("is damaged at offset")
				require.True(t, f.login("alice", "looking-glass"), "users do not suffer")
				nas := faultNAS(t)
				require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, nas.Session("load1", "after").Start()).Code())
				stop := nas.Session("load1", "after").Stop(radiustest.Usage{Input: 5}, 1)
				require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, stop).Code())
				acks = append(acks, acknowledged{session: "after", status: "start", username: "load1"},
					acknowledged{session: "after", status: "stop", username: "load1", input: 5})
				server.logs("radiusd journal skip " + segment)
				status, checks := server.ready()
				require.Equal(t, http.StatusOK, status, "it answers as it should")
				require.Regexp(t, "the stores wait: .*radiusd journal skip "+segment, checks["journal"])
				_, metrics := server.get("/metrics")
				require.Contains(t, metrics, "\nradiusd_journal_damaged 1\n")
				active := f.segments()
				_, errs, code = f.run("", "journal", "skip", filepath.Base(active[len(active)-1]))
				require.Equal(t, 1, code)
				require.Contains(t, errs, "stop the server first")
			}

			f.do("journal", "skip", segment)
			require.FileExists(t, path+".damaged")
			f.do("journal", "verify")
			if name == "segment in use" {
				server = f.start()
			}
			awaitStored(t, db, acks[1:])
			_, checks := server.ready()
			require.Equal(t, "ok", checks["journal"])
			require.Zero(t, server.terminate(), server.logged())
			require.EqualValues(t, len(acks)-1, number(t, db, "SELECT count(*) FROM accounting_records"), "one record is lost, and no other")
		})
	}
}
