package radius

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Overload. As long as a listener keeps up it handles each batch where it has read it.
// When it does not, the requests that wait fill the socket's buffer, where a NAS that
// floods takes the place of all others. So then the listener reads on until the socket
// is empty, before all cryptography, and keeps what it can in its backlog, in which the
// sources share the room and the time evenly. It handles a few, and reads again.
const (
	// fullReads in a row make a listener look how much still waits.
	fullReads = 4
	// maxReads is how many batches it reads before it handles one: with a flood that
	// it cannot even read away it still gets work done.
	maxReads = 64
	// backlogLength is how many requests wait at most. With more, all of them would
	// wait longer and none more would be answered.
	backlogLength = 1024
)

// congested reports whether to go by the backlog, after a read of n datagrams.
func (l *listener) congested(n int) bool {
	if l.backlog.length > 0 || l.floods.filtered > 0 {
		return true
	}
	if n < len(l.in) {
		l.fullReads = 0
		return false
	}
	if l.fullReads++; l.fullReads < fullReads {
		return false
	}
	l.fullReads = 0
	return l.reader.congested()
}

// read waits for datagrams, unless there is something to do meanwhile.
func (l *listener) read() (int, error) {
	switch {
	case l.backlog.length > 0:
		return l.reader.poll(l.in)
	case l.floods.filtered > 0: // they may have ended
		l.reader.wait(floodInterval)
		return l.reader.poll(l.in)
	}
	return l.reader.read(l.in)
}

// sort puts the n datagrams that were read, and those that still wait in the socket,
// into the backlog.
func (l *listener) sort(n int) {
	for reads := 1; ; reads++ {
		for i := range l.in[:n] {
			l.floods.arrive(l.in[i].way.peer.Addr())
			l.postpone(&l.in[i])
		}
		if n < len(l.in) || reads == maxReads {
			return
		}
		var err error
		if n, err = l.reader.poll(l.in); err != nil {
			return // the next read meets it, too
		}
		l.counters.received.Add(uint64(n))
	}
}

// postpone is receive up to where it begins to cost.
func (l *listener) postpone(d *datagram) {
	p, nas, reason := l.admit(d)
	if reason != 0 {
		l.counters.discards[reason].Add(1)
		return
	}
	// Work has been done for a conversation that has begun, and would be lost. And a
	// NAS gives up a server that does not answer Status-Server.
	first := p.Code() == StatusServer || p.Attributes().Has(TypeState)
	if shed := l.backlog.push(p, nas, d.way, l.now, first); shed != 0 {
		l.counters.discardRequest(shed, DiscardOverload)
		l.server.logs.overloaded(nas, d.way.peer.Addr(), l.now)
	}
}

// work handles up to a batch of the backlog.
func (l *listener) work() {
	l.arrivals = l.arrivals[:0]
	l.taken = l.taken[:0]
	for len(l.taken) < batchSize && l.backlog.length > 0 {
		r := l.backlog.pop()
		l.taken = append(l.taken, r)
		l.arrivals = append(l.arrivals, arrival{
			datagram: &r.datagram, packet: Packet(r.data), nas: r.nas, hasher: l.hashers.of(r.nas), proof: -1})
	}
	l.prepare()
	for i, r := range l.taken {
		l.now = r.received
		l.floods.handle(r.way.peer.Addr())
		l.handle(&l.arrivals[i])
		l.observe()
		l.backlog.release(r)
	}
}

// filter has the kernel drop what floods.
func (l *listener) filter() {
	if l.floods.failed || !l.floods.adapt(l.now) {
		return
	}
	err := l.server.attachFilter(l.conn, l.floods.sources[:])
	l.server.logs.flooded(l.local, l.floods.sources[:], err, l.now)
	if err != nil {
		l.floods = floods{failed: true}
	}
	l.counters.floods.Store(int64(l.floods.filtered))
}

// finish handles all of the backlog.
func (l *listener) finish() {
	for l.backlog.length > 0 {
		l.work()
		l.flush()
	}
}

