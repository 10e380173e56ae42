package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

func orderFields(o *billing.Order) []field {
	return []field{
		{"id", id{&o.ID}},
		{"user_id", id{&o.UserID}},
		{"kind", term(&o.Kind)},
		{"state", term(&o.State)},
		{"currency", term(&o.Currency)},
		{"amount", money(&o.Amount)},
		{"details", structured[billing.OrderDetails]{&o.Details}},
		{"subscription_id", nullID{&o.SubscriptionID}},
		{"payment_id", nullID{&o.PaymentID}},
		{"created_at", moment{&o.CreatedAt}},
		{"updated_at", moment{&o.UpdatedAt}},
	}
}

func listedOrder(o *billing.Order) []field {
	return append(orderFields(o), field{usernameOf("orders"), text{&o.Username}})
}

var orderLists = lister[billing.Order]{
	name: "orders", sorts: billing.OrderSorts(),
	keys: map[string]sortKey[billing.Order]{"created_at": timeKey("created_at", func(o *billing.Order) time.Time { return o.CreatedAt })},
	id:   idKey("id", func(o *billing.Order) uuid.UUID { return o.ID }),
}

func orderConditions(f billing.OrderFilter) (c conditions) {
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.State != "" {
		c.add("state = $%d", term(&f.State))
	}
	if f.Kind != "" {
		c.add("kind = $%d", term(&f.Kind))
	}
	return c
}

// CreateOrder writes what a user has asked for. One that costs nothing is completed in
// the same transaction, and so is one of a plan or a change that the user's credit covers:
// what no invoice, no charge that waits and no other order needs of it. It sets the ID if
// that is zero, State, History and the times. o is as for PayOrder.
func (s *Store) CreateOrder(ctx context.Context, order *billing.Order, o billing.RunOptions) error {
	x := *order
	err := s.write(ctx, func(tx *writeTx) error {
		x = *order
		if x.ID == uuid.Nil {
			x.ID = uuid.Must(uuid.NewV7())
		}
		x.State, x.History, x.PaymentID = billing.OrderOpen, nil, uuid.Nil
		x.CreatedAt = s.timestamp()
		x.UpdatedAt = x.CreatedAt
		if err := checkOrder(&x); err != nil {
			return err
		}
		if err := tx.claimKey(ctx, x.ID); err != nil {
			return err
		}
		if err := tx.userExists(ctx, x.UserID); err != nil {
			return err
		}
		if _, err := tx.lockAccounts(ctx, []uuid.UUID{x.UserID}); err != nil {
			return err
		}
		if err := insert(ctx, tx.Tx, "orders", orderFields(&x)); err != nil {
			return err
		}
		if err := tx.recordFields(ctx, "orders.create", "order", x.ID, string(x.Kind), nil, orderFields(&x), "order.created"); err != nil {
			return err
		}
		if err := tx.enterOrder(ctx, &x, billing.OrderOpen, ""); err != nil {
			return err
		}
		if x.Amount > 0 {
			covered, err := tx.covered(ctx, &x, o.AsOf)
			if err != nil || !covered {
				return err
			}
			if err := tx.enterOrder(ctx, &x, billing.OrderPaid, fromCredit); err != nil {
				return err
			}
		}
		return tx.completeOrder(ctx, &x, o)
	})
	if err != nil {
		return s.failed("create order", err)
	}
	made, err := s.OrderByID(ctx, x.ID)
	if err == nil {
		*order = *made
	}
	return err
}

func checkOrder(x *billing.Order) error {
	if _, err := billing.ParseCurrency(string(x.Currency)); err != nil {
		return &billing.FieldError{Field: "currency", Message: err.Error()}
	}
	switch {
	case x.Amount < 0:
		return &billing.FieldError{Field: "amount", Message: "an order is of no negative amount"}
	case x.Kind == billing.OrderTopUp && x.Amount == 0:
		return &billing.FieldError{Field: "amount", Message: "an order of credit needs an amount: how much credit"}
	case x.Kind == billing.OrderPlan && x.Details.RateID == uuid.Nil:
		return &billing.FieldError{Field: "rate_id", Message: "an order of a plan needs the rate that is subscribed to"}
	case x.Kind == billing.OrderChange && (x.Details.RateID == uuid.Nil || x.Details.SubscriptionID == uuid.Nil):
		return &billing.FieldError{Field: "subscription_id", Message: "an order of a change needs the subscription and the rate that it changes to"}
	case x.Kind != billing.OrderPlan && x.Kind != billing.OrderChange && x.Kind != billing.OrderTopUp && x.Kind != billing.OrderVoucher:
		return &billing.FieldError{Field: "kind", Message: fmt.Sprintf("%q is no kind of order: want plan, change, top_up or voucher", x.Kind)}
	}
	return checkAmount(x.Amount, x.Currency)
}

