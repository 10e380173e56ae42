package md5x8

import (
	"math"

	"golang.org/x/sys/cpu"
)

// Available reports whether this processor has what Sum needs, AVX2.
func Available() bool { return cpu.X86.HasAVX2 }

// blocks runs MD5 over n blocks of each of eight messages.
//
//go:noescape
func blocks(state *[4][Lanes]uint32, data *[Lanes]*byte, n int)

// constants are those of MD5's 64 steps.
//
//lint:ignore U1000 blocks reads them, in assembly
var constants = sines()

//lint:ignore U1000 constants are set by it
func sines() (t [64]uint32) {
	for i := range t {
		t[i] = uint32(math.Floor(math.Abs(math.Sin(float64(i+1))) * (1 << 32)))
	}
	return t
}
