package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
)

var _ bank.Books = (*Store)(nil)

func statementFields(x *bank.Statement) []field {
	return []field{
		{"id", id{&x.ID}},
		{"name", text{&x.Name}},
		{"format", text{&x.Format}},
		{"entries", whole[int]{&x.Entries}},
		{"booked", whole[int]{&x.Booked}},
		{"proposed", whole[int]{&x.Proposed}},
		{"unmatched", whole[int]{&x.Unmatched}},
		{"ignored", whole[int]{&x.Ignored}},
		{"pending", whole[int]{&x.Pending}},
		{"known", whole[int]{&x.Known}},
		{"wrong", whole[int]{&x.Wrong}},
		{"started_at", moment{&x.StartedAt}},
		{"finished_at", moment{&x.FinishedAt}},
	}
}

func bankEntryFields(r *bank.Record) []field {
	return []field{
		{"id", id{&r.ID}},
		{"reference", text{&r.Reference}},
		{"statement_id", id{&r.StatementID}},
		{"line", whole[int]{&r.Line}},
		{"account", text{&r.Account}},
		{"booked_on", civil{&r.BookedOn}},
		{"value_on", civil{&r.ValueOn}},
		{"currency", term(&r.Currency)},
		{"amount", money(&r.Amount)},
		{"reversal", flag{&r.Reversal}},
		{"name", personal{text{&r.Name}}},
		{"iban", personal{text{&r.IBAN}}},
		{"creditor_references", listOf[string]{&r.CreditorReferences}},
		{"remittance", personal{text{&r.Remittance}}},
		{"end_to_end_id", text{&r.EndToEndID}},
		{"state", term(&r.State)},
		{"reason", personal{text{&r.Reason}}},
		{"user_id", nullID{&r.UserID}},
		{"payment_id", nullID{&r.PaymentID}},
		{"created_at", moment{&r.CreatedAt}},
		{"updated_at", moment{&r.UpdatedAt}},
	}
}

func listedBankEntry(r *bank.Record) []field {
	return append(bankEntryFields(r), field{usernameOf("bank_entries"), text{&r.Username}})
}

var bankEntryLists = lister[bank.Record]{
	name: "bank_entries", sorts: bank.Sorts(),
	keys: map[string]sortKey[bank.Record]{"booked_on": dateKey("booked_on", func(r *bank.Record) billing.Date { return r.BookedOn })},
	id:   idKey("id", func(r *bank.Record) uuid.UUID { return r.ID }),
}

func bankEntryConditions(f bank.Filter) (c conditions) {
	if len(f.States) > 0 {
		states := make([]string, len(f.States))
		for i, state := range f.States {
			states[i] = string(state)
		}
		c.in("state", states)
	}
	if f.UserID != uuid.Nil {
		c.add("user_id = $%d", f.UserID.String())
	}
	if f.StatementID != uuid.Nil {
		c.add("statement_id = $%d", f.StatementID.String())
	}
	c.days("booked_on", f.BookedFrom, f.BookedBefore)
	return c
}

// Series returns the series that invoices are numbered in.
func (s *Store) Series(ctx context.Context) (list []string, err error) {
	var series string
	err = eachRow(ctx, s.reader, "SELECT series FROM invoice_series ORDER BY series", nil, []any{&series}, func() error {
		list = append(list, series)
		return nil
	})
	return list, s.failed("read the series of invoices", err)
}

// maxNumbers is how many invoices are looked up at once.
const maxNumbers = 500

// InvoicesByNumber returns those of the numbers that exist, without lines and taxes.
func (s *Store) InvoicesByNumber(ctx context.Context, numbers []string) (list []billing.Invoice, err error) {
	for len(numbers) > 0 {
		n := min(len(numbers), maxNumbers)
		var c conditions
		c.in("number", numbers[:n])
		numbers = numbers[n:]
		rows, err := invoicesWhere(ctx, s.reader, c.where(), c.args)
		if err != nil {
			return nil, s.failed("read invoices", err)
		}
		for _, row := range rows {
			list = append(list, row.Invoice)
		}
	}
	return list, nil
}

// InvoicesOfAmount returns invoices of which just that is open, at most 500, without
// lines and taxes.
func (s *Store) InvoicesOfAmount(ctx context.Context, currency billing.Currency, open billing.Amount) (list []billing.Invoice, err error) {
	rows, err := invoicesWhere(ctx, s.reader, "WHERE state = 'issued' AND kind = 'invoice' AND currency = $1 AND total - paid = $2 ORDER BY id LIMIT "+fmt.Sprint(maxNumbers),
		[]any{term(&currency), money(&open)})
	for _, row := range rows {
		list = append(list, row.Invoice)
	}
	return list, s.failed("read invoices", err)
}

