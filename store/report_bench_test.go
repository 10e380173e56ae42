package store_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/report"
	"radiusd/store"
	"radiusd/store/seal"
	"radiusd/store/storetest"
)

// BenchmarkReports times the reports of a month with many sessions: a day long, with
// a record every six hours. RADIUSD_BENCH_SESSIONS says how many.
func BenchmarkReports(b *testing.B) {
	sessions := 20_000
	if n, err := strconv.Atoi(os.Getenv("RADIUSD_BENCH_SESSIONS")); err == nil {
		sessions = n
	}
	for name, database := range map[string]storetest.Database{"SQLite": sqliteDatabase, "Postgres": postgresDatabase} {
		b.Run(name, func(b *testing.B) {
			options := database(b)
			options.Sealer, options.AutoMigrate, options.NodeID = seal.New(storetest.Key), true, "node"
			options.Now = func() time.Time { return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC) }
			s, err := store.Open(b.Context(), options)
			require.NoError(b, err)
			defer s.Close()
			require.NoError(b, s.Maintain(b.Context(), store.Retention{}))
			fillReports(b, options, sessions)
			span := report.Span{From: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), Period: report.Day, Zone: time.UTC}
			total := span
			total.Period = report.Total
			ctx, rows := b.Context(), 0
			run := func(name string, fn func() error) {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						rows = 0
						require.NoError(b, fn())
						require.NotZero(b, rows)
					}
				})
			}
			usage := func(q report.UsageQuery) func() error {
				return func() error { return s.Usage(ctx, q, func(report.Usage) error { rows++; return nil }) }
			}
			run("top users", usage(report.UsageQuery{Span: total, By: report.ByUser, Limit: 20}))
			run("all users by day", usage(report.UsageQuery{Span: span, By: report.ByUser}))
			run("one user by hour", usage(report.UsageQuery{Span: report.Span{From: span.From, To: span.To, Period: report.Hour, Zone: time.UTC}, By: report.ByUser, User: "user 17"}))
			run("NASes by day", usage(report.UsageQuery{Span: span, By: report.ByNAS}))
			run("concurrent", func() error {
				return s.Concurrent(ctx, report.ConcurrentQuery{From: span.From, To: span.To, Step: time.Hour}, func(report.Concurrent) error { rows++; return nil })
			})
			run("address", func() error {
				return s.Holders(ctx, report.HolderQuery{Address: netip.MustParseAddr("10.0.0.17"), From: span.From, To: span.To}, func(report.Holder) error { rows++; return nil })
			})
			run("prefix", func() error {
				return s.Holders(ctx, report.HolderQuery{Address: netip.MustParseAddr("2001:db8:11::1"), From: span.From, To: span.To}, func(report.Holder) error { rows++; return nil })
			})
			run("terminate causes by day", func() error {
				return s.Counts(ctx, report.CountQuery{Span: span, Event: report.Stops}, func(report.Count) error { rows++; return nil })
			})
		})
	}
}

// fillReports writes the sessions with the engine's own means.
func fillReports(b *testing.B, options store.Options, sessions int) {
	b.Helper()
	db := storetest.Raw(b, options)
	numbers := fmt.Sprintf("WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < %d)", sessions-1)
	id := "printf('00000000-0000-4000-8000-%012d', n)"
	at := "strftime('%%Y-%%m-%%dT%%H:%%M:%%S.000000Z', '2026-11-01', (n * 2505 %% 2505600 + %s) || ' seconds')"
	address, prefix := "'10.' || (n / 65536 % 256) || '.' || (n / 256 % 256) || '.' || (n % 256)", "printf('2001:db8:%x::/48', n % 65536)"
	analyze := "ANALYZE"
	if options.URL != "" {
		numbers = fmt.Sprintf("WITH numbers AS (SELECT generate_series(0, %d)::bigint AS n)", sessions-1)
		id = "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid"
		at = "timestamptz '2026-11-01 00:00:00+00' + (n * 2505 %% 2505600 + %s) * interval '1 second'"
		address, prefix = "("+address+")::inet", "('2001:db8:' || to_hex(n % 65536) || '::/48')::inet"
	}
	for _, statement := range []string{
		"INSERT INTO sessions (id, acct_session_id, acct_multi_session_id, username, nas_ip, nas_identifier, nas_port, nas_port_id, framed_ip, delegated_prefix, calling_station_id," +
			" called_station_id, started_at, start_inferred, updated_at, stopped_at, stop_inferred, session_seconds, input_octets, output_octets, input_packets, output_packets, terminate_cause, counter_wrapped) " +
			numbers + " SELECT " + id + ", 's', '', 'user ' || (n / 29), " + "CASE n % 3 WHEN 0 THEN '192.0.2.1' WHEN 1 THEN '192.0.2.2' ELSE '192.0.2.3' END" + map[bool]string{true: "::inet"}[options.URL != ""] + ", '', 0, '', " +
			address + ", " + prefix + ", '', '', " + fmt.Sprintf(at, "0") + ", false, " + fmt.Sprintf(at, "86400") + ", " + fmt.Sprintf(at, "86400") + ", false, 86400, 4000000, 40000000, 0, 0, 'User-Request', false FROM numbers",
		"INSERT INTO accounting_records (record_id, session_id, acct_session_id, acct_multi_session_id, status, username, nas_ip, nas_identifier, nas_port, nas_port_id, calling_station_id, called_station_id," +
			" event_time, event_derived, received_at, clock_off, delay_seconds, session_seconds, input_octets, output_octets, input_packets, output_packets, has_gigawords, terminate_cause) " +
			numbers + " SELECT " + map[bool]string{true: "gen_random_uuid()", false: id + " || k"}[options.URL != ""] + ", " + id + ", 's', '', CASE k WHEN 0 THEN 'start' WHEN 4 THEN 'stop' ELSE 'interim' END, 'user ' || (n / 29), NULL, '', 0, '', '', '', " +
			fmt.Sprintf(at, "k * 21600") + ", false, " + fmt.Sprintf(at, "k * 21600") + ", false, 0, k * 21600, k * 1000000, k * 10000000, 0, 0, true, '' FROM numbers CROSS JOIN (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4) AS k",
		"INSERT INTO usage_daily (username, day, session_seconds, input_octets, output_octets) " + numbers +
			" SELECT 'user ' || (n / 29), " + map[bool]string{true: "date '2026-11-01' + (n % 29)::int", false: "date('2026-11-01', (n % 29) || ' days')"}[options.URL != ""] + ", 86400, 4000000, 40000000 FROM numbers",
		analyze,
	} {
		_, err := db.ExecContext(b.Context(), statement)
		require.NoError(b, err, statement)
	}
}
