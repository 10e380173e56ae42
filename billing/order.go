package billing

import (
	"time"

	"github.com/google/uuid"
)

// Order is what somebody has asked for, and what became of it. Paying it completes it,
// in one transaction; one that costs nothing is completed at once. One of a plan or a change
// is completed from the user's credit, too, as soon as there is as much that nothing else
// needs: no invoice, no charge that waits for one, and no other order that was paid and is
// not charged for yet.
type Order struct {
	ID       uuid.UUID // UUIDv7
	UserID   uuid.UUID
	Username string // as the user is called now; not written
	Kind     OrderKind
	State    OrderState
	Currency Currency
	Amount   Amount // to be paid for it to be completed; 0: nothing
	Details  OrderDetails
	// SubscriptionID is what it made or changed, and PaymentID what paid it.
	SubscriptionID, PaymentID uuid.UUID
	History                   []OrderEntry
	CreatedAt                 time.Time
	UpdatedAt                 time.Time
}

// OrderKind says what is ordered.
type OrderKind string

// The kinds of orders.
const (
	OrderPlan    OrderKind = "plan"    // a subscription
	OrderChange  OrderKind = "change"  // of a subscription to another rate
	OrderTopUp   OrderKind = "top_up"  // credit
	OrderVoucher OrderKind = "voucher" // what a voucher is worth
)

// OrderState says where an order stands.
type OrderState string

// The states of orders.
const (
	OrderOpen      OrderState = "open"
	OrderPaid      OrderState = "paid" // and completed in the same transaction, where it can be
	OrderCompleted OrderState = "completed"
	OrderCancelled OrderState = "cancelled"
)

// OrderDetails are what is to be done. They are kept as JSON.
type OrderDetails struct {
	// RateID is what is subscribed to, or changed to.
	RateID uuid.UUID `json:"rate_id,omitzero"`
	// SubscriptionID is what is changed.
	SubscriptionID uuid.UUID `json:"subscription_id,omitzero"`
	// Start is the first day of a subscription, or of the new rate; no day: that of
	// the completion.
	Start Date `json:"start,omitzero"`
	// AtPeriodEnd puts a change off until the present period ends.
	AtPeriodEnd bool `json:"at_period_end,omitempty"`
	// ExpireDays is how many days after that of the payment credit can be used; 0: without
	// end.
	ExpireDays int `json:"expire_days,omitempty"`
	// VoucherID is what was redeemed.
	VoucherID uuid.UUID `json:"voucher_id,omitzero"`
}

// OrderEntry is a line of an order's history.
type OrderEntry struct {
	At    time.Time
	State OrderState // from then on
	Actor string
	Note  string
}

// FromCredit reports whether the user's credit has paid the order, and no payment of its own.
func (o *Order) FromCredit() bool {
	return (o.State == OrderPaid || o.State == OrderCompleted) && o.Amount > 0 && o.PaymentID == uuid.Nil
}
