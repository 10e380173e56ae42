// Package seal keeps secrets at rest: it encrypts them under one master key and
// binds each to the place it is stored in.
//
// A sealed value is
//
//	version (1 octet) | key id (4 octets) | nonce (12 octets) | AES-256-GCM ciphertext and tag
//
// The place (a table, a column and a row's id, say) is the associated data: a
// value that somebody copies into another row does not open there.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	version    = 1
	keyIDSize  = 4
	nonceSize  = 12
	headerSize = 1 + keyIDSize + nonceSize
	tagSize    = 16
)

// Overhead is how many octets a sealed value is longer than what it holds.
const Overhead = headerSize + tagSize

// The reasons why a value does not open.
var (
	// ErrWrongKey means that the value was sealed under another master key.
	ErrWrongKey = errors.New("sealed under another master key")
	// ErrCorrupt means that the value was changed, cut, or copied from another
	// place.
	ErrCorrupt = errors.New("sealed value is damaged or was moved from another place")
)

// Sealer seals and opens values under one master key. It is safe for concurrent
// use.
type Sealer struct {
	aead  cipher.AEAD
	keyID [keyIDSize]byte
	prk   []byte // of HKDF, for Derive
}

// New returns a Sealer for the key. It keeps no reference to it.
func New(key Key) *Sealer {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the length of a Key is that of an AES-256 key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size GCM wants
	}
	s := &Sealer{aead: aead}
	// The id tells keys apart and says nothing about them.
	sum := sha256.Sum256(append([]byte("radiusd master key id\x00"), key[:]...))
	copy(s.keyID[:], sum[:])
	if s.prk, err = hkdf.Extract(sha256.New, key[:], []byte("radiusd derived keys")); err != nil {
		panic(err) // only for hashes that FIPS 140 does not approve of
	}
	return s
}

// Derive returns a key for another purpose than sealing, by HKDF with SHA-256 (RFC
// 5869). The same master key and purpose give the same key; from it neither the
// master key nor that of another purpose can be found.
func (s *Sealer) Derive(purpose string) (key [32]byte) {
	octets, err := hkdf.Expand(sha256.New, s.prk, purpose, len(key))
	if err != nil {
		panic(err) // the length is one that HKDF gives
	}
	return [32]byte(octets)
}

// KeyID returns the id of the master key, in hex, for messages.
func (s *Sealer) KeyID() string { return hex.EncodeToString(s.keyID[:]) }

// Seal encrypts plain for the place. Sealing the same value twice gives two
// different results.
func (s *Sealer) Seal(plain []byte, place string) []byte {
	sealed := make([]byte, headerSize, len(plain)+Overhead)
	sealed[0] = version
	copy(sealed[1:], s.keyID[:])
	nonce := sealed[1+keyIDSize : headerSize]
	if _, err := rand.Read(nonce); err != nil {
		panic(err) // crypto/rand never fails
	}
	return s.aead.Seal(sealed, nonce, plain, []byte(place))
}

// Open decrypts what Seal made for the same place. The error is ErrWrongKey,
// ErrCorrupt, or says that the version is unknown.
func (s *Sealer) Open(sealed []byte, place string) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrCorrupt
	}
	if sealed[0] != version {
		return nil, fmt.Errorf("sealed by another version of radiusd (format %d)", sealed[0])
	}
	if [keyIDSize]byte(sealed[1:1+keyIDSize]) != s.keyID {
		return nil, fmt.Errorf("%w: the value's key id is %x, this key's is %x", ErrWrongKey, sealed[1:1+keyIDSize], s.keyID)
	}
	plain, err := s.aead.Open(nil, sealed[1+keyIDSize:headerSize], sealed[headerSize:], []byte(place))
	if err != nil {
		return nil, ErrCorrupt
	}
	return plain, nil
}
