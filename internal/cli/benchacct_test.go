package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// ledger is a server that keeps what it has acknowledged.
type ledger struct {
	class  bool // put a Class into Access-Accepts
	silent int  // leave so many requests without an answer first

	mu      sync.Mutex
	records map[string]*ledgerRecord // by what the record means
	logins  int
	order   []string
}

// ledgerRecord is what the ledger knows of the copies of a record.
type ledgerRecord struct {
	packets                map[string]int // by Identifier and authenticator
	delays                 map[uint32]bool
	timestamp, class, time bool
}

func (l *ledger) ServeRADIUS(w *radius.Reply, r *radius.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Packet.Code() == radius.AccessRequest {
		l.logins++
		w.SetCode(radius.AccessAccept)
		if l.class {
			nas, _ := r.Packet.Attributes().String(radius.TypeNASIdentifier)
			port, _ := r.Packet.Attributes().Uint32(radius.TypeNASPort)
			w.AddString(radius.TypeClass, fmt.Sprintf("%s/%d", nas, port))
		}
		w.Send()
		return
	}
	l.record(r.Packet)
	if l.silent > 0 {
		l.silent--
		w.Discard(radius.DiscardNotRecorded)
		return
	}
	w.SetCode(radius.AccountingResponse)
	w.Send()
}

func (l *ledger) record(p radius.Packet) {
	a := p.Attributes()
	number := func(t radius.Type) uint64 {
		n, _ := a.Uint32(t)
		return uint64(n)
	}
	nas, _ := a.String(radius.TypeNASIdentifier)
	id, _ := a.String(radius.TypeAcctSessionID)
	user, _ := a.String(radius.TypeUserName)
	status := ackStatuses[uint32(number(radius.TypeAcctStatusType))]
	means := fmt.Sprintf("%s %s %s %d %s %d %d", nas, status, id, number(radius.TypeNASPort), user,
		number(radius.TypeAcctInputGigawords)<<32+number(radius.TypeAcctInputOctets),
		number(radius.TypeAcctOutputGigawords)<<32+number(radius.TypeAcctOutputOctets))
	if status == aaa.AcctOn || status == aaa.AcctOff {
		means = fmt.Sprintf("%s %s", nas, status)
	}
	record := l.records[means]
	if record == nil {
		record = &ledgerRecord{packets: map[string]int{}, delays: map[uint32]bool{}}
		l.records[means] = record
		l.order = append(l.order, means)
	}
	record.packets[string(p[1:20])]++
	record.delays[uint32(number(radius.TypeAcctDelayTime))] = true
	record.timestamp = a.Has(radius.TypeEventTimestamp)
	record.time = a.Has(radius.TypeAcctSessionTime)
	class, _ := a.String(radius.TypeClass)
	record.class = class == fmt.Sprintf("%s/%d", nas, number(radius.TypeNASPort))
}

func newLedger(t *testing.T, l *ledger) (auth, acct string) {
	t.Helper()
	l.records = map[string]*ledgerRecord{}
	s := radiustest.NewServer(t, l)
	auths, accts := s.Addrs()
	return auths[0].String(), accts[0].String()
}

// kept returns what was recorded. The load must have ended.
func (l *ledger) kept() map[string]*ledgerRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

// inOrder returns what was recorded, in the order in which it came first.
func (l *ledger) inOrder() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order
}

func (l *ledger) loggedIn() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logins
}

// means is what ledger.record makes of the record.
func (r *ackRecord) means() string {
	if r.status == aaa.AcctOn || r.status == aaa.AcctOff {
		return fmt.Sprintf("%s %s", r.nas, r.status)
	}
	return fmt.Sprintf("%s %s %s %d %s %d %d", r.nas, r.status, r.acctSessionID, r.port, r.username, r.input, r.output)
}

func readLog(t *testing.T, path string) (list []ackRecord) {
	t.Helper()
	require.NoError(t, readAckLog(path, func(r *ackRecord) error {
		list = append(list, *r)
		return nil
	}))
	return list
}

