package aaa_test

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"radiusd/aaa"
)

// TestEveryOrderGivesTheSameSession: Start, Interim and Stop, each twice, in all
// 720 orders, one at a time into the live view and the store, and as one batch.
func TestEveryOrderGivesTheSameSession(t *testing.T) {
	address := func(a string) func(*aaa.Record) {
		return func(r *aaa.Record) { r.FramedIP = netip.MustParseAddr(a) }
	}
	start := rec(aaa.AcctStart, 0, station("AA-BB-CC-DD-EE-FF"), port("eth0"))
	interim := rec(aaa.AcctInterim, 300, counters(300, 1000, 9000), address("10.0.0.1"), station("aabb.ccdd.eeff"))
	stop := rec(aaa.AcctStop, 500, counters(500, 2000, 20000), cause("User-Request"), address("10.0.0.2"))
	want := aaa.Session{
		AcctSessionID: "s1", Username: "alice", NASAddr: testNAS, NASPortID: "eth0",
		CallingStationID: "aabb.ccdd.eeff", FramedIP: netip.MustParseAddr("10.0.0.2"),
		StartedAt: at(0), UpdatedAt: at(500), StoppedAt: at(500), TerminateCause: "User-Request",
		SessionSeconds: 500, InputOctets: 2000, OutputOctets: 20000,
	}
	usage := aaa.Usage{Seconds: 500, InputOctets: 2000, OutputOctets: 20000}
	orders := 0
	permutations([]aaa.Record{start, start, interim, interim, stop, stop}, func(records []aaa.Record) {
		orders++
		live := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return at(500) }})
		store, batched := newFakeStore(), newFakeStore()
		for i := range records {
			live.Apply(&records[i])
			store.write(t, records[i:i+1])
		}
		batched.write(t, records)
		for _, rows := range [][]aaa.Session{liveRows(live), store.rows(), batched.rows()} {
			require.Len(t, rows, 1)
			rows[0].Provenance = aaa.Provenance{}
			require.Equal(t, want, rows[0])
		}
		require.Equal(t, store.rows()[0].Provenance, liveRows(live)[0].Provenance)
		require.Equal(t, usage, store.totals()["alice"])
		require.Equal(t, usage, batched.totals()["alice"])
		require.Equal(t, usage, live.Used("alice", aaa.PeriodDay, at(500)))
		require.Zero(t, live.OpenCount())
		require.Zero(t, live.Open("alice"))
	})
	require.Equal(t, 720, orders)
}

// TestSessionsAreAFunctionOfTheSetOfRecords: whatever is sent, lost, repeated and
// reordered, cut into batches anywhere, gives the rows that one batch in order of
// time gives; in the live view too.
func TestSessionsAreAFunctionOfTheSetOfRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := drawRecords(t)
		want := newFakeStore()
		ordered := slices.Clone(records)
		slices.SortStableFunc(ordered, func(a, b aaa.Record) int { return a.EventTime.Compare(b.EventTime) })
		want.write(t, resolved(ordered))

		shuffled := rapid.Permutation(append(slices.Clone(records), drawRepeats(t, records)...)).Draw(t, "order")
		store := newFakeStore()
		live := aaa.NewLiveSessions(aaa.LiveOptions{Now: func() time.Time { return at(1000) }, InferredRetention: 1e6 * time.Hour, ClosedRetention: 1e6 * time.Hour})
		for len(shuffled) > 0 {
			n := rapid.IntRange(1, len(shuffled)).Draw(t, "batch")
			for i := range shuffled[:n] {
				live.Apply(&shuffled[i])
			}
			store.write(t, shuffled[:n])
			shuffled = shuffled[n:]
		}
		require.Equal(t, show(want.rows()), show(store.rows()))
		require.Equal(t, want.totals(), store.totals())
		require.Equal(t, show(store.rows()), show(liveRows(live)))
		open := 0
		for _, s := range want.rows() {
			if s.Open() {
				open++
			}
		}
		require.Equal(t, open, live.OpenCount())
		for username, u := range want.totals() {
			require.Equal(t, u, live.Used(username, aaa.PeriodEver, at(1000)))
		}
	})
}

// drawRecords makes up what happened to a few users, with and without Class. A NAS
// that returns no Class ends its sessions when it boots; with Class, records after
// a boot are allowed to prove the boot wrong.
func drawRecords(t *rapid.T) []aaa.Record {
	var records, boots []aaa.Record
	for range rapid.IntRange(0, 2).Draw(t, "boots") {
		// Off the beat of the sessions, so that nothing happens at the same moment.
		boots = append(boots, rec(rapid.SampledFrom([]aaa.AcctStatus{aaa.AcctOn, aaa.AcctOff}).Draw(t, "boot"),
			rapid.IntRange(1, 70).Draw(t, "booted")*10+5))
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "sessions") {
		began := rapid.IntRange(1, 40).Draw(t, "began") * 10
		var nonce aaa.Nonce
		nonce[0] = byte(i)
		common := []func(*aaa.Record){
			session("s" + strconv.Itoa(i)),
			user(rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "user")),
			station(rapid.SampledFrom([]string{"", "aa-bb-cc-dd-ee-01", "aa-bb-cc-dd-ee-02"}).Draw(t, "station")),
		}
		if rapid.Bool().Draw(t, "class") {
			common = append(common, func(r *aaa.Record) { r.Class = aaa.AppendClass(nil, nonce) })
		}
		if rapid.Bool().Draw(t, "start") {
			records = append(records, rec(aaa.AcctStart, began, common...))
		}
		length := 0
		for range rapid.IntRange(0, 3).Draw(t, "interims") {
			length += rapid.IntRange(1, 10).Draw(t, "gap") * 10
			records = append(records, rec(aaa.AcctInterim, began+length, append(common, counters(uint64(length), uint64(length)*7, uint64(length)*11))...))
		}
		if rapid.Bool().Draw(t, "stop") {
			length += rapid.IntRange(1, 10).Draw(t, "gap") * 10
			change := append(common, cause(rapid.SampledFrom([]string{"", "User-Request", "Idle-Timeout"}).Draw(t, "cause")))
			if rapid.Bool().Draw(t, "counters") {
				change = append(change, counters(uint64(length), uint64(length)*7, uint64(length)*11))
			}
			records = append(records, rec(aaa.AcctStop, began+length, change...))
		}
	}
	all := slices.Clone(records)
	records = slices.DeleteFunc(records, func(r aaa.Record) bool {
		return r.Class == nil && slices.ContainsFunc(boots, func(boot aaa.Record) bool {
			return boot.EventTime.After(beganAt(&r, all)) && boot.EventTime.Before(r.EventTime)
		})
	})
	records = append(records, boots...)
	if len(records) == 0 {
		records = append(records, rec(aaa.AcctStart, 10))
	}
	return records
}

// beganAt is when the record's session began in truth.
func beganAt(r *aaa.Record, records []aaa.Record) time.Time {
	began := r.EventTime
	for _, o := range records {
		if o.AcctSessionID == r.AcctSessionID {
			if t := o.EventTime.Add(-time.Duration(o.SessionSeconds) * time.Second); t.Before(began) {
				began = t
			}
		}
	}
	return began
}

func drawRepeats(t *rapid.T, records []aaa.Record) []aaa.Record {
	return rapid.SliceOfN(rapid.SampledFrom(records), 0, len(records)).Draw(t, "repeats")
}
