package md5x8

import "golang.org/x/sys/cpu"

// Available reports whether this processor has what Sum needs, AVX2.
func Available() bool { return cpu.X86.HasAVX2 }

// blocks runs MD5 over n blocks of each of eight messages.
//
//go:noescape
func blocks(state *[4][Lanes]uint32, data *[Lanes]*byte, n int)
