package document

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"radiusd/billing"
)

// What the documents say they conform to.
const (
	ublCustomization = "urn:cen.eu:en16931:2017"
	// ublProfile is that of Peppol BIS Billing 3: an invoice or credit note, and no
	// answer to it.
	ublProfile = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
)

// Codes of UNTDID 1001 and 4461.
const (
	typeInvoice    = "380"
	typeCreditNote = "381"
	meansTransfer  = "30"
	meansSEPA      = "58"
)

// WriteUBL writes an invoice or credit note as UBL 2.1 (ISO/IEC 19845) by EN 16931-1.
// It fails with what Check finds, rather than write what is not valid.
//
// A line whose quantity times price is not its net amount to the cent (prices that
// contain the tax, tiers of usage) is one of what its description says, at its net
// amount; what was counted is said in the line's note. A line with a negative net
// amount has a negative quantity.
func WriteUBL(w io.Writer, invoice *billing.Invoice) error {
	if err := Check(invoice); err != nil {
		return err
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write UBL: %w", err)
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(ublOf(invoice)); err != nil {
		return fmt.Errorf("write UBL: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write UBL: %w", err)
	}
	return nil
}

func ublOf(i *billing.Invoice) *ublDocument {
	credit := i.Kind == billing.KindCreditNote
	d := &ublDocument{
		XMLName: xml.Name{Local: "Invoice"}, XMLNS: "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2",
		CAC:             "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
		CBC:             "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
		CustomizationID: ublCustomization, ProfileID: ublProfile,
		ID: xmlText(i.Number), IssueDate: i.IssuedOn.String(), TypeCode: typeInvoice,
		Note: xmlText(i.Note), Currency: string(i.Currency), BuyerReference: xmlText(i.Buyer.Username),
		Period: ublPeriodOf(i.Period),
	}
	if credit {
		d.XMLName.Local, d.XMLNS = "CreditNote", "urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2"
		d.TypeCode, d.CreditTypeCode = "", typeCreditNote
		d.PaymentTerms = &ublNote{"Credited to the customer's account."}
	} else {
		d.DueDate = i.DueOn.String()
		if i.DueOn.IsZero() {
			d.PaymentTerms = &ublNote{"Payable on receipt."}
		}
		if iban := compact(i.Seller.IBAN); iban != "" {
			d.PaymentMeans = paymentMeans(i, iban)
		}
	}
	if i.CorrectsNumber != "" {
		d.BillingReference = &ublBillingReference{xmlText(i.CorrectsNumber)}
	}
	outside := outsideScope(i)
	d.Supplier, d.Customer = partyOf(&i.Seller, true, outside), partyOf(&i.Buyer, false, outside)
	amount := func(a billing.Amount) ublAmount {
		text, _ := ublText(i.Currency, a)
		return ublAmount{string(i.Currency), text}
	}
	d.TaxTotal.TaxAmount = amount(i.Tax)
	for _, t := range taxGroups(i) {
		d.TaxTotal.Subtotals = append(d.TaxTotal.Subtotals, ublSubtotal{
			Taxable: amount(t.Net), Tax: amount(t.Tax), Category: categoryOf(t.Category, t.Percent, xmlText(t.ExemptionReason)),
		})
	}
	d.Total = ublMonetaryTotal{Lines: amount(i.Net), Exclusive: amount(i.Net), Inclusive: amount(i.Total), Payable: amount(i.Open())}
	if i.Paid != 0 {
		paid := amount(i.Paid)
		d.Total.Prepaid = &paid
	}
	for k := range i.Lines {
		line := ublLineOf(i, &i.Lines[k], credit)
		if credit {
			d.CreditLines = append(d.CreditLines, line)
		} else {
			d.Lines = append(d.Lines, line)
		}
	}
	return d
}

func paymentMeans(i *billing.Invoice, iban string) *ublPaymentMeans {
	m := &ublPaymentMeans{Code: meansTransfer, PaymentID: xmlText(i.Number)}
	if ref, err := billing.RFReference(i.Number); err == nil { // BT-83, which the bank brings back
		m.PaymentID = ref
	}
	if i.Currency == "EUR" {
		m.Code = meansSEPA
	}
	m.Account = ublAccount{ID: iban, Name: xmlText(i.Seller.Name)}
	if bic := compact(i.Seller.BIC); bic != "" {
		m.Account.Branch = &ublID{bic}
	}
	return m
}

func ublPeriodOf(s billing.Span) *ublPeriod {
	if s.From.IsZero() {
		return nil
	}
	p := &ublPeriod{Start: s.From.String()}
	if !s.To.IsZero() {
		p.End = s.To.AddDays(-1).String()
	}
	return p
}

// partyOf returns a party. Invoices outside the scope of VAT must not have VAT numbers
// (BR-O-02).
func partyOf(p *billing.Party, seller, outside bool) ublPartyOf {
	party := ublParty{Legal: ublLegal{Name: xmlText(p.Name)}}
	if email := xmlText(p.Email); email != "" {
		party.Endpoint = &ublEndpoint{"EM", email}
	}
	if username := xmlText(p.Username); username != "" && !seller {
		party.Identification = &ublID{username}
	}
	lines := addressLines(&billing.Party{Address: p.Address}, false)
	for len(lines) < 2 {
		lines = append(lines, "")
	}
	party.Address = ublAddress{
		Street: lines[0], Additional: lines[1], City: xmlText(p.City), Zone: xmlText(p.Postcode),
		Country: ublCountry{strings.ToUpper(xmlText(p.Country))},
	}
	if more := strings.Join(lines[2:], ", "); more != "" {
		party.Address.Line = &ublLineText{more}
	}
	if id := compact(p.TaxID); id != "" && !outside {
		scheme := "VAT"
		if !vatNumber(id) { // a national one of the seller's (BT-32)
			scheme = "TAX"
		}
		party.Tax = &ublPartyTax{CompanyID: id, Scheme: ublTaxScheme{scheme}}
	}
	if seller {
		party.Legal.CompanyID = xmlText(p.Register)
	}
	if phone := xmlText(p.Phone); phone != "" || p.Email != "" {
		party.Contact = &ublContact{Phone: phone, Email: xmlText(p.Email)}
	}
	return ublPartyOf{party}
}

func categoryOf(category string, percent billing.Decimal, reason string) ublCategory {
	c := ublCategory{ID: category, Reason: reason, Scheme: ublTaxScheme{"VAT"}}
	if category != "O" { // which has no rate (BR-O-05)
		c.Percent = percent.String()
	}
	return c
}

func ublLineOf(i *billing.Invoice, line *billing.InvoiceLine, credit bool) ublLine {
	quantity, code, price, exact := lineQuantity(i.Currency, line)
	net, _ := ublText(i.Currency, line.Net)
	l := ublLine{
		ID: decimalOf(line.Line), Amount: ublAmount{string(i.Currency), net},
		Period: ublPeriodOf(line.Period),
		Item:   ublItem{Name: clean(line.Description, maxDescription), Category: categoryOf(line.TaxCategory, line.TaxPercent, "")},
		Price:  ublPrice{ublAmount{string(i.Currency), price}},
	}
	if !exact && line.Quantity != (billing.Decimal{}) {
		l.Note = strings.TrimSpace(line.Quantity.String() + " " + xmlText(line.Unit))
	}
	q := &ublQuantity{code, quantity}
	if credit {
		l.Credited = q
	} else {
		l.Invoiced = q
	}
	return l
}

// xmlText is a text as it may stand in a document.
func xmlText(s string) string { return clean(s, maxNote) }

// compact takes the spaces out of a number of an account or for tax.
func compact(s string) string { return strings.ToUpper(strings.ReplaceAll(xmlText(s), " ", "")) }
