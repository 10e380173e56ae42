package cli

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets whose width is a 32nd of their value, so
// that a quantile is right to 3 %. It has a fixed size and does not allocate.
type histogram struct {
	counts [64 * 32]uint64
	total  uint64
	most   time.Duration
}

// bucketOf returns the bucket of n nanoseconds: exact below 64, above that 32 for
// each power of two.
func bucketOf(n uint64) int {
	if n < 64 {
		return int(n)
	}
	shift := bits.Len64(n) - 6
	return shift*32 + int(n>>shift)
}

// bucketEnd returns the largest value of a bucket.
func bucketEnd(bucket int) uint64 {
	if bucket < 64 {
		return uint64(bucket)
	}
	shift := bucket/32 - 1
	return (uint64(bucket-shift*32)+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(uint64(d))]++
	h.total++
	h.most = max(h.most, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.most = max(h.most, other.most)
}

// quantile returns a duration that the fraction q of all does not exceed; zero if
// there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= rank {
			return min(time.Duration(bucketEnd(i)), h.most)
		}
	}
	return h.most
}
