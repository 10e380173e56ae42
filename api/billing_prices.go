package api

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// PriceStore keeps what plans cost.
type PriceStore interface {
	ListRatesPage(ctx context.Context, filter billing.RateFilter, page aaa.Page) (rates []billing.Rate, next string, err error)
	RateByID(ctx context.Context, rateID uuid.UUID) (*billing.Rate, error)
	OfferedRate(ctx context.Context, planID uuid.UUID) (*billing.Rate, error)
	CreateRate(ctx context.Context, rate *billing.Rate) error
	RetireRate(ctx context.Context, rateID uuid.UUID) error
}

// prices are the resources /plans/{plan_id}/prices and /billing/prices.
type prices struct {
	store PriceStore
	plans PlanStore
}

func (h *prices) ListPlanPrices(ctx context.Context, r ListPlanPricesRequestObject) (ListPlanPricesResponseObject, error) {
	if _, err := h.plans.PlanByID(ctx, r.PlanID); err != nil {
		return nil, err
	}
	list, err := h.list(ctx, billing.RateFilter{PlanID: r.PlanID}, page(r.Params.Cursor, r.Params.Limit, ""))
	return ListPlanPrices200JSONResponse(list), err
}

func (h *prices) ListPrices(ctx context.Context, r ListPricesRequestObject) (ListPricesResponseObject, error) {
	list, err := h.list(ctx, billing.RateFilter{PlanID: r.Params.PlanID, Offered: r.Params.Offered}, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	return ListPrices200JSONResponse(list), err
}

func (h *prices) list(ctx context.Context, filter billing.RateFilter, page aaa.Page) (PriceList, error) {
	found, next, err := h.store.ListRatesPage(ctx, filter, page)
	list := PriceList{Items: make([]Price, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = priceOf(&found[i])
	}
	return list, err
}

func (h *prices) CreatePlanPrice(ctx context.Context, r CreatePlanPriceRequestObject) (CreatePlanPriceResponseObject, error) {
	rate := &billing.Rate{PlanID: r.PlanID}
	var err error
	if rate.Terms, rate.Currency, err = termsIn(*r.Body); err != nil {
		return nil, err
	}
	err = h.store.CreateRate(ctx, rate)
	if id, again := repeated(err); again {
		rate, err = h.store.RateByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return CreatePlanPrice201JSONResponse{Body: priceOf(rate), Headers: CreatePlanPrice201ResponseHeaders{Location: location("billing/prices", rate.ID)}}, nil
}

func (h *prices) GetPrice(ctx context.Context, r GetPriceRequestObject) (GetPriceResponseObject, error) {
	rate, err := h.store.RateByID(ctx, r.PriceID)
	if err != nil {
		return nil, err
	}
	return GetPrice200JSONResponse(priceOf(rate)), nil
}

func (h *prices) RetirePrice(ctx context.Context, r RetirePriceRequestObject) (RetirePriceResponseObject, error) {
	if err := h.store.RetireRate(ctx, r.PriceID); err != nil {
		return nil, err
	}
	rate, err := h.store.RateByID(ctx, r.PriceID)
	if err != nil {
		return nil, err
	}
	return RetirePrice200JSONResponse(priceOf(rate)), nil
}

// termsIn reads what a plan is to cost. All its amounts are in one currency.
func termsIn(in PriceInput) (terms billing.Terms, currency billing.Currency, err error) {
	terms = billing.Terms{
		Every:      billing.Interval{Unit: billing.IntervalUnit(in.Every.Unit), Count: max(in.Every.Count, 1)},
		BillingDay: in.BillingDay, Timing: cmp.Or(billing.Timing(in.Timing), billing.InAdvance), TrialDays: in.TrialDays, WholePeriods: in.WholePeriods,
		TaxClass: in.TaxClass, TaxIncluded: in.TaxIncluded, Prepaid: billing.PrepaidMode(in.Prepaid), DueDays: in.DueDays,
	}
	if terms.Price, currency, err = moneyIn("price", in.Price); err != nil {
		return terms, "", err
	}
	amount := func(field string, m *Money) (billing.Amount, error) {
		if m == nil {
			return 0, nil
		}
		a, other, err := moneyIn(field, *m)
		if err == nil && other != currency {
			err = invalidField(field+".currency", "all amounts of a price are in one currency")
		}
		return a, err
	}
	if terms.Setup, err = amount("setup", in.Setup); err != nil {
		return terms, "", err
	}
	for i, u := range in.Usage {
		field := fmt.Sprintf("usage[%d]", i)
		usage := billing.UsageTerms{
			Metric: billing.Metric(u.Metric), Name: u.Name, Allowance: uint64(u.Allowance), Rollover: u.Rollover,
			Step: uint64(u.Step), Per: uint64(u.Per), Hours: u.Hours,
		}
		if usage.Minimum, err = amount(field+".minimum", u.Minimum); err != nil {
			return terms, "", err
		}
		if _, err := aaa.ParseLoginHours(u.Hours); err != nil {
			return terms, "", invalidField(field+".hours", "%v", err)
		}
		for j, tier := range u.Tiers {
			price, err := billing.ParseDecimal(tier.Price)
			if err != nil {
				return terms, "", invalidField(fmt.Sprintf("%s.tiers[%d].price", field, j), "%v", err)
			}
			usage.Tiers = append(usage.Tiers, billing.Tier{UpTo: uint64(tier.UpTo), Price: price})
		}
		terms.Usage = append(terms.Usage, usage)
	}
	return terms, currency, terms.Validate(currency)
}

// priceOf is a price as the API shows it.
func priceOf(r *billing.Rate) Price {
	t := &r.Terms
	body := Price{
		ID: r.ID, PlanID: r.PlanID, Plan: r.PlanName, Version: r.Version, CreatedAt: r.CreatedAt, RetiredAt: timeOrNull(r.RetiredAt),
		Price: moneyOf(r.Currency, t.Price), Setup: moneyOf(r.Currency, t.Setup),
		Every:  BillingInterval{Unit: BillingIntervalUnit(t.Every.Unit), Count: t.Every.Count},
		Timing: PriceTiming(t.Timing), BillingDay: t.BillingDay, TrialDays: t.TrialDays, WholePeriods: t.WholePeriods,
		TaxClass: t.TaxClass, TaxIncluded: t.TaxIncluded, Prepaid: PricePrepaid(t.Prepaid), DueDays: t.DueDays, Usage: []UsageTerms{},
	}
	for i := range t.Usage {
		u := &t.Usage[i]
		usage := UsageTerms{
			Metric: UsageTermsMetric(u.Metric), Name: u.Name, Allowance: count(u.Allowance), Rollover: u.Rollover, Step: count(u.Step), Per: count(u.Per), Hours: u.Hours,
		}
		if u.Minimum != 0 {
			minimum := moneyOf(r.Currency, u.Minimum)
			usage.Minimum = &minimum
		}
		for _, tier := range u.Tiers {
			usage.Tiers = append(usage.Tiers, Tier{UpTo: count(tier.UpTo), Price: tier.Price.String()})
		}
		body.Usage = append(body.Usage, usage)
	}
	return body
}
