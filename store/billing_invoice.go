package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
)

var invoiceLists = lister[invoiceRow]{
	name: "invoices", sorts: billing.InvoiceSorts(),
	keys: map[string]sortKey[invoiceRow]{
		"created_at": timeKey("created_at", func(i *invoiceRow) time.Time { return i.CreatedAt }),
		"issued_on":  dateKey("issued_on", func(i *invoiceRow) billing.Date { return i.IssuedOn }),
		"due_on":     dateKey("due_on", func(i *invoiceRow) billing.Date { return i.DueOn }),
		"number":     uniqueKey(textKey("number", func(i *invoiceRow) string { return i.Number })),
	},
	id: idKey("id", func(i *invoiceRow) uuid.UUID { return i.ID }),
}

func dateKey[T any](column string, value func(*T) billing.Date) sortKey[T] {
	return sortKey[T]{column: column, text: func(row *T) string { return value(row).String() }, valid: func(text string) bool {
		d, err := billing.ParseDate(text)
		return err == nil && !d.IsZero()
	}}
}

// days appends terms for a day within a span, of which no days are no bounds.
func (c *conditions) days(column string, from, before billing.Date) {
	if !from.IsZero() {
		c.add(column+" >= $%d", civil{&from})
	}
	if !before.IsZero() {
		c.add(column+" < $%d", civil{&before})
	}
}

func invoiceConditions(f billing.InvoiceFilter, sort string) (c conditions) {
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.RunID != uuid.Nil {
		c.add("run_id = $%d", f.RunID.String())
	}
	if f.State != "" {
		c.add("state = $%d", term(&f.State))
	}
	if f.Kind != "" {
		c.add("kind = $%d", term(&f.Kind))
	}
	if f.Currency != "" {
		c.add("currency = $%d", term(&f.Currency))
	}
	c.prefix("number", f.Number)
	if !f.OverdueOn.IsZero() {
		c.add("state = 'issued' AND kind = 'invoice' AND due_on < $%d", civil{&f.OverdueOn})
	}
	c.days("issued_on", f.IssuedFrom, f.IssuedBefore)
	if sort != "created_at" {
		c.add(sort + " IS NOT NULL") // as its index says
	}
	if days := !f.IssuedFrom.IsZero() || !f.IssuedBefore.IsZero(); sort == "issued_on" || sort == "due_on" || days && sort != "number" {
		c.add("state <> 'draft'") // its days are those that it would have; a number it has none
	}
	return c
}

// ListInvoicesPage returns a page of invoices and credit notes without their lines and
// taxes, and the cursor of the next page; empty: there is none. It fails with
// aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListInvoicesPage(ctx context.Context, filter billing.InvoiceFilter, page aaa.Page) (list []billing.Invoice, next string, err error) {
	sort, _, err := page.ParseSort(billing.InvoiceSorts())
	if err != nil {
		sort = "created_at" // listRows tells of it
	}
	rows, next, err := listRows(ctx, s, invoiceLists, "invoices", invoiceFields, invoiceConditions(filter, sort), filter, page)
	for i := range rows {
		list = append(list, rows[i].Invoice)
	}
	return list, next, err
}

// CountInvoices counts the invoices and credit notes that the filter selects.
func (s *Store) CountInvoices(ctx context.Context, filter billing.InvoiceFilter) (aaa.Count, error) {
	return s.count(ctx, "invoices", "invoices", invoiceConditions(filter, "created_at"))
}

// InvoiceByID returns an invoice or a credit note with its lines and taxes. It fails with
// ErrNotFound.
func (s *Store) InvoiceByID(ctx context.Context, invoiceID uuid.UUID) (*billing.Invoice, error) {
	return s.invoice(ctx, invoiceID.String(), "WHERE id = $1", invoiceID.String())
}

// InvoiceByNumber is InvoiceByID of that number.
func (s *Store) InvoiceByNumber(ctx context.Context, number string) (*billing.Invoice, error) {
	return s.invoice(ctx, number, "WHERE number = $1", cleanText(number))
}

