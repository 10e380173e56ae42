package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"
	openapi_types "github.com/oapi-codegen/runtime/types"

	"radiusd/aaa"
	"radiusd/billing"
)

// SubscriptionStore keeps who has subscribed to what.
type SubscriptionStore interface {
	ListSubscriptionsPage(ctx context.Context, filter billing.SubscriptionFilter, page aaa.Page) (list []billing.Subscription, next string, err error)
	CountSubscriptions(ctx context.Context, filter billing.SubscriptionFilter) (aaa.Count, error)
	SubscriptionByID(ctx context.Context, subscriptionID uuid.UUID) (*billing.Subscription, error)
	CreateSubscription(ctx context.Context, subscription *billing.Subscription) error
	// BillAccount writes what compute makes of a user's account, PreviewAccount only
	// returns it.
	BillAccount(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute billRule) error
	PreviewAccount(ctx context.Context, userID uuid.UUID, o billing.RunOptions, compute billRule) (*billing.Bill, error)
}

// billRule makes a bill of an account.
type billRule = func(*billing.Account, billing.RunOptions) (*billing.Bill, error)

// subscriptions is the resource /subscriptions.
type subscriptions struct {
	*billingRules
	store  SubscriptionStore
	prices PriceStore
}

func (h *subscriptions) ListSubscriptions(ctx context.Context, r ListSubscriptionsRequestObject) (ListSubscriptionsResponseObject, error) {
	p := r.Params
	filter := billing.SubscriptionFilter{UserID: p.UserID, PlanID: p.PlanID, RateID: p.PriceID, State: billing.SubscriptionState(p.State)}
	found, next, err := h.store.ListSubscriptionsPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := SubscriptionList{Items: make([]Subscription, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = subscriptionOf(&found[i])
	}
	if p.Count {
		if list.Total, err = total(h.store.CountSubscriptions(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListSubscriptions200JSONResponse(list), nil
}

func (h *subscriptions) CreateSubscription(ctx context.Context, r CreateSubscriptionRequestObject) (CreateSubscriptionResponseObject, error) {
	rate, err := h.chosen(ctx, r.Body.PlanID, r.Body.PriceID)
	if err != nil {
		return nil, err
	}
	x := &billing.Subscription{UserID: r.Body.UserID, Rate: billing.Rate{ID: rate.ID}}
	if x.Start, err = dateIn("start", r.Body.Start, h.today()); err != nil {
		return nil, err
	}
	if x.End, err = dateIn("end", r.Body.End, billing.Date{}); err != nil {
		return nil, err
	}
	if err := checkStart("start", x.Start, h.today()); err != nil {
		return nil, err
	}
	err = h.store.CreateSubscription(ctx, x)
	if id, again := repeated(err); again {
		x, err = h.store.SubscriptionByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	body := subscriptionOf(x)
	return CreateSubscription201JSONResponse{Body: body, Headers: CreateSubscription201ResponseHeaders{ETag: etag(body), Location: location("subscriptions", x.ID)}}, nil
}

// Subscriptions begin, and change, at most so many days before and after today, so that
// what they charge is bounded.
const maxDaysBack, maxDaysAhead = 800, 3660

func checkStart(field string, day, today billing.Date) error {
	if n := today.DaysUntil(day); n < -maxDaysBack || n > maxDaysAhead {
		return invalidField(field, "want a day from %s to %s", today.AddDays(-maxDaysBack), today.AddDays(maxDaysAhead))
	}
	return nil
}

// chosen is the price that an input names: by its id, or as what a plan costs now.
func (h *subscriptions) chosen(ctx context.Context, planID, priceID uuid.UUID) (*billing.Rate, error) {
	switch {
	case planID == uuid.Nil && priceID == uuid.Nil, planID != uuid.Nil && priceID != uuid.Nil:
		return nil, invalidField("plan_id", "want plan_id, for its present price, or price_id")
	case priceID != uuid.Nil:
		rate, err := h.prices.RateByID(ctx, priceID)
		if errors.Is(err, aaa.ErrNotFound) {
			return nil, invalidField("price_id", "there is no such price")
		}
		return rate, err
	}
	rate, err := h.prices.OfferedRate(ctx, planID)
	if errors.Is(err, aaa.ErrNotFound) {
		return nil, invalidField("plan_id", "there is no such plan, or none that has a price")
	}
	return rate, err
}

func (h *subscriptions) GetSubscription(ctx context.Context, r GetSubscriptionRequestObject) (GetSubscriptionResponseObject, error) {
	x, err := h.store.SubscriptionByID(ctx, r.SubscriptionID)
	if err != nil {
		return nil, err
	}
	body := subscriptionOf(x)
	return GetSubscription200JSONResponse{Body: body, Headers: GetSubscription200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *subscriptions) ChangeSubscription(ctx context.Context, r ChangeSubscriptionRequestObject) (ChangeSubscriptionResponseObject, error) {
	body, err := h.amend(ctx, r.SubscriptionID, r.Params.IfMatch, func(x *billing.Subscription) (billRule, error) {
		return h.change(ctx, x, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return ChangeSubscription200JSONResponse{Body: body, Headers: ChangeSubscription200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *subscriptions) CancelSubscription(ctx context.Context, r CancelSubscriptionRequestObject) (CancelSubscriptionResponseObject, error) {
	body, err := h.amend(ctx, r.SubscriptionID, r.Params.IfMatch, func(x *billing.Subscription) (billRule, error) {
		return h.cancel(x, r.Body.On, r.Body.AtPeriodEnd)
	})
	if err != nil {
		return nil, err
	}
	return CancelSubscription200JSONResponse{Body: body, Headers: CancelSubscription200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *subscriptions) ResumeSubscription(ctx context.Context, r ResumeSubscriptionRequestObject) (ResumeSubscriptionResponseObject, error) {
	body, err := h.amend(ctx, r.SubscriptionID, r.Params.IfMatch, func(x *billing.Subscription) (billRule, error) {
		return resumption(x), nil
	})
	if err != nil {
		return nil, err
	}
	return ResumeSubscription200JSONResponse{Body: body, Headers: ResumeSubscription200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *subscriptions) PreviewSubscription(ctx context.Context, r PreviewSubscriptionRequestObject) (PreviewSubscriptionResponseObject, error) {
	x, err := h.store.SubscriptionByID(ctx, r.SubscriptionID)
	if err != nil {
		return nil, err
	}
	var rule billRule
	switch in := r.Body; in.Action {
	case SubscriptionPreviewInputActionChange:
		rule, err = h.change(ctx, x, SubscriptionChange{PlanID: in.PlanID, PriceID: in.PriceID, On: in.On, AtPeriodEnd: in.AtPeriodEnd})
	case SubscriptionPreviewInputActionCancel:
		rule, err = h.cancel(x, in.On, in.AtPeriodEnd)
	default:
		rule = resumption(x)
	}
	if err != nil {
		return nil, err
	}
	o, err := h.options(ctx, h.today())
	if err != nil {
		return nil, err
	}
	bill, err := h.store.PreviewAccount(ctx, x.UserID, o, rule)
	if err != nil {
		return nil, amendError(err)
	}
	body := SubscriptionPreview{Subscription: subscriptionOf(x), Charges: []Charge{}}
	for i := range bill.Subscriptions {
		if after := bill.Subscriptions[i]; after.ID == x.ID {
			after.Username = x.Username
			body.Subscription = subscriptionOf(&after)
		}
	}
	totals := map[billing.Currency]billing.Amount{}
	for i := range bill.Charges {
		c := &bill.Charges[i]
		body.Charges = append(body.Charges, chargeOf(ctx, c))
		totals[c.Currency] += c.Amount
	}
	body.Totals = sums(totals)
	return PreviewSubscription200JSONResponse(body), nil
}

// change is the rule of moving a subscription to another price.
func (h *subscriptions) change(ctx context.Context, x *billing.Subscription, in SubscriptionChange) (billRule, error) {
	to, err := h.chosen(ctx, in.PlanID, in.PriceID)
	if err != nil {
		return nil, err
	}
	on, err := h.changeDay(x, in.On, in.AtPeriodEnd)
	return func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Change(a, x.ID, *to, on, o)
	}, err
}

// cancel is the rule of ending a subscription.
func (h *subscriptions) cancel(x *billing.Subscription, day openapi_types.Date, atPeriodEnd bool) (billRule, error) {
	on, err := h.changeDay(x, day, atPeriodEnd)
	return func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Cancel(a, x.ID, on, o)
	}, err
}

// resumption is the rule of taking back an end.
func resumption(x *billing.Subscription) billRule {
	return func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		return billing.Resume(a, x.ID, o)
	}
}

// changeDay is the day that a change is for.
func (h *subscriptions) changeDay(x *billing.Subscription, on openapi_types.Date, atPeriodEnd bool) (billing.Date, error) {
	today := h.today()
	if atPeriodEnd {
		if !on.IsZero() {
			return billing.Date{}, invalidField("at_period_end", "want on or at_period_end, not both")
		}
		return x.PeriodEnd(today), nil
	}
	day, err := dateIn("on", on, today)
	if err == nil {
		err = checkStart("on", day, today)
	}
	return day, err
}

// amend changes a subscription by one of billing's rules.
func (h *subscriptions) amend(ctx context.Context, subscriptionID uuid.UUID, ifMatch string, rule func(*billing.Subscription) (billRule, error)) (Subscription, error) {
	x, err := h.store.SubscriptionByID(ctx, subscriptionID)
	if err != nil {
		return Subscription{}, err
	}
	apply, err := rule(x)
	if err != nil {
		return Subscription{}, err
	}
	o, err := h.options(ctx, h.today())
	if err != nil {
		return Subscription{}, err
	}
	err = h.store.BillAccount(ctx, x.UserID, o, func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		if i := slices.IndexFunc(a.Subscriptions, func(s billing.Subscription) bool { return s.ID == subscriptionID }); i >= 0 {
			present := a.Subscriptions[i]
			present.Username = a.Username
			if err := checkMatch(ifMatch, subscriptionOf(&present)); err != nil {
				return nil, err
			}
		}
		return apply(a, o)
	})
	if _, again := repeated(err); err != nil && !again {
		return Subscription{}, amendError(err)
	}
	if x, err = h.store.SubscriptionByID(ctx, subscriptionID); err != nil {
		return Subscription{}, err
	}
	return subscriptionOf(x), nil
}

// amendError words that the subscriber has gone.
func amendError(err error) error {
	if errors.Is(err, aaa.ErrNotFound) {
		return problemf(http.StatusConflict, billing.CodeSubscriptionState, "the subscriber was deleted")
	}
	return err
}

// subscriptionOf is a subscription as the API shows it.
func subscriptionOf(x *billing.Subscription) Subscription {
	return Subscription{
		ID: x.ID, UserID: x.UserID, Username: x.Username, Price: priceOf(&x.Rate), State: SubscriptionState(x.State),
		Start: dateOf(x.Start), End: dateOrNull(x.End), ChargedUntil: dateOrNull(x.ChargedUntil), RatedUntil: dateOrNull(x.RatedUntil),
		NextPriceID: idOrNull(x.NextRateID), NextFrom: dateOrNull(x.NextFrom), CreatedAt: x.CreatedAt, UpdatedAt: x.UpdatedAt,
	}
}
