// Package checkout takes payments by card through a provider's hosted page: the
// customer pays at the provider, which tells of it by a signed webhook. No card data
// ever comes near this program.
//
// [Provider] is what a provider can do, [Stripe] the one there is. Events come late,
// twice and in any order; what keeps that from being booked wrongly is that each names
// the payment or refund it is about ([Event.PaymentID], [Event.RefundID]), which
// billing.Payment holds as its unique reference.
package checkout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"radiusd/billing"
)

// Provider takes payments. Its methods may be called by several goroutines at once.
type Provider interface {
	// Name is what billing.Payment has as Provider: stripe.
	Name() string
	// CreateCheckout makes a page on which a customer pays. With the same idempotency
	// key and the same details it returns the same page. It tries again for a while
	// where that may help; errors are *Error where the provider answered.
	CreateCheckout(ctx context.Context, c Checkout) (Session, error)
	// VerifyWebhook checks who has sent a webhook, and when, and reads it. body is the
	// request's body as it came. It fails with ErrSignature for what is not from the
	// provider or too old.
	VerifyWebhook(header http.Header, body []byte, now time.Time) (Event, error)
	// Refund gives a payment back, whole or in part.
	Refund(ctx context.Context, r Refund) (Refunded, error)
}

// MaxWebhookBytes is the longest body of a webhook that is read.
const MaxWebhookBytes = 1 << 20

// Checkout is a payment that is asked for.
type Checkout struct {
	// Reference is ours, such as the id of an order or an invoice; events bring it
	// back. At most 200 letters, digits, - and _.
	Reference   string
	Description string // as the customer sees it
	Amount      billing.Amount
	Currency    billing.Currency
	// SuccessURL and CancelURL are where the customer goes afterwards. Coming to the
	// first proves nothing: that money was paid, an event tells.
	SuccessURL, CancelURL string
	Email                 string // of the customer, if known
	Language              string // of the page, as de; empty: the browser's
	// ExpiresAt ends the page, 30 minutes to 24 hours from now; zero: the longest.
	ExpiresAt time.Time
	// IdempotencyKey is of this request, made from what it is for; required.
	IdempotencyKey string
}

// Session is a page on which a customer pays.
type Session struct {
	ID        string
	URL       string
	ExpiresAt time.Time
}

// Refund is money to be given back.
type Refund struct {
	PaymentID      string // of the event that told of the payment
	Reference      string // ours, the id of the payment; events about the refund bring it back
	Amount         billing.Amount
	Currency       billing.Currency
	IdempotencyKey string
}

// Refunded is where a refund stands.
type Refunded struct {
	ID string
	// Done means that the money has gone; else an event will tell.
	Done bool
}

// Kind says what an event tells of.
type Kind string

// The kinds of events.
const (
	Paid         Kind = "paid"
	Pending      Kind = "pending" // the customer has done their part, the money is to come
	Failed       Kind = "failed"  // it did not come
	Expired      Kind = "expired" // the customer has not paid in time
	RefundDone   Kind = "refunded"
	RefundFailed Kind = "refund_failed"
	Disputed     Kind = "disputed"     // the customer's bank takes the money back, for now
	DisputeWon   Kind = "dispute_won"  // it has come back
	DisputeLost  Kind = "dispute_lost" // it has not
	// Ignored is an event that is of no concern here. It is to be answered like others.
	Ignored Kind = "ignored"
)

// Event is what a provider tells of by a webhook.
type Event struct {
	ID   string // of the event: one that is sent again has the same
	Type string // the provider's own word for it
	Kind Kind
	At   time.Time
	// CheckoutID is of the Session; only of events about one.
	CheckoutID string
	// PaymentID names the payment for good; empty before there is one.
	PaymentID string
	// RefundID and DisputeID name the refund or dispute that the event is about.
	RefundID, DisputeID string
	// Reference is ours: of the page, or of the payment that a refund is of; empty if the
	// event does not have it: go by PaymentID then.
	Reference string
	// Amount and Currency are of the payment, the refund or the dispute.
	Amount   billing.Amount
	Currency billing.Currency
}

// ErrSignature means that a webhook is not from the provider, or was held back for too
// long. It is to be answered with 400, and nothing in it believed.
var ErrSignature = errors.New("the webhook is not signed by the provider")

// ErrProvider means that the provider did not make a page, or could not be asked.
var ErrProvider = errors.New("the payment provider has made no page")

// ErrMismatch means that an event tells of another payment than was asked for.
var ErrMismatch = errors.New("the payment is not what was asked for")

// Settles reports with ErrMismatch if a payment is not of the amount that was asked
// for. Such money is to be booked as it came, and the order not be completed.
func (e *Event) Settles(reference string, amount billing.Amount, currency billing.Currency) error {
	switch {
	case e.Kind != Paid:
		return fmt.Errorf("%w: the event is %q", ErrMismatch, e.Kind)
	case e.Reference != reference:
		return fmt.Errorf("%w: it is for %q, want %q", ErrMismatch, e.Reference, reference)
	case e.Amount != amount || e.Currency != currency:
		return fmt.Errorf("%w: %s %s came, want %s %s", ErrMismatch, e.Currency.Format(e.Amount), e.Currency, currency.Format(amount), currency)
	}
	return nil
}

// Error is a refusal by the provider.
type Error struct {
	Status    int    // of HTTP
	Type      string // the provider's words
	Code      string
	Param     string
	RequestID string // for its support
	// Temporary means that the same may work later, with the same idempotency key.
	Temporary bool
}

func (e *Error) Error() string {
	s := fmt.Sprintf("the payment provider answered %d", e.Status)
	for _, part := range []struct{ name, text string }{{"type", e.Type}, {"code", e.Code}, {"parameter", e.Param}, {"request", e.RequestID}} {
		if part.text != "" {
			s += fmt.Sprintf(", %s %s", part.name, part.text)
		}
	}
	return s
}