func (s *Store) invoice(ctx context.Context, label, where string, arg any) (invoice *billing.Invoice, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err := invoicesWhere(ctx, tx, where, []any{arg})
		if err == nil && len(list) == 0 {
			err = notFound("invoice", label)
		}
		if err != nil {
			return err
		}
		invoice = &list[0].Invoice
		return s.readLines(ctx, tx, list)
	})
	if err != nil {
		return nil, s.failed("read invoice "+label, err)
	}
	return invoice, nil
}

// CreditNotesOf returns the credit notes of an invoice, and those of runs that name it,
// with their lines and taxes, in the order of their making.
func (s *Store) CreditNotesOf(ctx context.Context, invoiceID uuid.UUID) (list []billing.Invoice, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = s.creditNotes(ctx, tx, invoiceID)
		return err
	})
	if err != nil {
		return nil, s.failed("read credit notes of invoice "+invoiceID.String(), err)
	}
	return list, nil
}

// correcting holds for the credit notes that correct an invoice, $1. Those of runs have but
// its number.
const correcting = `(corrects = $1 OR corrects IS NULL AND kind = 'credit_note'
	AND user_id = (SELECT i.user_id FROM invoices i WHERE i.id = $1)
	AND corrects_number = (SELECT i.number FROM invoices i WHERE i.id = $1))`

func (s *Store) creditNotes(ctx context.Context, tx *sql.Tx, invoiceID uuid.UUID) (list []billing.Invoice, err error) {
	notes, err := invoicesWhere(ctx, tx, "WHERE "+correcting+" ORDER BY created_at, id", []any{invoiceID.String()})
	if err != nil {
		return nil, err
	}
	if err := s.readLines(ctx, tx, notes); err != nil {
		return nil, err
	}
	for _, note := range notes {
		list = append(list, note.Invoice)
	}
	return list, nil
}

// CreateDraft writes a draft of an invoice, whose charges are pending ones of the user,
// who has them on it from now on. It sets the ID if that is zero, State and the times.
func (s *Store) CreateDraft(ctx context.Context, invoice *billing.Invoice) error {
	i := &invoiceRow{Invoice: *invoice}
	if i.ID == uuid.Nil {
		i.ID = uuid.Must(uuid.NewV7())
	}
	i.State, i.Number, i.Paid = billing.InvoiceDraft, "", 0
	i.CreatedAt = s.timestamp()
	i.UpdatedAt = i.CreatedAt
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, i.ID); err != nil {
			return err
		}
		if err := tx.userExists(ctx, i.UserID); err != nil {
			return err
		}
		return tx.insertDraft(ctx, i)
	})
	if err != nil {
		return s.failed("draft invoice", err)
	}
	*invoice = i.Invoice
	return nil
}

// insertDraft writes a draft and puts its charges on it.
func (tx *writeTx) insertDraft(ctx context.Context, i *invoiceRow) error {
	if err := tx.insertInvoices(ctx, []*invoiceRow{i}); err != nil {
		return err
	}
	for _, line := range i.Lines {
		if line.ChargeID == uuid.Nil {
			return fmt.Errorf("line %d is of no charge", line.Line)
		}
		result, err := tx.ExecContext(ctx, "UPDATE charges SET invoice_id = $2 WHERE id = $1 AND invoice_id IS NULL AND user_id = $3 AND currency = $4",
			line.ChargeID.String(), i.ID.String(), i.UserID.String(), term(&i.Currency))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return cmp.Or(err, billing.Refuse(billing.CodeChargeState, "%q is not pending, or is of another user or in another currency", line.Description))
		}
	}
	return tx.recordFields(ctx, "invoices.draft", "invoice", i.ID, "", nil, invoiceFields(i), "invoice.drafted")
}

