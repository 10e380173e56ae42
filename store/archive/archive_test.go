package archive

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var table = Table{"things", []Column{{"a", Integer}, {"b", Text}, {"c", Octets}, {"d", Real}, {"e", Text}}}

func appendRow(n int64, text string, octets []byte, x float64) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(AppendInteger(b, n), ',')
		b = append(AppendText(b, text), ',')
		b = append(AppendOctets(b, octets), ',')
		b, err := AppendReal(b, x)
		return AppendNull(append(b, ',')), err
	}
}

// TestRoundTrip writes and reads values of every kind, in several chunks.
func TestRoundTrip(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	texts := []string{"", "plain", `a"b\c`, "tab\tline\nnul\x00 \x7f", "\u2028 \U0001F600 \uFFFD", "not UTF-8: \xff\xc0", "null", "]\n["}
	var out bytes.Buffer
	w, err := NewWriter(&out, Header{MadeAt: time.Unix(1, 0).UTC(), Tables: []Table{{Name: "empty", Columns: table.Columns}, table}}, []byte("key"), identity.Recipient())
	require.NoError(t, err)
	_, err = w.Begin()
	require.NoError(t, err)
	_, err = w.Begin()
	require.NoError(t, err)
	const rows = 40_000
	for i := range rows {
		require.NoError(t, w.Row(appendRow(math.MinInt64+int64(i), texts[i%len(texts)], []byte(texts[i%len(texts)]), 0.1*float64(i))))
	}
	require.Error(t, w.Row(appendRow(0, "", nil, math.Inf(1))))
	written, err := w.Finish(map[string]int64{"things": 7})
	require.NoError(t, err)

	r, err := NewReader(bytes.NewReader(out.Bytes()), identity)
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, "key", string(r.MasterKey()))
	_, err = r.NextTable()
	require.NoError(t, err)
	_, err = r.NextChunk()
	require.ErrorIs(t, err, io.EOF)
	got, err := r.NextTable()
	require.NoError(t, err)
	require.Equal(t, table, got)
	row, n, chunks := NewRow(table), 0, 0
	for {
		chunk, err := r.NextChunk()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		for chunks++; len(chunk) > 0; n++ {
			var values []Value
			values, chunk, err = row.Next(chunk)
			require.NoError(t, err)
			text := texts[n%len(texts)]
			x, err := strconv.ParseFloat(string(values[3].Text), 64)
			require.NoError(t, err)
			if string(values[1].Text) != text || string(values[2].Text) != text || !values[4].Null || x != 0.1*float64(n) ||
				string(values[0].Text) != strconv.FormatInt(math.MinInt64+int64(n), 10) {
				t.Fatalf("row %d is %v", n, values)
			}
		}
	}
	require.Equal(t, rows, n)
	require.Greater(t, chunks, 1)
	require.Nil(t, r.Manifest())
	_, err = r.NextTable()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, written, r.Manifest())
	require.EqualValues(t, rows, written.Rows())

	again, err := NewReader(bytes.NewReader(out.Bytes()), identity)
	require.NoError(t, err)
	defer again.Close()
	checked, err := Verify(again, nil)
	require.NoError(t, err)
	assert.Equal(t, written, checked)
}

func TestWriterRefuses(t *testing.T) {
	_, err := NewWriter(io.Discard, Header{}, nil)
	require.ErrorContains(t, err, "somebody to encrypt it for")
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	w, err := NewWriter(io.Discard, Header{Tables: []Table{table}}, nil, identity.Recipient())
	require.NoError(t, err)
	_, err = w.Finish(nil)
	require.ErrorContains(t, err, "0 of 1 tables")
}

// FuzzRow: whatever stands in a chunk, a row is read or refused.
func FuzzRow(f *testing.F) {
	b, _ := appendRow(1, "a\"b", []byte{0, 1}, 1.5)([]byte{'['})
	f.Add(append(b, "]\n"...))
	f.Add([]byte("[1,{\"base64\":\"/w==\"},\"\",1e5,null]\n"))
	f.Add([]byte("[1,\"\\ud800\",\"=\",1,null]\n"))
	f.Fuzz(func(t *testing.T, chunk []byte) {
		row := NewRow(table)
		for len(chunk) > 0 {
			values, rest, err := row.Next(chunk)
			if err != nil {
				return
			}
			require.Less(t, len(rest), len(chunk))
			require.Len(t, values, len(table.Columns))
			chunk = rest
		}
	})
}
