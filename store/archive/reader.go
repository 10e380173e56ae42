package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"reflect"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// Reader reads an archive in one go. It holds one chunk in memory. It is for one
// goroutine. What it gives is only known to be whole when NextTable has returned
// io.EOF.
type Reader struct {
	header Header
	key    []byte

	below        *bufio.Reader // of the encrypted stream
	plain        io.Reader
	decompressor *zstd.Decoder
	tar          *tar.Reader
	entry        *tar.Header // that was looked at last

	parts  []Part // begun
	chunk  []byte
	chunks int
	sum    hash.Hash
	end    *Manifest
}

// NewReader begins to read an archive. It fails with ErrNotArchive, ErrWrongIdentity,
// ErrFormatNew or ErrDamaged. Close it.
func NewReader(r io.Reader, identities ...age.Identity) (*Reader, error) {
	below := bufio.NewReaderSize(r, 64<<10)
	const magic = "age-encryption.org/v1\n"
	if start, err := below.Peek(len(magic)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if string(start) != magic {
		return nil, ErrNotArchive
	}
	plain, err := age.Decrypt(below, identities...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			return nil, ErrWrongIdentity
		}
		return nil, damaged("%w", err)
	}
	decompressor, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, damaged("%w", err)
	}
	in := &Reader{below: below, plain: plain, decompressor: decompressor, tar: tar.NewReader(decompressor), sum: sha256.New()}
	if err := in.begin(); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// begin reads what comes before the tables.
func (r *Reader) begin() error {
	if err := r.next(); err != nil {
		return err
	}
	content, err := r.content(headerEntry, maxHeader)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &r.header); err != nil || r.header.Format != Format {
		return ErrNotArchive
	}
	if r.header.FormatVersion > FormatVersion {
		return ErrFormatNew
	}
	if err := r.next(); err != nil || !r.header.HasMasterKey {
		return err
	}
	if r.key, err = r.content(masterKeyEntry, 1<<10); err != nil {
		return err
	}
	return r.next()
}

// next looks at the next entry.
func (r *Reader) next() (err error) {
	if r.entry, err = r.tar.Next(); err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the manifest is last, and asks for no more
	}
	return damaged("%w", err)
}

// content reads the present entry, which must have the name.
func (r *Reader) content(name string, limit int64) ([]byte, error) {
	if r.entry.Name != name {
		return nil, damaged("%s is missing", name)
	}
	if r.entry.Size > limit {
		return nil, damaged("%s has %d octets", name, r.entry.Size)
	}
	content, err := io.ReadAll(r.tar)
	if err != nil {
		return nil, damaged("%w", err)
	}
	return content, nil
}

// Header says what the archive holds.
func (r *Reader) Header() Header { return r.header }

// MasterKey is the master key in hex; nil: it is not in the archive.
func (r *Reader) MasterKey() []byte { return r.key }

// NextTable goes on to the next table, and past what was not read of the one before.
// Behind the last it checks the manifest and the end of the stream: io.EOF means that
// all that was read is as it was written.
func (r *Reader) NextTable() (Table, error) {
	for len(r.parts) > 0 {
		if _, err := r.NextChunk(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Table{}, err
		}
	}
	if r.end != nil {
		return Table{}, io.EOF
	}
	if len(r.parts) == len(r.header.Tables) {
		return Table{}, r.finish()
	}
	t := r.header.Tables[len(r.parts)]
	r.parts = append(r.parts, Part{Table: t.Name})
	r.chunks = 0
	r.sum.Reset()
	return t, nil
}

// NextChunk returns the next rows of the table, io.EOF behind the last. They are valid
// until the next call.
func (r *Reader) NextChunk() ([]byte, error) {
	part := &r.parts[len(r.parts)-1]
	if r.end != nil || r.entry.Name != chunkEntry(part.Table, r.chunks+1) {
		if strings.HasPrefix(r.entry.Name, tablesFolder+part.Table+"/") && r.entry.Name != chunkEntry(part.Table, r.chunks) {
			return nil, damaged("a chunk of table %s is missing", part.Table)
		}
		part.SHA256 = hex.EncodeToString(r.sum.Sum(nil))
		return nil, io.EOF
	}
	if r.entry.Size > maxChunk {
		return nil, damaged("%s has %d octets", r.entry.Name, r.entry.Size)
	}
	chunk := bytes.NewBuffer(r.chunk[:0])
	if _, err := io.Copy(chunk, r.tar); err != nil {
		return nil, damaged("%w", err)
	}
	r.chunk = chunk.Bytes()
	r.chunks++
	part.Rows += int64(bytes.Count(r.chunk, []byte{'\n'}))
	part.Bytes += int64(len(r.chunk))
	r.sum.Write(r.chunk)
	return r.chunk, r.next()
}

// finish checks the manifest, and that nothing follows it. It returns io.EOF if all is
// well.
func (r *Reader) finish() error {
	content, err := r.content(manifestEntry, maxHeader)
	if err != nil {
		return err
	}
	var m Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return damaged("manifest: %w", err)
	}
	if !reflect.DeepEqual(m.Header, r.header) || len(m.Parts) != len(r.parts) {
		return damaged("the manifest is of another backup")
	}
	for i, part := range r.parts {
		if part != m.Parts[i] {
			return damaged("table %s is not as it was written (%d rows, want %d)", part.Table, part.Rows, m.Parts[i].Rows)
		}
	}
	if _, err := r.tar.Next(); !errors.Is(err, io.EOF) {
		return damaged("something follows the manifest: %w", err)
	}
	for _, layer := range []io.Reader{r.decompressor, r.plain, r.below} {
		n, err := io.Copy(io.Discard, layer)
		if err != nil {
			return damaged("%w", err)
		}
		if n > 0 && layer != r.decompressor { // tar pads its end
			return damaged("something follows its end")
		}
	}
	r.end = &m
	return io.EOF
}

// Manifest returns the end of the archive; nil before NextTable has returned io.EOF.
func (r *Reader) Manifest() *Manifest { return r.end }

// Close frees what the Reader holds. It does not close the stream below.
func (r *Reader) Close() { r.decompressor.Close() }

// Verify reads an archive to its end and checks all of it: that every hash and count
// is right, and that every row can be read. Progress may be nil.
func Verify(r *Reader, progress func(table string, rows int64)) (*Manifest, error) {
	for {
		t, err := r.NextTable()
		if errors.Is(err, io.EOF) {
			return r.Manifest(), nil
		}
		if err != nil {
			return nil, err
		}
		row := NewRow(t)
		for n := int64(0); ; {
			chunk, err := r.NextChunk()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, err
			}
			for len(chunk) > 0 {
				if _, chunk, err = row.Next(chunk); err != nil {
					return nil, damaged("table %s, row %d: %w", t.Name, n+1, err)
				}
				n++
			}
			if progress != nil {
				progress(t.Name, n)
			}
		}
	}
}
