package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Writer writes an archive in one go: for each table of the header in order Begin and
// its rows, then Finish. It holds one chunk in memory. It is for one goroutine.
type Writer struct {
	header     Header
	encryption io.WriteCloser
	compressor *zstd.Encoder
	tar        *tar.Writer

	parts  []Part // begun
	chunk  []byte
	chunks int // of the table
	sum    hash.Hash
}

// NewWriter begins an archive that the recipients can open; without any it fails. key
// is the master key in hex, nil to leave it out. Nothing but Finish makes the archive
// complete.
func NewWriter(w io.Writer, header Header, key []byte, recipients ...age.Recipient) (*Writer, error) {
	if len(recipients) == 0 {
		return nil, errors.New("a backup needs somebody to encrypt it for")
	}
	header.Format, header.FormatVersion, header.HasMasterKey = Format, FormatVersion, key != nil
	encryption, err := age.Encrypt(w, recipients...)
	if err != nil {
		return nil, err
	}
	compressor, err := zstd.NewWriter(encryption, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	out := &Writer{header: header, encryption: encryption, compressor: compressor, tar: tar.NewWriter(compressor), sum: sha256.New()}
	if err := out.document(headerEntry, header); err != nil {
		return nil, err
	}
	if key != nil {
		if err := out.entry(masterKeyEntry, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (w *Writer) document(name string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return w.entry(name, append(content, '\n'))
}

func (w *Writer) entry(name string, content []byte) error {
	err := w.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o600, ModTime: w.header.MadeAt, Format: tar.FormatPAX,
	})
	if err == nil {
		_, err = w.tar.Write(content)
	}
	return err
}

// Begin begins the next table and returns it.
func (w *Writer) Begin() (Table, error) {
	if err := w.end(); err != nil {
		return Table{}, err
	}
	if len(w.parts) == len(w.header.Tables) {
		return Table{}, io.EOF
	}
	t := w.header.Tables[len(w.parts)]
	w.parts = append(w.parts, Part{Table: t.Name})
	w.chunks = 0
	w.sum.Reset()
	return t, nil
}

// Row adds a row: append writes its values, each by an Append function of this
// package with a comma before all but the first.
func (w *Writer) Row(append func(b []byte) ([]byte, error)) error {
	b, err := append(appendByte(w.chunk, '['))
	if err != nil {
		return err
	}
	w.chunk = appendByte(appendByte(b, ']'), '\n')
	w.parts[len(w.parts)-1].Rows++
	if len(w.chunk) < chunkSize {
		return nil
	}
	return w.flush()
}

func appendByte(b []byte, c byte) []byte { return append(b, c) }

func (w *Writer) flush() error {
	if len(w.chunk) == 0 {
		return nil
	}
	part := &w.parts[len(w.parts)-1]
	if len(w.chunk) > maxChunk {
		return fmt.Errorf("a row of table %s is too long for a backup: %d octets", part.Table, len(w.chunk))
	}
	w.chunks++
	part.Bytes += int64(len(w.chunk))
	w.sum.Write(w.chunk)
	err := w.entry(chunkEntry(part.Table, w.chunks), w.chunk)
	w.chunk = w.chunk[:0]
	return err
}

// end ends the table that was begun last.
func (w *Writer) end() error {
	if len(w.parts) == 0 {
		return nil
	}
	err := w.flush()
	w.parts[len(w.parts)-1].SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	return err
}

// Finish writes the end of the archive and returns what it says. It does not close the
// stream below.
func (w *Writer) Finish(sequences map[string]int64) (*Manifest, error) {
	if err := w.end(); err != nil {
		return nil, err
	}
	if len(w.parts) != len(w.header.Tables) {
		return nil, fmt.Errorf("%d of %d tables were written", len(w.parts), len(w.header.Tables))
	}
	m := &Manifest{Header: w.header, Parts: w.parts, Sequences: sequences}
	if err := w.document(manifestEntry, m); err != nil {
		return nil, err
	}
	for _, layer := range []io.Closer{w.tar, w.compressor, w.encryption} {
		if err := layer.Close(); err != nil {
			return nil, err
		}
	}
	return m, nil
}
