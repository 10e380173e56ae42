package aaa

import (
	"time"

	"github.com/google/uuid"
)

// VoucherLogin is what a user who is a voucher logs in by instead of a credential.
type VoucherLogin struct {
	// CodeHash stands for the voucher's code; see DirectoryOptions.VoucherHash.
	CodeHash [32]byte
	// ValidFor is how long the user is valid from the first login on, which was not yet:
	// until then, ExpiresAt is when that has to be. Zero: it was, and ExpiresAt counts.
	ValidFor time.Duration
}

// FirstUse is the first login of a user who is a voucher.
type FirstUse struct {
	UserID uuid.UUID
	At     time.Time
}