// DraftInvoice drafts an invoice over what is pending of a user in a currency
// ([billing.NewDraft]). Of o it sets RunID and Now. It fails with ErrNotFound if there is
// no such user.
func (s *Store) DraftInvoice(ctx context.Context, userID uuid.UUID, currency billing.Currency, o billing.RunOptions) (*billing.Invoice, error) {
	var made uuid.UUID
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.userExists(ctx, userID); err != nil {
			return err
		}
		if o.Location == nil {
			o.Location = s.location
		}
		o.RunID, o.Now = uuid.Nil, s.timestamp()
		accounts, err := tx.readAccounts(ctx, []uuid.UUID{userID}, o)
		if err != nil {
			return err
		}
		draft, err := billing.NewDraft(accounts[0], currency, o)
		if err != nil {
			return err
		}
		made = draft.ID
		if err := tx.claimKey(ctx, made); err != nil {
			return err
		}
		return tx.insertDraft(ctx, &invoiceRow{Invoice: *draft})
	})
	if err != nil {
		return nil, s.failed("draft invoice", err)
	}
	return s.InvoiceByID(ctx, made)
}

// DeleteDraft deletes a draft; its charges are pending again.
func (s *Store) DeleteDraft(ctx context.Context, invoiceID uuid.UUID) error {
	err := s.write(ctx, func(tx *writeTx) error { return tx.deleteDraft(ctx, invoiceID) })
	return s.failed("delete draft "+invoiceID.String(), err)
}

func (tx *writeTx) deleteDraft(ctx context.Context, invoiceID uuid.UUID) error {
	i, err := findInvoice(ctx, tx, invoiceID, tx.forUpdate())
	if err != nil {
		return err
	}
	if i.State != billing.InvoiceDraft {
		return billing.Refuse(billing.CodeInvoiceState, "invoice %s is %s: only a draft is deleted", i.Number, i.State)
	}
	before, err := factsOf(invoiceFields(i))
	if err != nil {
		return err
	}
	for _, statement := range []string{"UPDATE charges SET invoice_id = NULL WHERE invoice_id = $1", "DELETE FROM invoices WHERE id = $1"} {
		if _, err := tx.ExecContext(ctx, statement, invoiceID.String()); err != nil {
			return err
		}
	}
	return tx.recordFields(ctx, "invoices.delete", "invoice", i.ID, "", before, nil, "invoice.deleted")
}

// dropDrafts deletes all drafts of a user, whose account must be locked.
func (tx *writeTx) dropDrafts(ctx context.Context, userID uuid.UUID) error {
	drafts, err := listIDs(ctx, tx.Tx, "SELECT id FROM invoices WHERE user_id = $1 AND state = 'draft' ORDER BY id", []any{userID.String()})
	for _, invoiceID := range drafts {
		if err == nil {
			err = tx.deleteDraft(ctx, invoiceID)
		}
	}
	return err
}

// IssueInvoice gives a draft the next number of its series, posts it and has the user's
// credit pay it. Days that are none leave what the draft has. It fails with a
// billing.FieldError if on another day than the draft's the tax is another one.
func (s *Store) IssueInvoice(ctx context.Context, invoiceID uuid.UUID, issuedOn, dueOn billing.Date) (*billing.Invoice, error) {
	err := s.changeInvoice(ctx, invoiceID, "issue", func(tx *writeTx, i *invoiceRow) error {
		if !issuedOn.IsZero() && issuedOn != i.IssuedOn {
			if err := tx.sameTax(ctx, i, issuedOn); err != nil {
				return err
			}
			i.IssuedOn = issuedOn
		}
		if !dueOn.IsZero() {
			i.DueOn = dueOn
		}
		if i.IssuedOn.IsZero() || i.DueOn.IsZero() || i.DueOn.Before(i.IssuedOn) {
			return &billing.FieldError{Field: "due_on", Message: "an invoice needs the day of its issue, and one not before it on which it is due"}
		}
		if err := tx.issue(ctx, []*invoiceRow{i}); err != nil {
			return err
		}
		return tx.postInvoices(ctx, []*invoiceRow{i})
	})
	if err != nil {
		return nil, err
	}
	return s.InvoiceByID(ctx, invoiceID)
}

// sameTax fails if the tax of a draft is another one on a day.
func (tx *writeTx) sameTax(ctx context.Context, i *invoiceRow, day billing.Date) error {
	rates, err := tx.store.TaxRates(ctx)
	if err != nil {
		return err
	}
	draft := &invoiceRow{Invoice: billing.Invoice{ID: i.ID}}
	if err := tx.store.readLines(ctx, tx.Tx, []*invoiceRow{draft}); err != nil {
		return err
	}
	same, err := draft.TaxedOn(rates, day)
	if err == nil && !same {
		err = fmt.Errorf("the tax on %s is another one than on the draft: delete it and draft it anew", day)
	}
	if err != nil {
		return &billing.FieldError{Field: "issued_on", Message: err.Error()}
	}
	return nil
}

