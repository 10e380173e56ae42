//go:build linux

package main

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// An answerBuffer holds a datagram between the blocks that its signatures are computed
// with, so that each is one call over memory that is already in place: the key of
// HMAC's inner hash before it, and room for the secret after it.
type answerBuffer [md5.BlockSize + slotSize]byte

// A nasKey is a NAS's secret, and the blocks that HMAC makes of it (RFC 2104).
type nasKey struct {
	secret       [16]byte
	inner, outer [md5.BlockSize]byte
}

// newNASKeys makes the keys of NASes, all with the same secret or each with its own.
func newNASKeys(nases int, distinct bool) []nasKey {
	keys := make([]nasKey, nases)
	for i := range keys {
		k := &keys[i]
		k.secret = nasSecret(i, distinct)
		copy(k.inner[:], k.secret[:])
		copy(k.outer[:], k.secret[:])
		for j := range md5.BlockSize {
			k.inner[j] ^= 0x36
			k.outer[j] ^= 0x5c
		}
	}
	return keys
}

// nasSecret is the secret of a NAS.
func nasSecret(nas int, distinct bool) [16]byte {
	if distinct {
		return [16]byte(fmt.Appendf(nil, "benchmark-%06d", nas))
	}
	return [16]byte([]byte(secret))
}

// packet is where the datagram is, with less room than there is.
func (b *answerBuffer) packet() []byte {
	return b[md5.BlockSize : len(b)-len(nasKey{}.secret)]
}

// responseAuthentic checks the Response Authenticator (RFC 2865 section 3) of the answer
// of n octets and leaves the request's in its place.
func (b *answerBuffer) responseAuthentic(n int, request []byte, k *nasKey) bool {
	p := b[md5.BlockSize:]
	claimed := [16]byte(p[4:20])
	copy(p[4:20], request[4:20])
	copy(p[n:], k.secret[:])
	sum := md5.Sum(p[:n+len(k.secret)])
	return subtle.ConstantTimeCompare(sum[:], claimed[:]) == 1
}

// messageAuthentic checks Message-Authenticator, whose value is at an offset, after
// responseAuthentic has put the request's authenticator in place.
func (b *answerBuffer) messageAuthentic(n, at int, k *nasKey) bool {
	copy(b[:], k.inner[:])
	p := b[md5.BlockSize:]
	claimed := [16]byte(p[at : at+16])
	clear(p[at : at+16])
	inner := md5.Sum(b[:md5.BlockSize+n])
	var outer [md5.BlockSize + md5.Size]byte
	copy(outer[:], k.outer[:])
	copy(outer[md5.BlockSize:], inner[:])
	sum := md5.Sum(outer[:])
	return subtle.ConstantTimeCompare(sum[:], claimed[:]) == 1
}

// A poolSource sends the requests of a pool and wants Access-Accept.
type poolSource struct {
	*pool
	turn     []uint16 // the next variant, by socket and Identifier
	unsigned bool     // an answer need not have Message-Authenticator
}

func (s *poolSource) request(socket, identifier int) []byte {
	turn := &s.turn[socket*256+identifier]
	p := s.packet(int(*turn), socket, identifier)
	if *turn++; int(*turn) == s.variants {
		*turn = 0
	}
	return p
}

// verify checks everything: length, both signatures, and the code.
func (s *poolSource) verify(b *answerBuffer, n int, request []byte) verdict {
	p, k := b.packet(), &s.keys[nasOf(request)]
	if int(binary.BigEndian.Uint16(p[2:])) != n || !b.responseAuthentic(n, request, k) {
		return unverified
	}
	if at := messageAuthenticator(p[:n]); at == 0 && !s.unsigned || at != 0 && !b.messageAuthentic(n, at, k) {
		return unverified
	}
	if p[0] != accessAccept {
		return wrongCode
	}
	return right
}

// messageAuthenticator returns where the value of the only Message-Authenticator is.
func messageAuthenticator(p []byte) (at int) {
	for i := headerLength; i < len(p); i += int(p[i+1]) {
		switch {
		case i+2 > len(p) || p[i+1] < 2 || i+int(p[i+1]) > len(p):
			return 0
		case p[i] == attrMessageAuthenticator:
			if at != 0 || p[i+1] != 18 {
				return 0
			}
			at = i + 2
		}
	}
	return at
}

// An echoSource wants its requests back.
type echoSource struct{ *poolSource }

func (s *echoSource) verify(b *answerBuffer, n int, request []byte) verdict {
	if string(b.packet()[:n]) != string(request) {
		return unverified
	}
	return right
}
