package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// BillingRunStore keeps billing runs.
type BillingRunStore interface {
	ListRunsPage(ctx context.Context, page aaa.Page) (list []billing.Run, next string, err error)
	RunByID(ctx context.Context, runID uuid.UUID) (*billing.Run, error)
	RunFailures(ctx context.Context, runID uuid.UUID) ([]billing.RunFailure, error)
	PreviewBills(ctx context.Context, after uuid.UUID, o billing.RunOptions, limit int) ([]*billing.Account, error)
}

// billingRuns is the resource /billing/runs.
type billingRuns struct {
	*billingRules
	store    BillingRunStore
	accounts SubscriptionStore
	starter  runStarter
}

func (h *billingRuns) ListBillingRuns(ctx context.Context, r ListBillingRunsRequestObject) (ListBillingRunsResponseObject, error) {
	found, next, err := h.store.ListRunsPage(ctx, page(r.Params.Cursor, r.Params.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := BillingRunList{Items: make([]BillingRun, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = billingRunOf(&found[i])
	}
	return ListBillingRuns200JSONResponse(list), nil
}

func (h *billingRuns) StartBillingRun(ctx context.Context, r StartBillingRunRequestObject) (StartBillingRunResponseObject, error) {
	started, err := h.starter.start(ctx, r.Body, h.today(), func() error {
		_, changed, err := h.rules.BillingSettings(ctx)
		if err == nil && changed.IsZero() {
			err = problemf(http.StatusConflict, "billing_not_set_up", "nobody has said yet who sells: PUT /billing/settings first")
		}
		return err
	})
	return StartBillingRun202JSONResponse(started), err
}

func (h *billingRuns) GetBillingRun(ctx context.Context, r GetBillingRunRequestObject) (GetBillingRunResponseObject, error) {
	run, err := h.store.RunByID(ctx, r.RunID)
	if err != nil {
		return nil, err
	}
	failures, err := h.store.RunFailures(ctx, r.RunID)
	if err != nil {
		return nil, err
	}
	s := billingRunOf(run)
	body := BillingRunDetail{
		ID: s.ID, AsOf: s.AsOf, Accounts: s.Accounts, Charges: s.Charges, Invoices: s.Invoices, Failed: s.Failed,
		StartedAt: s.StartedAt, FinishedAt: s.FinishedAt, Failures: make([]BillingRunFailure, len(failures)),
	}
	for i, f := range failures {
		body.Failures[i] = BillingRunFailure{UserID: f.UserID, Username: f.Username, At: f.At, Error: f.Error}
	}
	return GetBillingRun200JSONResponse(body), nil
}

// billingRunOf is a run as the API shows it.
func billingRunOf(r *billing.Run) BillingRun {
	return BillingRun{
		ID: r.ID, AsOf: dateOf(r.AsOf), Accounts: r.Accounts, Charges: r.Charges, Invoices: r.Invoices, Failed: r.Failed,
		StartedAt: r.StartedAt, FinishedAt: timeOrNull(r.FinishedAt),
	}
}

// maxPreviewDays is how far ahead bills are computed.
const maxPreviewDays = 400

func (h *billingRuns) PreviewBilling(ctx context.Context, r PreviewBillingRequestObject) (PreviewBillingResponseObject, error) {
	day, err := dateIn("as_of", r.Body.AsOf, h.today())
	if err != nil {
		return nil, err
	}
	if h.today().AddDays(maxPreviewDays).Before(day) {
		return nil, invalidField("as_of", "want a day within %d days", maxPreviewDays)
	}
	o, err := h.options(ctx, day)
	if err != nil {
		return nil, err
	}
	body := BillingPreview{Items: []BillingPreviewItem{}, NextCursor: nextCursor("")}
	if r.Body.UserID != uuid.Nil {
		_, err := h.accounts.PreviewAccount(ctx, r.Body.UserID, o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
			body.Items = previewed(ctx, a, o)
			return &billing.Bill{}, nil
		})
		return PreviewBilling200JSONResponse(body), err
	}
	const list = "billing preview"
	after, err := accountAfter(r.Params.Cursor, list, day)
	if err != nil {
		return nil, err
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	accounts, err := h.store.PreviewBills(ctx, after, o, limit)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		body.Items = append(body.Items, previewed(ctx, account, o)...)
	}
	if len(accounts) == limit {
		body.NextCursor = accountCursor(list, day, accounts[limit-1].UserID)
	}
	return PreviewBilling200JSONResponse(body), nil
}

// previewed are the invoices that a run would issue to an account.
func previewed(ctx context.Context, a *billing.Account, o billing.RunOptions) []BillingPreviewItem {
	items := []BillingPreviewItem{}
	bill, err := billing.Compute(a, o)
	if err != nil {
		return append(items, BillingPreviewItem{UserID: a.UserID, Username: a.Username, Error: err.Error()})
	}
	for i := range bill.Invoices {
		invoice := invoiceOf(ctx, &bill.Invoices[i])
		items = append(items, BillingPreviewItem{UserID: a.UserID, Username: a.Username, Invoice: &invoice})
	}
	return items
}
