package storetest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/store"
)

func testCloseSessions(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	silent, heard := life("01", 2), life("02", 2)
	require.NoError(t, write(ctx, sink, 1, silent[0], silent[1], heard[0], heard[1], heard[2]))
	at := noon.Add(time.Minute)
	closings := []aaa.Closing{{SessionID: silent[0].SessionID, StoppedAt: at}, {SessionID: heard[0].SessionID, StoppedAt: at}, {SessionID: uuid.New(), StoppedAt: at}}
	require.NoError(t, s.CloseSessions(ctx, closings))
	require.NoError(t, s.CloseSessions(ctx, closings))
	x, err := s.SessionByID(ctx, silent[0].SessionID)
	require.NoError(t, err)
	assert.Equal(t, at, x.StoppedAt)
	assert.True(t, x.StopInferred)
	assert.Equal(t, aaa.CauseLapsed, x.TerminateCause)
	x, err = s.SessionByID(ctx, heard[0].SessionID)
	require.NoError(t, err)
	assert.True(t, x.Open(), "there is a later record")

	other := record("03", aaa.AcctStart, 0, 0)
	require.NoError(t, write(ctx, sink, 2, other))
	require.NoError(t, s.CloseSessions(ctx, []aaa.Closing{{SessionID: uuid.New(), StoppedAt: at, Others: []uuid.UUID{other.SessionID, uuid.New()}}}))
	x, err = s.SessionByID(ctx, other.SessionID)
	require.NoError(t, err)
	assert.Equal(t, aaa.CauseLapsed, x.TerminateCause, "which the store has under another id")

	require.NoError(t, write(ctx, sink, 3, silent[2]))
	x, err = s.SessionByID(ctx, silent[0].SessionID)
	require.NoError(t, err)
	assert.True(t, x.Open(), "a later record reopens it")
}

func testSessionLists(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	bras := uuid.Must(uuid.NewV7())
	var records []aaa.Record
	for i := range 25 {
		r := record(fmt.Sprintf("%02d", i), aaa.AcctStart, time.Duration(i/2)*time.Minute, 0) // some start together
		r.Username = "alice"
		if i%5 == 0 {
			r.Username, r.NASAddr, r.NASID = "bob", netip.MustParseAddr("2001:db8::1"), bras
		}
		aaa.NewResolver().Resolve(&r)
		records = append(records, r)
		if i%2 == 0 {
			r.Status, r.EventTime = aaa.AcctStop, r.EventTime.Add(30*time.Minute)
			aaa.NewResolver().Resolve(&r)
			records = append(records, r)
		}
	}
	require.NoError(t, write(ctx, sink, 1, records...))
	for name, tt := range map[string]struct {
		filter store.SessionFilter
		want   int
	}{
		"all":         {store.SessionFilter{}, 25},
		"online":      {store.SessionFilter{Online: true}, 12},
		"user":        {store.SessionFilter{Username: "bob"}, 5},
		"user online": {store.SessionFilter{Username: "bob", Online: true}, 2},
		"nas":         {store.SessionFilter{NASAddr: netip.MustParseAddr("2001:db8::1")}, 5},
		"nas by id":   {store.SessionFilter{NASID: bras, Online: true}, 2},
		"from":        {store.SessionFilter{StartedFrom: noon.Add(10 * time.Minute)}, 5},
		"before":      {store.SessionFilter{StartedBefore: noon.Add(10 * time.Minute)}, 20},
		"nobody":      {store.SessionFilter{Username: "carol"}, 0},
	} {
		whole, err := s.ListSessions(ctx, tt.filter)
		require.NoError(t, err, name)
		assert.Len(t, whole, tt.want, name)
		assert.True(t, slices.IsSortedFunc(whole, func(a, b aaa.Session) int { return b.StartedAt.Compare(a.StartedAt) }), name)
		var paged []aaa.Session
		tt.filter.Limit = 4
		for {
			page, err := s.ListSessions(ctx, tt.filter)
			require.NoError(t, err, name)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
			tt.filter.After = &page[len(page)-1]
		}
		assert.Equal(t, whole, paged, name)
	}
	n := 0
	require.NoError(t, s.EachSession(ctx, noon.Add(40*time.Minute), func(*aaa.Session) error { n++; return nil }))
	assert.Equal(t, 12+3, n, "open ones and those stopped since")
}

