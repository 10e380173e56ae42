package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/operator"
)

var _ checkout.Book = (*Store)(nil)

func checkoutFields(r *checkout.Request) []field {
	return []field{
		{"id", id{&r.ID}},
		{"provider", text{&r.Provider}},
		{"session_id", text{&r.SessionID}},
		{"user_id", id{&r.UserID}},
		{"invoice_id", nullID{&r.InvoiceID}},
		{"order_id", nullID{&r.OrderID}},
		{"currency", term(&r.Currency)},
		{"amount", money(&r.Amount)},
		{"state", term(&r.State)},
		{"reason", text{&r.Reason}},
		{"url", hidden{text{&r.URL}}},
		{"payment_id", nullID{&r.PaymentID}},
		{"expires_at", moment{&r.ExpiresAt}},
		{"created_at", moment{&r.CreatedAt}},
		{"updated_at", moment{&r.UpdatedAt}},
	}
}

func findCheckout(ctx context.Context, q querier, where, lock string, args ...any) (*checkout.Request, error) {
	var r checkout.Request
	fields := checkoutFields(&r)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM checkouts WHERE "+where+lock, args...).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("checkout", fmt.Sprint(args[0]))
	}
	return &r, err
}

// checkoutMargin is how long a page that is given again can be paid on at least.
const checkoutMargin = time.Hour

// AskCheckout implements checkout.Book. It fails with billing.CodeNothingOwed if there is
// nothing to pay. With the idempotency key of the context, a repeat is given the page that
// was made then, whatever became of it.
func (s *Store) AskCheckout(ctx context.Context, request *checkout.Request) (description string, err error) {
	var r checkout.Request
	err = s.write(ctx, func(tx *writeTx) (err error) {
		r = *request
		r.ID = uuid.Must(uuid.NewV7())
		err = tx.claimKey(ctx, r.ID)
		if again := new(operator.RepeatedError); errors.As(err, &again) {
			var made *checkout.Request
			if made, err = findCheckout(ctx, tx, "id = $1", "", again.EntityID.String()); err == nil && made.URL != "" {
				r = *made
				return nil
			}
		}
		if err != nil {
			return err
		}
		if description, err = tx.toPay(ctx, &r); err != nil {
			return err
		}
		column, key := "invoice_id", r.InvoiceID
		if r.OrderID != uuid.Nil {
			column, key = "order_id", r.OrderID
		}
		now := s.timestamp()
		until := now.Add(checkoutMargin)
		before, err := findCheckout(ctx, tx, column+" = $1 AND provider = $2 AND state = 'open' AND amount = $3 AND expires_at > $4 ORDER BY created_at DESC LIMIT 1", "",
			key.String(), text{&r.Provider}, money(&r.Amount), moment{&until})
		if err == nil {
			r = *before
			return tx.keyMade(ctx, r.ID)
		}
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := tx.keyMade(ctx, r.ID); err != nil {
			return err
		}
		r.State, r.CreatedAt, r.UpdatedAt = checkout.StateOpen, now, now
		if err := insert(ctx, tx.Tx, "checkouts", checkoutFields(&r)); err != nil {
			return err
		}
		return tx.recordFields(ctx, "checkouts.create", "checkout", r.ID, description, nil, checkoutFields(&r), "checkout.created")
	})
	if err != nil {
		return "", s.failed("ask for a payment", err)
	}
	*request = r
	return description, nil
}

// toPay sets what is to be paid of an order or an invoice, and by whom.
func (tx *writeTx) toPay(ctx context.Context, r *checkout.Request) (description string, err error) {
	if r.OrderID != uuid.Nil {
		x, err := tx.lockOrder(ctx, r.OrderID)
		if err != nil {
			return "", err
		}
		if x.State != billing.OrderOpen || x.Amount == 0 {
			return "", billing.Refuse(billing.CodeNothingOwed, "there is nothing to pay: the order is %s", x.State)
		}
		r.UserID, r.Currency, r.Amount = x.UserID, x.Currency, x.Amount
		return "Order " + x.ID.String(), nil
	}
	i, err := findInvoice(ctx, tx, r.InvoiceID, tx.forUpdate())
	if err != nil {
		return "", err
	}
	if i.Kind != billing.KindInvoice || i.State != billing.InvoiceIssued {
		return "", billing.Refuse(billing.CodeNothingOwed, "there is nothing to pay: %s is %s", cmp.Or(i.Number, "the invoice"), i.State)
	}
	r.UserID, r.Currency, r.Amount = i.UserID, i.Currency, i.Open()
	return "Invoice " + i.Number, nil
}