// VoidInvoice makes an issued invoice or credit note owed by nobody; it keeps its number
// and its charges. It fails while something is allocated to it, or credit notes correct
// it, or days of it were credited, as they are not had.
func (s *Store) VoidInvoice(ctx context.Context, invoiceID uuid.UUID) error {
	return s.changeInvoice(ctx, invoiceID, "void", func(tx *writeTx, i *invoiceRow) error {
		var notes int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM invoices WHERE "+correcting+" AND state <> 'void'", i.ID.String()).Scan(&notes); err != nil {
			return err
		}
		if notes > 0 {
			return billing.Refuse(billing.CodeInvoiceState, "invoice %s cannot be voided: %d credit notes correct it", i.Number, notes)
		}
		credited, err := tx.creditedDays(ctx, i)
		if err != nil {
			return err
		}
		if len(credited) > 0 && i.Kind == billing.KindInvoice && i.State == billing.InvoiceIssued {
			return billing.Refuse(billing.CodeInvoiceState, "invoice %s cannot be voided: days of it that are not had were credited: make a credit note over the rest", i.Number)
		}
		if err := i.Void(s.timestamp()); err != nil {
			return err
		}
		if err := tx.emitInvoice("invoice.voided", &i.Invoice); err != nil {
			return err
		}
		return tx.post(ctx, []billing.Transaction{billing.PostVoid(&i.Invoice, s.timestamp())})
	})
}

// WriteOffInvoice gives up what is open of an invoice. Credit that the user gets later pays
// it nevertheless, after what is open: by so much the write-off is taken back.
func (s *Store) WriteOffInvoice(ctx context.Context, invoiceID uuid.UUID) error {
	return s.changeInvoice(ctx, invoiceID, "write_off", func(tx *writeTx, i *invoiceRow) error {
		if i.Kind != billing.KindInvoice || i.State != billing.InvoiceIssued {
			return billing.Refuse(billing.CodeInvoiceState, "nothing is open of invoice %s", i.Number)
		}
		return tx.writeOff(ctx, i, i.Open())
	})
}

// ReinstateInvoice takes back what was written off of an invoice, which is open again.
func (s *Store) ReinstateInvoice(ctx context.Context, invoiceID uuid.UUID) error {
	return s.changeInvoice(ctx, invoiceID, "reinstate", func(tx *writeTx, i *invoiceRow) error {
		writtenOff, err := tx.writtenOff(ctx, i)
		if err != nil {
			return err
		}
		if writtenOff == 0 {
			return billing.Refuse(billing.CodeInvoiceState, "nothing is written off of invoice %s", i.Number)
		}
		was := i.State
		if err := tx.writeOff(ctx, i, -writtenOff); err != nil || was != billing.InvoicePaid {
			return err
		}
		return tx.emitInvoice("invoice.reopened", &i.Invoice)
	})
}

// changeInvoice changes an invoice of which the user's account is locked, and allocates
// what credit the user has then.
func (s *Store) changeInvoice(ctx context.Context, invoiceID uuid.UUID, action string, fn func(tx *writeTx, i *invoiceRow) error) error {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, invoiceID); err != nil {
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
		before, err := factsOf(invoiceFields(i))
		if err != nil {
			return err
		}
		updatedAt := i.UpdatedAt
		if err := fn(tx, i); err != nil {
			return err
		}
		i.UpdatedAt = s.timestampAfter(updatedAt)
		if err := update(ctx, tx.Tx, "invoices", invoiceFields(i)); err != nil {
			return err
		}
		if err := tx.settle(ctx, []uuid.UUID{i.UserID}); err != nil {
			return err
		}
		return tx.recordFields(ctx, "invoices."+action, "invoice", i.ID, i.Number, before, invoiceFields(i), "")
	})
	return s.failed(action+" invoice "+invoiceID.String(), err)
}
