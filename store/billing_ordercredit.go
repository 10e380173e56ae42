package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// fromCredit is the note of an order's history that it was paid from the user's credit.
const fromCredit = "from credit"

// completeOrders completes open orders of plans and changes that the credit of users covers,
// the oldest first. What cannot be done is left open, and its history says why. The accounts
// must be locked.
func (tx *writeTx) completeOrders(ctx context.Context, users []uuid.UUID) error {
	var waiting []uuid.UUID
	var orderID uuid.UUID
	err := eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		return eachRow(ctx, tx, waitingOrders(which), args, []any{id{&orderID}}, func() error {
			waiting = append(waiting, orderID)
			return nil
		})
	})
	if err != nil || len(waiting) == 0 {
		return err
	}
	o, err := tx.optionsOfToday(ctx)
	if err != nil {
		return err
	}
	for _, orderID := range waiting {
		if err := tx.completeFromCredit(ctx, orderID, o); err != nil {
			return err
		}
	}
	return nil
}

// waitingOrders selects open orders of plans and changes of users who are there. It says so by
// what they are not, or SQLite would look through the open orders of everybody.
func waitingOrders(which string) string {
	return "SELECT id FROM orders WHERE " + which + ` AND state NOT IN ('paid', 'completed', 'cancelled') AND kind NOT IN ('top_up', 'voucher')
		AND EXISTS (SELECT 1 FROM users WHERE users.id = user_id) ORDER BY user_id, created_at, id`
}

// completeFromCredit completes an order if it is open and there is credit for it.
func (tx *writeTx) completeFromCredit(ctx context.Context, orderID uuid.UUID, o billing.RunOptions) error {
	x, err := findOrder(ctx, tx, orderID, tx.forUpdate())
	if err != nil || x.State != billing.OrderOpen {
		return err
	}
	covered, err := tx.covered(ctx, x, o.AsOf)
	if err != nil || !covered {
		return err
	}
	hindrance, err := tx.hindrance(ctx, x, o)
	if err != nil {
		return err
	}
	if hindrance != "" {
		return tx.noteOrder(ctx, x, hindrance)
	}
	if err := tx.enterOrder(ctx, x, billing.OrderPaid, fromCredit); err != nil {
		return err
	}
	return tx.completeOrder(ctx, x, o)
}

// dropOrders cancels what a user has ordered of plans and was not done: the account is closed.
// It must be locked.
func (tx *writeTx) dropOrders(ctx context.Context, userID uuid.UUID) error {
	orders, err := listIDs(ctx, tx.Tx, "SELECT id FROM orders WHERE user_id = $1 AND "+undone+" ORDER BY created_at, id", []any{userID.String()})
	for _, orderID := range orders {
		if err != nil {
			break
		}
		var x *billing.Order
		if x, err = findOrder(ctx, tx, orderID, tx.forUpdate()); err == nil {
			err = tx.cancelOrder(ctx, x, "the account was closed")
		}
	}
	return err
}

// undone holds for orders of plans and changes that are not completed.
const undone = "state IN ('open', 'paid') AND kind IN ('plan', 'change')"

// hindrance says why an order cannot be completed; empty: it can. Money that is booked is
// booked in any case.
func (tx *writeTx) hindrance(ctx context.Context, x *billing.Order, o billing.RunOptions) (string, error) {
	const text = "there is credit for it, but it could not be completed: "
	if _, err := findRate(ctx, tx, x.Details.RateID, ""); errors.Is(err, ErrNotFound) {
		return text + "what was ordered is not sold any more", nil
	} else if err != nil || x.Kind != billing.OrderChange {
		return "", err
	}
	change, err := tx.orderedChange(ctx, x, o)
	if err != nil {
		return "", err
	}
	o.RunID, o.Now = uuid.Nil, tx.store.timestamp()
	accounts, err := tx.readAccounts(ctx, []uuid.UUID{x.UserID}, o)
	if err != nil {
		return "", err
	}
	bill, err := change(accounts[0], o)
	if err == nil {
		err = checkBill(accounts[0], bill)
	}
	if err != nil {
		return text + err.Error(), nil
	}
	return "", nil
}

// noteOrder adds to the history of an order, unless it ends with that note already.
func (tx *writeTx) noteOrder(ctx context.Context, x *billing.Order, note string) error {
	if len(note) > maxFailure {
		note = cleanText(note[:maxFailure])
	}
	var last string
	err := tx.QueryRowContext(ctx, "SELECT note FROM order_history WHERE order_id = $1 ORDER BY entry DESC LIMIT 1", x.ID.String()).Scan(text{&last})
	if err != nil && !errors.Is(err, sql.ErrNoRows) || last == note {
		return err
	}
	return tx.enterOrder(ctx, x, x.State, note)
}

