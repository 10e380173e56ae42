package api

import (
	"github.com/oapi-codegen/nullable"

	"radiusd/aaa"
)

// pageLimit is how many items a page has if the client does not say.
const pageLimit = 50

// page turns the parameters of a list into a page of the store.
func page[S ~string](cursor string, limit int, sort S) aaa.Page {
	if limit == 0 {
		limit = pageLimit
	}
	return aaa.Page{Cursor: cursor, Limit: limit, Sort: string(sort)}
}

// nextCursor writes the cursor of the next page; null: this is the last one.
func nextCursor(next string) nullable.Nullable[string] { return orNull(next, next != "") }

// orNull returns v, or null if it is not there.
func orNull[T any](v T, there bool) nullable.Nullable[T] {
	if !there {
		return nullable.NewNullNullable[T]()
	}
	return nullable.NewNullableWithValue(v)
}

// orZero returns the value of v, or the zero value if it is null or was not sent.
func orZero[T any](v nullable.Nullable[T]) T {
	value, err := v.Get()
	if err != nil {
		var zero T
		return zero
	}
	return value
}
