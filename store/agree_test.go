package store_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// TestOrderAndEngineDoNotMatter writes the same records to both engines, each in
// an order and in batches of its own, some of them twice: sessions and usage are
// the same in the end.
func TestOrderAndEngineDoNotMatter(t *testing.T) {
	var stores []*store.Store
	for _, database := range []storetest.Database{sqliteDatabase, postgresDatabase} {
		options := database(t)
		options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
		s, err := store.Open(t.Context(), options)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		stores = append(stores, s)
	}
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour) // yesterday's: nothing is received later than now
	run := uint32(0)
	rapid.Check(t, func(rt *rapid.T) {
		run++ // a NAS of its own for each run, so that the databases can stay
		nas := netip.AddrFrom4([4]byte{10, byte(run >> 16), byte(run >> 8), byte(run)})
		records := drawRecords(rt, nas, noon)
		users := map[string]bool{}
		for _, r := range records {
			users[r.Username] = true
		}
		for n, s := range stores {
			order := rapid.Permutation(records).Draw(rt, fmt.Sprint("order ", n))
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(records)-1), 0, 4).Draw(rt, "again") {
				order = append(order, records[i])
			}
			sink, err := s.NewSink()
			require.NoError(rt, err)
			for len(order) > 0 {
				size := rapid.IntRange(1, len(order)).Draw(rt, "batch")
				start, err := sink.Cursor(t.Context())
				require.NoError(rt, err)
				require.NoError(rt, sink.Write(t.Context(), &ingest.Batch{Records: slices.Clone(order[:size]), Start: start, End: journal.Position(run)}))
				order = order[size:]
			}
		}
		require.Equal(rt, stateOf(rt, t, stores[0], nas, users, noon), stateOf(rt, t, stores[1], nas, users, noon))
	})
}

// drawRecords draws the records of some sessions of one NAS: some are lost, some
// sessions are of the same device on the same port, and the NAS may boot.
func drawRecords(rt *rapid.T, nas netip.Addr, noon time.Time) []aaa.Record {
	resolver := aaa.NewResolver()
	var records []aaa.Record
	add := func(r aaa.Record, after time.Duration) {
		r.NASAddr, r.NASIdentifier = nas, "nas"
		r.EventTime, r.ReceivedAt = noon.Add(after), noon.Add(after)
		resolver.Resolve(&r)
		records = append(records, r)
	}
	for n := range rapid.IntRange(1, 5).Draw(rt, "sessions") {
		device := rapid.IntRange(0, 1).Draw(rt, "device")
		began := time.Duration(rapid.IntRange(0, 60).Draw(rt, "began")) * time.Minute
		base := aaa.Record{AcctSessionID: fmt.Sprint(n), Username: fmt.Sprintf("%s device %d", nas, device),
			CallingStationID: fmt.Sprintf("02-00-00-00-00-%02d", device), NASPortID: "port"}
		for _, kind := range rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 5, rapid.ID).Draw(rt, "records") {
			r, after := base, time.Duration(kind)*5*time.Minute
			switch kind {
			case 0:
				r.Status = aaa.AcctStart
			case 4:
				r.Status, r.TerminateCause = aaa.AcctStop, "User-Request"
			default:
				r.Status = aaa.AcctInterim
				r.FramedIP = netip.AddrFrom4([4]byte{10, 0, 0, byte(kind)})
			}
			if kind > 0 {
				r.HasSeconds, r.SessionSeconds = true, uint64(after/time.Second)
				r.HasOctets, r.HasGigawords, r.InputOctets, r.OutputOctets = true, true, uint64(kind)<<31, uint64(kind)<<33
			}
			add(r, began+after)
		}
	}
	if rapid.Bool().Draw(rt, "boots") {
		add(aaa.Record{Status: aaa.AcctOff}, time.Duration(rapid.IntRange(0, 90).Draw(rt, "boot"))*time.Minute)
	}
	return records
}

func stateOf(rt *rapid.T, t *testing.T, s *store.Store, nas netip.Addr, users map[string]bool, day time.Time) string {
	sessions, err := s.ListSessions(t.Context(), store.SessionFilter{NASAddr: nas})
	require.NoError(rt, err)
	state := fmt.Sprintf("%+v\n", sessions)
	for _, user := range slices.Sorted(maps.Keys(users)) {
		usage, err := s.UserUsage(t.Context(), user, day.AddDate(0, 0, -1), day.AddDate(0, 0, 1))
		require.NoError(rt, err)
		state += fmt.Sprintf("%+v\n", usage)
	}
	return state
}
