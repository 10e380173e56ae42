package clickhouse

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/journal"
	"radiusd/report"
	"radiusd/report/reporttest"
	"radiusd/store"
	"radiusd/store/seal"
)

// loadReports makes a database with a history in it. All of it is written twice, in
// other batches.
func loadReports(t testing.TB, h *reporttest.History) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: testserver.ClickHouse(t), NodeID: "node-a", AutoMigrate: true, Location: h.Zone})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	sink := newTestSink(t, s)
	for _, size := range []int{700, 1100} {
		for chunk := range slices.Chunk(h.Records, size) {
			take(t, sink, chunk)
		}
		require.NoError(t, s.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(h.Decisions...)))
	}
	return s
}

func TestReports(t *testing.T) {
	reporttest.Run(t, reporttest.Knowledge{}, func(t testing.TB, h *reporttest.History) report.Source { return loadReports(t, h) })
}

// TestReportsAgree: ClickHouse says to the octet what the SQL store says.
func TestReportsAgree(t *testing.T) {
	for seed := range uint64(1) {
		h := reporttest.NewHistory(vienna(t), 100+seed, 200)
		s := loadReports(t, h)
		sql, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "radiusd.db"), Sealer: seal.New(seal.NewKey()),
			AutoMigrate: true, NodeID: "node", Location: h.Zone})
		require.NoError(t, err)
		defer sql.Close()
		sink, err := sql.NewSink()
		require.NoError(t, err)
		end := journal.Position(0)
		for chunk := range slices.Chunk(h.Records, 500) {
			require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: chunk, Start: end, End: end + 1}))
			end++
		}
		for name, q := range h.Queries() {
			require.Equal(t, reporttest.UsageRows(t, sql, q), reporttest.UsageRows(t, s, q), "seed %d: %s", seed, name)
		}
	}
}

// TestLongReports: a report may take longer than a read, and ends early if nobody
// wants more of it.
func TestLongReports(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: testserver.ClickHouse(t) + "?read_timeout=1s", AutoMigrate: true})
	require.NoError(t, err)
	defer s.Close()
	var n uint64
	require.NoError(t, s.eachRow(t.Context(), query{text: "SELECT toUInt64(sleep(1.5))"}, []any{&n}, func() error { return nil }))
	enough, rows := errors.New("enough"), 0
	err = s.eachRow(t.Context(), query{text: "SELECT number FROM system.numbers"}, []any{&n}, func() error { // without end
		if rows++; rows == 1000 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	require.NoError(t, s.eachRow(t.Context(), query{text: "SELECT toUInt64(7)"}, []any{&n}, func() error { return nil }), "the store works on")
	require.EqualValues(t, 7, n)
}

// TestUsageStaysWhenRecordsAreDeleted: points that leave something open are all there
// is of sessions that are past the retention of records.
func TestUsageStaysWhenRecordsAreDeleted(t *testing.T) {
	s := openTest(t)
	began := time.Date(2030, 3, 1, 12, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return began.AddDate(0, 0, 100) }
	var records []aaa.Record
	for hours, octets := range []uint64{0, 1_000_000_000, 3_000_000_000, 3_500_000_000} { // it may have wrapped, and has not
		r := fullRecord()
		r.ID, r.EventTime, r.EventDerived, r.HasGigawords = testID(1, hours), began.Add(time.Duration(hours)*time.Hour), false, false
		r.ReceivedAt, r.SessionSeconds, r.InputOctets, r.OutputOctets = r.EventTime, uint64(3600*hours), octets, 5
		r.Plan = []string{"gold", "free"}[hours%2] // and back
		records = append(records, r)
	}
	take(t, newTestSink(t, s), records)
	month := time.Date(2030, 3, 1, 0, 0, 0, 0, vienna(t))
	q := report.UsageQuery{By: report.ByUser, Span: report.Span{From: month, To: month.AddDate(0, 1, 0), Period: report.Month, Zone: vienna(t)}}
	want := reporttest.UsageRows(t, s, q)
	require.Len(t, want, 1)
	require.EqualValues(t, 3_500_000_000, want[0].InputOctets)
	require.EqualValues(t, 3*3600, want[0].Seconds)

	s.options.RetentionDays = 30
	require.NoError(t, s.exec(t.Context(), "TRUNCATE TABLE accounting_records"))
	require.Equal(t, want, reporttest.UsageRows(t, s, q))
}
