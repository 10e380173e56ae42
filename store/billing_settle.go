package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"radiusd/billing"
)

// The kinds of what is allocated to invoices.
const (
	allocatedPayment    = "payment"
	allocatedCreditNote = "credit_note"
	allocatedWriteOff   = "write_off"
)

// allocationRow is an allocation as it is written.
type allocationRow struct {
	billing.Allocation
	kind      string
	subjectID uuid.UUID
	entry     int // 1, 2, … of the subject
}

func allocationFields(a *allocationRow) []field {
	return []field{
		{"subject_id", id{&a.subjectID}},
		{"entry", whole[int]{&a.entry}},
		{"subject_kind", text{&a.kind}},
		{"invoice_id", id{&a.InvoiceID}},
		{"amount", money(&a.Amount)},
		{"at", moment{&a.At}},
	}
}

// credit is money of a user that is on no invoice yet.
type credit struct {
	kind    string
	id      uuid.UUID
	account balanceKey
	rest    billing.Amount
	entries int // allocations of it that there are
	at      time.Time
	note    *invoiceRow  // of a credit note
	expires billing.Date // none: it stays
}

const allocationsOf = "(SELECT count(*) FROM payment_allocations WHERE subject_id = "

// creditsOf reads the credit of users: what ends first, and then the oldest, comes first.
func (tx *writeTx) creditsOf(ctx context.Context, users []uuid.UUID) (list []*credit, err error) {
	err = eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		c := credit{kind: allocatedPayment}
		err := eachRow(ctx, tx, "SELECT id, user_id, currency, rest, created_at, expires_on, "+allocationsOf+"payments.id) FROM payments WHERE "+which+" AND rest > 0", args,
			[]any{id{&c.id}, id{&c.account.userID}, term(&c.account.currency), money(&c.rest), moment{&c.at}, civil{&c.expires}, whole[int]{&c.entries}}, func() error {
				row := c
				list = append(list, &row)
				return nil
			})
		if err != nil {
			return err
		}
		notes, err := invoicesWhere(ctx, tx, "WHERE "+which+" AND state = 'issued' AND kind = 'credit_note'", args)
		for _, note := range notes {
			c := &credit{allocatedCreditNote, note.ID, balanceKey{note.UserID, note.Currency}, note.Open(), 0, note.CreatedAt, note, billing.Date{}}
			if err := tx.QueryRowContext(ctx, "SELECT "+allocationsOf+"$1)", c.id.String()).Scan(whole[int]{&c.entries}); err != nil {
				return err
			}
			list = append(list, c)
		}
		return err
	})
	slices.SortFunc(list, func(a, b *credit) int {
		return cmp.Or(compareBalances(a.account, b.account), compareExpiry(a.expires, b.expires), a.at.Compare(b.at), bytes.Compare(a.id[:], b.id[:]))
	})
	return list, err
}

// compareExpiry orders days on which credit ends; without one it comes last.
func compareExpiry(a, b billing.Date) int {
	if a.IsZero() != b.IsZero() {
		return map[bool]int{true: 1, false: -1}[a.IsZero()]
	}
	return a.Compare(b)
}

// settle is the last step of all that changes what users owe or have: their credit is
// allocated to what is open, the oldest first, those who owe nothing any more, or have
// credit for a prepaid day again, are served again, and those who have none are not; what is
// left then completes orders. Their accounts must be locked. Nobody else does a part of it.
func (tx *writeTx) settle(ctx context.Context, users []uuid.UUID) error {
	return tx.allocator().settle(ctx, users)
}

// settle is [writeTx.settle] after allocations that were made by hand.
func (a *allocator) settle(ctx context.Context, users []uuid.UUID) error {
	if err := a.settleInvoices(ctx, users); err != nil {
		return err
	}
	if err := a.tx.serve(ctx, users); err != nil {
		return err
	}
	if err := a.tx.followInvoices(ctx, users); err != nil {
		return err
	}
	return a.tx.completeOrders(ctx, users)
}

// settleInvoices is settle but for prepaid subscriptions, which a bill itself has looked at.
func (a *allocator) settleInvoices(ctx context.Context, users []uuid.UUID) error {
	if err := a.save(ctx); err != nil {
		return err
	}
	if err := a.spend(ctx, users); err != nil {
		return err
	}
	if err := a.tell(); err != nil {
		return err
	}
	return a.tx.liftDunning(ctx, users)
}

