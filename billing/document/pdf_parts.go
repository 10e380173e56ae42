package document

import (
	"fmt"
	"strings"

	"radiusd/billing"
	"radiusd/billing/document/typeset"
)

// letterhead is the seller's name and address at the top of the first page.
func (s *sheet) letterhead() {
	seller := &s.invoice.Seller
	width := s.right - s.left
	s.block(s.lines(s.seller, typeset.Bold, 15, width, 3), 15, s.left, width, typeset.Left)
	s.y -= 2
	s.page.Gray(0.35)
	address := strings.Join(addressLines(seller, false), " · ")
	s.block(s.lines(address, typeset.Regular, smallSize, width, 3), smallSize, s.left, width, typeset.Left)
	s.page.Gray(0)
	s.y -= 6
	s.page.Line(s.left, s.y, s.right, s.y, 0.8)
	s.y -= 30
}

// addressLines returns the lines of a party's address, with or without its name.
func addressLines(p *billing.Party, name bool) []string {
	var lines []string
	add := func(line string) {
		if line != "" {
			lines = append(lines, line)
		}
	}
	if name {
		add(clean(p.Name, maxName))
	}
	for line := range strings.SplitSeq(cleanLines(p.Address, maxAddress), "\n") {
		if add(clean(line, maxName)); len(lines) >= 6 {
			break
		}
	}
	add(clean(p.Postcode+" "+p.City, maxName))
	add(clean(p.Country, 60))
	return lines
}

// addresses are the buyer's on the left and the facts of the invoice on the right.
func (s *sheet) addresses() {
	top := s.y
	width := (s.right - s.left) / 2
	for i, line := range addressLines(&s.invoice.Buyer, true) {
		style := typeset.Regular
		if i == 0 {
			style = typeset.Bold
		}
		s.block(s.lines(line, style, 10, width-10, 4), 10, s.left, width-10, typeset.Start)
	}
	left := s.y
	s.y = top
	w := &s.locale.words
	for _, fact := range [][2]string{
		{w.number, s.invoice.Number},
		{w.issued, s.locale.day(s.invoice.IssuedOn)},
		{w.due, s.locale.day(s.invoice.DueOn)},
		{w.period, s.locale.span(s.invoice.Period)},
		{w.customer, s.invoice.Buyer.Username},
		{w.taxID, s.invoice.Buyer.TaxID},
	} {
		value := clean(fact[1], maxName)
		if value == "" {
			continue
		}
		x := s.left + width + 10
		s.page.Gray(0.35)
		s.text(fact[0], typeset.Regular, bodySize, x, 78, typeset.Left)
		s.page.Gray(0)
		s.text(value, typeset.Regular, bodySize, x+82, s.right-x-82, typeset.Right)
		s.y -= bodySize * 1.45
	}
	s.y = min(s.y, left, top-80) - 18
}

// heading is the title, what a credit note is about, and that an invoice is paid.
func (s *sheet) heading() {
	width := s.right - s.left
	if s.invoice.State == billing.InvoicePaid && s.invoice.Kind != billing.KindCreditNote {
		line := s.setter.Line(s.locale.words.paidMark, typeset.Bold)
		wide := line.Width*12/1000 + 14
		s.page.Gray(0.35)
		s.page.Frame(s.right-wide, s.y-19, wide, 20, 1.2)
		line.Draw(s.page, 12, s.right-wide, s.y-13.5, wide, typeset.Center)
		s.page.Gray(0)
		width -= wide + 10
	}
	s.block(s.lines(s.title, typeset.Bold, 16, width, 4), 16, s.left, width, typeset.Left)
	if number := clean(s.invoice.CorrectsNumber, maxName); number != "" {
		text := fmt.Sprintf(s.locale.words.corrects, number)
		s.block(s.lines(text, typeset.Regular, bodySize, width, 3), bodySize, s.left, width, typeset.Left)
	}
	s.y -= 12
}

