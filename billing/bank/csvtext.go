package bank

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// headSize is how much of a CSV file is looked at to find its header, decimal sign and
// form of dates.
const headSize = 64 << 10

// textReader reads a text file as UTF-8, without a mark at its beginning, within the
// bounds of a file and of left.
type textReader struct {
	r     *bufio.Reader
	total int64
	left  int
}

func newTextReader(r io.Reader, charset string) (*textReader, error) {
	raw := bufio.NewReader(r)
	mark, _ := raw.Peek(3)
	var decoder transform.Transformer
	switch {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		if _, err := raw.Discard(3); err != nil {
			return nil, err
		}
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		decoder = unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder()
	case charset != "":
		cm, err := charsetNamed(charset)
		if err != nil {
			return nil, err
		}
		if cm != nil {
			decoder = cm.NewDecoder()
		}
	default:
		decoder = &detector{}
	}
	var text io.Reader = raw
	if decoder != nil {
		text = transform.NewReader(raw, decoder)
	}
	return &textReader{r: bufio.NewReaderSize(text, headSize), left: 2 * maxToken}, nil
}

// Peek returns the beginning of the file, up to headSize.
func (t *textReader) Peek() ([]byte, error) {
	head, err := t.r.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return nil, errors.New("the file is no text: it has NUL characters")
	}
	if len(head) == 0 {
		return nil, errors.New("the file is empty")
	}
	return head, nil
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.total += int64(n)
	t.left -= n
	switch {
	case t.total > maxFile:
		return 0, fmt.Errorf("%w: more than %d MiB", ErrTooLarge, maxFile>>20)
	case t.left < 0:
		return 0, fmt.Errorf("%w: a row of more than %d KiB, or a quotation mark that is not closed", ErrTooLarge, maxToken>>10)
	}
	return n, err
}

// detector takes text as UTF-8 if its first letter beyond ASCII is, else as
// Windows-1252, which has all letters of ISO-8859-1. In that, a letter beyond ASCII and
// what follows it are no UTF-8 in any text that people write.
type detector struct {
	utf8    bool
	decoder transform.Transformer // of Windows-1252
}

func (d *detector) Reset() { *d = detector{} }

// Transform implements transform.Transformer.
func (d *detector) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	if d.decoder != nil {
		return d.decoder.Transform(dst, src, atEOF)
	}
	n := len(src)
	if !d.utf8 {
		n = bytes.IndexFunc(src, func(r rune) bool { return r >= utf8.RuneSelf })
		if n < 0 {
			n = len(src)
		}
	}
	copied := copy(dst, src[:n])
	if copied < n {
		return copied, copied, transform.ErrShortDst
	}
	if n == len(src) {
		return n, n, nil
	}
	rest := src[n:]
	if !utf8.FullRune(rest) && !atEOF {
		return n, n, transform.ErrShortSrc
	}
	if r, size := utf8.DecodeRune(rest); r != utf8.RuneError || size > 1 {
		d.utf8 = true
	} else {
		d.decoder = charmap.Windows1252.NewDecoder()
	}
	moreDst, moreSrc, err := d.Transform(dst[n:], rest, atEOF)
	return n + moreDst, n + moreSrc, err
}
