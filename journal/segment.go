package journal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".journal"
	tempSuffix    = ".tmp"
	damagedSuffix = ".damaged"
	lockName      = "lock"
	skipLockName  = "skip.lock"

	segmentMagic   = "RADIUSDJ"
	segmentVersion = 1
	segmentHeader  = 32

	frameHeader = 16
	// recordLimit bounds what a reader allocates for one record, whatever MaxRecord is.
	recordLimit = 16 << 20
	// groupLimit bounds how far before a record its group may begin.
	groupLimit = 1 << 30

	// positionLimit is never reached: no sum of positions below it overflows.
	positionLimit = 1 << 62

	lengthMask = 1<<30 - 1
	kindShift  = 30
)

// The two highest bits of a frame's length give its kind.
const (
	kindRecord = iota
	kindFiller // the octets that follow are to be skipped: a quarantined damage
	kindSeal   // the journal was closed here; nothing follows
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameSize is what a record of n octets takes in a segment.
func frameSize(n int) int { return frameHeader + (n+7)&^7 }

// putFrameHeader writes the header of a frame at pos, whose group begins at group.
func putFrameHeader(h []byte, kind, length uint32, pos, group Position, payload uint32) {
	_ = h[frameHeader-1]
	binary.LittleEndian.PutUint32(h[0:], kind<<kindShift|length)
	binary.LittleEndian.PutUint32(h[4:], uint32(pos-group))
	binary.LittleEndian.PutUint32(h[8:], payload)
	binary.LittleEndian.PutUint32(h[12:], headerSum(h, pos))
}

// headerSum is the CRC-32C of the header's first octets followed by the
// position, so that a frame verifies in its place only. The position goes in
// octet by octet because crc32.Update would move an array of it to the heap.
func headerSum(h []byte, pos Position) uint32 {
	sum := ^crc32.Checksum(h[:frameHeader-4], castagnoli)
	for range 8 {
		sum = castagnoli[byte(sum)^byte(pos)] ^ sum>>8
		pos >>= 8
	}
	return ^sum
}

// frame is the header of a frame that verified.
type frame struct {
	kind    uint32
	length  int      // of the payload, without padding
	pos     Position // where the frame begins
	group   Position // everything before it was durable when the frame was written
	payload uint32   // CRC-32C of the payload
}

func (f frame) size() int     { return frameSize(f.length) }
func (f frame) end() Position { return f.pos + Position(f.size()) }

// parseFrame reads the header of the frame at pos of a segment that begins at base.
func parseFrame(h []byte, pos, base Position) (frame, bool) {
	n := binary.LittleEndian.Uint32(h)
	back := binary.LittleEndian.Uint32(h[4:])
	f := frame{
		kind: n >> kindShift, length: int(n & lengthMask),
		pos: pos, group: pos - Position(back), payload: binary.LittleEndian.Uint32(h[8:]),
	}
	ok := f.kind <= kindSeal &&
		(f.kind != kindRecord || f.length > 0 && f.length <= recordLimit) &&
		(f.kind != kindSeal || f.length == 0) &&
		back < groupLimit && back%8 == 0 && Position(back) <= pos-base &&
		binary.LittleEndian.Uint32(h[12:]) == headerSum(h, pos)
	return f, ok
}

// segmentName is the file name of the segment that begins at base.
func segmentName(base Position) string {
	return fmt.Sprintf("%016x%s", uint64(base), segmentSuffix)
}

func segmentPath(dir string, base Position) string { return filepath.Join(dir, segmentName(base)) }

func parseSegmentName(name string) (Position, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 16, 64)
	return Position(base), err == nil && base%8 == 0 && base < positionLimit && segmentName(Position(base)) == name
}

// segmentBases lists the segments of a folder in order.
func segmentBases(fsys FS, dir string) ([]Position, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var bases []Position
	for _, name := range names {
		if base, ok := parseSegmentName(name); ok {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// putSegmentHeader writes the header of the segment that begins at base.
func putSegmentHeader(b []byte, base Position) {
	clear(b[:segmentHeader])
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	binary.LittleEndian.PutUint64(b[16:], uint64(base))
	binary.LittleEndian.PutUint32(b[segmentHeader-4:], crc32.Checksum(b[:segmentHeader-4], castagnoli))
}

// checkSegmentHeader verifies the header of the segment that begins at base. A
// valid header of another version is not damage.
func checkSegmentHeader(f io.ReaderAt, base Position) error {
	var b [segmentHeader]byte
	damage := &CorruptError{Segment: segmentName(base), Position: base}
	if n, err := f.ReadAt(b[:], 0); n < len(b) {
		if err != io.EOF {
			return fmt.Errorf("read header of segment %s: %w", damage.Segment, err)
		}
		damage.Reason = "the segment header is cut short"
		return damage
	}
	switch {
	case string(b[:8]) != segmentMagic:
		damage.Reason = "the segment header has no magic"
	case binary.LittleEndian.Uint32(b[segmentHeader-4:]) != crc32.Checksum(b[:segmentHeader-4], castagnoli):
		damage.Reason = "the segment header does not verify"
	case binary.LittleEndian.Uint32(b[8:]) != segmentVersion:
		return fmt.Errorf("segment %s has version %d, this program reads %d",
			damage.Segment, binary.LittleEndian.Uint32(b[8:]), segmentVersion)
	case Position(binary.LittleEndian.Uint64(b[16:])) != base:
		damage.Reason = "the segment header names another position than the file name"
	default:
		return nil
	}
	return damage
}

// createSegment makes the segment that begins at base durable, empty, under its
// name, and gives it open for writing. It is written under a temporary name
// first: a segment that has its name has its header. With probe it also tries
// whether the device takes that many octets.
func createSegment(fsys FS, dir string, base Position, probe int) (File, error) {
	temp := segmentName(base) + tempSuffix
	f, err := fsys.Create(filepath.Join(dir, temp))
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", err)
	}
	if err := beginSegment(fsys, dir, f, temp, base, probe); err != nil {
		return nil, err
	}
	return f, nil
}

// beginSegment makes f, a file with the temporary name temp, the segment that begins
// at base. With an error the file is closed and gone.
func beginSegment(fsys FS, dir string, f File, temp string, base Position, probe int) (err error) {
	temp = filepath.Join(dir, temp)
	defer func() {
		if err != nil {
			f.Close()
			_ = fsys.Remove(temp) // a leftover is removed by the next Open
			err = fmt.Errorf("create segment %s: %w", segmentName(base), err)
		}
	}()
	b := make([]byte, segmentHeader+probe)
	putSegmentHeader(b, base)
	if err := writeAt(f, b, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if probe > 0 {
		if err := f.Truncate(segmentHeader); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := fsys.Rename(temp, segmentPath(dir, base)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// writeAt writes all of b or says why not.
func writeAt(f io.WriterAt, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
