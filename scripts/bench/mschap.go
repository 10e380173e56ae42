//go:build linux

package main

import (
	"crypto/des"
	"crypto/sha1"

	//lint:ignore SA1019 MS-CHAP has it
	"golang.org/x/crypto/md4"
)

// ntHash is MD4 of the password in UTF-16LE (RFC 2759 section 8.3); passwords here are
// ASCII.
func ntHash(password []byte) (sum [16]byte) {
	var wide [64]byte
	text := wide[:0]
	for _, octet := range password {
		text = append(text, octet, 0)
	}
	h := md4.New()
	h.Write(text)
	h.Sum(sum[:0])
	return sum
}

// challengeHash is what the response is computed over (RFC 2759 section 8.2).
func challengeHash(peer, challenge, name []byte) [8]byte {
	var buffer [64]byte
	text := append(append(append(buffer[:0], peer...), challenge...), name...)
	sum := sha1.Sum(text)
	return [8]byte(sum[:])
}

// challengeResponse encrypts a challenge with the NT hash as three keys of DES (RFC 2759
// section 8.5).
func challengeResponse(challenge *[8]byte, hash *[16]byte) (response [24]byte, err error) {
	var padded [21]byte
	copy(padded[:], hash[:])
	for i := range 3 {
		var key [8]byte
		expandKey(&key, padded[7*i:])
		block, err := des.NewCipher(key[:])
		if err != nil {
			return response, err
		}
		block.Encrypt(response[8*i:], challenge[:])
	}
	return response, nil
}

// expandKey spreads 56 bits of a key over eight octets; nobody looks at parity.
func expandKey(key *[8]byte, from []byte) {
	key[0] = from[0]
	for i := 1; i < 7; i++ {
		key[i] = from[i-1]<<(8-i) | from[i]>>i
	}
	key[7] = from[6] << 1
}

func ntResponse(challenge, peer, name, password []byte) ([24]byte, error) {
	hash := ntHash(password)
	c := challengeHash(peer, challenge, name)
	return challengeResponse(&c, &hash)
}
