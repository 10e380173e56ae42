package api

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
)

// spooled is a file that was read to its end before anything is done with it. It is for
// one goroutine.
type spooled struct {
	io.Reader
	file *os.File
	key  [32]byte
}

// spool copies r into a temporary file, in bounded memory, and returns it for reading;
// whoever gets it closes it. It is encrypted under a key that is nowhere else, since it
// may hold passwords and outlive the process on the disk.
func spool(r io.Reader) (_ *spooled, err error) {
	file, err := os.CreateTemp("", "radiusd-import-*")
	if err != nil {
		return nil, fmt.Errorf("keep a file: %w", err)
	}
	kept := &spooled{file: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, kept.Close())
		}
	}()
	rand.Read(kept.key[:])
	out := bufio.NewWriterSize(file, spoolBuffer)
	if _, err := io.Copy(&cipher.StreamWriter{S: keystream(kept.key), W: out}, r); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, fmt.Errorf("keep a file: %w", err)
	}
	if err := kept.rewind(); err != nil {
		return nil, err
	}
	return kept, nil
}

// rewind lets the file be read from its beginning.
func (s *spooled) rewind() error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read a file again: %w", err)
	}
	s.Reader = &cipher.StreamReader{S: keystream(s.key), R: bufio.NewReaderSize(s.file, spoolBuffer)}
	return nil
}

const spoolBuffer = 1 << 16

// keystream is AES in counter mode. The key is for one file, so the counter may begin at
// zero.
func keystream(key [32]byte) cipher.Stream {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("api: " + err.Error()) // the length is right
	}
	return cipher.NewCTR(block, make([]byte, aes.BlockSize))
}

// Close removes the file.
func (s *spooled) Close() error {
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}
