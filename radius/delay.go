package radius

import (
	"container/heap"
	"net/netip"
	"sync"
	"time"
)

// delays holds the replies that must not go out yet, of all listeners, in one heap
// with one goroutine and one timer. Ten thousand of them cost the others nothing.
type delays struct {
	maximum int

	mu     sync.Mutex
	heap   delayHeap
	shares shares
	closed bool
	wake   chan struct{} // the first in the heap has changed, or it is closed
	done   chan struct{}
}

type delayed struct {
	due    time.Time
	source netip.Addr
	reply  *Reply
}

func newDelays(maximum int) *delays {
	return &delays{
		maximum: maximum, shares: make(shares),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// add posts the reply when it is due. It reports false when it is full, or the
// source has half of it.
func (d *delays) add(w *Reply, due time.Time, source netip.Addr) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.heap) >= d.maximum || d.shares[source] >= (d.maximum+1)/2 {
		return false
	}
	d.shares.add(source)
	heap.Push(&d.heap, delayed{due, source, w})
	if d.heap[0].reply == w {
		d.signal()
	}
	return true
}

func (d *delays) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.heap)
}

// run posts what is due until close.
func (d *delays) run() {
	defer close(d.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []*Reply
	for {
		var next time.Duration
		var closed bool
		due, next, closed = d.takeDue(due[:0], time.Now())
		for i, w := range due {
			if closed {
				w.dropHeld(DiscardShutdown)
			} else {
				w.listener.post(w)
			}
			due[i] = nil
		}
		if closed {
			return
		}
		timer.Reset(next)
		select {
		case <-timer.C:
		case <-d.wake:
		}
	}
}

// takeDue appends replies that are due to dst, all of them once it is closed, and
// tells when to look again. It takes few at a time, so that many that are due at
// once keep nobody from adding.
func (d *delays) takeDue(dst []*Reply, now time.Time) (due []*Reply, next time.Duration, closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.heap) > 0 && (d.closed || len(dst) < batchSize && !d.heap[0].due.After(now)) {
		first := heap.Pop(&d.heap).(delayed)
		d.shares.remove(first.source)
		dst = append(dst, first.reply)
	}
	if len(d.heap) == 0 {
		return dst, time.Hour, d.closed
	}
	return dst, d.heap[0].due.Sub(now), d.closed
}

// close drops what is not due yet and ends run.
func (d *delays) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.signal()
	<-d.done
}

func (d *delays) signal() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// delayHeap is a container/heap with the earliest first.
type delayHeap []delayed

func (h delayHeap) Len() int           { return len(h) }
func (h delayHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h delayHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *delayHeap) Push(x any)        { *h = append(*h, x.(delayed)) }
func (h *delayHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = delayed{}
	*h = (*h)[:last]
	return x
}

// shares counts what each source has of something that all of them share.
type shares map[netip.Addr]int

func (s shares) add(source netip.Addr) { s[source]++ }

func (s shares) remove(source netip.Addr) {
	if s[source]--; s[source] == 0 {
		delete(s, source)
	}
}