func TestBenchAcctLogsWhatWasAcknowledged(t *testing.T) {
	l := &ledger{}
	_, acct := newLedger(t, l)
	s := newSite(t, "")
	log := filepath.Join(s.dir, "acknowledged.csv")
	report := s.object("bench", "acct", "--server", acct, "--sessions", "100", "--interims", "2", "--concurrency", "7",
		"--user", "=u{n}", "--users", "10", "--nas", "3", "--log", log)
	assert.Equal(t, 400.0, report["answers"])
	records := readLog(t, log)
	assert.Len(t, records, 400)
	perSession := map[string][]aaa.AcctStatus{}
	logged := map[string]bool{}
	for _, r := range records {
		logged[r.means()] = true
		session := fmt.Sprint(r.nas, r.port)
		perSession[session] = append(perSession[session], r.status)
		assert.WithinDuration(t, time.Now(), r.acknowledged, time.Minute)
		assert.True(t, r.framedIP.Is4())
		assert.Equal(t, r.status != aaa.AcctStart, r.input > 0)
	}
	assert.Equal(t, slices.Sorted(maps.Keys(l.kept())), slices.Sorted(maps.Keys(logged)), "the log is what the server has acknowledged")
	assert.Len(t, perSession, 100)
	for id, order := range perSession {
		assert.Equal(t, []aaa.AcctStatus{aaa.AcctStart, aaa.AcctInterim, aaa.AcctInterim, aaa.AcctStop}, order, id)
	}
}

func TestBenchAcctFinishesItsSessions(t *testing.T) {
	l := &ledger{}
	_, acct := newLedger(t, l)
	s := newSite(t, "")
	log := filepath.Join(s.dir, "acknowledged.csv")
	s.ok("bench", "acct", "--server", acct, "--duration", "50ms", "--open", "500", "--interims", "20", "--log", log)
	counts := map[aaa.AcctStatus]int{}
	for _, r := range readLog(t, log) {
		counts[r.status]++
	}
	assert.GreaterOrEqual(t, counts[aaa.AcctStart], 100)
	assert.Equal(t, counts[aaa.AcctStart], counts[aaa.AcctStop])
}

func TestBenchAcctDependsOnTheSeedAlone(t *testing.T) {
	runs := make([]*ledger, 2)
	for i := range runs {
		runs[i] = &ledger{}
		_, acct := newLedger(t, runs[i])
		newSite(t, "").ok("bench", "acct", "--server", acct, "--sessions", "60", "--seed", "7", "--nas", "2", "--loss", "0.1",
			"--wait", "10ms", "--concurrency", []string{"4", "16"}[i])
	}
	assert.NotEmpty(t, runs[0].kept())
	assert.Equal(t, slices.Sorted(maps.Keys(runs[0].kept())), slices.Sorted(maps.Keys(runs[1].kept())))
}

func TestBenchAcctThroughABadNetwork(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	_, acct := newLedger(t, l)
	s := newSite(t, "")
	log := filepath.Join(s.dir, "acknowledged.csv")
	report := s.object("bench", "acct", "--server", acct, "--sessions", "300", "--interims", "3", "--concurrency", "64", "--nas", "3",
		"--loss", "0.2", "--repeat", "0.2", "--wait", "20ms", "--max-wait", "40ms", "--log", log)
	assert.Equal(t, 1500.0, report["answers"], "every request is answered in the end")
	for _, counted := range []string{"retransmissions", "repeated_packets", "dropped_packets"} {
		assert.Greater(t, report[counted], 100.0, counted)
	}
	assert.Zero(t, report["lost"])
	assert.Len(t, readLog(t, log), 1500)
	assert.Len(t, l.kept(), 1500, "however often a record comes, it means the same")
}

