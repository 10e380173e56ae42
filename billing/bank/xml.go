package bank

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// maxDepth is of nested elements; CAMT.053 has fewer than half.
const maxDepth = 32

// meter hands a file on while it stays within the bounds. It is an io.ByteReader, so
// that the XML decoder reads no further than it must, and the bound for one token holds.
type meter struct {
	r     *bufio.Reader
	total int64 // octets read
	left  int   // octets of this token
}

func newMeter(r io.Reader) *meter { return &meter{r: bufio.NewReaderSize(r, 32<<10), left: maxToken} }

func (m *meter) charge(n int) error {
	m.total += int64(n)
	m.left -= n
	if m.total > maxFile {
		return fmt.Errorf("%w: more than %d MiB", ErrTooLarge, maxFile>>20)
	}
	if m.left < 0 {
		return fmt.Errorf("%w: a text of more than %d KiB", ErrTooLarge, maxToken>>10)
	}
	return nil
}

func (m *meter) ReadByte() (byte, error) {
	c, err := m.r.ReadByte()
	if err != nil {
		return 0, err
	}
	return c, m.charge(1)
}

// Read is used where the characters are converted, in pieces of a few KiB.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if chargeErr := m.charge(n); chargeErr != nil {
		return 0, chargeErr
	}
	return n, err
}

// element is an XML element that has ended, or (Start) begins.
type element struct {
	Path  string // local names below the root of what is read, as Refs/EndToEndId
	Space string // namespace
	Start bool
	Leaf  bool   // it ended and has no elements in it
	Text  string // of a leaf
	Ccy   string // its attribute Ccy
}

// xmlReader reads elements one by one, in bounded memory, and refuses what no statement
// needs: document types (and with them entities), deep nesting, long texts.
type xmlReader struct {
	in   *meter
	dec  *xml.Decoder
	path []string
	root int    // how many elements of path stand around what is read
	ccy  string // of the element that began last
	leaf bool   // nothing but text came since an element began
	text []byte
}

func newXMLReader(r io.Reader) (*xmlReader, error) {
	in := newMeter(r)
	switch head, _ := in.r.Peek(2); string(head) {
	case "\xff\xfe", "\xfe\xff":
		return nil, errors.New("the file is in UTF-16: want UTF-8, ISO-8859-1, ISO-8859-15 or Windows-1252")
	}
	x := &xmlReader{in: in, dec: xml.NewDecoder(in)}
	x.dec.CharsetReader = func(name string, input io.Reader) (io.Reader, error) {
		cm, err := charsetNamed(name)
		if err != nil {
			return nil, err
		}
		if cm == nil {
			return input, nil
		}
		return transform.NewReader(input, cm.NewDecoder()), nil
	}
	return x, nil
}

// charsetNamed returns the encoding of a name; nil: UTF-8.
func charsetNamed(name string) (*charmap.Charmap, error) {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return nil, nil
	case "iso-8859-1", "iso8859-1", "latin1", "latin-1":
		return charmap.ISO8859_1, nil
	case "iso-8859-15", "iso8859-15", "latin9", "latin-9":
		return charmap.ISO8859_15, nil
	case "windows-1252", "cp1252":
		return charmap.Windows1252, nil
	}
	return nil, fmt.Errorf("the charset %.40q is not known: want UTF-8, ISO-8859-1, ISO-8859-15 or Windows-1252", name)
}

func (x *xmlReader) line() int {
	line, _ := x.dec.InputPos()
	return line
}

// where is the path of the current element; empty outside the root.
func (x *xmlReader) where() string {
	if len(x.path) <= x.root {
		return ""
	}
	return strings.Join(x.path[x.root:], "/")
}

// next returns the next element that begins or ends, and io.EOF after the last. All
// errors are final.
func (x *xmlReader) next() (element, error) {
	for {
		x.in.left = maxToken
		token, err := x.dec.Token()
		if err == io.EOF {
			return element{}, io.EOF
		}
		if err != nil {
			return element{}, x.fail(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if len(x.path) == maxDepth {
				return element{}, x.fail(fmt.Errorf("%w: elements nested more than %d deep", ErrTooLarge, maxDepth))
			}
			x.path = append(x.path, t.Name.Local)
			x.leaf, x.text, x.ccy = true, x.text[:0], ""
			for _, a := range t.Attr {
				if a.Name.Local == "Ccy" {
					x.ccy = a.Value
				}
			}
			return element{Path: x.where(), Space: t.Name.Space, Start: true}, nil
		case xml.EndElement:
			e := element{Path: x.where(), Space: t.Name.Space, Leaf: x.leaf}
			if x.leaf {
				e.Text, e.Ccy = clean(string(x.text)), x.ccy
			}
			x.path, x.leaf = x.path[:len(x.path)-1], false
			return e, nil
		case xml.CharData:
			if x.leaf && len(x.text) < maxToken {
				x.text = append(x.text, t...)
			}
		case xml.Directive:
			return element{}, x.fail(errors.New("the file has a document type (<!…>), which is not allowed in a statement"))
		}
	}
}

// fail says where; the decoder's own errors of syntax do so already.
func (x *xmlReader) fail(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return fmt.Errorf("line %d: the XML is broken: %s", syntax.Line, syntax.Msg)
	}
	return fmt.Errorf("line %d: %w", x.line(), err)
}
