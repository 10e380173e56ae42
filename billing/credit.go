package billing

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// NewCreditNote returns the draft of a credit note over an issued invoice: over all that
// no earlier credit note of it (which are not void) has given back, or over parts, by
// the number of the line, of its price: with the tax where the line's contains it. Of a
// line that is a credit itself the part is negative; a part of 0 is all that is left of the
// line.
//
// The taxes are the invoice's, also if the rates changed since. Credit notes that give
// back all of an invoice add up to it exactly. Those of runs name an invoice but not its
// lines: what they gave back is not given again. Nor is what was credited of days that are
// not had, by charge, and is on no credit note of the invoice.
func NewCreditNote(id uuid.UUID, i *Invoice, earlier []Invoice, credited map[uuid.UUID]Amount, parts map[int]Amount, on Date, now time.Time) (*Invoice, error) {
	if i.Kind != KindInvoice || i.State != InvoiceIssued && i.State != InvoicePaid {
		return nil, Refuse(CodeInvoiceState, "%s is %s, %s: a credit note is for an issued invoice", i.Number, kindNames[i.Kind], i.State)
	}
	note := &Invoice{
		ID: id, Series: i.Series, Kind: KindCreditNote, State: InvoiceDraft, UserID: i.UserID, Currency: i.Currency,
		IssuedOn: on, DueOn: on, Corrects: i.ID, CorrectsNumber: i.Number, Seller: i.Seller, Buyer: i.Buyer,
		CreatedAt: now, UpdatedAt: now,
	}
	left := i.less(earlier)
	for n := range parts {
		if !slices.ContainsFunc(left.Lines, func(l InvoiceLine) bool { return l.Line == n }) {
			return nil, &FieldError{"lines", fmt.Sprintf("invoice %s has no line %d to credit", i.Number, n)}
		}
	}
	complete := true
	for _, line := range left.Lines {
		part, ok := parts[line.Line]
		rest := line.Gross
		if days := credited[line.ChargeID]; days > 0 && rest > 0 {
			rest = max(0, rest-days)
		}
		if parts == nil || ok && part == 0 {
			part, ok = rest, ok || rest != 0
		}
		complete = complete && part == line.Gross
		if !ok {
			continue
		}
		if rest == 0 {
			return nil, &FieldError{"lines", fmt.Sprintf("nothing is left of line %d of invoice %s to credit", line.Line, i.Number)}
		}
		if (part < 0) != (line.Gross < 0) || abs(part) > abs(rest) {
			return nil, &FieldError{"lines", fmt.Sprintf("line %d of invoice %s has %s left to credit, not %s", line.Line, i.Number,
				i.Currency.Format(rest), i.Currency.Format(part))}
		}
		if err := line.of(i.Currency, part); err != nil {
			return nil, err
		}
		note.Lines = append(note.Lines, line)
		note.Period = note.Period.with(line.Period)
	}
	if len(note.Lines) == 0 {
		return nil, Refuse(CodeNothingToCredit, "nothing is left of invoice %s to credit", i.Number)
	}
	if complete {
		note.Taxes = slices.DeleteFunc(left.Taxes, func(t TaxTotal) bool { return t.Net == 0 && t.Tax == 0 })
		note.Net, note.Tax, note.Total = left.Net, left.Tax, left.Total
	} else if err := note.tax(i.taxRates(), on); err != nil {
		return nil, err
	}
	for n := range note.Lines {
		note.Lines[n].Line = n + 1
	}
	var byRuns Amount
	for _, other := range earlier {
		if other.State != InvoiceVoid && other.Corrects == uuid.Nil && other.CorrectsNumber == i.Number {
			byRuns += other.Total
		}
	}
	if rest := left.Total - byRuns; byRuns > 0 && note.Total > rest {
		return nil, Refuse(CodeNothingToCredit, "of invoice %s %s was given back by credit notes of runs already: %s is left to credit, by its lines, not %s",
			i.Number, i.Currency.Format(byRuns), i.Currency.Format(max(rest, 0)), i.Currency.Format(note.Total))
	}
	if note.Total <= 0 {
		return nil, Refuse(CodeNothingToCredit, "a credit note is over more than nothing, this one over %s", i.Currency.Format(note.Total))
	}
	return note, nil
}

// less returns the lines, taxes and totals of the invoice without those of its credit
// notes.
func (i *Invoice) less(notes []Invoice) Invoice {
	left := Invoice{Lines: slices.Clone(i.Lines), Taxes: slices.Clone(i.Taxes), Net: i.Net, Tax: i.Tax, Total: i.Total}
	for _, note := range notes {
		if note.State == InvoiceVoid || note.Corrects != i.ID {
			continue
		}
		for _, credited := range note.Lines {
			for n := range left.Lines {
				if line := &left.Lines[n]; line.ChargeID == credited.ChargeID {
					line.Gross, line.Net = line.Gross-credited.Gross, line.Net-credited.Net
				}
			}
		}
		for _, credited := range note.Taxes {
			for n := range left.Taxes {
				if t := &left.Taxes[n]; t.Category == credited.Category && t.Percent == credited.Percent {
					t.Net, t.Tax = t.Net-credited.Net, t.Tax-credited.Tax
				}
			}
		}
		left.Net, left.Tax, left.Total = left.Net-note.Net, left.Tax-note.Tax, left.Total-note.Total
	}
	return left
}

// of makes the line one of a part of its price. All of it stays as it is.
func (l *InvoiceLine) of(c Currency, part Amount) error {
	full, err := l.UnitPrice.times(c, l.Quantity)
	if err != nil || full == part {
		return err
	}
	price, err := c.decimal(abs(part))
	if err != nil {
		return err
	}
	l.Quantity, l.Unit, l.UnitPrice, l.Gross = one, UnitPeriod, price, part
	if part < 0 {
		l.Quantity = one.neg()
	}
	return nil
}

// taxRates returns the rates that the lines were taxed at.
func (i *Invoice) taxRates() []TaxRate {
	rates := make(map[string]TaxRate)
	for _, l := range i.Lines {
		rate := TaxRate{Class: l.TaxClass, Percent: l.TaxPercent, Category: l.TaxCategory}
		for _, t := range i.Taxes {
			if t.Category == l.TaxCategory && t.Percent == l.TaxPercent {
				rate.Name, rate.ExemptionReason = t.Name, t.ExemptionReason
			}
		}
		rates[l.TaxClass] = rate
	}
	return slices.Collect(maps.Values(rates))
}

// kindNames are for people.
var kindNames = map[InvoiceKind]string{KindInvoice: "an invoice", KindCreditNote: "a credit note"}

func abs(a Amount) Amount { return max(a, -a) }