func testUsage(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	today := noon.Truncate(24 * time.Hour)
	records := life("01", 1)
	for _, days := range []int{-3, -2, -1, 0} {
		for i := range records {
			r := records[i]
			r.AcctSessionID = fmt.Sprint(days)
			r.EventTime = r.EventTime.AddDate(0, 0, days)
			aaa.NewResolver().Resolve(&r)
			require.NoError(t, write(ctx, sink, 1, r))
		}
	}
	var got []string
	require.NoError(t, s.EachUsage(ctx, []time.Time{today.AddDate(0, 0, -2), today}, func(u aaa.DailyUsage) error {
		day := "before"
		if !u.Day.IsZero() {
			day = fmt.Sprint(u.Day.Sub(today))
		}
		got = append(got, fmt.Sprintf("%s %s %d %d", u.Username, day, u.Seconds, u.InputOctets>>33))
		return nil
	}))
	assert.ElementsMatch(t, []string{"user of 01 before 120 2", "user of 01 -48h0m0s 240 4", "user of 01 0s 120 2"}, got)
}

// testUsageAccounts: what users have used, and which sessions' counters are in it.
func testUsageAccounts(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	today := noon.Truncate(24 * time.Hour)
	var ids []uuid.UUID
	for _, days := range []int{-5, -1, 0} {
		for _, r := range life("01", 1) {
			r.AcctSessionID, r.CallingStationID = fmt.Sprint(days), "" // so that none supersedes another
			r.EventTime = r.EventTime.AddDate(0, 0, days)
			aaa.NewResolver().Resolve(&r)
			if days == -5 && r.Status == aaa.AcctStop {
				continue // it is open
			}
			ids = append(ids, r.SessionID)
			require.NoError(t, write(ctx, sink, 1, r))
		}
	}
	ids = slices.Compact(ids)
	list, err := s.UsageAccounts(ctx, []string{"user of 01", "nobody", "a'b"}, today.AddDate(0, 0, -1), today)
	require.NoError(t, err)
	require.Len(t, list, 1)
	a := list[0]
	const gib8 = 1 << 33
	require.Equal(t, aaa.Usage{Seconds: 300, InputOctets: 5 * gib8, OutputOctets: 50 * gib8}, a.Ever)
	day := aaa.Usage{Seconds: 120, InputOctets: 2 * gib8, OutputOctets: 20 * gib8}
	require.Equal(t, []aaa.DailyUsage{
		{Username: a.Username, Day: today.AddDate(0, 0, -1), Usage: day}, {Username: a.Username, Day: today, Usage: day},
	}, a.Days)
	require.ElementsMatch(t, []aaa.SessionUsage{
		{ID: ids[0], UpdatedAt: noon.AddDate(0, 0, -5).Add(time.Minute), Usage: aaa.Usage{Seconds: 60, InputOctets: gib8, OutputOctets: 10 * gib8}},
		{ID: ids[2], UpdatedAt: noon.Add(2 * time.Minute), Usage: day},
	}, a.Sessions, "open ones and those that ended since")
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	list, err = s.UsageAccounts(ctx, append(many, "user of 01"), today, today)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// testHugeCounters: sums never wrap, whatever a NAS sends.
func testHugeCounters(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	r := record("01", aaa.AcctStop, time.Minute, 0)
	r.InputOctets, r.OutputOctets = 1<<64-1, 1<<63
	require.NoError(t, write(ctx, sinkOf(t, s), 1, r))
	x, err := s.SessionByID(ctx, r.SessionID)
	require.NoError(t, err)
	assert.Equal(t, uint64(1<<63-1), x.InputOctets)
	assert.Equal(t, uint64(1<<63-1), x.OutputOctets)

	db := Raw(t, options)
	execute(t, db, "UPDATE usage_daily SET input_octets = 9223372036854775807")
	r = record("01", aaa.AcctInterim, 2*time.Minute, 0)
	r.Username, r.AcctSessionID, r.InputOctets, r.OutputOctets = "user of 01", "other", 1000, 1000
	aaa.NewResolver().Resolve(&r)
	require.NoError(t, write(ctx, sinkOf(t, s), 2, r))
	for _, since := range []time.Time{noon, noon.AddDate(0, 0, 1)} {
		require.NoError(t, s.EachUsage(ctx, []time.Time{since}, func(u aaa.DailyUsage) error {
			assert.Equal(t, uint64(1<<63-1), u.InputOctets)
			assert.Equal(t, uint64(1000), u.OutputOctets)
			return nil
		}))
	}
	execute(t, db, "INSERT INTO usage_daily (username, day, input_octets) VALUES ('user of 01', '2020-01-01', 9223372036854775807)")
	require.NoError(t, s.EachUsage(ctx, nil, func(u aaa.DailyUsage) error {
		assert.Equal(t, uint64(1<<63-1), u.InputOctets)
		return nil
	}))
}

func testAuthRecords(t *testing.T, database Database) {
	s := Open(t, database)
	ctx := t.Context()
	var records []aaa.AuthRecord
	for i := range 30 {
		records = append(records, aaa.AuthRecord{
			ID: uuid.Must(uuid.NewV7()), At: noon.Add(time.Duration(i) * time.Second), Username: []string{"alice", "b\x00ob\xff"}[i%2],
			Accepted: i%3 == 0, Reason: aaa.ReasonWrongPassword, Detail: "d", Method: aaa.MethodMSCHAPv2,
			NASID: uuid.Must(uuid.NewV7()), NASAddr: nasAddr, NASPortID: "p", CallingStationID: "c", CalledStationID: "d", SessionNonce: aaa.Nonce{0, 0xff},
		})
	}
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch()))
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(records[:10]...)))
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(records...)), "some are there already")
	require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(records[:25]...)))

	list, err := s.ListAuthRecords(ctx, store.AuthFilter{})
	require.NoError(t, err)
	require.Len(t, list, 30)
	assert.Equal(t, records[28], list[1])
	list, err = s.ListAuthRecords(ctx, store.AuthFilter{Username: "alice", Limit: 3})
	require.NoError(t, err)
	assert.Equal(t, []aaa.AuthRecord{records[28], records[26], records[24]}, list)
	list, err = s.ListAuthRecords(ctx, store.AuthFilter{Username: "alice", Limit: 2, After: &records[26]})
	require.NoError(t, err)
	assert.Equal(t, []aaa.AuthRecord{records[24], records[22]}, list)
	list, err = s.ListAuthRecords(ctx, store.AuthFilter{Refused: true, From: noon.Add(10 * time.Second)})
	require.NoError(t, err)
	assert.Len(t, list, 14)
	list, err = s.ListAuthRecords(ctx, store.AuthFilter{Username: "b\uFFFDob\uFFFD"})
	require.NoError(t, err)
	assert.Len(t, list, 15)
}

