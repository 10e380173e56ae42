package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/radius"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a store in memory that can be down, slow, or refuse a record.
type sink struct {
	name string

	mu      sync.Mutex
	down    error
	refuses string // an Acct-Session-Id
	gate    chan struct{}
	cursor  journal.Position
	order   []string // Acct-Session-Id and status, as they came
	records map[uuid.UUID]aaa.Record
	batches []int
	closed  []aaa.Closing
	hurried bool // was not to let packets in
}

func newSink(name string) *sink { return &sink{name: name, records: map[uuid.UUID]aaa.Record{}} }

func (s *sink) Name() string { return s.name }

func (s *sink) Cursor(context.Context) (journal.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor, s.down
}

func (s *sink) Write(ctx context.Context, b *ingest.Batch) error {
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurried = s.hurried || aaa.PaceOf(ctx) == nil
	if s.down != nil {
		return s.down
	}
	for _, r := range b.Records {
		if s.refuses != "" && r.AcctSessionID == s.refuses {
			return errors.New("value out of range")
		}
	}
	for _, r := range b.Records {
		if _, again := s.records[r.ID]; !again {
			s.order = append(s.order, r.AcctSessionID)
		}
		s.records[r.ID] = r
	}
	s.cursor = b.End
	s.batches = append(s.batches, len(b.Records))
	return nil
}

func (s *sink) CloseSessions(_ context.Context, closings []aaa.Closing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down != nil {
		return s.down
	}
	s.closed = append(s.closed, closings...)
	return nil
}

func (s *sink) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *sink) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// sizes are those of the batches that were taken.
func (s *sink) sizes() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

func (s *sink) held() map[uuid.UUID]aaa.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.records)
}

// world is a journal, what reads it, and a way to stop and start again.
type world struct {
	t          *testing.T
	journal    *journal.Journal
	log        *lockedBuffer
	registry   *prometheus.Registry
	quarantine string
	live       *aaa.LiveSessions
	in         *ingest.Ingest
	stop       context.CancelFunc
	done       chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T, options ...func(*journal.Options)) *world {
	opt := journal.Options{Dir: t.TempDir()}
	for _, o := range options {
		o(&opt)
	}
	j, err := journal.Open(opt)
	require.NoError(t, err)
	w := &world{t: t, journal: j, log: new(lockedBuffer), quarantine: filepath.Join(t.TempDir(), "quarantine.jsonl")}
	t.Cleanup(func() {
		w.halt()
		require.NoError(t, j.Close())
	})
	return w
}

