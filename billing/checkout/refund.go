package checkout

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"radiusd/billing"
)

// ErrRefund means that the provider has not given money back, as far as is known. Nothing
// was booked. To ask again with the same amount is to ask for the same refund.
var ErrRefund = errors.New("the payment provider has not given the money back")

// Source is where the money of a payment came from, and how much of it went back.
type Source struct {
	// Provider and PaymentID name it there; empty: it came by no page of a provider.
	Provider, PaymentID string
	Amount              billing.Amount // of the payment
	Refunded            billing.Amount // of it
	Currency            billing.Currency
}

// RefundBook books what is given back.
type RefundBook interface {
	// CheckRefund fails as RefundPayment would. It writes nothing.
	CheckRefund(ctx context.Context, refund *billing.Payment) (Source, error)
	// RefundPayment books a refund, once by its Provider and Reference.
	RefundPayment(ctx context.Context, refund *billing.Payment) (booked bool, err error)
}

// GiveBack has the provider give back money that came by one of its pages, and books it by
// the name that the refund has there: the webhook that tells of it finds it booked, or has
// booked it. Other money, and a refund by other means than the card, or one that has a
// Reference as it was made at the provider already, or was charged back, is only booked. provider is nil if there
// is none. A request that may come again has a key of its own, or none: then what is given
// back of what names it. It fails with ErrRefund if the provider does not do it, and else as
// RefundPayment.
func GiveBack(ctx context.Context, provider Provider, book RefundBook, refund *billing.Payment, key string) (booked bool, err error) {
	if refund.Method != billing.PaidCard || refund.ChargedBack {
		return book.RefundPayment(ctx, refund)
	}
	from, err := book.CheckRefund(ctx, refund)
	if err != nil {
		return false, err
	}
	if from.PaymentID == "" {
		return book.RefundPayment(ctx, refund)
	}
	if refund.Provider == "" {
		refund.Provider = from.Provider
	}
	if refund.Reference != "" {
		return book.RefundPayment(ctx, refund)
	}
	if provider == nil || provider.Name() != from.Provider || refund.Provider != from.Provider {
		return false, billing.Refuse(billing.CodePaymentState, "the payment came by %s, which is not configured here: give it back there, and book it with the reference it has there, or give it back by other means", from.Provider)
	}
	name := refundName(refund, from, key)
	// The reference has its webhook book it of the same payment as this does.
	done, err := provider.Refund(ctx, Refund{PaymentID: from.PaymentID, Reference: refund.Refunds.String(), Amount: refund.Amount, Currency: from.Currency, IdempotencyKey: name})
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrRefund, err)
	}
	refund.Reference, refund.ChargedBack = done.ID, true
	if booked, err = book.RefundPayment(ctx, refund); err != nil {
		err = fmt.Errorf("%s has given the money back as %s, which its webhook will have booked, but here: %w", from.Provider, done.ID, err)
	}
	return booked, err
}

// refundName names a refund: by the key that the request has, or else by what is given back
// of what. So it is the same refund while it is not known whether it was made, and another
// one once it is booked.
func refundName(refund *billing.Payment, from Source, key string) string {
	h := sha256.New()
	fmt.Fprintf(h, "refund %s %d %s ", refund.Refunds, refund.Amount, from.PaymentID)
	if key != "" {
		fmt.Fprintf(h, "key %q", key)
	} else {
		fmt.Fprintf(h, "after %d", from.Refunded)
	}
	return "refund-" + hex.EncodeToString(h.Sum(nil)[:16])
}