// SaveCheckout implements checkout.Book.
func (s *Store) SaveCheckout(ctx context.Context, requestID uuid.UUID, page checkout.Session) error {
	err := s.write(ctx, func(tx *writeTx) error {
		_, err := tx.ExecContext(ctx, "UPDATE checkouts SET session_id = $2, url = $3 WHERE id = $1", requestID.String(), text{&page.ID}, text{&page.URL})
		return err
	})
	return s.failed("save a checkout", err)
}

// CheckoutByID returns a payment that was asked for. It fails with ErrNotFound.
func (s *Store) CheckoutByID(ctx context.Context, requestID uuid.UUID) (*checkout.Request, error) {
	r, err := findCheckout(ctx, s.reader, "id = $1", "", requestID.String())
	if err != nil {
		return nil, s.failed("read a checkout", err)
	}
	return r, nil
}

// eventRow is an event as it is kept.
type eventRow struct {
	checkout.Event
	provider, subject, outcome string
	receivedAt, handledAt      time.Time
}

func checkoutEventFields(e *eventRow) []field {
	return []field{
		{"provider", text{&e.provider}},
		{"event_id", text{&e.ID}},
		{"type", text{&e.Type}},
		{"kind", term(&e.Kind)},
		{"payment", text{&e.PaymentID}},
		{"subject", text{&e.subject}},
		{"event", structured[checkout.Event]{&e.Event}},
		{"outcome", text{&e.outcome}},
		{"received_at", moment{&e.receivedAt}},
		{"handled_at", moment{&e.handledAt}},
	}
}

// TakeCheckoutEvent implements checkout.Book. An order that cannot be completed does not
// keep its money out of the books: then it is the user's credit, and the order is paid, and
// waits for CompleteOrder. What may pass by itself is left to the provider, who tells again.
func (s *Store) TakeCheckoutEvent(ctx context.Context, provider string, event *checkout.Event, o billing.RunOptions) (outcome string, err error) {
	for incomplete := ""; ; {
		err = s.write(ctx, func(tx *writeTx) error {
			e := &eventRow{Event: *event, provider: provider, subject: event.RefundID + event.DisputeID, receivedAt: s.timestamp()}
			fields := checkoutEventFields(e)
			result, err := tx.ExecContext(ctx, insertion("checkout_events", fields)+" ON CONFLICT (provider, event_id) DO NOTHING", targets(fields)...)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				outcome = "known"
				return err
			}
			if err := tx.lockCardPayment(ctx, e); err != nil {
				return err
			}
			taker := eventTaker{tx: tx, o: o, incomplete: incomplete}
			if err := taker.take(ctx, e); err != nil {
				return err
			}
			outcome = e.outcome
			return tx.dropOldEvents(ctx)
		})
		if err == nil || incomplete != "" || event.Kind != checkout.Paid || ctx.Err() != nil || MayPass(err) || shouldRetry(err) {
			return outcome, s.failed("take an event of a payment provider", err)
		}
		incomplete = "the order could not be completed: " + err.Error()
		if len(incomplete) > maxFailure {
			incomplete = strings.ToValidUTF8(incomplete[:maxFailure], "")
		}
	}
}

// lockCardPayment lets one at a time act on the events about a payment: who waits for another
// and whom it waits for see each other.
func (tx *writeTx) lockCardPayment(ctx context.Context, e *eventRow) error {
	if !tx.postgres || e.PaymentID == "" {
		return nil // SQLite has one writer
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('radiusd checkout'), hashtext($1))", e.provider+" "+e.PaymentID)
	return err
}

// eventLife is how long events are kept: longer than a provider sends them again.
const eventLife = 90 * 24 * time.Hour

func (tx *writeTx) dropOldEvents(ctx context.Context) error {
	old := tx.store.timestamp().Add(-eventLife)
	_, err := tx.ExecContext(ctx, "DELETE FROM checkout_events WHERE received_at < $1", moment{&old})
	return err
}

// eventTaker acts on events.
type eventTaker struct {
	tx         *writeTx
	o          billing.RunOptions
	incomplete string // why an order that is paid is not completed now; empty: it is
}

func (t *eventTaker) take(ctx context.Context, e *eventRow) (err error) {
	handled := true
	switch e.Kind {
	case checkout.Paid:
		err = t.paid(ctx, e)
	case checkout.Pending, checkout.Failed, checkout.Expired:
		err = t.unpaid(ctx, e)
	default:
		handled, err = t.back(ctx, e)
	}
	if err != nil {
		return err
	}
	if handled {
		e.handledAt = t.tx.store.timestamp()
	}
	_, err = t.tx.ExecContext(ctx, "UPDATE checkout_events SET outcome = $3, handled_at = $4 WHERE provider = $1 AND event_id = $2",
		text{&e.provider}, text{&e.ID}, text{&e.outcome}, moment{&e.handledAt})
	return err
}

