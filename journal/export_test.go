package journal

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// OpenStepped opens a journal without its committer goroutine: the test commits
// and probes by Step, so that all that happens depends on its seed.
func OpenStepped(opt Options) (*Journal, error) { return open(opt) }

// Step commits the filling group, or probes a failed device.
func (j *Journal) Step() {
	if g, _ := j.takeGroup(); g != nil {
		j.commit(g)
	} else if j.active == nil {
		j.probe()
	}
}

// WatchSpace is what the committer goroutine does between two groups.
func (j *Journal) WatchSpace() { j.watchSpace() }

// CloseStepped is Close for a stepped journal.
func (j *Journal) CloseStepped() error {
	j.mu.Lock()
	j.closing, j.refuse = true, ErrClosed
	j.mu.Unlock()
	j.Step()
	j.shut()
	close(j.done)
	return j.closeErr
}

func VerifyFS(fsys FS, dir string) (Report, error) {
	return verify(context.Background(), fsys, dir, nil)
}

func InspectFS(fsys FS, dir string) (Info, error) { return inspect(fsys, dir) }

func SkipDamageFS(fsys FS, dir, segment string) (Skipped, error) {
	return skipDamage(fsys, dir, segment)
}

const (
	SegmentHeader = segmentHeader
	FrameHeader   = frameHeader
)

func SegmentName(base Position) string { return segmentName(base) }

// NewSegment makes an empty segment.
func NewSegment(fsys FS, dir string, base Position) (File, error) {
	return createSegment(fsys, dir, base, 0)
}

// MendSums makes the checksums of a segment that begins at 0 right.
func MendSums(b []byte) {
	if len(b) >= segmentHeader {
		binary.LittleEndian.PutUint32(b[segmentHeader-4:], crc32.Checksum(b[:segmentHeader-4], castagnoli))
	}
	for off := segmentHeader; off+frameHeader <= len(b); {
		h := b[off:]
		n := int(binary.LittleEndian.Uint32(h) & lengthMask)
		if n <= len(h)-frameHeader && n > 0 {
			binary.LittleEndian.PutUint32(h[8:], crc32.Checksum(h[frameHeader:frameHeader+n], castagnoli))
		}
		binary.LittleEndian.PutUint32(h[12:], headerSum(h, Position(off-segmentHeader)))
		off += frameSize(n)
	}
}

// Prepared are options with which a spare is wanted when so many octets were committed
// within a minute, and made in pieces of 1 KiB, with these times.
func Prepared(opt Options, load int64, pause, rest time.Duration) Options {
	opt.preparing = preparing{load: load, piece: 1 << 10, pause: pause, rest: rest}
	return opt
}

// NotPrepared are options with which no spare is ever made.
func NotPrepared(opt Options) Options {
	opt.preparing.load = math.MaxInt64 / 2
	return opt
}

// PrepareStep writes a piece of the spare of a stepped journal if one is wanted, and
// says whether there is more to write.
func (j *Journal) PrepareStep() bool { return j.spare.step() }

// ActivePrepared says whether the journal writes into what was a spare.
func (j *Journal) ActivePrepared() bool { return j.prepared }

const SpareName = spareName
