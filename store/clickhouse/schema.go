package clickhouse

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/template"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is when it was applied; zero: it is pending.
	AppliedAt time.Time
}

// step is a migration and its file.
type step struct {
	Migration
	file string
}

// steps lists the migrations in order.
func steps() ([]step, error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return nil, err
	}
	list := make([]step, len(files))
	for i, file := range files { // sorted by name
		number, name, _ := strings.Cut(strings.TrimSuffix(file.Name(), ".sql"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil || version != int64(i+1) {
			return nil, fmt.Errorf("migration %s is out of order", file.Name())
		}
		list[i] = step{Migration{Version: version, Name: name}, path.Join("migrations", file.Name())}
	}
	return list, nil
}

// schema is what the statements depend on.
type schema struct {
	database string
	cluster  string // empty: a single server
	durable  bool   // the server knows how to sync what is inserted
}

// versionsTable is where the migrations are noted. It is made before the first.
const versionsTable = `CREATE TABLE IF NOT EXISTS {{local "schema_versions"}} {{onCluster}} (
    version    Int64,
    name       String,
    applied_at DateTime('UTC')
) ENGINE = {{engine "schema_versions" "Replacing"}}
ORDER BY version{{settings}};

{{over "schema_versions" "cityHash64(version)"}}
`

// statements fills in a text and splits it into its statements.
func (s schema) statements(text string) ([]string, error) {
	t, err := template.New("schema").Funcs(template.FuncMap{
		"local": s.local, "qualified": s.qualified, "onCluster": s.onCluster,
		"engine": s.engine, "over": s.over, "settings": s.settings,
	}).Funcs(states()).Parse(text)
	if err != nil {
		return nil, err
	}
	var filled strings.Builder
	if err := t.Execute(&filled, nil); err != nil {
		return nil, err
	}
	var list []string
	for statement := range strings.SplitSeq(withoutComments(filled.String()), ";\n") {
		if statement = strings.TrimSpace(statement); statement != "" {
			list = append(list, statement)
		}
	}
	return list, nil
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if code, _, found := strings.Cut(line, "--"); found {
			line = strings.TrimRight(code, " ") + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// qualified names a table with its database.
func (s schema) qualified(table string) string { return quote(s.database) + "." + quote(table) }

// local names the table that holds the rows.
func (s schema) local(table string) string { return s.qualified(s.localName(table)) }

func (s schema) localName(table string) string {
	if s.cluster != "" {
		table += "_local"
	}
	return table
}

func (s schema) onCluster() string {
	if s.cluster == "" {
		return ""
	}
	return "ON CLUSTER " + quote(s.cluster)
}

// engine returns a MergeTree engine, which on a cluster is replicated under the
// macros shard and replica of each server's configuration.
func (s schema) engine(table, kind string, args ...string) string {
	if s.cluster != "" {
		path := fmt.Sprintf("/clickhouse/tables/{shard}/%s/%s", s.database, s.localName(table))
		args = append([]string{literal(path), literal("{replica}")}, args...)
		kind = "Replicated" + kind
	}
	return kind + "MergeTree(" + strings.Join(args, ", ") + ")"
}

// settings make a server that can sync what it was given before it says so. Rows
// past their TTL go when a whole part is.
func (s schema) settings() string {
	if !s.durable {
		return ""
	}
	return "\nSETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1"
}

// over returns the statement for a Distributed table, where there is a cluster.
// Rows of one session are on one shard, so that each shard can merge them.
func (s schema) over(table, shard string) string {
	if s.cluster == "" {
		return ""
	}
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s AS %s\nENGINE = Distributed(%s, %s, %s, %s);\n",
		s.qualified(table), s.onCluster(), s.local(table), quote(s.cluster), quote(s.database), quote(s.localName(table)), shard)
}

// states are what the rollups keep of a record, by the name that a migration calls
// them by.
func states() template.FuncMap {
	const (
		counters = "ifNull(session_seconds, 0), ifNull(input_octets, 0), ifNull(output_octets, 0)"
		received = "toInt64(toUInt32(received_at)) * 1000000 + received_microseconds"
	)
	state := func(function, value, name string) string {
		return fmt.Sprintf("arrayReduce('%sState', [%s]) AS %s", function, value, name)
	}
	return template.FuncMap{
		"low":  func() string { return state("min", "("+counters+", "+received+", usage_at)", "low") },
		"high": func() string { return state("max", "("+counters+", -("+received+"), -usage_at)", "high") },
		"most": func() string {
			return state("max", "ifNull(input_octets, 0)", "input_max") + ", " + state("max", "ifNull(output_octets, 0)", "output_max")
		},
		"derived": func() string { return state("max", "toUInt8(event_derived OR clock_off)", "derived") },
	}
}

// quote makes an identifier of a name.
func quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// literal makes a string literal.
func literal(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// Migrate brings the schema up to date and calls progress, which may be nil, after
// each step. It makes the database if there is none. Several processes may call it
// at once: every statement can be repeated. A database whose schema is newer is left
// alone: ErrSchemaNew.
func Migrate(ctx context.Context, options Options, progress func(Migration)) error {
	s, err := connect(ctx, options, true)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.migrate(ctx, progress); err != nil {
		return fmt.Errorf("migrate ClickHouse: %w", err)
	}
	return nil
}

// MigrationStatus lists all steps of the schema in order.
func MigrationStatus(ctx context.Context, options Options) ([]Migration, error) {
	s, err := connect(ctx, options, false)
	if err != nil {
		if errors.Is(err, errNoDatabase) {
			return pending()
		}
		return nil, err
	}
	defer s.Close()
	list, _, err := s.applied(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status of ClickHouse: %w", err)
	}
	return list, nil
}

// pending lists the steps where none has been applied.
func pending() ([]Migration, error) {
	known, err := steps()
	if err != nil {
		return nil, err
	}
	list := make([]Migration, len(known))
	for i := range known {
		list[i] = known[i].Migration
	}
	return list, nil
}

// applied lists the steps with the time they were applied, and returns the version
// of the database, zero for an empty one.
func (s *Store) applied(ctx context.Context) (list []Migration, version int64, err error) {
	if list, err = pending(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	if err := s.checkLayout(ctx); err != nil {
		return nil, 0, err
	}
	rows, err := s.conn.Query(ctx, "SELECT version, max(applied_at) FROM "+s.schema.qualified("schema_versions")+" GROUP BY version ORDER BY version")
	if isCode(err, codeNoTable) {
		return list, 0, nil
	}
	if err != nil {
		return nil, 0, explain(err)
	}
	defer rows.Close()
	for rows.Next() {
		var at time.Time
		if err := rows.Scan(&version, &at); err != nil {
			return nil, 0, err
		}
		if version >= 1 && version <= int64(len(list)) {
			list[version-1].AppliedAt = at.UTC()
		}
	}
	return list, version, explain(rows.Err())
}

// checkLayout finds out whether the tables that are there, if any, were made for a
// cluster. The others take the same statements, but would hold rows on one server, or
// acknowledge what has not reached its shard.
func (s *Store) checkLayout(ctx context.Context) error {
	var tables, distributed uint64
	err := s.conn.QueryRow(ctx, "SELECT count(), countIf(engine = 'Distributed') FROM system.tables WHERE name = 'schema_versions' AND database = "+
		literal(s.schema.database)).Scan(&tables, &distributed)
	switch {
	case err != nil:
		return explain(err)
	case tables > 0 && distributed == 0 && s.schema.cluster != "":
		return errOneServer
	case distributed > 0 && s.schema.cluster == "":
		return errOfCluster
	}
	return nil
}

// checkSchema compares the database's version with the newest one known here.
func (s *Store) checkSchema(ctx context.Context) error {
	list, current, err := s.applied(ctx)
	if err != nil {
		return err
	}
	switch known := int64(len(list)); {
	case current < known:
		return fmt.Errorf("%w (it is at version %d, this radiusd wants %d)", ErrSchemaOld, current, known)
	case current > known:
		return fmt.Errorf("%w (it is at version %d, this radiusd knows %d)", ErrSchemaNew, current, known)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context, progress func(Migration)) error {
	if err := s.checkSchema(ctx); err == nil || !errors.Is(err, ErrSchemaOld) {
		return err
	}
	if err := s.apply(ctx, versionsTable); err != nil {
		return err
	}
	list, _, err := s.applied(ctx)
	if err != nil {
		return err
	}
	known, err := steps()
	if err != nil {
		return err
	}
	for i, m := range list {
		if !m.AppliedAt.IsZero() {
			continue
		}
		text, err := migrations.ReadFile(known[i].file)
		if err != nil {
			return err
		}
		if err := s.apply(ctx, string(text)); err != nil {
			return fmt.Errorf("step %d %s: %w", m.Version, m.Name, err)
		}
		m.AppliedAt = s.now().UTC()
		if err := s.noteMigration(ctx, m); err != nil {
			return fmt.Errorf("note step %d %s: %w", m.Version, m.Name, err)
		}
		if progress != nil {
			progress(m)
		}
	}
	return nil
}

// apply runs the statements of a text.
func (s *Store) apply(ctx context.Context, text string) error {
	list, err := s.schema.statements(text)
	if err != nil {
		return err
	}
	for _, statement := range list {
		if err := s.exec(ctx, statement); err != nil {
			name, _, _ := strings.Cut(statement, "\n")
			return fmt.Errorf("%s: %w", strings.TrimSuffix(name, " ("), err)
		}
	}
	return nil
}

func (s *Store) noteMigration(ctx context.Context, m Migration) error {
	ctx, done := s.writing(ctx)
	defer done()
	batch, err := s.conn.PrepareBatch(ctx, s.insert("schema_versions", "version", "name", "applied_at"))
	if err != nil {
		return explain(err)
	}
	defer batch.Close()
	if err := batch.Append(m.Version, m.Name, m.AppliedAt); err != nil {
		return err
	}
	return explain(batch.Send())
}

// createDatabase makes the database over a connection to another one.
func createDatabase(ctx context.Context, options *driver.Options, s schema) error {
	other := *options
	other.Auth.Database = "default"
	conn, err := driver.Open(&other)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	return explain(conn.Exec(ctx, strings.TrimSpace("CREATE DATABASE IF NOT EXISTS "+quote(s.database)+" "+s.onCluster())))
}
