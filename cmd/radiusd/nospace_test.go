package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// faultNAS returns a NAS that the site knows.
func faultNAS(t *testing.T) *radiustest.NAS {
	nas := radiustest.NewNAS(t, "127.0.0.1")
	nas.Secret, nas.Repeat = []byte(faultSecret), 3*time.Second
	return nas
}

// requireNoAccounting fails the test unless the server answers on the
// authentication port only, as it should while it cannot record.
func (f *faultSite) requireNoAccounting(nas *radiustest.NAS) {
	f.t.Helper()
	silence := 300 * time.Millisecond
	// Longer than what the load sends, so that it does not fit where that did not.
	start := nas.Session("alice", "unrecorded").Start()
	start.Add(radius.TypeConnectInfo, make([]byte, 250))
	nas.Silent(f.acct, nas.Sign(start), silence)
	nas.Silent(f.acct, nas.Sign(nas.Status()), silence) // the NAS is to fail over
	require.Equal(f.t, radius.AccessAccept, nas.Exchange(f.auth, nas.Status()).Code())
	require.True(f.t, f.login("alice", "looking-glass"), "authentication goes on")
}

// awaitReady waits until /readyz has the status.
func (v *server) awaitReady(status int) {
	v.t.Helper()
	require.Eventually(v.t, func() bool {
		now, _ := v.ready()
		return now == status
	}, patience, 20*time.Millisecond, "/readyz becomes %d", status)
}

func TestJournalAtItsLimitAnswersNoAccounting(t *testing.T) {
	t.Parallel()
	f := newFaultSite(t, "", "journal: {segment_bytes: 1MiB, max_bytes: 4MiB}")
	f.addUser("alice", "looking-glass")
	server := f.start()

	// Another process keeps the database for itself.
	db := f.database()
	thief, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer thief.Close()
	_, err = thief.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	load := f.accounting("--sessions", "9000", "--interims", "1")
	server.awaitReady(http.StatusServiceUnavailable)
	_, checks := server.ready()
	require.Contains(t, checks["journal"], "full")
	server.logs("journal: nearly full")
	server.logs("journal: full")
	nas := faultNAS(t)
	f.requireNoAccounting(nas)

	_, err = thief.ExecContext(context.Background(), "ROLLBACK")
	require.NoError(t, err)
	acks := load.finish() // recovers by itself
	require.Len(t, acks, 27_000)
	server.awaitReady(http.StatusOK)
	require.Equal(t, radius.AccountingResponse, nas.Exchange(f.acct, nas.Status()).Code())
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

// smallDisk mounts a file system of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("radiusd-test", dir, "tmpfs", 0, "size="+size)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("a small file system can be mounted by root only: %v", err)
	}
	require.NoError(t, err, "the tests of a full disk run where CI does")
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "24m")
	f := plainFaultSite(t, "", "")
	f.data = filepath.Join(disk, "data")
	f.settings("journal: {segment_bytes: 1MiB, max_bytes: 16MiB}")
	f.secret("nas", "add", "127.0.0.1", "--require-message-authenticator", "no")
	f.addUser("alice", "looking-glass")
	server := f.start()
	load := f.accounting("--rate", "400", "--duration", "10s")
	db := f.database()
	require.Eventually(t, func() bool { return number(t, db, "SELECT count(*) FROM accounting_records") > 100 },
		patience, 20*time.Millisecond)

	// What the server frees on its tries is taken at once, until it can try no more.
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	require.NoError(t, err)
	defer ballast.Close()
	taken, since := 0, time.Now()
	require.Eventually(t, func() bool {
		for chunk := make([]byte, 4096); ; {
			n, err := ballast.Write(chunk)
			if taken += n; n > 0 {
				since = time.Now()
			}
			if err != nil {
				require.ErrorIs(t, err, syscall.ENOSPC)
				break
			}
		}
		status, _ := server.ready()
		return status == http.StatusServiceUnavailable && time.Since(since) > 2*time.Second
	}, patience, 5*time.Millisecond)
	require.NotZero(t, taken)
	nas := faultNAS(t)
	f.requireNoAccounting(nas)

	require.NoError(t, os.Remove(ballast.Name()))
	require.NoError(t, ballast.Close())
	server.awaitReady(http.StatusOK)
	acks := load.finish()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	requireExactlyOnce(t, db, acks)
}

func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "8m")
	f := plainFaultSite(t, "", "")
	f.data = filepath.Join(disk, "data")
	f.settings("journal: {segment_bytes: 1MiB, max_bytes: 4MiB}")
	f.secret("nas", "add", "127.0.0.1", "--require-message-authenticator", "no")
	f.addUser("alice", "looking-glass")
	require.Zero(t, f.start().terminate())
	err := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 8<<20), 0o600)
	require.ErrorIs(t, err, syscall.ENOSPC)

	server := f.start()
	server.logs("starting without the store")
	require.True(t, f.login("alice", "looking-glass"), "users do not suffer")
	nas := faultNAS(t)
	var acks []acknowledged
	for n := 0; ; n++ { // what fits into the blocks that the journal has is taken
		require.Less(t, n, 100)
		id := strconv.Itoa(n)
		start := nas.Session("alice", id).Start()
		start.Add(radius.TypeConnectInfo, make([]byte, 250))
		nas.Send(f.acct, nas.Sign(start))
		answered := func() bool { return nas.Receive(300*time.Millisecond) != nil }
		full := func() bool { status, _ := server.ready(); return status == http.StatusServiceUnavailable }
		taken := answered()
		for began := time.Now(); !taken && !full() && time.Since(began) < patience; {
			taken = answered() // late
		}
		if !taken && !answered() {
			break
		}
		acks = append(acks, acknowledged{session: id, status: "start", username: "alice"})
	}
	server.awaitReady(http.StatusServiceUnavailable)
	f.requireNoAccounting(nas)

	require.NoError(t, os.Remove(filepath.Join(disk, "ballast")))
	server.awaitReady(http.StatusOK)
	nas.Exchange(f.acct, nas.Session("alice", "after").Start())
	acks = append(acks, acknowledged{session: "after", status: "start", username: "alice"})
	db := f.database()
	awaitStored(t, db, acks)
	require.Zero(t, server.terminate(), server.logged())
	require.EqualValues(t, len(acks), number(t, db, "SELECT count(*) FROM accounting_records"), "nothing that was not acknowledged")
}