// request finds what an event is about; nil: something of somebody else.
func (t *eventTaker) request(ctx context.Context, e *eventRow) (*checkout.Request, error) {
	requestID, err := uuid.Parse(e.Reference)
	if err != nil {
		return nil, nil
	}
	r, err := findCheckout(ctx, t.tx, "id = $1 AND provider = $2", t.tx.forUpdate(), requestID.String(), text{&e.provider})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return r, err
}

func (t *eventTaker) paid(ctx context.Context, e *eventRow) error {
	r, err := t.request(ctx, e)
	if err != nil {
		return err
	}
	if r == nil {
		e.outcome = "it is of nothing that was asked for here"
		return nil
	}
	if r.State == checkout.StatePaid {
		e.outcome = "it was paid before"
		return nil
	}
	p := t.payment(e, r.UserID, e.PaymentID, e.Amount)
	asked := e.Settles(r.ID.String(), r.Amount, r.Currency)
	if asked != nil {
		r.Reason = asked.Error()
	}
	paymentID := uuid.Nil
	if r.OrderID != uuid.Nil && asked == nil {
		x, err := t.tx.lockOrder(ctx, r.OrderID)
		if err != nil {
			return err
		}
		switch {
		case x.State != billing.OrderOpen:
			r.Reason = fmt.Sprintf("the order is %s: the money is the customer's credit", x.State)
		default:
			r.Reason = t.incomplete
			if err := t.tx.payOrder(ctx, r.OrderID, &p, t.o, t.incomplete); err != nil {
				return err
			}
			if x, err = findOrder(ctx, t.tx, r.OrderID, ""); err != nil {
				return err
			}
			paymentID = x.PaymentID
		}
	}
	if r.InvoiceID != uuid.Nil {
		// The account is locked before the invoice, as everywhere.
		if err := t.tx.lockBalances(ctx, []balanceKey{{r.UserID, p.Currency}}); err != nil {
			return err
		}
		i, err := findInvoice(ctx, t.tx, r.InvoiceID, t.tx.forUpdate())
		if err != nil {
			return err
		}
		if part := min(p.Amount, i.Open()); i.State == billing.InvoiceIssued && i.Currency == p.Currency && part > 0 {
			p.Allocations = []billing.Allocation{{InvoiceID: i.ID, Amount: part}}
		}
	}
	if paymentID == uuid.Nil {
		row, _, err := t.tx.recordPayment(ctx, &p)
		if err != nil {
			return err
		}
		paymentID = row.ID
	}
	r.State, r.PaymentID, r.UpdatedAt = checkout.StatePaid, paymentID, t.tx.store.timestampAfter(r.UpdatedAt)
	if err := update(ctx, t.tx.Tx, "checkouts", checkoutFields(r)); err != nil {
		return err
	}
	if e.outcome = "booked"; r.Reason != "" {
		e.outcome += ": " + r.Reason
	}
	return t.waiting(ctx, "provider = $1 AND payment = $2 AND payment <> '' AND event_id <> $3", text{&e.provider}, text{&e.PaymentID}, text{&e.ID})
}

// payment is money that came by an event.
func (t *eventTaker) payment(e *eventRow, userID uuid.UUID, reference string, amount billing.Amount) billing.Payment {
	return billing.Payment{UserID: userID, Method: billing.PaidCard, Currency: e.Currency, Amount: amount, Provider: e.provider, Reference: reference,
		ReceivedOn: billing.DateOf(e.At, t.tx.store.location)}
}

// waiting acts on those of the events that came before what they are about.
func (t *eventTaker) waiting(ctx context.Context, which string, args ...any) error {
	var row eventRow
	var rows []eventRow
	fields := checkoutEventFields(&row)
	err := eachRow(ctx, t.tx, "SELECT "+names(fields)+" FROM checkout_events WHERE handled_at IS NULL AND "+which+" ORDER BY received_at, event_id",
		args, targets(fields), func() error {
			rows = append(rows, row)
			return nil
		})
	if err != nil {
		return err
	}
	for i := range rows {
		if err := t.take(ctx, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *eventTaker) unpaid(ctx context.Context, e *eventRow) error {
	r, err := t.request(ctx, e)
	if err != nil {
		return err
	}
	if r == nil || r.State == checkout.StatePaid || r.State == checkout.StateFailed {
		e.outcome = "it changes nothing"
		return nil
	}
	r.State = map[checkout.Kind]checkout.State{checkout.Pending: checkout.StatePending, checkout.Failed: checkout.StateFailed, checkout.Expired: checkout.StateExpired}[e.Kind]
	r.UpdatedAt = t.tx.store.timestampAfter(r.UpdatedAt)
	e.outcome = string(r.State)
	return update(ctx, t.tx.Tx, "checkouts", checkoutFields(r))
}
