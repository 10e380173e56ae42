//go:build linux

package main

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
)

// An answerBuffer holds a datagram between the blocks that its signatures are computed
// with, so that each is one call over memory that is already in place: the key of
// HMAC's inner hash before it, and room for the secret after it.
type answerBuffer [md5.BlockSize + slotSize]byte

// outerKey is the block of the key of HMAC's outer hash, and room for the inner one.
var outerKey, innerKey = func() (outer, inner [md5.BlockSize]byte) {
	copy(outer[:], secret) // it is shorter than a block
	copy(inner[:], secret)
	for i := range outer {
		outer[i] ^= 0x5c
		inner[i] ^= 0x36
	}
	return outer, inner
}()

func (b *answerBuffer) init() { copy(b[:], innerKey[:]) }

// packet is where the datagram is, with less room than there is.
func (b *answerBuffer) packet() []byte {
	return b[md5.BlockSize : len(b)-len(secret)]
}

// responseAuthentic checks the Response Authenticator (RFC 2865 section 3) of the answer
// of n octets and leaves the request's in its place.
func (b *answerBuffer) responseAuthentic(n int, request []byte) bool {
	p := b[md5.BlockSize:]
	claimed := [16]byte(p[4:20])
	copy(p[4:20], request[4:20])
	copy(p[n:], secret)
	sum := md5.Sum(p[:n+len(secret)])
	return subtle.ConstantTimeCompare(sum[:], claimed[:]) == 1
}

// messageAuthentic checks Message-Authenticator, whose value is at an offset, after
// responseAuthentic has put the request's authenticator in place.
func (b *answerBuffer) messageAuthentic(n, at int) bool {
	p := b[md5.BlockSize:]
	claimed := [16]byte(p[at : at+16])
	clear(p[at : at+16])
	inner := md5.Sum(b[:md5.BlockSize+n])
	var outer [md5.BlockSize + md5.Size]byte
	copy(outer[:], outerKey[:])
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
	p := b.packet()
	if int(binary.BigEndian.Uint16(p[2:])) != n || !b.responseAuthentic(n, request) {
		return unverified
	}
	if at := messageAuthenticator(p[:n]); at == 0 && !s.unsigned || at != 0 && !b.messageAuthentic(n, at) {
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
