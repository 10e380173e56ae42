package radius

import (
	"net/netip"
	"sync"
	"time"
)

// pool runs deferred functions: a bounded number of workers and a bounded queue in
// front of them.
//
// The queue has two classes: requests that carry a State go first, because work has
// been done for them that would be lost (a login in several steps). Within a class
// the sources take turns, so that the others hardly notice a flood from one NAS. No
// source may have more than half of the queue, and when it is full a source with
// little in it displaces the last of the one with most.
type pool struct {
	maximum  int
	patience time.Duration // what has waited longer is not worth doing any more

	mu       sync.Mutex
	more     sync.Cond
	started  fairQueue // with State
	fresh    fairQueue
	shares   shares
	freeJobs []*job
	busy     int
	closed   bool
	workers  sync.WaitGroup
}

// A job is a deferred function and the copy of the request that it works on.
type job struct {
	reply  *Reply
	do     func(*Reply, *Request)
	source netip.Addr
	packet []byte
}

func newPool(maximum int, patience time.Duration) *pool {
	p := &pool{maximum: maximum, patience: patience, shares: make(shares)}
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
	source := w.request.Source.Addr()
	queue := &p.fresh
	if w.request.Packet.Attributes().Has(TypeState) {
		queue = &p.started
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, DiscardShutdown
	case p.shares[source] >= (p.maximum+1)/2:
		return nil, DiscardOverload
	case p.length() >= p.maximum:
		victim := p.displace(queue, source)
		if victim == nil {
			return nil, DiscardOverload
		}
		displaced = victim.reply
		p.free(victim)
	}
	j := p.newJob()
	j.reply, j.do, j.source = w, do, source
	j.packet = append(j.packet[:0], w.request.Packet...)
	w.request.Packet = j.packet
	queue.push(j)
	p.shares.add(source)
	p.more.Signal()
	return displaced, 0
}

// displace makes room in a full queue for a job of the class and the source, if it
// has a better claim than another: a login begun goes before a fresh one, and in
// one class a source that has less goes before the one that has most.
func (p *pool) displace(class *fairQueue, source netip.Addr) *job {
	from := &p.fresh
	if p.fresh.length == 0 {
		from = &p.started
	}
	longest := from.longest()
	if longest == nil || class == &p.fresh && from == &p.started {
		return nil
	}
	if class == from && len(longest.jobs) <= class.lengthOf(source)+1 {
		return nil
	}
	j := from.popLast(longest)
	p.shares.remove(j.source)
	return j
}

func (p *pool) length() int { return p.fresh.length + p.started.length }

func (p *pool) work() {
	var t turn
	for j := p.next(); j != nil; j = p.next() {
		w := j.reply
		switch {
		case w.state.Load() == stateReplaced:
			w.lost()
		case time.Since(w.request.Received) > p.patience:
			w.dropHeld(DiscardOverload)
		default:
			t.ended = false
			w.turn = &t
			w.listener.server.call(w, &t, j.do)
		}
		p.finished(j)
	}
}

// next waits for a job. It returns nil when the pool is closed.
func (p *pool) next() *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.length() == 0 && !p.closed {
		p.more.Wait()
	}
	queue := &p.started
	if queue.length == 0 {
		queue = &p.fresh
	}
	j := queue.pop()
	if j != nil {
		p.shares.remove(j.source)
		p.busy++
	}
	return j
}

func (p *pool) finished(j *job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	p.free(j)
}

// close drops what is queued; jobs that run go on. See wait.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var dropped []*Reply
	for _, queue := range []*fairQueue{&p.started, &p.fresh} {
		for j := queue.pop(); j != nil; j = queue.pop() {
			p.shares.remove(j.source)
			dropped = append(dropped, j.reply)
		}
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
	return p.length(), p.busy
}

func (p *pool) newJob() *job {
	last := len(p.freeJobs) - 1
	if last < 0 {
		return new(job)
	}
	j := p.freeJobs[last]
	p.freeJobs = p.freeJobs[:last]
	return j
}

func (p *pool) free(j *job) {
	j.reply, j.do = nil, nil
	clear(j.packet) // it may hold a password
	p.freeJobs = append(p.freeJobs, j)
}

// A fairQueue is a queue for each source, and a ring of those that have something.
type fairQueue struct {
	length   int
	bySource map[netip.Addr]*sourceQueue
	ring     []*sourceQueue // the one whose turn it is first
}

type sourceQueue struct {
	source netip.Addr
	jobs   []*job // the oldest first
}

func (q *fairQueue) push(j *job) {
	s := q.bySource[j.source]
	if s == nil {
		if q.bySource == nil {
			q.bySource = make(map[netip.Addr]*sourceQueue)
		}
		s = &sourceQueue{source: j.source}
		q.bySource[j.source] = s
		q.ring = append(q.ring, s)
	}
	s.jobs = append(s.jobs, j)
	q.length++
}

// pop takes the oldest job of the source whose turn it is, or returns nil.
func (q *fairQueue) pop() *job {
	if len(q.ring) == 0 {
		return nil
	}
	s := q.ring[0]
	j := s.jobs[0]
	s.jobs[0] = nil
	s.jobs = s.jobs[1:]
	q.length--
	q.ring = q.ring[1:]
	if len(s.jobs) > 0 {
		q.ring = append(q.ring, s)
	} else {
		delete(q.bySource, s.source)
	}
	return j
}

// popLast takes the newest job of a source.
func (q *fairQueue) popLast(s *sourceQueue) *job {
	last := len(s.jobs) - 1
	j := s.jobs[last]
	s.jobs[last] = nil
	s.jobs = s.jobs[:last]
	q.length--
	if last == 0 {
		delete(q.bySource, s.source)
		for i := range q.ring {
			if q.ring[i] == s {
				q.ring = append(q.ring[:i], q.ring[i+1:]...)
				break
			}
		}
	}
	return j
}

func (q *fairQueue) lengthOf(source netip.Addr) int {
	if s := q.bySource[source]; s != nil {
		return len(s.jobs)
	}
	return 0
}

// longest is the source with most in the queue.
func (q *fairQueue) longest() *sourceQueue {
	var longest *sourceQueue
	for _, s := range q.ring {
		if longest == nil || len(s.jobs) > len(longest.jobs) {
			longest = s
		}
	}
	return longest
}
