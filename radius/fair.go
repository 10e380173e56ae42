package radius

import "net/netip"

// A fairQueue is a bounded queue in which the sources take turns. It has no lock.
//
// A source may have as much of it as is still free (Choudhury and Hahne, "Dynamic queue
// length thresholds for shared-memory packet switches", 1998): one that floods gets
// half, two get a third each, and there is room for one that has little in it, without
// anybody being pushed out.
//
// What goes first does so among what its source has in the queue. Between the sources
// it makes no difference, or a flood of it would leave nothing for the others.
type fairQueue[T any] struct {
	maximum int
	length  int

	sources map[netip.Addr]*fairSource[T] // those that have something in it
	last    *fairSource[T]                // the end of their ring: the next one's turn it is

	freeItems   *fairItem[T]   // linked by next
	freeSources *fairSource[T] // linked by next
}

// A fairItem is one place in the queue, whose value is the user's: it is reused as it is.
type fairItem[T any] struct {
	value T
	next  *fairItem[T]
}

// A fairSource is what one source has in a queue.
type fairSource[T any] struct {
	addr   netip.Addr
	length int
	first  fairList[T] // goes before the rest
	rest   fairList[T]
	next   *fairSource[T]
}

// A fairList has the oldest first.
type fairList[T any] struct{ head, tail *fairItem[T] }

func newFairQueue[T any](maximum int) fairQueue[T] {
	return fairQueue[T]{maximum: maximum, sources: make(map[netip.Addr]*fairSource[T])}
}

// push returns a place for the caller to fill, or nil if the source has its share. For
// one that goes first the source's oldest one of the rest may have made room, which
// push returns, too, to be released.
func (q *fairQueue[T]) push(addr netip.Addr, first bool) (item, shed *fairItem[T]) {
	s := q.sources[addr]
	if s == nil {
		if q.length >= q.maximum {
			return nil, nil
		}
		s = q.enter(addr)
	}
	if s.length >= q.maximum-q.length {
		if !first || s.rest.head == nil {
			return nil, nil
		}
		shed = s.rest.shift()
		q.count(s, -1)
	}
	if item = q.freeItems; item == nil {
		item = new(fairItem[T])
	} else {
		q.freeItems, item.next = item.next, nil
	}
	if first {
		s.first.append(item)
	} else {
		s.rest.append(item)
	}
	q.count(s, 1)
	return item, shed
}

// pop takes from the source whose turn it is. The queue must not be empty. What is
// returned goes back by release.
func (q *fairQueue[T]) pop() *fairItem[T] {
	s := q.last.next
	list := &s.first
	if list.head == nil {
		list = &s.rest
	}
	item := list.shift()
	q.count(s, -1)
	if s.length > 0 {
		q.last = s
	} else {
		q.leave(s)
	}
	return item
}

// release gives a place back for reuse.
func (q *fairQueue[T]) release(item *fairItem[T]) {
	item.next, q.freeItems = q.freeItems, item
}

// enter makes a source the last in the ring.
func (q *fairQueue[T]) enter(addr netip.Addr) *fairSource[T] {
	s := q.freeSources
	if s == nil {
		s = new(fairSource[T])
	} else {
		q.freeSources = s.next
	}
	s.addr = addr
	q.sources[addr] = s
	if q.last == nil {
		s.next = s
	} else {
		s.next, q.last.next = q.last.next, s
	}
	q.last = s
	return s
}

// leave takes the source out whose turn it is.
func (q *fairQueue[T]) leave(s *fairSource[T]) {
	delete(q.sources, s.addr)
	if q.last == s {
		q.last = nil
	} else {
		q.last.next = s.next
	}
	s.next, q.freeSources = q.freeSources, s
}

func (q *fairQueue[T]) count(s *fairSource[T], n int) {
	s.length += n
	q.length += n
}

func (l *fairList[T]) append(item *fairItem[T]) {
	if l.head == nil {
		l.head = item
	} else {
		l.tail.next = item
	}
	l.tail = item
}

// shift takes the oldest.
func (l *fairList[T]) shift() *fairItem[T] {
	item := l.head
	l.head, item.next = item.next, nil
	return item
}
