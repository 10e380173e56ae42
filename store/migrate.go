package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"modernc.org/sqlite"
)

//go:embed migrations
var migrations embed.FS

// Migration is one step of the schema.
type Migration struct {
	Version int64
	Name    string
	// AppliedAt is when it was applied; zero: it is pending.
	AppliedAt time.Time
}

// Migrate brings the schema up to date and calls progress, which may be nil,
// after each step. Several processes may call it at once: on Postgres the others
// wait, on SQLite they find the work done. A database whose schema is newer is
// left alone: ErrSchemaNew.
func Migrate(ctx context.Context, options Options, progress func(Migration)) error {
	s, err := connect(ctx, options)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.migrate(ctx, progress); err != nil {
		return fmt.Errorf("migrate store: %w", err)
	}
	return nil
}

// MigrationStatus lists all steps of the schema in order.
func MigrationStatus(ctx context.Context, options Options) ([]Migration, error) {
	s, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	provider, err := s.migrations()
	if err != nil {
		return nil, err
	}
	status, err := provider.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", s.explain(err))
	}
	list := make([]Migration, len(status))
	for i, step := range status {
		list[i] = migrationOf(step.Source)
		list[i].AppliedAt = step.AppliedAt
	}
	return list, nil
}

func migrationOf(source *goose.Source) Migration {
	_, name, _ := strings.Cut(strings.TrimSuffix(path.Base(source.Path), ".sql"), "_")
	return Migration{Version: source.Version, Name: name}
}

func (s *Store) migrations() (*goose.Provider, error) {
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	dialect := goose.DialectSQLite3
	if s.pool != nil {
		dialect = goose.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 60))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	folder, err := fs.Sub(migrations, "migrations/"+s.Engine())
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(dialect, s.writer, folder, options...)
}

func (s *Store) migrate(ctx context.Context, progress func(Migration)) error {
	if err := s.checkSchema(ctx); err == nil || errors.Is(err, ErrSchemaNew) || errors.Is(err, ErrUnfinished) {
		return err
	}
	provider, err := s.migrations()
	if err != nil {
		return err
	}
	for {
		before, err := s.schemaVersion(ctx)
		if err != nil {
			return s.explain(err)
		}
		result, err := provider.UpByOne(ctx)
		if errors.Is(err, goose.ErrNoNextVersion) {
			return s.checkSchema(ctx)
		}
		if err != nil {
			// On SQLite another process may have been faster with this step.
			if now, versionErr := s.schemaVersion(ctx); versionErr == nil && now > before {
				continue
			}
			return s.explain(err)
		}
		if progress != nil {
			step := migrationOf(result.Source)
			step.AppliedAt = s.now()
			progress(step)
		}
	}
}

// checkSchema compares the database's version with the newest one known here.
func (s *Store) checkSchema(ctx context.Context) error {
	if unfinished, err := s.isUnfinished(ctx, s.reader); err != nil {
		return s.explain(err)
	} else if unfinished {
		return ErrUnfinished
	}
	provider, err := s.migrations()
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	known := sources[len(sources)-1].Version
	current, err := s.schemaVersion(ctx)
	switch {
	case err != nil:
		return s.explain(err)
	case current < known:
		return fmt.Errorf("%w (it is at version %d, this radiusd wants %d)", ErrSchemaOld, current, known)
	case current > known:
		return fmt.Errorf("%w (it is at version %d, this radiusd knows %d)", ErrSchemaNew, current, known)
	}
	return nil
}

// schemaVersion returns zero for a database that was never migrated.
func (s *Store) schemaVersion(ctx context.Context) (int64, error) {
	var version sql.NullInt64
	err := s.reader.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version)
	var lite *sqlite.Error
	if kindOf(err) == kindNoTable || errors.As(err, &lite) && strings.Contains(lite.Error(), "no such table") {
		return 0, nil
	}
	return version.Int64, err
}
