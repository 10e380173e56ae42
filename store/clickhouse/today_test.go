package clickhouse

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"radiusd/aaa"
	"radiusd/internal/testserver"
	"radiusd/report"
	"radiusd/report/reporttest"
)

// today is ClickHouse's engine of today, without a server.
type today struct {
	t            *testing.T
	node         string
	chdb, folder string
}

// newToday finds the engine, which scripts/install-test-servers installs.
func newToday(t *testing.T) *today {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	chdb := filepath.Join(cache, "radiusd-test", "chdb")
	_, err = os.Stat(filepath.Join(chdb, "node_modules", "chdb"))
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("today's ClickHouse is not installed here, see scripts/install-test-servers; it is where CI runs")
	}
	require.NoError(t, err)
	return &today{t: t, node: testserver.Program(t, "node"), chdb: chdb, folder: filepath.Join(t.TempDir(), "data")}
}

// run runs statements and returns what each printed, tab-separated. All must succeed.
func (e *today) run(statements ...string) []string {
	e.t.Helper()
	input, err := json.Marshal(statements)
	require.NoError(e.t, err)
	cmd := exec.Command(e.node, filepath.Join("testdata", "chdb.cjs"), e.chdb, e.folder)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	cmd.Env = append(os.Environ(), "TZ=UTC")
	require.NoError(e.t, cmd.Run(), "%s%s", &out, &errs)
	var results []struct{ Output, Error string }
	require.NoError(e.t, json.Unmarshal(out.Bytes(), &results), "%s", &out)
	require.Len(e.t, results, len(statements))
	outputs := make([]string, len(results))
	for i, r := range results {
		require.Empty(e.t, r.Error, "%s", statements[i])
		outputs[i] = r.Output
	}
	return outputs
}

// recorder is a connection that notes the statements it is given.
type recorder struct {
	driver.Conn
	t testing.TB

	mu      sync.Mutex
	reads   map[string]bool // with their arguments
	inserts map[string]bool
}

func record(t testing.TB, s *Store) *recorder {
	r := &recorder{Conn: s.conn, t: t, reads: make(map[string]bool), inserts: make(map[string]bool)}
	s.conn = r
	return r
}

func (r *recorder) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	r.note(query, args)
	return r.Conn.Query(ctx, query, args...)
}

func (r *recorder) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	r.note(query, args)
	return r.Conn.QueryRow(ctx, query, args...)
}

func (r *recorder) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inserts[query] = true
	return r.Conn.PrepareBatch(ctx, query, opts...)
}

