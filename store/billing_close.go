package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

// closeAccount bills what is left of a user who is deleted or erased: subscriptions end today,
// and what was on drafts is billed with the rest. What is owed stays owed, and can be paid. It fails with ErrInUse if that cannot be billed.
func (tx *writeTx) closeAccount(ctx context.Context, userID uuid.UUID, name string, options aaa.CloseOptions) error {
	var open bool
	err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM users WHERE id = $1 AND "+toClose+")", userID.String()).Scan(flag{&open})
	if err != nil || !open {
		return err
	}
	if _, err := tx.lockAccounts(ctx, []uuid.UUID{userID}); err != nil {
		return err
	}
	if err := tx.dropOrders(ctx, userID); err != nil {
		return err
	}
	if err := tx.dropDrafts(ctx, userID); err != nil { // their charges are billed with the others
		return err
	}
	settings, _, err := billingSetting.read(ctx, tx)
	if err != nil {
		return err
	}
	taxes, err := taxRates(ctx, tx)
	if err != nil {
		return err
	}
	o := settings.RunOptions(tx.store.today(), tx.store.location, taxes, tx.store.timestamp())
	var unbilled, untold error // the second: why usage at certain hours cannot be told
	without := false
	err = tx.billAccount(ctx, userID, o, func(a *billing.Account, o billing.RunOptions) (bill *billing.Bill, err error) {
		without, untold = false, a.HoursErr
		if bill, unbilled = billing.Close(a, o); options.WithoutUsageAtHours && untold != nil && errors.Is(unbilled, untold) {
			without, o.WithoutUsageAtHours = true, true
			bill, unbilled = billing.Close(a, o)
		}
		return bill, unbilled
	})
	if unbilled != nil {
		err = fmt.Errorf("user %q: %w: what is left to bill cannot be billed: %v", name, ErrInUse, unbilled)
		if untold != nil && errors.Is(unbilled, untold) {
			err = fmt.Errorf("%w; to close the account without charging that usage, ask for it (--without-usage-at-hours, without_usage_at_hours)", err)
		}
	}
	if err != nil || !without {
		return err
	}
	changes, err := json.Marshal(map[string]string{"left_out": untold.Error()})
	if err != nil {
		return err
	}
	return tx.record(ctx, operator.AuditEntry{Action: "users.close_without_usage", EntityKind: "user", EntityID: userID, EntityName: name, Changes: changes}, "")
}

// toClose holds for users who have something that closeAccount closes.
const toClose = `(EXISTS (SELECT 1 FROM subscriptions WHERE user_id = users.id)
	OR EXISTS (SELECT 1 FROM charges WHERE user_id = users.id AND invoice_id IS NULL)
	OR EXISTS (SELECT 1 FROM invoices WHERE user_id = users.id AND state = 'draft')
	OR EXISTS (SELECT 1 FROM orders WHERE user_id = users.id AND ` + undone + `))`

// closeBatch is closeAccount of all users of a batch.
func (tx *writeTx) closeBatch(ctx context.Context, batchID uuid.UUID, options aaa.CloseOptions) error {
	type member struct {
		id   uuid.UUID
		name string
	}
	var one member
	var members []member
	err := eachRow(ctx, tx, "SELECT id, username FROM users WHERE batch_id = $1 AND "+toClose+" ORDER BY id", []any{batchID.String()}, []any{id{&one.id}, text{&one.name}}, func() error {
		members = append(members, one)
		return nil
	})
	for _, m := range members {
		if err == nil {
			err = tx.closeAccount(ctx, m.id, m.name, options)
		}
	}
	return err
}
