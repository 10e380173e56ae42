package aaa

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Sealer encrypts what is kept on disk under the master key. Open returns what
// Seal was given only for the same place, which is authenticated and not kept. Both
// may be called from several goroutines.
type Sealer interface {
	Seal(plain []byte, place string) []byte
	Open(sealed []byte, place string) ([]byte, error)
}

const (
	snapshotMagic = "radiusd directory snapshot 1\n"
	snapshotChunk = 256 << 10 // octets of plain text that are sealed at once
	snapshotBatch = 50        // users that are encoded at once
)

// snapshotHeader is the first value of a snapshot; users follow in batches, the last
// of which is empty.
type snapshotHeader struct {
	SavedAt time.Time
	Plans   []Plan
	Groups  []Group
	NASes   []NAS
}

// saveSnapshots saves the directory now and then, and at the end.
func (d *Directory) saveSnapshots(ctx context.Context) {
	if d.options.SnapshotFile == "" {
		return
	}
	ticker := time.NewTicker(d.options.SnapshotInterval)
	defer ticker.Stop()
	// The first one soon, so that a server that is new has one.
	d.saveChanged(WithPace(ctx))
	for {
		select {
		case <-ticker.C:
			d.saveChanged(WithPace(ctx))
		case <-ctx.Done():
			d.saveChanged(ctx) // no packets are waiting any more
			return
		}
	}
}

func (d *Directory) saveChanged(ctx context.Context) {
	if d.fromSnapshot.Load() || !d.changed.Swap(false) {
		return
	}
	if err := d.SaveSnapshot(ctx); err != nil {
		d.changed.Store(true)
		d.log.Error("the directory's snapshot was not saved", "error", err)
	}
}

// SaveSnapshot writes the directory to SnapshotFile, sealed. The file is replaced
// whole or not at all. Lookups and changes go on meanwhile; with the context of
// [WithPace] it leaves the processor to others. It goes on when the context is done.
func (d *Directory) SaveSnapshot(ctx context.Context) (err error) {
	// One name for all attempts: a crash leaves one file at most.
	file, err := os.OpenFile(d.options.SnapshotFile+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
			err = fmt.Errorf("save snapshot: %w", err)
		}
	}()
	if err := d.writeSnapshot(ctx, file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), d.options.SnapshotFile)
}

func (d *Directory) writeSnapshot(ctx context.Context, w io.Writer) error {
	users, c := d.users.Load(), d.catalog.Load()
	header := snapshotHeader{SavedAt: d.options.Now().UTC()}
	for _, p := range c.plans {
		if p != nil {
			header.Plans = append(header.Plans, p.plan)
		}
	}
	for _, g := range c.groups {
		if g != nil {
			header.Groups = append(header.Groups, g.group)
		}
	}
	for _, n := range c.nas.byID {
		header.NASes = append(header.NASes, *n.Owner.(*NAS))
	}
	buffered := bufio.NewWriter(w)
	sealed, err := newSealedWriter(buffered, d.options.Sealer)
	if err != nil {
		return err
	}
	encoder := gob.NewEncoder(sealed)
	if err := encoder.Encode(header); err != nil {
		return err
	}
	pace, batch := PaceOf(ctx), make([]User, 0, snapshotBatch)
	flush := func() error {
		err := encoder.Encode(batch)
		pace.Step()
		clear(batch)
		batch = batch[:0]
		return err
	}
	err = users.each(func(a *account) error {
		batch = append(batch, d.user(a))
		if len(batch) < cap(batch) {
			return nil
		}
		pace.Step()
		return flush()
	})
	if err != nil {
		return err
	}
	if len(batch) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if err := sealed.Close(); err != nil {
		return err
	}
	return buffered.Flush()
}

