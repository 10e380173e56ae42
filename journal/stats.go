package journal

import (
	"time"
)

// Stats is a snapshot of a journal. Counters begin at zero with each Open.
type Stats struct {
	Bytes    int64 // what all segments take, with what waits to be written
	MaxBytes int64 // Options.MaxBytes: at this Append gives ErrFull
	Segments int
	Oldest   Position // of the first record that is still there
	End      Position // of what is committed
	Pending  int64    // octets that wait to be written or are being written

	Groups     uint64        // groups committed, each with one sync
	Records    uint64        // records committed
	Refused    uint64        // records that Append refused because of a limit or a failure
	Failures   uint64        // groups that could not be committed
	LastGroup  int           // records in the last committed group
	CommitTime time.Duration // spent writing and syncing the committed groups

	// Damage is where a reader stopped last, until it could be read after SkipDamage;
	// nil if none did.
	Damage *CorruptError

	Cursors map[string]Position // as given to Retain, or to Taken if that is further
	// HeldBy is the cursor that is furthest behind; empty if there is none.
	HeldBy string
	// NearlyFull is the alarm before ErrFull: Bytes came to 80 % of MaxBytes and
	// did not fall below 70 % since.
	NearlyFull bool
	Err        error // why the device fails at present; nil in health
}

// Stats gives a snapshot; it does not touch the device.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Oldest, s.End = j.segments[0].base, j.committed
	s.Segments = len(j.segments)
	s.Pending = int64(j.next - j.committed)
	s.Bytes = int64(j.next-s.Oldest) + int64(s.Segments)*segmentHeader
	s.MaxBytes = j.opt.MaxBytes
	if damage := j.damage.Load(); damage != nil && damage.Position >= s.Oldest {
		s.Damage = damage
	}
	s.Cursors = j.come()
	s.HeldBy, _ = heldBy(s.Cursors, j.committed)
	return s
}
