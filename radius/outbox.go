package radius

import (
	"sync"
	"sync/atomic"
)

// An outbox collects the replies of one listener that are finished on other
// goroutines, until its sender takes all of them at once. It holds no more than
// there are replies in flight.
type outbox struct {
	mu     sync.Mutex
	more   sync.Cond
	ready  []*Reply
	closed bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.more.L = &o.mu
	return o
}

// add hands a reply to the sender. It reports false once the outbox is closed.
func (o *outbox) add(w *Reply) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false
	}
	o.ready = append(o.ready, w)
	if len(o.ready) == 1 {
		o.more.Signal()
	}
	return true
}

// take waits for replies and exchanges them for an empty slice. It returns none
// when the outbox is closed and empty.
func (o *outbox) take(empty []*Reply) []*Reply {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.ready) == 0 && !o.closed {
		o.more.Wait()
	}
	ready := o.ready
	o.ready = empty
	return ready
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.more.Signal()
}

// inFlight counts the replies of one listener that are held, deferred, delayed or
// in its outbox. The listener itself counts as one while it reads.
type inFlight struct {
	n    atomic.Int64
	idle chan struct{} // closed when the count is zero
}

func newInFlight() *inFlight {
	f := &inFlight{idle: make(chan struct{})}
	f.n.Store(1)
	return f
}

// add is called by the listener's goroutine only, so never after the count is zero.
func (f *inFlight) add() { f.n.Add(1) }

// held is the count without the listener, as long as that reads.
func (f *inFlight) held() int { return max(0, int(f.n.Load())-1) }

func (f *inFlight) done() {
	if f.n.Add(-1) == 0 {
		close(f.idle)
	}
}
