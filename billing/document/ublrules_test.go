package document

import (
	"encoding/xml"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An independent reading of what WriteUBL writes: the order of elements by the schemas
// of UBL 2.1, and the rules of EN 16931-1 that concern what is written, from the document
// alone.

// element is an element of a document.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Children []element  `xml:",any"`
}

const (
	nsCAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
	nsCBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"
)

func readUBL(t testing.TB, document []byte) element {
	t.Helper()
	var e element
	require.NoError(t, xml.Unmarshal(document, &e))
	return e
}

// all returns the elements at a path such as TaxTotal/TaxSubtotal.
func (e element) all(path string) []element {
	name, rest, more := strings.Cut(path, "/")
	var found []element
	for _, c := range e.Children {
		if c.XMLName.Local != name {
			continue
		}
		if more {
			found = append(found, c.all(rest)...)
		} else {
			found = append(found, c)
		}
	}
	return found
}

// text returns the text at a path, empty if there is none.
func (e element) text(path string) string {
	if found := e.all(path); len(found) > 0 {
		return strings.TrimSpace(found[0].Text)
	}
	return ""
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// number returns the amount at a path, which must be a decimal number.
func (e element) number(path string) *big.Rat {
	r, ok := new(big.Rat).SetString(e.text(path))
	if !ok {
		return big.NewRat(-999999999999, 7) // adds up to nothing
	}
	return r
}

// sequences are the children of the types that are written, in the schemas' order, as
// far as EN 16931 uses them. A ! says that there must be one, a * that there may be many.
var sequences = map[string]string{
	"Invoice": "CustomizationID! ProfileID ID! IssueDate! DueDate InvoiceTypeCode! Note* TaxPointDate DocumentCurrencyCode! TaxCurrencyCode " +
		"AccountingCost BuyerReference InvoicePeriod OrderReference BillingReference* DespatchDocumentReference ReceiptDocumentReference " +
		"OriginatorDocumentReference ContractDocumentReference AdditionalDocumentReference* ProjectReference AccountingSupplierParty! " +
		"AccountingCustomerParty! PayeeParty TaxRepresentativeParty Delivery PaymentMeans* PaymentTerms AllowanceCharge* TaxTotal! " +
		"LegalMonetaryTotal! InvoiceLine*!",
	"CreditNote": "CustomizationID! ProfileID ID! IssueDate! TaxPointDate CreditNoteTypeCode! Note* DocumentCurrencyCode! TaxCurrencyCode " +
		"AccountingCost BuyerReference InvoicePeriod OrderReference BillingReference* DespatchDocumentReference ReceiptDocumentReference " +
		"ContractDocumentReference AdditionalDocumentReference* OriginatorDocumentReference AccountingSupplierParty! AccountingCustomerParty! " +
		"PayeeParty TaxRepresentativeParty Delivery PaymentMeans* PaymentTerms AllowanceCharge* TaxTotal! LegalMonetaryTotal! CreditNoteLine*!",
	"InvoicePeriod":              "StartDate EndDate DescriptionCode",
	"BillingReference":           "InvoiceDocumentReference!",
	"InvoiceDocumentReference":   "ID! IssueDate",
	"AccountingSupplierParty":    "Party!",
	"AccountingCustomerParty":    "Party!",
	"Party":                      "EndpointID PartyIdentification* PartyName PostalAddress! PartyTaxScheme* PartyLegalEntity! Contact",
	"PartyIdentification":        "ID!",
	"PostalAddress":              "StreetName AdditionalStreetName CityName PostalZone CountrySubentity AddressLine Country!",
	"AddressLine":                "Line!",
	"Country":                    "IdentificationCode!",
	"PartyTaxScheme":             "CompanyID! TaxScheme!",
	"TaxScheme":                  "ID!",
	"PartyLegalEntity":           "RegistrationName! CompanyID CompanyLegalForm",
	"Contact":                    "Name Telephone ElectronicMail",
	"PaymentMeans":               "PaymentMeansCode! PaymentID* CardAccount PayeeFinancialAccount PaymentMandate",
	"PayeeFinancialAccount":      "ID! Name FinancialInstitutionBranch",
	"FinancialInstitutionBranch": "ID!",
	"PaymentTerms":               "Note!",
	"TaxTotal":                   "TaxAmount! TaxSubtotal*",
	"TaxSubtotal":                "TaxableAmount! TaxAmount! TaxCategory!",
	"TaxCategory":                "ID! Percent TaxExemptionReasonCode TaxExemptionReason TaxScheme!",
	"ClassifiedTaxCategory":      "ID! Percent TaxScheme!",
	"LegalMonetaryTotal": "LineExtensionAmount! TaxExclusiveAmount! TaxInclusiveAmount! AllowanceTotalAmount ChargeTotalAmount PrepaidAmount " +
		"PayableRoundingAmount PayableAmount!",
	"InvoiceLine":    "ID! Note InvoicedQuantity! LineExtensionAmount! AccountingCost InvoicePeriod OrderLineReference DocumentReference AllowanceCharge* Item! Price!",
	"CreditNoteLine": "ID! Note CreditedQuantity! LineExtensionAmount! AccountingCost InvoicePeriod OrderLineReference DocumentReference AllowanceCharge* Item! Price!",
	"Item":           "Description Name! BuyersItemIdentification SellersItemIdentification StandardItemIdentification OriginCountry CommodityClassification* ClassifiedTaxCategory! AdditionalItemProperty*",
	"Price":          "PriceAmount! BaseQuantity AllowanceCharge",
}

// schemaFaults returns where a document is not as the schemas want it.
func schemaFaults(e element) []string {
	var faults []string
	name := e.XMLName.Local
	sequence, aggregate := sequences[name]
	if !aggregate {
		if len(e.Children) > 0 {
			faults = append(faults, name+" has children")
		}
		if strings.TrimSpace(e.Text) == "" {
			faults = append(faults, name+" is empty")
		}
		return faults
	}
	at := 0
	count := map[string]int{}
	fields := strings.Fields(sequence)
	for _, child := range e.Children {
		local := child.XMLName.Local
		found := slices.IndexFunc(fields, func(f string) bool { return strings.TrimRight(f, "!*") == local })
		switch {
		case found < 0:
			faults = append(faults, local+" is not of "+name)
		case found < at:
			faults = append(faults, local+" comes too late in "+name)
		default:
			at = found
		}
		count[local]++
		_, isAggregate := sequences[local]
		if want := map[bool]string{true: nsCAC, false: nsCBC}[isAggregate]; child.XMLName.Space != want {
			faults = append(faults, local+" is of the namespace "+child.XMLName.Space)
		}
		faults = append(faults, schemaFaults(child)...)
	}
	for _, f := range fields {
		local := strings.TrimRight(f, "!*")
		if strings.Contains(f, "!") && count[local] == 0 {
			faults = append(faults, local+" is missing in "+name)
		}
		if !strings.Contains(f, "*") && count[local] > 1 {
			faults = append(faults, local+" is repeated in "+name)
		}
	}
	return faults
}

var twoDecimals = regexp.MustCompile(`^-?\d+(\.\d{1,2})?$`)

// ruleFaults returns the rules of EN 16931-1 that a document breaks.
func ruleFaults(e element) []string {
	var faults []string
	rule := func(ok bool, name, format string, args ...any) {
		if !ok {
			faults = append(faults, name+": "+fmt.Sprintf(format, args...))
		}
	}
	for name, path := range map[string]string{
		"BR-01": "CustomizationID", "BR-02": "ID", "BR-03": "IssueDate", "BR-05": "DocumentCurrencyCode",
		"BR-06": "AccountingSupplierParty/Party/PartyLegalEntity/RegistrationName",
		"BR-07": "AccountingCustomerParty/Party/PartyLegalEntity/RegistrationName",
		"BR-08": "AccountingSupplierParty/Party/PostalAddress/Country", "BR-10": "AccountingCustomerParty/Party/PostalAddress/Country",
		"BR-12": "LegalMonetaryTotal/LineExtensionAmount", "BR-13": "LegalMonetaryTotal/TaxExclusiveAmount",
		"BR-14": "LegalMonetaryTotal/TaxInclusiveAmount", "BR-15": "LegalMonetaryTotal/PayableAmount", "BR-CO-18": "TaxTotal/TaxSubtotal",
	} {
		rule(len(e.all(path)) > 0, name, "no %s", path)
	}
	lineName := strings.TrimSuffix(e.XMLName.Local, "") + "Line"
	typeCode := e.text(e.XMLName.Local + "TypeCode")
	rule(typeCode == map[string]string{"Invoice": "380", "CreditNote": "381"}[e.XMLName.Local], "BR-04", "type %q", typeCode)
	for _, who := range []string{"Supplier", "Customer"} {
		code := e.text("Accounting" + who + "Party/Party/PostalAddress/Country/IdentificationCode")
		rule(regexp.MustCompile(`^[A-Z]{2}$`).MatchString(code), "BR-09/11", "country %q", code)
		for _, scheme := range e.all("Accounting" + who + "Party/Party/PartyTaxScheme") {
			if scheme.text("TaxScheme/ID") == "VAT" {
				rule(regexp.MustCompile(`^[A-Z]{2}.`).MatchString(scheme.text("CompanyID")), "BR-CO-09", "%s", scheme.text("CompanyID"))
			}
		}
	}
	seller := e.all("AccountingSupplierParty/Party")[0]
	rule(seller.text("PartyIdentification/ID")+seller.text("PartyLegalEntity/CompanyID")+seller.text("PartyTaxScheme/CompanyID") != "", "BR-CO-26", "nothing identifies the seller")
	lines := e.all(lineName)
	rule(len(lines) > 0, "BR-16", "no lines")
	currency := e.text("DocumentCurrencyCode")
	var amounts func(element)
	amounts = func(e element) {
		for _, c := range e.Children {
			if strings.HasSuffix(c.XMLName.Local, "Amount") {
				rule(c.attr("currencyID") == currency, "BR-CL-03", "%s in %s", c.XMLName.Local, c.attr("currencyID"))
				rule(c.XMLName.Local == "PriceAmount" || twoDecimals.MatchString(c.Text), "BR-DEC", "%s %s", c.XMLName.Local, c.Text)
			}
			amounts(c)
		}
	}
	amounts(e)
	type key struct{ id, percent string }
	sum, byCategory, ids := new(big.Rat), map[key]*big.Rat{}, map[string]bool{}
	for _, line := range lines {
		id := line.text("ID")
		rule(id != "" && !ids[id], "BR-21", "line %q", id)
		ids[id] = true
		quantity := slices.Concat(line.all("InvoicedQuantity"), line.all("CreditedQuantity"))
		rule(len(quantity) == 1 && quantity[0].attr("unitCode") != "", "BR-22/23", "line %s", id)
		rule(line.text("LineExtensionAmount") != "", "BR-24", "line %s", id)
		rule(line.text("Item/Name") != "", "BR-25", "line %s", id)
		rule(line.text("Price/PriceAmount") != "", "BR-26", "line %s", id)
		rule(line.number("Price/PriceAmount").Sign() >= 0, "BR-27", "line %s", id)
		rule(line.text("Item/ClassifiedTaxCategory/ID") != "", "BR-CO-04", "line %s", id)
		period := line.text("InvoicePeriod/EndDate")
		rule(period == "" || period >= line.text("InvoicePeriod/StartDate"), "BR-30", "line %s", id)
		q, _ := new(big.Rat).SetString(quantity[0].Text)
		rule(q.Mul(q, line.number("Price/PriceAmount")).Cmp(line.number("LineExtensionAmount")) == 0, "PEPPOL-EN16931-R120", "line %s", id)
		sum.Add(sum, line.number("LineExtensionAmount"))
		k := key{line.text("Item/ClassifiedTaxCategory/ID"), line.text("Item/ClassifiedTaxCategory/Percent")}
		if byCategory[k] == nil {
			byCategory[k] = new(big.Rat)
		}
		byCategory[k].Add(byCategory[k], line.number("LineExtensionAmount"))
	}
	total := e.all("LegalMonetaryTotal")[0]
	rule(sum.Cmp(total.number("LineExtensionAmount")) == 0, "BR-CO-10", "lines add up to %s", sum.FloatString(2))
	rule(total.number("TaxExclusiveAmount").Cmp(total.number("LineExtensionAmount")) == 0, "BR-CO-13", "without allowances and charges they are one")
	tax := new(big.Rat)
	vat := seller.text("PartyTaxScheme/CompanyID")
	for _, s := range e.all("TaxTotal/TaxSubtotal") {
		k := key{s.text("TaxCategory/ID"), s.text("TaxCategory/Percent")}
		rule(byCategory[k] != nil && byCategory[k].Cmp(s.number("TaxableAmount")) == 0, "BR-*-08", "%v", k)
		delete(byCategory, k)
		tax.Add(tax, s.number("TaxAmount"))
		if k.id == "O" {
			rule(k.percent == "", "BR-O-05", "a rate of %s", k.percent)
			rule(vat == "" && e.text("AccountingCustomerParty/Party/PartyTaxScheme/CompanyID") == "", "BR-O-02", "a VAT number")
		} else {
			rule(k.percent != "", "BR-48", "no rate of %s", k.id)
			rule(vat != "", "BR-S-02", "no VAT number")
			should := new(big.Rat).Mul(s.number("TaxableAmount"), s.number("TaxCategory/Percent"))
			should.Quo(should, big.NewRat(100, 1))
			off := should.Sub(should, s.number("TaxAmount"))
			// One cent more than rounding makes; the standard's own test lets 1.00 pass.
			rule(off.Abs(off).Cmp(big.NewRat(15, 1000)) <= 0, "BR-CO-17", "%v: off by %s", k, off.FloatString(4))
		}
		rule((k.id == "S") == (s.number("TaxCategory/Percent").Sign() > 0), "BR-*-05", "%v", k)
		exempt := slices.Contains([]string{"E", "AE", "K", "G", "O"}, k.id)
		rule(exempt == (s.text("TaxCategory/TaxExemptionReason") != ""), "BR-*-10", "%v", k)
	}
	rule(len(byCategory) == 0, "BR-CO-18", "no sum of %v", byCategory)
	rule(tax.Cmp(e.number("TaxTotal/TaxAmount")) == 0, "BR-CO-14", "taxes add up to %s", tax.FloatString(2))
	inclusive := new(big.Rat).Add(total.number("TaxExclusiveAmount"), tax)
	rule(inclusive.Cmp(total.number("TaxInclusiveAmount")) == 0, "BR-CO-15", "%s", inclusive.FloatString(2))
	payable := new(big.Rat).Set(total.number("TaxInclusiveAmount"))
	if len(total.all("PrepaidAmount")) > 0 {
		payable.Sub(payable, total.number("PrepaidAmount"))
	}
	rule(payable.Cmp(total.number("PayableAmount")) == 0, "BR-CO-16", "%s", payable.FloatString(2))
	rule(payable.Sign() <= 0 || e.text("DueDate")+e.text("PaymentTerms/Note") != "", "BR-CO-25", "no due date and no terms")
	for _, m := range e.all("PaymentMeans") {
		rule(m.text("PaymentMeansCode") != "", "BR-49", "no code")
		rule(m.text("PayeeFinancialAccount/ID") != "", "BR-50/61", "no account")
	}
	rule(e.XMLName.Local == "Invoice" || e.text("BillingReference/InvoiceDocumentReference/ID") != "", "BR-55", "a credit note about nothing")
	return faults
}
