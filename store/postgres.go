package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// minPostgresConns is the least number of connections the pool may open: the
// sinks, the change feed and a few commands at once.
const minPostgresConns = 8

// openPostgres opens a pool of connections. database/sql and COPY share it.
func (s *Store) openPostgres(ctx context.Context, options Options) error {
	scheme, _, _ := strings.Cut(options.URL, ":")
	if scheme != "postgres" && scheme != "postgresql" {
		return fmt.Errorf("store.url: unknown scheme %q: want postgres://… or nothing for SQLite", scheme)
	}
	config, err := pgxpool.ParseConfig(options.URL)
	if err != nil {
		return fmt.Errorf("store.url: %w", err) // pgx hides the password
	}
	if !strings.Contains(options.URL, "pool_max_conns=") {
		config.MaxConns = max(minPostgresConns, int32(2*runtime.NumCPU()))
	}
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > time.Minute {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	config.ConnConfig.DialFunc = dialer().DialContext
	if options.Tracer != nil {
		config.ConnConfig.Tracer = postgresTracer(options.Tracer)
	}
	parameters := config.ConnConfig.RuntimeParams
	if parameters["application_name"] == "" {
		parameters["application_name"] = "radiusd"
	}
	parameters["timezone"] = "UTC"
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	s.writer = stdlib.OpenDBFromPool(s.pool)
	s.reader = s.writer
	if err := s.pool.Ping(ctx); err != nil {
		if unreachable(err) {
			return fmt.Errorf("%s: %w: %s", describe(config.ConnConfig), ErrUnreachable, oneLine(err.Error()))
		}
		return fmt.Errorf("%s: %w", describe(config.ConnConfig), s.explain(err))
	}
	return nil
}

// unreachable tells a server that is away, starting or full from one that refuses.
func unreachable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code == "57P03" || refused.Code == "53300"
	}
	var failed *pgconn.ConnectError
	return errors.As(err, &failed) || errors.Is(err, context.DeadlineExceeded)
}

// describe names a database without its password.
func describe(config *pgx.ConnConfig) string {
	hosts := []string{net.JoinHostPort(config.Host, fmt.Sprint(config.Port))}
	for _, other := range config.Fallbacks { // one for each way to reach each host
		if host := net.JoinHostPort(other.Host, fmt.Sprint(other.Port)); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return fmt.Sprintf("postgres://%s@%s/%s", config.User, strings.Join(hosts, ","), config.Database)
}

// explainPostgres adds what an operator can do about an error.
func explainPostgres(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "28P01":
			return "wrong user name or password"
		case "28000":
			return "the server does not let this user in, see its pg_hba.conf"
		case "3D000":
			return "there is no such database, create it first"
		case "42501":
			return "the user lacks a privilege"
		case "53300":
			return "the server has no connection left"
		case "57P03":
			return "the server is starting or stopping"
		case "53100":
			return "the server's disk is full"
		case "25006":
			return "the server is a standby, name the primary"
		}
		return ""
	}
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		return "the server cannot be reached"
	}
	return ""
}

// postgresKind classifies an error by its SQLSTATE.
func postgresKind(err *pgconn.PgError) errorKind {
	switch err.Code {
	case "23505":
		return kindUnique
	case "23503":
		return kindForeignKey
	case "40001", "40P01": // serialization failure, deadlock
		return kindRetry
	case "42P01":
		return kindNoTable
	}
	return kindOther
}
