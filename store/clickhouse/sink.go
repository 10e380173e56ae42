package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"radiusd/aaa"
	"radiusd/ingest"
	"radiusd/journal"
)

// SinkName is the name of the ClickHouse sink.
const SinkName = "clickhouse"

// Sink takes accounting records into ClickHouse. A batch is inserted first and then
// its cursor, so records may be taken more than once, which changes nothing.
type Sink struct {
	store   *Store
	columns []column[aaa.Record]

	mu      sync.Mutex // the methods are called one at a time, but nothing says so
	memory  scratch
	version uint64 // of the cursor written last
}

// NewSink returns the sink of the store's node.
func (s *Store) NewSink() (*Sink, error) {
	if s.options.NodeID == "" {
		return nil, errors.New("the ClickHouse sink needs the id of its node")
	}
	return &Sink{store: s, columns: recordColumns(s.options.Location)}, nil
}

// Name returns SinkName.
func (k *Sink) Name() string { return SinkName }

// Batching returns how batches for a Sink are made: ClickHouse wants few and large
// ones.
func Batching() ingest.Batching { return ingest.Batching{Records: 50_000, Delay: 2 * time.Second} }

// Batching implements [ingest.Batcher].
func (k *Sink) Batching() ingest.Batching { return Batching() }

// Cursor returns the End of the last batch that was taken; zero for none. On a
// cluster it may be an earlier one, if another replica answers: those records are
// taken again.
func (k *Sink) Cursor(ctx context.Context) (journal.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var position, version uint64
	err := k.store.conn.QueryRow(ctx, "SELECT argMax(position, version), max(version) FROM "+k.store.schema.qualified("ingest_cursors")+
		" WHERE node_id = ? AND sink = ?", k.store.options.NodeID, SinkName).Scan(&position, &version)
	if err != nil {
		return 0, fmt.Errorf("read cursor of sink %s: %w", SinkName, explain(err))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version = max(k.version, version)
	return journal.Position(position), nil
}

// Write inserts a batch and then its cursor. After an error a part of it may be
// there; it is to be written again. It fails with ingest.ErrCursorMoved if the batch
// does not follow those that the server has: one that was restarted or restored may
// have lost some, without a connection that tells. Replicas may lag, and so tell
// nothing; what one of them lost it gets from the others.
func (k *Sink) Write(ctx context.Context, batch *ingest.Batch) error {
	if k.store.schema.cluster == "" {
		position, err := k.Cursor(ctx)
		if err == nil && position != batch.Start {
			err = ingest.ErrCursorMoved
		}
		if err != nil {
			return fmt.Errorf("sink %s: %w", SinkName, err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := insertRows(ctx, k.store, &k.memory, "accounting_records", k.columns, batch.Records); err != nil {
		return fmt.Errorf("sink %s: %w", SinkName, err)
	}
	if err := k.saveCursor(ctx, batch.End); err != nil {
		return fmt.Errorf("sink %s: save cursor: %w", SinkName, err)
	}
	return nil
}

// cursor is a row of ingest_cursors. Of several the greatest version counts, and the
// clock of a node may be set back, so the version does not only depend on it.
type cursor struct {
	nodeID   string
	position journal.Position
	at       time.Time
	version  uint64
}

var cursorColumns = []column[cursor]{
	text("node_id", func(c *cursor) string { return c.nodeID }),
	text("sink", func(*cursor) string { return SinkName }),
	wide("position", func(c *cursor) uint64 { return uint64(c.position) }),
	moment("updated_at", func(c *cursor) time.Time { return storable(c.at) }),
	wide("version", func(c *cursor) uint64 { return c.version }),
}

func (k *Sink) saveCursor(ctx context.Context, end journal.Position) error {
	now := k.store.now()
	next := cursor{nodeID: k.store.options.NodeID, position: end, at: now, version: max(k.version+1, uint64(max(now.UnixMicro(), 0)))}
	if err := insertRows(ctx, k.store, &k.memory, "ingest_cursors", cursorColumns, []cursor{next}); err != nil {
		return err
	}
	k.version = next.version
	return nil
}

var (
	_ ingest.Sink    = (*Sink)(nil)
	_ ingest.Batcher = (*Sink)(nil)
)