func testRetention(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	db := rawDB{Raw(t, options)}
	ctx := t.Context()
	sink := sinkOf(t, s)
	now := time.Now().UTC()
	for i, age := range []time.Duration{0, 3 * 24 * time.Hour, 10 * 24 * time.Hour, 100 * 24 * time.Hour, -40 * 24 * time.Hour, 30 * 365 * 24 * time.Hour} {
		r := record(fmt.Sprint(i), aaa.AcctStart, 0, 0)
		r.EventTime = now.Add(-age)
		r.ReceivedAt = now.Add(-max(0, min(age, 200*24*time.Hour)))
		aaa.NewResolver().Resolve(&r)
		require.NoError(t, write(ctx, sink, 1, r))
		require.NoError(t, s.AppendAuthRecords(ctx, aaa.NewAuthBatch(aaa.AuthRecord{ID: uuid.New(), At: r.ReceivedAt})))
	}
	require.NoError(t, s.Maintain(ctx, store.Retention{}))
	assert.Equal(t, 6, db.count(t, "accounting_records"), "no retention, nothing deleted")
	keep := store.Retention{AccountingRecords: 7 * 24 * time.Hour, AuthRecords: 24 * time.Hour}
	require.NoError(t, s.Maintain(ctx, keep))
	require.NoError(t, s.Maintain(ctx, keep))
	assert.Equal(t, 3, db.count(t, "accounting_records"), "by receipt: today, three days ago, and the clock that is ahead")
	assert.Equal(t, 2, db.count(t, "auth_records"))
	assert.Equal(t, 6, db.count(t, "sessions"))

	on, off, later := boot(-500*24*time.Hour), boot(-600*24*time.Hour), boot(-550*24*time.Hour)
	off.Status = aaa.AcctOff
	aaa.NewResolver().Resolve(&off)
	require.NoError(t, write(ctx, sink, 2, on, off, later))
	require.NoError(t, s.Maintain(ctx, keep))
	boots, err := s.Boots(ctx, time.Time{})
	require.NoError(t, err)
	require.Len(t, boots, 1, "the latest On stays, however old")
	assert.Equal(t, on.EventTime, boots[0].At)
}
