package clickhouse

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/report"
	"radiusd/report/reporttest"
)

// ClusterEnv names an environment variable with the URL of a database on a cluster
// that is named main, of which it may be all hosts. There is none in a test by itself:
// it takes a ZooKeeper.
const ClusterEnv = "RADIUSD_TEST_CLICKHOUSE_CLUSTER"

// What is written to a cluster, twice, reads as it does from a single server.
func TestCluster(t *testing.T) {
	url := os.Getenv(ClusterEnv)
	if url == "" {
		t.Skipf("%s does not name a cluster", ClusterEnv)
	}
	h := reporttest.NewHistory(vienna(t), 400, 60)
	single := loadReports(t, h)
	options := Options{URL: url, Cluster: "main", NodeID: "node-a", AutoMigrate: true, Location: h.Zone}
	s, err := Open(t.Context(), options)
	require.NoError(t, err)
	defer s.Close()
	defer func() {
		require.NoError(t, s.exec(t.Context(), "DROP DATABASE "+quote(s.schema.database)+" "+s.schema.onCluster()))
	}()
	require.NoError(t, Migrate(t.Context(), options, func(Migration) { require.Fail(t, "nothing is left to do") }))
	sink := newTestSink(t, s)
	r := newReplay(400, h)
	for range 2 {
		r.batches(h.Records, func(batch []aaa.Record) { require.NoError(t, sink.Write(t.Context(), batchOf(batch))) })
		require.NoError(t, sink.Write(t.Context(), batchOf(h.Records)))
		require.NoError(t, s.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(h.Decisions...)))
	}
	position, err := newTestSink(t, s).Cursor(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, position)
	require.EqualValues(t, len(h.Records), count(t, s, "SELECT count() FROM accounting_records FINAL"))
	require.EqualValues(t, len(h.Decisions), count(t, s, "SELECT count() FROM auth_records FINAL"))
	for name, q := range h.Queries() {
		require.Equal(t, reporttest.UsageRows(t, single, q), reporttest.UsageRows(t, s, q), name)
	}
	from, to := h.Records[0].EventTime.AddDate(0, 0, -1), h.Records[0].EventTime.AddDate(0, 0, 30)
	concurrent := func(s *Store) (list []report.Concurrent) {
		require.NoError(t, s.Concurrent(t.Context(), report.ConcurrentQuery{From: from, To: to, Step: time.Hour},
			func(c report.Concurrent) error { list = append(list, c); return nil }))
		return list
	}
	require.Equal(t, concurrent(single), concurrent(s))
	for _, event := range []report.Event{report.Stops, report.Rejects} {
		counts := func(s *Store) (list []report.Count) {
			require.NoError(t, s.Counts(t.Context(), report.CountQuery{Span: report.Span{From: from, To: to, Period: report.Day, Zone: h.Zone}, Event: event, By: report.ByNAS},
				func(c report.Count) error { list = append(list, c); return nil }))
			return list
		}
		require.Equal(t, counts(single), counts(s))
	}
	s.options.RetentionDays = 30
	s.now = func() time.Time { return to.AddDate(1, 0, 0) }
	require.NoError(t, s.Maintain(t.Context()))
	require.Zero(t, count(t, s, "SELECT count() FROM accounting_records"))
}
