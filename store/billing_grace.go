package store

import (
	"context"

	"github.com/google/uuid"

	"radiusd/billing"
)

// followInvoices gives subscriptions of users the state that their invoices say: grace while
// one with charges of theirs is overdue, and active again when none is. It is called each
// night and with all that changes what is open. Whether the user is still served is what the
// steps of dunning say.
func (tx *writeTx) followInvoices(ctx context.Context, userIDs []uuid.UUID) error {
	today := tx.store.today()
	var x billing.Subscription
	var turned []billing.Subscription
	err := eachChunk(tx, "s.user_id", "uuid", texts(userIDs), func(which string, args []any) error {
		c := conditions{terms: []string{which}, args: args}
		c.add(`s.state IN ('active', 'grace') AND (s.state = 'grace') <> EXISTS (SELECT 1 FROM invoices i JOIN charges c ON c.invoice_id = i.id
			WHERE i.user_id = s.user_id AND i.state = 'issued' AND i.kind = 'invoice' AND i.due_on < $%d AND c.subscription_id = s.id)`, civil{&today})
		return eachRow(ctx, tx, "SELECT s.id, s.user_id, s.rate_id, s.state, s.updated_at FROM subscriptions s"+c.where()+" ORDER BY s.id"+tx.forUpdate(), c.args,
			[]any{id{&x.ID}, id{&x.UserID}, id{&x.Rate.ID}, term(&x.State), moment{&x.UpdatedAt}}, func() error {
				turned = append(turned, x)
				return nil
			})
	})
	if err != nil {
		return err
	}
	for i := range turned {
		x := &turned[i]
		if x.State == billing.SubscriptionGrace {
			x.State = billing.SubscriptionActive
		} else {
			x.State = billing.SubscriptionGrace
		}
		x.UpdatedAt = tx.store.timestampAfter(x.UpdatedAt)
		_, err := tx.ExecContext(ctx, "UPDATE subscriptions SET state = $2, updated_at = $3 WHERE id = $1", x.ID.String(), term(&x.State), moment{&x.UpdatedAt})
		if err != nil {
			return err
		}
		if err := tx.emitSubscription("subscription.changed", x); err != nil {
			return err
		}
	}
	return nil
}