// start runs an Ingest with the sinks.
func (w *world) start(sinks []ingest.Sink, options ...func(*ingest.Options, *aaa.LiveOptions)) {
	w.t.Helper()
	w.registry = prometheus.NewPedanticRegistry()
	liveOpt := aaa.LiveOptions{Registerer: w.registry}
	opt := ingest.Options{
		Journal: w.journal, Decoder: aaa.NewDecoder(dictionary.Embedded()), Sinks: sinks, Quarantine: w.quarantine,
		MaxBackoff: 5 * time.Millisecond, BatchDelay: time.Millisecond, Registerer: w.registry, Logger: logger(w.log),
	}
	for _, o := range options {
		o(&opt, &liveOpt)
	}
	w.live = aaa.NewLiveSessions(liveOpt)
	opt.Live = w.live
	in, err := ingest.New(opt)
	require.NoError(w.t, err)
	w.in = in
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.done = cancel, make(chan struct{})
	done := w.done
	go func() {
		defer close(done)
		if err := in.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
}

// halt ends the Ingest and waits for it.
func (w *world) halt() {
	if w.stop != nil {
		w.stop()
		<-w.done
		w.stop = nil
	}
}

// append puts a record into the journal and waits until it is committed.
func (w *world) append(b []byte) journal.Position {
	w.t.Helper()
	committed := make(chan journal.Position, 1)
	require.NoError(w.t, w.journal.Append(b, journal.CommittedFunc(func(end journal.Position, err error) {
		if err != nil {
			w.t.Error(err)
		}
		committed <- end
	})))
	return <-committed
}

// send puts a record of a session into the journal.
func (w *world) send(status uint32, id string, more ...func(*[]byte)) journal.Position {
	w.t.Helper()
	return w.append(record(status, id, more...))
}

func record(status uint32, id string, more ...func(*[]byte)) []byte {
	packet := radius.AppendHeader(nil, radius.AccountingRequest, 1, new([16]byte))
	packet = radius.AppendUint32(packet, radius.TypeAcctStatusType, status)
	packet = radius.AppendString(packet, radius.TypeNASIdentifier, "nas")
	if id != "" {
		packet = radius.AppendString(packet, radius.TypeAcctSessionID, id)
		packet = radius.AppendString(packet, radius.TypeUserName, "alice")
	}
	for _, f := range more {
		f(&packet)
	}
	radius.SetLength(packet)
	e := aaa.Envelope{Received: time.Now(), Source: netip.MustParseAddr("192.0.2.1"), Packet: packet}
	return e.AppendTo(nil)
}

// event is when it happened, by Event-Timestamp.
func event(unix int) func(*[]byte) {
	return func(b *[]byte) { *b = radius.AppendUint32(*b, radius.TypeEventTimestamp, uint32(1_760_000_000+unix)) }
}

func (w *world) eventually(condition func() bool, what string) {
	w.t.Helper()
	require.Eventually(w.t, condition, 20*time.Second, time.Millisecond, what)
}

// ids are n Acct-Session-Ids.
func ids(from, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("s%03d", from+i))
	}
	return list
}

func (w *world) sendAll(ids []string) {
	for _, id := range ids {
		w.send(radius.AcctStart, id)
	}
}

func (w *world) quarantined() []ingest.Quarantined {
	w.t.Helper()
	b, err := os.ReadFile(w.quarantine)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(w.t, err)
	var list []ingest.Quarantined
	for line := range bytes.Lines(b) {
		var q ingest.Quarantined
		require.NoError(w.t, json.Unmarshal(line, &q))
		list = append(list, q)
	}
	return list
}

func TestRecordsReachLiveSessionsAndSinks(t *testing.T) {
	w := newWorld(t)
	sql, history := newSink("sql"), newSink("history")
	w.sendAll(ids(0, 20))
	w.start([]ingest.Sink{sql, history})
	w.sendAll(ids(20, 20))
	w.eventually(func() bool { return w.live.OpenCount() == 40 }, "live sessions")
	for _, s := range []*sink{sql, history} {
		w.eventually(func() bool { return slices.Equal(s.taken(), ids(0, 40)) }, s.name)
	}
	require.True(t, w.in.Loaded())
	for id, r := range sql.held() {
		require.Equal(t, r, history.held()[id])
		s, ok := w.live.Session(r.SessionID)
		require.True(t, ok)
		require.Equal(t, r.AcctSessionID, s.AcctSessionID)
	}
	w.eventually(func() bool { return w.journal.Stats().Cursors["history"] == w.journal.End() }, "cursor")
	sql.set(func() { require.False(t, sql.hurried, "packets have the processor first") })
}

func TestRecordsHaveThePlanOfTheirUser(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) {
		o.PlanOf = func(username string) string { return "plan of " + username }
	})
	w.send(radius.AcctStart, "s1")
	w.send(uint32(aaa.AcctOn), "")
	w.eventually(func() bool { return len(sql.held()) == 2 }, "taken")
	for _, r := range sql.held() {
		if r.Status == aaa.AcctOn {
			require.Empty(t, r.Plan, "of no user")
			continue
		}
		require.Equal(t, "plan of alice", r.Plan)
		s, ok := w.live.Session(r.SessionID)
		require.True(t, ok)
		require.Equal(t, "plan of alice", s.Plan)
	}
}