// note keeps a query with its arguments filled in.
func (r *recorder) note(query string, args []any) {
	for _, arg := range args {
		var text string
		switch v := arg.(type) {
		case string:
			text = literal(v)
		case uuid.UUID:
			text = literal(v.String())
		case int, int64, uint64:
			text = fmt.Sprint(v)
		default:
			require.Failf(r.t, "argument", "%T", arg)
		}
		query = strings.Replace(query, "?", text, 1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads[query] = true
}

// client asks a server with Debian's client, which prints as today's engine does.
func client(t *testing.T, databaseURL string, statements ...string) []string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	const mark = "that was the output of one statement\n"
	cmd := exec.Command(testserver.Program(t, "clickhouse-client"), "--host", u.Hostname(), "--port", u.Port(), "--multiquery")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	var out, errs bytes.Buffer
	cmd.Stdin = strings.NewReader(strings.Join(statements, ";\nSELECT "+literal(strings.TrimSuffix(mark, "\n"))+";\n"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s", &errs)
	outputs := strings.Split(out.String(), mark)
	require.Len(t, outputs, len(statements), "%s", &errs)
	return outputs
}

// useEverything calls everything that reads or writes.
func useEverything(t *testing.T, s *Store, h *reporttest.History) {
	t.Helper()
	for _, q := range h.Queries() {
		reporttest.UsageRows(t, s, q)
	}
	ctx := t.Context()
	span := report.Span{From: h.Records[0].EventTime.AddDate(0, -1, 0), To: h.Records[0].EventTime.AddDate(0, 2, 0), Zone: h.Zone}
	for _, by := range []report.By{report.ByNothing, report.ByNAS, report.ByUser, report.ByPlan} {
		for _, period := range []report.Period{report.Total, report.Day} {
			span.Period = period
			if by != report.ByUser {
				require.NoError(t, s.Counts(ctx, report.CountQuery{Span: span, Event: report.Stops, By: by, User: h.Records[0].Username}, func(report.Count) error { return nil }))
			}
			if by != report.ByPlan {
				require.NoError(t, s.Counts(ctx, report.CountQuery{Span: span, Event: report.Rejects, By: by, NAS: h.Records[0].NASAddr}, func(report.Count) error { return nil }))
			}
		}
	}
	require.NoError(t, s.Concurrent(ctx, report.ConcurrentQuery{From: span.From, To: span.To, Step: 3600e9, NAS: h.Records[0].NASAddr}, func(report.Concurrent) error { return nil }))
	for i := range h.Records[:20] {
		for _, address := range []string{h.Records[i].FramedIP.String(), h.Records[i].FramedIPv6.String(), h.Records[i].FramedIPv6Prefix.Addr().String()} {
			if parseAddr(address).IsValid() {
				require.NoError(t, s.Holders(ctx, report.HolderQuery{Address: parseAddr(address), From: span.From, To: span.To}, func(report.Holder) error { return nil }))
			}
		}
	}
	_, err := s.CountRecordsOf(ctx, "")
	require.NoError(t, err)
	require.NoError(t, s.EachRecordOf(ctx, "", func(*aaa.Record) error { return nil }))
	require.NoError(t, s.EachUsageOf(ctx, "", func(uuid.UUID, aaa.Usage) error { return nil }))
	_, err = newTestSink(t, s).Cursor(ctx)
	require.NoError(t, err)
	require.NoError(t, s.checkSchema(ctx))
}

// Every statement that this package uses runs on today's engine, and the reads say the
// same there as on 18.16, rollups included, which today's engine makes itself.
func TestStatementsOnTodaysEngine(t *testing.T) {
	engine := newToday(t)
	h := reporttest.NewHistory(vienna(t), 7, 100)
	old := loadReports(t, h)
	database := old.schema.database
	noted := record(t, old)
	useEverything(t, old, h)
	require.NoError(t, newTestSink(t, old).saveCursor(t.Context(), 1))
	require.NoError(t, old.AppendAuthRecords(t.Context(), aaa.NewAuthBatch(h.Decisions...)))
	take(t, newTestSink(t, old), h.Records)
	require.NoError(t, old.noteMigration(t.Context(), Migration{Version: 1, Name: "history", AppliedAt: h.Records[0].ReceivedAt}))

	version := strings.TrimSpace(engine.run("SELECT version()")[0])
	t.Log("ClickHouse", version)
	s := schema{database: database, durable: parseVersion(version).atLeast(20, 10)}
	require.True(t, s.durable)
	ddl := schemaStatements(t, s)
	engine.run(append(append([]string{"CREATE DATABASE " + quote(database)}, ddl...), ddl...)...) // each can be repeated

	var statements []string
	for _, insert := range slices.Sorted(maps.Keys(noted.inserts)) {
		table, columns, ok := strings.Cut(strings.TrimPrefix(insert, "INSERT INTO "), " ")
		require.True(t, ok)
		table = strings.TrimPrefix(table, quote(database)+".")
		path := filepath.Join(t.TempDir(), "rows.tsv")
		rows := client(t, old.options.URL, "SELECT "+strings.Trim(columns, "()")+" FROM "+s.qualified(strings.Trim(table, "`"))+" FORMAT TabSeparated")[0]
		require.NotEmpty(t, rows)
		require.NoError(t, os.WriteFile(path, []byte(rows), 0o600))
		statements = append(statements, insert+" FROM INFILE "+literal(path)+" FORMAT TabSeparated")
	}
	require.Len(t, statements, 4, "accounting_records, auth_records, ingest_cursors, schema_versions")
	engine.run(statements...)
	for _, table := range []string{"accounting_records", "auth_records", "usage_hourly", "usage_daily", "sessions"} {
		// Some reads count rows, of which there are fewer after a merge.
		statement := "OPTIMIZE TABLE " + s.qualified(table) + " FINAL"
		client(t, old.options.URL, statement)
		engine.run(statement)
	}

	reads := slices.Sorted(maps.Keys(noted.reads))
	require.Greater(t, len(reads), 30)
	printed := make([]string, len(reads))
	for i, read := range reads {
		printed[i] = read + " FORMAT TabSeparated"
	}
	before := client(t, old.options.URL, printed...)
	for i, output := range engine.run(reads...) {
		require.Equal(t, sorted(before[i]), sorted(output), "%s", reads[i])
	}

	// A TTL is set once, and another one replaces it.
	for _, days := range []int{30, 60, 0} {
		var alter, definitions []string
		for _, table := range agedTables {
			definitions = append(definitions, "SELECT create_table_query FROM system.tables WHERE database = "+literal(database)+" AND name = "+literal(table.table))
		}
		for i, definition := range engine.run(definitions...) {
			alter = append(alter, alterTTL(s, agedTables[i], days, definition))
			require.NotEmpty(t, alter[i])
		}
		engine.run(alter...)
		for i, definition := range engine.run(definitions...) {
			require.Empty(t, alterTTL(s, agedTables[i], days, definition), "%s", definition)
		}
	}
	var drops []string
	for _, table := range agedTables {
		drops = append(drops, strings.ReplaceAll(oldMonths(s, table), "?", "'2030-01-01'"), dropPartition(s, table.table, 202601))
	}
	engine.run(drops...)

	// There is no cluster here, but it can be read what would be made on one.
	s.cluster = "main"
	var explained []string
	for _, statement := range schemaStatements(t, s) {
		explained = append(explained, "EXPLAIN AST "+statement)
	}
	require.Greater(t, len(explained), len(ddl))
	engine.run(explained...)
}

// sorted are the lines of an output that need not come in an order. Numbers of
// floating point are not among them.
func sorted(output string) []string {
	lines := strings.Split(strings.TrimSuffix(output, "\n"), "\n")
	for i, line := range lines {
		lines[i] = spaceInTuples.ReplaceAllString(line, ",")
	}
	slices.Sort(lines)
	return lines
}

var spaceInTuples = regexp.MustCompile(`, `)

// schemaStatements are all statements of the schema.
func schemaStatements(t *testing.T, s schema) []string {
	t.Helper()
	list, err := s.statements(versionsTable)
	require.NoError(t, err)
	known, err := steps()
	require.NoError(t, err)
	for _, step := range known {
		text, err := migrations.ReadFile(step.file)
		require.NoError(t, err)
		more, err := s.statements(string(text))
		require.NoError(t, err)
		list = append(list, more...)
	}
	return list
}
