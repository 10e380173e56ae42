package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
)

// Skipped is what SkipDamage did.
type Skipped struct {
	// Quarantine is the file in the journal's folder that holds the segment as it was.
	Quarantine string
	// Damage lists what readers will pass over from now on.
	Damage []Damage
}

// SkipDamage lets a journal go on knowingly without what cannot be read in one
// segment (a name as in CorruptError.Segment): it copies the segment as it is to
// a file whose name ends in ".damaged", then marks the damaged stretches as to be
// passed over. Good records behind the damage stay readable, and no position
// changes its meaning. A server may have the journal open, and then goes on by
// itself, except if it is the segment it writes to: that gives ErrLocked. That the
// segment has no damage is an error.
func SkipDamage(dir, segment string) (Skipped, error) { return skipDamage(osFS{}, dir, segment) }

func skipDamage(fsys FS, dir, segment string) (done Skipped, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("skip damage of journal %s, segment %q: %w", dir, segment, err)
		}
	}()
	base, ok := parseSegmentName(segment)
	if !ok {
		return Skipped{}, errors.New("this is not the name of a segment")
	}
	if _, err := fsys.ReadDir(dir); err != nil {
		return Skipped{}, err
	}
	one, err := fsys.Lock(filepath.Join(dir, skipLockName))
	if err != nil {
		return Skipped{}, err
	}
	defer one.Close()
	// Nobody writes to a segment that is not the last, neither now nor later.
	lock, locked := fsys.Lock(filepath.Join(dir, lockName))
	if locked == nil {
		defer lock.Close()
	} else if !errors.Is(locked, ErrLocked) {
		return Skipped{}, locked
	}
	bases, err := segmentBases(fsys, dir)
	if err != nil {
		return Skipped{}, err
	}
	i := slices.Index(bases, base)
	if i < 0 {
		return Skipped{}, fs.ErrNotExist
	}
	if locked != nil && i+1 == len(bases) {
		return Skipped{}, fmt.Errorf("it is the segment that is written to, stop the server first: %w", locked)
	}
	f, err := fsys.OpenWrite(segmentPath(dir, base))
	if err != nil {
		return Skipped{}, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return Skipped{}, err
	}
	seg := &openSegment{f: f, base: base, size: size, last: i+1 == len(bases)}
	if seg.last {
		seg.limit = base + Position(max(size-segmentHeader, 0))
	} else {
		seg.limit = bases[i+1]
	}
	w, err := seg.walk(context.Background(), nil)
	if err != nil {
		return Skipped{}, err
	}
	if len(w.damage) == 0 {
		return Skipped{}, errors.New("the segment is not damaged")
	}
	if done.Quarantine, err = quarantine(fsys, dir, base, f, size); err != nil {
		return Skipped{}, err
	}
	done.Damage = w.damage
	return done, seg.mend(w.damage)
}

// mend writes a header where the header is damaged and fillers where records are.
func (s *openSegment) mend(damage []Damage) error {
	for _, d := range damage {
		if d.Octets == 0 {
			var b [segmentHeader]byte
			putSegmentHeader(b[:], s.base)
			if err := writeAt(s.f, b[:], 0); err != nil {
				return err
			}
			continue
		}
		end := d.Position + Position(d.Octets)
		for pos := d.Position; pos < end; {
			n := end - pos
			if n < frameHeader {
				return fmt.Errorf("the %d octets at position %d are too few to be marked", n, uint64(pos))
			}
			if n > groupLimit/2 {
				n = groupLimit / 4
			}
			var b [frameHeader]byte
			putFrameHeader(b[:], kindFiller, uint32(n-frameHeader), pos, pos, 0)
			if err := writeAt(s.f, b[:], fileOffset(s.base, pos)); err != nil {
				return err
			}
			pos += n
		}
	}
	if want := fileOffset(s.base, s.limit); !s.last && s.size < want {
		if err := s.f.Truncate(want); err != nil {
			return err
		}
	}
	return s.f.Sync()
}

// quarantine copies a segment, durably, to a new file beside it and gives its name.
func quarantine(fsys FS, dir string, base Position, from io.ReaderAt, size int64) (string, error) {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return "", err
	}
	name := segmentName(base) + damagedSuffix
	for i := 2; slices.Contains(names, name); i++ {
		name = segmentName(base) + "." + strconv.Itoa(i) + damagedSuffix
	}
	to, err := fsys.Create(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	defer to.Close()
	if _, err := io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(from, 0, size)); err != nil {
		return "", err
	}
	if err := to.Sync(); err != nil {
		return "", err
	}
	return name, fsys.SyncDir(dir)
}
