package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/billing/checkout"
)

// back acts on an event about money that goes back, or has not gone after all. handled is
// false if what it is about is not known yet.
func (t *eventTaker) back(ctx context.Context, e *eventRow) (handled bool, err error) {
	p, err := findPayment(ctx, t.tx, "provider = $1 AND reference = $2", "", text{&e.provider}, text{&e.PaymentID})
	if errors.Is(err, ErrNotFound) {
		e.outcome = "it waits for its payment"
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if p.Currency != e.Currency {
		e.outcome = "it is in another currency than its payment"
		return true, nil
	}
	// Whoever books a refund has the account locked: it sees what waits, or is seen.
	if err := t.tx.lockBalances(ctx, []balanceKey{{p.UserID, p.Currency}}); err != nil {
		return false, err
	}
	_, err = findPayment(ctx, t.tx, "provider = $1 AND reference = $2", "", text{&e.provider}, text{&e.subject})
	booked := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	undone := e.Kind == checkout.RefundFailed || e.Kind == checkout.DisputeWon
	switch {
	case undone && booked: // the money has come back
		again := t.payment(e, p.UserID, e.subject+cameBackSuffix, e.Amount)
		again.ID = uuid.Must(uuid.NewV7())
		_, _, err := t.tx.bookPayment(ctx, &paymentRow{Payment: again})
		e.outcome = "booked again"
		return true, err
	case undone:
		// It has not gone, as far as is known. Who has asked for it may book it still.
		e.outcome = "it waits for its refund"
		return false, nil
	case booked:
		e.outcome = "it changes nothing"
		return true, nil
	}
	var others int
	err = t.tx.QueryRowContext(ctx, "SELECT count(*) FROM checkout_events WHERE provider = $1 AND payment = $2 AND subject = $3 AND "+undoing,
		text{&e.provider}, text{&e.PaymentID}, text{&e.subject}).Scan(&others)
	if err != nil || others > 0 {
		e.outcome = "it was undone"
		return true, err
	}
	return true, t.giveBack(ctx, e, p)
}

// undoing selects the events that say that money has not gone after all.
const undoing = "kind IN ('refund_failed', 'dispute_won')"

// giveBack books that money has gone of a payment, or of what has come back of it.
func (t *eventTaker) giveBack(ctx context.Context, e *eventRow, p *paymentRow) error {
	parts, err := t.tx.refundable(ctx, p)
	if err != nil {
		return err
	}
	named, _ := uuid.Parse(e.Reference) // by the operator who has asked for it; else nothing
	all := takeParts(parts, named, e.Amount)
	if all == nil { // more than is left: somebody booked it by hand
		left := billing.Amount(0)
		for _, part := range parts {
			left += part.amount
		}
		e.outcome = fmt.Sprintf("it cannot be booked: no more than %s can be given back", amountOf(p.Currency, left))
		return nil
	}
	for n, part := range all {
		reference := e.subject
		if n > 0 {
			reference += fmt.Sprintf(":%d", n+1)
		}
		refund := t.payment(e, p.UserID, reference, part.amount)
		refund.Refunds, refund.Note, refund.ChargedBack = part.paymentID, string(e.Kind), true
		if _, _, err := t.tx.refundPayment(ctx, &refund); err != nil {
			return err
		}
	}
	e.outcome = "given back"
	return nil
}

// refundPart is an amount that can be given back of a payment.
type refundPart struct {
	paymentID uuid.UUID
	amount    billing.Amount
}

// refundable returns what can be given back of a payment, and of those in which money came
// back that was given back of it, which are one payment at the provider.
func (tx *writeTx) refundable(ctx context.Context, p *paymentRow) (parts []refundPart, err error) {
	const left = "rest + (SELECT coalesce(CAST(sum(amount) AS bigint), 0) FROM payment_allocations WHERE subject_id = payments.id)"
	var part refundPart
	err = tx.QueryRowContext(ctx, "SELECT id, "+left+" FROM payments WHERE id = $1", p.ID.String()).Scan(id{&part.paymentID}, money(&part.amount))
	if err != nil {
		return nil, err
	}
	parts, suffix := append(parts, part), cameBackSuffix
	for i := 0; i < len(parts); i++ {
		err := eachRow(ctx, tx, "SELECT id, "+left+` FROM payments WHERE provider = $1 AND method = 'card' AND refunds IS NULL
			AND reference IN (SELECT r.reference || CAST($3 AS text) FROM payments r WHERE r.refunds = $2 AND r.provider = $1 AND r.reference <> '') ORDER BY id`,
			[]any{text{&p.Provider}, parts[i].paymentID.String(), text{&suffix}}, []any{id{&part.paymentID}, money(&part.amount)}, func() error {
				if !slices.ContainsFunc(parts, func(x refundPart) bool { return x.paymentID == part.paymentID }) {
					parts = append(parts, part)
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// takeParts says of which payments an amount goes back: of the named one, or else of one that
// has it all, or else of several; nil: they have less.
func takeParts(parts []refundPart, named uuid.UUID, amount billing.Amount) (taken []refundPart) {
	if amount <= 0 {
		return nil
	}
	enough := func(x refundPart) bool { return x.amount >= amount }
	n := slices.IndexFunc(parts, func(x refundPart) bool { return x.paymentID == named && enough(x) })
	if n < 0 {
		n = slices.IndexFunc(parts, enough)
	}
	if n >= 0 {
		return []refundPart{{parts[n].paymentID, amount}}
	}
	for _, x := range parts {
		if part := min(x.amount, amount); part > 0 {
			taken, amount = append(taken, refundPart{x.paymentID, part}), amount-part
		}
	}
	if amount > 0 {
		return nil
	}
	return taken
}

// cameBackSuffix ends the reference of money that was given back, or disputed, and has come
// back: it begins with that of the refund.
const cameBackSuffix = ":back"

// cameBy is the payment that money came by at first: its own, or that of which a refund
// came back.
func (tx *writeTx) cameBy(ctx context.Context, p *paymentRow) (*paymentRow, error) {
	for seen := map[uuid.UUID]bool{}; !seen[p.ID]; { // references by hand may go round
		seen[p.ID] = true
		subject, back := strings.CutSuffix(p.Reference, cameBackSuffix)
		if !back || p.Method != billing.PaidCard {
			break
		}
		refund, err := findPayment(ctx, tx, "provider = $1 AND reference = $2 AND refunds IS NOT NULL", "", text{&p.Provider}, text{&subject})
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, err
		}
		if p, err = findPayment(ctx, tx, "id = $1", "", refund.Refunds.String()); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// sameMoney reports whether two refunds give back what came by the same payment at first.
func (tx *writeTx) sameMoney(ctx context.Context, refunds ...*paymentRow) (bool, error) {
	var sources []uuid.UUID
	for _, r := range refunds {
		if r.Refunds == uuid.Nil {
			return false, nil
		}
		p, err := findPayment(ctx, tx, "id = $1", "", r.Refunds.String())
		if err != nil {
			return false, err
		}
		if p, err = tx.cameBy(ctx, p); err != nil {
			return false, err
		}
		sources = append(sources, p.ID)
	}
	return len(slices.Compact(sources)) == 1, nil
}

// cameBackBefore acts on the events that told before a refund was booked that it has failed.
// The account is locked.
func (tx *writeTx) cameBackBefore(ctx context.Context, refund *paymentRow) error {
	if refund.Provider == "" || refund.Reference == "" {
		return nil
	}
	p, err := findPayment(ctx, tx, "id = $1", "", refund.Refunds.String())
	if err != nil {
		return err
	}
	if p, err = tx.cameBy(ctx, p); err != nil || p.Reference == "" {
		return err
	}
	taker := eventTaker{tx: tx}
	return taker.waiting(ctx, "provider = $1 AND payment = $2 AND payment <> '' AND subject = $3 AND "+undoing, text{&refund.Provider}, text{&p.Reference}, text{&refund.Reference})
}
