package aaa

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
	"radiusd/radius"
	"radiusd/radius/radiustest"
)

// fakeStore is a DirectoryStore and AuthRecordStore in memory.
type fakeStore struct {
	mu      sync.Mutex
	users   map[uuid.UUID]User
	plans   map[uuid.UUID]Plan
	groups  map[uuid.UUID]Group
	nases   map[uuid.UUID]NAS
	changes []Change
	expired ChangeCursor // a cursor that is too old
	down    bool
	reads   int // of the whole
	records []AuthRecord
}

var errStoreDown = errors.New("connection refused")

func newFakeStore() *fakeStore {
	return &fakeStore{users: map[uuid.UUID]User{}, plans: map[uuid.UUID]Plan{}, groups: map[uuid.UUID]Group{}, nases: map[uuid.UUID]NAS{}}
}

func (s *fakeStore) lock() (unlock func(), err error) {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return func() {}, errStoreDown
	}
	return s.mu.Unlock, nil
}

func (s *fakeStore) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *fakeStore) changed(entity Entity, id uuid.UUID) {
	s.changes = append(s.changes, Change{entity, id})
}

func (s *fakeStore) putUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.ID == uuid.Nil {
		u.ID = uuid.Must(uuid.NewV7())
	}
	s.users[u.ID] = u
	s.changed(EntityUser, u.ID)
	return u
}

func (s *fakeStore) deleteUser(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, id)
	s.changed(EntityUser, id)
}

func (s *fakeStore) putPlan(p Plan) Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	s.plans[p.ID] = p
	s.changed(EntityPlan, p.ID)
	return p
}

func (s *fakeStore) putGroup(g Group) Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.ID == uuid.Nil {
		g.ID = uuid.Must(uuid.NewV7())
	}
	s.groups[g.ID] = g
	s.changed(EntityGroup, g.ID)
	return g
}

func (s *fakeStore) putNAS(n NAS) NAS {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.ID == uuid.Nil {
		n.ID = uuid.Must(uuid.NewV7())
	}
	s.nases[n.ID] = n
	s.changed(EntityNAS, n.ID)
	return n
}

func (s *fakeStore) deleteNAS(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nases, id)
	s.changed(EntityNAS, id)
}

func (s *fakeStore) ChangeCursor(context.Context) (ChangeCursor, error) {
	unlock, err := s.lock()
	defer unlock()
	return ChangeCursor(strconv.Itoa(len(s.changes))), err
}

func (s *fakeStore) Changes(_ context.Context, after ChangeCursor) ([]Change, ChangeCursor, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return nil, "", err
	}
	if after == s.expired && after != "" {
		return nil, "", ErrCursorExpired
	}
	n, err := strconv.Atoi(string(after))
	if err != nil {
		return nil, "", err
	}
	return s.changes[n:], ChangeCursor(strconv.Itoa(len(s.changes))), nil
}

func listOf[T any](s *fakeStore, of map[uuid.UUID]T) ([]T, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return nil, err
	}
	var list []T
	for _, v := range of {
		list = append(list, v)
	}
	return list, nil
}

func (s *fakeStore) Plans(context.Context) ([]Plan, error)   { return listOf(s, s.plans) }
func (s *fakeStore) Groups(context.Context) ([]Group, error) { return listOf(s, s.groups) }
func (s *fakeStore) NASes(context.Context) ([]NAS, error)    { return listOf(s, s.nases) }

