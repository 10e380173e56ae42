package aaa

import (
	"errors"
	"fmt"
)

// What a caller of a store may have to tell apart. The errors that wrap these name
// the thing.
var (
	// ErrNotFound means that there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrExists means that the name or address is taken.
	ErrExists = errors.New("exists already")
	// ErrInUse means that others refer to the thing.
	ErrInUse = errors.New("is in use")
	// ErrDamaged means that a stored secret cannot be read, and that what was wanted would
	// have left it so.
	ErrDamaged = errors.New("the stored secret cannot be read: set it anew")
	// ErrUnreachable means that the database's server does not answer; later it may.
	ErrUnreachable = errors.New("the server cannot be reached")
)

// FieldError says what is wrong with one field of what somebody has entered. Several
// of them come joined: see [FieldErrors].
type FieldError struct {
	// Field is the name as in the tables and the API: "username", "login_hours"; with
	// the place in a list, from zero: "items[2]".
	Field string
	// Message is a sentence for the person who entered it, which tells what it is
	// about by itself. It has no secret.
	Message string
}

// Error returns the message.
func (e *FieldError) Error() string { return e.Message }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// FieldErrors returns the field errors among those that err joins or wraps, in their
// order; nothing if there are none.
func FieldErrors(err error) []*FieldError {
	switch e := err.(type) {
	case nil:
		return nil
	case *FieldError:
		return []*FieldError{e}
	case interface{ Unwrap() []error }:
		var list []*FieldError
		for _, err := range e.Unwrap() {
			list = append(list, FieldErrors(err)...)
		}
		return list
	}
	return FieldErrors(errors.Unwrap(err))
}
