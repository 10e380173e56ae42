package journal

import (
	"context"
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
	// A process that was killed may have left names that are in memory only: those
	// of a segment that it had just made, above all. What is acknowledged in it from
	// now on must not vanish with its name.
	if err := j.fs.SyncDir(j.opt.Dir); err != nil {
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

// begin makes the first segment of an empty journal. On a full device the journal
// refuses records until there is room, as it does when the device fills later.
func (j *Journal) begin() (err error) {
	base := j.opt.Begin &^ 7
	j.segments = []segment{{base}}
	j.committed = base
	j.active, err = createSegment(j.fs, j.opt.Dir, base, 0)
	if err == nil || !isNoSpace(err) {
		return err
	}
	j.log.Error("journal: cannot begin, records are refused until the device has room", "err", err)
	j.refuse = newFailure(err)
	j.stats.Err = j.refuse
	return nil
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
// holds beyond, zeros or what a failed group left, is given back.
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
	if err := checkSegmentHeader(f, base); err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("size of segment %s: %w", segmentName(base), err)
	}
	w, err := walkSegment(context.Background(), f, base, base+Position(size-segmentHeader), true, nil)
	if err != nil {
		return err
	}
	if len(w.damage) > 0 {
		return &w.damage[0].CorruptError
	}
	if w.torn != "" {
		j.log.Warn("journal: cut the tail that was being written when the process ended", "segment", segmentName(base),
			"offset", fileOffset(base, w.end), "octets", size-fileOffset(base, w.end)-w.unused, "reason", w.torn)
	}
	if w.torn == "" && w.unused > 0 && size != j.opt.SegmentBytes { // else it is room
		j.log.Warn("journal: cut zeros at the end of a segment that has not the size of one written ahead",
			"segment", segmentName(base), "offset", fileOffset(base, w.end), "octets", w.unused)
	}
	if err := settle(f, base, w); err != nil {
		return fmt.Errorf("recover segment %s: %w", segmentName(base), err)
	}
	j.active = f
	j.committed = w.end
	return nil
}

// settle makes the last segment end behind its last good record, durably. The
// last group may be in the page cache only, and marked clean there by a sync
// that failed, so that a sync now would prove nothing: it is written again, and
// then synced.
func settle(f File, base Position, w walked) error {
	end := fileOffset(base, w.end)
	if err := f.Truncate(end); err != nil {
		return err
	}
	b := make([]byte, scanWindow)
	for off := fileOffset(base, w.group); off < end; {
		n := min(int64(len(b)), end-off)
		if _, err := f.ReadAt(b[:n], off); err != nil && err != io.EOF {
			return err
		}
		if err := writeAt(f, b[:n], off); err != nil {
			return err
		}
		off += n
	}
	return f.Sync()
}
