package api

import (
	"context"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

// MailStore keeps mails about invoices. Others send them.
type MailStore interface {
	ListMailsPage(ctx context.Context, filter billing.MailingFilter, page aaa.Page) (list []billing.Mailing, next string, err error)
	SendInvoice(ctx context.Context, invoiceID uuid.UUID, again bool) (*billing.Mailing, error)
	MailByID(ctx context.Context, mailID uuid.UUID) (*billing.Mailing, error)
}

// mails is the resource /billing/mails.
type mails struct{ store MailStore }

func (h *mails) ListMails(ctx context.Context, r ListMailsRequestObject) (ListMailsResponseObject, error) {
	p := r.Params
	filter := billing.MailingFilter{InvoiceID: p.InvoiceID, UserID: p.UserID, State: billing.MailingState(p.State)}
	found, next, err := h.store.ListMailsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := MailList{Items: make([]Mail, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = mailOf(ctx, &found[i])
	}
	return ListMails200JSONResponse(list), nil
}

func (h *mails) SendInvoice(ctx context.Context, r SendInvoiceRequestObject) (SendInvoiceResponseObject, error) {
	mail, err := h.store.SendInvoice(ctx, r.InvoiceID, r.Body.Again)
	if id, again := repeated(err); again {
		mail, err = h.store.MailByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return SendInvoice202JSONResponse(mailOf(ctx, mail)), nil
}

// mailOf is a mail as the API shows it to the caller. What a mail server says may name the
// recipient as well.
func mailOf(ctx context.Context, m *billing.Mailing) Mail {
	body := Mail{
		ID: m.ID, InvoiceID: m.InvoiceID, Number: m.Number, UserID: m.UserID, Username: m.Username, Purpose: m.Purpose,
		State: MailState(m.State), Attempts: m.Attempts, CreatedAt: m.CreatedAt.UTC(), UpdatedAt: m.UpdatedAt.UTC(), NextAt: timeOrNull(m.NextAt), SentAt: timeOrNull(m.SentAt),
	}
	if principalOf(ctx).Can(operator.ProfilesRead) {
		body.Recipient, body.Error = m.Recipient, m.Error
	}
	return body
}
