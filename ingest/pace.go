package ingest

import "time"

const (
	// firstBatch is how many records the first batch has at most, and leastBatch how
	// small batches get for a sink that is slow.
	firstBatch = 1000
	leastBatch = 50
	// batchBytes bounds a batch by what its records take in the journal; decoded
	// they take some three times that.
	batchBytes = 8 << 20
	// writeTarget is how long a full batch is to take: long enough that what a batch
	// costs by itself does not matter, and short enough that a transaction holds up
	// nobody and that little is to be done again when it fails.
	writeTarget = 400 * time.Millisecond
)

// pace decides how many records a batch has at most: more while there is a backlog
// and the sink is quick, fewer when it is slow.
type pace struct {
	limit, most int
	target      time.Duration
}

func newPace(b Batching) pace {
	return pace{limit: min(firstBatch, b.Records), most: b.Records, target: max(writeTarget, b.Delay)}
}

// wrote notes how long a batch took that was taken.
func (p *pace) wrote(records int, took time.Duration) {
	switch {
	case took > 2*p.target && records > p.limit/2:
		p.limit = max(p.limit/2, min(leastBatch, p.most))
	case took < p.target/2 && records >= p.limit:
		p.limit = min(2*p.limit, p.most)
	}
}
