// Package userfile reads and writes users as files: CSV with a heading, and JSON with an
// object on each line. Command line and API use the same.
//
// A file is read row by row, in bounded memory. Whatever a spreadsheet could take for a
// formula is written with an apostrophe before it, which reading takes away again: see
// [Protect].
package userfile

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"radiusd/aaa"
	"radiusd/internal/spelling"
)

// Format is how a file is written.
type Format uint8

// The formats.
const (
	CSV Format = iota
	JSONLines
)

// Columns are the columns of a file, in the order they are written. Only username must
// be there.
func Columns() []string {
	return []string{
		"username", "password", "plan", "status", "expires_at", "password_hash", "simultaneous_use", "groups", "mac",
		"full_name", "email", "phone", "address", "note",
	}
}

// MaxRow is how many octets a row of a file has at most.
const MaxRow = 1 << 20

// errTooLong ends a file.
var errTooLong = fmt.Errorf("is longer than %d octets", MaxRow)

// Options says how to read a file.
type Options struct {
	Format Format
	// Zone is where a day of expires_at ends; nil: UTC.
	Zone *time.Location
	// PasswordForm is one of aaa.PasswordForms; empty: the first.
	PasswordForm string
	// Update is for users that may be there already, who need no password then.
	Update bool
}

// Reader reads users. It is for one goroutine.
type Reader struct {
	options Options
	columns []string
	source  source
}

// source gives the rows of a file.
type source interface {
	// next calls cell for the cells of the next row and returns its line. What is wrong
	// with that row only is a *aaa.LineError; after another error, such as io.EOF,
	// nothing follows.
	next(cell func(column, text string)) (line int, err error)
}

// NewReader reads the heading, if the format has one. Its errors tell what is wrong with
// that, joined.
func NewReader(r io.Reader, options Options) (*Reader, error) {
	if options.Zone == nil {
		options.Zone = time.UTC
	}
	if options.PasswordForm == "" {
		options.PasswordForm = aaa.PasswordForms()[0]
	}
	reader := &Reader{options: options, columns: Columns()}
	switch options.Format {
	case CSV:
		source, err := newCSVSource(r)
		reader.source = source
		return reader, err
	case JSONLines:
		reader.source = newJSONSource(r)
		return reader, nil
	}
	return nil, fmt.Errorf("unknown format %d", options.Format)
}

// Rows gives the users, once. What is wrong with a row comes as an *aaa.LineError with
// joined field errors; an error of another kind is the last thing to come.
func (r *Reader) Rows() iter.Seq2[aaa.ImportRow, error] {
	return func(yield func(aaa.ImportRow, error) bool) {
		for {
			row, err := r.row()
			if errors.Is(err, io.EOF) {
				return
			}
			var line *aaa.LineError
			if !yield(row, err) || err != nil && (!errors.As(err, &line) || errors.Is(err, errEnd)) {
				return
			}
		}
	}
}

// errEnd marks what is wrong with a row after which no other can be told.
var errEnd = errors.New("cannot be read from here on")

// wrong says what is wrong with a field.
func wrong(field string, err error) error {
	return &aaa.FieldError{Field: field, Message: field + ": " + err.Error()}
}

// row reads one row. The error joins all that is wrong with it.
func (r *Reader) row() (aaa.ImportRow, error) {
	var row aaa.ImportRow
	var errs []error
	mac, unnamed := false, true
	line, err := r.source.next(func(column, text string) {
		if !utf8.ValidString(text) {
			unnamed = unnamed && column != "username"
			errs = append(errs, &aaa.FieldError{Field: column, Message: column + " is not UTF-8"})
			return
		}
		var err error
		switch column {
		case "username":
			row.Username, unnamed = text, text == ""
		case "mac":
			mac, err = parseBool(text)
		default:
			err = r.cell(&row, column, text)
		}
		if err != nil {
			errs = append(errs, wrong(column, err))
		}
	})
	if err != nil {
		return aaa.ImportRow{}, err
	}
	row.Line = line
	switch {
	case unnamed:
		errs = append(errs, wrong("username", errors.New("is empty")))
	case mac && row.Credential != nil:
		errs = append(errs, wrong("mac", errors.New("a device known by its MAC address has no password")))
	case mac:
		normal, ok := aaa.NormalizeMAC(row.Username)
		if !ok {
			errs = append(errs, wrong("username", fmt.Errorf("%q is not a MAC address", row.Username)))
		}
		row.Username, row.Credential = normal, &aaa.Credential{Scheme: aaa.SchemeMAC}
	case row.Credential == nil && !r.options.Update && len(errs) == 0:
		errs = append(errs, wrong("password", errors.New("is missing, and so are password_hash and mac")))
	}
	if len(errs) > 0 {
		return row, &aaa.LineError{Line: line, Err: errors.Join(errs...)}
	}
	return row, nil
}

// cell takes one cell over.
func (r *Reader) cell(row *aaa.ImportRow, name, cell string) error {
	switch name {
	case "password", "password_hash":
		if cell == "" {
			return nil
		}
		if row.Credential != nil {
			return errors.New("only one of password and password_hash can be given")
		}
		var credential aaa.Credential
		var err error
		if name == "password" {
			credential, err = aaa.NewCredential(cell, r.options.PasswordForm)
		} else {
			credential, err = aaa.ParseCredential(cell)
		}
		row.Credential = &credential
		return err
	case "plan":
		row.Plan = &cell
	case "status":
		if cell == "" {
			return nil
		}
		status, err := aaa.ParseUserStatus(cell)
		row.Status = &status
		return err
	case "expires_at":
		if cell == "" {
			cell = "never"
		}
		at, err := ParseExpiry(cell, r.options.Zone)
		row.ExpiresAt = &at
		return err
	case "simultaneous_use":
		if cell == "" {
			cell = "none"
		}
		n, err := ParseLimit(cell)
		row.SimultaneousUse = &n
		return err
	case "groups":
		groups := []string{}
		for _, group := range strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || r == ',' }) {
			if group = strings.TrimSpace(group); group != "" {
				groups = append(groups, group)
			}
		}
		row.Groups = &groups
	case "full_name":
		row.FullName = &cell
	case "email":
		row.Email = &cell
	case "phone":
		row.Phone = &cell
	case "address":
		row.Address = &cell
	case "note":
		row.Note = &cell
	}
	return nil
}

// parseBool reads a yes or no; empty is no.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "1":
		return true, nil
	case "", "false", "no", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

// ParseExpiry reads a date, which is the day's end in the zone of the
// configuration, or a time in RFC 3339; "never" is the zero time.
func ParseExpiry(text string, zone *time.Location) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	at, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err == nil {
		at = at.AddDate(0, 0, 1) // the last day counts: access ends when the next one begins
	} else {
		at, err = time.Parse(time.RFC3339, text)
	}
	if err == nil && !at.IsZero() {
		return at.UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a date: want 2026-12-31 (through that day), 2026-12-31T18:00:00Z or never", text)
}

// ParseLimit reads a number that is zero or greater; "none" is zero.
func ParseLimit(text string) (int, error) {
	if text == "none" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return int(n), nil
}

// hint tells which names a word is like.
func hint(word string, names []string) string {
	if h := spelling.Hint(word, names); h != "" {
		return ": " + strings.TrimSuffix(h, "?")
	}
	return ""
}

// isColumn reports whether a file may have the column.
func isColumn(name string) bool { return slices.Contains(Columns(), name) }