func TestASinkThatIsDown(t *testing.T) {
	w := newWorld(t, func(o *journal.Options) { o.SegmentBytes, o.GroupBytes, o.MaxRecord = 16<<10, 8<<10, 4<<10 })
	sql, history := newSink("sql"), newSink("history")
	history.down = errors.New("connection refused")
	w.start([]ingest.Sink{sql, history})
	w.sendAll(ids(0, 300))
	w.eventually(func() bool { return len(sql.taken()) == 300 }, "the other one goes on")
	require.Empty(t, history.taken())
	require.Zero(t, w.journal.Stats().Oldest, "the journal keeps what one has not taken")
	require.Positive(t, w.gauge("radiusd_ingest_lag_records", "history"))
	// What a sink has taken is noted after its Write has returned.
	w.eventually(func() bool { return w.gauge("radiusd_ingest_lag_bytes", "sql") == 0 }, "the other one is not behind")

	history.set(func() { history.down = nil })
	w.eventually(func() bool { return slices.Equal(history.taken(), ids(0, 300)) }, "it catches up")
	w.eventually(func() bool { return w.journal.Stats().Oldest > 0 }, "segments are deleted")
	// The sink says so after the write, and so maybe after the last segment went.
	w.eventually(func() bool { return strings.Contains(w.log.String(), "goes on") }, "it says that it goes on")
	require.Equal(t, 1, strings.Count(w.log.String(), "held up"), "logged once, not for every try:\n%s", w.log)
	require.Equal(t, 1, strings.Count(w.log.String(), "goes on"))
	require.Positive(t, w.gauge("radiusd_ingest_errors_total", "history"))
	require.Empty(t, w.quarantined())
}

func TestBatchesGrowWhileTheSinkIsSlow(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	sql.gate = make(chan struct{})
	w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.BatchRecords = 64 })
	w.sendAll(ids(0, 200))
	close(sql.gate)
	w.eventually(func() bool { return len(sql.taken()) == 200 }, "all")
	sql.set(func() {
		require.Equal(t, 64, slices.Max(sql.batches))
		require.Less(t, len(sql.batches), 20)
	})
}

func TestUndecodableRecordsAreQuarantined(t *testing.T) {
	w := newWorld(t)
	sql, history := newSink("sql"), newSink("history")
	w.start([]ingest.Sink{sql, history})
	w.send(radius.AcctStart, "a")
	end := w.append([]byte("no envelope"))
	w.send(radius.AcctStart, "b")
	w.eventually(func() bool { return slices.Equal(sql.taken(), []string{"a", "b"}) }, "sql")
	w.eventually(func() bool { return slices.Equal(history.taken(), []string{"a", "b"}) }, "history")
	last := w.append([]byte("again"))
	w.eventually(func() bool { return w.journal.Stats().Cursors["sql"] == last }, "the cursor passes it too")
	list := w.quarantined()
	require.Len(t, list, 2)
	require.Equal(t, "no envelope", string(list[0].Envelope))
	require.Equal(t, end, list[0].End)
	require.Equal(t, 2, w.live.OpenCount())
	require.InDelta(t, 2, w.gauge("radiusd_ingest_quarantined_total", "sql"), 0)
}

func TestARecordThatASinkCannotTake(t *testing.T) {
	w := newWorld(t)
	sql, history := newSink("sql"), newSink("history")
	sql.refuses = "s017"
	sql.gate = make(chan struct{})
	w.start([]ingest.Sink{sql, history})
	w.sendAll(ids(0, 40))
	close(sql.gate)
	want := slices.DeleteFunc(ids(0, 40), func(id string) bool { return id == "s017" })
	w.eventually(func() bool { return slices.Equal(sql.taken(), want) }, "sql goes on behind it")
	w.eventually(func() bool { return slices.Equal(history.taken(), ids(0, 40)) }, "history takes it")
	list := w.quarantined()
	require.Len(t, list, 1)
	require.Equal(t, "sql", list[0].Sink)
	require.Equal(t, "value out of range", list[0].Reason)
	var r aaa.Record
	_, err := aaa.NewDecoder(dictionary.Embedded()).Decode(list[0].Envelope, &r)
	require.NoError(t, err)
	require.Equal(t, "s017", r.AcctSessionID)
}

