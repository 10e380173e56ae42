package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"radiusd/billing/checkout"
)

// checkouts are pages on which invoices and orders are paid by card.
type checkouts struct {
	desk *checkout.Desk // nil: cards are not taken
}

func (h *checkouts) CheckoutInvoice(ctx context.Context, r CheckoutInvoiceRequestObject) (CheckoutInvoiceResponseObject, error) {
	page, err := h.ask(ctx, r.InvoiceID, uuid.Nil)
	if err != nil {
		return nil, err
	}
	return CheckoutInvoice200JSONResponse(page), nil
}

func (h *checkouts) CheckoutOrder(ctx context.Context, r CheckoutOrderRequestObject) (CheckoutOrderResponseObject, error) {
	page, err := h.ask(ctx, uuid.Nil, r.OrderID)
	if err != nil {
		return nil, err
	}
	return CheckoutOrder200JSONResponse(page), nil
}

// ask makes the page of an invoice or an order, one of which is not zero.
func (h *checkouts) ask(ctx context.Context, invoiceID, orderID uuid.UUID) (CheckoutPage, error) {
	if h.desk == nil {
		return CheckoutPage{}, problemf(http.StatusConflict, "checkout_not_configured", "the server's configuration names no provider of card payments (billing.checkout)")
	}
	request, err := h.desk.Ask(ctx, invoiceID, orderID)
	if err != nil {
		return CheckoutPage{}, err
	}
	return CheckoutPage{
		ID: request.ID, URL: request.URL, Amount: moneyOf(request.Currency, request.Amount), ExpiresAt: request.ExpiresAt.UTC().Truncate(time.Second),
	}, nil
}
