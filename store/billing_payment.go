package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
)

// paymentRow is a payment as it is written.
type paymentRow struct {
	billing.Payment
	rest billing.Amount // what is on no invoice, and was not given back
}

func paymentFields(p *paymentRow) []field {
	return []field{
		{"id", id{&p.ID}},
		{"user_id", id{&p.UserID}},
		{"method", term(&p.Method)},
		{"currency", term(&p.Currency)},
		{"amount", money(&p.Amount)},
		{"rest", money(&p.rest)},
		{"refunds", nullID{&p.Refunds}},
		{"provider", text{&p.Provider}},
		{"reference", personal{text{&p.Reference}}},
		{"received_on", civil{&p.ReceivedOn}},
		{"expires_on", civil{&p.ExpiresOn}},
		{"expired", money(&p.Expired)},
		{"note", personal{text{&p.Note}}},
		{"created_at", moment{&p.CreatedAt}},
	}
}

func listedPayment(p *paymentRow) []field {
	return append(paymentFields(p), field{usernameOf("payments"), text{&p.Username}})
}

var paymentLists = lister[paymentRow]{
	name: "payments", sorts: billing.PaymentSorts(),
	keys: map[string]sortKey[paymentRow]{
		"created_at":  timeKey("created_at", func(p *paymentRow) time.Time { return p.CreatedAt }),
		"received_on": dateKey("received_on", func(p *paymentRow) billing.Date { return p.ReceivedOn }),
	},
	id: idKey("id", func(p *paymentRow) uuid.UUID { return p.ID }),
}

func paymentConditions(f billing.PaymentFilter) (c conditions) {
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.Method != "" {
		c.add("method = $%d", term(&f.Method))
	}
	if f.Provider != "" {
		c.add("provider = $%d", cleanText(f.Provider))
	}
	c.prefix("reference", f.Reference)
	if f.Refunds != nil {
		c.add(map[bool]string{true: "refunds IS NOT NULL", false: "refunds IS NULL"}[*f.Refunds])
	}
	c.days("received_on", f.ReceivedFrom, f.ReceivedBefore)
	return c
}

// RecordPayment books money that came from a user: it is allocated to the invoices named
// in Allocations, of which InvoiceID and Amount count, or else to the oldest open ones;
// what is left is the user's credit. It sets the payment's ID if that is zero, CreatedAt
// and Allocations. One that was reported before, by Provider and Reference, is not booked
// again: the payment becomes the one that was, and booked is false; it fails with
// ErrExists if that is of another user or amount. Who was deleted can pay still: it fails
// with ErrNotFound if there is no such user, and no account in the books that one had.
func (s *Store) RecordPayment(ctx context.Context, payment *billing.Payment) (booked bool, err error) {
	if err := checkPayment(payment); err != nil {
		return false, err
	}
	var p *paymentRow
	err = s.write(ctx, func(tx *writeTx) (err error) {
		if err := tx.accountExists(ctx, payment.UserID); err != nil {
			return err
		}
		p, booked, err = tx.recordPayment(ctx, payment)
		return err
	})
	if err != nil {
		return false, s.failed("record payment", err)
	}
	made, err := s.PaymentByID(ctx, p.ID)
	if err == nil {
		*payment = *made
	}
	return booked, err
}

// checkAmount refuses amounts that nobody pays or charges.
func checkAmount(a billing.Amount, c billing.Currency) error {
	if a > billing.MaxAmount || a < -billing.MaxAmount {
		return &billing.FieldError{Field: "amount", Message: "it must be at most " + amountOf(c, billing.MaxAmount)}
	}
	return nil
}

func checkPayment(p *billing.Payment) error {
	if _, err := billing.ParseCurrency(string(p.Currency)); err != nil {
		return &billing.FieldError{Field: "currency", Message: err.Error()}
	}
	if p.ReceivedOn.IsZero() {
		return &billing.FieldError{Field: "received_on", Message: "a payment needs the day on which it came"}
	}
	if !p.ExpiresOn.IsZero() && (p.ExpiresOn.Before(p.ReceivedOn) || p.Refunds != uuid.Nil) {
		return &billing.FieldError{Field: "expires_on", Message: "credit ends on the day that it came or later, and a refund does not"}
	}
	if err := checkAmount(p.Amount, p.Currency); err != nil {
		return err
	}
	if _, err := billing.PostPayment(p, time.Time{}); err != nil {
		return &billing.FieldError{Field: "amount", Message: err.Error()}
	}
	return nil
}