// loadSnapshot fills the directory from SnapshotFile. The caller holds d.mu.
func (d *Directory) loadSnapshot() (savedAt time.Time, err error) {
	file, err := os.Open(d.options.SnapshotFile)
	if err != nil {
		return time.Time{}, fmt.Errorf("load snapshot: %w", err)
	}
	defer file.Close()
	sealed, err := newSealedReader(bufio.NewReader(file), d.options.Sealer)
	if err != nil {
		return time.Time{}, fmt.Errorf("load snapshot %s: %w", d.options.SnapshotFile, err)
	}
	decoder := gob.NewDecoder(sealed)
	var header snapshotHeader
	if err := decoder.Decode(&header); err != nil {
		return time.Time{}, fmt.Errorf("load snapshot %s: %w", d.options.SnapshotFile, err)
	}
	users := newUserTable()
	for {
		var batch []User
		if err := decoder.Decode(&batch); err != nil {
			return time.Time{}, fmt.Errorf("load snapshot %s: %w", d.options.SnapshotFile, err)
		}
		if len(batch) == 0 {
			break
		}
		for i := range batch {
			d.putUser(users, &batch[i])
		}
	}
	d.catalog.Store(d.buildCatalog(nil, header.Plans, header.Groups, header.NASes))
	d.users.Store(users)
	return header.SavedAt, nil
}

// sealedWriter seals a stream in chunks. Each chunk's place names the stream,
// its number and whether it is the last, so that none can be changed, moved, left
// out or cut off.
type sealedWriter struct {
	w      io.Writer
	sealer Sealer
	stream [16]byte
	number uint64
	plain  []byte
}

func newSealedWriter(w io.Writer, sealer Sealer) (*sealedWriter, error) {
	s := &sealedWriter{w: w, sealer: sealer, plain: make([]byte, 0, snapshotChunk)}
	if _, err := rand.Read(s.stream[:]); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, snapshotMagic); err != nil {
		return nil, err
	}
	_, err := w.Write(s.stream[:])
	return s, err
}

// Write implements io.Writer.
func (s *sealedWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		if len(s.plain) == snapshotChunk {
			if err := s.seal(false); err != nil {
				return 0, err
			}
		}
		n := min(len(p), snapshotChunk-len(s.plain))
		s.plain = append(s.plain, p[:n]...)
		p = p[n:]
	}
	return written, nil
}

// Close writes the last chunk.
func (s *sealedWriter) Close() error { return s.seal(true) }

func (s *sealedWriter) seal(last bool) error {
	sealed := s.sealer.Seal(s.plain, chunkPlace(s.stream, s.number, last))
	s.plain = s.plain[:0]
	s.number++
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(sealed)))
	if last {
		head[4] = 1
	}
	if _, err := s.w.Write(head[:]); err != nil {
		return err
	}
	_, err := s.w.Write(sealed)
	return err
}

func chunkPlace(stream [16]byte, number uint64, last bool) string {
	return fmt.Sprintf("directory snapshot %x chunk %d last %t", stream, number, last)
}

// sealedReader reads what sealedWriter has written.
type sealedReader struct {
	r      io.Reader
	sealer Sealer
	stream [16]byte
	number uint64
	plain  []byte
	last   bool
}

func newSealedReader(r io.Reader, sealer Sealer) (*sealedReader, error) {
	s := &sealedReader{r: r, sealer: sealer}
	magic := make([]byte, len(snapshotMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, err
	}
	if string(magic) != snapshotMagic {
		return nil, errors.New("not a snapshot of a directory, or of another version")
	}
	_, err := io.ReadFull(r, s.stream[:])
	return s, err
}

// Read implements io.Reader.
func (s *sealedReader) Read(p []byte) (int, error) {
	for len(s.plain) == 0 {
		if s.last {
			return 0, io.EOF
		}
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

func (s *sealedReader) open() error {
	var head [5]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return fmt.Errorf("chunk %d: %w", s.number, io.ErrUnexpectedEOF)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > 2*snapshotChunk {
		return fmt.Errorf("chunk %d: length %d is too long", s.number, size)
	}
	sealed := make([]byte, size)
	if _, err := io.ReadFull(s.r, sealed); err != nil {
		return fmt.Errorf("chunk %d: %w", s.number, io.ErrUnexpectedEOF)
	}
	last := head[4] == 1
	plain, err := s.sealer.Open(sealed, chunkPlace(s.stream, s.number, last))
	if err != nil {
		return fmt.Errorf("chunk %d: %w", s.number, err)
	}
	s.plain, s.last = plain, last
	s.number++
	return nil
}
