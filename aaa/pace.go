package aaa

import (
	"context"
	"time"
)

// What long work does before it rests, and for how long.
const (
	paceWork = 250 * time.Microsecond
	paceRest = 750 * time.Microsecond
	// paceShare is how many times as long as it was away work goes on that takes turns with
	// others, in parts: where they leave it nothing, it still has a quarter.
	paceShare = 3
)

// Pace makes long work in the background leave the processor to packets, which on one
// core wait for as long as it goes on: after a little of it there is a rest. A yield would
// not do: while anything can run, nobody looks whether packets have come.
//
// One goroutine at a time uses a Pace. The nil Pace never rests.
type Pace struct {
	began time.Time
	work  time.Duration // before the next rest
	turn  func()        // instead of a rest of paceRest, if set
	done  <-chan struct{}
}

type paceKey struct{}

// WithPace returns a context for work that is to rest now and then, by calls of Step, for
// several times as long as it works: it may wait.
func WithPace(ctx context.Context) context.Context { return withPace(ctx, nil) }

// WithTurns is WithPace for work that must keep up with the packets which cause it: it only
// lets those in that have come, and goes on at once if none have.
func WithTurns(ctx context.Context) context.Context { return withPace(ctx, newTurn().take) }

func withPace(ctx context.Context, turn func()) context.Context {
	return context.WithValue(ctx, paceKey{}, &Pace{time.Now(), paceWork, turn, ctx.Done()})
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
	if p == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.began) < p.work {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	if p.turn == nil {
		time.Sleep(paceRest)
		p.began = time.Now()
		return
	}
	p.turn()
	p.began = time.Now()
	p.work = max(paceWork, p.began.Sub(now)/paceShare)
}
