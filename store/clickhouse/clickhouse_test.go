package clickhouse

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
)

func TestMain(m *testing.M) {
	code := testserver.Main(m)
	if code == 0 {
		if err := testserver.Leaked(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}

// openTest opens a new database with a schema.
func openTest(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: testserver.ClickHouse(t), NodeID: "node-a", AutoMigrate: true, Location: vienna(t)})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func vienna(t testing.TB) *time.Location {
	t.Helper()
	location, err := time.LoadLocation("Europe/Vienna")
	require.NoError(t, err)
	return location
}

func newTestSink(t testing.TB, s *Store) *Sink {
	t.Helper()
	sink, err := s.NewSink()
	require.NoError(t, err)
	return sink
}

// batchOf is the first batch of a sink.
func batchOf(records []aaa.Record) *ingest.Batch { return &ingest.Batch{Records: records, End: 1} }

// take has the sink take records as its next batch.
func take(t testing.TB, sink *Sink, records []aaa.Record) {
	t.Helper()
	start, err := sink.Cursor(t.Context())
	require.NoError(t, err)
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, Start: start, End: start + 1}))
}
