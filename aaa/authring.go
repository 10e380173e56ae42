package aaa

import (
	"encoding/binary"
	"slices"
)

// authRing is memory for decisions that wait, oldest first. Places in it are counted
// on and on; the memory is used again from the front when its end is reached. An
// entry is never split: what is left at the end is skipped, marked by a size of zero.
type authRing struct {
	memory []byte // of a power of two
	end    uint64 // where the next entry goes
}

// authMark is a reader's place in a ring.
type authMark struct {
	at    uint64
	waits int // how many entries there are from here on
}

func (r *authRing) offset(at uint64) int { return int(at & uint64(len(r.memory)-1)) }

// reach returns how far an entry of n octets will reach, if it is the next.
func (r *authRing) reach(n int) (end uint64) {
	if left := len(r.memory) - r.offset(r.end); left < n {
		n += left
	}
	return r.end + uint64(n)
}

// grow returns the memory of a new entry. No reader may have anything left that is
// as far behind reach as the memory is long.
func (r *authRing) grow(n int) []byte {
	from := r.offset(r.end)
	if left := len(r.memory) - from; left < n {
		binary.LittleEndian.PutUint16(r.memory[from:], 0)
		r.end += uint64(left)
		from = 0
	}
	r.end += uint64(n)
	return r.memory[from : from+n : from+n]
}

// rewind goes back to the front of the memory, which the processor still has at
// hand. No reader may have anything left; the marks are to be moved.
func (r *authRing) rewind() (end uint64) {
	if from := r.offset(r.end); from > 0 {
		r.end += uint64(len(r.memory) - from)
	}
	return r.end
}

// entry returns the entry at m, of which there is one, and its place.
func (r *authRing) entry(m authMark) (b []byte, at uint64) {
	b = r.memory[r.offset(m.at):]
	if entrySize(b) == 0 {
		return r.memory, m.at + uint64(len(b))
	}
	return b, m.at
}

// drop moves a mark past the oldest entries until it is not before the place; it
// returns how many they were.
func (r *authRing) drop(m *authMark, before uint64) (n int) {
	for ; m.waits > 0 && m.at < before; n++ {
		b, at := r.entry(*m)
		m.at = at + uint64(entrySize(b))
		m.waits--
	}
	return n
}

// copyTo copies up to limit entries, and up to about octets of them, that stand in a
// row to the batch and moves the mark past them.
func (r *authRing) copyTo(batch *AuthBatch, m *authMark, limit, octets int) (n int) {
	if m.waits == 0 {
		return 0
	}
	b, at := r.entry(*m)
	size := 0
	for n < min(limit, m.waits) && size < min(octets, len(b)) {
		next := entrySize(b[size:])
		if next == 0 {
			break
		}
		size += next
		n++
	}
	batch.data = append(batch.data, b[:size]...)
	batch.n += n
	m.at, m.waits = at+uint64(size), m.waits-n
	return n
}

// reserve makes room in the batch for what copyTo copies at once.
func (b *AuthBatch) reserve(octets int) { b.data = slices.Grow(b.data, octets+maxEntry) }
