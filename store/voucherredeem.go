package store

import (
	"context"
	"errors"
	"net/netip"
	"strings"
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
// user, and a *operator.ThrottledError after too many unknown codes for this user, from
// this address (of who typed the code; invalid: not known) or by this operator. Then the
// code was not looked at. It is nowhere in the errors.
func (s *Store) RedeemVoucher(ctx context.Context, userID uuid.UUID, code string, from netip.Addr) (*billing.Redemption, error) {
	guessers := guessersOf(ctx, userID, from)
	// Who has to wait must not make the database write.
	until, err := s.LockedUntil(ctx, guessers)
	if err != nil {
		return nil, err
	}
	if wait := until.Sub(s.timestamp()); wait > 0 {
		return nil, &operator.ThrottledError{RetryAfter: wait}
	}
	key := VoucherKey(s.sealer)
	hash, ok := key.Hash([]byte(code))
	var r *billing.Redemption
	err = s.write(ctx, func(tx *writeTx) error {
		r = nil
		if err := tx.userExists(ctx, userID); err != nil { // made-up users are no new guessers
			return err
		}
		return tx.changeAttempts(ctx, guessers, func(known []operator.Attempts) error {
			now := s.timestamp()
			if wait := lockedFor(known, now); wait > 0 {
				return &operator.ThrottledError{RetryAfter: wait}
			}
			err := billing.ErrUnknownVoucher
			if ok {
				r, err = tx.redeem(ctx, userID, hash)
			}
			if errors.Is(err, billing.ErrUnknownVoucher) {
				countGuess(known, now)
				return nil
			}
			return err
		})
	})
	if err == nil && r == nil {
		err = billing.ErrUnknownVoucher
	}
	if err != nil {
		return nil, s.voucherFailed("redeem voucher", err)
	}
	return r, nil
}

const sharedGuesser = "voucher:address:"

// guessersOf are whose wrong codes count together: the user's; those from an address; and
// those of a person who signed in. An API token is nobody: a portal redeems for many.
func guessersOf(ctx context.Context, userID uuid.UUID, from netip.Addr) []string {
	keys := []string{"voucher:user:" + userID.String()}
	if from.IsValid() {
		keys = append(keys, "voucher:"+operator.AddressKey(from))
	}
	if actor := operator.ActorOf(ctx); actor.Kind == operator.ActorOperator {
		keys = append(keys, "voucher:"+actor.Key())
	}
	return keys
}

func lockedFor(known []operator.Attempts, now time.Time) (wait time.Duration) {
	for i := range known {
		wait = max(wait, known[i].LockedUntil.Sub(now))
	}
	return wait
}

// guessesForget is how long after the last wrong code it is forgotten.
const guessesForget = 15 * time.Minute

// countGuess counts a code that no voucher has.
func countGuess(known []operator.Attempts, now time.Time) {
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
		free := billing.FreeGuesses
		if strings.HasPrefix(a.Key, sharedGuesser) {
			free = billing.FreeSharedGuesses
		}
		if lock := billing.RedemptionLock(a.Failures, free); lock > 0 {
			a.LockedUntil = now.Add(lock)
		}
	}
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
	if _, err := tx.lockAccounts(ctx, []uuid.UUID{v.UserID}); err != nil {
		return err
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
