package store

import (
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// A column holds one Go variable and moves it to and from the database: it is
// both a destination for Scan and an argument of a query. The zero value of a
// nullable column is NULL.
//
// Value returns what both engines take in a query: text, int64, []byte, bool,
// nil. appendBinary appends the value as COPY takes it in Postgres.
type column interface {
	sql.Scanner
	driver.Valuer
	appendBinary(b []byte) []byte
}

// cleanText returns s as a database can hold it: Postgres takes neither invalid
// UTF-8 nor NUL in text, and a NAS may send both.
func cleanText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// text is a string; what the database cannot hold is replaced by U+FFFD.
type text struct{ p *string }

func (c text) Value() (driver.Value, error) { return cleanText(*c.p), nil }
func (c text) appendBinary(b []byte) []byte { return appendText(b, cleanText(*c.p)) }
func (c text) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*c.p = v
	case []byte:
		*c.p = string(v)
	case nil:
		*c.p = ""
	default:
		return mismatch(src, "text")
	}
	return nil
}

// scanBinary keeps the string of the row before where it is the same: many are.
func (c text) scanBinary(b []byte) error {
	if string(b) != *c.p {
		*c.p = string(b)
	}
	return nil
}

// octets is a byte string; nil is NULL.
type octets struct{ p *[]byte }

func (c octets) Value() (driver.Value, error) {
	if *c.p == nil {
		return nil, nil
	}
	return *c.p, nil
}
func (c octets) appendBinary(b []byte) []byte {
	if *c.p == nil {
		return appendNull(b)
	}
	return appendText(b, *c.p)
}
func (c octets) Scan(src any) error {
	switch v := src.(type) {
	case []byte:
		*c.p = append([]byte{}, v...) // the driver keeps v
	case nil:
		*c.p = nil
	default:
		return mismatch(src, "octets")
	}
	return nil
}

func (c octets) scanBinary(b []byte) error {
	*c.p = nil
	if b != nil {
		*c.p = append([]byte{}, b...)
	}
	return nil
}

// id is a UUID.
type id struct{ p *uuid.UUID }

func (c id) Value() (driver.Value, error) { return c.p.String(), nil }
func (c id) appendBinary(b []byte) []byte { return appendText(b, c.p[:]) }
func (c id) Scan(src any) error           { return scanUUID(c.p, src) }
func (c id) scanBinary(b []byte) error    { return scanBinaryUUID(c.p, b) }

// nullID is a UUID; the zero UUID is NULL.
type nullID struct{ p *uuid.UUID }

func (c nullID) Value() (driver.Value, error) {
	if *c.p == uuid.Nil {
		return nil, nil
	}
	return c.p.String(), nil
}
func (c nullID) appendBinary(b []byte) []byte {
	if *c.p == uuid.Nil {
		return appendNull(b)
	}
	return appendText(b, c.p[:])
}
func (c nullID) Scan(src any) error        { return scanUUID(c.p, src) }
func (c nullID) scanBinary(b []byte) error { return scanBinaryUUID(c.p, b) }

func scanBinaryUUID(p *uuid.UUID, b []byte) error {
	switch len(b) {
	case len(p):
		*p = uuid.UUID(b)
	case 0:
		*p = uuid.Nil
	default:
		return mismatch(b, "uuid")
	}
	return nil
}

func scanUUID(p *uuid.UUID, src any) error {
	switch v := src.(type) {
	case string:
		u, err := uuid.Parse(v)
		if err != nil {
			return err
		}
		*p = u
	case nil:
		*p = uuid.Nil
	default:
		return mismatch(src, "uuid")
	}
	return nil
}

// whole is an integer. Unsigned values beyond int64 are stored as its maximum:
// a counter is never negative.
type whole[T int | int64 | uint16 | uint32 | uint64] struct{ p *T }

func (c whole[T]) number() int64 {
	if v := *c.p; v < 0 || uint64(v) <= math.MaxInt64 {
		return int64(v)
	}
	return math.MaxInt64
}
func (c whole[T]) Value() (driver.Value, error) { return c.number(), nil }
func (c whole[T]) appendBinary(b []byte) []byte { return appendBigint(b, c.number()) }
func (c whole[T]) Scan(src any) error {
	v, ok := src.(int64)
	if !ok {
		return mismatch(src, "integer")
	}
	if int64(T(v)) != v || (T(v) < 0) != (v < 0) {
		return fmt.Errorf("%d is out of range", v)
	}
	*c.p = T(v)
	return nil
}
func (c whole[T]) scanBinary(b []byte) error {
	switch len(b) {
	case 8:
		return c.Scan(int64(binary.BigEndian.Uint64(b)))
	case 4:
		return c.Scan(int64(int32(binary.BigEndian.Uint32(b))))
	}
	return mismatch(b, "integer")
}

// seconds is a duration in whole seconds.
type seconds struct{ p *time.Duration }

func (c seconds) Value() (driver.Value, error) { return int64(*c.p / time.Second), nil }
func (c seconds) appendBinary(b []byte) []byte { return appendBigint(b, int64(*c.p/time.Second)) }
func (c seconds) Scan(src any) error {
	v, ok := src.(int64)
	if !ok || v > math.MaxInt64/int64(time.Second) {
		return mismatch(src, "seconds")
	}
	*c.p = time.Duration(v) * time.Second
	return nil
}

// optional is a count that may not have been sent: NULL.
type optional struct {
	sent *bool
	p    *uint64
}

func (c optional) Value() (driver.Value, error) {
	if !*c.sent {
		return nil, nil
	}
	return whole[uint64]{c.p}.number(), nil
}
func (c optional) appendBinary(b []byte) []byte {
	if !*c.sent {
		return appendNull(b)
	}
	return appendBigint(b, whole[uint64]{c.p}.number())
}
func (c optional) Scan(src any) error {
	if *c.sent = src != nil; !*c.sent {
		*c.p = 0
		return nil
	}
	return whole[uint64]{c.p}.Scan(src)
}

// flag is a boolean; SQLite holds 0 or 1.
type flag struct{ p *bool }

func (c flag) Value() (driver.Value, error) { return *c.p, nil }
func (c flag) appendBinary(b []byte) []byte { return appendBoolean(b, *c.p) }
func (c flag) Scan(src any) error {
	switch v := src.(type) {
	case bool:
		*c.p = v
	case int64:
		*c.p = v != 0
	default:
		return mismatch(src, "boolean")
	}
	return nil
}

func (c flag) scanBinary(b []byte) error {
	if len(b) != 1 {
		return mismatch(b, "boolean")
	}
	*c.p = b[0] != 0
	return nil
}

// word is a value with a closed list of names, stored by name.
type word[T fmt.Stringer] struct {
	p     *T
	parse func(string) (T, error)
}

func (c word[T]) Value() (driver.Value, error) { return (*c.p).String(), nil }
func (c word[T]) appendBinary(b []byte) []byte { return appendText(b, (*c.p).String()) }
func (c word[T]) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return mismatch(src, "text")
	}
	v, err := c.parse(s)
	if err != nil {
		return err
	}
	*c.p = v
	return nil
}

func mismatch(src any, want string) error {
	return fmt.Errorf("the database holds a %T where %s is expected", src, want)
}