// BeginStatement writes down that a file of a bank is imported. It sets ID and StartedAt.
func (s *Store) BeginStatement(ctx context.Context, x *bank.Statement) error {
	x.ID, x.StartedAt, x.FinishedAt, x.Counts = uuid.Must(uuid.NewV7()), s.timestamp(), time.Time{}, bank.Counts{}
	err := s.write(ctx, func(tx *writeTx) error { return insert(ctx, tx.Tx, "bank_statements", statementFields(x)) })
	return s.failed("begin a bank statement", err)
}

// FinishStatement writes down what was in a file. It sets FinishedAt.
func (s *Store) FinishStatement(ctx context.Context, x *bank.Statement) error {
	x.FinishedAt = s.timestampAfter(x.StartedAt)
	err := s.write(ctx, func(tx *writeTx) error {
		if err := update(ctx, tx.Tx, "bank_statements", statementFields(x)); err != nil {
			return err
		}
		return tx.recordFields(ctx, "bank_statements.import", "bank_statement", x.ID, x.Name, nil, statementFields(x), "bank_statement.imported")
	})
	return s.failed("finish a bank statement", err)
}

func findBankEntry(ctx context.Context, q querier, where, lock string, arg any) (*bank.Record, error) {
	var r bank.Record
	fields := listedBankEntry(&r)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM bank_entries WHERE "+where+lock, arg).Scan(targets(fields)...)
	return &r, err
}

// EntryByReference returns a bank entry; nil: there is none.
func (s *Store) EntryByReference(ctx context.Context, reference string) (*bank.Record, error) {
	r, err := findBankEntry(ctx, s.reader, "reference = $1", "", text{&reference})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, s.failed("read a bank entry", err)
}

// EqualEntry implements bank.Books.
func (s *Store) EqualEntry(ctx context.Context, equal string, nth int) (*bank.Record, error) {
	r, err := findEqualEntry(ctx, s.reader, equal, nth)
	return r, s.failed("read a bank entry", err)
}

func findEqualEntry(ctx context.Context, q querier, equal string, nth int) (*bank.Record, error) {
	from, before := equalReferences(equal)
	var r bank.Record
	fields := listedBankEntry(&r)
	err := q.QueryRowContext(ctx, "SELECT "+names(fields)+" FROM bank_entries WHERE reference >= $1 AND reference < $2 ORDER BY reference LIMIT 1 OFFSET $3",
		text{&from}, text{&before}, nth-1).Scan(targets(fields)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}

// equalReferences are the bounds of the references of entries that equal one.
func equalReferences(equal string) (from, before string) {
	return equal + "-", equal + "." // the character after the hyphen
}

// lockEqual keeps other imports from taking an entry that equals one.
func (tx *writeTx) lockEqual(ctx context.Context, equal string) error {
	if !tx.postgres || equal == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtext('radiusd bank entries'), hashtext($1))", equal)
	return err
}

// BankEntryByID returns a bank entry. It fails with ErrNotFound.
func (s *Store) BankEntryByID(ctx context.Context, entryID uuid.UUID) (*bank.Record, error) {
	r, err := findBankEntry(ctx, s.reader, "id = $1", "", entryID.String())
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("bank entry", entryID.String())
	}
	if err != nil {
		return nil, s.failed("read bank entry "+entryID.String(), err)
	}
	return r, nil
}

// ListBankEntriesPage returns a page of bank entries, and the cursor of the next page;
// empty: there is none. It fails with aaa.ErrBadCursor and aaa.ErrBadSort.
func (s *Store) ListBankEntriesPage(ctx context.Context, filter bank.Filter, page aaa.Page) ([]bank.Record, string, error) {
	return listRows(ctx, s, bankEntryLists, "bank_entries", listedBankEntry, bankEntryConditions(filter), filter, page)
}

