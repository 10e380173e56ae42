package archive

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Value is a value of a row: of Text and Octets the octets, of numbers their digits.
type Value struct {
	Null bool
	// Text holds the value; it is valid until the next row is read.
	Text []byte
}

// AppendNull appends NULL.
func AppendNull(b []byte) []byte { return append(b, "null"...) }

// AppendInteger appends an integer.
func AppendInteger(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// AppendReal appends a real number; JSON has no infinities.
func AppendReal(b []byte, x float64) ([]byte, error) {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return b, fmt.Errorf("%v cannot be written", x)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64), nil
}

// AppendOctets appends octets.
func AppendOctets(b, octets []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), octets), '"')
}

// AppendText appends a text.
func AppendText[T string | []byte](b []byte, s T) []byte {
	if !utf8.ValidString(string(s)) {
		return append(AppendOctets(append(b, `{"base64":`...), []byte(s)), '}')
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ':
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

var errRow = errors.New("a row cannot be read")

// Row reads rows of one table. Its values are valid until the next row.
type Row struct {
	columns []Column
	values  []Value
	buffer  [][]byte // of values that are not as they stand in the chunk
}

// NewRow returns a Row for a table.
func NewRow(t Table) *Row {
	return &Row{columns: t.Columns, values: make([]Value, len(t.Columns)), buffer: make([][]byte, len(t.Columns))}
}

// Next reads the next row of a chunk, of which it returns the rest.
func (r *Row) Next(chunk []byte) (values []Value, rest []byte, err error) {
	b := chunk
	if len(b) == 0 || b[0] != '[' {
		return nil, nil, errRow
	}
	b = b[1:]
	for i := range r.columns {
		if i > 0 {
			if len(b) == 0 || b[0] != ',' {
				return nil, nil, errRow
			}
			b = b[1:]
		}
		if b, err = r.value(i, b); err != nil {
			return nil, nil, fmt.Errorf("column %s: %w", r.columns[i].Name, err)
		}
	}
	if len(b) < 2 || b[0] != ']' || b[1] != '\n' {
		return nil, nil, errRow
	}
	return r.values, b[2:], nil
}

// value reads the value of a column and returns what follows it.
func (r *Row) value(i int, b []byte) (rest []byte, err error) {
	v := &r.values[i]
	*v = Value{}
	if len(b) == 0 {
		return nil, errRow
	}
	if b[0] == 'n' {
		if len(b) < 4 || string(b[:4]) != "null" {
			return nil, errRow
		}
		v.Null = true
		return b[4:], nil
	}
	switch r.columns[i].Kind {
	case Integer, Real:
		n := 0
		for n < len(b) && b[n] != ',' && b[n] != ']' {
			n++
		}
		v.Text = b[:n]
		if r.columns[i].Kind == Integer {
			_, err = strconv.ParseInt(string(v.Text), 10, 64)
		} else {
			_, err = strconv.ParseFloat(string(v.Text), 64)
		}
		return b[n:], err
	case Octets:
		return r.octets(i, b)
	case Text:
		const wrapped = `{"base64":`
		if len(b) > len(wrapped) && string(b[:len(wrapped)]) == wrapped {
			rest, err := r.octets(i, b[len(wrapped):])
			if err != nil || len(rest) == 0 || rest[0] != '}' {
				return nil, errors.Join(err, errRow)
			}
			return rest[1:], nil
		}
		return r.text(i, b)
	}
	return nil, fmt.Errorf("unknown kind %q", r.columns[i].Kind)
}

// quoted splits a JSON string off, without its quotes.
func quoted(b []byte) (inner, rest []byte, escaped bool, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, nil, false, errRow
	}
	for n := 1; n < len(b); n++ {
		switch b[n] {
		case '\\':
			escaped = true
			n++
		case '"':
			return b[1:n], b[n+1:], escaped, nil
		case '\n':
			return nil, nil, false, errRow
		}
	}
	return nil, nil, false, errRow
}

func (r *Row) octets(i int, b []byte) (rest []byte, err error) {
	inner, rest, escaped, err := quoted(b)
	if err != nil || escaped {
		return nil, errRow
	}
	r.buffer[i], err = base64.StdEncoding.AppendDecode(r.buffer[i][:0], inner)
	r.values[i].Text = r.buffer[i]
	return rest, err
}

func (r *Row) text(i int, b []byte) (rest []byte, err error) {
	inner, rest, escaped, err := quoted(b)
	if err != nil {
		return nil, err
	}
	r.values[i].Text = inner
	if escaped {
		var s string
		if err := json.Unmarshal(b[:len(inner)+2], &s); err != nil {
			return nil, errRow
		}
		r.buffer[i] = append(r.buffer[i][:0], s...)
		r.values[i].Text = r.buffer[i]
	}
	if !utf8.Valid(r.values[i].Text) {
		return nil, errRow
	}
	return rest, nil
}
