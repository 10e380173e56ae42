package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/report"
	"radiusd/report/reporttest"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// loadReports makes a store with a history in it.
func loadReports(t testing.TB, options store.Options, h *reporttest.History) report.Source {
	t.Helper()
	options.Sealer, options.AutoMigrate, options.NodeID, options.Location = seal.New(storetest.Key), true, "node", h.Zone
	s, err := store.Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	sink, err := s.NewSink()
	require.NoError(t, err)
	for n, rest := 0, h.Records; len(rest) > 0; n++ {
		size := min(len(rest), 100+37*n%400)
		require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: rest[:size], Start: journal.Position(n), End: journal.Position(n + 1)}))
		rest = rest[size:]
	}
	require.NoError(t, s.CloseSessions(t.Context(), h.Closings))
	require.NoError(t, s.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(h.Decisions...)))
	return s
}

func TestReportsSQLite(t *testing.T) {
	reporttest.Run(t, reporttest.Knowledge{InferredStops: true}, func(t testing.TB, h *reporttest.History) report.Source {
		return loadReports(t, sqliteDatabase(t), h)
	})
}

func TestReportsPostgres(t *testing.T) {
	reporttest.Run(t, reporttest.Knowledge{InferredStops: true}, func(t testing.TB, h *reporttest.History) report.Source {
		return loadReports(t, postgresDatabase(t), h)
	})
}

// TestReportsAgree: the engines give the same rows.
func TestReportsAgree(t *testing.T) {
	h := reporttest.NewHistory(time.UTC, 7, 200)
	lite, postgres := loadReports(t, sqliteDatabase(t), h), loadReports(t, postgresDatabase(t), h)
	for name, q := range h.Queries() {
		require.Equal(t, reporttest.UsageRows(t, lite, q), reporttest.UsageRows(t, postgres, q), name)
	}
}
