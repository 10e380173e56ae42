package aaa_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/internal/testserver"
	"radiusd/journal"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

func openJournal(t testing.TB) *journal.Journal {
	t.Helper()
	j, err := journal.Open(journal.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

var nasInDirectory = uuid.UUID{0: 7, 15: 9}

// ownedNAS makes the test's NAS one of the directory.
func ownedNAS(s *radius.Server) {
	for _, n := range s.NASes.(radiustest.NASes) {
		n.Owner = &aaa.NAS{ID: nasInDirectory}
	}
}

// journalled returns what the journal holds, decoded.
func journalled(t testing.TB, j *journal.Journal) []aaa.Record {
	t.Helper()
	r, err := j.Reader(0)
	require.NoError(t, err)
	defer r.Close()
	var records []aaa.Record
	for {
		b, _, ok, err := r.TryNext()
		require.NoError(t, err)
		if !ok {
			return records
		}
		record, _ := decode(t, b)
		records = append(records, record)
	}
}

func TestAccountingFromRadclient(t *testing.T) {
	radclient := testserver.Program(t, "radclient")
	j := openJournal(t)
	s := radiustest.NewServer(t, &aaa.Accounting{Journal: j}, ownedNAS)
	for server, source := range map[string]string{s.Acct: "127.0.0.1", s.Acct6: "::1"} {
		for _, line := range []string{
			`Acct-Status-Type=Start,Acct-Session-Id=` + source + `,User-Name=alice,NAS-Identifier=n,NAS-Port=3`,
			`Acct-Status-Type=Interim-Update,Acct-Session-Id=` + source + `,User-Name=alice,NAS-Identifier=n,Acct-Session-Time=60,Acct-Input-Octets=5`,
			`Acct-Status-Type=Stop,Acct-Session-Id=` + source + `,User-Name=alice,NAS-IP-Address=192.0.2.1,Acct-Session-Time=90,Acct-Terminate-Cause=User-Request`,
			`Acct-Status-Type=Accounting-On,NAS-Identifier=n`,
		} {
			cmd := exec.CommandContext(t.Context(), radclient, "-x", "-r", "1", "-t", "5", server, "acct", radiustest.Secret)
			cmd.Stdin = strings.NewReader(line + "\n")
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "Received Accounting-Response")
		}
	}
	records := journalled(t, j)
	require.Len(t, records, 8)
	for _, r := range records {
		require.Equal(t, nasInDirectory, r.NASID)
		require.WithinDuration(t, time.Now(), r.ReceivedAt, time.Minute)
	}
	live := aaa.NewLiveSessions(aaa.LiveOptions{})
	feed(live, records...)
	for _, row := range liveRows(live) {
		require.Contains(t, []string{"127.0.0.1", "::1"}, row.AcctSessionID)
	}
}

func TestAccountingChecks(t *testing.T) {
	j := openJournal(t)
	s := radiustest.NewServer(t, &aaa.Accounting{Journal: j})
	nas := radiustest.NewNAS(t, "127.0.0.1")
	message := func(attributes string) *radius.Message {
		pairs, err := dictionary.Embedded().ParsePairs(attributes)
		require.NoError(t, err)
		wire, err := dictionary.Embedded().AppendWire(nil, pairs, nil)
		require.NoError(t, err)
		return &radius.Message{Code: radius.AccountingRequest, Attributes: wire}
	}
	const session = "Acct-Status-Type = Start, Acct-Session-Id = s"
	for name, c := range map[string]struct {
		attributes string
		answered   bool
	}{
		"by NAS-IP-Address":              {session + ", NAS-IP-Address = 192.0.2.1", true},
		"by NAS-IPv6-Address":            {session + ", NAS-IPv6-Address = 2001:db8::1", true},
		"by NAS-Identifier":              {session + ", NAS-Identifier = n", true},
		"On without Acct-Session-Id":     {"Acct-Status-Type = Accounting-On, NAS-Identifier = n", true},
		"a tunnel's":                     {"Acct-Status-Type = Tunnel-Link-Start, Acct-Session-Id = s, NAS-Identifier = n", true},
		"by the source address alone":    {session, true},
		"no Acct-Session-Id":             {"Acct-Status-Type = Start, NAS-Identifier = n", false},
		"no Acct-Status-Type":            {"Acct-Session-Id = s, NAS-Identifier = n", false},
		"an unknown Acct-Status-Type":    {"Acct-Status-Type = 4, Acct-Session-Id = s, NAS-Identifier = n", false},
		"an Acct-Status-Type out of use": {"Acct-Status-Type = 300, Acct-Session-Id = s, NAS-Identifier = n", false},
		"State":                          {session + ", NAS-Identifier = n, State = 0x01", false},
		"Reply-Message":                  {session + ", NAS-Identifier = n, Reply-Message = hello", false},
		"CHAP-Password":                  {session + ", NAS-Identifier = n, CHAP-Password = 0x0102030405060708090a0b0c0d0e0f1011", false},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(journalled(t, j))
			if c.answered {
				require.Equal(t, radius.AccountingResponse, nas.Exchange(s.Acct, message(c.attributes)).Code())
				require.Len(t, journalled(t, j), before+1)
				return
			}
			nas.Silent(s.Acct, nas.Sign(message(c.attributes)), 100*time.Millisecond)
			require.Len(t, journalled(t, j), before)
		})
	}
	t.Run("User-Password", func(t *testing.T) {
		m := message(session + ", NAS-Identifier = n")
		m.Add(radius.TypeUserPassword, make([]byte, 16))
		nas.Silent(s.Acct, nas.Sign(m), 100*time.Millisecond)
	})
}

