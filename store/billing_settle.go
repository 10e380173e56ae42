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

// settle allocates what users have of credit to what is open, the oldest first. Their
// accounts must be locked. Who owes nothing any more is served again: this is the last
// step of all that changes what is open.
func (tx *writeTx) settle(ctx context.Context, users []uuid.UUID) error {
	if err := tx.spend(ctx, users); err != nil {
		return err
	}
	return tx.liftDunning(ctx, users)
}

func (tx *writeTx) spend(ctx context.Context, users []uuid.UUID) error {
	credits, err := tx.creditsOf(ctx, users)
	if err != nil || len(credits) == 0 {
		return err
	}
	var owners []uuid.UUID
	for _, c := range credits {
		owners = append(owners, c.account.userID)
	}
	open := map[balanceKey][]*invoiceRow{}
	err = eachChunk(tx, "user_id", "uuid", texts(slices.Compact(owners)), func(which string, args []any) error {
		list, err := invoicesWhere(ctx, tx, "WHERE "+which+" AND state = 'issued' AND kind = 'invoice'", args)
		for _, i := range list {
			k := balanceKey{i.UserID, i.Currency}
			open[k] = append(open[k], i)
		}
		return err
	})
	if err != nil {
		return err
	}
	a := allocator{tx: tx, now: tx.store.timestamp()}
	for _, c := range credits {
		if err := a.spread(c, open[c.account]); err != nil {
			return err
		}
	}
	return a.save(ctx)
}

// allocator collects allocations and what they change.
type allocator struct {
	tx       *writeTx
	now      time.Time
	rows     []allocationRow
	invoices []*invoiceRow // that changed, credit notes too
	credits  []*credit
}

// spread allocates a credit to invoices by the rule of which is paid first.
func (a *allocator) spread(c *credit, open []*invoiceRow) error {
	list := make([]billing.Invoice, len(open))
	for n, i := range open {
		list[n] = i.Invoice
	}
	allocations, _ := billing.Allocate(c.rest, list, a.now)
	for _, allocation := range allocations {
		n := slices.IndexFunc(open, func(i *invoiceRow) bool { return i.ID == allocation.InvoiceID })
		if err := a.allocate(c, open[n], allocation.Amount); err != nil {
			return err
		}
	}
	return nil
}

// allocate puts an amount of a credit on an invoice; a negative one takes it back.
func (a *allocator) allocate(c *credit, i *invoiceRow, amount billing.Amount) error {
	if i.UserID != c.account.userID || i.Currency != c.account.currency {
		return fmt.Errorf("invoice %s is of another user or in another currency", i.Number)
	}
	if amount > c.rest {
		return fmt.Errorf("%s cannot be put on invoice %s: only %s are left", amountOf(i.Currency, amount), i.Number, amountOf(i.Currency, c.rest))
	}
	was := i.State
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
	if !slices.Contains(a.credits, c) {
		a.credits = append(a.credits, c)
	}
	if was != billing.InvoicePaid && i.State == billing.InvoicePaid {
		return a.tx.emitInvoice("invoice.paid", &i.Invoice)
	}
	if was == billing.InvoicePaid && i.State != billing.InvoicePaid {
		return a.tx.emitInvoice("invoice.reopened", &i.Invoice)
	}
	return nil
}

func (a *allocator) changed(i *invoiceRow) {
	if !slices.Contains(a.invoices, i) {
		a.invoices = append(a.invoices, i)
	}
}

// save writes what was allocated.
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
	return nil
}