// A backlog is a bounded queue of requests in which the sources take turns. It belongs
// to one goroutine.
//
// A source may have as much of it as is still free (Choudhury and Hahne, "Dynamic queue
// length thresholds for shared-memory packet switches", 1998): one that floods gets
// half, two get a third each, and there is room for one that has little in it, without
// anybody being pushed out.
type backlog struct {
	maximum int
	length  int
	size    atomic.Int64 // length, for the metrics

	sources map[netip.Addr]*backlogSource // those that have something in it
	last    *backlogSource                // the end of their ring: the next one's turn it is

	freeRequests *backlogRequest // linked by next
	freeSources  *backlogSource  // linked by next
}

// A backlogSource is what one source has in a backlog.
type backlogSource struct {
	addr   netip.Addr
	length int
	first  backlogList // goes before the rest
	rest   backlogList
	next   *backlogSource
}

// A backlogRequest is a request that waits.
type backlogRequest struct {
	datagram // a copy, which is a packet
	nas      *NAS
	received time.Time
	next     *backlogRequest
}

// A backlogList has the oldest first.
type backlogList struct{ head, tail *backlogRequest }

func newBacklog(maximum int) *backlog {
	return &backlog{maximum: maximum, sources: make(map[netip.Addr]*backlogSource)}
}

// push adds a request, which is copied. If the source has its share already, something
// is shed, and push returns the code of that: the request itself, or the source's
// oldest one of the rest if this one goes first.
func (b *backlog) push(p Packet, nas *NAS, way way, received time.Time, first bool) (shed Code) {
	s := b.sources[way.peer.Addr()]
	if s == nil {
		if b.length >= b.maximum {
			return p.Code()
		}
		s = b.enter(way.peer.Addr())
	}
	if s.length >= b.maximum-b.length {
		if !first || s.rest.head == nil {
			return p.Code()
		}
		oldest := s.rest.shift()
		shed = Packet(oldest.data).Code()
		b.release(oldest)
		b.count(s, -1)
	}
	r := b.freeRequests
	if r == nil {
		r = new(backlogRequest)
	} else {
		b.freeRequests = r.next
	}
	r.data = append(r.data[:0], p...)
	r.nas, r.way, r.received, r.next = nas, way, received, nil
	if first {
		s.first.append(r)
	} else {
		s.rest.append(r)
	}
	b.count(s, 1)
	return shed
}

// pop takes a request of the source whose turn it is. There must be one. It goes back
// by release.
func (b *backlog) pop() *backlogRequest {
	s := b.last.next
	list := &s.first
	if list.head == nil {
		list = &s.rest
	}
	r := list.shift()
	b.count(s, -1)
	if s.length > 0 {
		b.last = s
	} else {
		b.leave(s)
	}
	return r
}

// release gives a request back for reuse.
func (b *backlog) release(r *backlogRequest) {
	clear(r.data) // it may hold a password
	r.nas = nil
	r.next, b.freeRequests = b.freeRequests, r
}

// enter makes a source the last in the ring.
func (b *backlog) enter(addr netip.Addr) *backlogSource {
	s := b.freeSources
	if s == nil {
		s = new(backlogSource)
	} else {
		b.freeSources = s.next
	}
	s.addr = addr
	b.sources[addr] = s
	if b.last == nil {
		s.next = s
	} else {
		s.next, b.last.next = b.last.next, s
	}
	b.last = s
	return s
}

// leave takes the source out whose turn it is.
func (b *backlog) leave(s *backlogSource) {
	delete(b.sources, s.addr)
	if b.last == s {
		b.last = nil
	} else {
		b.last.next = s.next
	}
	s.next, b.freeSources = b.freeSources, s
}

func (b *backlog) count(s *backlogSource, n int) {
	s.length += n
	b.length += n
	b.size.Store(int64(b.length))
}

func (l *backlogList) append(r *backlogRequest) {
	if l.head == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
}

// shift takes the oldest.
func (l *backlogList) shift() *backlogRequest {
	r := l.head
	l.head = r.next
	return r
}
