// Package ingest carries accounting from the journal to where it is used: the
// live sessions in memory and the sinks (SQL, ClickHouse), each at its own pace.
package ingest

import (
	"context"

	"radiusd/aaa"
	"radiusd/journal"
)

// Batch is a run of consecutive journal records, decoded.
type Batch struct {
	Records []aaa.Record
	// End is the journal position after the last record. A sink stores it with
	// the records, in one transaction if it has transactions.
	End journal.Position
}

// Sink takes accounting records into a store. Write may be called again with
// records it has already taken, in other batches, and must then change nothing.
type Sink interface {
	// Name is the sink's name in metrics, logs and the journal's cursors.
	Name() string
	// Cursor returns the End of the last batch that was taken; zero for none.
	Cursor(ctx context.Context) (journal.Position, error)
	// Write takes a batch whole or not at all.
	Write(ctx context.Context, batch *Batch) error
}
