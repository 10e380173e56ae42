package radius

import (
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
	// backlogLength is how many requests wait at most: what arrives during a stall of some
	// 20 ms at full rate finds room, and nothing that is answered has waited long. With
	// more, under overload all of them would wait longer and none more would be answered.
	backlogLength = 4096
	// workTime is about how long it works on the backlog before it writes the answers
	// and reads again: what a source that is not in the backlog waits for.
	workTime = 100 * time.Microsecond
	// fewestWork is how many it handles in any case, so that the system calls around
	// them do not take more time than they.
	fewestWork = 8
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
		began := time.Now()
		l.reader.wait(floodInterval)
		l.floods.idle += time.Since(began)
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

// work handles a part of the backlog that takes about workTime, as the last part tells.
func (l *listener) work() {
	began := time.Now()
	l.arrivals = l.arrivals[:0]
	l.taken = l.taken[:0]
	for len(l.taken) < max(l.quota, fewestWork) && l.backlog.length > 0 {
		item := l.backlog.pop()
		r := &item.value
		l.taken = append(l.taken, item)
		l.arrivals = append(l.arrivals, arrival{
			datagram: &r.datagram, packet: Packet(r.data), nas: r.nas, hasher: l.hashers.of(r.nas), proof: -1})
	}
	l.prepare()
	for i, item := range l.taken {
		l.now = item.value.received
		l.floods.handle(item.value.way.peer.Addr())
		l.handle(&l.arrivals[i])
		l.observe()
		l.backlog.release(item)
	}
	if n := len(l.taken); n > 0 {
		each := max(time.Since(began)/time.Duration(n), 1)
		l.quota = min(int(workTime/each), batchSize)
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
		_ = l.server.attachFilter(l.conn, nil) // the one before would stay
		l.floods = floods{failed: true}
	}
	l.counters.floods.Store(int64(l.floods.filtered))
}

// finish handles all of the backlog, unless Shutdown stops waiting for that.
func (l *listener) finish() {
	for l.backlog.length > 0 && !l.server.hurried.Load() {
		l.work()
		l.flush()
	}
	for l.backlog.length > 0 {
		item := l.backlog.pop()
		l.counters.discardRequest(Packet(item.value.data).Code(), DiscardShutdown)
		l.backlog.release(item)
	}
}

// A backlog is the requests that wait, each of which is copied. It belongs to one
// goroutine.
type backlog struct {
	fairQueue[backlogRequest]
	size atomic.Int64 // length, for the metrics
}

// A backlogRequest is a request that waits.
type backlogRequest struct {
	datagram // a copy, which is a packet
	nas      *NAS
	received time.Time
}

type backlogItem = fairItem[backlogRequest]

func newBacklog(maximum int) *backlog {
	return &backlog{fairQueue: newFairQueue[backlogRequest](maximum)}
}

// push adds a request. If the source has its share already, something is shed, and push
// returns the code of that.
func (b *backlog) push(p Packet, nas *NAS, way way, received time.Time, first bool) (shed Code) {
	item, oldest := b.fairQueue.push(way.peer.Addr(), first)
	if item == nil {
		return p.Code()
	}
	r := &item.value
	r.data = append(r.data[:0], p...)
	r.nas, r.way, r.received = nas, way, received
	if oldest != nil {
		shed = Packet(oldest.value.data).Code()
		b.release(oldest)
	}
	b.size.Store(int64(b.length))
	return shed
}

// pop takes a request of the source whose turn it is. There must be one. It goes back
// by release.
func (b *backlog) pop() *backlogItem {
	item := b.fairQueue.pop()
	b.size.Store(int64(b.length))
	return item
}

func (b *backlog) release(item *backlogItem) {
	clear(item.value.data) // it may hold a password
	item.value.nas = nil
	b.fairQueue.release(item)
}
