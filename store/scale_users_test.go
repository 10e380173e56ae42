package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// scaleUsers is how many users the tests of scale make; RADIUSD_SCALE=1000000 makes
// the million.
func scaleUsers() int {
	if n, err := strconv.Atoi(os.Getenv("RADIUSD_SCALE")); err == nil {
		return n
	}
	return 2_000
}

func scaleName(i int) string { return fmt.Sprintf("subscriber%07d@example.net", i) }

// fillUsers makes users as an operator has them: half of the passwords in clear, the
// others NT hashes and argon2id; a plan each, a group for every tenth and a reply item
// of its own for every twentieth.
func fillUsers(t testing.TB, s *store.Store, db *sql.DB, sealer *seal.Sealer, n int) {
	t.Helper()
	plan := &aaa.Plan{Name: "gold", Items: []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Session-Timeout", Op: ":=", Value: "3600"}}}
	require.NoError(t, s.CreatePlan(t.Context(), plan))
	group := &aaa.Group{Name: "fibre", Items: []aaa.Item{{Kind: aaa.ReplyItem, Attribute: "Idle-Timeout", Op: ":=", Value: "600"}}}
	require.NoError(t, s.CreateGroup(t.Context(), group))
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.Must(uuid.NewV7())
	}
	_, err := db.ExecContext(t.Context(), "ALTER TABLE users DISABLE TRIGGER users_change; ALTER TABLE user_groups DISABLE TRIGGER user_groups_change; ALTER TABLE attributes DISABLE TRIGGER attributes_change")
	require.NoError(t, err)
	now := time.Now().UTC()
	copyInto(t, db, "users", []string{"id", "username", "credential_scheme", "credential", "plan_id", "expires_at"}, n, func(i int) ([]any, error) {
		scheme, secret := aaa.SchemeCleartext, fmt.Appendf(nil, "secret%06d", i)
		switch i % 4 {
		case 1:
			scheme, secret = aaa.SchemeNTHash, bytes.Repeat([]byte{byte(i)}, 16)
		case 3:
			scheme, secret = aaa.SchemeHash, []byte("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g")
		}
		return []any{ids[i], scaleName(i), scheme.String(), sealer.Seal(secret, "users.credential."+ids[i].String()), plan.ID, now.AddDate(1, 0, i%365)}, nil
	})
	copyInto(t, db, "user_groups", []string{"user_id", "group_id"}, n/10, func(i int) ([]any, error) {
		return []any{ids[i*10], group.ID}, nil
	})
	copyInto(t, db, "attributes", []string{"user_id", "kind", "attribute", "op", "value"}, n/20, func(i int) ([]any, error) {
		return []any{ids[i*20+7], "reply", "Framed-IP-Address", ":=", fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)}, nil
	})
	_, err = db.ExecContext(t.Context(), "ALTER TABLE users ENABLE TRIGGER users_change; ALTER TABLE user_groups ENABLE TRIGGER user_groups_change; ALTER TABLE attributes ENABLE TRIGGER attributes_change")
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "VACUUM ANALYZE")
	require.NoError(t, err)
}

func copyInto(t testing.TB, db *sql.DB, table string, columns []string, n int, row func(i int) ([]any, error)) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(driverConn any) error {
		_, err := driverConn.(*stdlib.Conn).Conn().CopyFrom(t.Context(), pgx.Identifier{table}, columns, pgx.CopyFromSlice(n, row))
		return err
	}))
}

// resetPeak makes the kernel count the peak of resident memory anew.
func resetPeak(t testing.TB) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Logf("the peak of memory is that since the start: %v", err)
	}
}

// resident is the process's memory in use and its peak, in MiB; zero: not known here.
func resident(t testing.TB) (now, peak int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			now = kib >> 10
		case "VmHWM":
			peak = kib >> 10
		}
	}
	return now, peak
}

// measured runs fn and tells its time and the peak of memory while it ran.
func measured(t testing.TB, what string, fn func()) time.Duration {
	t.Helper()
	resetPeak(t)
	began := time.Now()
	fn()
	took := time.Since(began)
	now, peak := resident(t)
	t.Logf("%-28s %8v, resident memory %4d MiB, at most %4d MiB", what, took.Round(time.Millisecond), now, peak)
	return took
}

