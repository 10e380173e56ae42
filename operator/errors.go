package operator

import (
	"errors"
	"fmt"
	"time"
)

// What a caller may have to tell apart.
var (
	// ErrNotFound means that there is no such operator, role or token.
	ErrNotFound = errors.New("not found")
	// ErrExists means that the name, address or subject is taken.
	ErrExists = errors.New("exists already")
	// ErrInUse means that operators have the role.
	ErrInUse = errors.New("is in use")
	// ErrUnknownRole means that an operator was given a role that does not exist.
	ErrUnknownRole = errors.New("there is no such role")
	// ErrBuiltIn means that a built-in role was to be changed.
	ErrBuiltIn = errors.New("a built-in role cannot be changed")
	// ErrLastOwner means that nobody would be left who may do everything.
	ErrLastOwner = errors.New("the last active owner cannot be disabled, deleted or demoted")
	// ErrBadCredentials means that a name, password or code is wrong. It is the same
	// for an account that does not exist, that is disabled, or that has no password.
	ErrBadCredentials = errors.New("wrong name, password or code")
	// ErrUnauthenticated means that a token is not valid, for whatever reason.
	ErrUnauthenticated = errors.New("the token is not valid")
	// ErrBusy means that too many passwords are being checked: try again.
	ErrBusy = errors.New("too many sign-ins at once, try again")
	// ErrUnavailable means that the store does not answer, so that nobody can be
	// let in.
	ErrUnavailable = errors.New("the store of operators does not answer")
	// ErrMFAEnabled and ErrMFADisabled mean that a second factor is, or is not,
	// there already.
	ErrMFAEnabled  = errors.New("a second factor is enabled already")
	ErrMFADisabled = errors.New("there is no second factor to be confirmed or disabled")
	// ErrTooMany means that a limit on how many there may be is reached.
	ErrTooMany = errors.New("there are too many already")
)

// ForbiddenError means that the one who acts lacks permissions.
type ForbiddenError struct {
	Missing PermissionSet
	// Reason says what for; empty: for the operation itself.
	Reason string
}

func (e *ForbiddenError) Error() string {
	if e.Reason != "" && e.Missing == 0 {
		return "not allowed: " + e.Reason
	}
	if e.Reason != "" {
		return fmt.Sprintf("not allowed: %s (missing %s)", e.Reason, e.Missing)
	}
	return fmt.Sprintf("not allowed: missing %s", e.Missing)
}

// FieldError says what is wrong with one field of what somebody has entered.
type FieldError struct {
	Field   string // as in the tables and the API
	Message string // what follows the field's name in a sentence, without secrets: "is empty"
}

func (e *FieldError) Error() string { return e.Field + " " + e.Message }

// ThrottledError means that there were too many failures for this account or from
// this address. What was sent was not looked at.
type ThrottledError struct{ RetryAfter time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many failures, try again in %v", max(e.RetryAfter.Round(time.Second), time.Second))
}
