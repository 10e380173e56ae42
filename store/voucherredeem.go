package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/operator"
)

// RedeemVoucher redeems the voucher with a code, as it was typed, for a user, in one
// transaction: one of value is a payment that completes an order of its own; one for a
// plan gives the user the plan until a later day, by billing.VoucherBatch.Extend. It fails
// with billing.ErrUnknownVoucher, a *billing.VoucherError, ErrNotFound if there is no such
// user, and a *operator.ThrottledError after too many unknown codes by the same actor or
// for the same user. The code is nowhere in its errors.
func (s *Store) RedeemVoucher(ctx context.Context, userID uuid.UUID, code string) (*billing.Redemption, error) {
	keys := redemptionKeys(ctx, userID)
	until, err := s.LockedUntil(ctx, keys)
	if err != nil {
		return nil, err
	}
	if wait := until.Sub(s.timestamp()); wait > 0 {
		return nil, &operator.ThrottledError{RetryAfter: wait}
	}
	var r *billing.Redemption
	key := VoucherKey(s.sealer)
	hash, ok := key.Hash([]byte(code))
	if !ok {
		err = billing.ErrUnknownVoucher
	} else {
		err = s.write(ctx, func(tx *writeTx) (err error) {
			r, err = tx.redeem(ctx, userID, hash)
			return err
		})
	}
	if errors.Is(err, billing.ErrUnknownVoucher) {
		if err := s.countGuess(ctx, keys); err != nil {
			return nil, s.voucherFailed("redeem voucher", err)
		}
	}
	if err != nil {
		return nil, s.voucherFailed("redeem voucher", err)
	}
	return r, nil
}

// redemptionKeys stand for who redeems and for whom.
func redemptionKeys(ctx context.Context, userID uuid.UUID) []string {
	actor := operator.ActorOf(ctx).Key()
	sum := sha256.Sum256([]byte(actor))
	return []string{"voucher:actor:" + hex.EncodeToString(sum[:16]), "voucher:user:" + userID.String()}
}

// guessesForget is how long after the last wrong code it is forgotten.
const guessesForget = 15 * time.Minute

// countGuess counts a code that no voucher has.
func (s *Store) countGuess(ctx context.Context, keys []string) error {
	return s.ChangeAttempts(ctx, keys, func(known []operator.Attempts) error {
		now := s.timestamp()
		for i := range known {
			a := &known[i]
			last := a.LastAt
			if a.LockedUntil.After(last) {
				last = a.LockedUntil
			}
			if now.Sub(last) >= guessesForget {
				*a = operator.Attempts{Key: a.Key}
			}
			a.Failures++
			a.LastAt = now
			if lock := billing.RedemptionLock(a.Failures); lock > 0 {
				a.LockedUntil = now.Add(lock)
			}
		}
		return nil
	})
}

func (tx *writeTx) redeem(ctx context.Context, userID uuid.UUID, hash [32]byte) (*billing.Redemption, error) {
	v, err := findVoucher(ctx, tx, "code_hash = $1", tx.forUpdate(), digest{&hash})
	if errors.Is(err, ErrNotFound) {
		return nil, billing.ErrUnknownVoucher
	}
	if err != nil {
		return nil, err
	}
	if err := tx.claimKey(ctx, v.ID); err != nil {
		return nil, err
	}
	now := tx.store.timestamp()
	if err := v.Redeemable(now); err != nil {
		return nil, err
	}
	b, err := findVoucherBatch(ctx, tx, "id", v.BatchID.String(), "")
	if err != nil {
		return nil, err
	}
	before, err := factsOf(voucherFields(v))
	if err != nil {
		return nil, err
	}
	r := &billing.Redemption{Batch: *b}
	v.State, v.UserID, v.RedeemedAt, v.RedeemedBy = billing.VoucherUsed, userID, now, operator.ActorOf(ctx).Name
	v.ExpiresAt, v.UpdatedAt = time.Time{}, tx.store.timestampAfter(v.UpdatedAt)
	if b.Kind == billing.VoucherPlan {
		err = tx.redeemPlan(ctx, v, r, now)
	} else {
		err = tx.redeemValue(ctx, v, r)
	}
	if err != nil {
		return nil, err
	}
	if err := update(ctx, tx.Tx, "vouchers", voucherFields(v)); err != nil {
		return nil, err
	}
	if err := tx.QueryRowContext(ctx, "SELECT username FROM users WHERE id = $1", userID.String()).Scan(text{&v.Username}); err != nil {
		return nil, err
	}
	r.Voucher = v.Voucher
	if err := tx.recordFields(ctx, "vouchers.redeem", "voucher", v.ID, v.Serial, before, voucherFields(v), ""); err != nil {
		return nil, err
	}
	return r, tx.emitVoucher(v, r.ExpiresAt)
}

