package billing

import (
	"errors"
	"strings"
	"time"
)

// Settings are how bills are made, the same on every node. They are changed while the
// servers run.
type Settings struct {
	// Seller stands on invoices.
	Seller Party `json:"seller"`
	// Series and CreditSeries are what the numbers of invoices and of credit notes begin
	// with.
	Series       string `json:"series"`
	CreditSeries string `json:"credit_series"`
	// SettleDays, LookBackDays and DueDays are those of RunOptions.
	SettleDays   int `json:"settle_days"`
	LookBackDays int `json:"look_back_days"`
	DueDays      int `json:"due_days"`
	// SendInvoices has invoices and credit notes sent by mail when they are issued.
	SendInvoices bool `json:"send_invoices"`
}

// DefaultSettings are in force until somebody sets others.
func DefaultSettings() Settings {
	return Settings{Series: "INV", CreditSeries: "CN", SettleDays: 1, LookBackDays: 62, DueDays: 14}
}

// Validate returns all that is wrong with the settings, joined.
func (s *Settings) Validate() error {
	var p problems
	for _, series := range []struct{ name, value string }{{"series", s.Series}, {"credit_series", s.CreditSeries}} {
		p.need(series.value != "" && len(series.value) <= 20 && strings.Trim(series.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/") == "",
			series.name, "%s is %q: want up to 20 capital letters, digits, - and /", series.name, series.value)
	}
	p.need(s.Series != s.CreditSeries, "credit_series", "series and credit_series are the same: credit notes have numbers of their own")
	p.between("settle_days", s.SettleDays, 0, 60)
	p.between("look_back_days", s.LookBackDays, 0, 400)
	p.between("due_days", s.DueDays, 0, maxDays)
	p.need(s.Seller.Country == "" || len(s.Seller.Country) == 2 && strings.Trim(s.Seller.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "",
		"seller.country", "country is %q: want a code of ISO 3166-1, such as AT", s.Seller.Country)
	p.need(s.Seller.IBAN == "" || isIBAN(s.Seller.IBAN), "seller.iban", "iban is %q: that is none, or it has a wrong digit", s.Seller.IBAN)
	return errors.Join(p...)
}

// RecordDays is for how many days accounting records must be kept where usage at certain
// hours is charged: periods are rated again while they are looked back at, from their first
// day on.
func (s *Settings) RecordDays() int { return s.LookBackDays + s.SettleDays + 31 }

// RunOptions returns what a run for a day needs.
func (s *Settings) RunOptions(asOf Date, loc *time.Location, taxes []TaxRate, now time.Time) RunOptions {
	return RunOptions{
		AsOf: asOf, Location: loc, Taxes: taxes, Seller: s.Seller, Series: s.Series, CreditSeries: s.CreditSeries,
		SettleDays: s.SettleDays, LookBack: s.LookBackDays, DueDays: s.DueDays, Now: now,
	}
}
