package aaa

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/radius"
)

// recorded puts a decision into a recorder as an exchange would.
func recorded(r *AuthRecorder, username string, d Decision) {
	attributes := radius.AppendString(nil, radius.TypeNASPortID, "ether1")
	attributes = radius.AppendString(attributes, radius.TypeCallingStationID, "00-1A-2B-3C-4D-5E")
	attributes = radius.AppendString(attributes, radius.TypeCalledStationID, "called\x00\xff")
	attributes = radius.AppendAddr(attributes, radius.TypeNASIPAddress, netip.MustParseAddr("10.1.2.3"))
	x := &exchange{
		request:    &radius.Request{Received: monday, Source: netip.MustParseAddrPort("192.0.2.1:1645")},
		attributes: attributes, username: []byte(username), nas: &NAS{ID: [16]byte{1}}, nonce: Nonce{0xab},
	}
	x.read()
	r.add(x, d)
}

// stores names stores.
func stores(list ...AuthRecordStore) (named []AuthStore) {
	for i, store := range list {
		named = append(named, AuthStore{Name: fmt.Sprintf("store%d", i), Store: store})
	}
	return named
}

func TestAuthRecord(t *testing.T) {
	store := newFakeStore()
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store)})
	require.NoError(t, err)
	recorded(r, "alice", Decision{Reason: ReasonAccepted, Method: MethodPAP})
	require.NoError(t, r.queues[0].flush(t.Context()))
	recorded(r, "a\x00\xffb", Decision{Reason: ReasonCheckFailed, Method: MethodCHAP, Detail: strings.Repeat("é", 400)})
	require.NoError(t, r.queues[0].flush(t.Context()))
	require.Len(t, store.records, 2)
	got := store.records[0]
	require.EqualValues(t, 7, got.ID.Version())
	got.ID = [16]byte{}
	require.Equal(t, AuthRecord{
		At: monday, Username: "alice", Accepted: true, Reason: ReasonAccepted, Method: MethodPAP,
		NASID: [16]byte{1}, NASAddr: netip.MustParseAddr("10.1.2.3"), NASPortID: "ether1",
		CallingStationID: "00-1A-2B-3C-4D-5E", CalledStationID: "called\uFFFD\uFFFD", SessionNonce: Nonce{0xab},
	}, got)
	got = store.records[1]
	require.Equal(t, "a\uFFFD\uFFFDb", got.Username, "what a text column cannot hold is replaced")
	require.False(t, got.Accepted)
	require.Zero(t, got.SessionNonce)
	require.Equal(t, strings.Repeat("é", 250), got.Detail, "cut between characters")
}

// usernames of records, in their order.
func usernames(records []AuthRecord) (names []string) {
	for _, r := range records {
		names = append(names, r.Username)
	}
	return names
}

func TestAuthRecorderDropsTheOldest(t *testing.T) {
	store := newFakeStore()
	store.setDown(true)
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store), Memory: 1})
	require.NoError(t, err)
	var all []string
	add := func(n int) {
		for range n {
			all = append(all, fmt.Sprint("user", len(all)))
			recorded(r, all[len(all)-1], Decision{})
		}
	}
	add(1000)
	q := r.queues[0]
	require.ErrorIs(t, q.flush(t.Context()), errStoreDown)
	kept := q.pending.Len()
	require.Equal(t, float64(1000-kept), testutil.ToFloat64(q.dropped))
	require.InDelta(t, minAuthMemory/2/120, kept, 3, "as many as there is room for")
	add(10)
	require.ErrorIs(t, q.flush(t.Context()), errStoreDown)
	require.Equal(t, 2.0, testutil.ToFloat64(q.failed))
	store.setDown(false)
	require.NoError(t, q.flush(t.Context()))
	require.Equal(t, all[len(all)-kept-10:], usernames(store.records), "the last, in order, once each")
	require.Equal(t, float64(kept+10), testutil.ToFloat64(q.written))
}