// TakeEntry implements bank.Books.
func (s *Store) TakeEntry(ctx context.Context, record *bank.Record, allocations []billing.Allocation) (taken bool, err error) {
	var r bank.Record
	err = s.write(ctx, func(tx *writeTx) error {
		taken, r = false, *record
		if err := tx.lockEqual(ctx, record.Equal); err != nil {
			return err
		}
		kept, err := findBankEntry(ctx, tx, "reference = $1", tx.forUpdate(), text{&record.Reference})
		switch {
		case errors.Is(err, sql.ErrNoRows):
			if record.Equal != "" {
				if equal, err := findEqualEntry(ctx, tx, record.Equal, record.Nth); err != nil || equal != nil {
					if equal != nil {
						r = *equal
					}
					return err
				}
			}
			r.CreatedAt = s.timestamp()
			r.UpdatedAt, r.PaymentID = r.CreatedAt, uuid.Nil
		case err != nil:
			return err
		case kept.State != bank.Unmatched && kept.State != bank.Proposed, r.State == bank.Unmatched, r.State == kept.State:
			r = *kept
			return nil
		default:
			r.ID, r.StatementID, r.CreatedAt, r.UpdatedAt = kept.ID, kept.StatementID, kept.CreatedAt, kept.UpdatedAt
		}
		taken = true
		return tx.keepEntry(ctx, &r, allocations, kept.ID == uuid.Nil)
	})
	if err != nil {
		return false, s.failed("take a bank entry", err)
	}
	*record = r
	return taken, nil
}

// keepEntry writes an entry, and books its payment if its state says so.
func (tx *writeTx) keepEntry(ctx context.Context, r *bank.Record, allocations []billing.Allocation, fresh bool) error {
	if r.State == bank.Booked {
		p := r.Payment(allocations)
		if err := checkPayment(&p); err != nil {
			return err
		}
		p.ID = uuid.Must(uuid.NewV7())
		row, _, err := tx.bookPayment(ctx, &paymentRow{Payment: p})
		if err != nil {
			return err
		}
		r.PaymentID = row.ID
	}
	if fresh {
		if err := insert(ctx, tx.Tx, "bank_entries", bankEntryFields(r)); err != nil {
			return retryOnUnique(err) // another import was faster
		}
		return nil
	}
	r.UpdatedAt = tx.store.timestampAfter(r.UpdatedAt)
	return update(ctx, tx.Tx, "bank_entries", bankEntryFields(r))
}

// AssignBankEntry books an entry as the payment of a user, to the invoices named in
// allocations first, of which InvoiceID and Amount count, and then to the oldest open
// ones. It fails with ErrInUse if it is booked already, with *billing.FieldError if it is
// no money that came in, and with ErrNotFound if nobody has or had such an account.
func (s *Store) AssignBankEntry(ctx context.Context, entryID, userID uuid.UUID, allocations []billing.Allocation) (*bank.Record, error) {
	return s.decideEntry(ctx, "assign", entryID, func(tx *writeTx, r *bank.Record) error {
		if r.Amount <= 0 {
			return &billing.FieldError{Field: "amount", Message: "money went out: that is no payment of a customer"}
		}
		if err := tx.accountExists(ctx, userID); err != nil {
			return err
		}
		r.State, r.UserID, r.Reason = bank.Booked, userID, "assigned by hand"
		return tx.keepEntry(ctx, r, allocations, false)
	})
}

// DismissBankEntry says that an entry is no payment of a customer, and why. It fails with
// ErrInUse if it is booked already.
func (s *Store) DismissBankEntry(ctx context.Context, entryID uuid.UUID, reason string) (*bank.Record, error) {
	return s.decideEntry(ctx, "dismiss", entryID, func(tx *writeTx, r *bank.Record) error {
		if reason == "" {
			reason = "dismissed"
		}
		r.State, r.UserID, r.Reason = bank.Ignored, uuid.Nil, reason
		return tx.keepEntry(ctx, r, nil, false)
	})
}

// decideEntry lets a person decide what an entry is.
func (s *Store) decideEntry(ctx context.Context, action string, entryID uuid.UUID, fn func(tx *writeTx, r *bank.Record) error) (*bank.Record, error) {
	err := s.write(ctx, func(tx *writeTx) error {
		if err := tx.claimKey(ctx, entryID); err != nil {
			return err
		}
		r, err := findBankEntry(ctx, tx, "id = $1", tx.forUpdate(), entryID.String())
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("bank entry", entryID.String())
		}
		if err != nil {
			return err
		}
		if r.State == bank.Booked {
			return fmt.Errorf("%w: it is booked as payment %s", ErrInUse, r.PaymentID)
		}
		before, err := factsOf(bankEntryFields(r))
		if err != nil {
			return err
		}
		if err := fn(tx, r); err != nil {
			return err
		}
		return tx.recordFields(ctx, "bank_entries."+action, "bank_entry", r.ID, r.Reference, before, bankEntryFields(r), "bank_entry."+action+"ed")
	})
	if err != nil {
		return nil, s.failed(action+" bank entry "+entryID.String(), err)
	}
	return s.BankEntryByID(ctx, entryID)
}
