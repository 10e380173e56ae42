package api

import (
	"cmp"
	"context"
	"slices"

	"radiusd/billing"
)

func (h *billingRules) ListTaxRates(ctx context.Context, _ ListTaxRatesRequestObject) (ListTaxRatesResponseObject, error) {
	found, err := h.rules.TaxRates(ctx)
	if err != nil {
		return nil, err
	}
	list := TaxRateList{Items: make([]TaxRate, len(found))}
	for i := range found {
		list.Items[i] = taxRateOf(&found[i])
	}
	return ListTaxRates200JSONResponse(list), nil
}

func (h *billingRules) SetTaxRate(ctx context.Context, r SetTaxRateRequestObject) (SetTaxRateResponseObject, error) {
	rate := billing.TaxRate{
		Class: r.Body.Class, Name: r.Body.Name, Category: cmp.Or(string(r.Body.Category), "S"), ExemptionReason: r.Body.ExemptionReason,
	}
	var err error
	if rate.Percent, err = billing.ParseDecimal(r.Body.Percent); err != nil {
		return nil, invalidField("percent", "%v", err)
	}
	if rate.From, err = dateIn("from", r.Body.From, firstDay); err != nil {
		return nil, err
	}
	err = h.rules.SetTaxRate(ctx, &rate)
	if id, again := repeated(err); again {
		var all []billing.TaxRate
		if all, err = h.rules.TaxRates(ctx); err == nil {
			i := slices.IndexFunc(all, func(t billing.TaxRate) bool { return t.ID == id })
			if i < 0 {
				return nil, problemf(404, "not_found", "the tax rate was deleted since")
			}
			rate = all[i]
		}
	}
	if err != nil {
		return nil, err
	}
	return SetTaxRate200JSONResponse(taxRateOf(&rate)), nil
}

func (h *billingRules) DeleteTaxRate(ctx context.Context, r DeleteTaxRateRequestObject) (DeleteTaxRateResponseObject, error) {
	if err := h.rules.DeleteTaxRate(ctx, r.TaxRateID); err != nil {
		return nil, err
	}
	return DeleteTaxRate204Response{}, nil
}

// taxRateOf is a tax rate as the API shows it.
func taxRateOf(t *billing.TaxRate) TaxRate {
	return TaxRate{
		ID: t.ID, Class: t.Class, Name: t.Name, Percent: t.Percent.String(), Category: TaxRateCategory(t.Category),
		ExemptionReason: t.ExemptionReason, From: dateOf(t.From),
	}
}

func (h *billingRules) GetBillingSettings(ctx context.Context, _ GetBillingSettingsRequestObject) (GetBillingSettingsResponseObject, error) {
	settings, _, err := h.rules.BillingSettings(ctx)
	if err != nil {
		return nil, err
	}
	body := billingSettingsOf(&settings)
	return GetBillingSettings200JSONResponse{Body: body, Headers: GetBillingSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *billingRules) ReplaceBillingSettings(ctx context.Context, r ReplaceBillingSettingsRequestObject) (ReplaceBillingSettingsResponseObject, error) {
	changed, err := h.rules.UpdateBillingSettings(ctx, func(s *billing.Settings) error {
		if err := checkMatch(r.Params.IfMatch, billingSettingsOf(s)); err != nil {
			return err
		}
		in := r.Body
		s.Seller, s.Series, s.CreditSeries = partyIn(in.Seller), in.Series, in.CreditSeries
		s.SettleDays, s.LookBackDays, s.DueDays, s.SendInvoices = in.SettleDays, in.LookBackDays, in.DueDays, in.SendInvoices
		return s.Validate()
	})
	if err != nil {
		return nil, err
	}
	body := billingSettingsOf(&changed)
	return ReplaceBillingSettings200JSONResponse{Body: body, Headers: ReplaceBillingSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

// billingSettingsOf are the settings as the API shows them.
func billingSettingsOf(s *billing.Settings) BillingSettings {
	return BillingSettings{
		Seller: partyOf(s.Seller), Series: s.Series, CreditSeries: s.CreditSeries,
		SettleDays: s.SettleDays, LookBackDays: s.LookBackDays, DueDays: s.DueDays, SendInvoices: s.SendInvoices,
	}
}

// partyOf is who sells or buys as the API shows them.
func partyOf(p billing.Party) Party {
	return Party{
		Name: p.Name, Address: p.Address, City: p.City, Postcode: p.Postcode, Country: p.Country, TaxID: p.TaxID,
		Register: p.Register, Email: p.Email, Phone: p.Phone, Iban: p.IBAN, Bic: p.BIC,
	}
}

// partyIn reads what partyOf wrote.
func partyIn(p Party) billing.Party {
	return billing.Party{
		Name: p.Name, Address: p.Address, City: p.City, Postcode: p.Postcode, Country: p.Country, TaxID: p.TaxID,
		Register: p.Register, Email: p.Email, Phone: p.Phone, IBAN: p.Iban, BIC: p.Bic,
	}
}
