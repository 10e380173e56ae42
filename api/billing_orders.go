package api

import (
	"cmp"
	"context"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// OrderStore keeps what users have asked for.
type OrderStore interface {
	ListOrdersPage(ctx context.Context, filter billing.OrderFilter, page aaa.Page) (list []billing.Order, next string, err error)
	OrderByID(ctx context.Context, orderID uuid.UUID) (*billing.Order, error)
	CreateOrder(ctx context.Context, order *billing.Order, o billing.RunOptions) error
	PayOrder(ctx context.Context, orderID uuid.UUID, payment *billing.Payment, o billing.RunOptions) (*billing.Order, error)
	CompleteOrder(ctx context.Context, orderID uuid.UUID, o billing.RunOptions) (*billing.Order, error)
	CancelOrder(ctx context.Context, orderID uuid.UUID, note string) error
}

// orders is the resource /orders.
type orders struct {
	*billingRules
	store         OrderStore
	subscriptions *subscriptions
}

func (h *orders) ListOrders(ctx context.Context, r ListOrdersRequestObject) (ListOrdersResponseObject, error) {
	p := r.Params
	filter := billing.OrderFilter{UserID: p.UserID, State: billing.OrderState(p.State), Kind: billing.OrderKind(p.Kind)}
	found, next, err := h.store.ListOrdersPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := OrderList{Items: make([]Order, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = orderOf(ctx, &found[i])
	}
	return ListOrders200JSONResponse(list), nil
}

func (h *orders) CreateOrder(ctx context.Context, r CreateOrderRequestObject) (CreateOrderResponseObject, error) {
	order, err := h.ordered(ctx, *r.Body)
	if err != nil {
		return nil, err
	}
	o, err := h.options(ctx, h.today())
	if err != nil {
		return nil, err
	}
	err = h.store.CreateOrder(ctx, order, o)
	if id, again := repeated(err); again {
		order, err = h.store.OrderByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	return CreateOrder201JSONResponse{Body: orderOf(ctx, order), Headers: CreateOrder201ResponseHeaders{Location: location("orders", order.ID)}}, nil
}

// ordered is what an input orders.
func (h *orders) ordered(ctx context.Context, in OrderInput) (order *billing.Order, err error) {
	order = &billing.Order{UserID: in.UserID, Kind: billing.OrderKind(in.Kind)}
	if in.Amount != nil {
		if order.Amount, order.Currency, err = moneyIn("amount", *in.Amount); err != nil {
			return nil, err
		}
	}
	if order.Kind == billing.OrderTopUp {
		switch {
		case order.Amount <= 0:
			return nil, invalidField("amount", "credit is of more than nothing")
		case in.PlanID != uuid.Nil || in.PriceID != uuid.Nil || in.SubscriptionID != uuid.Nil || in.AtPeriodEnd || !in.Start.IsZero():
			return nil, invalidField("kind", "credit needs no more than an amount")
		}
		order.Details.ExpireDays = in.ExpireDays
		return order, nil
	}
	if in.ExpireDays != 0 {
		return nil, invalidField("expire_days", "only credit ends")
	}
	rate, err := h.subscriptions.chosen(ctx, in.PlanID, in.PriceID)
	if err != nil {
		return nil, err
	}
	if order.Currency = cmp.Or(order.Currency, rate.Currency); order.Currency != rate.Currency {
		return nil, invalidField("amount.currency", "the price is in %s", rate.Currency)
	}
	order.Details = billing.OrderDetails{RateID: rate.ID, AtPeriodEnd: in.AtPeriodEnd}
	if order.Details.Start, err = dateIn("start", in.Start, billing.Date{}); err != nil {
		return nil, err
	}
	if !order.Details.Start.IsZero() {
		if err := checkStart("start", order.Details.Start, h.today()); err != nil {
			return nil, err
		}
	}
	if order.Kind == billing.OrderPlan {
		if in.SubscriptionID != uuid.Nil || in.AtPeriodEnd {
			return nil, invalidField("subscription_id", "only a change is of a subscription, or at the end of its period")
		}
		return order, nil
	}
	if in.SubscriptionID == uuid.Nil {
		return nil, invalidField("subscription_id", "want what is changed")
	}
	order.Details.SubscriptionID = in.SubscriptionID
	return order, nil
}

func (h *orders) GetOrder(ctx context.Context, r GetOrderRequestObject) (GetOrderResponseObject, error) {
	order, err := h.store.OrderByID(ctx, r.OrderID)
	if err != nil {
		return nil, err
	}
	return GetOrder200JSONResponse(orderOf(ctx, order)), nil
}

func (h *orders) PayOrder(ctx context.Context, r PayOrderRequestObject) (PayOrderResponseObject, error) {
	order, err := h.store.OrderByID(ctx, r.OrderID)
	if err != nil {
		return nil, err
	}
	in := r.Body
	payment, err := h.paymentIn(PaymentInput{
		Method: PaymentInputMethod(in.Method), ReceivedOn: in.ReceivedOn, Provider: in.Provider, Reference: in.Reference, Note: in.Note,
	})
	if err != nil {
		return nil, err
	}
	payment.Amount, payment.Currency = order.Amount, order.Currency
	o, err := h.options(ctx, h.today())
	if err != nil {
		return nil, err
	}
	order, err = h.store.PayOrder(ctx, r.OrderID, payment, o)
	if _, again := repeated(err); again {
		order, err = h.store.OrderByID(ctx, r.OrderID)
	}
	if err != nil {
		return nil, err
	}
	return PayOrder200JSONResponse(orderOf(ctx, order)), nil
}

func (h *orders) CompleteOrder(ctx context.Context, r CompleteOrderRequestObject) (CompleteOrderResponseObject, error) {
	o, err := h.options(ctx, h.today())
	if err != nil {
		return nil, err
	}
	order, err := h.store.CompleteOrder(ctx, r.OrderID, o)
	if _, again := repeated(err); again {
		order, err = h.store.OrderByID(ctx, r.OrderID)
	}
	if err != nil {
		return nil, err
	}
	return CompleteOrder200JSONResponse(orderOf(ctx, order)), nil
}

func (h *orders) CancelOrder(ctx context.Context, r CancelOrderRequestObject) (CancelOrderResponseObject, error) {
	err := h.store.CancelOrder(ctx, r.OrderID, r.Body.Note)
	if _, again := repeated(err); err != nil && !again {
		return nil, err
	}
	order, err := h.store.OrderByID(ctx, r.OrderID)
	if err != nil {
		return nil, err
	}
	return CancelOrder200JSONResponse(orderOf(ctx, order)), nil
}

// orderOf is an order as the API shows it to the caller.
func orderOf(ctx context.Context, o *billing.Order) Order {
	subscription := idOrNull(o.SubscriptionID)
	if o.SubscriptionID == uuid.Nil {
		subscription = idOrNull(o.Details.SubscriptionID)
	}
	body := Order{
		ID: o.ID, UserID: o.UserID, Username: o.Username, Kind: OrderKind(o.Kind), State: OrderState(o.State), Amount: moneyOf(o.Currency, o.Amount),
		PriceID: idOrNull(o.Details.RateID), Start: dateOrNull(o.Details.Start), AtPeriodEnd: o.Details.AtPeriodEnd, ExpireDays: o.Details.ExpireDays,
		SubscriptionID: subscription, PaymentID: idOrNull(o.PaymentID), FromCredit: o.FromCredit(),
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
	}
	for _, e := range o.History {
		body.History = append(body.History, OrderEntry{At: e.At, State: OrderState(e.State), Actor: e.Actor, Note: freeText(ctx, e.Note)})
	}
	return body
}
