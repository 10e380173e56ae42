package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Reader gives the committed records in order. It belongs to one goroutine at a
// time; a journal can have many.
type Reader struct {
	j    *Journal
	file File
	scan scanner // base is that of file
	pos  Position
}

// Reader begins to read at from: 0, or an end that a Reader or Committed gave.
// A position that the journal does not hold is a *PositionError.
func (j *Journal) Reader(from Position) (*Reader, error) {
	r := &Reader{j: j, pos: from}
	if _, _, err := j.locate(from); err != nil {
		return nil, err
	}
	return r, nil
}

// locate gives the segment that holds pos and the position up to which it can
// be read.
func (j *Journal) locate(pos Position) (base, limit Position, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.segments[0].base
	if pos < oldest || pos > j.committed || pos%8 != oldest%8 {
		return 0, 0, &PositionError{Position: pos, Oldest: oldest, End: j.committed}
	}
	limit = j.committed
	for i := len(j.segments) - 1; i >= 0; i-- {
		if base = j.segments[i].base; base <= pos {
			break
		}
		limit = base
	}
	return base, limit, nil
}

// Next waits until there is a record, or ctx is done, and gives it. The record
// is valid until the next call. end is the position after it: what to give to
// Journal.Reader or Retain to go on behind it. Errors are the context's,
// ErrClosed when the journal was closed and everything has been read,
// *CorruptError, *PositionError when the segment has been deleted, and those of
// the device; the reader stays where it is and may be asked again.
func (r *Reader) Next(ctx context.Context) (record []byte, end Position, err error) {
	for {
		committed, closed, wait := r.j.watch(r.pos)
		record, end, ok, err := r.TryNext()
		if ok || err != nil {
			return record, end, err
		}
		if committed {
			continue // what there was held no record
		}
		if closed {
			return nil, 0, ErrClosed
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// watch says whether something is committed behind pos and otherwise gives a
// channel that is closed when that may have changed.
func (j *Journal) watch(pos Position) (committed, closed bool, wait <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pos < j.committed || j.closed {
		return pos < j.committed, j.closed, nil
	}
	if j.waiters == nil {
		j.waiters = make(chan struct{})
	}
	return false, false, j.waiters
}

// TryNext is Next without waiting: ok is false if no further record is committed.
func (r *Reader) TryNext() (record []byte, end Position, ok bool, err error) {
	for {
		if r.file == nil || r.pos >= r.scan.limit {
			more, err := r.advance()
			if err != nil || !more {
				return nil, 0, false, err
			}
		}
		f, payload, err := r.scan.next()
		if err != nil {
			return nil, 0, false, r.explain(err)
		}
		r.pos = r.scan.pos
		if damage := r.j.damage.Load(); damage != nil && damage.Position == f.pos {
			r.j.damage.CompareAndSwap(damage, nil)
		}
		if f.kind == kindRecord {
			return payload, r.pos, true, nil
		}
	}
}

// advance opens the segment that holds the reader's position, unless it is open,
// and says whether there is anything to read in it.
func (r *Reader) advance() (bool, error) {
	base, limit, err := r.j.locate(r.pos)
	if err != nil || r.pos == limit {
		return false, err
	}
	if r.file == nil || r.scan.base != base {
		f, err := r.j.fs.Open(r.j.path(base))
		if isNotExist(err) { // deleted since locate
			if _, _, gone := r.j.locate(r.pos); gone != nil {
				err = gone
			}
		}
		if err != nil {
			return false, fmt.Errorf("read journal: %w", err)
		}
		r.Close()
		r.file = f
		r.scan = scanner{f: f, base: base, buf: r.scan.buf[:0]}
	}
	r.scan.pos, r.scan.limit = r.pos, limit
	return true, nil
}

// explain turns what stopped the scanner into what the caller is to know.
func (r *Reader) explain(err error) error {
	var bad *badFrame
	if errors.As(err, &bad) {
		damage := bad.corrupt(r.scan.base)
		r.j.damage.Store(damage)
		return damage
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read segment %s: %w", segmentName(r.scan.base), err)
}

// Close frees the reader's file. The journal goes on.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
