package api

import (
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/oapi-codegen/nullable"

	"radiusd/aaa"
)

// What representations of several resources have in common.

// location is the path of a thing.
func location(resource string, id uuid.UUID) string {
	return BasePath + "/" + resource + "/" + id.String()
}

// total turns a count of the store into that of a list.
func total(c aaa.Count, err error) (*Total, error) {
	if err != nil {
		return nil, err
	}
	return &Total{Count: int64(c.N), AtLeast: c.AtLeast}, nil
}

// idOrNull writes an id; null: none.
func idOrNull(id uuid.UUID) nullable.Nullable[uuid.UUID] { return orNull(id, id != uuid.Nil) }

// timeOrNull writes a time; null: none.
func timeOrNull(t time.Time) nullable.Nullable[time.Time] { return orNull(t.UTC(), !t.IsZero()) }

// textOrNull writes what has a text form, as addresses and prefixes; null: it is not
// valid.
func textOrNull(v interface {
	IsValid() bool
	String() string
}) nullable.Nullable[string] {
	if !v.IsValid() {
		return nullable.NewNullNullable[string]()
	}
	return nullable.NewNullableWithValue(v.String())
}

// seconds and inSeconds turn spans of the API into those of the domain and back.
func seconds(n int64) time.Duration   { return time.Duration(n) * time.Second }
func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// count writes a counter, which JSON's readers take for signed.
func count(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
