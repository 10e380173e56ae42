package billing

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Allocate spreads money over open invoices of one currency: the one that is due first
// is paid first, of these the one issued first, and then by number. It returns what each
// gets and what is left, which is the user's credit. The invoices are not changed;
// [Invoice.Pay] is for that.
func Allocate(a Amount, open []Invoice, at time.Time) (allocations []Allocation, rest Amount) {
	open = slices.Clone(open)
	slices.SortFunc(open, func(a, b Invoice) int {
		return cmp.Or(a.DueOn.Compare(b.DueOn), a.IssuedOn.Compare(b.IssuedOn),
			cmp.Compare(a.Number, b.Number), slices.Compare(a.ID[:], b.ID[:]))
	})
	for _, i := range open {
		part := min(a, i.Open())
		if i.State != InvoiceIssued || i.Kind != KindInvoice || part <= 0 {
			continue
		}
		allocations = append(allocations, Allocation{InvoiceID: i.ID, Number: i.Number, Amount: part, At: at})
		a -= part
	}
	return allocations, a
}

// Issue gives a draft its number. From then on it is owed, or paid if it is over
// nothing.
func (i *Invoice) Issue(number string, at time.Time) error {
	if i.State != InvoiceDraft || number == "" {
		return Refuse(CodeInvoiceState, "invoice %s is %s: only a draft is issued, with a number", i.Number, i.State)
	}
	i.Number, i.State, i.UpdatedAt = number, InvoiceIssued, at
	if i.Open() == 0 {
		i.State = InvoicePaid
	}
	return nil
}

// DueAfter returns when an invoice is due that is issued on another day than it was
// drafted for: as long after it.
func (i *Invoice) DueAfter(issuedOn Date) Date {
	if i.IssuedOn.IsZero() || i.DueOn.IsZero() {
		return issuedOn
	}
	return issuedOn.AddDays(i.IssuedOn.DaysUntil(i.DueOn))
}

// Pay allocates an amount to the invoice, or takes it back if it is negative. It refuses
// more than is open, and to take back more than was paid. For a credit note it is what
// of it has been allocated to invoices.
func (i *Invoice) Pay(a Amount, at time.Time) error {
	if i.State != InvoiceIssued && i.State != InvoicePaid {
		return Refuse(CodeInvoiceState, "invoice %s is %s: nothing can be paid on it", i.Number, i.State)
	}
	paid, err := i.Paid.Add(a)
	if err != nil {
		return err
	}
	if paid > i.Total || paid < 0 {
		return Refuse(CodeInvoiceState, "invoice %s: %s %s are open and %s paid: %s cannot be allocated", i.Number,
			i.Currency.Format(i.Open()), i.Currency, i.Currency.Format(i.Paid), i.Currency.Format(a))
	}
	i.Paid, i.UpdatedAt, i.State = paid, at, InvoiceIssued
	if i.Open() == 0 {
		i.State = InvoicePaid
	}
	return nil
}

// Void makes an issued invoice owed by nobody. It keeps its number and its lines: what
// should be charged after all is charged by hand. Where something was allocated to it,
// that is taken back first, or a credit note is made instead.
func (i *Invoice) Void(at time.Time) error {
	switch {
	case i.State == InvoiceVoid:
		return Refuse(CodeNoChange, "invoice %s is void already", i.Number)
	case i.State == InvoiceDraft:
		return Refuse(CodeInvoiceState, "a draft is deleted, not voided")
	case i.Paid != 0:
		return Refuse(CodeInvoicePaid, "invoice %s: %s %s have been paid on it, so it cannot be voided: make a credit note", i.Number, i.Currency.Format(i.Paid), i.Currency)
	}
	i.State, i.UpdatedAt = InvoiceVoid, at
	return nil
}

// InvoiceNumber writes the nth number of a series, 2026-000001. It gets longer, not
// wrong, after 999999.
func InvoiceNumber(series string, n int64) string { return fmt.Sprintf("%s-%06d", series, n) }
