package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
)

// Damage is a stretch of a segment that cannot be read.
type Damage struct {
	CorruptError
	Octets int64 // from Offset to the next good record; 0: the segment header alone
}

// walked is what a walk over a whole segment found.
type walked struct {
	end     Position // of the last good frame
	group   Position // beginning of the last good frame's group: before it all was durable
	records uint64
	skipped int64 // octets that SkipDamage took out
	sealed  bool  // the journal was closed here
	unused  int64 // zeros at the end of the last segment's file, for groups to come
	torn    string
	damage  []Damage
}

// walkSegment checks every record of a segment up to limit, going on behind damage.
//
// In the last segment the group that was being written when the power went may
// be there in any part. So what does not verify there is a torn tail, and ends
// the walk with torn saying why, unless a frame follows that was written when it
// was durable already: then it is damage, as it is in any other segment. Nothing but
// zeros up to the limit is no tail: nothing was written there yet. The journal may be
// writing there right now, so what does not verify is read again after what is behind.
// What came since that was first looked at ends the walk: else it would go on as long
// as groups come.
func walkSegment(ctx context.Context, f io.ReaderAt, base, limit Position, last bool, progress func(Position)) (walked, error) {
	s := &scanner{f: f, base: base, pos: base, limit: limit}
	w := walked{end: base, group: base}
	var seen Position // how far it was filled at the first such look
	for ctx.Err() == nil {
		if progress != nil {
			progress(s.pos)
		}
		fr, _, err := s.next()
		var bad *badFrame
		switch {
		case err == io.EOF:
			return w, nil
		case errors.As(err, &bad):
			filled, damaged, err := limit, true, error(nil)
			if last {
				filled, damaged, err = lookBehind(ctx, *s)
				seen = cmp.Or(seen, filled)
				switch {
				case err != nil || !s.reread():
				case bad.pos < seen:
					continue
				default:
					w.unused = int64(limit - bad.pos)
					return w, nil
				}
			}
			if err == nil && damaged {
				err = resume(ctx, s)
			}
			if err != nil {
				return w, fmt.Errorf("read segment %s: %w", segmentName(base), err)
			}
			if !damaged {
				w.unused = int64(limit - filled)
				if filled > bad.pos {
					w.torn = bad.reason
				}
				return w, nil
			}
			w.damage = append(w.damage, Damage{*bad.corrupt(base), int64(s.pos - bad.pos)})
			w.end, w.group = s.pos, s.pos
			continue
		case err != nil:
			return w, fmt.Errorf("read segment %s: %w", segmentName(base), err)
		case fr.kind == kindSeal && last:
			w.sealed, w.group = true, fr.pos
			return w, nil
		case fr.kind == kindRecord:
			w.records++
		default:
			w.skipped += int64(fr.size())
		}
		w.end, w.group = fr.end(), fr.group
	}
	return w, ctx.Err()
}

// lookBehind says how far a segment is filled from the scanner's place on, where no
// good frame is, and whether that place was durable once.
func lookBehind(ctx context.Context, s scanner) (filled Position, durable bool, err error) {
	s.buf = nil // it belongs to the walk
	if filled, err = s.filled(ctx); err == nil && filled > s.pos {
		durable, err = wasDurable(ctx, s, s.pos)
	}
	return filled, durable, err
}

// wasDurable says whether a frame after pos was written when pos was durable.
func wasDurable(ctx context.Context, s scanner, pos Position) (bool, error) {
	for {
		fr, ok, err := s.resync(ctx)
		if err != nil || !ok {
			return false, err
		}
		if fr.group > pos {
			return true, nil
		}
	}
}

// resume moves the scanner to the next good frame, or to its limit.
func resume(ctx context.Context, s *scanner) error {
	for {
		_, ok, err := s.resync(ctx)
		if err != nil || !ok {
			return err
		}
		pos := s.pos
		_, _, err = s.next()
		if err == nil {
			s.pos = pos
			return nil
		}
		var bad *badFrame
		if !errors.As(err, &bad) {
			return err
		}
	}
}
