package ingest

import (
	"context"
	"sync"
	"time"

	"radiusd/journal"
)

// reserve is what a sink has taken and the journal keeps nevertheless, for
// Options.Keep: a database that lost its last transactions is served from it.
type reserve struct {
	mu      sync.Mutex
	samples []sample // ascending; what had been taken when
}

type sample struct {
	at  time.Time
	pos journal.Position
}

// reserveSamples is how many steps Keep is measured in.
const reserveSamples = 64

// note says that pos is taken now. A position before an earlier one takes back
// what was said of it.
func (v *reserve) note(now time.Time, pos journal.Position, keep time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := len(v.samples)
	for n > 0 && v.samples[n-1].pos > pos {
		n--
	}
	v.samples = v.samples[:n]
	if n == 0 || v.samples[n-1].pos < pos && now.Sub(v.samples[n-1].at) >= keep/reserveSamples {
		v.samples = append(v.samples, sample{now, pos})
	}
}

// due returns the position up to which everything was taken as long ago as keep;
// zero: nothing was.
func (v *reserve) due(now time.Time, keep time.Duration) journal.Position {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for n < len(v.samples) && now.Sub(v.samples[n].at) >= keep {
		n++
	}
	if n == 0 {
		return 0
	}
	v.samples = append(v.samples[:0], v.samples[n-1:]...)
	return v.samples[0].pos
}

// release tells the journal what it need not keep for the sink any more: what was
// taken as long ago as Options.Keep, and what of the rest there is no room for.
func (s *sinkLoop) release() {
	taken, now := journal.Position(s.taken.Load()), time.Now()
	if taken == 0 {
		return // the cursor has not been read yet
	}
	if keep := s.in.opt.Keep; keep > 0 {
		s.in.opt.Journal.Taken(s.sink.Name(), taken)
		s.reserve.note(now, taken, keep)
		taken = min(taken, max(s.reserve.due(now, keep), s.in.crowded()))
	}
	if taken > 0 {
		s.in.opt.Journal.Retain(s.sink.Name(), taken)
	}
}

// crowded returns the position up to which the journal needs the room of records
// that are only kept: they make it no more than half full, and they go when the
// device takes no more.
func (i *Ingest) crowded() journal.Position {
	stats := i.opt.Journal.Stats()
	if stats.Err != nil {
		return stats.End
	}
	return stats.End - min(stats.End, journal.Position(stats.MaxBytes/2))
}

// releaseInterval is how often kept records are looked at when nothing is written.
const releaseInterval = time.Second

// releaseKept lets go of what sinks have taken, also while they are down or idle.
func (i *Ingest) releaseKept(ctx context.Context) {
	if i.opt.Keep <= 0 {
		return
	}
	ticker := time.NewTicker(releaseInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, s := range i.sinks {
			s.release()
		}
	}
}
