package cli

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"radiusd/aaa/userfile"
	"radiusd/report"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// The output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatCSV   = "csv"
)

// column is one column of a list, and one field of a single thing.
type column[T any] struct {
	label string       // for people; empty: the name
	name  string       // as in JSON and CSV; scripts rely on it
	value func(*T) any // text, number, bool, time.Time, uuid.UUID, netip.Addr, []string…; nil: nothing there
	// human, if set, is the text for a table.
	human func(*T) string
	// detail leaves the column out of tables of several rows.
	detail bool
}

// title is what people call the column.
func (c *column[T]) title() string {
	if c.label != "" {
		return c.label
	}
	return strings.ReplaceAll(c.name, "_", " ")
}

// outputFlag gives a command the flag -o.
func (a *app) outputFlag(c *cobra.Command) {
	c.Flags().StringVarP(&a.format, "output", "o", formatTable, "output `FORMAT`: table, json, csv")
	completeFlag(c, "output", formatTable, formatJSON, formatCSV)
	next := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if !slices.Contains([]string{formatTable, formatJSON, formatCSV}, a.format) {
			return usagef("--output: %q is not one of table, json, csv", a.format)
		}
		if next != nil {
			return next(c, args)
		}
		return nil
	}
}

// writeList writes rows in the chosen format. Nothing is held beyond the rows
// that the width of a table is taken from.
func writeList[T any](a *app, columns []column[T], rows iter.Seq2[*T, error]) error {
	out := bufio.NewWriter(a.stdout)
	var err error
	switch a.format {
	case formatJSON:
		err = writeJSONList(out, columns, rows)
	case formatCSV:
		err = writeCSV(out, columns, rows)
	default:
		err = writeTable(out, columns, rows, a.colour(a.stdout))
	}
	if flushErr := out.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// writeOne writes a single thing: its fields below each other, a JSON object or
// one row of CSV.
func writeOne[T any](a *app, columns []column[T], row *T) error {
	switch a.format {
	case formatJSON:
		object := appendObject(nil, columns, row, "\n  ", "\n")
		_, err := a.stdout.Write(append(object, '\n'))
		return err
	case formatCSV:
		return writeList(a, columns, oneRow(row))
	}
	width := 0
	for _, c := range columns {
		width = max(width, len(c.title()))
	}
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, "%-*s  %s\n", width, c.title(), c.cell(row))
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

func oneRow[T any](row *T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) { yield(row, nil) }
}

// sliceRows gives the elements of a slice as rows.
func sliceRows[T any](rows []T) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for i := range rows {
			if !yield(&rows[i], nil) {
				return
			}
		}
	}
}

// plain brings a value into a form that encoding/json writes as agreed: times
// in RFC 3339, what is not there as nil.
func plain(value any) any {
	switch v := value.(type) {
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC().Format(time.RFC3339Nano)
	case uuid.UUID:
		if v == uuid.Nil {
			return nil
		}
		return v.String()
	case netip.Addr:
		if !v.IsValid() {
			return nil
		}
		return v.String()
	case netip.Prefix:
		if !v.IsValid() {
			return nil
		}
		return v.String()
	case fmt.Stringer:
		return v.String()
	}
	return value
}

// text is a value as one cell of text; empty for what is not there.
func text(value any) string {
	switch v := plain(value).(type) {
	case nil:
		return ""
	case string:
		return v
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}

// cell is the column's text in a table: no control characters, which could come
// from a NAS and play with the terminal, and a dash for nothing.
func (c *column[T]) cell(row *T) string {
	var s string
	if c.human != nil {
		s = c.human(row)
	} else if t, ok := c.value(row).(time.Time); ok && !t.IsZero() {
		s = t.UTC().Format(time.RFC3339)
	} else {
		s = text(c.value(row))
	}
	if s == "" {
		return "-"
	}
	return printable(s)
}

// printable escapes what a terminal would act on.
func printable(s string) string {
	clean := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if strings.IndexFunc(s, clean) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// tableWindow is how many rows the widths of a table are taken from.
const tableWindow = 1000

func writeTable[T any](out *bufio.Writer, columns []column[T], rows iter.Seq2[*T, error], colour bool) error {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column[T]) bool { return c.detail })
	header := make([]string, len(columns))
	widths := make([]int, len(columns))
	for i, c := range columns {
		header[i] = strings.ToUpper(c.title())
		widths[i] = len(header[i])
	}
	line := func(cells []string) {
		for i, cell := range cells {
			if i > 0 {
				out.WriteString("  ")
			}
			out.WriteString(cell)
			if i < len(cells)-1 {
				out.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))))
			}
		}
		out.WriteByte('\n')
	}
	var window [][]string
	written := false
	flush := func() {
		if written {
			return
		}
		written = true
		if colour {
			out.WriteString("\x1b[1m")
		}
		line(header)
		if colour {
			out.WriteString("\x1b[0m")
		}
		for _, cells := range window {
			line(cells)
		}
		window = nil
	}
	for row, err := range rows {
		if err != nil {
			return err
		}
		cells := make([]string, len(columns))
		for i := range columns {
			cells[i] = columns[i].cell(row)
			if !written {
				widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
			}
		}
		if written {
			line(cells)
			continue
		}
		if window = append(window, cells); len(window) == tableWindow {
			flush()
		}
	}
	flush()
	return nil
}

func writeJSONList[T any](out *bufio.Writer, columns []column[T], rows iter.Seq2[*T, error]) error {
	out.WriteByte('[')
	separator := "\n"
	var object []byte
	for row, err := range rows {
		if err != nil {
			return err
		}
		out.WriteString(separator + "  ")
		object = appendObject(object[:0], columns, row, " ", " ")
		out.Write(object)
		separator = ",\n"
	}
	if separator != "\n" {
		out.WriteByte('\n')
	}
	out.WriteString("]\n")
	return nil
}

// appendObject appends a row as a JSON object with its fields in the order of
// the columns, each after before, the closing brace after last.
func appendObject[T any](dst []byte, columns []column[T], row *T, before, last string) []byte {
	dst = append(dst, '{')
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, before...)
		dst = appendJSON(dst, c.name)
		dst = append(dst, ':', ' ')
		dst = appendJSON(dst, plain(c.value(row)))
	}
	return append(append(dst, last...), '}')
}

func appendJSON(dst []byte, value any) []byte {
	if list, ok := value.([]string); ok && list == nil {
		value = []string{}
	}
	b, err := json.Marshal(value)
	if err != nil { // a column with a value that has no JSON form
		panic(fmt.Sprintf("cli: %T in a column: %v", value, err))
	}
	return append(dst, b...)
}

func writeCSV[T any](out *bufio.Writer, columns []column[T], rows iter.Seq2[*T, error]) error {
	w := csv.NewWriter(out)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.name
	}
	if err := w.Write(cells); err != nil {
		return err
	}
	for row, err := range rows {
		if err != nil {
			return err
		}
		for i, c := range columns {
			value := c.value(row)
			if _, amount := value.(report.Money); amount {
				cells[i] = text(value)
				continue
			}
			value = plain(value)
			cells[i] = text(value)
			switch value.(type) {
			case string, []string:
				cells[i] = userfile.Protect(cells[i])
			}
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