// enterOrder gives an order a state, and notes it in its history.
func (tx *writeTx) enterOrder(ctx context.Context, x *billing.Order, state billing.OrderState, note string) error {
	var entry int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) + 1 FROM order_history WHERE order_id = $1", x.ID.String()).Scan(&entry); err != nil {
		return err
	}
	x.State, x.UpdatedAt = state, tx.store.timestampAfter(x.UpdatedAt)
	e := billing.OrderEntry{At: tx.store.timestamp(), State: state, Actor: operator.ActorOf(ctx).Name, Note: note}
	if err := insert(ctx, tx.Tx, "order_history", append([]field{{"order_id", id{&x.ID}}, {"entry", whole[int]{&entry}}}, entryFields(&e)...)); err != nil {
		return err
	}
	return update(ctx, tx.Tx, "orders", orderFields(x))
}

func entryFields(e *billing.OrderEntry) []field {
	return []field{{"at", moment{&e.At}}, {"state", term(&e.State)}, {"actor", text{&e.Actor}}, {"note", text{&e.Note}}}
}

// completeOrder does what was ordered. Credit needs no more than the payment.
func (tx *writeTx) completeOrder(ctx context.Context, x *billing.Order, o billing.RunOptions) error {
	switch x.Kind {
	case billing.OrderPlan:
		rate, err := findRate(ctx, tx, x.Details.RateID, "")
		if err != nil {
			return err
		}
		start := firstDay(x, o)
		if start.IsZero() {
			return &billing.FieldError{Field: "start", Message: "a subscription needs a first day"}
		}
		subscription := billing.NewSubscription(uuid.Must(uuid.NewV7()), x.UserID, *rate, start, tx.store.timestamp())
		if err := tx.insertSubscription(ctx, &subscription); err != nil {
			return err
		}
		x.SubscriptionID = subscription.ID
	case billing.OrderChange:
		change, err := tx.orderedChange(ctx, x, o)
		if err != nil {
			return err
		}
		x.SubscriptionID = x.Details.SubscriptionID
		if err := tx.billAccount(ctx, x.UserID, o, change); err != nil {
			return err
		}
	}
	if err := tx.enterOrder(ctx, x, billing.OrderCompleted, ""); err != nil {
		return err
	}
	return tx.recordFields(ctx, "orders.complete", "order", x.ID, string(x.Kind), nil, nil, "order.completed")
}

// firstDay is from when on what was ordered is had.
func firstDay(x *billing.Order, o billing.RunOptions) billing.Date {
	start := x.Details.Start
	if start.IsZero() || x.Amount > 0 && start.Before(o.AsOf) { // nobody was served before it was paid
		start = o.AsOf
	}
	return start
}

// orderedChange returns the rule that bills the change that was ordered.
func (tx *writeTx) orderedChange(ctx context.Context, x *billing.Order, o billing.RunOptions) (func(*billing.Account, billing.RunOptions) (*billing.Bill, error), error) {
	rate, err := findRate(ctx, tx, x.Details.RateID, "")
	if err != nil {
		return nil, err
	}
	on := firstDay(x, o)
	return func(a *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
		on := on
		for i := range a.Subscriptions {
			if sub := &a.Subscriptions[i]; sub.ID == x.Details.SubscriptionID && x.Details.AtPeriodEnd {
				on = sub.PeriodEnd(o.AsOf)
			}
		}
		return billing.Change(a, x.Details.SubscriptionID, *rate, on, o)
	}, nil
}

// lockOrder reads an order after the account of its user was locked, as those do who
// complete orders from credit.
func (tx *writeTx) lockOrder(ctx context.Context, orderID uuid.UUID) (*billing.Order, error) {
	x, err := findOrder(ctx, tx, orderID, "")
	if err != nil {
		return nil, err
	}
	if _, err := tx.lockAccounts(ctx, []uuid.UUID{x.UserID}); err != nil {
		return nil, err
	}
	return findOrder(ctx, tx, orderID, tx.forUpdate())
}

// PayOrder books the payment of an open order and does what was ordered, in one
// transaction: the money is the user's credit, from which open invoices and what was
// ordered are paid. The payment must be of the order's amount and currency, and is as for
// RecordPayment; UserID is set. o has the day and the rules that a change of a
// subscription is charged by. One that was paid by the same payment before is returned as
// it is.
func (s *Store) PayOrder(ctx context.Context, orderID uuid.UUID, payment *billing.Payment, o billing.RunOptions) (*billing.Order, error) {
	err := s.write(ctx, func(tx *writeTx) error {
		return tx.payOrder(ctx, orderID, payment, o, "")
	})
	if err != nil {
		return nil, s.failed("pay order "+orderID.String(), err)
	}
	return s.OrderByID(ctx, orderID)
}

