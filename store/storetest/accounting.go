package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
)

// noon is when the suite's sessions begin: yesterday's, so that partitions exist and
// that all is past at any time of the day. The store tells by its own clock whether it
// had a boot before a session began, so nothing can be received later than now.
var noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)

var nasAddr = netip.MustParseAddr("192.0.2.1")

// record makes a record of a session, resolved.
func record(session string, status aaa.AcctStatus, after time.Duration, octets uint64) aaa.Record {
	r := aaa.Record{
		Status: status, AcctSessionID: session, Username: "user of " + session, NASAddr: nasAddr, NASIdentifier: "nas",
		EventTime: noon.Add(after), ReceivedAt: noon.Add(after + time.Second), CallingStationID: "02-00-00-00-00-" + session,
	}
	if status == aaa.AcctInterim || status == aaa.AcctStop {
		r.HasSeconds, r.SessionSeconds = true, uint64(after/time.Second)
		r.HasOctets, r.HasGigawords, r.InputOctets, r.OutputOctets = true, true, octets, 10*octets
	}
	if status == aaa.AcctStop {
		r.TerminateCause = "User-Request"
	}
	aaa.NewResolver().Resolve(&r)
	return r
}

func boot(after time.Duration) aaa.Record {
	r := aaa.Record{Status: aaa.AcctOn, NASAddr: nasAddr, NASIdentifier: "nas", EventTime: noon.Add(after), ReceivedAt: noon.Add(after)}
	aaa.NewResolver().Resolve(&r)
	return r
}

// life is the records of one session with a Start, n interims and a Stop.
func life(session string, n int) []aaa.Record {
	records := []aaa.Record{record(session, aaa.AcctStart, 0, 0)}
	for i := range n {
		records = append(records, record(session, aaa.AcctInterim, time.Duration(i+1)*time.Minute, uint64(i+1)<<33))
	}
	return append(records, record(session, aaa.AcctStop, time.Duration(n+1)*time.Minute, uint64(n+1)<<33))
}

func sinkOf(t testing.TB, s *store.Store) *store.Sink {
	t.Helper()
	sink, err := s.NewSink()
	require.NoError(t, err)
	return sink
}

// write writes a batch that follows what the sink has.
func write(ctx context.Context, sink *store.Sink, end journal.Position, records ...aaa.Record) error {
	start, err := sink.Cursor(ctx)
	if err != nil {
		return err
	}
	return sink.Write(ctx, &ingest.Batch{Records: records, Start: start, End: end})
}

