package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/billing/document"
	"radiusd/operator"
)

func (h *invoices) GetInvoicePDF(ctx context.Context, r GetInvoicePDFRequestObject) (GetInvoicePDFResponseObject, error) {
	invoice, err := h.printed(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	o := document.Options{Locale: r.Params.Locale, Paper: document.Paper(r.Params.Paper)}
	if !document.Speaks(o.Locale) {
		return nil, invalidField("locale", "want one of %s", strings.Join(document.Locales(), ", "))
	}
	if n := len(invoice.Lines); n > document.MaxLines {
		return nil, problemf(http.StatusConflict, "incomplete_invoice", "it has %d lines, of which no document is made", n)
	}
	var b bytes.Buffer
	if err := document.WritePDF(&b, invoice, o); err != nil {
		return nil, err
	}
	return GetInvoicePDF200ApplicationPdfResponse{
		Body: &b, ContentLength: int64(b.Len()), Headers: GetInvoicePDF200ResponseHeaders{ContentDisposition: fileOf(invoice, "pdf")},
	}, nil
}

func (h *invoices) GetInvoiceXML(ctx context.Context, r GetInvoiceXMLRequestObject) (GetInvoiceXMLResponseObject, error) {
	invoice, err := h.printed(ctx, r.InvoiceID)
	if err != nil {
		return nil, err
	}
	if err := document.Check(invoice); err != nil {
		p := problemf(http.StatusConflict, "incomplete_invoice", "invoice %s is none by EN 16931 yet: %s", invoice.Number, strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil, p
	}
	var b bytes.Buffer
	if err := document.WriteUBL(&b, invoice); err != nil {
		return nil, err
	}
	return GetInvoiceXML200ApplicationXMLResponse{
		Body: &b, ContentLength: int64(b.Len()), Headers: GetInvoiceXML200ResponseHeaders{ContentDisposition: fileOf(invoice, "xml")},
	}, nil
}

// printed is an invoice that has a number, for one who may see whom it is for.
func (h *invoices) printed(ctx context.Context, invoiceID uuid.UUID) (*billing.Invoice, error) {
	if !principalOf(ctx).Can(operator.ProfilesRead) {
		return nil, &operator.ForbiddenError{Missing: operator.NewPermissionSet(operator.ProfilesRead)}
	}
	invoice, err := h.store.InvoiceByID(ctx, invoiceID)
	if err == nil && invoice.State == billing.InvoiceDraft {
		return nil, billing.Refuse(billing.CodeInvoiceState, "a draft has no number yet: issue it first")
	}
	return invoice, err
}

// fileOf is the Content-Disposition of a document (RFC 6266): its number has capital
// letters, digits, - and / only.
func fileOf(i *billing.Invoice, extension string) string {
	return `inline; filename="` + strings.ReplaceAll(i.Number, "/", "-") + "." + extension + `"`
}
