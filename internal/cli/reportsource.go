package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"radiusd/config"
	"radiusd/report"
	"radiusd/store/clickhouse"
)

// openReports opens ClickHouse for reports. While no server answers it returns no store
// but says so in away: the SQL store is read instead. What waiting does not mend is an
// error.
func openReports(ctx context.Context, cfg *config.Config, log *slog.Logger) (history *clickhouse.Store, away, err error) {
	options := clickhouseOptions(cfg, "", log)
	options.AutoMigrate = false
	history, err = clickhouse.Open(ctx, options)
	if errors.Is(err, clickhouse.ErrUnreachable) && ctx.Err() == nil {
		return nil, err, nil
	}
	return history, nil, err
}

// reportsAgain is how long ClickHouse is not asked again after it did not answer, so that
// not every report waits for it.
const reportsAgain = 5 * time.Second

// reportSource answers the reports of a running server as radiusd report does: ClickHouse,
// or the SQL store while ClickHouse does not answer. It opens ClickHouse when it is asked
// for the first time.
type reportSource struct {
	sql  report.Source
	open func(context.Context) (history *clickhouse.Store, away, err error)
	log  *slog.Logger

	mu      sync.Mutex
	history *clickhouse.Store // nil: not open
	awayAt  time.Time         // when it did not answer the last time
}

// current returns ClickHouse; nil: it does not answer.
func (r *reportSource) current(ctx context.Context) (report.Source, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.awayAt) < reportsAgain {
		return nil, nil
	}
	if r.history != nil {
		return r.history, nil
	}
	history, away, err := r.open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", report.ErrUnavailable, err)
	}
	if away != nil {
		r.noteAway(away)
		return nil, nil
	}
	r.history = history
	return history, nil
}

// noteAway notes that ClickHouse does not answer. The caller holds mu.
func (r *reportSource) noteAway(why error) {
	r.awayAt = time.Now()
	r.log.Warn("reports are read from the store instead of ClickHouse", "error", oneLine(why))
}

// close closes ClickHouse, if it was opened.
func (r *reportSource) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.history == nil {
		return nil
	}
	history := r.history
	r.history = nil
	return closeInTime(history.Close)
}

// askReports asks ClickHouse, and the SQL store if ClickHouse does not answer before it
// has given a row.
func askReports[Query, Row any](ctx context.Context, r *reportSource, q Query, fn func(Row) error, ask func(report.Source, context.Context, Query, func(Row) error) error) error {
	history, err := r.current(ctx)
	if err != nil {
		return err
	}
	if history != nil {
		given := false
		err := ask(history, ctx, q, func(row Row) error {
			given = true
			return fn(row)
		})
		if given || ctx.Err() != nil || !errors.Is(err, clickhouse.ErrUnreachable) {
			return err
		}
		r.mu.Lock()
		r.noteAway(err)
		r.mu.Unlock()
	}
	return ask(r.sql, ctx, q, fn)
}

// What follows is report.Source.

func (r *reportSource) Usage(ctx context.Context, q report.UsageQuery, fn func(report.Usage) error) error {
	return askReports(ctx, r, q, fn, report.Source.Usage)
}

func (r *reportSource) Concurrent(ctx context.Context, q report.ConcurrentQuery, fn func(report.Concurrent) error) error {
	return askReports(ctx, r, q, fn, report.Source.Concurrent)
}

func (r *reportSource) Holders(ctx context.Context, q report.HolderQuery, fn func(report.Holder) error) error {
	return askReports(ctx, r, q, fn, report.Source.Holders)
}

func (r *reportSource) Counts(ctx context.Context, q report.CountQuery, fn func(report.Count) error) error {
	return askReports(ctx, r, q, fn, report.Source.Counts)
}
