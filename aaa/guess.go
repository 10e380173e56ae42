package aaa

import (
	"hash/maphash"
	"sync"
	"time"
)

// Wrong voucher codes are throttled by Calling-Station-Id and NAS: from the fifth on,
// each doubles the time in which no code from that station is looked at. A station can
// call itself anything, so a NAS has a rate of its own, which is far beyond what people
// mistype. What is beyond it keeps nobody from using a code that is safe: at a thousand
// guesses a second, one of 100,000 codes of 60 bits is found once in centuries. Shorter
// codes would be, so they are not looked at meanwhile.
const (
	safeCodeLength  = 12 // characters of five bits
	freeGuesses     = 5
	firstGuessLock  = 10 * time.Second
	longestLock     = 15 * time.Minute
	guessesForget   = 15 * time.Minute
	maxGuessers     = 50_000
	nasGuessesBurst = 300
	nasGuessEvery   = 100 * time.Millisecond
)

// guesses are the wrong codes of late. Nobody pays for them but who sends codes. The zero
// value is ready.
type guesses struct {
	mu       sync.Mutex
	seed     maphash.Seed
	stations map[uint64]guesser
	nases    map[uint64]time.Time // when the NAS's wrong codes will all be forgiven
}

type guesser struct {
	failures int
	until    time.Time // locked
	last     time.Time
}

// keys stand for the station at its NAS, zero without Calling-Station-Id, and for the NAS.
// The caller has the lock.
func (g *guesses) keys(x *exchange) (station, nas uint64) {
	if g.stations == nil {
		g.seed, g.stations, g.nases = maphash.MakeSeed(), map[uint64]guesser{}, map[uint64]time.Time{}
	}
	var h maphash.Hash
	h.SetSeed(g.seed)
	if x.nas != nil {
		_, _ = h.Write(x.nas.ID[:])
	}
	addr := x.request.Source.Addr().As16()
	_, _ = h.Write(addr[:])
	nas = h.Sum64()
	if sent := x.station(); len(sent) > 0 {
		_, _ = h.Write(sent)
		station = h.Sum64()
	}
	return station, nas
}

// throttled reports whether the code is not to be looked at.
func (a *Access) throttled(x *exchange, code []byte) bool {
	if x.trace != nil {
		return false
	}
	g := &a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	station, nas := g.keys(x)
	if g.stations[station].until.After(x.now) {
		return true
	}
	return g.nases[nas].Sub(x.now) > nasGuessesBurst*nasGuessEvery && codeLength(code) < safeCodeLength
}

// codeLength is how many characters a code has in normal form.
func codeLength(typed []byte) (n int) {
	for _, c := range typed {
		if '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
			n++
		}
	}
	return n
}

// guessed counts a wrong code.
func (a *Access) guessed(x *exchange) {
	if x.trace != nil {
		return
	}
	g := &a.guesses
	g.mu.Lock()
	defer g.mu.Unlock()
	station, nas := g.keys(x)
	makeRoom(g.nases, func(forgiven time.Time) bool { return !forgiven.After(x.now) })
	forgiven := g.nases[nas]
	if forgiven.Before(x.now) {
		forgiven = x.now
	}
	if forgiven.Sub(x.now) <= nasGuessesBurst*nasGuessEvery { // a flood is over as soon as it ends
		forgiven = forgiven.Add(nasGuessEvery)
	}
	g.nases[nas] = forgiven
	if station == 0 {
		return // those that do not name themselves have the NAS's rate only
	}
	old := func(one guesser) bool { return x.now.Sub(one.last) >= guessesForget && !one.until.After(x.now) }
	makeRoom(g.stations, old)
	one := g.stations[station]
	if old(one) {
		one = guesser{}
	}
	one.failures++
	one.last = x.now
	if one.failures >= freeGuesses {
		one.until = x.now.Add(min(firstGuessLock<<min(one.failures-freeGuesses, 20), longestLock))
	}
	g.stations[station] = one
}

// makeRoom forgets what is old when a map is full, or else anything.
func makeRoom[V any](m map[uint64]V, old func(V) bool) {
	if len(m) < maxGuessers {
		return
	}
	for key, value := range m {
		if old(value) {
			delete(m, key)
		}
	}
	for key := range m {
		if len(m) < maxGuessers {
			return
		}
		delete(m, key)
	}
}
