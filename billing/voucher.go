package billing

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// MaxVoucherBatch is how many vouchers a batch has at most.
const MaxVoucherBatch = 10_000

// maxValidity is how long a voucher may be valid at most: ten years.
const maxValidity = 3660 * 24 * time.Hour

// VoucherBatch is vouchers that were made together, and are alike but for their codes.
type VoucherBatch struct {
	ID     uuid.UUID // UUIDv7
	Number int       // 1, 2, …: what the serials of its vouchers begin with
	Name   string    // unique
	Kind   VoucherKind
	Count  int // how many were made
	// PlanID is the plan that a voucher is good for, for as long as Validity from its
	// first use on. Of VoucherPlan.
	PlanID   uuid.UUID
	Plan     string // the plan's name; not written
	Validity time.Duration
	// Currency and Amount are what a voucher is worth. Of VoucherValue.
	Currency Currency
	Amount   Amount
	// RedeemBefore is when vouchers that were not used expire; zero: never.
	RedeemBefore time.Time
	CodeLength   int // in characters; zero: DefaultCodeLength
	Note         string
	CreatedBy    string // the operator, for people
	CreatedAt    time.Time
	UpdatedAt    time.Time
	// Counts says how many vouchers are in which state; not written.
	Counts VoucherCounts
}

// VoucherCounts are how many vouchers of a batch are in which state.
type VoucherCounts struct{ New, Used, Expired, Revoked int }

// Voucher is one voucher. Its code is not part of it: of that, only a keyed hash is kept.
type Voucher struct {
	ID      uuid.UUID // UUIDv7
	BatchID uuid.UUID
	Batch   string // the batch's name; not written
	Kind    VoucherKind
	Serial  string // names it to people; no secret. A plan voucher's user is called so.
	State   VoucherState
	// UserID is the user that a plan voucher is, or whom it was redeemed for; zero: a value
	// voucher that was not redeemed.
	UserID   uuid.UUID
	Username string // as that user is called now; not written
	// RedeemedAt is the first login, or when it was redeemed for a user; zero: neither.
	RedeemedAt time.Time
	RedeemedBy string // the operator or token; empty: a login
	// ExpiresAt is when it expires: before its use the batch's RedeemBefore, of a plan
	// voucher that logs in the end of its validity; zero: never.
	ExpiresAt time.Time
	PaymentID uuid.UUID // of a value voucher that was redeemed
	CreatedAt time.Time
	UpdatedAt time.Time
}

// VoucherKind says what a voucher is good for.
type VoucherKind string

// The kinds of vouchers.
const (
	VoucherPlan  VoucherKind = "plan"  // a plan for a time from the first use on
	VoucherValue VoucherKind = "value" // money, as a payment
)

// VoucherState says what has become of a voucher.
type VoucherState string

// The states of vouchers. A voucher is expired by its ExpiresAt; that is not written.
const (
	VoucherNew     VoucherState = "new"
	VoucherUsed    VoucherState = "used"
	VoucherExpired VoucherState = "expired" // not used in time, or its validity is over
	VoucherRevoked VoucherState = "revoked"
)

// StateAt is the voucher's state at a time.
func (v *Voucher) StateAt(now time.Time) VoucherState {
	if v.State != VoucherRevoked && !v.ExpiresAt.IsZero() && !v.ExpiresAt.After(now) {
		return VoucherExpired
	}
	return v.State
}

// VoucherError says why a voucher cannot be redeemed, or not for that user.
type VoucherError struct {
	State   VoucherState // VoucherNew: it is the user who keeps it from being redeemed
	Message string       // a sentence for who redeems it
}

// Error returns the message.
func (e *VoucherError) Error() string { return e.Message }

// ErrUnknownVoucher means that no voucher has the code.
var ErrUnknownVoucher = errors.New("there is no voucher with this code")

// Redeemable fails with a *VoucherError unless the voucher may be redeemed.
func (v *Voucher) Redeemable(now time.Time) error {
	switch state := v.StateAt(now); state {
	case VoucherNew:
		return nil
	case VoucherExpired:
		return &VoucherError{state, "this voucher expired on " + v.ExpiresAt.UTC().Format(time.RFC3339)}
	case VoucherRevoked:
		return &VoucherError{state, "this voucher was revoked"}
	default:
		return &VoucherError{state, "this voucher was used on " + v.RedeemedAt.UTC().Format(time.RFC3339)}
	}
}

