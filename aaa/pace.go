package aaa

import (
	"context"
	"time"
)

// What long work does before it rests, and for how long.
const (
	paceWork = 250 * time.Microsecond
	paceRest = 750 * time.Microsecond
)

// Pace makes long work in the background leave the processor to packets, which on one
// core wait for as long as it goes on: after a little of it there is a rest of several
// times its length. A yield would not do: while anything can run, nobody looks whether
// packets have come.
//
// One goroutine uses a Pace. The nil Pace never rests.
type Pace struct {
	began time.Time
	done  <-chan struct{}
}

type paceKey struct{}

// WithPace returns a context for work that is to rest now and then, by calls of Step.
func WithPace(ctx context.Context) context.Context {
	return context.WithValue(ctx, paceKey{}, &Pace{time.Now(), ctx.Done()})
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
	time.Sleep(paceRest)
	p.began = time.Now()
}