func (tx *writeTx) recordPayment(ctx context.Context, payment *billing.Payment) (*paymentRow, bool, error) {
	p, err := tx.claimPayment(ctx, payment)
	if err != nil {
		return nil, false, err
	}
	row, booked, err := tx.bookPayment(ctx, p)
	if err == nil && !booked {
		err = tx.keyMade(ctx, row.ID)
	}
	return row, booked, err
}

// claimPayment gives a payment an ID and claims the key of the request.
func (tx *writeTx) claimPayment(ctx context.Context, payment *billing.Payment) (*paymentRow, error) {
	p := &paymentRow{Payment: *payment}
	if p.ID == uuid.Nil {
		p.ID = uuid.Must(uuid.NewV7())
	}
	return p, tx.claimKey(ctx, p.ID)
}

// accountExists fails with ErrNotFound if there is neither such a user nor an account in
// the books of one that was deleted.
func (tx *writeTx) accountExists(ctx context.Context, userID uuid.UUID) error {
	err := tx.userExists(ctx, userID)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	balances, failed := tx.balances(ctx, []uuid.UUID{userID}, "")
	if failed != nil || len(balances) > 0 {
		return failed
	}
	return err
}

// bookPayment is recordPayment of what has an ID and was claimed. That there is such an
// account is for those to see to who take the user's id from somebody.
func (tx *writeTx) bookPayment(ctx context.Context, p *paymentRow) (*paymentRow, bool, error) {
	row, a, err := tx.enterPayment(ctx, p)
	if err != nil || a == nil {
		return row, false, err
	}
	return row, true, a.settle(ctx, []uuid.UUID{p.UserID})
}

// enterPayment is bookPayment without its last step: the caller settles with the allocator.
// There is none if the payment was booked before.
func (tx *writeTx) enterPayment(ctx context.Context, p *paymentRow) (*paymentRow, *allocator, error) {
	if err := tx.lockBalances(ctx, []balanceKey{{p.UserID, p.Currency}}); err != nil {
		return nil, nil, err
	}
	before, err := tx.reported(ctx, p)
	if err != nil || before != nil {
		return before, nil, err
	}
	p.Refunds, p.rest, p.Expired, p.CreatedAt = uuid.Nil, p.Amount, 0, tx.store.timestamp()
	if err := tx.writePayment(ctx, p); err != nil {
		return nil, nil, err
	}
	a := tx.allocator()
	if len(p.Allocations) > 0 {
		c := &credit{kind: allocatedPayment, id: p.ID, account: balanceKey{p.UserID, p.Currency}, rest: p.rest}
		if err := a.allocateTo(ctx, c, p.Allocations); err != nil {
			return nil, nil, err
		}
	}
	return p, a, nil
}

// reported finds the payment, or refund, that has the provider's reference already. A refund
// of money that came back may be booked of the payment that it came by at first.
func (tx *writeTx) reported(ctx context.Context, p *paymentRow) (*paymentRow, error) {
	if p.Reference == "" {
		return nil, nil
	}
	before, err := findPayment(ctx, tx, "provider = $1 AND reference IN ($2, $3)", "", text{&p.Provider}, text{&p.Reference}, erasedReference(p.Provider, p.Reference))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	same := before.UserID == p.UserID && before.Currency == p.Currency && before.Amount == p.Amount
	if same && before.Refunds != p.Refunds {
		if same, err = tx.sameMoney(ctx, before, p); err != nil {
			return nil, err
		}
	}
	if !same {
		return nil, fmt.Errorf("a payment with this reference: %w, of another user or amount", ErrExists)
	}
	return before, nil
}

