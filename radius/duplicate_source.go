package radius

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	// evenShare of a table, a sixteenth, is what a source has without being one that
	// has much.
	evenShare = 16
	// sourceBits is how many bits of its address's hash tell a source.
	sourceBits = 12
)

// sources are the entries of a duplicate table by source. Sources are addresses, told
// by their hash: there are few enough of them, two that have the same one only share
// their share, and there is nothing to look up and to free.
type sources struct {
	share  int // entries
	seed   uint64
	byHash [1 << sourceBits]sourceEntries

	much [evenShare]*sourceEntries // those with more than their share
	n    int                       // of them
}

// sourceEntries is a list.
type sourceEntries struct {
	oldest, newest *Reply
	count          int
}

func newSources(maximum int) *sources {
	return &sources{share: maximum / evenShare, seed: rand.Uint64() | 1}
}

func (s *sources) of(addr *[16]byte) *sourceEntries {
	high, low := binary.LittleEndian.Uint64(addr[:]), binary.LittleEndian.Uint64(addr[8:])
	x := (high ^ low) * s.seed
	return &s.byHash[(x^x>>32)*s.seed>>(64-sourceBits)]
}

// add appends the entry to its source's.
func (s *sources) add(w *Reply) {
	e := w.source
	e.append(w)
	if e.count++; e.count == s.share+1 {
		s.much[s.n] = e
		s.n++
	}
}

func (s *sources) remove(w *Reply) {
	e := w.source
	e.unlink(w)
	if e.count--; e.count == s.share {
		for i := range s.much[:s.n] {
			if s.much[i] == e {
				s.n--
				s.much[i] = s.much[s.n]
				return
			}
		}
	}
}

// most returns the source that has most, or nil if none has more than its share.
func (s *sources) most() (most *sourceEntries) {
	for _, e := range s.much[:s.n] {
		if most == nil || e.count > most.count {
			most = e
		}
	}
	return most
}

func (e *sourceEntries) append(w *Reply) {
	w.sourceOlder, w.sourceNewer = e.newest, nil
	if e.newest == nil {
		e.oldest = w
	} else {
		e.newest.sourceNewer = w
	}
	e.newest = w
}

func (e *sourceEntries) unlink(w *Reply) {
	if w.sourceOlder == nil {
		e.oldest = w.sourceNewer
	} else {
		w.sourceOlder.sourceNewer = w.sourceNewer
	}
	if w.sourceNewer == nil {
		e.newest = w.sourceOlder
	} else {
		w.sourceNewer.sourceOlder = w.sourceOlder
	}
	w.sourceOlder, w.sourceNewer = nil, nil
}
