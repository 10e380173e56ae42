package userfile

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// Names are the names of what users refer to. Names may be added as long as a Writer
// writes.
type Names struct {
	Plans, Groups map[uuid.UUID]string
}

// WriterOptions says how to write a file.
type WriterOptions struct {
	Format Format
	Names  Names
	// WithoutProfiles leaves the columns of personal data out.
	WithoutProfiles bool
}

// Writer writes users as a Reader with Options.Update reads them: without passwords and
// items. It is for one goroutine.
type Writer struct {
	format  Format
	names   Names
	out     *bufio.Writer
	csv     *csv.Writer
	columns []string
}

// NewWriter writes the heading, if the format has one.
func NewWriter(w io.Writer, options WriterOptions) (*Writer, error) {
	out := bufio.NewWriterSize(w, csvBuffer)
	f := &Writer{format: options.Format, names: options.Names, out: out, csv: csv.NewWriter(out)}
	var profile aaa.Profile
	fields := profile.Fields()
	f.columns = slices.DeleteFunc(Columns(), func(name string) bool {
		return strings.HasPrefix(name, "password") ||
			options.WithoutProfiles && slices.ContainsFunc(fields[:], func(f aaa.ProfileField) bool { return f.Name == name })
	})
	switch options.Format {
	case CSV:
		return f, f.csv.Write(f.columns)
	case JSONLines:
		return f, nil
	}
	return nil, fmt.Errorf("unknown format %d", options.Format)
}

// Write writes one user. What was written is on its way at Flush only.
func (f *Writer) Write(u *aaa.UserRow) error {
	groups := f.groups(u)
	values := map[string]any{
		"username": u.Name, "plan": f.names.Plans[u.PlanID], "status": u.Status.String(), "groups": groups, "mac": u.Scheme == aaa.SchemeMAC,
		"expires_at": nil, "simultaneous_use": nil,
	}
	for _, field := range u.Profile.Fields() {
		values[field.Name] = *field.Value
	}
	if !u.ExpiresAt.IsZero() {
		values["expires_at"] = u.ExpiresAt.UTC().Format(time.RFC3339)
	}
	if u.SimultaneousUse > 0 {
		values["simultaneous_use"] = u.SimultaneousUse
	}
	if f.format == CSV {
		cells := make([]string, len(f.columns))
		for i, name := range f.columns {
			switch v := values[name].(type) {
			case string:
				cells[i] = Protect(v)
			case bool:
				cells[i] = strconv.FormatBool(v)
			case int:
				cells[i] = strconv.Itoa(v)
			case []string:
				cells[i] = Protect(strings.Join(v, ";"))
			}
		}
		return f.csv.Write(cells)
	}
	// What is not set is written as such: null would leave what is there.
	if values["expires_at"] == nil {
		values["expires_at"] = "never"
	}
	if values["simultaneous_use"] == nil {
		values["simultaneous_use"] = 0
	}
	return f.object(values)
}

// object writes the values in the order of the columns.
func (f *Writer) object(values map[string]any) error {
	var line bytes.Buffer
	line.WriteByte('{')
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	for i, name := range f.columns {
		if i > 0 {
			line.WriteByte(',')
		}
		fmt.Fprintf(&line, "%q:", name)
		if err := encoder.Encode(values[name]); err != nil {
			return err
		}
		line.Truncate(line.Len() - 1) // the line break
	}
	line.WriteString("}\n")
	_, err := f.out.Write(line.Bytes())
	return err
}

// groups are the names in the order they apply.
func (f *Writer) groups(u *aaa.UserRow) []string {
	sorted := slices.SortedStableFunc(slices.Values(u.Groups), func(a, b aaa.Membership) int { return cmp.Compare(a.Priority, b.Priority) })
	names := make([]string, len(sorted))
	for i, m := range sorted {
		names[i] = f.names.Groups[m.GroupID]
	}
	return names
}

// Flush sends what was written so far. It is to be called at the end.
func (f *Writer) Flush() error {
	f.csv.Flush()
	if err := f.csv.Error(); err != nil {
		return err
	}
	return f.out.Flush()
}
