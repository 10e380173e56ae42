package aaa

import (
	"crypto/rand"
	"crypto/sha256"
	"sync"
)

// verifiedCache remembers which passwords were found right lately, so that
// devices which authenticate every few minutes do not cost a slow hash each time.
// What it keeps is a digest of stored hash and password under a key that exists
// only in this process: a changed hash no longer matches, and no password can be
// read from it.
type verifiedCache struct {
	key  [32]byte
	size int

	mu     sync.Mutex
	recent map[[sha256.Size]byte]struct{}
	older  map[[sha256.Size]byte]struct{}
}

func newVerifiedCache(size int) (*verifiedCache, error) {
	c := &verifiedCache{size: max(size/2, 1), recent: map[[sha256.Size]byte]struct{}{}}
	_, err := rand.Read(c.key[:])
	return c, err
}

// sum is SHA-256 of key, stored hash and password. It needs no HMAC, which keeps those
// who see a digest from making that of a longer text: nobody sees one.
func (c *verifiedCache) sum(stored string, password []byte) [sha256.Size]byte {
	var buffer [512]byte
	text := append(buffer[:0], c.key[:]...)
	text = append(text, stored...)
	text = append(text, 0) // no stored hash has a zero octet
	text = append(text, password...)
	sum := sha256.Sum256(text)
	clear(text)
	return sum
}

// has reports whether the password was verified against the stored hash lately.
func (c *verifiedCache) has(stored string, password []byte) bool {
	sum := c.sum(stored, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.recent[sum]; ok {
		return true
	}
	_, ok := c.older[sum]
	if ok {
		c.keep(sum)
	}
	return ok
}

// add remembers a password that was found right.
func (c *verifiedCache) add(stored string, password []byte) {
	sum := c.sum(stored, password)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(sum)
}

// keep adds to the recent half; when that is full, the older half is forgotten.
func (c *verifiedCache) keep(sum [sha256.Size]byte) {
	if len(c.recent) >= c.size {
		c.older, c.recent = c.recent, make(map[[sha256.Size]byte]struct{}, c.size)
	}
	c.recent[sum] = struct{}{}
}