// When there are more decisions than a store takes, what is refused is kept, and it
// goes first.
func TestAuthRecorderKeepsRefusals(t *testing.T) {
	store := newFakeStore()
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store), Memory: 1})
	require.NoError(t, err)
	var refused []string
	for n := range 5000 {
		d := Decision{}
		if n%500 == 0 {
			d.Reason = ReasonWrongPassword
			refused = append(refused, fmt.Sprint("user", n))
		}
		recorded(r, fmt.Sprint("user", n), d)
	}
	q := r.queues[0]
	require.NoError(t, q.flush(t.Context()))
	require.Equal(t, refused, usernames(store.records[:len(refused)]))
	require.Equal(t, "user4999", store.records[len(store.records)-1].Username)
	require.Equal(t, float64(5000-len(store.records)), testutil.ToFloat64(q.dropped))
}

func TestAuthRecorderLeavesOutWhatWasAccepted(t *testing.T) {
	store := newFakeStore()
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store), RefusedOnly: true})
	require.NoError(t, err)
	recorded(r, "alice", Decision{})
	recorded(r, "bob", Decision{Reason: ReasonWrongPassword})
	recorded(r, "carol", Decision{})
	require.NoError(t, r.queues[0].flush(t.Context()))
	require.Equal(t, []string{"bob"}, usernames(store.records))
}

// When more is refused than a store takes, what was accepted still gets its turn.
func TestAuthRecorderWritesBothKinds(t *testing.T) {
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore())})
	require.NoError(t, err)
	q := r.queues[0]
	q.Batch = 10
	written := map[string]int{}
	for range 20 {
		recorded(r, "accepted", Decision{})
		for range q.Batch {
			recorded(r, "refused", Decision{Reason: ReasonUnknownUser})
		}
		q.take(nil)
		require.Equal(t, q.Batch, q.pending.Len())
		for _, name := range usernames(q.pending.Records()) {
			written[name]++
		}
		q.pending.reset()
	}
	require.Equal(t, map[string]int{"accepted": 20, "refused": 180}, written)
}

// TestAuthRecorderRing: whatever sizes entries have and however the writer keeps up,
// what comes out is what went in, without what was dropped.
func TestAuthRecorderRing(t *testing.T) {
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore(), newFakeStore()), Memory: 1})
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	added := 0
	next := []int{0, 0}
	for range 3000 {
		for range random.IntN(20) {
			recorded(r, fmt.Sprintf("%d%s", added, strings.Repeat(".", random.IntN(240))), Decision{Detail: strings.Repeat("d", random.IntN(maxDetail))})
			added++
		}
		i := random.IntN(2)
		q := r.queues[i]
		q.Batch = 1 + random.IntN(50)
		q.take(nil)
		records := q.pending.Records()
		q.pending.reset()
		for n, record := range records {
			var number int
			_, err := fmt.Sscanf(record.Username, "%d", &number)
			require.NoError(t, err)
			if n == 0 {
				require.GreaterOrEqual(t, number, next[i])
				next[i] = number
			}
			require.Equal(t, next[i], number, "none is missing but at the front")
			require.Equal(t, strings.Repeat("d", len(record.Detail)), record.Detail)
			require.Equal(t, "00-1A-2B-3C-4D-5E", record.CallingStationID)
			next[i]++
		}
	}
	for _, q := range r.queues {
		q.Batch = added
		q.take(nil)
		waited := q.marks[ringAccepted].waits
		require.Zero(t, waited)
	}
	require.NotZero(t, testutil.ToFloat64(r.queues[0].dropped))
}

func TestAuthIDs(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 678999000, time.UTC)
	first, second := authID(at, 1<<62-2), authID(at, 1<<62-1)
	require.EqualValues(t, 7, first.Version())
	require.Equal(t, uuid.RFC4122, first.Variant())
	seconds, nanos := first.Time().UnixTime()
	require.Equal(t, at.Truncate(time.Millisecond), time.Unix(seconds, nanos).UTC())
	require.Negative(t, bytes.Compare(first[:], second[:]))
	later := authID(at.Add(time.Microsecond), 0)
	require.Negative(t, bytes.Compare(second[:], later[:]), "by time before number")
}

func TestAuthRecorderRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { r.Run(ctx) })
		count := func() int {
			store.mu.Lock()
			defer store.mu.Unlock()
			return len(store.records)
		}
		recorded(r, "alice", Decision{})
		assert.Zero(t, count())
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, 1, count(), "after the interval")
		for range authBatch {
			recorded(r, "alice", Decision{})
		}
		synctest.Wait()
		assert.Equal(t, 1+authBatch, count(), "at once when a batch is full")
		recorded(r, "last", Decision{})
		cancel()
		group.Wait()
		assert.Equal(t, 2+authBatch, count(), "what waits is written on the way out")
	})
}

// A store that hangs, or is away, has no effect on another, and gets what its own
// queue still holds.
func TestAuthRecorderStoresAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, away, hanging := newFakeStore(), newFakeStore(), &hangingStore{}
		away.setDown(true)
		registry := prometheus.NewRegistry()
		list := stores(good, away, hanging)
		list[1].Batch, list[1].Interval = 10, time.Second
		r, err := NewAuthRecorder(AuthRecorderOptions{Stores: list, Memory: 1 << 14, Registerer: registry})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { r.Run(ctx) })
		for n := range 150 {
			recorded(r, fmt.Sprint("user", n), Decision{})
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, good.records, 150)
		away.setDown(false)
		time.Sleep(time.Second)
		synctest.Wait()
		ids := make(map[string][16]byte)
		for _, record := range good.records {
			ids[record.Username] = record.ID
		}
		// Ten were being written, others waited: the rest had to go.
		kept := len(away.records)
		require.InDelta(t, 10+(1<<13)/120, kept, 4)
		for _, record := range away.records {
			require.EqualValues(t, ids[record.Username], record.ID, "the same id in all stores")
		}
		require.Zero(t, testutil.ToFloat64(r.queues[0].dropped))
		require.Equal(t, float64(150-kept), testutil.ToFloat64(r.queues[1].dropped))
		began := time.Now()
		cancel()
		group.Wait()
		require.Equal(t, 5*time.Second, time.Since(began), "nobody waits longer for one that hangs")
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(`
# HELP radiusd_auth_records_written_total Decisions written to the store.
# TYPE radiusd_auth_records_written_total counter
radiusd_auth_records_written_total{store="store0"} 150
radiusd_auth_records_written_total{store="store1"} %d
radiusd_auth_records_written_total{store="store2"} 0
`, kept)), "radiusd_auth_records_written_total"))
	})
}

// hangingStore answers when the caller gives up.
type hangingStore struct{}

func (*hangingStore) AppendAuthRecords(ctx context.Context, _ *AuthBatch) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAuthRecorderDoesNotAllocate(t *testing.T) {
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore(), newFakeStore()), Memory: 1})
	require.NoError(t, err)
	x := &exchange{
		request:    &radius.Request{Received: monday, Source: netip.MustParseAddrPort("192.0.2.1:1645")},
		attributes: radius.AppendString(nil, radius.TypeCallingStationID, "00-1A-2B-3C-4D-5E"), username: []byte("alice@example.net"),
	}
	x.read()
	require.Zero(t, testing.AllocsPerRun(100, func() { r.add(x, Decision{}) }))
}

// TestAuthRecorderListeners: several listeners and two writers at once.
func TestAuthRecorderListeners(t *testing.T) {
	first, second := newFakeStore(), newFakeStore()
	list := stores(first, second)
	list[0].Batch, list[1].Batch = 64, 1000
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: list, Memory: 1 << 17})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var listeners, writers sync.WaitGroup
	writers.Go(func() { r.Run(ctx) })
	for n := range 4 {
		listeners.Go(func() {
			for range 2000 {
				recorded(r, fmt.Sprint("user", n), Decision{Reason: Reason(n % 2)})
			}
		})
	}
	listeners.Wait()
	cancel()
	writers.Wait()
	for i, store := range []*fakeStore{first, second} {
		q, ids := r.queues[i], make(map[uuid.UUID]bool)
		for _, record := range store.records {
			ids[record.ID] = true
		}
		require.Len(t, ids, len(store.records), "once each")
		require.Equal(t, 8000.0, testutil.ToFloat64(q.written)+testutil.ToFloat64(q.dropped))
		require.Equal(t, float64(len(store.records)), testutil.ToFloat64(q.written))
	}
}