func (s *fakeStore) EachUser(_ context.Context, fn func(*User) error) error {
	users, err := listOf(s, s.users)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.reads++
	s.mu.Unlock()
	for i := range users {
		if err := fn(&users[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeStore) UsersByID(_ context.Context, ids []uuid.UUID) ([]User, error) {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return nil, err
	}
	var list []User
	for _, id := range ids {
		if u, ok := s.users[id]; ok {
			list = append(list, u)
		}
	}
	return list, nil
}

func (s *fakeStore) AppendAuthRecords(_ context.Context, batch *AuthBatch) error {
	unlock, err := s.lock()
	defer unlock()
	if err != nil {
		return err
	}
	s.records = append(s.records, batch.Records()...)
	return nil
}

// fakeLimits counts nothing by itself.
type fakeLimits struct {
	mu       sync.Mutex
	used     map[Period]Usage
	open     int // places that are taken
	reserved []Reservation
	released []Nonce
	waits    bool // fixed before the first request
}

func (l *fakeLimits) Reserve(r Reservation) Grant {
	l.mu.Lock()
	defer l.mu.Unlock()
	var g Grant
	for p := range r.Quotas {
		if r.Quotas[p].Limits() {
			g.Used[p] = l.used[Period(p)]
			if r.Quotas[p].UsedUp(g.Used[p]) {
				return g
			}
		}
	}
	if r.Limit > 0 {
		r.AcctSessionID, r.NASPortID, r.CallingStationID = slices.Clone(r.AcctSessionID), slices.Clone(r.NASPortID), slices.Clone(r.CallingStationID)
		l.reserved = append(l.reserved, r)
		if l.open >= r.Limit {
			return g
		}
		l.open++
	}
	g.Reserved, g.Nonce = true, r.Nonce
	return g
}

func (l *fakeLimits) Release(_ string, nonce Nonce) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.released = append(l.released, nonce)
}

func (l *fakeLimits) Waits() bool { return l.waits }

// releases lists the places that were given back.
func (l *fakeLimits) releases() []Nonce {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.released)
}

// reservations lists what was asked for.
func (l *fakeLimits) reservations() []Reservation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.reserved)
}

// set says what is used and how many places are taken.
func (l *fakeLimits) set(used map[Period]Usage, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used, l.open = used, open
}

// testClock is a time that tests set while a server reads it.
type testClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// world is a server with everything around it, for one test.
type world struct {
	t         testing.TB
	deferred  atomic.Int32 // requests that were deferred
	store     *fakeStore
	directory *Directory
	limits    *fakeLimits
	access    *Access
	server    *radiustest.Server
	client    *radius.Client
	log       *safeBuffer
	registry  *prometheus.Registry
	clock     testClock
	nas       NAS
	decided   [methodCount][reasonCount]float64 // seen by counted
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const testSecret = "testing123"

// monday is a Monday noon.
var monday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, options ...func(*AccessOptions)) *world {
	t.Helper()
	w := &world{t: t, store: newFakeStore(), limits: &fakeLimits{used: map[Period]Usage{}}, log: &safeBuffer{}, registry: prometheus.NewRegistry()}
	w.clock.set(monday)
	w.nas = w.store.putNAS(NAS{
		Name: "local", Prefix: netip.MustParsePrefix("127.0.0.1/32"), Secret: []byte(testSecret),
		RequireMessageAuthenticator: radius.RequireNo,
	})
	w.store.putNAS(NAS{
		Name: "local6", Prefix: netip.MustParsePrefix("::1/128"), Secret: []byte(testSecret),
		RequireMessageAuthenticator: radius.RequireNo,
	})
	logger := slog.New(slog.NewTextHandler(w.log, nil))
	dict := dictionary.Embedded()
	var err error
	w.directory, err = NewDirectory(DirectoryOptions{Store: w.store, Dictionary: dict, Logger: logger, Registerer: w.registry})
	require.NoError(t, err)
	require.NoError(t, w.directory.Load(t.Context()))
	templates, err := LoadTemplates(dict)
	require.NoError(t, err)
	o := AccessOptions{
		Directory: w.directory, Dictionary: dict, Templates: templates, Limits: w.limits,
		RejectDelay: -1, Now: w.clock.now, Logger: logger, Registerer: w.registry,
	}
	for _, option := range options {
		option(&o)
	}
	w.access, err = NewAccess(o)
	require.NoError(t, err)
	again := w.access.deferred
	w.access.deferred = func(reply *radius.Reply, r *radius.Request) { w.deferred.Add(1); again(reply, r) }
	w.server = radiustest.NewServer(t, w.access, func(s *radius.Server) { s.NASes = w.directory; s.Logger = logger })
	w.client = &radius.Client{}
	t.Cleanup(func() { require.NoError(t, w.client.Close()) })
	return w
}

func cleartext(password string) Credential {
	return Credential{Scheme: SchemeCleartext, Secret: []byte(password)}
}

// addUser stores a user and waits until the directory has it.
func (w *world) addUser(u User) User {
	w.t.Helper()
	u = w.store.putUser(u)
	w.refresh()
	return u
}

func (w *world) refresh() {
	w.t.Helper()
	require.NoError(w.t, w.directory.Refresh(context.Background()))
}

// answer is what came back.
type answer struct {
	t      testing.TB
	packet radius.Packet
}

