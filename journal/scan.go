package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
)

const (
	scanWindow = 256 << 10
	zeroBlock  = 4 << 10 // zeros are passed over so many at a time
)

// scanner walks the frames of one segment, whose header it takes for granted.
type scanner struct {
	f     io.ReaderAt
	base  Position // position of the segment's first frame
	limit Position // nothing from here on is looked at
	pos   Position // of the next frame

	buf    []byte
	bufPos Position // position of buf[0]
}

// badFrame is what a scanner stops at when no valid frame is where one should be.
type badFrame struct {
	pos    Position
	reason string
}

func (b *badFrame) Error() string { return b.reason }

func (b *badFrame) corrupt(base Position) *CorruptError {
	return &CorruptError{Segment: segmentName(base), Offset: fileOffset(base, b.pos), Position: b.pos, Reason: b.reason}
}

// fileOffset is where pos is in the file of the segment that begins at base.
func fileOffset(base, pos Position) int64 { return segmentHeader + int64(pos-base) }

// next gives the next frame and, for a record, its payload, which is valid until
// the following call. At the limit the error is io.EOF, where no valid frame is
// it is a *badFrame, and the scanner stays where it is.
func (s *scanner) next() (frame, []byte, error) {
	if s.pos >= s.limit {
		return frame{}, nil, io.EOF
	}
	f, err := s.header()
	if err != nil {
		return frame{}, nil, err
	}
	if f.kind != kindRecord {
		s.pos = f.end()
		return f, nil, nil
	}
	b, err := s.peek(s.pos, f.size())
	if err != nil {
		return frame{}, nil, err
	}
	b = b[frameHeader:]
	if crc32.Checksum(b[:f.length], castagnoli) != f.payload {
		return frame{}, nil, &badFrame{s.pos, "the record does not verify"}
	}
	for _, pad := range b[f.length:] {
		if pad != 0 {
			return frame{}, nil, &badFrame{s.pos, "the padding of the record is not zero"}
		}
	}
	s.pos = f.end()
	return f, b[:f.length], nil
}

// reread says whether a good frame is here by now.
func (s *scanner) reread() bool {
	s.buf = s.buf[:0]
	again := *s
	_, _, err := again.next()
	return err == nil
}

func (s *scanner) header() (frame, error) {
	if s.limit-s.pos < frameHeader {
		return frame{}, &badFrame{s.pos, "the record header is cut short"}
	}
	h, err := s.peek(s.pos, frameHeader)
	if err != nil {
		return frame{}, err
	}
	f, ok := parseFrame(h, s.pos, s.base)
	switch {
	case ok && uint64(f.size()) > uint64(s.limit-s.pos):
		return frame{}, &badFrame{s.pos, "the record is cut short"}
	case ok:
		return f, nil
	case isZero(h):
		return frame{}, &badFrame{s.pos, "zeros are where a record should be"}
	}
	return frame{}, &badFrame{s.pos, "the record header does not verify"}
}

// peek gives n octets at pos, from memory or the file.
func (s *scanner) peek(pos Position, n int) ([]byte, error) {
	if pos < s.bufPos || pos+Position(n) > s.bufPos+Position(len(s.buf)) {
		want := max(n, int(min(scanWindow, uint64(s.limit-pos))))
		if cap(s.buf) < want {
			s.buf = make([]byte, max(want, min(2*cap(s.buf), scanWindow)))
		}
		s.buf = s.buf[:want]
		s.bufPos = pos
		got, err := s.f.ReadAt(s.buf, fileOffset(s.base, pos))
		s.buf = s.buf[:got]
		if got < n {
			if err == io.EOF {
				return nil, &badFrame{s.pos, "the file ends where a record should be"}
			}
			return nil, err
		}
	}
	return s.buf[pos-s.bufPos:][:n], nil
}

// resync moves to the next place after the present one where a frame header
// verifies and says whether there is one; else to the limit. Frames begin at
// multiples of eight.
func (s *scanner) resync(ctx context.Context) (frame, bool, error) {
	pos := s.pos + frameHeader // no frame is shorter
	for ; pos < s.limit && s.limit-pos >= frameHeader; pos += 8 {
		if pos%scanWindow == 0 && ctx.Err() != nil {
			return frame{}, false, ctx.Err()
		}
		h, err := s.peek(pos, frameHeader)
		if err != nil {
			if _, short := err.(*badFrame); short {
				break
			}
			return frame{}, false, err
		}
		if binary.LittleEndian.Uint64(h) == 0 {
			for b := s.buf[pos-s.bufPos+8:]; len(b) > zeroBlock && isZero(b[:zeroBlock]); b = b[zeroBlock:] {
				pos += zeroBlock
			}
			continue
		}
		if f, ok := parseFrame(h, pos, s.base); ok && uint64(f.size()) <= uint64(s.limit-pos) {
			s.pos = pos
			return f, true, nil
		}
	}
	s.pos = s.limit &^ 7
	return frame{}, false, nil
}

// filled gives the position behind the last octet before the limit, and not before the
// present place, that is not zero: the present place if there is none. It reads from
// the end, as it is now.
func (s *scanner) filled(ctx context.Context) (Position, error) {
	b := make([]byte, scanWindow)
	for end := s.limit; end > s.pos; {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		from := max(s.pos, end-min(end, scanWindow))
		got, err := s.f.ReadAt(b[:end-from], fileOffset(s.base, from))
		if err != nil && err != io.EOF { // a file that has become shorter is empty there
			return 0, err
		}
		if !isZero(b[:got]) {
			return from + Position(len(bytes.TrimRight(b[:got], "\x00"))), nil
		}
		end = from
	}
	return s.pos, nil
}

func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