// writePayment writes a payment or a refund, and posts it. If somebody else was faster
// with the reference, the transaction runs again and finds it.
func (tx *writeTx) writePayment(ctx context.Context, p *paymentRow) error {
	if err := insert(ctx, tx.Tx, "payments", paymentFields(p)); err != nil {
		return retryOnUnique(err)
	}
	t, err := billing.PostPayment(&p.Payment, p.CreatedAt)
	if err != nil {
		return err
	}
	if err := tx.post(ctx, []billing.Transaction{t}); err != nil {
		return err
	}
	action, event := "payments.create", "payment.received"
	if p.Refunds != uuid.Nil {
		action, event = "payments.refund", "payment.refunded"
	}
	if err := tx.recordFields(ctx, action, "payment", p.ID, amountOf(p.Currency, p.Amount), nil, paymentFields(p), ""); err != nil {
		return err
	}
	return tx.emit(event, "payment", p.ID, PaymentEvent{p.ID, p.UserID, p.Method, p.Currency, p.Amount, p.Refunds})
}

// PaymentEvent is the payload of events about payments.
type PaymentEvent struct {
	PaymentID uuid.UUID             `json:"payment_id"`
	UserID    uuid.UUID             `json:"user_id"`
	Method    billing.PaymentMethod `json:"method"`
	Currency  billing.Currency      `json:"currency"`
	Amount    billing.Amount        `json:"amount"` // in minor units
	Refunds   uuid.UUID             `json:"refunds,omitzero"`
}

// allocateTo puts a credit on named invoices.
func (a *allocator) allocateTo(ctx context.Context, c *credit, allocations []billing.Allocation) error {
	tx := a.tx
	var invoices []*invoiceRow
	for _, allocation := range allocations {
		n := slices.IndexFunc(invoices, func(i *invoiceRow) bool { return i.ID == allocation.InvoiceID })
		if n < 0 {
			i, err := findInvoice(ctx, tx, allocation.InvoiceID, tx.forUpdate())
			if errors.Is(err, ErrNotFound) {
				return &billing.FieldError{Field: "allocations", Message: "there is no such invoice"}
			}
			if err != nil {
				return err
			}
			n, invoices = len(invoices), append(invoices, i)
		}
		switch i := invoices[n]; {
		case i.Kind != billing.KindInvoice:
			return &billing.FieldError{Field: "allocations", Message: "a payment is allocated to invoices: " + i.Number + " is a credit note"}
		case allocation.Amount <= 0 && i.Open() <= 0:
			return &billing.FieldError{Field: "allocations", Message: "nothing is open of invoice " + i.Number}
		case allocation.Amount <= 0:
			return &billing.FieldError{Field: "allocations", Message: "more than nothing is allocated to an invoice: nothing is left of the payment for " + i.Number}
		}
		if err := a.allocate(ctx, c, invoices[n], allocation.Amount); err != nil {
			return &billing.FieldError{Field: "allocations", Message: err.Error()}
		}
	}
	return nil
}

// withPayment runs fn with a payment of which the user's account is locked.
func (tx *writeTx) withPayment(ctx context.Context, paymentID uuid.UUID, fn func(tx *writeTx, p *paymentRow, c *credit) error) error {
	p, err := findPayment(ctx, tx, "id = $1", "", paymentID.String())
	if err != nil {
		return err
	}
	if p.Refunds != uuid.Nil {
		return billing.Refuse(billing.CodePaymentState, "a refund is not given back")
	}
	k := balanceKey{p.UserID, p.Currency}
	if err := tx.lockBalances(ctx, []balanceKey{k}); err != nil {
		return err
	}
	if p, err = findPayment(ctx, tx, "id = $1", tx.forUpdate(), paymentID.String()); err != nil {
		return err
	}
	c := &credit{kind: allocatedPayment, id: p.ID, account: k, rest: p.rest}
	if err := tx.QueryRowContext(ctx, "SELECT "+allocationsOf+"$1)", p.ID.String()).Scan(whole[int]{&c.entries}); err != nil {
		return err
	}
	return fn(tx, p, c)
}