func TestBenchAcctRetransmissions(t *testing.T) {
	for clock, c := range map[string]struct{ timestamp, delay bool }{
		"timestamp": {true, false}, "delay": {false, true}, "both": {true, true},
	} {
		t.Run(clock, func(t *testing.T) {
			t.Parallel()
			l := &ledger{silent: 3}
			_, acct := newLedger(t, l)
			newSite(t, "").ok("bench", "acct", "--server", acct, "--sessions", "1", "--interims", "0", "--clock", clock, "--wait", "400ms")
			require.Len(t, l.inOrder(), 2)
			start := l.kept()[l.inOrder()[0]]
			assert.Equal(t, c.timestamp, start.timestamp)
			assert.Equal(t, !c.timestamp, start.time, "a Start without Event-Timestamp needs what tells it from another")
			if c.delay {
				assert.Greater(t, len(start.delays), 1, "Acct-Delay-Time tells how long it has been tried")
				assert.Len(t, start.packets, len(start.delays), "and changes the Identifier and the authenticator")
			} else {
				assert.Len(t, start.packets, 1, "the same octets again")
			}
		})
	}
}

func TestBenchAcctReboots(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	_, acct := newLedger(t, l)
	s := newSite(t, "")
	log := filepath.Join(s.dir, "acknowledged.csv")
	s.ok("bench", "acct", "--server", acct, "--sessions", "60", "--nas", "2", "--sockets", "1", "--reboot", "20", "--log", log)
	starts := map[string]int{} // by NAS, Acct-Session-Id and user
	last := map[string]time.Time{}
	boots := map[aaa.AcctStatus]int{}
	for _, r := range readLog(t, log) {
		switch r.status {
		case aaa.AcctOn, aaa.AcctOff:
			boots[r.status]++
			if r.status == aaa.AcctOn {
				assert.True(t, r.event.After(last[r.nas]), "an Accounting-On is later than what was before it")
			}
		case aaa.AcctStart:
			starts[fmt.Sprint(r.nas, r.acctSessionID, r.username)]++
		}
		last[r.nas] = r.event
	}
	assert.GreaterOrEqual(t, boots[aaa.AcctOn], 2)
	assert.NotZero(t, boots[aaa.AcctOff])
	assert.Less(t, boots[aaa.AcctOff], boots[aaa.AcctOn], "some crash")
	repeated := 0
	for _, n := range starts {
		repeated += n - 1
	}
	assert.NotZero(t, repeated, "Acct-Session-Ids begin again")
}

func TestBenchAcctFailsOverAndSpreads(t *testing.T) {
	t.Parallel()
	first, second := &ledger{silent: 1 << 30}, &ledger{}
	_, silent := newLedger(t, first)
	_, acct := newLedger(t, second)
	s := newSite(t, "")
	report := s.object("bench", "acct", "--server", silent, "--server", acct, "--sessions", "20", "--nas", "1", "--wait", "20ms")
	assert.Equal(t, 80.0, report["answers"])
	assert.Len(t, second.kept(), 80)
	assert.Less(t, len(first.kept()), 40, "a NAS stays with the server that answers")

	first, second = &ledger{}, &ledger{}
	_, one := newLedger(t, first)
	_, two := newLedger(t, second)
	s.ok("bench", "acct", "--server", one, "--server", two, "--sessions", "20", "--nas", "1", "--spread")
	assert.Len(t, first.kept(), 40)
	assert.Len(t, second.kept(), 40)
}

func TestBenchAcctLogsIn(t *testing.T) {
	l := &ledger{class: true}
	auth, acct := newLedger(t, l)
	s := newSite(t, "")
	report := s.object("bench", "acct", "--server", acct, "--auth-server", auth, "--login", "--sessions", "20")
	assert.Equal(t, 100.0, report["answers"])
	assert.Equal(t, 20, l.loggedIn())
	assert.Len(t, l.kept(), 80)
	for means, record := range l.kept() {
		assert.True(t, record.class, "%s returns the Class", means)
	}
}

func TestBenchAcctUsage(t *testing.T) {
	s := newSite(t, "")
	for args, want := range map[string]string{
		"--interims -1":                              "--interims",
		"--loss 2":                                   "--loss",
		"--clock sundial":                            "--clock",
		"--nas 1 --concurrency 500":                  "give at least --nas 3",
		"--auth-server 127.0.0.1":                    "is for --login",
		"--server 127.0.0.1 --server ::2 --secret x": "is not on this machine",
	} {
		assert.Contains(t, s.fails(exitUsage, append([]string{"bench", "acct"}, strings.Fields(args)...)...), want, args)
	}
}
