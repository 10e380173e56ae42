package billing

import (
	"time"

	"github.com/google/uuid"
)

// Invoice is a bill or a credit note. Once it is issued it does not change, but for
// what was paid of it and that it was voided.
type Invoice struct {
	ID uuid.UUID // UUIDv7
	// Number is unique and gapless in its series; empty: a draft.
	Number   string
	Series   string
	Kind     InvoiceKind
	State    InvoiceState
	UserID   uuid.UUID
	Currency Currency
	IssuedOn Date
	DueOn    Date
	Period   Span // of all its lines
	// Corrects is the invoice that a credit note is about, and CorrectsNumber its number.
	Corrects       uuid.UUID
	CorrectsNumber string
	Lines          []InvoiceLine
	Taxes          []TaxTotal
	// Net + Tax = Total. The amounts of a credit note are positive: what is credited.
	Net, Tax, Total Amount
	// Paid is what payments, credit notes and write-offs have been allocated to it.
	Paid          Amount
	Seller, Buyer Party // as they were when it was issued
	Note          string
	RunID         uuid.UUID // the run that made it; zero: none did
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Open returns what is still to be paid.
func (i *Invoice) Open() Amount { return i.Total - i.Paid }

// InvoiceKind says whether money is asked for or given back.
type InvoiceKind string

// The kinds of invoices.
const (
	KindInvoice    InvoiceKind = "invoice"
	KindCreditNote InvoiceKind = "credit_note"
)

// InvoiceState says where an invoice stands.
type InvoiceState string

// The states of invoices.
const (
	InvoiceDraft  InvoiceState = "draft"
	InvoiceIssued InvoiceState = "issued" // and not paid in full
	InvoicePaid   InvoiceState = "paid"
	InvoiceVoid   InvoiceState = "void" // keeps its number, is owed by nobody
)

// InvoiceLine is one charge on an invoice.
type InvoiceLine struct {
	Line        int // 1, 2, …
	ChargeID    uuid.UUID
	Description string
	Period      Span
	Quantity    Decimal
	Unit        string
	UnitPrice   Decimal
	// Net is without tax. Where prices contain the tax, the nets of the lines of a tax
	// rate add up to that rate's net exactly.
	Net         Amount
	Gross       Amount // with tax, if TaxIncluded; else equal to Net
	TaxIncluded bool   // in UnitPrice
	TaxClass    string
	TaxCategory string
	TaxPercent  Decimal
}

// TaxTotal is the tax of all lines of one rate.
type TaxTotal struct {
	Name            string
	Category        string
	Percent         Decimal
	Net, Tax        Amount
	ExemptionReason string
}

// Party is who sells or buys, as it stands on an invoice.
type Party struct {
	Name     string `json:"name"`
	Address  string `json:"address,omitempty"` // lines
	City     string `json:"city,omitempty"`
	Postcode string `json:"postcode,omitempty"`
	Country  string `json:"country,omitempty"` // ISO 3166-1 alpha-2
	TaxID    string `json:"tax_id,omitempty"`  // VAT number
	Register string `json:"register,omitempty"`
	Email    string `json:"email,omitempty"`
	Phone    string `json:"phone,omitempty"`
	IBAN     string `json:"iban,omitempty"`
	BIC      string `json:"bic,omitempty"`
	Username string `json:"username,omitempty"` // of a buyer
}
