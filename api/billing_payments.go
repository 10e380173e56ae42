package api

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/operator"
)

// PaymentStore keeps what was paid and given back.
type PaymentStore interface {
	ListPaymentsPage(ctx context.Context, filter billing.PaymentFilter, page aaa.Page) (list []billing.Payment, next string, err error)
	CountPayments(ctx context.Context, filter billing.PaymentFilter) (aaa.Count, error)
	PaymentByID(ctx context.Context, paymentID uuid.UUID) (*billing.Payment, error)
	RecordPayment(ctx context.Context, payment *billing.Payment) (booked bool, err error)
	checkout.RefundBook
}

// payments is the resource /payments.
type payments struct {
	*billingRules
	store PaymentStore
	desk  *checkout.Desk // nil: cards are not taken
}

func (h *payments) ListPayments(ctx context.Context, r ListPaymentsRequestObject) (ListPaymentsResponseObject, error) {
	p := r.Params
	if p.Reference != "" { // who may not read references may not guess them either
		if err := principalOf(ctx).Require(operator.ProfilesRead); err != nil {
			return nil, err
		}
	}
	filter := billing.PaymentFilter{
		UserID: p.UserID, Method: billing.PaymentMethod(p.Method), Provider: p.Provider, Reference: p.Reference, Refunds: p.Refunds,
		ReceivedFrom: dayFilter(p.ReceivedFrom), ReceivedBefore: dayFilter(p.ReceivedBefore),
	}
	found, next, err := h.store.ListPaymentsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := PaymentList{Items: make([]Payment, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = paymentOf(ctx, &found[i])
	}
	if p.Count {
		if list.Total, err = total(h.store.CountPayments(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListPayments200JSONResponse(list), nil
}

func (h *payments) GetPayment(ctx context.Context, r GetPaymentRequestObject) (GetPaymentResponseObject, error) {
	payment, err := h.store.PaymentByID(ctx, r.PaymentID)
	if err != nil {
		return nil, err
	}
	return GetPayment200JSONResponse(paymentOf(ctx, payment)), nil
}

func (h *payments) CreatePayment(ctx context.Context, r CreatePaymentRequestObject) (CreatePaymentResponseObject, error) {
	payment, err := h.paymentIn(*r.Body)
	if err != nil {
		return nil, err
	}
	if payment.Amount, payment.Currency, err = paid(r.Body.Amount); err != nil {
		return nil, err
	}
	if payment.Allocations, err = allocationsIn(r.Body.Allocations, payment.Currency); err != nil {
		return nil, err
	}
	booked, err := h.store.RecordPayment(ctx, payment)
	if id, again := repeated(err); again {
		booked = true
		payment, err = h.store.PaymentByID(ctx, id)
	}
	switch {
	case err != nil:
		return nil, err
	case !booked:
		return CreatePayment200JSONResponse(paymentOf(ctx, payment)), nil
	}
	return CreatePayment201JSONResponse{Body: paymentOf(ctx, payment), Headers: CreatePayment201ResponseHeaders{Location: location("payments", payment.ID)}}, nil
}

func (h *payments) RefundPayment(ctx context.Context, r RefundPaymentRequestObject) (RefundPaymentResponseObject, error) {
	paidBy, err := h.store.PaymentByID(ctx, r.PaymentID)
	if err != nil {
		return nil, err
	}
	in := r.Body
	refund, err := h.paymentIn(PaymentInput{
		Method: cmp.Or(PaymentInputMethod(in.Method), PaymentInputMethod(paidBy.Method)), ReceivedOn: in.ReceivedOn, Provider: in.Provider, Reference: in.Reference, Note: in.Note,
	})
	if err != nil {
		return nil, err
	}
	if refund.Amount, refund.Currency, err = paid(in.Amount); err != nil {
		return nil, err
	}
	if refund.Currency != paidBy.Currency {
		return nil, invalidField("amount.currency", "the payment was in %s", paidBy.Currency)
	}
	refund.Refunds, refund.ChargedBack = r.PaymentID, in.ChargedBack
	var provider checkout.Provider
	if h.desk != nil {
		provider = h.desk.Provider
	}
	name := ""
	if key, ok := operator.IdempotencyOf(ctx); ok {
		actor := operator.ActorOf(ctx)
		name = fmt.Sprintf("%q %s %q", key.Key, actor.Kind, actor.Name)
	}
	booked, err := checkout.GiveBack(ctx, provider, h.store, refund, name)
	if id, again := repeated(err); again {
		booked = true
		refund, err = h.store.PaymentByID(ctx, id)
	}
	switch {
	case err != nil:
		return nil, err
	case !booked:
		return RefundPayment200JSONResponse(paymentOf(ctx, refund)), nil
	}
	return RefundPayment201JSONResponse{Body: paymentOf(ctx, refund), Headers: RefundPayment201ResponseHeaders{Location: location("payments", refund.ID)}}, nil
}

// allocationsIn reads which invoices a payment in the currency goes to.
func allocationsIn(list []AllocationInput, of billing.Currency) (allocations []billing.Allocation, err error) {
	for i, a := range list {
		field := fmt.Sprintf("allocations[%d].amount", i)
		amount, currency, err := moneyIn(field, a.Amount)
		if err != nil {
			return nil, err
		}
		if currency != of {
			return nil, invalidField(field+".currency", "the payment is in %s", of)
		}
		allocations = append(allocations, billing.Allocation{InvoiceID: a.InvoiceID, Amount: amount})
	}
	return allocations, nil
}

// paid reads what was paid: more than nothing.
func paid(m Money) (billing.Amount, billing.Currency, error) {
	amount, currency, err := moneyIn("amount", m)
	if err == nil && amount <= 0 {
		err = invalidField("amount", "a payment is of more than nothing")
	}
	return amount, currency, err
}

// paymentIn reads how money came, without how much.
func (h *billingRules) paymentIn(in PaymentInput) (*billing.Payment, error) {
	p := &billing.Payment{
		UserID: in.UserID, Method: cmp.Or(billing.PaymentMethod(in.Method), billing.PaidCash), Provider: in.Provider, Reference: in.Reference, Note: in.Note,
	}
	var err error
	if p.ReceivedOn, err = dateIn("received_on", in.ReceivedOn, h.today()); err != nil {
		return nil, err
	}
	if p.ExpiresOn, err = dateIn("expires_on", in.ExpiresOn, billing.Date{}); err != nil {
		return nil, err
	}
	if h.today().AddDays(1).Before(p.ReceivedOn) { // it may be tomorrow where the client is
		return nil, invalidField("received_on", "it has not come yet")
	}
	return p, nil
}

// paymentOf is a payment as the API shows it to the caller.
func paymentOf(ctx context.Context, p *billing.Payment) Payment {
	body := Payment{
		ID: p.ID, UserID: p.UserID, Username: p.Username, Method: PaymentMethod(p.Method), Amount: moneyOf(p.Currency, p.Amount), Refunds: idOrNull(p.Refunds),
		Provider: p.Provider, Reference: freeText(ctx, p.Reference), ReceivedOn: dateOf(p.ReceivedOn), Note: freeText(ctx, p.Note),
		ExpiresOn: dateOrNull(p.ExpiresOn), Expired: moneyOf(p.Currency, p.Expired),
		CreatedAt: p.CreatedAt,
	}
	for _, a := range p.Allocations {
		body.Allocations = append(body.Allocations, Allocation{InvoiceID: a.InvoiceID, Number: a.Number, Amount: moneyOf(p.Currency, a.Amount), At: a.At})
	}
	return body
}