func testSink(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	position, err := sink.Cursor(ctx)
	require.NoError(t, err)
	assert.Zero(t, position)

	records := life("s1", 2)
	records[1].FramedIP = netip.MustParseAddr("10.0.0.7")
	records[1].FramedIPv6 = netip.MustParseAddr("2001:db8::7")
	records[1].FramedIPv6Prefix = netip.MustParsePrefix("2001:db8:1::/64")
	records[1].DelegatedPrefix = netip.MustParsePrefix("2001:db8:ff00::/56")
	records[1].NASPort, records[1].NASPortID, records[1].CalledStationID = 1<<32-1, "port", "called"
	records[0].Plan, records[1].Plan = "silver", "gold"
	records[1].Class, records[1].Delay = []byte{0, 1, 0xff}, 3*time.Second
	records[1].InputPackets, records[1].OutputPackets = 5, 6
	records[1].NASID, records[1].AcctMultiSessionID, records[1].ClockOff, records[1].EventDerived = uuid.Must(uuid.NewV7()), "multi", true, true
	require.NoError(t, write(ctx, sink, 100, records[0], records[1]))

	sessionID := records[0].SessionID
	got, err := s.SessionByID(ctx, sessionID)
	require.NoError(t, err)
	assert.True(t, got.Open())
	assert.Equal(t, uint64(1<<33), got.InputOctets)
	assert.Equal(t, records[1].DelegatedPrefix, got.DelegatedPrefix)
	assert.Equal(t, records[1].Class, got.Class)
	assert.Equal(t, "gold", got.Plan, "of the latest record that has one")
	assert.Equal(t, noon, got.StartedAt)
	assert.NotZero(t, got.Provenance)

	require.NoError(t, write(ctx, sink, 200, records[2], records[3]))
	got, err = s.SessionByID(ctx, sessionID)
	require.NoError(t, err)
	assert.False(t, got.Open())
	assert.False(t, got.StopInferred)
	assert.Equal(t, "User-Request", got.TerminateCause)
	assert.Equal(t, uint64(180), got.SessionSeconds)
	assert.Equal(t, uint64(30)<<33, got.OutputOctets)

	kept, err := s.SessionRecords(ctx, sessionID, 0)
	require.NoError(t, err)
	assert.Equal(t, records, kept)
	position, err = sink.Cursor(ctx)
	require.NoError(t, err)
	assert.Equal(t, journal.Position(200), position)
	usage, err := s.UserUsage(ctx, "user of s1", noon, noon)
	require.NoError(t, err)
	assert.Equal(t, []aaa.DailyUsage{{Username: "user of s1", Day: noon.Truncate(24 * time.Hour),
		Usage: aaa.Usage{Seconds: 180, InputOctets: 3 << 33, OutputOctets: 30 << 33}}}, usage)

	_, err = s.SessionByID(ctx, uuid.New())
	assert.ErrorIs(t, err, store.ErrNotFound)

	// What a script sees.
	var nasIP, framedIP, startedAt, status string
	db := Raw(t, options)
	column := func(name string) string { return "CAST(" + name + " AS text)" }
	if options.URL != "" {
		column = func(name string) string { return "replace(" + name + "::text, '/32', '')" } // a cast of inet, unlike psql, shows the length
	}
	require.NoError(t, db.QueryRowContext(ctx, "SELECT "+column("nas_ip")+", "+column("framed_ip")+", CAST(started_at AS text) FROM sessions").
		Scan(&nasIP, &framedIP, &startedAt))
	assert.Equal(t, "192.0.2.1", nasIP)
	assert.Equal(t, "10.0.0.7", framedIP)
	assert.Contains(t, strings.Replace(startedAt, " ", "T", 1), noon.Format("2006-01-02T15:04:05"))
	require.NoError(t, db.QueryRowContext(ctx, "SELECT status FROM accounting_records ORDER BY event_time DESC LIMIT 1").Scan(&status))
	assert.Equal(t, "stop", status)
}

// dump is everything that must not depend on how records were batched. The ids of
// sessions may: what the store knew of boots when it first heard of them decides.
func dump(t testing.TB, s *store.Store, db rawDB) string {
	t.Helper()
	var b strings.Builder
	var lines []string
	var after *aaa.Session
	for {
		list, err := s.ListSessions(t.Context(), store.SessionFilter{After: after})
		require.NoError(t, err)
		if len(list) == 0 {
			break
		}
		for i := range list {
			x := list[i]
			class := x.Class // NULL and empty alike
			x.Class, x.ID = nil, uuid.Nil
			lines = append(lines, fmt.Sprintf("%x %+v", class, x))
		}
		after = &list[len(list)-1]
	}
	var usage []string
	require.NoError(t, s.EachUsage(t.Context(), daysAround(noon), func(u aaa.DailyUsage) error {
		usage = append(usage, fmt.Sprintf("%+v", u))
		return nil
	}))
	slices.Sort(usage)
	slices.Sort(lines)
	fmt.Fprintln(&b, strings.Join(lines, "\n"))
	fmt.Fprintf(&b, "%s\nrecords: %d\n", strings.Join(usage, "\n"), db.count(t, "accounting_records"))
	return b.String()
}

