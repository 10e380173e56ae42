package document

import (
	"radiusd/billing"
	"radiusd/billing/document/typeset"
)

// column is a column of the table of lines.
type column struct {
	head  string
	x     float64
	width float64
	align typeset.Align
}

// Columns of the table.
const (
	colPosition = iota
	colDescription
	colQuantity
	colUnitPrice
	colTax
	colAmount
)

// columns returns the columns; what the others leave is the description's.
func (s *sheet) columns(gross bool) []column {
	w := &s.locale.words
	amount := w.amount
	if gross {
		amount = w.gross
	}
	columns := []column{
		{head: w.position, width: 26, align: typeset.Left},
		{head: w.description, align: typeset.Start},
		{head: w.quantity, width: 66, align: typeset.Right},
		{head: w.unitPrice, width: 62, align: typeset.Right},
		{head: w.taxRate, width: 38, align: typeset.Right},
		{head: amount, width: 78, align: typeset.Right},
	}
	rest := s.right - s.left
	for _, c := range columns {
		rest -= c.width
	}
	columns[colDescription].width = rest
	x := s.left
	for i := range columns {
		columns[i].x = x
		x += columns[i].width
	}
	return columns
}

// showsGross reports whether the lines' amounts are shown with tax: where prices contain
// it, and they add up to the total.
func showsGross(i *billing.Invoice) bool {
	var sum billing.Amount
	differs := false
	for _, line := range i.Lines {
		sum += line.Gross
		differs = differs || line.Gross != line.Net
	}
	return differs && sum == i.Total
}

// Bounds of a row, so that it fits on a page.
const (
	maxRowLines = 25
	rowPadding  = 3.5
	headHeight  = 20
	sumHeight   = 16
)

// table is the lines. Where it goes on over pages, the head is repeated and the sum so
// far is carried.
func (s *sheet) table() {
	gross := showsGross(s.invoice)
	columns := s.columns(gross)
	first := 0.0
	if len(s.invoice.Lines) > 0 {
		_, _, first = s.measure(columns, &s.invoice.Lines[0])
	}
	s.room(headHeight + first + sumHeight)
	s.tableHead(columns)
	var sum billing.Amount
	onPage := 0
	for i := range s.invoice.Lines {
		line := &s.invoice.Lines[i]
		amount := line.Net
		if gross {
			amount = line.Gross
		}
		description, period, height := s.measure(columns, line)
		last := i == len(s.invoice.Lines)-1
		needed := height
		if !last {
			needed += sumHeight
		}
		if onPage > 0 && s.y-needed < s.bottom {
			s.sumRow(columns, s.locale.words.carried, sum)
			s.newPage()
			s.tableHead(columns)
			s.sumRow(columns, s.locale.words.brought, sum)
			onPage = 0
		}
		s.row(columns, line, description, period, amount, height)
		sum += amount
		onPage++
	}
	s.page.Line(s.left, s.y, s.right, s.y, 0.8)
}

// measure returns what stands in a line's description, and how high its row is.
func (s *sheet) measure(columns []column, line *billing.InvoiceLine) (description []typeset.Line, period string, height float64) {
	description = s.lines(clean(line.Description, maxDescription), typeset.Regular, bodySize, columns[colDescription].width-8, maxRowLines)
	period = s.locale.span(line.Period)
	height = rowPadding*2 + float64(max(1, len(description)))*bodySize*leading
	if period != "" {
		height += smallSize * leading
	}
	return description, period, height
}

func (s *sheet) tableHead(columns []column) {
	s.page.Gray(0.92)
	s.page.Rectangle(s.left, s.y-headHeight+4, s.right-s.left, headHeight-4)
	s.page.Gray(0)
	s.y -= 4
	for _, c := range columns {
		s.text(c.head, typeset.Bold, 8, c.x+3, c.width-6, c.align)
	}
	s.y -= headHeight - 4
}

func (s *sheet) sumRow(columns []column, label string, sum billing.Amount) {
	s.y -= rowPadding
	c := columns[colDescription]
	s.text(label, typeset.Bold, 8, c.x+3, c.width-6, typeset.Left)
	c = columns[colAmount]
	s.text(s.locale.money(s.invoice.Currency, sum), typeset.Bold, 8, c.x+3, c.width-6, typeset.Right)
	s.y -= sumHeight - rowPadding
}

func (s *sheet) row(columns []column, line *billing.InvoiceLine, description []typeset.Line, period string, amount billing.Amount, height float64) {
	top := s.y
	s.y -= rowPadding
	cell := func(column int, text string) {
		c := columns[column]
		s.text(text, typeset.Regular, bodySize, c.x+3, c.width-6, c.align)
	}
	cell(colPosition, s.locale.number(decimalOf(line.Line)))
	cell(colQuantity, quantityText(s.locale, line))
	if line.UnitPrice != (billing.Decimal{}) {
		cell(colUnitPrice, s.locale.number(priceText(s.invoice.Currency, line.UnitPrice)))
	}
	cell(colTax, s.locale.number(line.TaxPercent.String())+" %")
	cell(colAmount, s.locale.money(s.invoice.Currency, amount))
	c := columns[colDescription]
	s.block(description, bodySize, c.x+3, c.width-6, c.align)
	if period != "" {
		s.page.Gray(0.35)
		s.text(period, typeset.Regular, smallSize, c.x+3, c.width-6, typeset.Left)
		s.page.Gray(0)
	}
	s.y = top - height
	s.page.Gray(0.8)
	s.page.Line(s.left, s.y, s.right, s.y, 0.4)
	s.page.Gray(0)
}
