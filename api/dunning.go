package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// DunningStore keeps what is done about invoices that are not paid.
type DunningStore interface {
	DunningSettings(ctx context.Context) (billing.Dunning, time.Time, error)
	UpdateDunningSettings(ctx context.Context, fn func(settings *billing.Dunning, changed time.Time) error) (billing.Dunning, time.Time, error)
	DunningPage(ctx context.Context, settings *billing.Dunning, day billing.Date, after uuid.UUID, limit int) ([]billing.DunningAccount, error)
}

// dunning is the resource /billing/dunning.
type dunning struct {
	*billingRules
	store   DunningStore
	starter runStarter
}

func (h *dunning) GetDunningSettings(ctx context.Context, _ GetDunningSettingsRequestObject) (GetDunningSettingsResponseObject, error) {
	settings, _, err := h.store.DunningSettings(ctx)
	if err != nil {
		return nil, err
	}
	body := dunningSettingsOf(&settings)
	return GetDunningSettings200JSONResponse{Body: body, Headers: GetDunningSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *dunning) ReplaceDunningSettings(ctx context.Context, r ReplaceDunningSettingsRequestObject) (ReplaceDunningSettingsResponseObject, error) {
	changed, _, err := h.store.UpdateDunningSettings(ctx, func(d *billing.Dunning, _ time.Time) error {
		if err := checkMatch(r.Params.IfMatch, dunningSettingsOf(d)); err != nil {
			return err
		}
		in := r.Body
		d.Steps = nil
		for _, s := range in.Steps {
			d.Steps = append(d.Steps, billing.DunningStep{AfterDays: s.AfterDays, Action: billing.DunningAction(s.Action), Template: s.Template})
		}
		d.GraceDays, d.RestrictGroup = in.GraceDays, orZero(in.RestrictGroupID)
		d.RestrictPriority, d.RestrictLive = in.RestrictPriority, billing.DunningLive(in.RestrictLive)
		return d.Validate()
	})
	if len(billing.FieldErrors(err)) > 0 {
		return nil, invalid(billingFields(err, map[string]string{"restrict_group": "restrict_group_id"})...)
	}
	if err != nil {
		return nil, err
	}
	body := dunningSettingsOf(&changed)
	return ReplaceDunningSettings200JSONResponse{Body: body, Headers: ReplaceDunningSettings200ResponseHeaders{ETag: etag(body)}}, nil
}

// dunningSettingsOf are the settings as the API shows them.
func dunningSettingsOf(d *billing.Dunning) DunningSettings {
	body := DunningSettings{
		Steps: make([]DunningStep, len(d.Steps)), GraceDays: d.GraceDays, RestrictGroupID: idOrNull(d.RestrictGroup),
		RestrictPriority: d.RestrictPriority, RestrictLive: DunningSettingsRestrictLive(d.RestrictLive),
	}
	for i, s := range d.Steps {
		body.Steps[i] = dunningStepOf(s)
	}
	return body
}

func dunningStepOf(s billing.DunningStep) DunningStep {
	return DunningStep{AfterDays: s.AfterDays, Action: DunningAction(s.Action), Template: s.Template}
}

func (h *dunning) ListDunning(ctx context.Context, r ListDunningRequestObject) (ListDunningResponseObject, error) {
	settings, _, err := h.store.DunningSettings(ctx)
	if err != nil {
		return nil, err
	}
	// Of the next day the cursor is still a good one.
	const list = "dunning"
	after, err := accountAfter(r.Params.Cursor, list, billing.Date{})
	if err != nil {
		return nil, err
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	accounts, err := h.store.DunningPage(ctx, &settings, h.today(), after, limit)
	if err != nil {
		return nil, err
	}
	body := DunningList{Items: []DunningAccount{}, NextCursor: nextCursor("")}
	for i := range accounts {
		if step, _ := settings.StepOn(&accounts[i], h.today()); step >= 0 { // else it was paid meanwhile
			body.Items = append(body.Items, dunningAccountOf(&settings, &accounts[i], h.today()))
		}
	}
	if len(accounts) == limit {
		body.NextCursor = accountCursor(list, billing.Date{}, accounts[limit-1].UserID)
	}
	return ListDunning200JSONResponse(body), nil
}

// dunningAccountOf is an account that has come to a step, with what is overdue of it.
func dunningAccountOf(d *billing.Dunning, a *billing.DunningAccount, day billing.Date) DunningAccount {
	step, daysOverdue := d.StepOn(a, day)
	body := DunningAccount{UserID: a.UserID, Username: a.Username, Step: dunningStepOf(d.Steps[step]), DaysOverdue: daysOverdue, Invoices: []DunningInvoice{}}
	open := map[billing.Currency]billing.Amount{}
	for n := range a.Invoices {
		i := &a.Invoices[n]
		days := d.DaysOverdue(i, day)
		if days <= 0 {
			continue
		}
		open[i.Currency] += i.Open()
		invoice := DunningInvoice{
			InvoiceID: i.ID, Number: i.Number, DueOn: dateOf(i.DueOn), DaysOverdue: days, Open: moneyOf(i.Currency, i.Open()), Taken: []DunningTaken{},
		}
		for _, r := range a.Done {
			if r.InvoiceID == i.ID {
				invoice.Taken = append(invoice.Taken, DunningTaken{
					Action: DunningAction(r.Action), AfterDays: r.AfterDays, DaysOverdue: r.DaysOverdue, DoneOn: dateOf(r.On), State: DunningTakenState(r.State),
				})
			}
		}
		body.Invoices = append(body.Invoices, invoice)
	}
	body.Open = sums(open)
	return body
}

func (h *dunning) PreviewDunning(ctx context.Context, r PreviewDunningRequestObject) (PreviewDunningResponseObject, error) {
	day, err := dateIn("day", r.Params.Day, h.today())
	if err != nil {
		return nil, err
	}
	if h.today().AddDays(maxPreviewDays).Before(day) {
		return nil, invalidField("day", "want a day within %d days", maxPreviewDays)
	}
	settings, _, err := h.store.DunningSettings(ctx)
	if err != nil {
		return nil, err
	}
	const list = "dunning preview"
	after, err := accountAfter(r.Params.Cursor, list, day)
	if err != nil {
		return nil, err
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	accounts, err := h.store.DunningPage(ctx, &settings, day, after, limit)
	if err != nil {
		return nil, err
	}
	body := DunningPreview{Items: []DunningPreviewItem{}, NextCursor: nextCursor("")}
	for i := range accounts {
		a := &accounts[i]
		for _, due := range settings.Due(a, day) {
			body.Items = append(body.Items, DunningPreviewItem{
				UserID: a.UserID, Username: a.Username, InvoiceID: due.Invoice.ID, Number: due.Invoice.Number, DueOn: dateOf(due.Invoice.DueOn),
				DaysOverdue: due.DaysOverdue, Open: moneyOf(due.Invoice.Currency, due.Invoice.Open()), Step: dunningStepOf(settings.Steps[due.Step]),
			})
		}
	}
	if len(accounts) == limit {
		body.NextCursor = accountCursor(list, day, accounts[limit-1].UserID)
	}
	return PreviewDunning200JSONResponse(body), nil
}

func (h *dunning) StartDunningRun(ctx context.Context, r StartDunningRunRequestObject) (StartDunningRunResponseObject, error) {
	started, err := h.starter.start(ctx, r.Body, h.today(), func() error {
		settings, _, err := h.store.DunningSettings(ctx)
		if err == nil && len(settings.Steps) == 0 {
			err = problemf(http.StatusConflict, "dunning_not_set_up", "there are no steps to take: PUT /billing/dunning/settings first")
		}
		return err
	})
	return StartDunningRun202JSONResponse(started), err
}
