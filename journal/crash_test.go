package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/journal"
	"radiusd/journal/journaltest"
)

const dir = "/journal"

// crashes is a journal that lives through crashes, with what it must remember.
type crashes struct {
	*require.Assertions
	rng  *rand.Rand
	disk *journaltest.Disk
	j    *journal.Journal

	prepared bool                        // spares are made
	taken    bool                        // one was written to
	last     uint64                      // number of the last record appended
	waiting  []uint64                    // appended in this life, not heard of yet
	acked    map[uint64]journal.Position // acknowledged, until retained past
	seen     map[journal.Position]uint64 // by a reader, or acknowledged: the record that ends there
	cursor   journal.Position            // what the consumer has stored
	retained journal.Position
	reader   *journal.Reader
}

// record is the n'th record: its number and content that follows from it. Many are of
// the same length, so that one may come to lie exactly where another one was.
func record(n uint64) []byte {
	rng := rand.New(rand.NewPCG(n, 1))
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 616), n)
	if rng.IntN(3) > 0 {
		for len(b) < 200 {
			b = binary.BigEndian.AppendUint64(b, rng.Uint64())
		}
		return b
	}
	for len(b) < 8+rng.IntN(600) {
		b = binary.BigEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:len(b)-rng.IntN(8)%len(b[7:])]
}

func TestNothingAcknowledgedIsLostInAPowerCut(t *testing.T) {
	seeds := uint64(2000)
	if testing.Short() {
		seeds = 200
	}
	taken := 0
	for seed := range seeds {
		if !liveAndCrash(t, seed, &taken) {
			return
		}
	}
	require.Greater(t, taken, int(seeds/4), "seeds with which prepared segments were written to")
}

func liveAndCrash(t *testing.T, seed uint64, taken *int) bool {
	return t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
		c := &crashes{
			Assertions: require.New(t),
			rng:        rand.New(rand.NewPCG(seed, 2)), disk: journaltest.New(seed),
			acked: map[uint64]journal.Position{}, seen: map[journal.Position]uint64{}, prepared: seed%2 == 0,
		}
		for range 6 {
			c.live()
		}
		c.disk.Restart()
		c.open()
		if c.taken {
			*taken++
		}
	})
}

// live opens the journal, uses it for a while and lets it crash.
func (c *crashes) live() {
	if c.rng.IntN(2) == 0 {
		c.disk.CutPowerAfter(c.rng.IntN(80))
	}
	for !c.open() {
		c.crash()
	}
	switch c.rng.IntN(4) {
	case 0:
	case 1:
		for range c.rng.IntN(4) {
			c.append()
			c.j.Step()
		}
	default:
		for range c.rng.IntN(60) {
			c.act()
		}
	}
	c.healthy()
	if c.rng.IntN(2) == 0 { // it ends while a group is being written
		for range c.rng.IntN(12) {
			c.append()
		}
		c.disk.CutPowerAfter(c.rng.IntN(3))
		c.j.Step()
	}
	switch c.rng.IntN(4) {
	case 0:
		if c.j.CloseStepped() == nil {
			c.Empty(c.waiting, "not heard of after Close")
		}
		c.disk.Kill()
		if c.rng.IntN(2) == 0 {
			c.disk.Restart()
		}
	default:
		c.crash()
	}
	c.waiting = nil
}

// crash ends the process, with the power or without.
func (c *crashes) crash() {
	if c.rng.IntN(2) == 0 {
		c.disk.Kill()
	} else {
		c.disk.Restart()
	}
}

func (c *crashes) healthy() {
	c.disk.FailSyncs(nil)
	c.disk.FailWrites(nil)
	c.disk.SetCapacity(-1)
}

func (c *crashes) act() {
	for range c.rng.IntN(4) {
		c.j.PrepareStep()
	}
	c.taken = c.taken || c.j.ActivePrepared()
	switch p := c.rng.IntN(100); {
	case p < 40:
		for range c.rng.IntN(12) {
			c.append()
		}
	case p < 70:
		c.j.Step()
	case p < 85:
		for range c.rng.IntN(20) {
			if !c.read() {
				break
			}
		}
	case p < 90:
		c.cursor = max(c.cursor, c.retained)
		c.j.Retain("sink", c.cursor)
		c.retained = c.cursor
	case p < 91:
		c.disk.FailSyncs(syscall.EIO)
	case p < 92:
		c.disk.FailOneSync(syscall.EIO)
	case p < 94:
		c.disk.FailWrites(syscall.EIO)
	case p < 95:
		c.disk.SetCapacity(c.disk.Used() + int64(c.rng.IntN(2000)))
	case p < 96:
		c.disk.Evict()
	default:
		c.healthy()
	}
}

func (c *crashes) append() {
	c.last++
	n := c.last
	err := c.j.Append(record(n), journal.CommittedFunc(func(end journal.Position, err error) {
		c.Equal(c.waiting[0], n, "Committed in the order of Append")
		c.waiting = c.waiting[1:]
		if err != nil {
			c.Zero(end)
			return
		}
		c.acked[n] = end
		c.note(end, n)
	}))
	if err == nil {
		c.waiting = append(c.waiting, n)
	}
}

// note records that end was given out for the record n.
func (c *crashes) note(end journal.Position, n uint64) {
	if before, ok := c.seen[end]; ok {
		c.Equal(before, n, "position %d means another record now", end)
	}
	c.seen[end] = n
}

// read lets the consumer read one record.
func (c *crashes) read() bool {
	b, end, ok, err := c.reader.TryNext()
	if errors.Is(err, journaltest.ErrPowerCut) {
		return false
	}
	c.NoError(err)
	if !ok {
		return false
	}
	n := binary.BigEndian.Uint64(b)
	c.True(bytes.Equal(record(n), b), "content of record %d", n)
	c.Greater(end, c.cursor)
	c.note(end, n)
	c.cursor = end
	return true
}

// open opens the journal and checks that it holds what it must; false if the
// power went meanwhile.
func (c *crashes) open() bool {
	opt := journal.Options{Dir: dir, FS: c.disk, SegmentBytes: 4 << 10, MaxBytes: 64 << 10, MaxRecord: 700}
	if c.prepared {
		opt = journal.Prepared(opt, 500, 0, 1)
	}
	j, err := journal.OpenStepped(opt)
	if errors.Is(err, journaltest.ErrPowerCut) {
		return false
	}
	c.NoError(err)
	c.j = j
	oldest := j.Stats().Oldest
	c.LessOrEqual(oldest, c.retained)
	c.GreaterOrEqual(j.End(), c.cursor)
	r, err := j.Reader(oldest)
	c.NoError(err)
	found := map[uint64]journal.Position{}
	for last := uint64(0); ; {
		b, end, ok, err := r.TryNext()
		if errors.Is(err, journaltest.ErrPowerCut) {
			return false
		}
		c.NoError(err)
		if !ok {
			break
		}
		n := binary.BigEndian.Uint64(b)
		c.Greater(n, last, "order is kept")
		c.LessOrEqual(n, c.last, "nothing appears that was not appended")
		c.True(bytes.Equal(record(n), b), "content of record %d", n)
		c.note(end, n)
		found[n], last = end, n
	}
	for _, n := range slices.Sorted(maps.Keys(c.acked)) {
		if end := c.acked[n]; end > c.retained {
			c.Equal(end, found[n], "acknowledged record %d is where it was", n)
		}
	}
	for end, n := range c.seen {
		if end > c.retained {
			c.Equal(end, found[n], "record %d, which was seen, is where it was", n)
		}
	}
	c.reader, err = j.Reader(c.cursor)
	c.NoError(err)
	return true
}