// RefundPayment gives back some of a payment: refund names it in Refunds, and has Amount,
// Method, ReceivedOn, Provider and Reference of its own. What is on no invoice goes back
// first, and then what is on the invoices that were paid last, which are open again unless
// other credit pays them. What charges that are on no invoice yet have used up of it, such
// as prepaid days, goes back only if refund.ChargedBack says that it is gone already, and
// what has ended of it (Expired) then goes back first of all. It
// sets the refund's ID if that is zero, UserID, Currency and CreatedAt. One that was
// reported before is not booked again, as in RecordPayment.
func (s *Store) RefundPayment(ctx context.Context, refund *billing.Payment) (booked bool, err error) {
	made := uuid.Nil
	err = s.write(ctx, func(tx *writeTx) error {
		made, booked, err = tx.refundPayment(ctx, refund)
		return err
	})
	if err != nil {
		return false, s.failed("refund payment "+refund.Refunds.String(), err)
	}
	stored, err := s.PaymentByID(ctx, made)
	if err == nil {
		*refund = *stored
	}
	return booked, err
}

// errChecked rolls back what was only to be checked.
var errChecked = errors.New("it was only checked")

// CheckRefund implements checkout.RefundBook.
func (s *Store) CheckRefund(ctx context.Context, refund *billing.Payment) (from checkout.Source, err error) {
	err = s.write(ctx, func(tx *writeTx) error {
		from = checkout.Source{}
		p, err := findPayment(ctx, tx, "id = $1", "", refund.Refunds.String())
		if err != nil {
			return err
		}
		source, err := tx.cameBy(ctx, p)
		if err != nil {
			return err
		}
		var pages int
		err = tx.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM checkouts WHERE payment_id = $1), (SELECT coalesce(CAST(sum(amount) AS bigint), 0) FROM payments WHERE refunds = $2)", source.ID.String(), p.ID.String()).
			Scan(whole[int]{&pages}, money(&from.Refunded))
		if err != nil {
			return err
		}
		if from.Amount, from.Currency = p.Amount, p.Currency; pages > 0 {
			from.Provider, from.PaymentID = source.Provider, source.Reference
		}
		if _, _, err := tx.refundPayment(ctx, refund); err != nil {
			return err
		}
		return errChecked
	})
	if errors.Is(err, errChecked) {
		err = nil
	}
	return from, s.failed("refund payment "+refund.Refunds.String(), err)
}

func (tx *writeTx) refundPayment(ctx context.Context, refund *billing.Payment) (made uuid.UUID, booked bool, err error) {
	s := tx.store
	err = tx.withPayment(ctx, refund.Refunds, func(tx *writeTx, p *paymentRow, c *credit) error {
		r := &paymentRow{Payment: *refund}
		if r.ID == uuid.Nil {
			r.ID = uuid.Must(uuid.NewV7())
		}
		r.UserID, r.Currency, r.CreatedAt = p.UserID, p.Currency, s.timestamp()
		if r.Method == "" {
			r.Method = p.Method
		}
		if err := tx.claimKey(ctx, r.ID); err != nil {
			return err
		}
		if err := checkPayment(&r.Payment); err != nil {
			return err
		}
		before, err := tx.reported(ctx, r)
		if err != nil {
			return err
		}
		if before != nil {
			made = before.ID
			return tx.keyMade(ctx, made)
		}
		a := tx.allocator()
		kept, err := tx.usedUp(ctx, c)
		if err != nil {
			return err
		}
		if refund.ChargedBack {
			kept = 0
			if err := tx.unexpire(ctx, p, c, r); err != nil {
				return err
			}
		}
		if err := a.takeBack(ctx, c, r.Amount, kept); err != nil {
			return err
		}
		c.rest -= r.Amount
		a.spent(c)
		made, booked = r.ID, true
		if err := tx.writePayment(ctx, r); err != nil {
			return err
		}
		if err := a.settle(ctx, []uuid.UUID{r.UserID}); err != nil {
			return err
		}
		return tx.cameBackBefore(ctx, r)
	})
	return made, booked, err
}