// spend allocates credit of users to their open invoices, and then to what was written off,
// which is owed after all.
func (a *allocator) spend(ctx context.Context, users []uuid.UUID) error {
	credits, err := a.tx.creditsOf(ctx, users)
	if err != nil {
		return err
	}
	for _, claims := range []func(context.Context, []uuid.UUID) ([]claim, error){a.tx.openClaims, a.tx.writtenOffClaims} {
		credits = slices.DeleteFunc(credits, func(c *credit) bool { return c.rest == 0 })
		if len(credits) == 0 {
			return nil
		}
		var owners []uuid.UUID
		for _, c := range credits {
			owners = append(owners, c.account.userID)
		}
		list, err := claims(ctx, slices.Compact(owners))
		if err != nil {
			return err
		}
		of := map[balanceKey][]claim{}
		for _, x := range list {
			k := balanceKey{x.UserID, x.Currency}
			of[k] = append(of[k], x)
		}
		for _, c := range credits {
			if err := a.spread(ctx, c, of[c.account]); err != nil {
				return err
			}
		}
		if err := a.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// claim is an invoice that credit goes to, and how much of it was written off and is claimed
// nevertheless.
type claim struct {
	*invoiceRow
	writtenOff billing.Amount
}

func (tx *writeTx) openClaims(ctx context.Context, users []uuid.UUID) (list []claim, err error) {
	err = eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		open, err := invoicesWhere(ctx, tx, "WHERE "+which+" AND state = 'issued' AND kind = 'invoice'", args)
		for _, i := range open {
			list = append(list, claim{i, 0})
		}
		return err
	})
	return list, err
}

// writtenOffOf is what was written off of an invoice and not recovered.
const writtenOffOf = "SELECT coalesce(CAST(sum(amount) AS bigint), 0) FROM payment_allocations WHERE subject_kind = 'write_off' AND invoice_id = "

func (tx *writeTx) writtenOffClaims(ctx context.Context, users []uuid.UUID) (list []claim, err error) {
	err = eachChunk(tx, "user_id", "uuid", texts(users), func(which string, args []any) error {
		found, err := invoicesWhere(ctx, tx, "WHERE "+which+" AND state IN ('issued', 'paid') AND kind = 'invoice' AND ("+writtenOffOf+"invoices.id) > 0", args)
		if err != nil {
			return err
		}
		for _, i := range found {
			writtenOff, err := tx.writtenOff(ctx, i)
			if err != nil {
				return err
			}
			list = append(list, claim{i, writtenOff})
		}
		return nil
	})
	return list, err
}

func (tx *writeTx) writtenOff(ctx context.Context, i *invoiceRow) (amount billing.Amount, err error) {
	err = tx.QueryRowContext(ctx, writtenOffOf+"$1", i.ID.String()).Scan(money(&amount))
	return amount, err
}

// writeOff gives up an amount of what is open of an invoice, or takes that back if it is
// negative. The invoice is not written.
func (tx *writeTx) writeOff(ctx context.Context, i *invoiceRow, amount billing.Amount) error {
	var before int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM payment_allocations WHERE subject_kind = 'write_off' AND invoice_id = $1", i.ID.String()).Scan(&before); err != nil {
		return err
	}
	now := tx.store.timestamp()
	t := billing.PostWriteOff(&i.Invoice, amount, before, now)
	if err := tx.post(ctx, []billing.Transaction{t}); err != nil {
		return err
	}
	if err := i.Pay(amount, now); err != nil {
		return err
	}
	r := allocationRow{billing.Allocation{InvoiceID: i.ID, Amount: amount, At: now}, allocatedWriteOff, t.ID, 1}
	if err := insert(ctx, tx.Tx, "payment_allocations", allocationFields(&r)); err != nil {
		return err
	}
	return tx.emitInvoice(map[bool]string{true: "invoice.written_off", false: "invoice.recovered"}[amount > 0], &i.Invoice)
}

// allocator collects allocations and what they change.
type allocator struct {
	tx  *writeTx
	now time.Time
	// What is not written yet.
	rows     []allocationRow
	invoices []*invoiceRow // that changed, credit notes too
	credits  []*credit
	// What was changed of invoices, in the order of the first changes.
	order   []uuid.UUID
	changes map[uuid.UUID]*invoiceChange
}

// invoiceChange is what became of an invoice.
type invoiceChange struct {
	was billing.InvoiceState
	is  *invoiceRow
}

