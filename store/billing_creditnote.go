package store

import (
	"context"

	"github.com/google/uuid"

	"radiusd/billing"
)

// CreditInvoice issues a credit note over all of an invoice that no other one has given
// back, or over parts of it by the number of the line (see billing.NewCreditNote). It
// pays what is open of the invoice, or was written off, and then others; the rest is the
// user's credit.
func (s *Store) CreditInvoice(ctx context.Context, invoiceID uuid.UUID, parts map[int]billing.Amount, on billing.Date, note string) (*billing.Invoice, error) {
	var made uuid.UUID
	err := s.write(ctx, func(tx *writeTx) error {
		made = uuid.Must(uuid.NewV7())
		if err := tx.claimKey(ctx, made); err != nil {
			return err
		}
		i, err := findInvoice(ctx, tx, invoiceID, "")
		if err != nil {
			return err
		}
		if err := tx.lockBalances(ctx, []balanceKey{{i.UserID, i.Currency}}); err != nil {
			return err
		}
		if i, err = findInvoice(ctx, tx, invoiceID, tx.forUpdate()); err != nil {
			return err
		}
		if err := s.readLines(ctx, tx.Tx, []*invoiceRow{i}); err != nil {
			return err
		}
		earlier, err := s.creditNotes(ctx, tx.Tx, invoiceID)
		if err != nil {
			return err
		}
		credited, err := tx.creditedDays(ctx, i)
		if err != nil {
			return err
		}
		drawn, err := billing.NewCreditNote(made, &i.Invoice, earlier, credited, parts, on, s.timestamp())
		if err != nil {
			return err
		}
		settings, _, err := billingSetting.read(ctx, tx)
		if err != nil {
			return err
		}
		drawn.Series, drawn.Note = settings.CreditSeries, note
		row := &invoiceRow{Invoice: *drawn}
		if err := tx.issue(ctx, []*invoiceRow{row}); err != nil {
			return err
		}
		if err := tx.insertInvoices(ctx, []*invoiceRow{row}); err != nil {
			return err
		}
		if err := tx.postInvoices(ctx, []*invoiceRow{row}); err != nil {
			return err
		}
		a := tx.allocator()
		writtenOff, err := tx.writtenOff(ctx, i)
		if err != nil {
			return err
		}
		if amount := min(i.Open()+writtenOff, row.Total); amount > 0 {
			c := &credit{kind: allocatedCreditNote, id: row.ID, account: balanceKey{row.UserID, row.Currency}, rest: row.Open(), note: row}
			if err := a.allocate(ctx, c, i, amount); err != nil {
				return err
			}
		}
		if err := a.settle(ctx, []uuid.UUID{i.UserID}); err != nil {
			return err
		}
		return tx.recordFields(ctx, "invoices.credit", "invoice", row.ID, row.Number, nil, invoiceFields(row), "")
	})
	if err != nil {
		return nil, s.failed("credit invoice "+invoiceID.String(), err)
	}
	return s.InvoiceByID(ctx, made)
}

// creditedDays returns what was credited of the days of an invoice's charges, as they are not
// had, but for what credit notes of runs tell of it: of each day by the charge that was last.
func (tx *writeTx) creditedDays(ctx context.Context, i *invoiceRow) (map[uuid.UUID]billing.Amount, error) {
	credited := map[uuid.UUID]billing.Amount{}
	var chargeID uuid.UUID
	var amount billing.Amount
	err := eachRow(ctx, tx, `SELECT c.id, -CAST(sum(p.amount) AS bigint) FROM charges c JOIN charges p ON p.subscription_id = c.subscription_id
			AND p.period_from < c.period_to AND p.period_to > c.period_from AND p.created_at > c.created_at LEFT JOIN invoices n ON n.id = p.invoice_id
		WHERE c.invoice_id = $1 AND c.kind = 'period' AND p.kind = 'proration' AND (p.invoice_id IS NULL OR p.invoice_id <> c.invoice_id)
			AND (n.id IS NULL OR n.state <> 'void' AND NOT (n.kind = 'credit_note' AND n.corrects IS NULL AND n.corrects_number = $2))
			AND NOT EXISTS (SELECT 1 FROM charges a WHERE a.subscription_id = c.subscription_id AND a.kind = 'period' AND a.period_from < p.period_to
				AND a.period_to > p.period_from AND a.created_at > c.created_at AND a.created_at < p.created_at)
		GROUP BY c.id`, []any{i.ID.String(), text{&i.Number}}, []any{id{&chargeID}, money(&amount)}, func() error {
		credited[chargeID] = amount
		return nil
	})
	return credited, err
}
