package checkout

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// Request is a payment that was asked for, as it is kept. Its ID is the reference at the
// provider and the idempotency key of the page.
type Request struct {
	ID       uuid.UUID // UUIDv7
	Provider string
	// SessionID and URL are of the page; empty: the provider has not answered yet.
	SessionID, URL     string
	UserID             uuid.UUID
	InvoiceID, OrderID uuid.UUID // what is paid: either of them
	Currency           billing.Currency
	Amount             billing.Amount
	State              State
	Reason             string    // why what came is not what was asked for
	PaymentID          uuid.UUID // of StatePaid
	ExpiresAt          time.Time
	CreatedAt          time.Time
	UpdatedAt          time.Time
}

// State says where a request stands.
type State string

// The states of requests.
const (
	StateOpen    State = "open"
	StatePending State = "pending" // the money is to come
	StatePaid    State = "paid"
	StateFailed  State = "failed"
	StateExpired State = "expired"
)

// Book keeps requests and books what events tell of.
type Book interface {
	// AskCheckout writes a request for what is open of an invoice, or for an order, one
	// of which is not zero: it sets all but the page. A request for the same that is open
	// and of the same amount is given again.
	AskCheckout(ctx context.Context, r *Request) (description string, err error)
	// SaveCheckout writes down the page of a request.
	SaveCheckout(ctx context.Context, requestID uuid.UUID, page Session) error
	// TakeCheckoutEvent acts on an event, once, and says in words what it did.
	TakeCheckoutEvent(ctx context.Context, provider string, e *Event, o billing.RunOptions) (outcome string, err error)
}

// Desk asks for payments and takes what the provider tells of them.
type Desk struct {
	Provider Provider
	Book     Book
	// SuccessURL and CancelURL are where customers go afterwards.
	SuccessURL, CancelURL string
	// Rules are what an order that is paid on a day is charged by.
	Rules func(ctx context.Context, day billing.Date) (billing.RunOptions, error)
	Zone  *time.Location
	Now   func() time.Time
}

// Ask returns the page on which an invoice or an order is paid, one of which is not zero.
// Asking again gives the same page as long as it can be paid. It fails with ErrProvider if
// the provider makes none, and with *billing.RuleError if there is nothing to pay, or not
// by card.
func (d *Desk) Ask(ctx context.Context, invoiceID, orderID uuid.UUID) (*Request, error) {
	now := d.Now()
	r := &Request{Provider: d.Provider.Name(), InvoiceID: invoiceID, OrderID: orderID, ExpiresAt: now.Add(pageLife)}
	description, err := d.Book.AskCheckout(ctx, r)
	if err != nil || r.URL != "" {
		return r, err
	}
	page, err := d.Provider.CreateCheckout(ctx, Checkout{
		Reference: r.ID.String(), Description: description, Amount: r.Amount, Currency: r.Currency,
		SuccessURL: d.SuccessURL, CancelURL: d.CancelURL, ExpiresAt: r.ExpiresAt, IdempotencyKey: r.ID.String(),
	})
	if err != nil {
		if !billing.IsRefusal(err) {
			err = fmt.Errorf("%w: %w", ErrProvider, err)
		}
		return nil, err
	}
	if err := d.Book.SaveCheckout(ctx, r.ID, page); err != nil {
		return nil, err
	}
	r.SessionID, r.URL = page.ID, page.URL
	return r, nil
}

// pageLife is how long a page can be paid on.
const pageLife = 23 * time.Hour

// Take takes a webhook. It fails with ErrSignature for what is not from the provider; any
// other error asks the provider to send it again.
func (d *Desk) Take(ctx context.Context, header http.Header, body []byte) (outcome string, err error) {
	now := d.Now()
	e, err := d.Provider.VerifyWebhook(header, body, now)
	if err != nil {
		return "", err
	}
	if e.Kind == Ignored {
		return "of no concern", nil
	}
	o, err := d.Rules(ctx, billing.DateOf(now, d.Zone))
	if err != nil {
		return "", err
	}
	outcome, err = d.Book.TakeCheckoutEvent(ctx, d.Provider.Name(), &e, o)
	if err != nil {
		return "", fmt.Errorf("take the event %.100s (%s): %w", e.ID, e.Type, err)
	}
	return outcome, nil
}
