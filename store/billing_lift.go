package store

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

// liftDunning gives users their service back whose invoices are not open any more: what
// dunning did about one lasts while it is. Their accounts must be locked.
func (tx *writeTx) liftDunning(ctx context.Context, userIDs []uuid.UUID) error {
	type force struct{ suspended, restricted, lifted bool }
	inForce := map[uuid.UUID]*force{}
	var order []uuid.UUID
	var userID uuid.UUID
	var action billing.DunningAction
	var state billing.InvoiceState
	err := eachChunk(tx, "s.user_id", "uuid", texts(userIDs), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT s.user_id, s.action, i.state FROM dunning_steps s JOIN invoices i ON i.id = s.invoice_id WHERE "+which+
			" AND s.state = 'done' AND s.action IN ('restrict', 'suspend') ORDER BY s.user_id", args,
			[]any{id{&userID}, term(&action), term(&state)}, func() error {
				f := inForce[userID]
				if f == nil {
					f = &force{}
					inForce[userID], order = f, append(order, userID)
				}
				switch {
				case state != billing.InvoiceIssued:
					f.lifted = true
				case action == billing.DunningSuspend:
					f.suspended = true
				default:
					f.restricted = true
				}
				return nil
			})
	})
	if err != nil {
		return err
	}
	for _, userID := range order {
		f := inForce[userID]
		if !f.lifted {
			continue
		}
		_, err := tx.ExecContext(ctx, `UPDATE dunning_steps SET state = 'lifted' WHERE user_id = $1 AND state = 'done' AND action IN ('restrict', 'suspend')
			AND invoice_id IN (SELECT id FROM invoices WHERE user_id = $1 AND state <> 'issued')`, userID.String())
		if err != nil {
			return err
		}
		if err := tx.restore(ctx, userID, f.suspended, f.restricted); err != nil {
			return err
		}
	}
	return nil
}

// restriction is a user in a group because of dunning.
type restriction struct{ userID, groupID uuid.UUID }

// restrictions reads those of users; which says, of user_id or the like, of whom.
func restrictions(ctx context.Context, q querier, which string, args []any) (map[restriction]bool, error) {
	found := map[restriction]bool{}
	var r restriction
	err := eachRow(ctx, q, "SELECT user_id, group_id FROM dunning_restrictions WHERE "+which, args, []any{id{&r.userID}, id{&r.groupID}}, func() error {
		found[r] = true
		return nil
	})
	return found, err
}

// restore takes back what dunning did to a user, but for what lasts.
func (tx *writeTx) restore(ctx context.Context, userID uuid.UUID, suspended, restricted bool) error {
	var groupID uuid.UUID
	var changed []string
	var joined []uuid.UUID
	var changes [][]string // by CoA-Requests, of each
	if !restricted {
		err := eachRow(ctx, tx, "SELECT group_id, changed FROM dunning_restrictions WHERE user_id = $1 ORDER BY group_id", []any{userID.String()},
			[]any{id{&groupID}, structured[[]string]{&changed}}, func() error {
				joined, changes = append(joined, groupID), append(changes, changed)
				changed = nil
				return nil
			})
		if err != nil {
			return err
		}
	}
	exhausted, err := tx.exhausted(ctx, userID)
	if err != nil {
		return err
	}
	left := false
	user, err := users.changeIn(ctx, tx, "id", userID.String(), func(u *aaa.User) error {
		if u.Suspension == aaa.SuspendedOverdue && !suspended {
			u.Status = aaa.UserActive
			if exhausted {
				u.Status, u.Suspension = aaa.UserSuspended, aaa.SuspendedBalance
			}
		}
		before := len(u.Groups)
		u.Groups = slices.DeleteFunc(slices.Clone(u.Groups), func(m aaa.Membership) bool { return slices.Contains(joined, m.GroupID) })
		left = len(u.Groups) < before
		return nil
	})
	if errors.Is(err, ErrNotFound) { // was deleted
		return nil
	}
	if err != nil || len(joined) == 0 {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM dunning_restrictions WHERE user_id = $1", userID.String()); err != nil || !left {
		return err
	}
	settings, _, err := dunningSetting.read(ctx, tx)
	if err != nil || settings.RestrictLive == billing.LiveKeep {
		return err
	}
	var items []aaa.Item // none: the next login has all of the plan
	if settings.RestrictLive == billing.LiveCoA && len(joined) == 1 {
		if items, err = tx.changeBack(ctx, user, joined[0], changes[0]); err != nil {
			return err
		}
	}
	return tx.endSessions(ctx, "dunning", user.Name, items)
}