func (tx *writeTx) allocator() *allocator {
	return &allocator{tx: tx, now: tx.store.timestamp(), changes: map[uuid.UUID]*invoiceChange{}}
}

// spread allocates a credit to invoices by the rule of which is paid first.
func (a *allocator) spread(ctx context.Context, c *credit, claims []claim) error {
	list := make([]billing.Invoice, len(claims))
	for n, x := range claims {
		list[n] = x.Invoice
		if x.writtenOff > 0 {
			list[n].State, list[n].Paid = billing.InvoiceIssued, x.Paid-x.writtenOff
		}
	}
	allocations, _ := billing.Allocate(c.rest, list, a.now)
	for _, allocation := range allocations {
		n := slices.IndexFunc(claims, func(x claim) bool { return x.ID == allocation.InvoiceID })
		if x := &claims[n]; x.writtenOff > 0 {
			x.writtenOff -= max(allocation.Amount-x.Open(), 0)
		}
		if err := a.allocate(ctx, c, claims[n].invoiceRow, allocation.Amount); err != nil {
			return err
		}
	}
	return nil
}

// allocate puts an amount of a credit on an invoice; a negative one takes it back. What was
// written off of the invoice is recovered as far as the amount is more than is open.
func (a *allocator) allocate(ctx context.Context, c *credit, i *invoiceRow, amount billing.Amount) error {
	if i.UserID != c.account.userID || i.Currency != c.account.currency {
		return fmt.Errorf("invoice %s is of another user or in another currency", i.Number)
	}
	if amount > c.rest {
		return fmt.Errorf("%s cannot be put on invoice %s: only %s are left", amountOf(i.Currency, amount), i.Number, amountOf(i.Currency, c.rest))
	}
	was := i.State
	if more := amount - i.Open(); amount > 0 && more > 0 && (was == billing.InvoiceIssued || was == billing.InvoicePaid) {
		writtenOff, err := a.tx.writtenOff(ctx, i)
		if err != nil {
			return err
		}
		if more <= writtenOff {
			if err := a.tx.writeOff(ctx, i, -more); err != nil {
				return err
			}
		}
	}
	if err := i.Pay(amount, a.now); err != nil {
		return err
	}
	if c.note != nil {
		if err := c.note.Pay(amount, a.now); err != nil {
			return err
		}
		a.changed(c.note)
	}
	c.rest -= amount
	c.entries++
	a.rows = append(a.rows, allocationRow{billing.Allocation{InvoiceID: i.ID, Amount: amount, At: a.now}, c.kind, c.id, c.entries})
	a.changed(i)
	a.spent(c)
	if change, known := a.changes[i.ID]; known {
		change.is = i
	} else {
		a.order, a.changes[i.ID] = append(a.order, i.ID), &invoiceChange{was, i}
	}
	return nil
}

// tell tells of invoices that were open and are paid now, and of those that are open again.
func (a *allocator) tell() error {
	for _, invoiceID := range a.order {
		change := a.changes[invoiceID]
		was, is := change.was == billing.InvoicePaid, change.is.State == billing.InvoicePaid
		if was == is {
			continue
		}
		event := map[bool]string{true: "invoice.paid", false: "invoice.reopened"}[is]
		if err := a.tx.emitInvoice(event, &change.is.Invoice); err != nil {
			return err
		}
	}
	a.order = nil
	clear(a.changes)
	return nil
}

func (a *allocator) changed(i *invoiceRow) {
	if !slices.Contains(a.invoices, i) {
		a.invoices = append(a.invoices, i)
	}
}

// spent says that another rest of a credit is to be written.
func (a *allocator) spent(c *credit) {
	if !slices.Contains(a.credits, c) {
		a.credits = append(a.credits, c)
	}
}

// save writes what was allocated since it was called last.
func (a *allocator) save(ctx context.Context) error {
	var r allocationRow
	if err := insertRows(ctx, a.tx, "payment_allocations", filled(allocationFields(&r), len(a.rows), func(n int) { r = a.rows[n] })); err != nil {
		return err
	}
	if err := a.tx.savePaid(ctx, a.invoices); err != nil {
		return err
	}
	for _, c := range a.credits {
		if c.kind != allocatedPayment {
			continue
		}
		if _, err := a.tx.ExecContext(ctx, "UPDATE payments SET rest = $2 WHERE id = $1", c.id.String(), money(&c.rest)); err != nil {
			return err
		}
	}
	a.rows, a.invoices, a.credits = nil, nil, nil
	return nil
}
