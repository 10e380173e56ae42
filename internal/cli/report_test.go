package cli

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/internal/testserver"
	"radiusd/report"
	"radiusd/store"
	"radiusd/store/clickhouse"
	"radiusd/store/seal"
)

func TestReports(t *testing.T) {
	t.Run("ClickHouse", func(t *testing.T) {
		s := newSite(t, "")
		s.environ = append(s.environ, "RADIUSD_CLICKHOUSE_URL="+testserver.ClickHouse(t))
		s.ok("migrate", "up")
		testReports(t, s)
	})
	engines(t, testReports)
}

// testReports runs each report and each example of its help on an empty source.
func testReports(t *testing.T, s *site) {
	for _, r := range report.Catalogue() {
		args := []string{"report", r.Name}
		if r.Name == "address" {
			args = append(args, "2001:db8::1")
		}
		table := s.ok(args...)
		for _, c := range r.Columns(nil) {
			if title := strings.ToUpper(strings.ReplaceAll(c.Name, "_", " ")); !c.Detail {
				assert.Contains(t, table, title, r.Name)
			}
		}
		if r.Name != "concurrent" {
			assert.Equal(t, "[]\n", s.ok(append(args, "-o", "json")...), r.Name)
		}
		for _, example := range r.Examples {
			s.ok(append([]string{"report"}, strings.Fields(example)...)...)
		}
	}
}

// TestReportSource: ClickHouse is asked if there is one, and the store while it is
// away.
func TestReportSource(t *testing.T) {
	s := newSite(t, "")
	s.ok("user", "list")
	decision := func(username string) []aaa.AuthRecord {
		return []aaa.AuthRecord{{ID: uuid.Must(uuid.NewV7()), At: time.Now(), Username: username, Reason: aaa.ReasonExpired, NASAddr: netip.MustParseAddr("192.0.2.1")}}
	}
	key, err := seal.LoadKey(filepath.Join(s.dir, "data", masterKeyFile))
	require.NoError(t, err)
	sql, err := store.Open(t.Context(), store.Options{Path: filepath.Join(s.dir, "data", databaseFile), Sealer: seal.New(key)})
	require.NoError(t, err)
	defer sql.Close()
	require.NoError(t, sql.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(decision("in the store")...)))
	url := testserver.ClickHouse(t)
	history, err := clickhouse.Open(t.Context(), clickhouse.Options{URL: url, AutoMigrate: true})
	require.NoError(t, err)
	defer history.Close()
	require.NoError(t, history.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(decision("in ClickHouse")...)))

	asks := func(want string, args ...string) {
		t.Helper()
		rows := s.rows(append([]string{"report", "reject-reasons", "--by", "user", "--from", "yesterday"}, args...)...) // a month may have begun since
		require.Len(t, rows, 1)
		assert.Equal(t, want, rows[0]["username"])
		assert.Equal(t, "expired", rows[0]["reason"])
		assert.EqualValues(t, 1, rows[0]["rejects"])
	}
	asks("in the store")
	assert.Contains(t, s.fails(exitUsage, "report", "usage", "--source", "clickhouse"), "--source: the configuration names no ClickHouse")
	assert.Contains(t, s.fails(exitUsage, "report", "usage", "--source", "oracle"), `--source: "oracle" is not one of auto, clickhouse, sql`)
	s.environ = append(s.environ, "RADIUSD_CLICKHOUSE_URL="+url)
	asks("in ClickHouse")
	asks("in the store", "--source", "sql")
	s.environ = append(s.environ, "RADIUSD_CLICKHOUSE_URL=clickhouse://127.0.0.1:1/radiusd")
	asks("in the store")
	assert.Contains(t, s.run("report", "usage").err, "warning: ")
	assert.Contains(t, s.fails(exitFailed, "report", "usage", "--source", "clickhouse"), "cannot be reached")
}

