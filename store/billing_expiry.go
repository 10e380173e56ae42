package store

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"radiusd/billing"
)

// ExpireCredit implements [billing.RunStore].
func (s *Store) ExpireCredit(ctx context.Context, asOf billing.Date, after uuid.UUID, limit int) (last uuid.UUID, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		last = uuid.Nil
		users, err := listIDs(ctx, tx.Tx, "SELECT DISTINCT user_id FROM payments WHERE expires_on < $1 AND rest > 0 AND user_id > $2 ORDER BY user_id LIMIT $3",
			[]any{civil{&asOf}, after.String(), limit})
		if err != nil || len(users) == 0 {
			return err
		}
		last = users[len(users)-1]
		return tx.expireCredit(ctx, users, asOf)
	})
	return last, s.failed("expire credit", err)
}

// expireCredit takes from users what is left of payments whose last day is before a day,
// but for what is charged already and on no invoice yet: that much is used up, of what ends
// first.
func (tx *writeTx) expireCredit(ctx context.Context, users []uuid.UUID, asOf billing.Date) error {
	ended := func(fn func(k balanceKey, paymentID uuid.UUID, rest, expired, refunded billing.Amount)) error {
		return eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
			c := conditions{terms: []string{which, "rest > 0"}, args: slices.Clone(args)}
			c.add("expires_on < $%d", civil{&asOf})
			var k balanceKey
			var paymentID uuid.UUID
			var rest, expired, refunded billing.Amount
			return eachRow(ctx, tx, "SELECT user_id, currency, id, rest, expired, (SELECT coalesce(CAST(sum(r.amount) AS bigint), 0) FROM payments r WHERE r.refunds = payments.id) FROM payments"+c.where()+" ORDER BY user_id, currency, expires_on, created_at, id", c.args,
				[]any{id{&k.userID}, term(&k.currency), id{&paymentID}, money(&rest), money(&expired), money(&refunded)}, func() error {
					fn(k, paymentID, rest, expired, refunded)
					return nil
				})
		})
	}
	var keys []balanceKey
	if err := ended(func(k balanceKey, _ uuid.UUID, _, _, _ billing.Amount) { keys = append(keys, k) }); err != nil {
		return err
	}
	if err := tx.lockBalances(ctx, keys); err != nil { // from here on, nothing of it is spent by others
		return err
	}
	used, err := tx.payableSums(ctx, users)
	if err != nil {
		return err
	}
	now := tx.store.timestamp()
	var transactions []billing.Transaction
	var lost []paymentRow
	err = ended(func(k balanceKey, paymentID uuid.UUID, rest, expired, refunded billing.Amount) {
		kept := min(rest, max(used[k], 0))
		used[k] -= kept
		if amount := rest - kept; amount > 0 {
			transactions = append(transactions, billing.PostExpiry(paymentID, k.userID, k.currency, amount, expired+refunded, now)) // which becomes more each time
			p := paymentRow{rest: kept}
			p.ID, p.UserID, p.Currency, p.Amount, p.Expired = paymentID, k.userID, k.currency, amount, expired+amount
			lost = append(lost, p)
		}
	})
	if err != nil {
		return err
	}
	for i := range lost {
		p := &lost[i]
		if _, err := tx.ExecContext(ctx, "UPDATE payments SET rest = $2, expired = $3 WHERE id = $1", p.ID.String(), money(&p.rest), money(&p.Expired)); err != nil {
			return err
		}
		if err := tx.emit("credit.expired", "payment", p.ID, PaymentEvent{PaymentID: p.ID, UserID: p.UserID, Currency: p.Currency, Amount: p.Amount}); err != nil {
			return err
		}
	}
	if err := tx.post(ctx, transactions); err != nil {
		return err
	}
	return tx.settle(ctx, users)
}

// unexpire takes back as much of what has ended of a payment as was charged back: nobody has
// it any more.
func (tx *writeTx) unexpire(ctx context.Context, p *paymentRow, c *credit, back *paymentRow) error {
	amount := min(back.Amount, p.Expired)
	if amount == 0 {
		return nil
	}
	p.Expired -= amount
	c.rest += amount
	if _, err := tx.ExecContext(ctx, "UPDATE payments SET rest = $2, expired = $3 WHERE id = $1", p.ID.String(), money(&c.rest), money(&p.Expired)); err != nil {
		return err
	}
	return tx.post(ctx, []billing.Transaction{billing.PostExpiry(back.ID, p.UserID, p.Currency, -amount, 0, back.CreatedAt)})
}

// pendingSums returns what users are charged that is on no invoice yet, as it is taken from
// credit for prepaid days.
func (tx *writeTx) pendingSums(ctx context.Context, users []uuid.UUID) (map[balanceKey]billing.Amount, error) {
	sums := map[balanceKey]billing.Amount{}
	err := eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		var k balanceKey
		var sum billing.Amount
		return eachRow(ctx, tx, "SELECT user_id, currency, CAST(sum(amount) AS bigint) FROM charges WHERE "+which+" AND invoice_id IS NULL GROUP BY user_id, currency", args,
			[]any{id{&k.userID}, term(&k.currency), money(&sum)}, func() error {
				sums[k] = sum
				return nil
			})
	})
	return sums, err
}

// payableSums returns what invoices will ask for charges that are on none yet, with the tax;
// without it where a tax class has no rate.
func (tx *writeTx) payableSums(ctx context.Context, users []uuid.UUID) (map[balanceKey]billing.Amount, error) {
	pending := map[balanceKey][]billing.Charge{}
	var c billing.Charge
	fields := chargeFields(&c)
	err := eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM charges WHERE "+which+" AND invoice_id IS NULL", args, targets(fields), func() error {
			k := balanceKey{c.UserID, c.Currency}
			pending[k] = append(pending[k], c)
			return nil
		})
	})
	sums := make(map[balanceKey]billing.Amount, len(pending))
	if err != nil || len(pending) == 0 {
		return sums, err
	}
	taxes, err := taxRates(ctx, tx)
	if err != nil {
		return nil, err
	}
	for k, charges := range pending {
		sum, err := billing.Payable(charges, taxes, tx.store.today())
		if billing.IsRefusal(err) {
			sum, err = 0, nil
			for i := range charges {
				sum += charges[i].Amount
			}
		}
		if err != nil {
			return nil, err
		}
		sums[k] = sum
	}
	return sums, nil
}
