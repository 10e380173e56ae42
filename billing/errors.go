package billing

import (
	"errors"
	"fmt"
)

// FieldError says what is wrong with one field of what somebody has entered. Several of
// them come joined.
type FieldError struct {
	Field   string // as in the tables and the API
	Message string // a sentence for the person who entered it
}

// Error returns the message.
func (e *FieldError) Error() string { return e.Message }

// FieldErrors returns the field errors that err joins or wraps.
func FieldErrors(err error) (list []*FieldError) {
	switch e := err.(type) {
	case *FieldError:
		return []*FieldError{e}
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			list = append(list, FieldErrors(err)...)
		}
	case interface{ Unwrap() error }:
		return FieldErrors(e.Unwrap())
	}
	return list
}

// RuleError refuses what the present state of a thing does not allow: to void an invoice
// that was paid, to change a subscription that has ended.
type RuleError struct {
	Code    string // one of the codes below; stable, for programs
	Message string // for people: names and numbers, no ids
}

// Error returns the message.
func (e *RuleError) Error() string { return e.Message }

// The codes of rule errors.
const (
	CodeSubscriptionState = "subscription_state"
	CodeNoChange          = "no_change"         // it is so already
	CodeCurrency          = "currency_mismatch" // of a rate and a subscription
	CodeTaxRate           = "tax_rate_missing"  // of a tax class, on a day
	CodeInvoiceState      = "invoice_state"
	CodeInvoicePaid       = "invoice_paid"      // something was allocated to it
	CodeNothingToBill     = "nothing_to_bill"   // no charges wait that add up to something
	CodeNothingToCredit   = "nothing_to_credit" // other credit notes gave all back
	CodeOrderState        = "order_state"
	CodePaymentState      = "payment_state"
	CodeChargeState       = "charge_state"
	CodeNothingOwed       = "nothing_owed" // there is nothing to pay by card
	CodeCardAmount        = "card_amount"  // cannot be paid by card
)

// Refuse returns a RuleError.
func Refuse(code, format string, args ...any) error {
	return &RuleError{code, fmt.Sprintf(format, args...)}
}

// IsRefusal reports whether err tells of what somebody has asked for, in words for them,
// rather than of something that went wrong.
func IsRefusal(err error) bool {
	var rule *RuleError
	return errors.As(err, &rule) || len(FieldErrors(err)) > 0
}
