package userfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"radiusd/aaa"
)

// csvSource reads rows of CSV.
type csvSource struct {
	csv    *csv.Reader
	source *limited
	names  []string // of the columns as they stand in the file
}

// limited ends a row that has no end.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// csvBuffer is how much of a file is read at once.
const csvBuffer = 1 << 16

func newCSVSource(r io.Reader) (*csvSource, error) {
	buffered := bufio.NewReaderSize(r, csvBuffer)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // they are in the buffer
	}
	head, _ := buffered.Peek(csvBuffer) // less at the end of the file
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	limit := &limited{buffered, MaxRow}
	s := &csvSource{csv: csv.NewReader(limit), source: limit}
	s.csv.ReuseRecord = true
	if bytes.IndexByte(first, ';') >= 0 && bytes.IndexByte(first, ',') < 0 {
		s.csv.Comma = ';'
	}
	header, err := s.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("is empty: the first line must name the columns (%s)", strings.Join(Columns()[:5], ","))
	}
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	var problems []error
	for _, cell := range header {
		name := strings.TrimSpace(cell)
		switch {
		case !isColumn(name):
			problems = append(problems, fmt.Errorf("line 1: unknown column %q%s", name, hint(name, Columns())))
		case slices.Contains(s.names, name):
			problems = append(problems, fmt.Errorf("line 1: column %q stands there twice", name))
		}
		s.names = append(s.names, name)
	}
	if !slices.Contains(s.names, "username") {
		problems = append(problems, errors.New("line 1: there is no column username"))
	}
	return s, errors.Join(problems...)
}

func (s *csvSource) next(cell func(column, text string)) (int, error) {
	s.source.left = MaxRow
	record, err := s.csv.Read()
	var parse *csv.ParseError
	switch {
	case errors.Is(err, errTooLong):
		line, _ := s.csv.FieldPos(0)
		return 0, &aaa.LineError{Line: line, Err: fmt.Errorf("%w: a row %w", errEnd, errTooLong)}
	case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
		return 0, &aaa.LineError{Line: parse.StartLine, Err: fmt.Errorf("has %d cells where the first line has %d", len(record), len(s.names))}
	case errors.As(err, &parse):
		// What follows a quoting error cannot be told apart.
		return 0, &aaa.LineError{Line: parse.Line, Err: fmt.Errorf("%w: %w", errEnd, parse.Err)}
	case err != nil:
		return 0, err
	}
	line, _ := s.csv.FieldPos(0)
	for i, name := range s.names {
		cell(name, strings.Clone(Unprotect(record[i])))
	}
	return line, nil
}
