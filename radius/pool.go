package radius

import (
	"sync"
	"time"
)

// pool runs deferred functions: a bounded number of workers and a bounded queue in
// front of them.
//
// In the queue the sources take turns and share the room, so that the others hardly
// notice a flood from one NAS. Of one source's requests those that carry a State go
// first, because work has been done for them that would be lost (a login in several
// steps).
type pool struct {
	patience time.Duration // what has waited longer is not worth doing any more

	mu      sync.Mutex
	more    sync.Cond
	queue   fairQueue[job]
	busy    int
	closed  bool
	workers sync.WaitGroup
}

// A job is a deferred function and the copy of the request that it works on.
type job struct {
	reply  *Reply
	do     func(*Reply, *Request)
	packet []byte
}

func newPool(maximum int, patience time.Duration) *pool {
	p := &pool{patience: patience, queue: newFairQueue[job](maximum)}
	p.more.L = &p.mu
	return p
}

func (p *pool) start(workers int) {
	for range workers {
		p.workers.Go(p.work)
	}
}

// add queues a function for a held reply, or drops the reply.
func (p *pool) add(w *Reply, do func(*Reply, *Request)) {
	displaced, reason := p.enqueue(w, do)
	if displaced != nil {
		displaced.dropHeld(DiscardOverload)
	}
	if reason != 0 {
		w.dropHeld(reason)
	}
}

// enqueue puts the job into the queue if reason is 0. It may have displaced another.
func (p *pool) enqueue(w *Reply, do func(*Reply, *Request)) (displaced *Reply, reason Discard) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, DiscardShutdown
	}
	item, shed := p.queue.push(w.request.Source.Addr(), w.request.Packet.Attributes().Has(TypeState))
	if item == nil {
		return nil, DiscardOverload
	}
	if shed != nil {
		displaced = shed.value.reply
		p.free(shed)
	}
	j := &item.value
	j.reply, j.do = w, do
	j.packet = append(j.packet[:0], w.request.Packet...)
	w.request.Packet = j.packet
	p.more.Signal()
	return displaced, 0
}

func (p *pool) work() {
	var t turn
	for item := p.next(); item != nil; item = p.next() {
		w := item.value.reply
		switch {
		case w.state.Load() == stateReplaced:
			w.lost()
		case time.Since(w.request.Received) > p.patience:
			w.dropHeld(DiscardOverload)
		default:
			t.ended = false
			w.turn = &t
			w.listener.server.call(w, &t, item.value.do)
		}
		p.finished(item)
	}
}

// next waits for a job. It returns nil when the pool is closed.
func (p *pool) next() *fairItem[job] {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.queue.length == 0 && !p.closed {
		p.more.Wait()
	}
	if p.queue.length == 0 {
		return nil
	}
	p.busy++
	return p.queue.pop()
}

func (p *pool) finished(item *fairItem[job]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.free(item)
}

// close drops what is queued; jobs that run go on. See wait.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var dropped []*Reply
	for p.queue.length > 0 {
		item := p.queue.pop()
		dropped = append(dropped, item.value.reply)
		p.free(item)
	}
	p.more.Broadcast()
	p.mu.Unlock()
	for _, w := range dropped {
		w.dropHeld(DiscardShutdown)
	}
}

// stats tells the number of jobs that wait and that run.
func (p *pool) stats() (queued, busy int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.length, p.busy
}

func (p *pool) free(item *fairItem[job]) {
	j := &item.value
	j.reply, j.do = nil, nil
	clear(j.packet) // it may hold a password
	p.queue.release(item)
}