// PlanHolder is what of a user decides whether a plan voucher can be redeemed for them.
type PlanHolder struct {
	PlanID     uuid.UUID // zero: none
	ExpiresAt  time.Time // zero: never
	Subscribed bool      // to something that has not ended
}

// Extend returns until when a user has the plan once a voucher for it is redeemed. Time
// that a user has is never lost: a voucher for the same plan is added to it; one for
// another plan is refused until that time is over; and so is one for who has a
// subscription, or a plan that does not expire.
func (b *VoucherBatch) Extend(u PlanHolder, now time.Time) (until time.Time, err error) {
	refuse := func(message string) (time.Time, error) {
		return time.Time{}, &VoucherError{VoucherNew, message}
	}
	running := u.PlanID != uuid.Nil && (u.ExpiresAt.IsZero() || u.ExpiresAt.After(now))
	switch {
	case u.Subscribed:
		return refuse("the user has a subscription: end it first, or redeem a voucher of value")
	case running && u.ExpiresAt.IsZero():
		return refuse("the user's plan does not expire: there is nothing to extend")
	case running && u.PlanID != b.PlanID:
		return refuse("the user has another plan until " + u.ExpiresAt.UTC().Format(time.RFC3339))
	case running:
		now = u.ExpiresAt
	}
	return now.Add(b.Validity).UTC(), nil
}

// Validate returns all that is wrong with a batch that is to be made, as joined
// *FieldErrors.
func (b *VoucherBatch) Validate(now time.Time) error {
	var errs []error
	add := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if b.Name == "" || len(b.Name) > 128 || strings.TrimSpace(b.Name) != b.Name {
		add("name", "a batch has a name of 1 to 128 octets, without spaces around it")
	}
	if b.Count < 1 || b.Count > MaxVoucherBatch {
		add("count", "a batch has 1 to %d vouchers", MaxVoucherBatch)
	}
	if b.CodeLength != 0 && (b.CodeLength < MinCodeLength || b.CodeLength > MaxCodeLength) {
		add("code_length", "a code has %d to %d characters", MinCodeLength, MaxCodeLength)
	}
	if len(b.Note) > 1000 {
		add("note", "a note has at most 1000 octets")
	}
	if !b.RedeemBefore.IsZero() && !b.RedeemBefore.After(now) {
		add("redeem_before", "the time before which vouchers are to be redeemed is past")
	}
	switch b.Kind {
	case VoucherPlan:
		if b.PlanID == uuid.Nil {
			add("plan_id", "a voucher for a plan needs the plan")
		}
		if b.Validity < time.Second || b.Validity > maxValidity || b.Validity%time.Second != 0 {
			add("validity", "a voucher for a plan is valid for a second to ten years, in whole seconds, from its first use on")
		}
		if b.Currency != "" || b.Amount != 0 {
			add("amount", "a voucher is for a plan or of value, not both")
		}
	case VoucherValue:
		if _, err := ParseCurrency(string(b.Currency)); err != nil {
			add("currency", "%v", err)
		} else if b.Amount <= 0 || b.Amount > maxPrice {
			add("amount", "a voucher is worth more than nothing, and at most %s", b.Currency.Format(maxPrice))
		}
		if b.PlanID != uuid.Nil || b.Validity != 0 {
			add("plan_id", "a voucher is for a plan or of value, not both")
		}
	default:
		add("kind", "%q is no kind of voucher: want plan or value", b.Kind)
	}
	return errors.Join(errs...)
}

// Serial is the serial of the n-th voucher of the batch, from 1 on.
func (b *VoucherBatch) Serial(n int) string { return fmt.Sprintf("v%d-%05d", b.Number, n) }

// VoucherFilter selects vouchers.
type VoucherFilter struct {
	BatchID uuid.UUID
	State   VoucherState // as of Now
	UserID  uuid.UUID
	Serial  string // what the serial begins with
	Now     time.Time
}

// VoucherSorts are the sorts of vouchers.
func VoucherSorts() []string { return []string{"serial", "created_at"} }

// VoucherBatchFilter selects batches of vouchers.
type VoucherBatchFilter struct {
	Query string // what the name begins with
	Kind  VoucherKind
}

// VoucherBatchSorts are the sorts of batches of vouchers.
func VoucherBatchSorts() []string { return []string{"-created_at", "name"} }

// Redemption is what came of redeeming a voucher for a user.
type Redemption struct {
	Voucher   Voucher
	Batch     VoucherBatch
	ExpiresAt time.Time // a plan voucher: until when the user has the plan
	OrderID   uuid.UUID // a value voucher: the order that the payment completed
}
