package api

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

// InvoiceStore keeps invoices and credit notes.
type InvoiceStore interface {
	ListInvoicesPage(ctx context.Context, filter billing.InvoiceFilter, page aaa.Page) (list []billing.Invoice, next string, err error)
	CountInvoices(ctx context.Context, filter billing.InvoiceFilter) (aaa.Count, error)
	InvoiceByID(ctx context.Context, invoiceID uuid.UUID) (*billing.Invoice, error)
	CreditNotesOf(ctx context.Context, invoiceID uuid.UUID) ([]billing.Invoice, error)
	InvoiceChanger
}

// InvoiceChanger drafts, issues and corrects invoices.
type InvoiceChanger interface {
	// CheckKey fails as a change would if the Idempotency-Key of the context was used.
	CheckKey(ctx context.Context) error
	DraftInvoice(ctx context.Context, userID uuid.UUID, currency billing.Currency, o billing.RunOptions) (*billing.Invoice, error)
	DeleteDraft(ctx context.Context, invoiceID uuid.UUID) error
	IssueInvoice(ctx context.Context, invoiceID uuid.UUID, issuedOn, dueOn billing.Date) (*billing.Invoice, error)
	VoidInvoice(ctx context.Context, invoiceID uuid.UUID) error
	WriteOffInvoice(ctx context.Context, invoiceID uuid.UUID) error
	ReinstateInvoice(ctx context.Context, invoiceID uuid.UUID) error
	CreditInvoice(ctx context.Context, invoiceID uuid.UUID, parts map[int]billing.Amount, on billing.Date, note string) (*billing.Invoice, error)
}

// invoices is the resource /invoices.
type invoices struct {
	*billingRules
	store InvoiceStore
}

