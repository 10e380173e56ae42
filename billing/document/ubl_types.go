package document

import "encoding/xml"

// The parts of UBL 2.1 that are written, in the order that its schemas want. The names
// have the prefixes that the document declares.

type ublDocument struct {
	XMLName          xml.Name
	XMLNS            string               `xml:"xmlns,attr"`
	CAC              string               `xml:"xmlns:cac,attr"`
	CBC              string               `xml:"xmlns:cbc,attr"`
	CustomizationID  string               `xml:"cbc:CustomizationID"`
	ProfileID        string               `xml:"cbc:ProfileID"`
	ID               string               `xml:"cbc:ID"`
	IssueDate        string               `xml:"cbc:IssueDate"`
	DueDate          string               `xml:"cbc:DueDate,omitempty"` // of invoices
	TypeCode         string               `xml:"cbc:InvoiceTypeCode,omitempty"`
	CreditTypeCode   string               `xml:"cbc:CreditNoteTypeCode,omitempty"`
	Note             string               `xml:"cbc:Note,omitempty"`
	Currency         string               `xml:"cbc:DocumentCurrencyCode"`
	BuyerReference   string               `xml:"cbc:BuyerReference,omitempty"`
	Period           *ublPeriod           `xml:"cac:InvoicePeriod"`
	BillingReference *ublBillingReference `xml:"cac:BillingReference"`
	Supplier         ublPartyOf           `xml:"cac:AccountingSupplierParty"`
	Customer         ublPartyOf           `xml:"cac:AccountingCustomerParty"`
	PaymentMeans     *ublPaymentMeans     `xml:"cac:PaymentMeans"`
	PaymentTerms     *ublNote             `xml:"cac:PaymentTerms"`
	TaxTotal         ublTaxTotal          `xml:"cac:TaxTotal"`
	Total            ublMonetaryTotal     `xml:"cac:LegalMonetaryTotal"`
	Lines            []ublLine            `xml:"cac:InvoiceLine"`
	CreditLines      []ublLine            `xml:"cac:CreditNoteLine"`
}

type ublPeriod struct {
	Start string `xml:"cbc:StartDate"`
	End   string `xml:"cbc:EndDate,omitempty"`
}

type ublBillingReference struct {
	ID string `xml:"cac:InvoiceDocumentReference>cbc:ID"`
}

type ublNote struct {
	Note string `xml:"cbc:Note"`
}

type ublPartyOf struct {
	Party ublParty `xml:"cac:Party"`
}

type ublParty struct {
	Endpoint       *ublEndpoint `xml:"cbc:EndpointID"`
	Identification *ublID       `xml:"cac:PartyIdentification"`
	Address        ublAddress   `xml:"cac:PostalAddress"`
	Tax            *ublPartyTax `xml:"cac:PartyTaxScheme"`
	Legal          ublLegal     `xml:"cac:PartyLegalEntity"`
	Contact        *ublContact  `xml:"cac:Contact"`
}

type ublEndpoint struct {
	Scheme string `xml:"schemeID,attr"`
	Value  string `xml:",chardata"`
}

type ublID struct {
	ID string `xml:"cbc:ID"`
}

type ublAddress struct {
	Street     string       `xml:"cbc:StreetName,omitempty"`
	Additional string       `xml:"cbc:AdditionalStreetName,omitempty"`
	City       string       `xml:"cbc:CityName,omitempty"`
	Zone       string       `xml:"cbc:PostalZone,omitempty"`
	Line       *ublLineText `xml:"cac:AddressLine"`
	Country    ublCountry   `xml:"cac:Country"`
}

type ublLineText struct {
	Line string `xml:"cbc:Line"`
}

type ublCountry struct {
	Code string `xml:"cbc:IdentificationCode"`
}

type ublPartyTax struct {
	CompanyID string       `xml:"cbc:CompanyID"`
	Scheme    ublTaxScheme `xml:"cac:TaxScheme"`
}

type ublTaxScheme struct {
	ID string `xml:"cbc:ID"`
}

type ublLegal struct {
	Name      string `xml:"cbc:RegistrationName"`
	CompanyID string `xml:"cbc:CompanyID,omitempty"`
}

type ublContact struct {
	Phone string `xml:"cbc:Telephone,omitempty"`
	Email string `xml:"cbc:ElectronicMail,omitempty"`
}

type ublPaymentMeans struct {
	Code      string     `xml:"cbc:PaymentMeansCode"`
	PaymentID string     `xml:"cbc:PaymentID"`
	Account   ublAccount `xml:"cac:PayeeFinancialAccount"`
}

type ublAccount struct {
	ID     string `xml:"cbc:ID"`
	Name   string `xml:"cbc:Name"`
	Branch *ublID `xml:"cac:FinancialInstitutionBranch"`
}

type ublAmount struct {
	Currency string `xml:"currencyID,attr"`
	Value    string `xml:",chardata"`
}

type ublTaxTotal struct {
	TaxAmount ublAmount     `xml:"cbc:TaxAmount"`
	Subtotals []ublSubtotal `xml:"cac:TaxSubtotal"`
}

type ublSubtotal struct {
	Taxable  ublAmount   `xml:"cbc:TaxableAmount"`
	Tax      ublAmount   `xml:"cbc:TaxAmount"`
	Category ublCategory `xml:"cac:TaxCategory"`
}

type ublCategory struct {
	ID      string       `xml:"cbc:ID"`
	Percent string       `xml:"cbc:Percent,omitempty"`
	Reason  string       `xml:"cbc:TaxExemptionReason,omitempty"`
	Scheme  ublTaxScheme `xml:"cac:TaxScheme"`
}

type ublMonetaryTotal struct {
	Lines     ublAmount  `xml:"cbc:LineExtensionAmount"`
	Exclusive ublAmount  `xml:"cbc:TaxExclusiveAmount"`
	Inclusive ublAmount  `xml:"cbc:TaxInclusiveAmount"`
	Prepaid   *ublAmount `xml:"cbc:PrepaidAmount"`
	Payable   ublAmount  `xml:"cbc:PayableAmount"`
}

type ublLine struct {
	ID       string       `xml:"cbc:ID"`
	Note     string       `xml:"cbc:Note,omitempty"`
	Invoiced *ublQuantity `xml:"cbc:InvoicedQuantity"`
	Credited *ublQuantity `xml:"cbc:CreditedQuantity"`
	Amount   ublAmount    `xml:"cbc:LineExtensionAmount"`
	Period   *ublPeriod   `xml:"cac:InvoicePeriod"`
	Item     ublItem      `xml:"cac:Item"`
	Price    ublPrice     `xml:"cac:Price"`
}

type ublQuantity struct {
	Unit  string `xml:"unitCode,attr"`
	Value string `xml:",chardata"`
}

type ublItem struct {
	Name     string      `xml:"cbc:Name"`
	Category ublCategory `xml:"cac:ClassifiedTaxCategory"`
}

type ublPrice struct {
	Amount ublAmount `xml:"cbc:PriceAmount"`
}
