package journal

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// recover finds the segments, checks that they join, and cuts the torn tail of
// the last one, which becomes the active one.
func (j *Journal) recover() error {
	if err := j.removeLeftovers(); err != nil {
		return err
	}
	bases, err := segmentBases(j.fs, j.opt.Dir)
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		return j.begin()
	}
	for i, base := range bases[:len(bases)-1] {
		if err := j.checkSealed(base, bases[i+1]); err != nil {
			return err
		}
	}
	for _, base := range bases {
		j.segments = append(j.segments, segment{base})
	}
	return j.recoverLast(bases[len(bases)-1])
}

// begin makes the first segment of an empty journal.
func (j *Journal) begin() (err error) {
	j.segments = []segment{{0}}
	j.active, err = createSegment(j.fs, j.opt.Dir, 0, 0)
	return err
}

// removeLeftovers removes segments that were being made when the process ended.
func (j *Journal) removeLeftovers() error {
	names, err := j.fs.ReadDir(j.opt.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasSuffix(name, segmentSuffix+tempSuffix) {
			if err := j.fs.Remove(filepath.Join(j.opt.Dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSealed checks that a segment which is not the last has its header and
// reaches the next one. Its records are checked when they are read. What it
// holds beyond is what a failed group left, and is given back.
func (j *Journal) checkSealed(base, next Position) error {
	f, err := j.fs.OpenWrite(j.path(base))
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer f.Close()
	if err := checkSegmentHeader(f, base); err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of segment %s: %w", segmentName(base), err)
	}
	want := fileOffset(base, next)
	if size < want {
		return &CorruptError{
			Segment: segmentName(base), Offset: size, Position: base + Position(size-segmentHeader),
			Reason: fmt.Sprintf("the segment ends here, the next one begins at position %d", uint64(next)),
		}
	}
	if size > want {
		if err := f.Truncate(want); err != nil {
			j.log.Warn("journal: cannot cut a segment", "segment", segmentName(base), "err", err)
		}
	}
	return nil
}

// recoverLast scans the last segment, cuts what is behind the last good record
// and makes what is before it durable.
func (j *Journal) recoverLast(base Position) (err error) {
	f, err := j.fs.OpenWrite(j.path(base))
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	tail, err := scanLast(f, base)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of segment %s: %w", segmentName(base), err)
	}
	if torn := size - fileOffset(base, tail.end); torn > 0 && !tail.sealed {
		j.log.Warn("journal: cut the tail that was being written when the process ended",
			"segment", segmentName(base), "offset", fileOffset(base, tail.end), "octets", torn)
	}
	if err := j.settle(f, base, tail, size); err != nil {
		return fmt.Errorf("recover segment %s: %w", segmentName(base), err)
	}
	j.active = f
	j.committed = tail.end
	return nil
}

// settle makes the last segment end at tail.end, durably. The last group may be
// in the page cache only, and marked clean there by a sync that failed, so that
// a sync now would prove nothing: it is written again, and then synced.
func (j *Journal) settle(f File, base Position, tail lastTail, size int64) error {
	end := fileOffset(base, tail.end)
	if size > end {
		if err := f.Truncate(end); err != nil {
			return err
		}
	}
	b := make([]byte, scanWindow)
	for off := fileOffset(base, tail.group); off < end; {
		n := min(int64(len(b)), end-off)
		if got, err := f.ReadAt(b[:n], off); int64(got) < n {
			return err
		}
		if err := writeAt(f, b[:n], off); err != nil {
			return err
		}
		off += n
	}
	return f.Sync()
}

// lastTail is how the last segment ends.
type lastTail struct {
	end     Position // of the last good record
	group   Position // beginning of the last group; what is before it is durable
	records uint64
	sealed  bool // the journal was closed
	torn    bool // something that does not verify follows
	reason  string
}

// scanLast finds where the last segment ends. A group that was being written
// when the power went may be there in any part, so what does not verify is a
// torn tail unless a later frame says that it was durable: then it is a
// *CorruptError.
func scanLast(f File, base Position) (lastTail, error) {
	size, err := f.Size()
	if err != nil {
		return lastTail{}, fmt.Errorf("size of segment %s: %w", segmentName(base), err)
	}
	if err := checkSegmentHeader(f, base); err != nil {
		return lastTail{}, err
	}
	s := &scanner{f: f, base: base, pos: base, limit: base + Position(size-segmentHeader)}
	tail := lastTail{end: base, group: base}
	for {
		fr, _, err := s.next()
		var bad *badFrame
		switch {
		case err == io.EOF:
			return tail, nil
		case errors.As(err, &bad):
			tail.reason = bad.reason
			tail.torn, err = tearsAt(s, bad)
			return tail, err
		case err != nil:
			return tail, fmt.Errorf("read segment %s: %w", segmentName(base), err)
		case fr.kind == kindSeal:
			tail.sealed, tail.group = true, fr.pos
			return tail, nil
		}
		tail.end, tail.group = fr.end(), fr.group
		tail.records++
	}
}

// tearsAt says whether anything but zeros follows a bad frame, and gives a
// *CorruptError if a frame follows that was written when the bad one was durable.
func tearsAt(s *scanner, bad *badFrame) (torn bool, err error) {
	for {
		fr, ok, err := s.resync()
		switch {
		case err != nil:
			return false, fmt.Errorf("read segment %s: %w", segmentName(s.base), err)
		case !ok:
			return true, nil
		case fr.group > bad.pos:
			return false, bad.corrupt(s.base)
		}
	}
}