func TestRestarts(t *testing.T) {
	w := newWorld(t)
	sql, history := newSink("sql"), newSink("history")
	for round := range 4 {
		w.start([]ingest.Sink{sql, history})
		w.sendAll(ids(round*30, 30))
		if round%2 == 1 {
			// As after a power cut before the cursor was stored: it goes back.
			w.halt()
			history.set(func() { history.cursor = 0 })
		}
		w.halt()
	}
	w.start([]ingest.Sink{sql, history})
	for _, s := range []*sink{sql, history} {
		w.eventually(func() bool { return slices.Equal(s.taken(), ids(0, 120)) }, s.name)
		require.Len(t, s.held(), 120)
	}
}

func TestDrain(t *testing.T) {
	t.Run("everything is written before Run returns", func(t *testing.T) {
		w := newWorld(t)
		sql := newSink("sql")
		sql.gate = make(chan struct{})
		w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.BatchRecords, o.DrainTimeout = 7, time.Hour })
		w.sendAll(ids(0, 50))
		w.stop()
		close(sql.gate)
		w.halt()
		require.Equal(t, ids(0, 50), sql.taken())
	})
	t.Run("a sink that is down is not waited for", func(t *testing.T) {
		w := newWorld(t)
		sql, history := newSink("sql"), newSink("history")
		sql.down = errors.New("down")
		w.start([]ingest.Sink{sql, history}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.DrainTimeout = time.Hour })
		w.sendAll(ids(0, 10))
		w.halt()
		require.Equal(t, ids(0, 10), history.taken())
	})
	t.Run("nor is one that hangs, beyond the limit", func(t *testing.T) {
		w := newWorld(t)
		sql := newSink("sql")
		sql.gate = make(chan struct{})
		w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.DrainTimeout = 10 * time.Millisecond })
		w.sendAll(ids(0, 3))
		w.halt()
		require.Empty(t, sql.taken())
	})
}

// TestSinksAgreeWithTheLiveSessions when an Accounting-On comes late: a sink that
// resolved records by itself would give a session two ids.
func TestSinksAgreeWithTheLiveSessions(t *testing.T) {
	w := newWorld(t)
	sql, history := newSink("sql"), newSink("history")
	history.gate = make(chan struct{})
	w.start([]ingest.Sink{sql, history})
	w.send(radius.AcctStart, "a", event(110))
	w.eventually(func() bool { return len(sql.taken()) == 1 }, "the Start is there before the On")
	w.send(radius.AcctAccountingOn, "", event(100))
	w.send(radius.AcctInterimUpdate, "a", event(410))
	close(history.gate)
	w.eventually(func() bool { return len(sql.taken()) == 3 && len(history.taken()) == 3 }, "all")
	w.halt()
	w.start([]ingest.Sink{sql, history})
	w.send(radius.AcctStop, "a", event(500))
	w.eventually(func() bool { return len(sql.taken()) == 4 && len(history.taken()) == 4 }, "after a restart")
	for _, s := range []*sink{sql, history} {
		sessions := map[uuid.UUID]int{}
		for _, r := range s.held() {
			if r.Status != aaa.AcctOn {
				sessions[r.SessionID]++
			}
		}
		require.Len(t, sessions, 1, s.name)
	}
}

func TestLapsedSessionsAreClosedInTheSinks(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	w.start([]ingest.Sink{sql, plain{newSink("plain")}}, func(o *ingest.Options, l *aaa.LiveOptions) {
		o.SweepInterval, l.Liveness = 100*time.Microsecond, time.Millisecond
	})
	w.send(radius.AcctStart, "a")
	w.eventually(func() bool {
		sql.mu.Lock()
		defer sql.mu.Unlock()
		return len(sql.closed) == 1
	}, "closing")
	require.Zero(t, w.live.OpenCount())
	for _, r := range sql.held() {
		sql.set(func() { require.Equal(t, aaa.Closing{SessionID: r.SessionID, StoppedAt: r.EventTime}, sql.closed[0]) })
	}
}