// delays measures how much later than it should a goroutine runs that has something
// to do every 200 µs, as a listener has, with one processor for all. The function that
// it returns tells.
func delays(t testing.TB) (stop func()) {
	const every = 200 * time.Microsecond
	processors := runtime.GOMAXPROCS(1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan []time.Duration)
	go func() {
		var late []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			time.Sleep(every)
			late = append(late, time.Since(began)-every)
		}
		done <- late
	}()
	return func() {
		cancel()
		late := <-done
		runtime.GOMAXPROCS(processors)
		slices.Sort(late)
		t.Logf("beside it a goroutine is late by %v in the middle, by %v at the 99th hundredth, by %v at most",
			late[len(late)/2], late[len(late)*99/100], late[len(late)-1])
	}
}

// away is a store that cannot be reached.
type away struct{ *store.Store }

func (away) ChangeCursor(context.Context) (aaa.ChangeCursor, error) {
	return "", store.ErrUnreachable
}

// A directory of many users: loaded from Postgres, saved, loaded from its snapshot,
// and a tenth of them changed at once.
func TestDirectoryOfManyUsers(t *testing.T) {
	if testing.Short() {
		t.Skip("many users")
	}
	n := scaleUsers()
	options := postgresDatabase(t)
	sealer := seal.New(storetest.Key)
	options.Sealer, options.AutoMigrate, options.NodeID = sealer, true, "node"
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	db := storetest.Raw(t, options)
	fillUsers(t, s, db, sealer, n)

	file := filepath.Join(t.TempDir(), "directory.snapshot")
	before := heap()
	d, err := aaa.NewDirectory(aaa.DirectoryOptions{Store: s, Dictionary: dictionary.Embedded(), SnapshotFile: file, Sealer: sealer})
	require.NoError(t, err)
	took := measured(t, "load from Postgres", func() { require.NoError(t, d.Load(t.Context())) })
	require.Equal(t, n, d.Status().Users)
	each := (heap() - before) / uint64(n)
	t.Logf("%d users, %.0f a second, %d octets each", n, float64(n)/took.Seconds(), each)
	require.LessOrEqual(t, each, uint64(600))
	began := time.Now()
	runtime.GC()
	t.Logf("one garbage collection: %v", time.Since(began))

	measured(t, "save snapshot", func() { require.NoError(t, d.SaveSnapshot(t.Context())) })
	measured(t, "the same beside others", func() {
		defer delays(t)()
		require.NoError(t, d.SaveSnapshot(aaa.WithPace(t.Context())))
	})
	change := func(to int) {
		_, err = db.ExecContext(t.Context(), "UPDATE users SET simultaneous_use = $2 WHERE id IN (SELECT id FROM users ORDER BY md5(username) LIMIT $1)", n/10, to)
		require.NoError(t, err)
	}
	change(6)
	measured(t, fmt.Sprintf("%d users changed", n/10), func() {
		defer delays(t)()
		require.NoError(t, d.Refresh(t.Context()))
	})
	change(7)
	measured(t, "the same beside others", func() {
		defer delays(t)()
		require.NoError(t, d.Refresh(aaa.WithPace(t.Context())))
	})
	changed := 0
	for i := range n {
		u, ok := d.User(scaleName(i))
		require.True(t, ok)
		if u.SimultaneousUse == 7 {
			changed++
		}
	}
	require.Equal(t, n/10, changed)
	each = (heap() - before) / uint64(n)
	t.Logf("%d octets each after the change", each)
	require.LessOrEqual(t, each, uint64(600))

	runtime.KeepAlive(d)
	d = nil
	heap()
	restored, err := aaa.NewDirectory(aaa.DirectoryOptions{Store: away{s}, Dictionary: dictionary.Embedded(), SnapshotFile: file, Sealer: sealer})
	require.NoError(t, err)
	measured(t, "load the snapshot", func() { require.NoError(t, restored.Load(t.Context())) })
	require.Equal(t, n, restored.Status().Users)
	last, ok := restored.User(scaleName(7))
	require.True(t, ok)
	require.Equal(t, aaa.SchemeHash, last.Credential.Scheme)
	require.Equal(t, "10.0.0.0", last.Items[0].Value)
}
