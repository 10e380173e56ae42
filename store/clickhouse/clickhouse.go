// Package clickhouse keeps the history in ClickHouse: a Sink for accounting records,
// the store of decisions, and the rollups that reports read.
//
// Everything is written at least once and read as if it had been written once. There
// are no transactions: a batch is inserted, then the cursor. Rows that come again are
// merged by ids that depend on their meaning alone (ReplacingMergeTree), and the
// rollups keep minima and maxima only, so it does not matter in which batches records
// come, nor how often. It never relies on a window in which the server recognises
// repeated inserts.
//
// The statements hold on Debian's 18.16 and on today's releases, on one server and on
// a cluster.
package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// Options says which database to open and how. URL is required.
type Options struct {
	// URL is clickhouse://user:password@host:9000/database; more hosts follow after
	// commas. Its parameters are those of clickhouse-go; others are settings of the
	// server.
	URL string
	// Cluster is the name of a cluster in the server's remote_servers; empty: a
	// single server.
	Cluster string
	// RetentionDays is how long records are kept by Maintain. 0 keeps them for good.
	RetentionDays int
	// Location is the time zone of usage_daily's days. Nil: UTC. It must be the
	// same on all nodes.
	Location *time.Location
	// NodeID tells the nodes of one database apart: it names the owner of a
	// journal's cursor. Required by the Sink only.
	NodeID string
	// AutoMigrate brings an older schema up to date in Open.
	AutoMigrate bool
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Logger takes what an operator should know. Nil: nothing is logged.
	Logger *slog.Logger
}

// Times that calls may take. A server that hangs must hold up nobody for longer.
const (
	dialTime   = 3 * time.Second
	queryTime  = 30 * time.Second  // a small read
	writeTime  = 60 * time.Second  // a batch
	schemaTime = 300 * time.Second // a change of the schema, on a cluster of all hosts
)

// Store is an open database. It is safe for concurrent use, by several processes as
// well.
type Store struct {
	conn    driver.Conn
	schema  schema
	options Options
	version version
	now     func() time.Time
	logger  *slog.Logger
	auth    authMemory
}

// Open connects to the database. It fails if the database cannot be reached
// (ErrUnreachable) or if its schema is of another version (ErrSchemaOld,
// ErrSchemaNew); the messages are meant for the operator.
func Open(ctx context.Context, options Options) (*Store, error) {
	s, err := connect(ctx, options, options.AutoMigrate)
	if err != nil {
		return nil, err
	}
	if options.AutoMigrate {
		err = s.migrate(ctx, nil)
	} else {
		err = s.checkSchema(ctx)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return s, nil
}

// connect opens the database without a look at its schema; create makes it if there
// is none.
func connect(ctx context.Context, options Options, create bool) (*Store, error) {
	dsn, err := driver.ParseDSN(options.URL)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", ErrURL) // the driver's message may repeat parts of it
	}
	s := &Store{options: options, now: options.Now, logger: options.Logger}
	if s.now == nil {
		s.now = time.Now
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.options.Location == nil {
		s.options.Location = time.UTC
	}
	prepareOptions(dsn)
	s.schema = schema{database: dsn.Auth.Database, cluster: options.Cluster}
	if s.conn, err = driver.Open(dsn); err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", explain(err))
	}
	err = s.askVersion(ctx)
	if isCode(err, codeNoDatabase) {
		err = fmt.Errorf("%w: %q", errNoDatabase, dsn.Auth.Database)
		if create {
			if err = createDatabase(ctx, dsn, s.schema); err == nil {
				err = s.askVersion(ctx)
			}
		}
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("open ClickHouse at %s: %w", strings.Join(dsn.Addr, ", "), advisePort(explain(err)))
	}
	return s, nil
}

// prepareOptions sets what the URL leaves open.
func prepareOptions(o *driver.Options) {
	if o.Auth.Database == "" {
		o.Auth.Database = "default"
	}
	for i, address := range o.Addr {
		if _, _, err := net.SplitHostPort(address); err != nil { // no port
			o.Addr[i] = net.JoinHostPort(strings.Trim(address, "[]"), port(o.TLS != nil))
		}
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = dialTime
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = writeTime
	}
	if o.MaxOpenConns == 0 {
		o.MaxOpenConns = 8
	}
	if o.MaxIdleConns == 0 {
		o.MaxIdleConns = 4
	}
}

// port is the one on which a server speaks the native protocol.
func port(secure bool) string {
	if secure {
		return "9440"
	}
	return "9000"
}

// askVersion asks what the statements depend on.
func (s *Store) askVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var text string
	if err := s.conn.QueryRow(ctx, "SELECT version()").Scan(&text); err != nil {
		return err
	}
	s.version = parseVersion(text)
	s.schema.durable = s.version.atLeast(20, 10)
	return nil
}

// Close closes all connections.
func (s *Store) Close() error { return s.conn.Close() }

// exec runs a statement that returns nothing.
func (s *Store) exec(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTime)
	defer cancel()
	return explain(s.conn.Exec(ctx, statement))
}

// insert returns the statement that inserts into columns of a table.
func (s *Store) insert(table string, columns ...string) string {
	return "INSERT INTO " + s.schema.qualified(table) + " (" + strings.Join(columns, ", ") + ")"
}

// writing returns ctx with the time and the settings of an insert. The rows are on
// their shards when it returns; and a replicated table must not take a repeated block
// for one that it has, since the rollups may have missed it.
//
// done is to be called in the end, and has an effect a little later: clickhouse-go
// watches the context in a goroutine that it tells to stop and does not wait for, and
// that may take the end of an insert for its cancellation and close the connection,
// which is in the pool again by then.
func (s *Store) writing(ctx context.Context) (_ context.Context, done func()) {
	settings := driver.Settings{"insert_deduplicate": 0}
	if s.schema.cluster != "" {
		settings["insert_distributed_sync"] = 1
	}
	if s.version.atLeast(21, 11) {
		settings["async_insert"] = 0
	}
	if s.version.atLeast(20, 1) {
		settings["max_partitions_per_insert_block"] = 0 // a NAS with a wrong clock is no reason to fail
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	return driver.Context(ctx, driver.WithSettings(settings)), func() { time.AfterFunc(time.Second, cancel) }
}

// version is a server's, like 18.16.
type version struct{ major, minor int }

func parseVersion(text string) (v version) {
	_, _ = fmt.Sscanf(text, "%d.%d", &v.major, &v.minor) // zero: nothing newer is used
	return v
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}
