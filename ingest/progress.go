package ingest

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"radiusd/journal"
)

// progress is a position that only grows, and that others can wait for.
type progress struct {
	mu      sync.Mutex
	pos     journal.Position
	changed chan struct{} // closed when pos grows
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

func (p *progress) set(pos journal.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pos == p.pos {
		return
	}
	p.pos = pos
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *progress) get() journal.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pos
}

// wait returns when the position has been reached, or the context's error.
func (p *progress) wait(ctx context.Context, pos journal.Position) error {
	for {
		p.mu.Lock()
		reached, changed := p.pos >= pos, p.changed
		p.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// backoff is the wait between tries: it doubles up to max, with jitter, so that
// many do not come back at once.
type backoff struct {
	max, next time.Duration
}

const firstBackoff = 50 * time.Millisecond

func (b *backoff) reset() { b.next = 0 }

// wait sleeps, and returns the context's error if that ended it.
func (b *backoff) wait(ctx context.Context) error {
	b.next = min(max(2*b.next, firstBackoff), b.max)
	return pause(ctx, b.next/2+rand.N(b.next/2+1))
}

// pause sleeps, and returns the context's error if that ended it.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
