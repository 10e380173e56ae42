package cli

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

// importColumns are the columns of an import and an export, in the order of an
// export. Only username must be there.
var importColumns = []string{
	"username", "password", "plan", "status", "expires_at", "password_hash", "simultaneous_use", "groups", "mac",
	"full_name", "email", "phone", "address", "note",
}

func (a *app) userImportCommand() *cobra.Command {
	var update, dryRun bool
	hash := "cleartext"
	c := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Import users from a CSV file, all or none",
		Long: `Imports users from a CSV file, or standard input if the file is -. The first line
names the columns, in any order:

  username           required; the MAC address if mac is true
  password           kept as --hash says; empty: keeps the present one
  plan               name; empty: no plan
  status             active, disabled or suspended
  expires_at         2026-12-31 (through that day) or RFC 3339; empty: never
  password_hash      instead of password: $6$…, $2b$…, {SSHA}…, {NT}…
  simultaneous_use   sessions at once; empty: as the plan says
  groups             names, separated by semicolons, in the order they apply
  mac                true: a device that is known by its MAC address alone
  full_name, email, phone, address, note

A column that is missing leaves what is there. Columns may be separated by commas
or semicolons. A cell that begins with an apostrophe before = + - or @ loses it, as
exports write them to keep spreadsheets from computing.

If a line is wrong, every wrong line is named and nothing is imported.`,
		Example: `  radiusd user import subscribers.csv --dry-run
  radiusd user import subscribers.csv --update
  zcat users.csv.gz | radiusd user import -`,
		Args: arguments("FILE.csv"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []cobra.Completion{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(hashNames, hash) {
				return usagef("--hash: %q is not one of %s", hash, strings.Join(hashNames, ", "))
			}
			file, total, err := a.openImport(args[0])
			if err != nil {
				return err
			}
			defer file.Close()
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				name := args[0]
				if name == "-" {
					name = "standard input"
				}
				reader, err := newImportReader(file, cfg.Location(), hash, update)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				rows := reader.rows()
				if takesLong(file, hash) {
					if rows, err = readAhead(c.Context(), rows, a.newProgress("lines", total)); err != nil {
						return err
					}
				}
				p := a.newProgress("users", total)
				done := 0
				result, err := s.ImportUsers(c.Context(), rows, store.ImportOptions{
					Update: update, DryRun: dryRun,
					Progress: func(n int) { done = n; p.set(int64(n)) },
				})
				p.done(int64(done))
				if err != nil {
					return a.reportImport(name, err)
				}
				verb := "created"
				if dryRun {
					verb = "would be created"
				}
				fmt.Fprintf(a.stdout, "%d users %s, %d changed\n", result.Created, verb, result.Updated)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&update, "update", false, "change users that exist already, rather than refuse them")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "check everything and import nothing")
	c.Flags().StringVar(&hash, "hash", hash, "how to keep passwords: "+strings.Join(hashNames, ", ")+" (argon2id and bcrypt take their time)")
	completeFlag(c, "hash", hashNames...)
	return c
}