// daysAround are the days before and after one that tests use.
func daysAround(day time.Time) (days []time.Time) {
	for n := -40; n <= 40; n++ {
		days = append(days, day.Truncate(24*time.Hour).AddDate(0, 0, n))
	}
	return days
}

// testSinkRepeats writes the same records again with other batch boundaries.
func testSinkRepeats(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	db := rawDB{Raw(t, options)}
	ctx := t.Context()
	sink := sinkOf(t, s)
	var records []aaa.Record
	for i := range 30 {
		records = append(records, life(fmt.Sprintf("%02d", i), 3)...)
	}
	records = append(records, boot(-time.Hour), boot(2*time.Minute))
	require.NoError(t, write(ctx, sink, 1, records...))
	want := dump(t, s, db)
	for _, size := range []int{1, 7, 64, len(records)} {
		end := journal.Position(1)
		for batch := range slices.Chunk(records, size) {
			end++
			require.NoError(t, write(ctx, sink, end, batch...))
		}
		require.Equal(t, want, dump(t, s, db), "batches of %d", size)
	}
	require.NoError(t, write(ctx, sink, 9, append(records, records...)...), "twice in one batch")
	require.Equal(t, want, dump(t, s, db))

	copied := life("00", 3)[2]
	copied.EventDerived = true
	aaa.NewResolver().Resolve(&copied)
	late := copied
	late.EventTime, late.ReceivedAt = late.EventTime.Add(13*time.Hour), late.ReceivedAt.Add(13*time.Hour)
	before := db.count(t, "accounting_records")
	require.NoError(t, write(ctx, sink, 10, copied))
	require.NoError(t, write(ctx, sink, 11, late))
	assert.Equal(t, before+1, db.count(t, "accounting_records"), "a copy whose derived event time is on the next day")
}

// testSinkCopies: two records of one meaning are one record, but the session has
// what either of them says. A NAS sends the second when it has learnt the address.
func testSinkCopies(t *testing.T, database Database) {
	plain := record("01", aaa.AcctInterim, time.Minute, 5)
	more := plain
	more.FramedIP = netip.MustParseAddr("10.0.0.7")
	for name, batches := range map[string][][]aaa.Record{
		"in two batches":         {{plain}, {more}},
		"in one batch":           {{plain, more}},
		"in one, the other way":  {{more, plain}},
		"in two, and once again": {{plain}, {more, plain}, {plain}},
	} {
		s, options := openNode(t, database, "a")
		for i, batch := range batches {
			given := slices.Clone(batch)
			require.NoError(t, write(t.Context(), sinkOf(t, s), journal.Position(i+1), batch...))
			require.Equal(t, given, batch, "the batch is not the sink's to change")
		}
		x, err := s.SessionByID(t.Context(), plain.SessionID)
		require.NoError(t, err)
		assert.Equal(t, more.FramedIP, x.FramedIP, name)
		assert.EqualValues(t, 5, x.InputOctets, name)
		assert.Equal(t, 1, rawDB{Raw(t, options)}.count(t, "accounting_records"), name)
		usage, err := s.UserUsage(t.Context(), plain.Username, noon, noon)
		require.NoError(t, err)
		require.Len(t, usage, 1)
		assert.EqualValues(t, 5, usage[0].InputOctets, name)
	}
}

// testSinkOrders writes the same records in many orders and partitions.
func testSinkOrders(t *testing.T, database Database) {
	var records []aaa.Record
	for i := range 6 {
		records = append(records, life(fmt.Sprintf("%02d", i), 2)...)
	}
	open := life("op", 3)
	records = append(records, open[:3]...)
	records = append(records, boot(-time.Minute), boot(10*time.Minute))
	var want string
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, seed))
		shuffled := append(slices.Clone(records), records[:5]...)
		if seed > 0 {
			random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		}
		s, options := openNode(t, database, "a")
		sink := sinkOf(t, s)
		for len(shuffled) > 0 {
			n := 1 + random.IntN(min(12, len(shuffled)))
			require.NoError(t, write(t.Context(), sink, 1, shuffled[:n]...))
			shuffled = shuffled[n:]
		}
		got := dump(t, s, rawDB{Raw(t, options)})
		if seed == 0 {
			want = got
		}
		require.Equal(t, want, got, "order %d", seed)
	}
}

