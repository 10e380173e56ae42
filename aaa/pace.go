package aaa

import (
	"context"
	"time"
)

// What long work does before it rests, and for how long.
const (
	paceWork = 250 * time.Microsecond
	paceRest = 750 * time.Microsecond
	// paceTurn is long enough for the scheduler to look whether packets have come, which
	// go first then. If none have, the work goes on; where nothing else can run, on one
	// processor, after a millisecond, as the kernel waits for packets no shorter.
	paceTurn = time.Microsecond
)

// Pace makes long work in the background leave the processor to packets, which on one
// core wait for as long as it goes on: after a little of it there is a rest. A yield would
// not do: while anything can run, nobody looks whether packets have come.
//
// One goroutine at a time uses a Pace. The nil Pace never rests.
type Pace struct {
	began time.Time
	rest  time.Duration
	done  <-chan struct{}
}

type paceKey struct{}

// WithPace returns a context for work that is to rest now and then, by calls of Step, for
// several times as long as it works: it may wait.
func WithPace(ctx context.Context) context.Context { return withPace(ctx, paceRest) }

// WithTurns is WithPace for work that must keep up with the packets which cause it: it only
// lets those in that have come.
func WithTurns(ctx context.Context) context.Context { return withPace(ctx, paceTurn) }

func withPace(ctx context.Context, rest time.Duration) context.Context {
	return context.WithValue(ctx, paceKey{}, &Pace{time.Now(), rest, ctx.Done()})
}

// PaceOf returns the context's Pace, and nil if there is none: nobody waits for the
// processor then, as while a process starts.
func PaceOf(ctx context.Context) *Pace {
	p, _ := ctx.Value(paceKey{}).(*Pace)
	return p
}

// Step is called between small pieces of work, such as the rows of a table, and rests
// when it is time to. When the context is done there are no more rests.
func (p *Pace) Step() {
	if p == nil || time.Since(p.began) < paceWork {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	time.Sleep(p.rest)
	p.began = time.Now()
}