// slowJournal keeps its records until the test says what became of them.
type slowJournal struct {
	mu      sync.Mutex
	err     error
	waiting []journal.Committed
	stats   journal.Stats
}

func (j *slowJournal) Append(_ []byte, c journal.Committed) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	j.waiting = append(j.waiting, c)
	return nil
}

func (j *slowJournal) Stats() journal.Stats { return j.stats }

func (j *slowJournal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.waiting)
}

// refuse makes Append fail, or not.
func (j *slowJournal) refuse(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
}

// finish ends what waits.
func (j *slowJournal) finish(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.waiting {
		c.Committed(1, err)
	}
	j.waiting = nil
}

// TestNoAnswerBeforeTheRecordIsDurable, and none at all if it cannot be: a repeat
// of the same octets is then tried anew.
func TestNoAnswerBeforeTheRecordIsDurable(t *testing.T) {
	j := &slowJournal{}
	s := radiustest.NewServer(t, &aaa.Accounting{Journal: j})
	nas := radiustest.NewNAS(t, "127.0.0.1")
	packet := nas.Sign(nas.On())

	nas.Send(s.Acct, packet)
	require.Eventually(t, func() bool { return j.count() == 1 }, 20*time.Second, time.Millisecond)
	nas.Send(s.Acct, packet) // in progress: not appended again
	require.Nil(t, nas.Receive(100*time.Millisecond))
	require.Equal(t, 1, j.count())
	j.finish(errors.New("no sync"))
	require.Nil(t, nas.Receive(100*time.Millisecond))

	j.refuse(journal.ErrFull)
	nas.Send(s.Acct, packet)
	require.Nil(t, nas.Receive(100*time.Millisecond))
	require.Zero(t, j.count())

	j.refuse(nil)
	nas.Send(s.Acct, packet)
	require.Eventually(t, func() bool { return j.count() == 1 }, 20*time.Second, time.Millisecond)
	j.finish(nil)
	answer := nas.Receive(20 * time.Second)
	require.NotNil(t, answer)
	require.Equal(t, radius.AccountingResponse, radius.Packet(answer).Code())
	require.Eventually(t, func() bool { // answered: the same octets, from the table
		nas.Send(s.Acct, packet)
		return bytes.Equal(answer, nas.Receive(100*time.Millisecond))
	}, 20*time.Second, time.Millisecond)
	require.Zero(t, j.count())
}

func TestAccountingReady(t *testing.T) {
	for name, c := range map[string]struct {
		stats journal.Stats
		ready bool
	}{
		"in health":     {journal.Stats{Bytes: 1 << 20, MaxBytes: 1 << 30}, true},
		"full":          {journal.Stats{Bytes: 1 << 30, MaxBytes: 1 << 30}, false},
		"device failed": {journal.Stats{MaxBytes: 1 << 30, Err: journal.ErrFailed}, false},
	} {
		a := aaa.Accounting{Journal: &slowJournal{stats: c.stats}}
		require.Equal(t, c.ready, a.Ready(), name)
	}
}

// underWay is how many requests exchanges has under way at a time.
const underWay = 64

// exchanges sends n different Interim-Updates to an accounting server with a real
// journal, underWay at a time, and reads the answers.
func exchanges(t testing.TB) func(n int) {
	s := radiustest.NewServer(t, &aaa.Accounting{Journal: openJournal(t)}, ownedNAS)
	conn, err := net.Dial("udp", s.Acct)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	nas := radiustest.NewNAS(t, "127.0.0.1")
	session := nas.Session("alice", "00000A1")
	session.CallingStationID, session.Port = "AA-BB-CC-00-11-22", 17
	session.FramedIPAddress = netip.MustParseAddr("10.1.2.3")
	packets := make([]radius.Packet, 256*100)
	for i := range packets {
		packets[i] = nas.Sign(session.Interim(radiustest.Usage{Input: uint64(i), Output: uint64(i)}))
	}
	buf := make([]byte, radius.MaxLength)
	sent := 0
	return func(n int) {
		for n > 0 {
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			now := min(n, underWay)
			for range now {
				if _, err := conn.Write(packets[sent%len(packets)]); err != nil {
					t.Fatal(err)
				}
				sent++
			}
			for range now {
				if _, err := conn.Read(buf); err != nil {
					t.Fatal(err)
				}
			}
			n -= now
		}
	}
}

// TestAccountingAllocatesNothing from the socket through the synced journal and back.
// A few allocations in thousands are the runtime's own.
func TestAccountingAllocatesNothing(t *testing.T) {
	exchange := exchanges(t)
	exchange(20 * 256) // every identifier several times, so that the table of duplicates is full
	const requests = 10_000
	var before, after runtime.MemStats
	runtime.GC()
	exchange(256) // what the collection emptied
	runtime.ReadMemStats(&before)
	exchange(requests)
	runtime.ReadMemStats(&after)
	mallocs := after.Mallocs - before.Mallocs
	t.Logf("%d allocations for %d requests", mallocs, requests)
	if aaa.RaceFactor == 1 { // the race detector makes sync.Pool lose some
		require.Less(t, mallocs, uint64(requests/100))
	}
}

// BenchmarkAccountingExchange is a request and its answer over loopback with a real
// journal, underWay of them at a time; the client's work is included.
func BenchmarkAccountingExchange(b *testing.B) {
	exchange := exchanges(b)
	exchange(256)
	b.ReportAllocs()
	b.ResetTimer()
	exchange(b.N)
}