// openImport opens the file and counts its lines, less the first; -1 if that
// cannot be known.
func (a *app) openImport(name string) (file io.ReadCloser, lines int64, err error) {
	if name == "-" {
		return io.NopCloser(a.stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", name, reason(err))
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		f.Close()
		return nil, 0, fmt.Errorf("read %s: is a directory", name)
	}
	if err != nil || !info.Mode().IsRegular() || !isTerminal(a.stderr) {
		return f, -1, nil
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		lines += int64(bytes.Count(buf[:n], []byte{'\n'}))
		if err != nil {
			break
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("read %s: %w", name, reason(err))
	}
	return f, max(lines-1, 0), nil
}

// reportImport writes what is wrong with each line, in the order of the lines.
func (a *app) reportImport(name string, err error) error {
	var lines []*store.LineError
	more := false
	var walk func(error)
	walk = func(err error) {
		var line *store.LineError
		switch e := err.(type) {
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		case *store.LineError:
			lines = append(lines, e)
		case interface{ Unwrap() error }:
			if errors.As(err, &line) {
				walk(e.Unwrap())
			}
		default:
			more = true
		}
	}
	walk(err)
	wrong := len(lines)
	if wrong == 0 {
		return err
	}
	slices.SortStableFunc(lines, func(a, b *store.LineError) int { return a.Line - b.Line })
	for _, line := range lines {
		fmt.Fprintf(a.stderr, "%s:%d: %s\n", name, line.Line, oneLine(line.Err))
	}
	if more {
		return fmt.Errorf("%s: %d wrong lines and perhaps more: nothing was imported", name, wrong)
	}
	if wrong == 1 {
		return fmt.Errorf("%s: 1 wrong line: nothing was imported", name)
	}
	return fmt.Errorf("%s: %d wrong lines: nothing was imported", name, wrong)
}

// importReader turns CSV into users.
type importReader struct {
	csv    *csv.Reader
	names  []string // of the columns as they stand in the file
	zone   *time.Location
	hash   string
	update bool
}

// newImportReader reads the header.
func newImportReader(r io.Reader, zone *time.Location, hash string, update bool) (*importReader, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3) // they are in the buffer
	}
	head, _ := buffered.Peek(1 << 16) // less at the end of the file
	first, _, _ := bytes.Cut(head, []byte{'\n'})
	reader := &importReader{csv: csv.NewReader(buffered), zone: zone, hash: hash, update: update}
	reader.csv.ReuseRecord = true
	if bytes.IndexByte(first, ';') >= 0 && bytes.IndexByte(first, ',') < 0 {
		reader.csv.Comma = ';'
	}
	header, err := reader.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("is empty: the first line must name the columns (%s)", strings.Join(importColumns[:5], ","))
	}
	if err != nil {
		return nil, fmt.Errorf("the first line must name the columns: %w", err)
	}
	var problems []error
	for _, cell := range header {
		name := strings.TrimSpace(cell)
		switch {
		case !slices.Contains(importColumns, name):
			problems = append(problems, fmt.Errorf("line 1: unknown column %q%s", name, hint(name, importColumns)))
		case slices.Contains(reader.names, name):
			problems = append(problems, fmt.Errorf("line 1: column %q stands there twice", name))
		}
		reader.names = append(reader.names, name)
	}
	if !slices.Contains(reader.names, "username") {
		problems = append(problems, errors.New("line 1: there is no column username"))
	}
	return reader, errors.Join(problems...)
}

// rows gives the users. What is wrong with a line comes as a *store.LineError.
func (r *importReader) rows() iter.Seq2[store.ImportRow, error] {
	return func(yield func(store.ImportRow, error) bool) {
		for {
			record, err := r.csv.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var parse *csv.ParseError
			switch {
			case errors.As(err, &parse) && errors.Is(err, csv.ErrFieldCount):
				err = &store.LineError{Line: parse.StartLine, Err: fmt.Errorf("has %d cells where the first line has %d", len(record), len(r.names))}
				if !yield(store.ImportRow{}, err) {
					return
				}
				continue
			case errors.As(err, &parse):
				// What follows a quoting error cannot be told apart.
				yield(store.ImportRow{}, &store.LineError{Line: parse.Line, Err: fmt.Errorf("cannot be read from here on: %w", parse.Err)})
				return
			case err != nil:
				yield(store.ImportRow{}, err)
				return
			}
			line, _ := r.csv.FieldPos(0)
			row, err := r.row(record)
			row.Line = line
			if err != nil {
				err = &store.LineError{Line: line, Err: err}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// row reads one record. The error joins all that is wrong with it.
func (r *importReader) row(record []string) (store.ImportRow, error) {
	var row store.ImportRow
	var errs []error
	mac, unnamed := false, false
	for i, name := range r.names {
		cell := strings.Clone(unprotectCSV(record[i]))
		if !utf8.ValidString(cell) {
			errs = append(errs, fmt.Errorf("%s is not UTF-8", name))
			continue
		}
		var err error
		switch name {
		case "username":
			row.Username, unnamed = cell, cell == ""
		case "mac":
			mac, err = parseBool(cell)
		default:
			err = r.cell(&row, name, cell)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	switch {
	case unnamed:
		errs = append(errs, errors.New("username: is empty"))
	case mac && row.Credential != nil:
		errs = append(errs, errors.New("mac: a device known by its MAC address has no password"))
	case mac:
		normal, ok := aaa.NormalizeMAC(row.Username)
		if !ok {
			errs = append(errs, fmt.Errorf("username: %q is not a MAC address", row.Username))
		}
		row.Username, row.Credential = normal, &aaa.Credential{Scheme: aaa.SchemeMAC}
	case row.Credential == nil && !r.update && len(errs) == 0:
		errs = append(errs, errors.New("password: is missing, and so are password_hash and mac"))
	}
	return row, errors.Join(errs...)
}

// cell takes one cell over.
func (r *importReader) cell(row *store.ImportRow, name, cell string) error {
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
			credential, err = newCredential(cell, r.hash)
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
		at, err := parseExpiry(cell, r.zone)
		row.ExpiresAt = &at
		return err
	case "simultaneous_use":
		if cell == "" {
			cell = "none"
		}
		n, err := parseLimit(cell)
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
