package document

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rsc.io/qr"

	"radiusd/billing"
	"radiusd/billing/document/pdf"
	"radiusd/billing/document/typeset"
)

// MaxVouchers is how many cards a sheet may have, on as many pages as it takes.
const MaxVouchers = 20000

// VoucherSheet is vouchers to print and cut into cards, which are all alike but for
// their codes.
type VoucherSheet struct {
	// Title is whose vouchers they are. Value is the plan or the money that one is good
	// for, Validity how long, Text how to use it; any may be empty.
	Title, Value, Validity, Text string
	// Codes are the codes as they are to be typed, of printable ASCII.
	Codes []string
	// QR is what the QR code of a card says, with {code} where the card's code goes, as
	// in https://hotspot.example/?voucher={code}; empty: there is none.
	QR string
	// Columns and Rows of cards on a page; 0: 2 and 5.
	Columns, Rows int
	IssuedOn      billing.Date
	Options       Options
}

// WriteVoucherSheet writes vouchers as PDF. Whoever has the file has the vouchers. It
// fails for codes that cannot be printed, for more than MaxVouchers, and if the writer
// does.
func WriteVoucherSheet(w io.Writer, sheet VoucherSheet) error {
	l, err := localeOf(sheet.Options.Locale)
	if err != nil {
		return err
	}
	width, height, err := sheet.Options.Paper.size()
	if err != nil {
		return err
	}
	if sheet.Columns == 0 {
		sheet.Columns = 2
	}
	if sheet.Rows == 0 {
		sheet.Rows = 5
	}
	if err := sheet.validate(); err != nil {
		return err
	}
	file := pdf.NewFile(w, width, height, pdf.Info{
		Title: clean(l.words.voucher+" "+sheet.Title, maxName), Creator: "radiusd", Lang: l.tag, Created: sheet.IssuedOn.Start(time.UTC),
	})
	p := &cards{sheet: &sheet, locale: &l, setter: typeset.NewSetter(file)}
	p.width = (width - 2*cardMargin) / float64(sheet.Columns)
	p.height = (height - 2*cardMargin) / float64(sheet.Rows)
	perPage := sheet.Columns * sheet.Rows
	for k, code := range sheet.Codes {
		if k%perPage == 0 {
			p.page = file.NewPage()
		}
		column, row := k%perPage%sheet.Columns, k%perPage/sheet.Columns
		if err := p.card(cardMargin+float64(column)*p.width, height-cardMargin-float64(row)*p.height, code); err != nil {
			return err
		}
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write vouchers: %w", err)
	}
	return nil
}

func (s *VoucherSheet) validate() error {
	switch {
	case len(s.Codes) == 0:
		return errors.New("there are no vouchers to print")
	case len(s.Codes) > MaxVouchers:
		return fmt.Errorf("%d vouchers: at most %d can be printed at once", len(s.Codes), MaxVouchers)
	case s.Columns < 1 || s.Columns > 4 || s.Rows < 1 || s.Rows > 12:
		return fmt.Errorf("%d columns and %d rows: want 1 to 4 and 1 to 12", s.Columns, s.Rows)
	}
	for k, code := range s.Codes {
		ascii := strings.Trim(code, " ") == code && code != "" && len(code) <= 64
		for _, r := range code {
			ascii = ascii && r >= ' ' && r <= '~'
		}
		if !ascii {
			// The code itself is money, and does not go into an error.
			return fmt.Errorf("the code of voucher %d cannot be printed: want 1 to 64 characters of ASCII", k+1)
		}
	}
	return nil
}

// cardMargin is around the cards of a page: 8 mm.
const cardMargin = 22.7

// cards is a sheet while it is drawn.
type cards struct {
	sheet         *VoucherSheet
	locale        *locale
	setter        *typeset.Setter
	page          *pdf.Page
	width, height float64
}

// card draws a card with its upper left corner at x, y.
func (c *cards) card(x, y float64, code string) error {
	c.page.Gray(0.75)
	c.page.Frame(x, y-c.height, c.width, c.height, 0.4) // where to cut
	c.page.Gray(0)
	pad := min(12, c.height*0.09)
	bottom := y - c.height + pad
	x, width := x+pad, c.width-2*pad
	if c.sheet.QR != "" {
		size := min(c.height-2*pad, c.width*0.38)
		if err := c.qr(x+width-size, bottom, size, strings.ReplaceAll(c.sheet.QR, "{code}", code)); err != nil {
			return err
		}
		width -= size + pad/2
	}
	y -= pad
	// What is left empty leaves its room to the text.
	line := func(text string, style typeset.Style, size float64, most int) {
		if text == "" {
			return
		}
		lines := c.setter.Lines(text, style, width*1000/size)
		for _, l := range lines[:min(len(lines), most)] {
			if y-size < bottom {
				return
			}
			l.Draw(c.page, size, x, y-size, width, typeset.Start)
			y -= size * leading
		}
	}
	scale := min(1, c.height/120)
	line(clean(c.sheet.Title, maxName), typeset.Bold, 10*scale, 2)
	line(clean(c.sheet.Value, maxName), typeset.Regular, 10*scale, 2)
	y -= 4 * scale
	c.code(x, &y, width, 15*scale, code)
	y -= 3 * scale
	c.page.Gray(0.35)
	if validity := clean(c.sheet.Validity, maxName); validity != "" {
		line(c.locale.words.validity+": "+validity, typeset.Regular, 8*scale, 2)
	}
	line(cleanLines(c.sheet.Text, maxDescription), typeset.Regular, 7*scale, 8)
	c.page.Gray(0)
	return nil
}

// code draws the code on one line, as large as it fits.
func (c *cards) code(x float64, y *float64, width, size float64, code string) {
	line := c.setter.Line(code, typeset.Monospaced)
	if wide := line.Width * size / 1000; wide > width {
		size *= width / wide
	}
	line.Draw(c.page, size, x, *y-size, width, typeset.Left)
	*y -= size * leading
}

// qr draws a QR code with its lower left corner at x, y.
func (c *cards) qr(x, y, size float64, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("what the QR code says is too long: %w", err)
	}
	const quiet = 4 // modules that stay white around it
	module := size / float64(code.Size+2*quiet)
	for row := range code.Size {
		for column := 0; column < code.Size; column++ {
			from := column
			for column < code.Size && code.Black(column, row) {
				column++
			}
			if column > from {
				c.page.Rectangle(x+float64(from+quiet)*module, y+size-float64(row+quiet+1)*module, float64(column-from)*module, module)
			}
		}
	}
	return nil
}