// redeemPlan gives the user the plan, or has them keep it for longer. Nobody logs in with
// the code any more.
func (tx *writeTx) redeemPlan(ctx context.Context, v *voucherRow, r *billing.Redemption, now time.Time) error {
	if v.UserID == v.loginID {
		return &billing.VoucherError{State: billing.VoucherNew, Message: "a voucher cannot be redeemed for itself"}
	}
	var subscriptions int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM subscriptions WHERE user_id = $1 AND state <> 'ended'", v.UserID.String()).Scan(&subscriptions); err != nil {
		return err
	}
	_, err := users.changeIn(ctx, tx, "id", v.UserID.String(), func(u *aaa.User) (err error) {
		if u.Voucher != nil {
			return &billing.VoucherError{State: billing.VoucherNew, Message: "user " + u.Name + " is a voucher: it is not extended by another one"}
		}
		r.ExpiresAt, err = r.Batch.Extend(billing.PlanHolder{PlanID: u.PlanID, ExpiresAt: u.ExpiresAt, Subscribed: subscriptions > 0}, now)
		u.PlanID, u.ExpiresAt = r.Batch.PlanID, r.ExpiresAt
		return err
	})
	if err != nil {
		return err
	}
	if err := tx.settle(ctx, []uuid.UUID{v.UserID}); err != nil { // the plan waits for no credit
		return err
	}
	return tx.disableLogin(ctx, v)
}

// redeemValue books the voucher's value as a payment of the user's. A voucher's serial is
// the payment's reference, which can be booked once.
func (tx *writeTx) redeemValue(ctx context.Context, v *voucherRow, r *billing.Redemption) error {
	b := &r.Batch
	if err := tx.userExists(ctx, v.UserID); err != nil {
		return err
	}
	order := billing.Order{
		ID: uuid.Must(uuid.NewV7()), UserID: v.UserID, Kind: billing.OrderVoucher, State: billing.OrderOpen,
		Currency: b.Currency, Amount: b.Amount, Details: billing.OrderDetails{VoucherID: v.ID}, CreatedAt: v.UpdatedAt, UpdatedAt: v.UpdatedAt,
	}
	if err := insert(ctx, tx.Tx, "orders", orderFields(&order)); err != nil {
		return err
	}
	if err := tx.recordFields(ctx, "orders.create", "order", order.ID, string(order.Kind), nil, orderFields(&order), "order.created"); err != nil {
		return err
	}
	if err := tx.enterOrder(ctx, &order, billing.OrderOpen, ""); err != nil {
		return err
	}
	p := &paymentRow{Payment: billing.Payment{
		ID: uuid.Must(uuid.NewV7()), UserID: v.UserID, Method: billing.PaidVoucher, Currency: b.Currency, Amount: b.Amount,
		Provider: "voucher", Reference: v.Serial, ReceivedOn: tx.store.today(),
	}}
	row, booked, err := tx.bookPayment(ctx, p)
	if err != nil {
		return err
	}
	if !booked {
		return &billing.VoucherError{State: billing.VoucherUsed, Message: "the value of voucher " + v.Serial + " was booked before"}
	}
	v.PaymentID, order.PaymentID, r.OrderID = row.ID, row.ID, order.ID
	if err := tx.enterOrder(ctx, &order, billing.OrderPaid, ""); err != nil {
		return err
	}
	return tx.completeOrder(ctx, &order, billing.RunOptions{})
}

var _ aaa.FirstUseStore = (*Store)(nil)
