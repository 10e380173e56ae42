package api

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// ChargeStore keeps what is charged, and what from.
type ChargeStore interface {
	ListChargesPage(ctx context.Context, filter billing.ChargeFilter, page aaa.Page) (list []billing.Charge, next string, err error)
	ChargeByID(ctx context.Context, chargeID uuid.UUID) (*billing.Charge, error)
	CreateCharge(ctx context.Context, charge *billing.Charge) error
	DeleteCharge(ctx context.Context, chargeID uuid.UUID) error
	ChargeSessions(ctx context.Context, chargeID uuid.UUID, page aaa.Page) (list []aaa.Session, next string, err error)
	ChargeUsage(ctx context.Context, chargeID uuid.UUID) ([]billing.DayUsage, error)
}

// charges is the resource /charges.
type charges struct {
	store  ChargeStore
	prices PriceStore
}

func (h *charges) ListCharges(ctx context.Context, r ListChargesRequestObject) (ListChargesResponseObject, error) {
	p := r.Params
	filter := billing.ChargeFilter{UserID: p.UserID, SubscriptionID: p.SubscriptionID, InvoiceID: p.InvoiceID, Kind: billing.ChargeKind(p.Kind), Pending: p.Pending}
	found, next, err := h.store.ListChargesPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := ChargeList{Items: make([]Charge, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = chargeOf(ctx, &found[i])
	}
	return ListCharges200JSONResponse(list), nil
}

func (h *charges) CreateCharge(ctx context.Context, r CreateChargeRequestObject) (CreateChargeResponseObject, error) {
	amount, currency, err := moneyIn("amount", r.Body.Amount)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(r.Body.Description) == "" {
		return nil, invalidField("description", "a charge needs a description, which stands on the invoice")
	}
	if r.Body.TaxIncluded && r.Body.TaxClass == "" {
		return nil, invalidField("tax_included", "it needs a tax_class, which says what tax is included")
	}
	c, err := billing.NewManualCharge(r.Body.UserID, currency, amount, r.Body.Description)
	if err != nil {
		return nil, err
	}
	c.TaxClass, c.TaxIncluded = r.Body.TaxClass, r.Body.TaxIncluded
	charge := &c
	err = h.store.CreateCharge(ctx, charge)
	if id, again := repeated(err); again {
		charge, err = h.store.ChargeByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return CreateCharge201JSONResponse{Body: chargeOf(ctx, charge), Headers: CreateCharge201ResponseHeaders{Location: location("charges", charge.ID)}}, nil
}

func (h *charges) GetCharge(ctx context.Context, r GetChargeRequestObject) (GetChargeResponseObject, error) {
	c, err := h.store.ChargeByID(ctx, r.ChargeID)
	if err != nil {
		return nil, err
	}
	body := ChargeExplained{
		Charge: chargeOf(ctx, c), PriceID: idOrNull(c.Inputs.RateID), Adjusts: idOrNull(c.Inputs.Adjusts),
		Explanation: []string{}, Usage: chargeUsageOf(c.Inputs.Usage), UsageNow: []ChargeUsage{},
	}
	var terms billing.Terms
	if c.Inputs.RateID != uuid.Nil {
		rate, err := h.prices.RateByID(ctx, c.Inputs.RateID)
		switch {
		case errors.Is(err, aaa.ErrNotFound): // it went with its plan
		case err != nil:
			return nil, err
		default:
			terms = rate.Terms
		}
	}
	// What cannot be explained shows its inputs all the same.
	if text, err := billing.Explain(*c, terms); err == nil {
		body.Explanation = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	if c.Kind == billing.ChargeUsage || c.Kind == billing.ChargeAdjustment {
		now, err := h.store.ChargeUsage(ctx, c.ID)
		if err != nil {
			return nil, err
		}
		body.UsageNow = chargeUsageOf(now)
	}
	return GetCharge200JSONResponse(body), nil
}

func (h *charges) DeleteCharge(ctx context.Context, r DeleteChargeRequestObject) (DeleteChargeResponseObject, error) {
	if err := h.store.DeleteCharge(ctx, r.ChargeID); err != nil {
		return nil, err
	}
	return DeleteCharge204Response{}, nil
}

func (h *charges) ListChargeSessions(ctx context.Context, r ListChargeSessionsRequestObject) (ListChargeSessionsResponseObject, error) {
	found, next, err := h.store.ChargeSessions(ctx, r.ChargeID, page(r.Params.Cursor, r.Params.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := SessionList{Items: make([]Session, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = sessionOf(&found[i])
	}
	return ListChargeSessions200JSONResponse(list), nil
}

// chargeOf is a charge as the API shows it to the caller.
func chargeOf(ctx context.Context, c *billing.Charge) Charge {
	description := c.Description
	if c.Kind == billing.ChargeManual {
		description = freeText(ctx, description)
	}
	return Charge{
		ID: c.ID, UserID: c.UserID, SubscriptionID: idOrNull(c.SubscriptionID), Kind: ChargeKind(c.Kind), Description: description,
		From: dateOrNull(c.Period.From), To: dateOrNull(c.Period.To), Quantity: c.Quantity.String(), Unit: c.Unit, UnitPrice: c.UnitPrice.String(),
		Amount: moneyOf(c.Currency, c.Amount), TaxClass: c.TaxClass, TaxIncluded: c.TaxIncluded, InvoiceID: idOrNull(c.InvoiceID), CreatedAt: c.CreatedAt,
	}
}

func chargeUsageOf(days []billing.DayUsage) []ChargeUsage {
	list := make([]ChargeUsage, len(days))
	for i, d := range days {
		list[i] = ChargeUsage{Day: dateOf(d.Day), Seconds: count(d.Seconds), Upload: count(d.Upload), Download: count(d.Download)}
	}
	return list
}
