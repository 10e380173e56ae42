//go:build linux

package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets of three percent.
type histogram struct {
	buckets [64 * 32]uint32
	n       uint64
}

func (h *histogram) add(ns int64) {
	h.buckets[bucketOf(uint64(max(ns, 0)))]++
	h.n++
}

// bucketOf is exact below 32 and then has 32 buckets for each power of two.
func bucketOf(ns uint64) int {
	shift := max(bits.Len64(ns)-6, 0)
	return shift*32 + int(ns>>shift)
}

// quantile returns the middle of the bucket that has the part q of all below it.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.n)), uint64(0)
	for i, n := range h.buckets {
		if seen += uint64(n); n > 0 && seen >= rank {
			if i < 64 {
				return time.Duration(i)
			}
			shift := i/32 - 1
			return time.Duration((uint64(i-shift*32) << shift) + 1<<shift/2)
		}
	}
	return 0
}
