package aaa

import "iter"

// liveSet is a hash set of pointers to things that carry their key. A map would hold
// each key a second time, and be half empty with a thousand entries: with a million
// sessions and users that is a hundred megabytes. It probes linearly, and is at most
// three quarters full.
type liveSet[K comparable, T interface {
	comparable
	key() K
}] struct {
	hash  func(K) uint64 // good in its lower 48 bits
	slots []T            // a power of two of them
	tags  []uint8        // of each slot: zero, free, or what its hash says, which spares a look at most others
	count int
}

const liveSetMin = 8

// tagOf is never zero.
func tagOf(hash uint64) uint8 { return uint8(hash>>40) | 0x80 }

// find returns the slot of the key, or the free one where it is to be put.
func (s *liveSet[K, T]) find(k K, hash uint64) int {
	mask, tag := len(s.slots)-1, tagOf(hash)
	i := int(hash) & mask
	for s.tags[i] != 0 && (s.tags[i] != tag || s.slots[i].key() != k) {
		i = (i + 1) & mask
	}
	return i
}

// get returns what has the key; nil if nothing has.
func (s *liveSet[K, T]) get(k K) (found T) {
	if s.count == 0 {
		return found
	}
	return s.slots[s.find(k, s.hash(k))]
}

// add puts in what has a key that is not there.
func (s *liveSet[K, T]) add(v T) {
	if 4*(s.count+1) > 3*len(s.slots) {
		s.resize(max(2*len(s.slots), liveSetMin))
	}
	s.place(v)
	s.count++
}

func (s *liveSet[K, T]) place(v T) {
	hash := s.hash(v.key())
	i := s.find(v.key(), hash)
	s.slots[i], s.tags[i] = v, tagOf(hash)
}

// remove takes out what has the key, if it is there.
func (s *liveSet[K, T]) remove(k K) {
	if s.count == 0 {
		return
	}
	mask := len(s.slots) - 1
	hole := s.find(k, s.hash(k))
	if s.tags[hole] == 0 {
		return
	}
	// What was put behind its place because of this one moves up.
	for i := (hole + 1) & mask; s.tags[i] != 0; i = (i + 1) & mask {
		home := int(s.hash(s.slots[i].key())) & mask
		if (i-home)&mask >= (i-hole)&mask {
			s.slots[hole], s.tags[hole] = s.slots[i], s.tags[i]
			hole = i
		}
	}
	var free T
	s.slots[hole], s.tags[hole] = free, 0
	s.count--
	if len(s.slots) > liveSetMin && 8*s.count < len(s.slots) {
		s.resize(len(s.slots) / 2)
	}
}

func (s *liveSet[K, T]) resize(n int) {
	slots, tags := s.slots, s.tags
	s.slots, s.tags = make([]T, n), make([]uint8, n)
	for i, v := range slots {
		if tags[i] != 0 {
			s.place(v)
		}
	}
}

// all yields everything, in no order. Nothing may be added or removed meanwhile.
func (s *liveSet[K, T]) all() iter.Seq[T] { return s.some(0, len(s.slots)) }

// some yields what is in n slots; see all.
func (s *liveSet[K, T]) some(from, n int) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := from; i < min(from+n, len(s.slots)); i++ {
			if s.tags[i] != 0 && !yield(s.slots[i]) {
				return
			}
		}
	}
}