// usedUp returns what of a payment's rest is used up by charges that are on no invoice yet,
// such as prepaid days, and that no other credit of the user pays.
func (tx *writeTx) usedUp(ctx context.Context, c *credit) (billing.Amount, error) {
	pending, err := tx.payableSums(ctx, []uuid.UUID{c.account.userID})
	if err != nil {
		return 0, err
	}
	credits, err := tx.creditsOf(ctx, []uuid.UUID{c.account.userID})
	if err != nil {
		return 0, err
	}
	used := pending[c.account]
	for _, other := range credits {
		if other.account == c.account && other.id != c.id {
			used -= other.rest
		}
	}
	return min(max(used, 0), c.rest), nil
}

// takeBack takes back from invoices what is wanted of a payment and not free; of what is on
// none, some is kept.
func (a *allocator) takeBack(ctx context.Context, c *credit, want, kept billing.Amount) error {
	if want <= c.rest-kept {
		return nil
	}
	tx := a.tx
	type share struct {
		invoiceID uuid.UUID
		amount    billing.Amount
	}
	var shares []share
	var one share
	err := eachRow(ctx, tx, "SELECT invoice_id, CAST(sum(amount) AS bigint) FROM payment_allocations WHERE subject_id = $1 GROUP BY invoice_id HAVING sum(amount) > 0 ORDER BY max(entry) DESC",
		[]any{c.id.String()}, []any{id{&one.invoiceID}, money(&one.amount)}, func() error {
			shares = append(shares, one)
			return nil
		})
	if err != nil {
		return err
	}
	for _, x := range shares {
		if want <= c.rest-kept {
			break
		}
		i, err := findInvoice(ctx, tx, x.invoiceID, tx.forUpdate())
		if err != nil {
			return err
		}
		if err := a.allocate(ctx, c, i, -min(x.amount, want-c.rest+kept)); err != nil {
			return err
		}
	}
	if want > c.rest-kept {
		message := fmt.Sprintf("no more than %s can be given back", amountOf(c.account.currency, c.rest-kept))
		if kept > 0 {
			message += fmt.Sprintf(": %s are used up, by charges that are on no invoice yet", amountOf(c.account.currency, kept))
		}
		return &billing.FieldError{Field: "amount", Message: message}
	}
	return nil
}

func findPayment(ctx context.Context, q querier, where, lock string, args ...any) (*paymentRow, error) {
	var p paymentRow
	fields := listedPayment(&p)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM payments WHERE "+where+lock, args...).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("payment: %w", ErrNotFound)
	}
	return &p, err
}

// PaymentByID returns a payment or a refund with its allocations. It fails with
// ErrNotFound.
func (s *Store) PaymentByID(ctx context.Context, paymentID uuid.UUID) (payment *billing.Payment, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		p, err := findPayment(ctx, tx, "id = $1", "", paymentID.String())
		if err != nil {
			return err
		}
		payment = &p.Payment
		var a billing.Allocation
		return eachRow(ctx, tx, "SELECT invoice_id, coalesce(number, ''), amount, at FROM payment_allocations a JOIN invoices ON invoices.id = invoice_id WHERE subject_id = $1 ORDER BY entry",
			[]any{paymentID.String()}, []any{id{&a.InvoiceID}, text{&a.Number}, money(&a.Amount), moment{&a.At}}, func() error {
				payment.Allocations = append(payment.Allocations, a)
				return nil
			})
	})
	if err != nil {
		return nil, s.failed("read payment "+paymentID.String(), err)
	}
	return payment, nil
}

// ListPaymentsPage returns a page of payments and refunds without their allocations, and
// the cursor of the next page; empty: there is none. It fails with aaa.ErrBadCursor and
// aaa.ErrBadSort.
func (s *Store) ListPaymentsPage(ctx context.Context, filter billing.PaymentFilter, page aaa.Page) (list []billing.Payment, next string, err error) {
	rows, next, err := listRows(ctx, s, paymentLists, "payments", listedPayment, paymentConditions(filter), filter, page)
	for i := range rows {
		list = append(list, rows[i].Payment)
	}
	return list, next, err
}

// CountPayments counts the payments and refunds that the filter selects.
func (s *Store) CountPayments(ctx context.Context, filter billing.PaymentFilter) (aaa.Count, error) {
	return s.count(ctx, "payments", "payments", paymentConditions(filter))
}
