package aaa

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	r.add(&exchange{
		request:    &radius.Request{Received: monday, Source: netip.MustParseAddrPort("192.0.2.1:1645")},
		attributes: attributes, username: []byte(username), nas: &NAS{ID: [16]byte{1}}, nonce: Nonce{0xab},
	}, d)
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
	recorded(r, "a\x00\xffb", Decision{Reason: ReasonCheckFailed, Method: MethodCHAP, Detail: strings.Repeat("é", 400)})
	require.NoError(t, r.queues[0].flush(t.Context()))
	require.Len(t, store.records, 2)
	got := store.records[0]
	require.EqualValues(t, 7, got.ID.Version())
	got.ID = [16]byte{}
	require.Equal(t, AuthRecord{
		At: monday, Username: "alice", Accepted: true, Reason: ReasonAccepted, Method: MethodPAP,
		NASID: [16]byte{1}, NASAddr: netip.MustParseAddr("10.1.2.3"), NASPortID: "ether1",
		CallingStationID: "00-1A-2B-3C-4D-5E", CalledStationID: "called\uFFFD\uFFFD", SessionNonce: "ab0000000000000000000000",
	}, got)
	got = store.records[1]
	require.Equal(t, "a\uFFFD\uFFFDb", got.Username, "what a text column cannot hold is replaced")
	require.False(t, got.Accepted)
	require.Empty(t, got.SessionNonce)
	require.Equal(t, strings.Repeat("é", 250), got.Detail, "cut between characters")
}

func TestAuthRecorderDropsTheOldest(t *testing.T) {
	store := newFakeStore()
	store.setDown(true)
	registry := prometheus.NewRegistry()
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store), Capacity: 3, Registerer: registry})
	require.NoError(t, err)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		recorded(r, name, Decision{})
	}
	require.Equal(t, 2.0, testutil.ToFloat64(r.queues[0].dropped))
	require.ErrorIs(t, r.queues[0].flush(t.Context()), errStoreDown)
	recorded(r, "f", Decision{})
	require.ErrorIs(t, r.queues[0].flush(t.Context()), errStoreDown)
	store.setDown(false)
	require.NoError(t, r.queues[0].flush(t.Context()))
	var names []string
	for _, record := range store.records {
		names = append(names, record.Username)
	}
	require.Equal(t, []string{"c", "d", "e", "f"}, names, "in order, once each")
	require.Equal(t, 4.0, testutil.ToFloat64(r.queues[0].written))
}

func TestAuthRecorderRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newFakeStore()
		r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(store), Capacity: 2 * authBatch})
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
		r, err := NewAuthRecorder(AuthRecorderOptions{Stores: list, Capacity: 100, Registerer: registry})
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
		// Ten were being written, a hundred waited: forty had to go.
		require.Len(t, away.records, 110)
		for _, record := range away.records {
			require.EqualValues(t, ids[record.Username], record.ID, "the same id in all stores")
		}
		require.Zero(t, testutil.ToFloat64(r.queues[0].dropped))
		require.Equal(t, 40.0, testutil.ToFloat64(r.queues[1].dropped))
		began := time.Now()
		cancel()
		group.Wait()
		require.Equal(t, 5*time.Second, time.Since(began), "nobody waits longer for one that hangs")
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP radiusd_auth_records_written_total Decisions written to the store.
# TYPE radiusd_auth_records_written_total counter
radiusd_auth_records_written_total{store="store0"} 150
radiusd_auth_records_written_total{store="store1"} 110
radiusd_auth_records_written_total{store="store2"} 0
`), "radiusd_auth_records_written_total"))
	})
}

// hangingStore answers when the caller gives up.
type hangingStore struct{}

func (*hangingStore) AppendAuthRecords(ctx context.Context, _ []AuthRecord) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAuthRecorderDoesNotAllocate(t *testing.T) {
	r, err := NewAuthRecorder(AuthRecorderOptions{Stores: stores(newFakeStore(), newFakeStore()), Capacity: 4})
	require.NoError(t, err)
	x := &exchange{
		request:    &radius.Request{Received: monday, Source: netip.MustParseAddrPort("192.0.2.1:1645")},
		attributes: radius.AppendString(nil, radius.TypeCallingStationID, "00-1A-2B-3C-4D-5E"), username: []byte("alice@example.net"),
	}
	for range 4 {
		r.add(x, Decision{})
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { r.add(x, Decision{}) }))
}
