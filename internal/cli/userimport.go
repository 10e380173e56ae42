package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/config"
	"radiusd/store"
)

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

A column that is missing leaves what is there. The status active lifts no suspension
of billing, which the file does not know of: user set --status active does. Columns
may be separated by commas or semicolons. A cell that begins with an apostrophe
before = + - or @ loses it, as exports write them to keep spreadsheets from
computing.

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
			if !slices.Contains(aaa.PasswordForms(), hash) {
				return usagef("--hash: %q is not one of %s", hash, strings.Join(aaa.PasswordForms(), ", "))
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
				reader, err := userfile.NewReader(file, userfile.Options{Zone: cfg.Location(), PasswordForm: hash, Update: update})
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				rows := reader.Rows()
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
	c.Flags().StringVar(&hash, "hash", hash, "how to keep passwords: "+strings.Join(aaa.PasswordForms(), ", ")+" (argon2id and bcrypt take their time)")
	completeFlag(c, "hash", aaa.PasswordForms()...)
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
