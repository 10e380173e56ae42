package aaa

import (
	"fmt"
	"time"
)

// ImportRow is one user of an import. What is nil is not given: a new user gets
// the default, an existing one keeps what it has.
type ImportRow struct {
	Line       int // in the file, for messages
	Username   string
	Credential *Credential
	Plan       *string // name; empty: no plan
	Status     *UserStatus
	ExpiresAt  *time.Time // zero: never
	// SimultaneousUse is as in User.
	SimultaneousUse *int
	// Groups are names; they apply in this order.
	Groups *[]string

	FullName, Email, Phone, Address, Note *string
}

// ImportOptions says how to import.
type ImportOptions struct {
	Update    bool      // change users that exist; else they are errors
	Skip      bool      // leave users that exist as they are, and go on; not with Update
	DryRun    bool      // check everything, write nothing
	MaxErrors int       // how many lines to report at most; zero: 100
	Progress  func(int) // called now and then with the number of rows done; may be nil
}

// ImportResult counts what an import did, or would do.
type ImportResult struct {
	Created, Updated, Skipped int
}

// LineError is what is wrong with one line of an import.
type LineError struct {
	Line int
	Err  error
}

// Error tells the line and what is wrong with it.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *LineError) Unwrap() error { return e.Err }
