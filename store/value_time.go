package store

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"time"

	"radiusd/aaa"
)

// timeLayout is how SQLite holds times: UTC, ISO 8601, always six digits, so
// that text sorts as time does. Postgres reads it as well.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// dayLayout is how a day is held: date in Postgres, text in SQLite.
const dayLayout = time.DateOnly

// moment is a time in microseconds; the zero time is NULL.
type moment struct{ p *time.Time }

func (c moment) Value() (driver.Value, error) {
	if c.p.IsZero() {
		return nil, nil
	}
	return c.p.UTC().Format(timeLayout), nil
}
func (c moment) appendBinary(b []byte) []byte {
	if c.p.IsZero() {
		return appendNull(b)
	}
	return appendTimestamp(b, *c.p)
}
func (c moment) Scan(src any) error {
	switch v := src.(type) {
	case time.Time:
		*c.p = v.UTC()
	case string:
		t, err := parseTime(v)
		if err != nil {
			return err
		}
		*c.p = t
	case nil:
		*c.p = time.Time{}
	default:
		return mismatch(src, "time")
	}
	return nil
}

func (c moment) scanBinary(b []byte) error {
	switch len(b) {
	case 8:
		*c.p = time.UnixMicro(int64(binary.BigEndian.Uint64(b)) + postgresEpoch.UnixMicro()).UTC()
	case 0:
		*c.p = time.Time{}
	default:
		return mismatch(b, "time")
	}
	return nil
}

// from returns a time as the lower bound of a query, also if it is zero.
func from(t time.Time) string {
	if t.Year() < 1 {
		t = time.Time{}
	}
	return t.UTC().Format(timeLayout)
}

// parseTime reads a time as SQLite holds it, and as somebody may have entered it
// by hand.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{timeLayout, time.RFC3339Nano, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time: want %s", s, timeLayout)
}

// day is a calendar day in the configured time zone; the zero time is NULL.
type day struct {
	p    *time.Time
	zone *time.Location
}

func (c day) Value() (driver.Value, error) {
	if c.p.IsZero() {
		return nil, nil
	}
	return c.p.In(c.zone).Format(dayLayout), nil
}
func (c day) appendBinary(b []byte) []byte {
	if c.p.IsZero() {
		return appendNull(b)
	}
	year, month, d := c.p.In(c.zone).Date()
	return appendDate(b, year, month, d)
}
func (c day) Scan(src any) error {
	switch v := src.(type) {
	case time.Time:
		year, month, d := v.Date()
		*c.p = aaa.StartOfDate(year, month, d, c.zone)
	case string:
		t, err := time.Parse(dayLayout, v)
		if err != nil {
			return err
		}
		*c.p = aaa.StartOfDate(t.Year(), t.Month(), t.Day(), c.zone)
	case nil:
		*c.p = time.Time{}
	default:
		return mismatch(src, "day")
	}
	return nil
}
