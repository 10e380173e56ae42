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
	hash  func(K) uint64
	slots []T // a power of two of them; zero: free
	count int
}

const liveSetMin = 8

// find returns the slot of the key, or the free one where it is to be put.
func (s *liveSet[K, T]) find(k K) int {
	var free T
	mask := len(s.slots) - 1
	i := int(s.hash(k)) & mask
	for s.slots[i] != free && s.slots[i].key() != k {
		i = (i + 1) & mask
	}
	return i
}

// get returns what has the key; nil if nothing has.
func (s *liveSet[K, T]) get(k K) (found T) {
	if s.count == 0 {
		return found
	}
	return s.slots[s.find(k)]
}

// add puts in what has a key that is not there.
func (s *liveSet[K, T]) add(v T) {
	if 4*(s.count+1) > 3*len(s.slots) {
		s.resize(max(2*len(s.slots), liveSetMin))
	}
	s.slots[s.find(v.key())] = v
	s.count++
}

// remove takes out what has the key, if it is there.
func (s *liveSet[K, T]) remove(k K) {
	if s.count == 0 {
		return
	}
	var free T
	mask := len(s.slots) - 1
	hole := s.find(k)
	if s.slots[hole] == free {
		return
	}
	// What was put behind its place because of this one moves up.
	for i := (hole + 1) & mask; s.slots[i] != free; i = (i + 1) & mask {
		home := int(s.hash(s.slots[i].key())) & mask
		if (i-home)&mask >= (i-hole)&mask {
			s.slots[hole] = s.slots[i]
			hole = i
		}
	}
	s.slots[hole] = free
	s.count--
	if len(s.slots) > liveSetMin && 8*s.count < len(s.slots) {
		s.resize(len(s.slots) / 2)
	}
}

func (s *liveSet[K, T]) resize(n int) {
	var free T
	old := s.slots
	s.slots = make([]T, n)
	for _, v := range old {
		if v != free {
			s.slots[s.find(v.key())] = v
		}
	}
}

// all yields everything, in no order. Nothing may be added or removed meanwhile.
func (s *liveSet[K, T]) all() iter.Seq[T] {
	return func(yield func(T) bool) {
		var free T
		for _, v := range s.slots {
			if v != free && !yield(v) {
				return
			}
		}
	}
}
