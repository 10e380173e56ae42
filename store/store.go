package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"

	"radiusd/operator"
	"radiusd/store/seal"
)

// Options says which database to open and how.
type Options struct {
	// URL is postgres://…; empty: SQLite at Path.
	URL string
	// Path is SQLite's database file. Its folder must exist; the file is made.
	Path string
	// Sealer seals and opens secrets. Required.
	Sealer *seal.Sealer
	// NodeID tells the nodes of one database apart: it names the owner of a
	// journal's cursors. Required by the Sink only.
	NodeID string
	// Location is the time zone of usage_daily's days. Nil: UTC. It must be the
	// same on all nodes.
	Location *time.Location
	// AutoMigrate brings an older schema up to date in Open.
	AutoMigrate bool
	// Logger takes what an operator should know. Nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Tracer makes spans of the statements within a span, without their arguments. Nil:
	// there are none.
	Tracer trace.TracerProvider
}

// Store is an open database. It is safe for concurrent use, by several processes
// as well.
type Store struct {
	writer *sql.DB       // SQLite: one connection
	reader *sql.DB       // SQLite: its own connections; Postgres: the same as writer
	pool   *pgxpool.Pool // Postgres only
	path   string        // SQLite only

	sealer   *seal.Sealer
	nodeID   string
	location *time.Location
	logger   *slog.Logger
	now      func() time.Time
	chain    operator.AuditChain

	partitions partitionDays // Postgres only
	booted     bootCursor    // of NextBoots
}

// Open connects to the database. It fails if the database cannot be reached, if
// its schema is of another version (ErrSchemaOld, ErrSchemaNew) or if its
// secrets were sealed under another master key (seal.ErrWrongKey); the messages
// are meant for the operator.
func Open(ctx context.Context, options Options) (*Store, error) {
	if options.Sealer == nil {
		return nil, errors.New("open store: no master key")
	}
	if options.AutoMigrate {
		if err := Migrate(ctx, options, nil); err != nil {
			return nil, err
		}
	}
	s, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// connect opens the database without a look at its schema.
func connect(ctx context.Context, options Options) (*Store, error) {
	s := &Store{
		sealer:   options.Sealer,
		chain:    operator.NewAuditChain(options.Sealer.Derive(auditPurpose)),
		nodeID:   options.NodeID,
		location: options.Location,
		logger:   options.Logger,
		now:      options.Now,
	}
	if s.location == nil {
		s.location = time.UTC
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	open := s.openSQLite
	if options.URL != "" {
		open = s.openPostgres
	}
	if err := open(ctx, options); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// prepare checks that the schema and the master key are the ones this program
// works with.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.checkSchema(ctx); err != nil {
		return err
	}
	if err := s.checkMasterKey(ctx); err != nil {
		return err
	}
	if err := s.ensureHead(ctx, s.writer); err != nil {
		return fmt.Errorf("begin the audit log: %w", s.explain(err))
	}
	return s.identifyFeed(ctx)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.reader.PingContext(ctx); err != nil {
		return s.explain(err)
	}
	return nil
}

// Close waits for queries that run and closes all connections.
func (s *Store) Close() error {
	var errs []error
	if s.reader != nil && s.reader != s.writer {
		errs = append(errs, s.reader.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.pool != nil {
		s.pool.Close()
	}
	return errors.Join(errs...)
}

// Engine returns "postgres" or "sqlite".
func (s *Store) Engine() string {
	if s.pool != nil {
		return "postgres"
	}
	return "sqlite"
}

// Handles are the open database for a library that keeps tables of its own in it. They
// are the store's, which closes them.
type Handles struct {
	Pool           *pgxpool.Pool // nil: SQLite
	Writer, Reader *sql.DB       // SQLite: one connection that writes, and some that read
}

// Handles returns the open database.
func (s *Store) Handles() Handles { return Handles{Pool: s.pool, Writer: s.writer, Reader: s.reader} }

// masterKeySetting holds a known text, sealed, to tell a wrong key at once.
const (
	masterKeySetting = "master_key_check"
	masterKeyText    = "radiusd"
)

func (s *Store) checkMasterKey(ctx context.Context) error {
	check := fmt.Sprintf("%x", s.sealer.Seal([]byte(masterKeyText), "settings."+masterKeySetting))
	stored, err := s.ensureSetting(ctx, masterKeySetting, check)
	if err != nil {
		return err
	}
	var sealed []byte
	if _, err := fmt.Sscanf(stored, "%x", &sealed); err != nil {
		return fmt.Errorf("setting %s is damaged", masterKeySetting)
	}
	if _, err := s.sealer.Open(sealed, "settings."+masterKeySetting); err != nil {
		return fmt.Errorf("the master key does not fit this database, give the one its secrets were sealed under: %w", err)
	}
	return nil
}

// ensureSetting returns a setting's value, and sets it first if it is absent.
func (s *Store) ensureSetting(ctx context.Context, name, value string) (string, error) {
	var stored string
	read := func() error {
		return s.reader.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&stored)
	}
	err := read()
	if errors.Is(err, sql.ErrNoRows) {
		if _, err := s.writer.ExecContext(ctx,
			"INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, value); err != nil {
			return "", fmt.Errorf("write setting %s: %w", name, s.explain(err))
		}
		err = read()
	}
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", name, s.explain(err))
	}
	return stored, nil
}
