package clickhouse

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"radiusd/report"
)

// BenchmarkReports times the reports of a month with many sessions: a day long, with
// a record every six hours. RADIUSD_BENCH_SESSIONS says how many.
func BenchmarkReports(b *testing.B) {
	sessions := 20_000
	if n, err := strconv.Atoi(os.Getenv("RADIUSD_BENCH_SESSIONS")); err == nil {
		sessions = n
	}
	s := openTest(b)
	ctx, rows := b.Context(), 0
	const part = 50_000 // the driver gives up on a statement that says nothing for long
	for done := 0; done < sessions; done += part {
		require.NoError(b, s.conn.Exec(ctx, fmt.Sprintf(benchInsert, 5*done, 5*min(part, sessions-done))))
	}
	zone := vienna(b)
	span := report.Span{From: time.Date(2026, 11, 1, 0, 0, 0, 0, zone), To: time.Date(2026, 12, 1, 0, 0, 0, 0, zone), Period: report.Day, Zone: zone}
	total, hours := span, span
	total.Period, hours.Period = report.Total, report.Hour
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
	run("one user by hour", usage(report.UsageQuery{Span: hours, By: report.ByUser, User: "user 17"}))
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
}

// benchInsert makes records: from which number on, and how many.
const benchInsert = `INSERT INTO accounting_records (record_id, session_id, status, username, plan, nas_ip, framed_ip, delegated_prefix, event_time, received_at,
		has_gigawords, session_seconds, input_octets, output_octets, terminate_cause, usage_at, usage_day, version)
	SELECT toUUID(concat('00000000-0000-4000-8000-', substring(toString(1000000000000 + number), 2))), toUUID(concat('00000000-0000-4000-8001-', substring(toString(1000000000000 + n), 2))),
		['start', 'interim', 'interim', 'interim', 'stop'][k + 1], concat('user ', toString(intDiv(n, 29))), 'home', concat('192.0.2.', toString(n %% 3)),
		concat('10.', toString(intDiv(n, 65536) %% 256), '.', toString(intDiv(n, 256) %% 256), '.', toString(n %% 256)), concat('2001:db8:', lower(hex(toUInt16(n %% 65536))), '::/48'),
		toDateTime(at, 'UTC'), toDateTime(at, 'UTC'), 1, k * 21600, k * 1000000, k * 10000000, if(k = 4, 'User-Request', ''), toInt64(at) * 1000000, toDate(toDateTime(at, 'Europe/Vienna')), 1
	FROM (SELECT number, intDiv(number, 5) AS n, number %% 5 AS k, toUInt32(toDateTime('2026-11-01 00:00:00', 'UTC')) + n * 2505 %% 2505600 + k * 21600 AS at FROM (SELECT %d + number AS number FROM system.numbers LIMIT %d))`