// payOrder books the payment of an order and completes it, unless incomplete says why that
// cannot be done now.
func (tx *writeTx) payOrder(ctx context.Context, orderID uuid.UUID, payment *billing.Payment, o billing.RunOptions, incomplete string) error {
	x, err := tx.lockOrder(ctx, orderID)
	if err != nil {
		return err
	}
	p := *payment
	p.UserID = x.UserID
	if x.Kind == billing.OrderTopUp && x.Details.ExpireDays > 0 {
		p.ExpiresOn = p.ReceivedOn.AddDays(x.Details.ExpireDays)
	}
	if p.Amount != x.Amount || p.Currency != x.Currency {
		return &billing.FieldError{Field: "amount", Message: "the order is of " + amountOf(x.Currency, x.Amount) + ", the payment of " + amountOf(p.Currency, p.Amount)}
	}
	if err := checkPayment(&p); err != nil {
		return err
	}
	claimed, err := tx.claimPayment(ctx, &p)
	if err != nil {
		return err
	}
	row, a, err := tx.enterPayment(ctx, claimed)
	if err != nil {
		return err
	}
	booked := a != nil
	if !booked && x.PaymentID == row.ID {
		return tx.keyMade(ctx, row.ID)
	}
	if x.State != billing.OrderOpen || !booked {
		if x.State != billing.OrderOpen {
			return billing.Refuse(billing.CodeOrderState, "the order is %s: only an open one is paid", x.State)
		}
		return billing.Refuse(billing.CodeOrderState, "payment %s of %s was booked before, for something else", row.Reference, row.Provider)
	}
	x.PaymentID = row.ID
	if err := tx.enterOrder(ctx, x, billing.OrderPaid, incomplete); err != nil { // before other orders look for credit
		return err
	}
	if err := a.settle(ctx, []uuid.UUID{x.UserID}); err != nil || incomplete != "" {
		return err
	}
	return tx.completeOrder(ctx, x, o)
}

// CompleteOrder does what was ordered and paid, where that could not be done when the
// payment came; o is as for PayOrder. It fails with billing.CodeOrderState for other orders,
// and as long as it cannot be done.
func (s *Store) CompleteOrder(ctx context.Context, orderID uuid.UUID, o billing.RunOptions) (*billing.Order, error) {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, orderID); err != nil {
			return err
		}
		x, err := tx.lockOrder(ctx, orderID)
		if err != nil {
			return err
		}
		if x.State != billing.OrderPaid {
			return billing.Refuse(billing.CodeOrderState, "the order is %s: only one that is paid is completed", x.State)
		}
		return tx.completeOrder(ctx, x, o)
	})
	if err != nil {
		return nil, s.failed("complete order "+orderID.String(), err)
	}
	return s.OrderByID(ctx, orderID)
}

// CancelOrder gives up an order that is open, or that was paid and could not be completed:
// then the money stays the user's credit, which may complete another one.
func (s *Store) CancelOrder(ctx context.Context, orderID uuid.UUID, note string) error {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, orderID); err != nil {
			return err
		}
		x, err := tx.lockOrder(ctx, orderID)
		if err != nil || x.State == billing.OrderCancelled {
			return err
		}
		if x.State != billing.OrderOpen && x.State != billing.OrderPaid {
			return billing.Refuse(billing.CodeOrderState, "the order is %s: only one that is not completed is cancelled", x.State)
		}
		if err := tx.cancelOrder(ctx, x, note); err != nil {
			return err
		}
		return tx.completeOrders(ctx, []uuid.UUID{x.UserID}) // from what it was paid with
	})
	return s.failed("cancel order "+orderID.String(), err)
}

func (tx *writeTx) cancelOrder(ctx context.Context, x *billing.Order, note string) error {
	if err := tx.enterOrder(ctx, x, billing.OrderCancelled, note); err != nil {
		return err
	}
	return tx.recordFields(ctx, "orders.cancel", "order", x.ID, string(x.Kind), nil, nil, "order.cancelled")
}

func findOrder(ctx context.Context, q querier, orderID uuid.UUID, lock string) (*billing.Order, error) {
	var x billing.Order
	fields := listedOrder(&x)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM orders WHERE id = $1"+lock, orderID.String()).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("order", orderID.String())
	}
	return &x, err
}

// OrderByID returns an order with its history. It fails with ErrNotFound.
func (s *Store) OrderByID(ctx context.Context, orderID uuid.UUID) (x *billing.Order, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if x, err = findOrder(ctx, tx, orderID, ""); err != nil {
			return err
		}
		var e billing.OrderEntry
		fields := entryFields(&e)
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM order_history WHERE order_id = $1 ORDER BY entry", []any{orderID.String()}, targets(fields), func() error {
			x.History = append(x.History, e)
			return nil
		})
	})
	if err != nil {
		return nil, s.failed("read order "+orderID.String(), err)
	}
	return x, nil
}

// ListOrdersPage returns a page of orders without their history, and the cursor of the
// next page; empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListOrdersPage(ctx context.Context, filter billing.OrderFilter, page aaa.Page) ([]billing.Order, string, error) {
	return listRows(ctx, s, orderLists, "orders", listedOrder, orderConditions(filter), filter, page)
}
