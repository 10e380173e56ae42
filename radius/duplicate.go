package radius

import (
	"sync/atomic"
	"time"
)

// A requestKey says which request a packet is, together with its authenticator
// (RFC 5080 section 2.2.2). It is made to be hashed quickly: no pointer, no gap.
type requestKey struct {
	addr       [16]byte
	scope      uint32
	port       uint16
	code       Code
	identifier uint8
}

func keyOf(w *way, p Packet) requestKey {
	return requestKey{
		addr: w.peer.Addr().As16(), scope: w.scope, port: w.peer.Port(),
		code: p.Code(), identifier: p.Identifier(),
	}
}

const (
	// maxFreeReplies are kept for reuse; more go to the garbage collector.
	maxFreeReplies = 4096
	// maxKeptBuffer is the capacity of a packet that is kept for reuse. Most
	// replies are far shorter; the few long ones must not make all of them long.
	maxKeptBuffer = 1024
	// meanReplyLength times the number of entries is how much memory the packets
	// of a full table may take.
	meanReplyLength = 512
	// evictionSteps is how far a full table looks for an entry to give up.
	evictionSteps = 16
)

// duplicates is one listener's table of the requests of the last few seconds. It
// belongs to the listener's goroutine and needs no lock; its entries' states are
// what others touch. A client's source port stays with one socket, so that a
// repeat of a request meets the table that knows it.
//
// A full one gives up the oldest entry of the source that has most, so that a flood
// drives out its own answers and not those of others, whose requests would be executed
// again if they were repeated. As long as nobody has more than an even share it is the
// oldest of all.
type duplicates struct {
	window  time.Duration
	maximum int // entries

	entries map[requestKey]*Reply
	order   Reply // the ring of entries: order.newer is the oldest one
	sources *sources

	free      *Reply // for reuse, linked by newer
	freeCount int
	retired   *Reply // as free, but their packets may be in the batch to be written

	size  atomic.Int64 // len(entries), for the metrics
	bytes atomic.Int64 // capacity of the packets of answered entries
}

func newDuplicates(window time.Duration, maximum int) *duplicates {
	t := &duplicates{window: window, maximum: maximum, entries: make(map[requestKey]*Reply), sources: newSources(maximum)}
	t.order.older, t.order.newer = &t.order, &t.order
	return t
}

// add takes a free entry into the table under a key that it does not have yet. It
// returns nil if the table is full of requests that are being worked on.
func (t *duplicates) add(key requestKey) *Reply {
	source := t.sources.of(&key.addr)
	for len(t.entries) >= t.maximum || t.bytes.Load() > int64(t.maximum)*meanReplyLength {
		if !t.evict(source) {
			return nil
		}
	}
	w := t.take()
	w.key, w.source = key, source
	t.entries[key] = w
	t.size.Store(int64(len(t.entries)))
	t.append(w)
	t.sources.add(w)
	return w
}

// remove takes an entry out of the table, whatever its state.
func (t *duplicates) remove(w *Reply) {
	delete(t.entries, w.key)
	t.size.Store(int64(len(t.entries)))
	w.unlink()
	t.sources.remove(w)
	for {
		switch state := w.state.Load(); state {
		case stateAnswered:
			t.bytes.Add(-int64(cap(w.buf)))
			t.retire(w)
			return
		case stateForgotten:
			t.retire(w)
			return
		default: // somebody has it; should its state change meanwhile, look again
			if w.state.CompareAndSwap(state, stateReplaced) {
				return
			}
		}
	}
}

// expire removes entries that are older than the window, at most steps of them.
func (t *duplicates) expire(now time.Time, steps int) {
	for range steps {
		w := t.order.newer
		if w == &t.order || now.Sub(w.request.Received) <= t.window {
			return
		}
		if w.ended() {
			t.remove(w)
		} else {
			t.postpone(w)
		}
	}
}

// evict gives up an entry that is not being worked on, for one of the source: an old
// one of the source that has most. If all that it finds there is being worked on, one
// of the oldest of all goes, though not for a source that has more than its share.
func (t *duplicates) evict(source *sourceEntries) bool {
	if most := t.sources.most(); most != nil {
		for range evictionSteps {
			w := most.oldest
			if w.ended() {
				t.remove(w)
				return true
			}
			most.unlink(w)
			most.append(w)
		}
		if source.count >= t.sources.share {
			return false
		}
	}
	for range evictionSteps {
		w := t.order.newer
		if w == &t.order {
			return false
		}
		if w.ended() {
			t.remove(w)
			return true
		}
		t.postpone(w)
	}
	return false
}

// postpone moves an entry that is being worked on behind the others, where it is
// looked at again when they have gone.
func (t *duplicates) postpone(w *Reply) {
	w.unlink()
	t.append(w)
}

func (t *duplicates) append(w *Reply) {
	w.older, w.newer = t.order.older, &t.order
	w.older.newer, w.newer.older = w, w
}

func (w *Reply) unlink() {
	w.older.newer, w.newer.older = w.newer, w.older
	w.older, w.newer = nil, nil
}

// ended reports whether the entry belongs to the listener alone.
func (w *Reply) ended() bool {
	state := w.state.Load()
	return state == stateAnswered || state == stateForgotten
}

// take returns an entry to use.
func (t *duplicates) take() *Reply {
	w := t.free
	if w == nil {
		return new(Reply)
	}
	t.free, w.newer = w.newer, nil
	t.freeCount--
	return w
}

// retire puts an entry aside until the batch is written.
func (t *duplicates) retire(w *Reply) {
	w.newer, t.retired = t.retired, w
}

// reuse frees what has been retired, once the batch is written.
func (t *duplicates) reuse() {
	for w := t.retired; w != nil; w = t.retired {
		t.retired, w.newer = w.newer, nil
		if t.freeCount >= maxFreeReplies {
			continue
		}
		w.request = Request{} // it points to the NAS
		w.secret, w.lane = nil, nil
		if cap(w.buf) > maxKeptBuffer {
			w.buf = nil
		}
		w.newer, t.free = t.free, w
		t.freeCount++
	}
}
