package cli

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/ingest"
	"radiusd/journal"
	"radiusd/store/clickhouse"
)

// history is the ClickHouse of a running server: a second sink and a second store of
// decisions. Nothing else depends on it, so it may be away from the start on; its
// records wait in the journal, and it is opened as soon as it can be reached.
type history struct {
	open func(context.Context) (*clickhouse.Store, error)
	log  *slog.Logger

	failed error // why it could not be opened at the start
	opened atomic.Pointer[openedHistory]
}

type openedHistory struct {
	*clickhouse.Store
	sink *clickhouse.Sink
}

// errHistoryAway says that ClickHouse has not been opened yet.
var errHistoryAway = errors.New("ClickHouse has not been reached since the start")

// clickhouseOptions turns the configuration into the store's options. log may be nil.
func clickhouseOptions(c *config.Config, nodeID string, log *slog.Logger) clickhouse.Options {
	return clickhouse.Options{
		URL: c.ClickHouse.URL, Cluster: c.ClickHouse.Cluster, RetentionDays: c.ClickHouse.RetentionDays,
		Location: c.Location(), NodeID: nodeID, AutoMigrate: c.Store.AutoMigrate, Logger: log,
	}
}

// openHistory prepares ClickHouse and opens it if it can be reached. On the first start
// of a node, what waiting does not mend is an error, so that the operator sees it. A
// node that has served before serves again, whatever is wrong with its history.
func openHistory(ctx context.Context, c *config.Config, nodeID string, first bool, log *slog.Logger) (*history, error) {
	options := clickhouseOptions(c, nodeID, log)
	h := &history{log: log, open: func(ctx context.Context) (*clickhouse.Store, error) { return clickhouse.Open(ctx, options) }}
	err := h.connect(ctx)
	if err != nil && first && clickhouse.Permanent(err) {
		return nil, err
	}
	if err != nil {
		h.failed = err
		log.Error("starting without ClickHouse, trying again", "error", err)
	}
	return h, nil
}

// connect opens ClickHouse.
func (h *history) connect(ctx context.Context) error {
	s, err := h.open(ctx)
	if err != nil {
		return err
	}
	sink, err := s.NewSink()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	h.opened.Store(&openedHistory{s, sink})
	return nil
}

// run opens ClickHouse as soon as it can be reached, and then deletes what is past
// its retention, hourly.
func (h *history) run(ctx context.Context) {
	if !h.await(ctx) {
		return
	}
	for {
		if err := h.opened.Load().Maintain(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("maintenance of ClickHouse failed, next try in an hour", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Hour):
		}
	}
}

// await returns when ClickHouse is open; false: ctx ended before.
func (h *history) await(ctx context.Context) bool {
	if h.opened.Load() != nil {
		return true
	}
	open := keepTrying(ctx, h.connect, func(err error) {
		h.log.Error("ClickHouse cannot be opened, trying again", "error", err)
	}, h.failed)
	if open {
		h.log.Info("ClickHouse is open")
	}
	return open
}

// close closes the connections; what ClickHouse has not taken is in the journal.
func (h *history) close() error {
	s := h.opened.Load()
	if s == nil {
		return nil
	}
	return closeInTime(s.Close)
}

// What follows is ingest.Sink, ingest.Batcher and aaa.AuthRecordStore on ClickHouse
// once it is open.

func (h *history) Name() string { return clickhouse.SinkName }

func (h *history) Batching() ingest.Batching { return clickhouse.Batching() }

func (h *history) Cursor(ctx context.Context) (journal.Position, error) {
	s := h.opened.Load()
	if s == nil {
		return 0, errHistoryAway
	}
	return s.sink.Cursor(ctx)
}

func (h *history) Write(ctx context.Context, batch *ingest.Batch) error {
	s := h.opened.Load()
	if s == nil {
		return errHistoryAway
	}
	return s.sink.Write(ctx, batch)
}

// authStore is how decisions are written: ClickHouse wants few and large batches.
func (h *history) authStore() aaa.AuthStore {
	return aaa.AuthStore{Name: clickhouse.SinkName, Store: h, Batch: 10_000, Interval: time.Second}
}

func (h *history) AppendAuthRecords(ctx context.Context, batch *aaa.AuthBatch) error {
	s := h.opened.Load()
	if s == nil {
		return errHistoryAway
	}
	return s.AppendAuthRecords(ctx, batch)
}

// ErasePerson implements [aaa.PersonEraser].
func (h *history) ErasePerson(ctx context.Context, name aaa.UserName, pseudonym string) error {
	s := h.opened.Load()
	if s == nil {
		return errHistoryAway
	}
	return s.ErasePerson(ctx, name, pseudonym)
}

var (
	_ ingest.Sink         = (*history)(nil)
	_ ingest.Batcher      = (*history)(nil)
	_ aaa.AuthRecordStore = (*history)(nil)
	_ aaa.PersonEraser    = (*history)(nil)
)
