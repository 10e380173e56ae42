// Package mschap is the cryptography of MS-CHAP (RFC 2433), MS-CHAPv2 (RFC 2759) and
// of the keys for MPPE that come of them (RFC 3079). Nothing in it allocates.
//
// It is no cryptography to build on: an NT hash is as good as the password, and who
// hears a challenge and its response finds the hash with 2^56 trials. It serves
// where the peers know nothing else.
package mschap

import (
	"crypto/sha1"
	"unicode/utf8"
)

const (
	// HashLength is the length of an NT hash.
	HashLength = 16
	// ChallengeLength is the length of the challenge that a response answers.
	ChallengeLength = 8
	// ResponseLength is the length of an NT-Response.
	ResponseLength = 24
	// AuthenticatorResponseLength is the length of an authenticator response.
	AuthenticatorResponseLength = 2 + 2*sha1.Size
	// KeyLength is the length of a master key and of session keys of 128 bits.
	KeyLength = 16
)

// An NTHash is MD4 of a password in UTF-16LE, or of another such hash. It is as
// good as the password.
type NTHash [HashLength]byte

// A Response answers a challenge: NT-Response.
type Response [ResponseLength]byte

// HashPassword is NtPasswordHash of RFC 2759 §8.3. The password is taken as UTF-8;
// octets that are not are taken as one replacement character for each row of them,
// as Windows would show them.
func HashPassword[T string | []byte](password T) NTHash {
	h := newMD4()
	invalid := false
	for i := 0; i < len(password); {
		r, size := rune(password[i]), 1
		if r >= utf8.RuneSelf {
			r, size = decodeRune(password[i:])
		}
		i += size
		if r == utf8.RuneError && size == 1 {
			if invalid {
				continue
			}
			invalid = true
		} else {
			invalid = false
		}
		if r >= 0x10000 { // a pair of surrogates
			r -= 0x10000
			h.putUint16(uint16(0xd800 | r>>10))
			r = 0xdc00 | r&0x3ff
		}
		h.putUint16(uint16(r))
	}
	return h.sum()
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	return utf8.DecodeRune(b[:copy(b[:], s)])
}

// Hash is HashNtPasswordHash of RFC 2759 §8.4.
func (h *NTHash) Hash() NTHash {
	m := newMD4()
	for i := 0; i < HashLength; i += 2 {
		m.putUint16(uint16(h[i]) | uint16(h[i+1])<<8)
	}
	return m.sum()
}

// Respond is ChallengeResponse of RFC 2759 §8.5: what a peer with the password
// answers to the challenge.
func (h *NTHash) Respond(challenge [ChallengeLength]byte) Response {
	keys := [3][7]byte{[7]byte(h[:7]), [7]byte(h[7:14]), {h[14], h[15]}}
	return encryptDES(challenge, &keys)
}

// ChallengeHash is ChallengeHash of RFC 2759 §8.2: the challenge that MS-CHAPv2
// answers, of the two challenges of 16 octets and the user's name without a domain.
func ChallengeHash(peer, authenticator *[16]byte, name []byte) (challenge [ChallengeLength]byte) {
	var scratch [32 + 256]byte // no allocation unless the name is longer than any attribute
	input := append(scratch[:0], peer[:]...)
	input = append(input, authenticator[:]...)
	input = append(input, name...)
	sum := sha1.Sum(input)
	return [ChallengeLength]byte(sum[:])
}

// AuthenticatorResponse is GenerateAuthenticatorResponse of RFC 2759 §8.7: S= and 40
// hexadecimal digits, which prove to the peer that the server knows the password.
// hashHash is the [NTHash.Hash] of the password's, challenge is a [ChallengeHash].
func AuthenticatorResponse(hashHash *NTHash, response *Response, challenge [ChallengeLength]byte) (text [AuthenticatorResponseLength]byte) {
	const magic1 = "Magic server to client signing constant"
	const magic2 = "Pad to make it do more than one iteration"
	var input [HashLength + ResponseLength + len(magic1)]byte
	copy(input[:], hashHash[:])
	copy(input[HashLength:], response[:])
	copy(input[HashLength+ResponseLength:], magic1)
	digest := sha1.Sum(input[:])

	var second [sha1.Size + ChallengeLength + len(magic2)]byte
	copy(second[:], digest[:])
	copy(second[sha1.Size:], challenge[:])
	copy(second[sha1.Size+ChallengeLength:], magic2)
	digest = sha1.Sum(second[:])

	const digits = "0123456789ABCDEF"
	text[0], text[1] = 'S', '='
	for i, b := range digest {
		text[2+2*i], text[3+2*i] = digits[b>>4], digits[b&15]
	}
	return text
}

// MasterKey is GetMasterKey of RFC 3079 §3.4. hashHash is the [NTHash.Hash] of the
// password's.
func MasterKey(hashHash *NTHash, response *Response) (key [KeyLength]byte) {
	const magic = "This is the MPPE Master Key"
	var input [HashLength + ResponseLength + len(magic)]byte
	copy(input[:], hashHash[:])
	copy(input[HashLength:], response[:])
	copy(input[HashLength+ResponseLength:], magic)
	sum := sha1.Sum(input[:])
	return [KeyLength]byte(sum[:])
}

// SessionKeys is GetAsymmetricStartKey of RFC 3079 §3.4, for keys of 128 bits: those
// with which the server sends and receives.
func SessionKeys(master [KeyLength]byte) (send, receive [KeyLength]byte) {
	const fromServer = "On the client side, this is the receive key; on the server side, it is the send key."
	const fromClient = "On the client side, this is the send key; on the server side, it is the receive key."
	return sessionKey(master, fromServer), sessionKey(master, fromClient)
}

func sessionKey(master [KeyLength]byte, magic string) [KeyLength]byte {
	const padding, magicLength = 40, 84
	var input [KeyLength + padding + magicLength + padding]byte
	copy(input[:], master[:])
	copy(input[KeyLength+padding:], magic)
	for i := range padding {
		input[KeyLength+padding+magicLength+i] = 0xf2
	}
	sum := sha1.Sum(input[:])
	return [KeyLength]byte(sum[:])
}