// testSinkCursor: a batch that does not follow what the database has changes nothing.
func testSinkCursor(t *testing.T, database Database) {
	s, options := openNode(t, database, "a")
	ctx, sink, db := t.Context(), sinkOf(t, s), rawDB{Raw(t, options)}
	records := life("01", 2)
	batch := func(start, end journal.Position, records ...aaa.Record) error {
		return sink.Write(ctx, &ingest.Batch{Records: records, Start: start, End: end})
	}
	require.ErrorIs(t, batch(7, 9, records[0]), ingest.ErrCursorMoved, "the database has none of it")
	require.Zero(t, db.count(t, "sessions"))
	require.NoError(t, batch(0, 7, records[0]))
	require.NoError(t, batch(7, 9, records[1]))
	want := dump(t, s, db)
	for name, start := range map[string]journal.Position{"the first": 0, "one that it has": 7, "a later one": 10} {
		require.ErrorIs(t, batch(start, 20, records[2]), ingest.ErrCursorMoved, name)
		require.Equal(t, want, dump(t, s, db), name)
	}
	require.NoError(t, batch(9, 9), "an empty one")
	options.NodeID = "b"
	require.NoError(t, sinkOf(t, reopen(t, options)).Write(ctx, &ingest.Batch{Records: records[2:3], End: 3}), "another node has its own")
	require.NoError(t, batch(9, 12, records[3]))
	cursor, err := sink.Cursor(ctx)
	require.NoError(t, err)
	require.Equal(t, journal.Position(12), cursor)
}

func testBoots(t *testing.T, database Database) {
	s, _ := openNode(t, database, "a")
	ctx := t.Context()
	sink := sinkOf(t, s)
	old, stopped, newer := life("01", 1), life("02", 1), life("03", 1)
	other := record("04", aaa.AcctStart, 0, 0)
	other.NASAddr = netip.MustParseAddr("192.0.2.2")
	aaa.NewResolver().Resolve(&other)
	for i := range newer {
		newer[i].EventTime = newer[i].EventTime.Add(time.Hour)
		aaa.NewResolver().Resolve(&newer[i])
	}
	require.NoError(t, write(ctx, sink, 1, old[0], old[1], stopped[0], stopped[2], newer[0], other))
	on := boot(30 * time.Minute)
	require.NoError(t, write(ctx, sink, 2, on))

	state := func(sessionID uuid.UUID) string {
		x, err := s.SessionByID(ctx, sessionID)
		require.NoError(t, err)
		if x.Open() {
			return "open"
		}
		return fmt.Sprintf("%s %s %v", x.StoppedAt.Sub(noon), x.TerminateCause, x.StopInferred)
	}
	assert.Equal(t, "30m0s NAS-Reboot true", state(old[0].SessionID))
	assert.Equal(t, "2m0s User-Request false", state(stopped[0].SessionID))
	assert.Equal(t, "open", state(newer[0].SessionID))
	assert.Equal(t, "open", state(other.SessionID))

	require.NoError(t, write(ctx, sink, 3, old[2]))
	assert.Equal(t, "2m0s User-Request false", state(old[0].SessionID), "a late Stop corrects it")

	boots, err := s.Boots(ctx, time.Time{})
	require.NoError(t, err)
	assert.Equal(t, []aaa.Boot{{NASAddr: nasAddr, NASIdentifier: "nas", Status: aaa.AcctOn, At: noon.Add(30 * time.Minute)}}, boots)
	boots, err = s.Boots(ctx, noon.Add(time.Hour))
	require.NoError(t, err)
	assert.Empty(t, boots)
}
