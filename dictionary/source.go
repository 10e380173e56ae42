package dictionary

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// ParseError is what is wrong with one line of a dictionary file.
type ParseError struct {
	File string
	Line int
	Err  error
}

func (e *ParseError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap gives the cause.
func (e *ParseError) Unwrap() error { return e.Err }

// What one load may read at most.
const (
	maxDepth    = 16      // nested $INCLUDE
	maxFiles    = 4096    // files, counted each time they are included
	maxFileSize = 8 << 20 // octets of one file
	maxErrors   = 100     // reported errors
)

// source opens dictionary files and resolves what they $INCLUDE.
type source interface {
	open(name string) (io.ReadCloser, error)
	include(from, name string) string
}

type diskSource struct{}

func (diskSource) open(name string) (io.ReadCloser, error) { return os.Open(name) }

func (diskSource) include(from, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(from), name)
}

type fsSource struct{ fs.FS }

func (s fsSource) open(name string) (io.ReadCloser, error) { return s.Open(name) }

func (fsSource) include(from, name string) string { return path.Join(path.Dir(from), name) }

// WithFiles gives a new dictionary: this one and, on top, files in
// FreeRADIUS's dictionary syntax, in order: ATTRIBUTE, VALUE, VENDOR,
// BEGIN-VENDOR (also with parent=), BEGIN-TLV, ALIAS, $INCLUDE, and $INCLUDE-
// for a file that may be missing. Included names are relative to the file that
// includes them.
//
// A file may define an attribute again with the same number, and so change
// its type and flags; it may give a number a further name, which is then the
// one that is shown; an internal attribute may get another internal number. To
// give any other name another number, or an enumerated name another value, is
// an error. All errors are reported, joined, each a
// *ParseError with file and line; the dictionary is nil then.
func (d *Dictionary) WithFiles(paths ...string) (*Dictionary, error) {
	l := newLoader(d.clone(), diskSource{})
	for _, p := range paths {
		l.file(filepath.Clean(p), nil)
	}
	return l.finish()
}

func parseFS(d *Dictionary, fsys fs.FS, name string) (*Dictionary, error) {
	l := newLoader(d.clone(), fsSource{fsys})
	l.file(name, nil)
	return l.finish()
}

func readFile(src source, name string) ([]byte, error) {
	f, err := src.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxFileSize>>20)
	}
	return text, nil
}

var errTooMany = errors.New("too many errors, giving up")
