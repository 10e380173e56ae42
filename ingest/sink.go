package ingest

import (
	"context"
	"errors"
	"time"

	"radiusd/aaa"
	"radiusd/journal"
)

// Batch is a run of consecutive journal records, decoded and resolved.
type Batch struct {
	// Records may be empty: the batch then only moves the cursor.
	Records []aaa.Record
	// Start is the sink's cursor that the batch follows: the End of the batch
	// before, and zero if there was none.
	Start journal.Position
	// End is the journal position after the last record. A sink stores it with
	// the records, in one transaction if it has transactions.
	End journal.Position
}

// ErrCursorMoved is the error of a Write whose batch does not follow what the sink
// has taken.
var ErrCursorMoved = errors.New("the cursor is not where the last batch left it")

// Sink takes accounting records into a store. Write may be called again with
// records it has already taken, in other batches, and must then change nothing.
//
// A Write that fails is repeated, later and later. A record is given up on when it
// fails alone, again and again, while an empty batch is taken: it then goes into
// the quarantine and the sink goes on behind it.
//
// After a Write that failed the cursor is read again, before anything else is
// written. If it is not where it was, because the database has lost transactions, the
// records from there on are written again, as far as the journal has them. A sink
// returns ErrCursorMoved, and takes nothing, when its cursor is not batch.Start.
//
// A sink that is an [aaa.SessionCloser] as well is told of the sessions that
// lapsed, when it has all their records.
type Sink interface {
	// Name is the sink's name in metrics, logs and the journal's cursors.
	Name() string
	// Cursor returns the End of the last batch that was taken; zero for none.
	Cursor(ctx context.Context) (journal.Position, error)
	// Write takes a batch whole or not at all. It must not keep or change it.
	Write(ctx context.Context, batch *Batch) error
}

// Batcher is a Sink that wants batches of another size than Options say.
type Batcher interface {
	Batching() Batching
}

// Batching is how batches for a sink are made.
type Batching struct {
	Records int           // the most in a batch
	Delay   time.Duration // how long a batch that is not full waits for more
}
