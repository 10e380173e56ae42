package document

import (
	"fmt"
	"io"
	"strings"
	"time"

	"radiusd/billing"
	"radiusd/billing/document/pdf"
	"radiusd/billing/document/typeset"
)

// Paper is a size of paper.
type Paper string

// The sizes of paper.
const (
	A4     Paper = "a4"
	Letter Paper = "letter"
)

// size returns the width and height in points.
func (p Paper) size() (width, height float64, err error) {
	switch p {
	case "", A4:
		return 595.276, 841.89, nil
	case Letter:
		return 612, 792, nil
	}
	return 0, 0, fmt.Errorf("%q is no size of paper: there are %s and %s", p, A4, Letter)
}

// Options say how a document is to look. The zero value is English on A4.
type Options struct {
	// Locale is a BCP 47 tag whose language is one of Locales: of texts, numbers, days.
	Locale string
	Paper  Paper // empty: A4
}

// MaxLines is how many lines an invoice may have to be made into a document.
const MaxLines = 20000

// WritePDF writes an invoice or credit note as PDF. What the invoice says is printed as
// it is, nothing is computed but the sums that are carried from page to page. It fails
// for an unknown locale or size of paper, for more than MaxLines lines, and if the
// writer does.
func WritePDF(w io.Writer, invoice *billing.Invoice, options Options) error {
	l, err := localeOf(options.Locale)
	if err != nil {
		return err
	}
	width, height, err := options.Paper.size()
	if err != nil {
		return err
	}
	if len(invoice.Lines) > MaxLines || len(invoice.Taxes) > MaxLines {
		return fmt.Errorf("the invoice has %d lines and %d tax rates: at most %d can be printed", len(invoice.Lines), len(invoice.Taxes), MaxLines)
	}
	title := l.words.invoice
	if invoice.Kind == billing.KindCreditNote {
		title = l.words.creditNote
	}
	if invoice.Number != "" {
		title += " " + clean(invoice.Number, maxName)
	}
	seller := clean(invoice.Seller.Name, maxName)
	file := pdf.NewFile(w, width, height, pdf.Info{
		Title: title, Author: seller, Creator: "radiusd", Lang: l.tag, Created: created(invoice),
	})
	s := &sheet{
		file: file, setter: typeset.NewSetter(file), locale: &l, invoice: invoice, title: title, seller: seller,
		left: margin, right: width - margin, top: height - margin, bottom: margin + footerHeight,
	}
	file.Footer = s.footer
	s.write()
	if err := file.Close(); err != nil {
		return fmt.Errorf("write %s: %w", strings.ToLower(title), err)
	}
	return nil
}

// created is the time that a document gives as that of its making: the day of issue,
// or for a draft when the invoice was made.
func created(invoice *billing.Invoice) time.Time {
	if invoice.IssuedOn.IsZero() {
		return invoice.CreatedAt.UTC().Truncate(time.Second)
	}
	return invoice.IssuedOn.Start(time.UTC)
}

// Lengths of the layout, in points.
const (
	margin       = 56.7 // 20 mm
	footerHeight = 44
	bodySize     = 9
	smallSize    = 7.5
	leading      = 1.32 // from line to line, of the size
)

// sheet is an invoice while it is put onto pages.
type sheet struct {
	file    *pdf.File
	setter  *typeset.Setter
	locale  *locale
	invoice *billing.Invoice
	title   string
	seller  string

	left, right, top, bottom float64
	page                     *pdf.Page
	y                        float64 // what is free begins below it
}

func (s *sheet) write() {
	s.newPage()
	s.letterhead()
	s.addresses()
	s.heading()
	s.table()
	s.totals()
	s.payment()
	s.note()
}

// newPage begins a page. All but the first say whose they are.
func (s *sheet) newPage() {
	first := s.page == nil
	s.page = s.file.NewPage()
	s.y = s.top
	s.watermark()
	if first {
		return
	}
	s.page.Gray(0.35)
	s.text(s.title, typeset.Bold, smallSize, s.left, s.right-s.left, typeset.Left)
	s.text(s.seller, typeset.Regular, smallSize, s.left+(s.right-s.left)/2, (s.right-s.left)/2, typeset.Right)
	s.page.Gray(0)
	s.y -= smallSize * 2.4
}

// room begins a page unless there is so much room on this one.
func (s *sheet) room(height float64) {
	if s.y-height < s.bottom {
		s.newPage()
	}
}

// watermark writes across the page that an invoice is a draft, or void.
func (s *sheet) watermark() {
	mark := ""
	switch s.invoice.State {
	case billing.InvoiceDraft:
		mark = s.locale.words.draft
	case billing.InvoiceVoid:
		mark = s.locale.words.void
	default:
		return
	}
	const size = 84
	line := s.setter.Line(mark, typeset.Bold)
	s.page.Gray(0.9)
	s.page.Turned((s.left+s.right)/2, (s.top+s.bottom)/2, 0.6428, 0.766, func() {
		line.Draw(s.page, size, -line.Width*size/2000, -size/3, line.Width*size/1000, typeset.Left)
	})
	s.page.Gray(0)
}

// text draws a text on one line with its top at y, smaller if it would be too wide.
func (s *sheet) text(text string, style typeset.Style, size, x, width float64, align typeset.Align) {
	line := s.setter.Line(text, style)
	if wide := line.Width * size / 1000; wide > width {
		size *= width / wide
	}
	line.Draw(s.page, size, x, s.y-size, width, align)
}

// lines breaks a text, at most so many lines of it.
func (s *sheet) lines(text string, style typeset.Style, size, width float64, most int) []typeset.Line {
	lines := s.setter.Lines(text, style, width*1000/size)
	return lines[:min(len(lines), most)]
}

// block draws lines below y and moves it below them.
func (s *sheet) block(lines []typeset.Line, size, x, width float64, align typeset.Align) {
	for _, line := range lines {
		line.Draw(s.page, size, x, s.y-size, width, align)
		s.y -= size * leading
	}
}

func (s *sheet) footer(number, pages int, p *pdf.Page) {
	seller := &s.invoice.Seller
	w := &s.locale.words
	var facts []string
	add := func(label, value string) {
		if value = clean(value, maxName); value != "" {
			facts = append(facts, strings.TrimSpace(label+" "+value))
		}
	}
	add("", seller.Name)
	add(w.register, seller.Register)
	add(w.taxID, seller.TaxID)
	add(w.phone, seller.Phone)
	add(w.email, seller.Email)
	add(w.iban, seller.IBAN)
	add(w.bic, seller.BIC)
	width := s.right - s.left
	y := margin + footerHeight - 14
	p.Gray(0.7)
	p.Line(s.left, y+4, s.right, y+4, 0.5)
	p.Gray(0.35)
	for _, line := range s.lines(strings.Join(facts, " · "), typeset.Regular, smallSize, width-70, 3) {
		line.Draw(p, smallSize, s.left, y-smallSize, width, typeset.Left)
		y -= smallSize * leading
	}
	s.setter.Line(fmt.Sprintf(w.page, number, pages), typeset.Regular).
		Draw(p, smallSize, s.left, margin+footerHeight-14-smallSize, width, typeset.Right)
}
