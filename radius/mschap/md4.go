package mschap

import (
	"encoding/binary"
	"math/bits"
)

// md4 is a digest that is being computed (RFC 1320). The one of golang.org/x/crypto
// is allocated for each digest and computes in half the speed.
type md4 struct {
	state  [4]uint32
	block  [64]byte
	length uint64 // octets so far
}

func newMD4() md4 {
	return md4{state: [4]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}}
}

// putUint16 adds two octets, the low one first. An odd octet must not come before.
func (h *md4) putUint16(v uint16) {
	at := h.length % 64
	binary.LittleEndian.PutUint16(h.block[at:], v)
	if h.length += 2; h.length%64 == 0 {
		h.mix()
	}
}

// sum pads and returns the digest of an even number of octets.
func (h *md4) sum() (digest [16]byte) {
	length := h.length
	h.putUint16(0x80)
	for h.length%64 != 56 {
		h.putUint16(0)
	}
	binary.LittleEndian.PutUint64(h.block[56:], 8*length)
	h.mix()
	for i, word := range h.state {
		binary.LittleEndian.PutUint32(digest[4*i:], word)
	}
	return digest
}

// mix takes the block into the state.
func (h *md4) mix() {
	var x [16]uint32
	for i := range x {
		x[i] = binary.LittleEndian.Uint32(h.block[4*i:])
	}
	a, b, c, d := h.state[0], h.state[1], h.state[2], h.state[3]
	for i := 0; i < 16; i += 4 {
		a = bits.RotateLeft32(a+x[i]+(b&(c^d)^d), 3)
		d = bits.RotateLeft32(d+x[i+1]+(a&(b^c)^c), 7)
		c = bits.RotateLeft32(c+x[i+2]+(d&(a^b)^b), 11)
		b = bits.RotateLeft32(b+x[i+3]+(c&(d^a)^a), 19)
	}
	const root2 = 0x5a827999
	for i := range 4 {
		a = bits.RotateLeft32(a+x[i]+(b&c|d&(b|c))+root2, 3)
		d = bits.RotateLeft32(d+x[i+4]+(a&b|c&(a|b))+root2, 5)
		c = bits.RotateLeft32(c+x[i+8]+(d&a|b&(d|a))+root2, 9)
		b = bits.RotateLeft32(b+x[i+12]+(c&d|a&(c|d))+root2, 13)
	}
	const root3 = 0x6ed9eba1
	for _, i := range [4]int{0, 2, 1, 3} {
		a = bits.RotateLeft32(a+x[i]+(b^c^d)+root3, 3)
		d = bits.RotateLeft32(d+x[i+8]+(a^b^c)+root3, 9)
		c = bits.RotateLeft32(c+x[i+4]+(d^a^b)+root3, 11)
		b = bits.RotateLeft32(b+x[i+12]+(c^d^a)+root3, 15)
	}
	h.state[0] += a
	h.state[1] += b
	h.state[2] += c
	h.state[3] += d
}