// totals are the sums below the table.
func (s *sheet) totals() {
	i, w := s.invoice, &s.locale.words
	x := s.left + (s.right-s.left)*0.42
	row := func(label string, amount billing.Amount, style typeset.Style) {
		size := float64(bodySize)
		if style == typeset.Bold {
			size = 10.5
		}
		s.room(size * 1.6)
		s.text(label, style, size, x, s.right-x-108, typeset.Left)
		s.text(s.locale.money(i.Currency, amount)+" "+clean(string(i.Currency), 3), style, size, s.right-104, 100, typeset.Right)
		s.y -= size * 1.6
	}
	s.room(90)
	s.y -= 8
	row(w.net, i.Net, typeset.Regular)
	for _, tax := range i.Taxes {
		row(fmt.Sprintf(w.tax, clean(tax.Name, 40), s.locale.number(tax.Percent.String()),
			s.locale.money(i.Currency, tax.Net), clean(string(i.Currency), 3)), tax.Tax, typeset.Regular)
		if reason := clean(tax.ExemptionReason, maxDescription); reason != "" {
			s.page.Gray(0.35)
			lines := s.lines(reason, typeset.Regular, smallSize, s.right-x-108, 6)
			s.room(float64(len(lines)) * smallSize * leading)
			s.block(lines, smallSize, x, s.right-x-108, typeset.Start)
			s.page.Gray(0)
			s.y -= 3
		}
	}
	s.room(50)
	s.page.Line(x, s.y, s.right, s.y, 0.5)
	s.y -= 5
	if i.Kind == billing.KindCreditNote {
		row(w.credit, i.Total, typeset.Bold)
		return
	}
	row(w.total, i.Total, typeset.Bold)
	if i.Paid != 0 {
		row(w.paid, -i.Paid, typeset.Regular)
		row(w.open, i.Open(), typeset.Bold)
	}
}

// payment says what is to be paid, until when and where to.
func (s *sheet) payment() {
	i, w := s.invoice, &s.locale.words
	if i.Kind == billing.KindCreditNote || i.State == billing.InvoiceVoid || i.State == billing.InvoiceDraft {
		return
	}
	width := s.right - s.left
	amount, currency, number := s.locale.money(i.Currency, i.Open()), clean(string(i.Currency), 3), clean(i.Number, maxName)
	text := w.nothingToPay
	switch {
	case i.Open() > 0 && i.DueOn.IsZero():
		text = fmt.Sprintf(w.payNow, amount, currency, number)
	case i.Open() > 0:
		text = fmt.Sprintf(w.payBy, amount, currency, s.locale.day(i.DueOn), number)
	}
	s.room(70)
	s.y -= 16
	s.block(s.lines(text, typeset.Regular, bodySize, width, 6), bodySize, s.left, width, typeset.Left)
	iban := clean(i.Seller.IBAN, 60)
	if iban == "" || i.Open() <= 0 {
		return
	}
	s.y -= 4
	details := w.bank + ": " + s.seller + ", " + w.iban + " " + iban
	if bic := clean(i.Seller.BIC, 60); bic != "" {
		details += ", " + w.bic + " " + bic
	}
	s.block(s.lines(details, typeset.Regular, bodySize, width, 6), bodySize, s.left, width, typeset.Left)
	if number != "" {
		s.block(s.lines(w.reference+": "+printedReference(number), typeset.Regular, bodySize, width, 2), bodySize, s.left, width, typeset.Left)
	}
}

// printedReference is what the payer is to write: the creditor reference, in fours as ISO
// 11649 prints it, or the number itself if that makes none.
func printedReference(number string) string {
	ref, err := billing.RFReference(number)
	if err != nil {
		return number
	}
	var b strings.Builder
	for i, r := range ref {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// note is the invoice's note, which may go on over pages.
func (s *sheet) note() {
	text := cleanLines(s.invoice.Note, maxNote)
	if text == "" {
		return
	}
	s.room(40)
	s.y -= 14
	width := s.right - s.left
	for _, line := range s.lines(text, typeset.Regular, bodySize, width, 200) {
		s.room(bodySize * leading)
		s.block([]typeset.Line{line}, bodySize, s.left, width, typeset.Start)
	}
}
