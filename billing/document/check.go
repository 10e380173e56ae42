package document

import (
	"errors"
	"fmt"
	"slices"

	"radiusd/billing"
)

// Check says what an invoice lacks to be valid by EN 16931-1: an error that joins one
// for each thing, which ends with the standard's rule. Nil: it is valid.
//
// The tax of a rate may differ from rate times net by one cent, where prices contain
// the tax and net and tax have to add up to them; the standard's own validation lets
// more pass.
func Check(invoice *billing.Invoice) error {
	c := &checker{invoice: invoice}
	c.head()
	c.parties()
	c.lines()
	c.taxes()
	c.totals()
	if c.more > 0 {
		c.errs = append(c.errs, fmt.Errorf("and %d more", c.more))
	}
	return errors.Join(c.errs...)
}

const maxComplaints = 50

type checker struct {
	invoice *billing.Invoice
	errs    []error
	more    int // that are not in errs
}

// want notes what is missing unless ok.
func (c *checker) want(ok bool, rule, format string, args ...any) {
	switch {
	case ok:
	case len(c.errs) == maxComplaints:
		c.more++
	default:
		c.errs = append(c.errs, fmt.Errorf(format+" ("+rule+")", args...))
	}
}

func (c *checker) head() {
	i := c.invoice
	c.want(i.State != billing.InvoiceVoid, "no document", "the invoice is void")
	c.want(xmlText(i.Number) != "", "BR-02", "the invoice has no number: it is a draft")
	c.want(!i.IssuedOn.IsZero(), "BR-03", "the invoice has no day of issue")
	c.want(i.Kind == billing.KindInvoice || i.Kind == billing.KindCreditNote, "BR-04", "%q is no kind of invoice", i.Kind)
	_, err := billing.ParseCurrency(string(i.Currency))
	c.want(err == nil, "BR-05", "the invoice has no currency")
	for _, a := range amountsOf(i) {
		_, ok := ublText(i.Currency, a)
		c.want(ok, "BR-DEC-09", "%s %s has three decimals, and amounts may have two", i.Currency.Format(a), i.Currency)
	}
	c.want(i.Kind != billing.KindCreditNote || xmlText(i.CorrectsNumber) != "", "BR-55", "the credit note names no invoice")
	c.span("the invoice's period", i.Period, "BR-29")
	c.want(len(i.Lines) <= MaxLines, "limit", "the invoice has %d lines: at most %d can be written", len(i.Lines), MaxLines)
}

// amountsOf returns the amounts that stand in the XML.
func amountsOf(i *billing.Invoice) []billing.Amount {
	list := []billing.Amount{i.Net, i.Tax, i.Total, i.Paid}
	for _, t := range i.Taxes {
		list = append(list, t.Net, t.Tax)
	}
	for _, line := range i.Lines {
		list = append(list, line.Net)
	}
	return list
}

func (c *checker) span(what string, s billing.Span, rule string) {
	c.want(s.To.IsZero() || s.From.IsZero() || s.From.Before(s.To), rule, "%s ends before it begins", what)
}

func (c *checker) parties() {
	seller, buyer := &c.invoice.Seller, &c.invoice.Buyer
	c.want(xmlText(seller.Name) != "", "BR-06", "the seller has no name")
	c.want(xmlText(buyer.Name) != "", "BR-07", "the buyer has no name")
	c.want(country(seller.Country), "BR-09", "the seller has no country: want two letters such as DE, not %q", clean(seller.Country, 20))
	c.want(country(buyer.Country), "BR-11", "the buyer has no country: want two letters such as DE, not %q", clean(buyer.Country, 20))
	id := compact(seller.TaxID)
	c.want(outsideScope(c.invoice) || id != "", "BR-S-02", "the seller has no VAT number")
	c.want(vatNumber(id) && !outsideScope(c.invoice) || xmlText(seller.Register) != "", "BR-CO-26",
		"the seller has neither a VAT number that begins with its country's letters nor a number of registration")
	buyers := compact(buyer.TaxID)
	c.want(buyers == "" || vatNumber(buyers), "BR-CO-09", "the buyer's VAT number does not begin with the letters of its country")
	for _, line := range c.invoice.Lines {
		if needsBuyersVAT[line.TaxCategory] {
			c.want(buyers != "", "BR-"+line.TaxCategory+"-02", "the buyer has no VAT number, which tax category %s needs", line.TaxCategory)
			break
		}
	}
}

// categories are the tax categories of UNCL 5305 that EN 16931 knows for VAT, and what
// they are. S, L and M have a rate; L and M may be of 0.
var categories = map[string]bool{"S": true, "Z": true, "E": true, "AE": true, "K": true, "G": true, "O": true, "L": true, "M": true}

// Which categories need a reason, and the buyer's VAT number.
var (
	needsReason    = map[string]bool{"E": true, "AE": true, "K": true, "G": true, "O": true}
	needsBuyersVAT = map[string]bool{"AE": true, "K": true}
)