// exhausted reports whether all that runs of a user's subscriptions waits for credit.
func (tx *writeTx) exhausted(ctx context.Context, userID uuid.UUID) (bool, error) {
	today := tx.store.today()
	var waiting, running int
	err := tx.QueryRowContext(ctx, `SELECT count(CASE WHEN state = 'suspended' THEN 1 END), count(*) FROM subscriptions
		WHERE user_id = $1 AND state <> 'ended' AND start_day <= $2 AND (end_day IS NULL OR end_day > $2)`, userID.String(), civil{&today}).
		Scan(whole[int]{&waiting}, whole[int]{&running})
	return waiting > 0 && waiting == running, err
}

// serve has prepaid subscriptions whose credit was used up go on, if there is credit now for
// the day, which is charged as the next run would. Those of whom more was taken than they had
// are not served from now on. Their accounts must be locked.
func (tx *writeTx) serve(ctx context.Context, userIDs []uuid.UUID) error {
	var waiting []uuid.UUID
	var userID uuid.UUID
	err := eachChunk(tx, "id", "uuid", texts(userIDs), func(which string, args []any) error {
		return eachRow(ctx, tx, "SELECT id FROM users WHERE "+which+" AND (suspension = 'balance' OR EXISTS (SELECT 1 FROM subscriptions WHERE user_id = users.id AND state = 'suspended')) ORDER BY id", args, []any{id{&userID}}, func() error {
			waiting = append(waiting, userID)
			return nil
		})
	})
	if err != nil {
		return err
	}
	overdrawn, err := tx.overdrawn(ctx, userIDs)
	if err != nil || len(waiting)+len(overdrawn) == 0 {
		return err
	}
	o, err := tx.optionsOfToday(ctx)
	if err != nil {
		return err
	}
	for _, userID := range waiting {
		if err := tx.tryBill(ctx, userID, o, billing.Compute); err != nil {
			return err
		}
	}
	for _, userID := range overdrawn {
		if err := tx.tryBill(ctx, userID, o, billing.Exhaust); err != nil {
			return err
		}
	}
	return nil
}

// optionsOfToday are those of a run for the present day.
func (tx *writeTx) optionsOfToday(ctx context.Context) (billing.RunOptions, error) {
	settings, _, err := billingSetting.read(ctx, tx)
	if err != nil {
		return billing.RunOptions{}, err
	}
	taxes, err := taxRates(ctx, tx)
	return settings.RunOptions(tx.store.today(), tx.store.location, taxes, tx.store.timestamp()), err
}

// overdrawn returns the users with a prepaid subscription who have less credit than they were
// charged.
func (tx *writeTx) overdrawn(ctx context.Context, userIDs []uuid.UUID) (list []uuid.UUID, err error) {
	owed, err := tx.balances(ctx, userIDs, "")
	if err != nil {
		return nil, err
	}
	pending, err := tx.pendingSums(ctx, userIDs)
	if err != nil {
		return nil, err
	}
	for k := range pending {
		owed[k] += pending[k]
	}
	var short []uuid.UUID
	for k, amount := range owed {
		if amount > 0 {
			short = append(short, k.userID)
		}
	}
	var userID uuid.UUID
	err = eachChunk(tx, "user_id", "uuid", texts(short), func(which string, args []any) error {
		return eachRow(ctx, tx, `SELECT DISTINCT user_id FROM subscriptions JOIN rates ON rates.id = rate_id WHERE `+which+` AND state NOT IN ('ended', 'suspended', 'trial')
			AND terms LIKE '%"prepaid":%' AND EXISTS (SELECT 1 FROM users WHERE users.id = user_id) ORDER BY user_id`, args, []any{id{&userID}}, func() error {
			list = append(list, userID)
			return nil
		})
	})
	return list, err
}

// stillOverdue reports whether a step of dunning that suspends a user is in force.
func (tx *writeTx) stillOverdue(ctx context.Context, userID uuid.UUID) (bool, error) {
	var n int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM dunning_steps s JOIN invoices i ON i.id = s.invoice_id WHERE s.user_id = $1 AND s.state = 'done' AND s.action = 'suspend' AND i.state = 'issued'",
		userID.String()).Scan(&n)
	return n > 0, err
}