// covered reports whether an order of a plan or a change can be paid from the credit that a
// user has on a day: from what no invoice, not even a draft, no charge that waits and no order
// that was paid before needs of it. Charges need what the invoice will have of them, with the
// tax; where that is not known, nothing is covered. The account must be locked.
func (tx *writeTx) covered(ctx context.Context, x *billing.Order, on billing.Date) (bool, error) {
	if x.Kind != billing.OrderPlan && x.Kind != billing.OrderChange {
		return false, nil
	}
	k := balanceKey{x.UserID, x.Currency}
	owed, err := tx.balances(ctx, []uuid.UUID{k.userID}, "")
	if err != nil {
		return false, err
	}
	waiting, err := tx.readWaiting(ctx, k, on)
	if err != nil {
		return false, err
	}
	charged, err := waiting.sum(func(*billing.Charge) bool { return true })
	if err != nil {
		return false, ignoreRefusal(err)
	}
	var drafted, ended billing.Amount
	err = tx.QueryRowContext(ctx, `SELECT
		(SELECT coalesce(CAST(sum(total) AS bigint), 0) FROM invoices WHERE user_id = $1 AND currency = $2 AND state = 'draft' AND kind = 'invoice'),
		(SELECT coalesce(CAST(sum(rest) AS bigint), 0) FROM payments WHERE user_id = $1 AND currency = $2 AND rest > 0 AND expires_on < $3)`,
		k.userID.String(), term(&k.currency), civil{&on}).Scan(money(&drafted), money(&ended))
	if err != nil {
		return false, err
	}
	ended -= min(ended, max(charged, 0)) // what ends first is used up first
	ordered, err := tx.ordered(ctx, k, waiting)
	return -owed[k]-charged-drafted-ended-ordered >= x.Amount, ignoreRefusal(err)
}

// ignoreRefusal returns nil for what is not allowed, rather than broken.
func ignoreRefusal(err error) error {
	if billing.IsRefusal(err) {
		return nil
	}
	return err
}

// waitingCharges are a user's charges in a currency that are on no invoice yet.
type waitingCharges struct {
	charges []billing.Charge
	taxes   []billing.TaxRate
	on      billing.Date // of their invoice
}

func (tx *writeTx) readWaiting(ctx context.Context, k balanceKey, on billing.Date) (w waitingCharges, err error) {
	var c billing.Charge
	fields := chargeFields(&c)
	err = eachRow(ctx, tx, "SELECT "+names(fields)+" FROM charges WHERE user_id = $1 AND invoice_id IS NULL AND currency = $2 ORDER BY id",
		[]any{k.userID.String(), term(&k.currency)}, targets(fields), func() error {
			w.charges = append(w.charges, c)
			return nil
		})
	if err != nil || len(w.charges) == 0 {
		return w, err
	}
	w.on = on
	w.taxes, err = taxRates(ctx, tx)
	return w, err
}

// sum adds up what some of them will be on the invoice.
func (w waitingCharges) sum(which func(*billing.Charge) bool) (billing.Amount, error) {
	var some []billing.Charge
	for i := range w.charges {
		if which(&w.charges[i]) {
			some = append(some, w.charges[i])
		}
	}
	return billing.Payable(some, w.taxes, w.on)
}

// ordered returns what a user's credit is for by orders of plans and changes that were paid,
// from credit or otherwise: the amount of each until what it sold is on an invoice, less what
// is charged for that already. What a plan was ordered for is all that its subscription is
// charged, and a change what is charged after it.
func (tx *writeTx) ordered(ctx context.Context, k balanceKey, waiting waitingCharges) (sum billing.Amount, err error) {
	type paidOrder struct {
		kind         billing.OrderKind
		amount       billing.Amount
		subscription uuid.UUID
		at           time.Time
	}
	var x paidOrder
	var orders []paidOrder
	err = eachRow(ctx, tx, `SELECT o.kind, o.amount, o.subscription_id, h.at
		FROM orders o JOIN order_history h ON h.order_id = o.id AND h.state = 'paid' LEFT JOIN subscriptions s ON s.id = o.subscription_id
		WHERE o.user_id = $1 AND o.currency = $2 AND o.kind IN ('plan', 'change')
			AND (o.state = 'paid' OR o.state = 'completed' AND s.state <> 'ended' AND NOT EXISTS
				(SELECT 1 FROM charges c WHERE c.subscription_id = o.subscription_id AND c.invoice_id IS NOT NULL AND (o.kind = 'plan' OR c.created_at >= h.at)))`,
		[]any{k.userID.String(), term(&k.currency)}, []any{term(&x.kind), money(&x.amount), nullID{&x.subscription}, moment{&x.at}}, func() error {
			orders = append(orders, x)
			return nil
		})
	for _, x := range orders {
		charged, failed := waiting.sum(func(c *billing.Charge) bool {
			return x.subscription != uuid.Nil && c.SubscriptionID == x.subscription && (x.kind == billing.OrderPlan || !c.CreatedAt.Before(x.at))
		})
		if failed != nil {
			return 0, failed
		}
		sum += max(x.amount-max(charged, 0), 0)
	}
	return sum, err
}
