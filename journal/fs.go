package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is the part of a file system that a journal uses. Names are paths as the
// os package takes them. A nil Options.FS is the operating system; journaltest
// has one that loses power, runs full and fails.
type FS interface {
	// MkdirAll creates dir and its missing parents, durably, with mode 0700.
	MkdirAll(dir string) error
	// Lock takes the exclusive lock of the file, which it creates if missing,
	// and holds it until the Closer is closed or the process ends. A lock that
	// another holds gives ErrLocked at once.
	Lock(name string) (io.Closer, error)
	// Create makes an empty file, or empties the one there is, for reading and writing.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename moves a file, atomically replacing one of the new name.
	Rename(from, to string) error
	Remove(name string) error
	// ReadDir gives the names in a folder, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the creations, renames and removals in dir durable.
	SyncDir(dir string) error
	// Free is how many octets the device of dir has room for; far too many where
	// the system does not say.
	Free(dir string) (int64, error)
}

// File is an open file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error
	// Sync makes content and metadata durable.
	Sync() error
	// SyncData makes the content, and the size needed to read it, durable.
	SyncData() error
}

// osFS is the operating system's file system.
type osFS struct{}

func (osFS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		// It may be there since a process made it that was killed before the next line.
		_ = osFS{}.SyncDir(filepath.Dir(dir)) // may belong to somebody else
		return nil
	case err == nil:
		return fmt.Errorf("%s is not a directory", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := (osFS{}).MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return osFS{}.SyncDir(parent)
}

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// LockFile is the Lock of the operating system's file system.
func LockFile(name string) (io.Closer, error) { return osFS{}.Lock(name) }

func (osFS) Create(name string) (File, error) {
	return osOpen(name, os.O_CREATE|os.O_TRUNC|os.O_RDWR)
}

func (osFS) Open(name string) (File, error)      { return osOpen(name, os.O_RDONLY) }
func (osFS) OpenWrite(name string) (File, error) { return osOpen(name, os.O_RDWR) }
func (osFS) Rename(from, to string) error        { return os.Rename(from, to) }
func (osFS) Remove(name string) error            { return os.Remove(name) }

func (osFS) ReadDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (osFS) SyncDir(dir string) error { return syncDir(dir) }

func (osFS) Free(dir string) (int64, error) { return free(dir) }

type osFile struct{ *os.File }

func osOpen(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) SyncData() error { return syncData(f.File) }