func (c *checker) lines() {
	c.want(len(c.invoice.Lines) > 0, "BR-16", "the invoice has no lines")
	numbers := map[int]bool{}
	for k := range c.invoice.Lines {
		line := &c.invoice.Lines[k]
		n := line.Line
		c.want(n > 0 && !numbers[n], "BR-21", "line %d: want numbers that differ, from 1", n)
		numbers[n] = true
		c.want(clean(line.Description, maxDescription) != "", "BR-25", "line %d has no description", n)
		c.want(categories[line.TaxCategory], "BR-CO-04", "line %d has no tax category: want one of UNCL 5305 such as S, not %q", n, clean(line.TaxCategory, 20))
		c.rate(fmt.Sprintf("line %d", n), line.TaxCategory, line.TaxPercent)
		c.span(fmt.Sprintf("the period of line %d", n), line.Period, "BR-30")
	}
}

func (c *checker) rate(what, category string, percent billing.Decimal) {
	if !categories[category] {
		return // which is said elsewhere
	}
	switch category {
	case "S":
		c.want(percent.Sign() > 0, "BR-S-05", "%s is of category S and has no tax rate", what)
	case "L", "M":
		c.want(percent.Sign() >= 0, "BR-IG-05", "%s has a tax rate below 0", what)
	default:
		c.want(percent.Sign() == 0, "BR-"+category+"-05", "%s is of category %s, which has no tax, and has a rate of %s %%", what, category, percent)
	}
}

func (c *checker) taxes() {
	i := c.invoice
	nets := map[taxKey]billing.Amount{}
	outside, inside := false, false
	for _, line := range i.Lines {
		nets[taxKey{line.TaxCategory, line.TaxPercent}] += line.Net
		outside, inside = outside || line.TaxCategory == "O", inside || line.TaxCategory != "O"
	}
	c.want(!outside || !inside, "BR-O-11", "lines outside the scope of VAT (category O) and others are on one invoice")
	c.want(len(i.Taxes) > 0, "BR-CO-18", "the invoice has no taxes by rate")
	for _, t := range taxGroups(i) {
		category := clean(t.Category, 20)
		what := fmt.Sprintf("the tax of category %s and %s %%", category, t.Percent)
		c.rate(what, t.Category, t.Percent)
		key := taxKey{t.Category, t.Percent}
		net, ok := nets[key]
		delete(nets, key)
		c.want(ok && net == t.Net, "BR-"+category+"-08", "%s is on %s, and its lines add up to %s", what, i.Currency.Format(t.Net), i.Currency.Format(net))
		tax, err := t.Percent.Percent(t.Net)
		c.want(err == nil && max(tax-t.Tax, t.Tax-tax) <= 1, "BR-CO-17", "%s is %s, and the rate makes %s", what, i.Currency.Format(t.Tax), i.Currency.Format(tax))
		c.want(!needsReason[t.Category] || xmlText(t.ExemptionReason) != "", "BR-"+category+"-10", "%s has no reason why there is no tax", what)
		c.want(needsReason[t.Category] || t.ExemptionReason == "", "BR-"+category+"-10", "%s has a reason for no tax", what)
	}
	for key := range nets {
		c.want(false, "BR-CO-18", "there is no sum of the tax of category %s and %s %%", clean(key.category, 20), key.percent)
	}
}

func (c *checker) totals() {
	i := c.invoice
	var net, tax billing.Amount
	for _, line := range i.Lines {
		net += line.Net
	}
	for _, t := range i.Taxes {
		tax += t.Tax
	}
	c.want(net == i.Net, "BR-CO-10", "the net is %s, and the lines add up to %s", i.Currency.Format(i.Net), i.Currency.Format(net))
	c.want(tax == i.Tax, "BR-CO-14", "the tax is %s, and the taxes by rate add up to %s", i.Currency.Format(i.Tax), i.Currency.Format(tax))
	c.want(i.Net+i.Tax == i.Total, "BR-CO-15", "the total is %s, and net and tax are %s", i.Currency.Format(i.Total), i.Currency.Format(i.Net+i.Tax))
}

// taxKey is what taxes are summed by.
type taxKey struct {
	category string
	percent  billing.Decimal
}

// taxGroups returns the taxes summed by category and rate, in the invoice's order: the
// standard wants one of each.
func taxGroups(i *billing.Invoice) []billing.TaxTotal {
	var groups []billing.TaxTotal
	at := map[taxKey]int{}
	for _, t := range i.Taxes {
		key := taxKey{t.Category, t.Percent}
		if n, ok := at[key]; ok {
			groups[n].Net += t.Net
			groups[n].Tax += t.Tax
			continue
		}
		at[key] = len(groups)
		groups = append(groups, t)
	}
	return groups
}

// outsideScope reports whether the invoice is outside the scope of VAT.
func outsideScope(i *billing.Invoice) bool {
	return slices.ContainsFunc(i.Lines, func(l billing.InvoiceLine) bool { return l.TaxCategory == "O" })
}

func country(s string) bool { return len(s) == 2 && letter(s[0]) && letter(s[1]) }

// vatNumber reports whether a number begins with the letters of a country, as VAT
// numbers in the EU do.
func vatNumber(s string) bool { return len(s) > 2 && country(s[:2]) }

func letter(b byte) bool { return b >= 'A' && b <= 'Z' }
