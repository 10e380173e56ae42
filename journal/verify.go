package journal

import (
	"context"
	"errors"
	"fmt"
)

// SegmentInfo describes one segment file.
type SegmentInfo struct {
	Name      string
	Base, End Position // End is where the next segment begins, or the last good record ends
	Bytes     int64    // size of the file
}

// Info describes the journal in a folder.
type Info struct {
	Segments    []SegmentInfo
	Oldest, End Position
	// Bytes is what the segments take, without what the last one's file has room for.
	Bytes int64
	// Closed says that the journal was closed properly and is not open now.
	Closed bool
	// Torn is how many octets behind End do not verify: a group that a crash
	// interrupted, which the next Open cuts off, or one being written right now.
	Torn int64
	// Cursors are how far the cursors had come, by name, as of a second ago if the
	// journal is open. They may be missing.
	Cursors map[string]Position
	// HeldBy is the cursor that is furthest behind, HeldAt where it is: records
	// from there on are kept for it. Empty and End if no cursor is known.
	HeldBy string
	HeldAt Position
	// Damage is the first damage of the last segment; nil if there is none. The
	// other segments are not looked at: that is what Verify does.
	Damage *CorruptError
}

// Inspect describes the journal in dir. It reads the last segment, writes
// nothing, takes no lock, and works while a server has the journal open.
func Inspect(dir string) (Info, error) { return inspect(osFS{}, dir) }

func inspect(fsys FS, dir string) (Info, error) {
	v := verifier{fs: fsys, dir: dir}
	var info Info
	err := v.segments(func(seg *openSegment) error {
		s := SegmentInfo{Name: segmentName(seg.base), Base: seg.base, End: seg.limit, Bytes: seg.size}
		if seg.last {
			w, err := seg.walk(context.Background(), nil)
			if err != nil {
				return err
			}
			s.End, info.Closed = w.end, w.sealed
			info.Torn = seg.torn(w)
			info.Bytes -= w.unused
			if len(w.damage) > 0 {
				info.Damage = &w.damage[0].CorruptError
			}
		}
		info.Segments = append(info.Segments, s)
		info.Bytes += s.Bytes
		info.End = s.End
		return nil
	})
	if err != nil {
		return Info{}, fmt.Errorf("inspect journal %s: %w", dir, err)
	}
	if len(info.Segments) > 0 {
		info.Oldest = info.Segments[0].Base
	}
	info.Cursors = readNote(fsys, dir)
	info.HeldBy, info.HeldAt = heldBy(info.Cursors, info.End)
	return info, nil
}

// Report is what Verify found.
type Report struct {
	Segments    int
	Records     uint64 // that verify
	Oldest, End Position
	// Closed says that the journal was closed properly and is not open now.
	Closed bool
	// Torn is how many octets behind End do not verify because a group is, or was
	// when the process ended, being written. No record in it was acknowledged.
	Torn int64
	// Skipped is how many octets earlier calls of SkipDamage took out.
	Skipped int64
	// Damage lists what was durable once and cannot be read, in order.
	Damage []Damage
}

// Verify reads the whole journal in dir and checks every record's checksum and
// place and that the segments join. Damage is reported, not an error. It writes
// nothing, takes no lock, and works while a server has the journal open.
// progress, if not nil, is called now and then with the octets read and to read.
func Verify(ctx context.Context, dir string, progress func(done, total int64)) (Report, error) {
	return verify(ctx, osFS{}, dir, progress)
}

func verify(ctx context.Context, fsys FS, dir string, progress func(done, total int64)) (Report, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	v := verifier{fs: fsys, dir: dir}
	var report Report
	var done, total int64
	if err := v.segments(func(seg *openSegment) error { total += seg.octets(); return nil }); err != nil {
		return Report{}, fmt.Errorf("verify journal %s: %w", dir, err)
	}
	err := v.segments(func(seg *openSegment) error {
		told := seg.base
		w, err := seg.walk(ctx, func(pos Position) {
			if pos-told >= 1<<20 {
				told = pos
				progress(done+int64(pos-seg.base), max(total, done+int64(pos-seg.base)))
			}
		})
		if err != nil {
			return err
		}
		if report.Segments == 0 {
			report.Oldest = seg.base
		}
		report.Segments++
		report.Records += w.records
		report.Skipped += w.skipped
		report.Damage = append(report.Damage, w.damage...)
		report.End, report.Closed = w.end, w.sealed
		report.Torn = seg.torn(w)
		done += seg.octets()
		total = max(total, done)
		progress(done, total)
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("verify journal %s: %w", dir, err)
	}
	return report, nil
}

// verifier goes over the segments of a journal that may be in use.
type verifier struct {
	fs  FS
	dir string
}

// openSegment is a segment open for reading.
type openSegment struct {
	f           File
	base, limit Position
	size        int64
	last        bool
}

// octets is how much there is to read.
func (s *openSegment) octets() int64 { return segmentHeader + int64(s.limit-s.base) }

// torn is how many octets behind the last good record do not verify.
func (s *openSegment) torn(w walked) int64 {
	if w.torn == "" {
		return 0
	}
	return s.size - w.unused - fileOffset(s.base, w.end)
}

// segments calls fn for each segment in order. Segments that the server deletes
// meanwhile, which are the first ones, are left out.
func (v verifier) segments(fn func(*openSegment) error) error {
	bases, err := segmentBases(v.fs, v.dir)
	if err != nil {
		return err
	}
	for i, base := range bases {
		next := Position(0)
		if i+1 < len(bases) {
			next = bases[i+1]
		}
		if err := v.segment(base, next, i+1 == len(bases), fn); err != nil && !isNotExist(err) {
			return err
		}
	}
	return nil
}

func (v verifier) segment(base, next Position, last bool, fn func(*openSegment) error) error {
	f, err := v.fs.Open(segmentPath(v.dir, base))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if last {
		next = base + Position(max(size-segmentHeader, 0))
	}
	return fn(&openSegment{f: f, base: base, limit: next, size: size, last: last})
}

// walk checks the segment with its header. The last segment of a journal in use
// may have been read while it was written, so damage there must show twice.
func (s *openSegment) walk(ctx context.Context, progress func(Position)) (walked, error) {
	w, err := s.walkOnce(ctx, progress)
	if s.last && err == nil && len(w.damage) > 0 {
		return s.walkOnce(ctx, progress)
	}
	return w, err
}

func (s *openSegment) walkOnce(ctx context.Context, progress func(Position)) (walked, error) {
	var header *CorruptError
	if err := checkSegmentHeader(s.f, s.base); err != nil && !errors.As(err, &header) {
		return walked{}, err
	}
	w, err := walkSegment(ctx, s.f, s.base, s.limit, s.last, progress)
	if header != nil {
		w.damage = append([]Damage{{CorruptError: *header}}, w.damage...)
	}
	return w, err
}
