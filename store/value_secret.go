package store

import (
	"database/sql/driver"
	"fmt"

	"github.com/google/uuid"

	"radiusd/store/seal"
)

// secret is a byte string that is sealed at rest, bound to its column and row;
// nil is NULL. The row's id must stand before it in the list of fields.
type secret struct {
	p      *[]byte
	owner  *uuid.UUID
	column string // table.column
	sealer *seal.Sealer
	// damaged takes the error of a value that does not open and leaves it nil;
	// without it, Scan fails.
	damaged func(error)
}

func (c secret) place() string { return c.column + "." + c.owner.String() }

func (c secret) Value() (driver.Value, error) {
	if *c.p == nil {
		return nil, nil
	}
	return c.sealer.Seal(*c.p, c.place()), nil
}
func (c secret) appendBinary(b []byte) []byte {
	if *c.p == nil {
		return appendNull(b)
	}
	return appendText(b, c.sealer.Seal(*c.p, c.place()))
}
func (c secret) Scan(src any) error {
	*c.p = nil
	if src == nil {
		return nil
	}
	sealed, ok := src.([]byte)
	if !ok {
		return mismatch(src, "sealed octets")
	}
	plain, err := c.sealer.Open(sealed, c.place())
	if err != nil {
		err = &damagedError{c.column, fmt.Errorf("%s of row %s: %w", c.column, c.owner, err)}
		if c.damaged == nil {
			return err
		}
		c.damaged(err)
		return nil
	}
	if plain == nil {
		plain = []byte{}
	}
	*c.p = plain
	return nil
}

// damagedError says that a secret cannot be read.
type damagedError struct {
	column string
	err    error
}

func (e *damagedError) Error() string { return e.err.Error() }
func (e *damagedError) Unwrap() error { return e.err }
