package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type thing struct {
	name string
	size int64
	at   time.Time
}

var thingColumns = []column[thing]{
	{name: "name", value: func(t *thing) any { return t.name }},
	{name: "size_octets", value: func(t *thing) any { return t.size }, human: func(t *thing) string { return fmt.Sprintf("%d B", t.size) }},
	{name: "seen_at", value: func(t *thing) any { return t.at }},
	{name: "list", value: func(*thing) any { return []string{"a", "b"} }, detail: true},
}

var things = []thing{
	{"alice", 12, time.Date(2026, 5, 1, 12, 0, 0, 5000, time.FixedZone("", 7200))},
	{"=cmd|' /C calc'!A1", -5, time.Time{}},
	{"a\x1b[31mred\x07", 0, time.Time{}},
	{"zoë", 0, time.Time{}},
}

func render(t *testing.T, format string, rows []thing) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, writeList(&app{stdout: &out, format: format}, thingColumns, sliceRows(rows)))
	return out.String()
}

func TestTable(t *testing.T) {
	assert.Equal(t, strings.Join([]string{
		`NAME                SIZE OCTETS  SEEN AT`,
		`alice               12 B         2026-05-01T10:00:00Z`,
		`=cmd|' /C calc'!A1  -5 B         -`,
		`a\x1b[31mred\a      0 B          -`,
		`zoë                 0 B          -`,
		``}, "\n"), render(t, formatTable, things))
	assert.Equal(t, "NAME  SIZE OCTETS  SEEN AT\n", render(t, formatTable, nil))
}

func TestTableBeyondTheWindow(t *testing.T) {
	rows := make([]thing, tableWindow+2)
	rows[tableWindow+1].name = "longer than any name before"
	out := render(t, formatTable, rows)
	assert.Equal(t, tableWindow+3, strings.Count(out, "\n"))
	assert.Contains(t, out, "longer than any name before  0 B")
}

func TestJSON(t *testing.T) {
	assert.Equal(t, "[]\n", render(t, formatJSON, nil))
	out := render(t, formatJSON, things)
	assert.True(t, strings.HasPrefix(out, `[
  { "name": "alice", "size_octets": 12, "seen_at": "2026-05-01T10:00:00.000005Z", "list": ["a","b"] },
`), out)
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	assert.Equal(t, things[2].name, rows[2]["name"])
	assert.Nil(t, rows[1]["seen_at"])
}

func TestCSV(t *testing.T) {
	out := render(t, formatCSV, things)
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, [][]string{
		{"name", "size_octets", "seen_at", "list"},
		{"alice", "12", "2026-05-01T10:00:00.000005Z", "a,b"},
		{"'=cmd|' /C calc'!A1", "-5", "", "a,b"}, // a number is a number
		{"a\x1b[31mred\x07", "0", "", "a,b"},
		{"zoë", "0", "", "a,b"},
	}, rows)
}

func TestOne(t *testing.T) {
	for format, want := range map[string]string{
		formatTable: "name         alice\nsize octets  12 B\nseen at      2026-05-01T10:00:00Z\nlist         a,b\n",
		formatJSON:  "{\n  \"name\": \"alice\",\n  \"size_octets\": 12,\n  \"seen_at\": \"2026-05-01T10:00:00.000005Z\",\n  \"list\": [\"a\",\"b\"]\n}\n",
		formatCSV:   "name,size_octets,seen_at,list\nalice,12,2026-05-01T10:00:00.000005Z,\"a,b\"\n",
	} {
		var out bytes.Buffer
		require.NoError(t, writeOne(&app{stdout: &out, format: format}, thingColumns, &things[0]))
		assert.Equal(t, want, out.String(), format)
	}
}

func TestErrorsOfRowsComeThrough(t *testing.T) {
	var rows iter.Seq2[*thing, error] = func(yield func(*thing, error) bool) {
		_ = yield(&things[0], nil) && yield(nil, errors.New("the store went away"))
	}
	for _, format := range []string{formatTable, formatJSON, formatCSV} {
		var out bytes.Buffer
		assert.EqualError(t, writeList(&app{stdout: &out, format: format}, thingColumns, rows), "the store went away", format)
	}
}

func TestPlainValues(t *testing.T) {
	assert.Nil(t, plain(time.Time{}))
	assert.Nil(t, plain(uuid.Nil))
	assert.Nil(t, plain(netip.Addr{}))
	assert.Nil(t, plain(netip.Prefix{}))
	assert.Equal(t, "192.0.2.1", plain(netip.MustParseAddr("192.0.2.1")))
	assert.Equal(t, "", text(nil))
	assert.Equal(t, "[]", string(appendJSON(nil, []string(nil))))
}
