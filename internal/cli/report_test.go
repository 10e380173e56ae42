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
	require.NoError(t, sql.AppendAuthRecords(t.Context(), decision("in the store")))
	url := testserver.ClickHouse(t)
	history, err := clickhouse.Open(t.Context(), clickhouse.Options{URL: url, AutoMigrate: true})
	require.NoError(t, err)
	defer history.Close()
	require.NoError(t, history.AppendAuthRecords(t.Context(), decision("in ClickHouse")))

	asks := func(want string, args ...string) {
		t.Helper()
		rows := s.rows(append([]string{"report", "reject-reasons", "--by", "user"}, args...)...)
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