// plain is a sink that cannot be told of closings.
type plain struct{ s *sink }

func (p plain) Name() string                                         { return p.s.Name() }
func (p plain) Cursor(ctx context.Context) (journal.Position, error) { return p.s.Cursor(ctx) }
func (p plain) Write(ctx context.Context, b *ingest.Batch) error     { return p.s.Write(ctx, b) }

func TestACursorThatTheJournalDoesNotKnow(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	sql.cursor = 1 << 40
	w.send(radius.AcctStart, "a")
	w.start([]ingest.Sink{sql})
	w.eventually(func() bool { return slices.Equal(sql.taken(), []string{"a"}) }, "from the oldest record on")
	require.Contains(t, w.log.String(), "does not hold")
	require.InDelta(t, 1, w.gauge("radiusd_ingest_gaps_total", ""), 0)
	sql.set(func() {
		require.Equal(t, w.journal.End(), sql.cursor, "it must not be met again when the journal has grown so far")
	})
}

func TestLiveSessionsAreLoadedFirst(t *testing.T) {
	w := newWorld(t)
	sql := newSink("sql")
	store := &sessions{err: errors.New("starting up")}
	w.send(radius.AcctStart, "a")
	w.start([]ingest.Sink{sql}, func(o *ingest.Options, _ *aaa.LiveOptions) { o.Sessions = store })
	w.eventually(func() bool { return strings.Contains(w.log.String(), "starting up") }, "tries")
	require.False(t, w.in.Loaded())
	require.Empty(t, sql.taken(), "nothing is resolved before the boots are known")
	store.set(nil)
	w.eventually(func() bool { return w.in.Loaded() && slices.Equal(sql.taken(), []string{"a"}) }, "goes on")
	require.Equal(t, 2, w.live.OpenCount())
}

// sessions is a SessionStore with one open session.
type sessions struct {
	mu  sync.Mutex
	err error
}

func (s *sessions) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *sessions) EachSession(_ context.Context, _ time.Time, fn func(*aaa.Session) error) error {
	now := time.Now()
	return fn(&aaa.Session{ID: uuid.UUID{9}, Username: "bob", NASAddr: netip.MustParseAddr("192.0.2.1"), StartedAt: now, UpdatedAt: now})
}

func (s *sessions) Boots(context.Context, time.Time) ([]aaa.Boot, error) { return nil, nil }

func (s *sessions) EachUsage(context.Context, []time.Time, func(aaa.DailyUsage) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := ingest.New(ingest.Options{})
	require.Error(t, err)
	w := newWorld(t)
	_, err = ingest.New(ingest.Options{
		Journal: w.journal, Decoder: aaa.NewDecoder(dictionary.Embedded()), Live: aaa.NewLiveSessions(aaa.LiveOptions{}),
		Sinks: []ingest.Sink{newSink("a"), newSink("a")}, Quarantine: w.quarantine,
	})
	require.ErrorContains(t, err, `two sinks are named "a"`)
}

// A journal does not begin at zero, but behind any that was there before.
func TestLagBeforeTheCursorIsKnown(t *testing.T) {
	w := newWorld(t, func(o *journal.Options) { o.Begin = 1 << 40 })
	sql := newSink("sql")
	sql.down = errors.New("connection refused")
	w.start([]ingest.Sink{sql})
	w.sendAll(ids(0, 3))
	require.InDelta(t, 300, w.gauge("radiusd_ingest_lag_bytes", "sql"), 200)
	require.Less(t, w.gauge("radiusd_ingest_live_lag_bytes", ""), 1000.0)
}

// gauge returns the value of a gauge or counter for a sink.
func (w *world) gauge(name, sink string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (sink == "" || m.GetLabel()[0].GetValue() == sink) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	require.Failf(w.t, "no metric", "%s{sink=%q}", name, sink)
	return 0
}
