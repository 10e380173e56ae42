package mschap

import (
	"encoding/binary"
	"math/bits"
)

// DES (FIPS 46-3) of one block under a key of seven octets, which is all that
// MS-CHAP has of it (RFC 2433 appendix A.4, RFC 2759 §8.6). crypto/des makes a key
// schedule that is thrown away after one block, bit by bit and on the heap; that
// was most of what a login cost.
//
// The two halves of a block are held rotated to the right by three bits. So the
// windows of six bits that the even S-boxes look at are the low ends of the four
// octets, and after another rotation by four those of the odd ones. A round key is
// laid out to match: what is for the even S-boxes in the upper 32 bits.
const halfRotation = 3

// encryptDES encrypts a block under three keys without their parity bits. A round
// waits for the one before; taking the keys in turn, the processor has others to do
// meanwhile.
func encryptDES(block [8]byte, keys *[3][7]byte) (encrypted [24]byte) {
	var lanes [3]struct {
		left, right uint32
		c, d        uint64
	}
	left, right := initialPermutation(block)
	for i := range lanes {
		lane := &lanes[i]
		lane.left, lane.right = left, right
		lane.c, lane.d = permutedChoice1(&keys[i])
	}
	for _, shift := range keyShifts {
		for i := range lanes {
			lane := &lanes[i]
			k := permutedChoice2(uint32(lane.c>>(shift&63)), uint32(lane.d>>(shift&63)))
			even, odd := lane.right^uint32(k>>32), bits.RotateLeft32(lane.right, 4)^uint32(k)
			lane.left, lane.right = lane.right, lane.left^
				substitutions[0][even>>24&63]^substitutions[2][even>>16&63]^
				substitutions[4][even>>8&63]^substitutions[6][even&63]^
				substitutions[1][odd>>24&63]^substitutions[3][odd>>16&63]^
				substitutions[5][odd>>8&63]^substitutions[7][odd&63]
		}
	}
	for i, lane := range lanes {
		// The last round does not exchange the halves.
		finalPermutation(encrypted[8*i:], lane.right, lane.left)
	}
	return encrypted
}

// transpose turns rows into columns, of the eight octets as rows of eight bits.
// IP, its inverse and PC-1 are this, and an order of the rows.
func transpose(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// initialPermutation is IP: the columns 2, 4, 6, 8 on the left and 1, 3, 5, 7 on the
// right, each from the last octet to the first.
func initialPermutation(block [8]byte) (left, right uint32) {
	columns := transpose(binary.LittleEndian.Uint64(block[:]))
	return bits.RotateLeft32(everyOther(columns), -halfRotation), bits.RotateLeft32(everyOther(columns>>8), -halfRotation)
}

// finalPermutation undoes initialPermutation into block.
func finalPermutation(block []byte, left, right uint32) {
	columns := spread(bits.RotateLeft32(left, halfRotation)) | spread(bits.RotateLeft32(right, halfRotation))<<8
	binary.LittleEndian.PutUint64(block, transpose(columns))
}

// everyOther joins the octets 1, 3, 5 and 7 of eight.
func everyOther(x uint64) uint32 {
	x &= 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// spread undoes everyOther.
func spread(half uint32) uint64 {
	x := uint64(half)
	x = (x | x<<16) & 0x0000ffff0000ffff
	return (x | x<<8) & 0x00ff00ff00ff00ff
}

// permutedChoice1 is PC-1, after the seven octets are made eight of seven bits each.
// It returns each half twice, one behind the other.
func permutedChoice1(key *[7]byte) (c, d uint64) {
	var packed uint64
	for _, octet := range key {
		packed = packed<<8 | uint64(octet)
	}
	var rows uint64 // the last octet first
	for i := range 8 {
		rows |= packed >> (49 - 7*i) & 0x7f << (8*i + 1)
	}
	columns := transpose(rows)
	column := func(n int) uint64 { return columns >> (64 - 8*n) & 0xff }
	c = column(1)<<20 | column(2)<<12 | column(3)<<4 | column(4)>>4
	d = column(7)<<20 | column(6)<<12 | column(5)<<4 | column(4)&0xf
	return c<<28 | c, d<<28 | d
}

// keyShifts are how far C and D, each of them twice in 56 bits, go to the right for
// a round: 28 less the rotations to the left up to then.
var keyShifts = [16]uint8{27, 26, 24, 22, 20, 18, 16, 14, 13, 11, 9, 7, 5, 3, 1, 0}

// permutedChoice2 is PC-2 of the low 28 bits of c and d.
func permutedChoice2(c, d uint32) uint64 {
	return keyBits[0][c>>21&127] | keyBits[1][c>>14&127] | keyBits[2][c>>7&127] | keyBits[3][c&127] |
		keyBits[4][d>>21&127] | keyBits[5][d>>14&127] | keyBits[6][d>>7&127] | keyBits[7][d&127]
}

// keyBits are what seven bits of C or D give to a round key.
var keyBits = makeKeyBits()

func makeKeyBits() (table [8][128]uint64) {
	for i, from := range choice2 {
		// Bit i of the round key is in the group of six bits of S-box i/6.
		box := i / 6
		at := 24 - box/2*8 + 5 - i%6
		if box%2 == 0 {
			at += 32
		}
		part, bit := (from-1)/7, 6-(from-1)%7
		for value := range table[part] {
			table[part][value] |= uint64(value>>bit&1) << at
		}
	}
	return table
}

// substitutions are the S-boxes with the permutation P of what they give.
var substitutions = makeSubstitutions()

func makeSubstitutions() (table [8][64]uint32) {
	for box := range table {
		for value := range table[box] {
			row, column := value>>4&2|value&1, value>>1&15
			out := uint32(sBoxes[box][16*row+column]) << (28 - 4*box)
			var permuted uint32
			for i, from := range permutation {
				permuted |= out >> (32 - from) & 1 << (31 - i)
			}
			table[box][value] = bits.RotateLeft32(permuted, -halfRotation)
		}
	}
	return table
}

// The tables of FIPS 46-3, whose bits are numbered from 1, the highest.

var choice2 = [48]int{
	14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10,
	23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
	41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
	44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
}

var permutation = [32]int{
	16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10,
	2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
}

var sBoxes = [8][64]uint8{
	{
		14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7,
		0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
		4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0,
		15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
	},
	{
		15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10,
		3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
		0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15,
		13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
	},
	{
		10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8,
		13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
		13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7,
		1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
	},
	{
		7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15,
		13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
		10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4,
		3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
	},
	{
		2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9,
		14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
		4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14,
		11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
	},
	{
		12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11,
		10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
		9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6,
		4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
	},
	{
		4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1,
		13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
		1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2,
		6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
	},
	{
		13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7,
		1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
		7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8,
		2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
	},
}
