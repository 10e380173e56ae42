package store

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"time"

	"radiusd/billing"
)

// civil is a civil day; no day is NULL.
type civil struct{ p *billing.Date }

func (c civil) Value() (driver.Value, error) {
	if c.p.IsZero() {
		return nil, nil
	}
	return c.p.String(), nil
}
func (c civil) appendBinary(b []byte) []byte {
	if c.p.IsZero() {
		return appendNull(b)
	}
	return appendDate(b, c.p.Year, c.p.Month, c.p.Day)
}
func (c civil) Scan(src any) (err error) {
	switch v := src.(type) {
	case time.Time:
		*c.p = billing.DateOf(v, time.UTC)
	case string:
		*c.p, err = billing.ParseDate(v)
	case nil:
		*c.p = billing.Date{}
	default:
		err = mismatch(src, "day")
	}
	return err
}

// decimal is an exact number, held as text.
type decimal struct{ p *billing.Decimal }

func (c decimal) Value() (driver.Value, error) { return c.p.String(), nil }
func (c decimal) appendBinary(b []byte) []byte { return appendText(b, c.p.String()) }
func (c decimal) Scan(src any) (err error) {
	s, ok := src.(string)
	if !ok {
		return mismatch(src, "text")
	}
	*c.p, err = billing.ParseDecimal(s)
	return err
}

// structured is a value that is held as JSON, as text. It must have a JSON form.
type structured[T any] struct{ p *T }

func (c structured[T]) encoded() []byte {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	if err := out.Encode(c.p); err != nil {
		panic("store: " + err.Error()) // only types of which every value has one are held so
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
func (c structured[T]) Value() (driver.Value, error) { return cleanText(string(c.encoded())), nil }
func (c structured[T]) appendBinary(b []byte) []byte {
	return appendText(b, cleanText(string(c.encoded())))
}
func (c structured[T]) Scan(src any) error {
	s, ok := src.(string)
	if !ok {
		return mismatch(src, "text")
	}
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return err
	}
	*c.p = v
	return nil
}

// listOf is a list that is held as JSON, as text: none is [].
type listOf[T any] struct{ p *[]T }

func (c listOf[T]) list() structured[[]T] {
	list := *c.p
	if list == nil {
		list = []T{}
	}
	return structured[[]T]{&list}
}
func (c listOf[T]) Value() (driver.Value, error) { return c.list().Value() }
func (c listOf[T]) appendBinary(b []byte) []byte { return c.list().appendBinary(b) }
func (c listOf[T]) Scan(src any) error {
	if err := structured[[]T](c).Scan(src); err != nil {
		return err
	}
	if len(*c.p) == 0 {
		*c.p = nil
	}
	return nil
}

// nullText is a text of which the empty one is NULL.
type nullText struct{ p *string }

func (c nullText) Value() (driver.Value, error) {
	if *c.p == "" {
		return nil, nil
	}
	return text(c).Value()
}
func (c nullText) appendBinary(b []byte) []byte {
	if *c.p == "" {
		return appendNull(b)
	}
	return text(c).appendBinary(b)
}
func (c nullText) Scan(src any) error { return text(c).Scan(src) }

// money is an amount in minor units.
func money(p *billing.Amount) column { return whole[int64]{(*int64)(p)} }

// term is a text of a type of its own, as a state or a currency.
func term[T ~string](p *T) column { return ownText[T]{p} }

type ownText[T ~string] struct{ p *T }

func (c ownText[T]) Value() (driver.Value, error) { return cleanText(string(*c.p)), nil }
func (c ownText[T]) appendBinary(b []byte) []byte { return appendText(b, cleanText(string(*c.p))) }
func (c ownText[T]) Scan(src any) error {
	s, ok := src.(string)
	if !ok && src != nil {
		return mismatch(src, "text")
	}
	*c.p = T(s)
	return nil
}

// usernameOf is the SQL for the name that the user of a row has now; empty: it has gone.
func usernameOf(table string) string {
	return "coalesce((SELECT username FROM users WHERE users.id = " + table + ".user_id), '')"
}

// sequence is a number that counts from 1; zero is NULL.
type sequence struct{ p *uint64 }

func (c sequence) sent() optional {
	sent := *c.p > 0
	return optional{&sent, c.p}
}
func (c sequence) Value() (driver.Value, error) { return c.sent().Value() }
func (c sequence) appendBinary(b []byte) []byte { return c.sent().appendBinary(b) }
func (c sequence) Scan(src any) error           { return c.sent().Scan(src) }