// TestReportOfASession: what a NAS has sent comes out of the commands.
func TestReportOfASession(t *testing.T) {
	s := newSite(t, "")
	s.environ = append(s.environ, "RADIUSD_TIME_ZONE=Europe/Vienna")
	s.ok("user", "list")
	key, err := seal.LoadKey(filepath.Join(s.dir, "data", masterKeyFile))
	require.NoError(t, err)
	vienna, err := time.LoadLocation("Europe/Vienna")
	require.NoError(t, err)
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(s.dir, "data", databaseFile), Sealer: seal.New(key), NodeID: "node", Location: vienna})
	require.NoError(t, err)
	defer db.Close()
	sink, err := db.NewSink()
	require.NoError(t, err)
	start := time.Date(2026, 11, 1, 23, 0, 0, 0, vienna)
	var records []aaa.Record
	for n, status := range []aaa.AcctStatus{aaa.AcctStart, aaa.AcctStop} {
		at := start.Add(time.Duration(n) * 4 * time.Hour).UTC()
		records = append(records, aaa.Record{Status: status, AcctSessionID: "4711", Username: "=alice", Plan: "home", NASAddr: netip.MustParseAddr("192.0.2.1"),
			FramedIP: netip.MustParseAddr("198.51.100.7"), EventTime: at, ReceivedAt: at, HasSeconds: n == 1, HasOctets: n == 1, HasGigawords: true,
			SessionSeconds: uint64(n) * 14400, InputOctets: uint64(n) * 4_000_000, OutputOctets: uint64(n) * 8_000_000})
	}
	records[1].TerminateCause = "User-Request"
	for i := range records {
		aaa.NewResolver().Resolve(&records[i])
	}
	require.NoError(t, sink.Write(t.Context(), &ingest.Batch{Records: records, End: 1}))

	of := func(args string) []string { return append([]string{"report"}, strings.Fields(args)...) }
	assert.Equal(t, `START       USERNAME  SESSION SECONDS  INPUT OCTETS  OUTPUT OCTETS  OCTETS
2026-11-01  =alice    1h               1.00MB        2.00MB         3.00MB
2026-11-02  =alice    3h               3.00MB        6.00MB         9.00MB
`, s.ok(of("usage --period day --from 2026-11-01 --to 2026-11-03")...))
	assert.Equal(t, "start,plan,session_seconds,input_octets,output_octets,octets\n2026-11-01T00:00:00+01:00,home,14400,4000000,8000000,12000000\n",
		s.ok(of("usage --by plan --from 2026-11-01 --to 2026-11-03 -o csv")...))
	assert.Equal(t, "username,session_seconds,input_octets,output_octets,octets\n'=alice,14400,4000000,8000000,12000000\n",
		s.ok(of("top-users --from 2026-11-01 --to 2026-11-03 -o csv")...), "nobody's spreadsheet runs it")
	assert.Len(t, s.rows(of("usage --by nas --period hour --from 2026-11-01 --to 2026-11-03 --nas 192.0.2.1")...), 4)
	rows := s.rows(of("concurrent --from 2026-11-01T20:00:00Z --to 2026-11-02T02:00:00Z --step 3h")...)
	require.Len(t, rows, 2)
	assert.Equal(t, map[string]any{"at": "2026-11-01T21:00:00+01:00", "sessions": 0., "most": 1.}, rows[0])
	rows = s.rows(of("address 198.51.100.7 --at 2026-11-02")...)
	require.Len(t, rows, 1)
	assert.Equal(t, records[0].SessionID.String(), rows[0]["session_id"])
	assert.Equal(t, "2026-11-02T02:00:00Z", rows[0]["stopped_at"])
	assert.Equal(t, "198.51.100.7", rows[0]["held"])
	assert.Empty(t, s.rows(of("address 198.51.100.7 --at 2026-11-03")...))
	rows = s.rows(of("terminate-causes --by nas --from 2026-11-01")...)
	require.Len(t, rows, 1)
	assert.Equal(t, map[string]any{"start": "2026-11-01T00:00:00+01:00", "nas_ip": "192.0.2.1", "terminate_cause": "User-Request", "inferred": false, "sessions": 1.}, rows[0])
}

func TestReportErrors(t *testing.T) {
	s := newSite(t, "")
	for args, want := range map[string]string{
		"usage --by nobody":                      `--by: "nobody" is not one of user, nas, plan`,
		"usage --period fortnight":               `--period: "fortnight" is not one of total, hour, day, week, month`,
		"usage --from 2026-13-01":                `--from: "2026-13-01" is neither a day, like 2026-12-31, nor a time in RFC 3339`,
		"usage --from tomorrow --to today":       `--to: `,
		"usage --from 2020-01-01 --period hour":  `--period: more than 10000 periods`,
		"usage --limit many":                     `--limit: "many" is not a whole number`,
		"usage --nas lab":                        `--nas: "lab" is not an IP address`,
		"usage --user=":                          `--user is empty`,
		"concurrent --step 0s":                   `--step: "0s" is not a span of time`,
		"concurrent --from 2020-01-01 --step=1m": `--step: more than 10000 steps`,
		"address":                                `missing ADDRESS`,
		"address nowhere":                        `"nowhere" is not an IP address`,
		"address ::1 --to today":                 `--from: is missing where to is given`,
		"address ::1 --at now --to now":          `--at: goes without from and to`,
		"adress ::1":                             `has no command "adress": did you mean address`,
	} {
		assert.Contains(t, s.fails(exitUsage, append([]string{"report"}, strings.Fields(args)...)...), want, args)
	}
}

// TestReportFormats: people get units, programs numbers.
func TestReportFormats(t *testing.T) {
	vienna, err := time.LoadLocation("Europe/Vienna")
	require.NoError(t, err)
	columns := columnsOf([]report.Column{
		{Name: "start", Unit: report.UnitStart}, {Name: "seconds", Unit: report.UnitSeconds}, {Name: "octets", Unit: report.UnitOctets}})
	row := report.Row{report.Start{At: time.Date(2026, 11, 1, 0, 0, 0, 0, vienna), Period: report.Month}, uint64(100000), uint64(1500000)}
	var human, plain []string
	for _, c := range columns {
		human, plain = append(human, c.cell(&row)), append(plain, text(c.value(&row)))
	}
	assert.Equal(t, []string{"2026-11", "1d 3h47m", "1.50MB"}, human)
	assert.Equal(t, []string{"2026-11-01T00:00:00+01:00", "100000", "1500000"}, plain)
	for seconds, want := range map[uint64]string{0: "", 59: "59s", 3600: "1h", 86400: "1d", 172800 + 3600: "2d 1h", 1 << 40: "12725829d"} {
		assert.Equal(t, want, formatOnline(seconds))
	}
}
