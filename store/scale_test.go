package store_test

import (
	"database/sql"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// scaleSessions is how many sessions the tests of scale make; RADIUSD_SCALE=1000000
// makes the million.
func scaleSessions(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("RADIUSD_SCALE"))
	if err != nil {
		n = 1_000
	}
	return n
}

// A start with many open sessions and more than a month of usage of their users.
func TestLiveSessionsAreRebuiltQuickly(t *testing.T) {
	for name, database := range map[string]storetest.Database{"SQLite": sqliteDatabase, "Postgres": postgresDatabase} {
		t.Run(name, func(t *testing.T) {
			n := scaleSessions(t)
			options := database(t)
			options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
			s, err := store.Open(t.Context(), options)
			require.NoError(t, err)
			defer s.Close()
			fillSessions(t, s, storetest.Raw(t, options), n)

			require.NoError(t, s.Maintain(t.Context(), store.Retention{}))
			before := heap()
			began := time.Now()
			live := aaa.NewLiveSessions(aaa.LiveOptions{})
			require.NoError(t, live.Load(t.Context(), s))
			took := time.Since(began)
			each := (heap() - before) / uint64(n)
			t.Logf("%d sessions in %v (%.0f/s), %d octets each", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), each)
			require.Equal(t, n, live.OpenCount())
			if n >= 100_000 { // with few sessions what is there once counts as well
				require.LessOrEqual(t, each, uint64(600))
			}
			require.Equal(t, aaa.Usage{Seconds: usageDays * 3600, InputOctets: usageDays * 1e9, OutputOctets: usageDays * 1e10},
				live.Used("user00000077@example.org", aaa.PeriodEver, time.Now()))
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// usageDays is on how many days each user has used something.
const usageDays = 40

// fillSessions makes n open sessions, like one that came through the sink, and the
// usage of as many users.
func fillSessions(t testing.TB, s *store.Store, db *sql.DB, n int) {
	t.Helper()
	sink, err := s.NewSink()
	require.NoError(t, err)
	now := time.Now().UTC().Add(-time.Hour)
	var records []aaa.Record
	for round := range 2 { // a Start and an interim
		r := benchmarkRecord(now, 0, round, 0)
		r.FramedIP, r.DelegatedPrefix = netip.MustParseAddr("10.1.2.3"), netip.MustParsePrefix("2001:db8:3::/56")
		records = append(records, r)
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, End: 1}))

	id, series, days, day := "md5('session' || g)::uuid", "generate_series(1, %d) AS g", "generate_series(1, %d) AS d", "current_date - d"
	number := "lpad(g::text, 8, '0')"
	if s.Engine() == "sqlite" {
		id = "lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(6)))"
		series = "(WITH RECURSIVE series(g) AS (VALUES (1) UNION ALL SELECT g + 1 FROM series WHERE g < %d) SELECT g FROM series)"
		days, day = "(WITH RECURSIVE days(d) AS (VALUES (1) UNION ALL SELECT d + 1 FROM days WHERE d < %d) SELECT d FROM days)", "date('now', '-' || d || ' days')"
		number = "printf('%%08d', g)"
	}
	columns := "acct_multi_session_id, nas_id, nas_ip, nas_identifier, nas_port, nas_port_id, framed_ip, framed_ipv6, framed_ipv6_prefix, " +
		"delegated_prefix, calling_station_id, called_station_id, class, started_at, start_inferred, updated_at, stopped_at, stop_inferred, session_seconds, " +
		"input_octets, output_octets, input_packets, output_packets, terminate_cause, counter_wrapped, provenance"
	for _, statement := range []string{
		fmt.Sprintf("INSERT INTO sessions (id, acct_session_id, username, "+columns+") SELECT "+id+", acct_session_id || g, 'user' || "+number+
			" || '@example.org', "+columns+" FROM sessions, "+series, n),
		fmt.Sprintf("INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets) SELECT 'user' || "+number+
			" || '@example.org', "+day+", 3600, 1000000000, 10000000000 FROM "+series+", "+
			fmt.Sprintf(days, usageDays), n),
		"DELETE FROM sessions WHERE username = 'user00000000@example.org'",
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	if s.Engine() == "postgres" {
		_, err := db.ExecContext(t.Context(), "VACUUM ANALYZE")
		require.NoError(t, err)
	}
}

// However long a boot takes to end its sessions, another node's records of other
// NASes do not wait for it.
func TestABootHoldsUpItsOwnNASOnly(t *testing.T) {
	options := postgresDatabase(t)
	options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "first"
	first, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer first.Close()
	options.NodeID = "second"
	second, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	defer second.Close()
	write := func(s *store.Store, start, end journal.Position, records ...aaa.Record) error {
		sink, err := s.NewSink()
		require.NoError(t, err)
		resolver := aaa.NewResolver()
		for i := range records {
			resolver.Resolve(&records[i])
		}
		return sink.Write(t.Context(), &ingest.Batch{Records: records, Start: start, End: end})
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	require.NoError(t, write(first, 0, 1, benchmarkRecord(now, 0, 0, 0), benchmarkRecord(now, 0, 0, 1)))

	// Somebody holds a session of the NAS, so that its boot goes on for ever.
	db := storetest.Raw(t, options)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.ExecContext(t.Context(), "SELECT id FROM sessions FOR UPDATE")
	require.NoError(t, err)
	on := aaa.Record{Status: aaa.AcctOn, NASAddr: nasAddr, NASIdentifier: "bench", EventTime: now.Add(time.Minute), ReceivedAt: now}
	booted := make(chan error, 1)
	go func() { booted <- write(first, 1, 2, on) }()
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE sessions%'").Scan(&waiting))
		return waiting == 1
	}, 20*time.Second, 10*time.Millisecond)

	other := benchmarkRecord(now, 1, 0, 7)
	other.NASAddr = netip.MustParseAddr("192.0.2.77")
	require.NoError(t, write(second, 0, 1, other), "it does not wait")
	select {
	case err := <-booted:
		require.FailNow(t, "the boot was to wait", err)
	default:
	}
	require.NoError(t, tx.Commit())
	require.NoError(t, <-booted)
	var open int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sessions WHERE stopped_at IS NULL").Scan(&open))
	require.Equal(t, 1, open)
}