func (h *invoices) ListInvoices(ctx context.Context, r ListInvoicesRequestObject) (ListInvoicesResponseObject, error) {
	p := r.Params
	filter := billing.InvoiceFilter{
		Number: p.Number, UserID: p.UserID, State: billing.InvoiceState(p.State), Kind: billing.InvoiceKind(p.Kind), Currency: billing.Currency(p.Currency),
		RunID: p.RunID, IssuedFrom: dayFilter(p.IssuedFrom), IssuedBefore: dayFilter(p.IssuedBefore),
	}
	if p.Overdue {
		filter.OverdueOn = h.today()
	}
	if p.Number != "" && p.Sort == "" {
		p.Sort = ListInvoicesParamsSortNumber // by which they are found
	}
	found, next, err := h.store.ListInvoicesPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := InvoiceList{Items: make([]InvoiceSummary, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = invoiceSummaryOf(ctx, &found[i])
	}
	if p.Count {
		if list.Total, err = total(h.store.CountInvoices(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListInvoices200JSONResponse(list), nil
}

func (h *invoices) CreateInvoice(ctx context.Context, r CreateInvoiceRequestObject) (CreateInvoiceResponseObject, error) {
	currency, err := billing.ParseCurrency(r.Body.Currency)
	if err != nil {
		return nil, invalidField("currency", "%v", err)
	}
	o, err := h.options(ctx, h.today())
	if err != nil {
		return nil, err
	}
	// What an earlier request has drafted cannot be drafted again.
	err = h.store.CheckKey(ctx)
	var draft *billing.Invoice
	if err == nil {
		draft, err = h.store.DraftInvoice(ctx, r.Body.UserID, currency, o)
	}
	id, again := repeated(err)
	switch {
	case again:
	case err != nil:
		return nil, err
	default:
		id = draft.ID
	}
	body, err := h.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return CreateInvoice201JSONResponse{Body: body, Headers: CreateInvoice201ResponseHeaders{ETag: etag(body), Location: location("invoices", id)}}, nil
}

func (h *invoices) GetInvoice(ctx context.Context, r GetInvoiceRequestObject) (GetInvoiceResponseObject, error) {
	body, err := h.read(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	return GetInvoice200JSONResponse{Body: body, Headers: GetInvoice200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *invoices) DeleteInvoice(ctx context.Context, r DeleteInvoiceRequestObject) (DeleteInvoiceResponseObject, error) {
	if err := h.store.DeleteDraft(ctx, r.InvoiceID); err != nil {
		return nil, err
	}
	return DeleteInvoice204Response{}, nil
}

func (h *invoices) IssueInvoice(ctx context.Context, r IssueInvoiceRequestObject) (IssueInvoiceResponseObject, error) {
	draft, err := h.store.InvoiceByID(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	issued, err := dateIn("issued_on", r.Body.IssuedOn, h.today())
	if err != nil {
		return nil, err
	}
	due, err := dateIn("due_on", r.Body.DueOn, draft.DueAfter(issued))
	if err != nil {
		return nil, err
	}
	body, err := h.change(ctx, r.InvoiceID, func() error {
		_, err := h.store.IssueInvoice(ctx, r.InvoiceID, issued, due)
		return err
	})
	return IssueInvoice200JSONResponse(body), err
}

func (h *invoices) VoidInvoice(ctx context.Context, r VoidInvoiceRequestObject) (VoidInvoiceResponseObject, error) {
	body, err := h.change(ctx, r.InvoiceID, func() error { return h.store.VoidInvoice(ctx, r.InvoiceID) })
	return VoidInvoice200JSONResponse(body), err
}

func (h *invoices) WriteOffInvoice(ctx context.Context, r WriteOffInvoiceRequestObject) (WriteOffInvoiceResponseObject, error) {
	body, err := h.change(ctx, r.InvoiceID, func() error { return h.store.WriteOffInvoice(ctx, r.InvoiceID) })
	return WriteOffInvoice200JSONResponse(body), err
}

func (h *invoices) ReinstateInvoice(ctx context.Context, r ReinstateInvoiceRequestObject) (ReinstateInvoiceResponseObject, error) {
	body, err := h.change(ctx, r.InvoiceID, func() error { return h.store.ReinstateInvoice(ctx, r.InvoiceID) })
	return ReinstateInvoice200JSONResponse(body), err
}

// change returns an invoice after it was changed, now or by an earlier request.
func (h *invoices) change(ctx context.Context, invoiceID uuid.UUID, do func() error) (Invoice, error) {
	err := do()
	if _, again := repeated(err); err != nil && !again {
		return Invoice{}, err
	}
	return h.read(ctx, invoiceID)
}

func (h *invoices) ListCreditNotes(ctx context.Context, r ListCreditNotesRequestObject) (ListCreditNotesResponseObject, error) {
	if _, err := h.store.InvoiceByID(ctx, r.InvoiceID); err != nil {
		return nil, err
	}
	found, err := h.store.CreditNotesOf(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	list := CreditNoteList{Items: make([]Invoice, len(found))}
	for i := range found {
		list.Items[i] = invoiceOf(ctx, &found[i])
	}
	return ListCreditNotes200JSONResponse(list), nil
}

func (h *invoices) CreateCreditNote(ctx context.Context, r CreateCreditNoteRequestObject) (CreateCreditNoteResponseObject, error) {
	invoice, err := h.store.InvoiceByID(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	var parts map[int]billing.Amount
	for i, line := range r.Body.Lines {
		field := fmt.Sprintf("lines[%d]", i)
		var amount billing.Amount // all that is left of it
		if line.Amount != nil {
			var currency billing.Currency
			if amount, currency, err = moneyIn(field+".amount", *line.Amount); err != nil {
				return nil, err
			}
			if currency != invoice.Currency {
				return nil, invalidField(field+".amount.currency", "the invoice is in %s", invoice.Currency)
			}
			if amount == 0 {
				return nil, invalidField(field+".amount.amount", "it must be other than nothing; left out, it is all that is left of the line")
			}
		}
		if _, twice := parts[line.Line]; twice {
			return nil, invalidField(field+".line", "line %d is there twice", line.Line)
		}
		if parts == nil {
			parts = map[int]billing.Amount{}
		}
		parts[line.Line] = amount
	}
	note, err := h.store.CreditInvoice(ctx, r.InvoiceID, parts, h.today(), r.Body.Note)
	if id, again := repeated(err); again {
		note, err = h.store.InvoiceByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	body := invoiceOf(ctx, note)
	return CreateCreditNote201JSONResponse{Body: body, Headers: CreateCreditNote201ResponseHeaders{ETag: etag(body), Location: location("invoices", note.ID)}}, nil
}

func (h *invoices) read(ctx context.Context, invoiceID uuid.UUID) (Invoice, error) {
	invoice, err := h.store.InvoiceByID(ctx, invoiceID)
	if err != nil {
		return Invoice{}, err
	}
	return invoiceOf(ctx, invoice), nil
}

// invoiceSummaryOf is an invoice as lists show it to the caller.
func invoiceSummaryOf(ctx context.Context, i *billing.Invoice) InvoiceSummary {
	money := func(a billing.Amount) Money { return moneyOf(i.Currency, a) }
	open := i.Open()
	if i.State == billing.InvoiceVoid {
		open = 0
	}
	return InvoiceSummary{
		ID: i.ID, Number: orNull(i.Number, i.Number != ""), Kind: InvoiceKind(i.Kind), State: InvoiceState(i.State), UserID: i.UserID, Username: i.Buyer.Username,
		IssuedOn: dateOrNull(i.IssuedOn), DueOn: dateOrNull(i.DueOn), From: dateOrNull(i.Period.From), To: dateOrNull(i.Period.To),
		Corrects: idOrNull(i.Corrects), CorrectsNumber: i.CorrectsNumber,
		Net: money(i.Net), Tax: money(i.Tax), Total: money(i.Total), Paid: money(i.Paid), Open: money(open),
		Note: freeText(ctx, i.Note), RunID: idOrNull(i.RunID), CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
}

// invoiceOf is an invoice as the API shows it to the caller.
func invoiceOf(ctx context.Context, i *billing.Invoice) Invoice {
	s := invoiceSummaryOf(ctx, i)
	body := Invoice{
		ID: s.ID, Number: s.Number, Kind: s.Kind, State: s.State, UserID: s.UserID, Username: s.Username,
		IssuedOn: s.IssuedOn, DueOn: s.DueOn, From: s.From, To: s.To, Corrects: s.Corrects, CorrectsNumber: s.CorrectsNumber,
		Net: s.Net, Tax: s.Tax, Total: s.Total, Paid: s.Paid, Open: s.Open, Note: s.Note, RunID: s.RunID, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		Lines: []InvoiceLine{}, Taxes: []InvoiceTax{}, Seller: partyOf(i.Seller),
	}
	if principalOf(ctx).Can(operator.ProfilesRead) {
		buyer := partyOf(i.Buyer)
		body.Buyer = &buyer
	}
	for _, l := range i.Lines {
		if l.Period == (billing.Span{}) { // a charge by hand
			l.Description = freeText(ctx, l.Description)
		}
		body.Lines = append(body.Lines, InvoiceLine{
			Line: l.Line, ChargeID: idOrNull(l.ChargeID), Description: l.Description, From: dateOrNull(l.Period.From), To: dateOrNull(l.Period.To),
			Quantity: l.Quantity.String(), Unit: l.Unit, UnitPrice: l.UnitPrice.String(), Net: moneyOf(i.Currency, l.Net), Gross: moneyOf(i.Currency, l.Gross),
			TaxIncluded: l.TaxIncluded, TaxClass: l.TaxClass, TaxCategory: l.TaxCategory, TaxPercent: l.TaxPercent.String(),
		})
	}
	for _, t := range i.Taxes {
		body.Taxes = append(body.Taxes, InvoiceTax{
			Name: t.Name, Category: t.Category, Percent: t.Percent.String(), Net: moneyOf(i.Currency, t.Net), Tax: moneyOf(i.Currency, t.Tax), ExemptionReason: t.ExemptionReason,
		})
	}
	return body
}