// withRecords records decisions without a goroutine; see world.record.
func withRecords(t testing.TB) func(*AccessOptions) {
	recorder, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore()), Memory: 1 << 16})
	require.NoError(t, err)
	return func(o *AccessOptions) { o.Records = recorder }
}

// taken is what the first store would be given next.
func (r *AuthRecorder) taken() []AuthRecord {
	q := r.queues[0]
	q.take(nil)
	defer q.pending.reset()
	return q.pending.Records()
}

// record returns the record of the only decision since the last call.
func (w *world) record() AuthRecord {
	w.t.Helper()
	records := w.access.options.Records.taken()
	require.Len(w.t, records, 1)
	return records[0]
}

// ask sends an Access-Request.
func (w *world) ask(add func(m *radius.Message)) answer {
	w.t.Helper()
	m := &radius.Message{Code: radius.AccessRequest}
	add(m)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	packet, err := w.client.Exchange(ctx, w.server.Auth, []byte(testSecret), m)
	require.NoError(w.t, err)
	return answer{w.t, packet}
}

// pap asks with a name, a password and further attributes as text.
func (w *world) pap(name, password string, attributes ...string) answer {
	w.t.Helper()
	return w.ask(func(m *radius.Message) {
		m.AddString(radius.TypeUserName, name)
		require.NoError(w.t, m.AddUserPassword([]byte(testSecret), password))
		w.add(m, attributes...)
	})
}

func (w *world) add(m *radius.Message, attributes ...string) {
	w.t.Helper()
	for _, text := range attributes {
		pairs, err := dictionary.Embedded().ParsePairs(text)
		require.NoError(w.t, err)
		m.Attributes, err = dictionary.Embedded().AppendWire(m.Attributes, pairs, nil)
		require.NoError(w.t, err)
	}
}

// reason returns the reason of the only decision since the last call.
func (w *world) reason() Reason {
	w.t.Helper()
	_, reason := w.counted()
	return reason
}

// counted returns method and reason of the only decision since the last call, as
// the metrics have it.
func (w *world) counted() (method Method, reason Reason) {
	w.t.Helper()
	total := 0.0
	for m := range methodCount {
		for r := range reasonCount {
			var metric dto.Metric
			require.NoError(w.t, w.access.decisions[m][r].Write(&metric))
			now := metric.GetCounter().GetValue()
			if now > w.decided[m][r] {
				total += now - w.decided[m][r]
				w.decided[m][r] = now
				method, reason = m, r
			}
		}
	}
	require.Equal(w.t, 1.0, total, "one decision")
	return method, reason
}

func (a answer) accepted() answer {
	a.t.Helper()
	require.Equal(a.t, radius.AccessAccept, a.packet.Code())
	return a
}

func (a answer) rejected() answer {
	a.t.Helper()
	require.Equal(a.t, radius.AccessReject, a.packet.Code())
	return a
}

// text lists the attributes of the answer, without Message-Authenticator and Class.
func (a answer) text() []string {
	a.t.Helper()
	pairs, err := dictionary.Embedded().ParseWire(a.packet.Attributes(), nil)
	require.NoError(a.t, err)
	list := []string{}
	for _, pair := range pairs {
		if pair.Attr.Name != "Message-Authenticator" && pair.Attr.Name != "Class" {
			list = append(list, pair.String())
		}
	}
	return list
}

// value returns the text of one attribute; empty if it is not there.
func (a answer) value(name string) string {
	a.t.Helper()
	pairs, err := dictionary.Embedded().ParseWire(a.packet.Attributes(), nil)
	require.NoError(a.t, err)
	for _, pair := range pairs {
		if pair.Attr.Name == name {
			return pair.Text()
		}
	}
	return ""
}

// udp is a NAS that sends bare packets.
type udp struct{ conn net.Conn }

func newUDP(t testing.TB, server string) *udp {
	t.Helper()
	conn, err := net.Dial("udp", server)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &udp{conn}
}

// exchange returns the answer to a packet, or nil if there is none.
func (u *udp) exchange(t testing.TB, packet []byte) []byte {
	t.Helper()
	_, err := u.conn.Write(packet)
	require.NoError(t, err)
	require.NoError(t, u.conn.SetReadDeadline(time.Now().Add(dropTimeout)))
	buffer := make([]byte, 4096)
	for {
		n, err := u.conn.Read(buffer)
		if err != nil {
			return nil
		}
		if n >= 20 && buffer[1] == packet[1] {
			return buffer[:n]
		}
	}
}
