package api

import (
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"mime"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
	"radiusd/operator"
)

// BankStore keeps entries of bank statements and books them.
type BankStore interface {
	bank.Books
	ListBankEntriesPage(ctx context.Context, filter bank.Filter, page aaa.Page) (list []bank.Record, next string, err error)
	BankEntryByID(ctx context.Context, entryID uuid.UUID) (*bank.Record, error)
	AssignBankEntry(ctx context.Context, entryID, userID uuid.UUID, allocations []billing.Allocation) (*bank.Record, error)
	DismissBankEntry(ctx context.Context, entryID uuid.UUID, reason string) (*bank.Record, error)
	InvoiceByID(ctx context.Context, invoiceID uuid.UUID) (*billing.Invoice, error)
	// CheckKey fails if the idempotency key of the context was used before.
	CheckKey(ctx context.Context) error
}

// bankEntries are the resources /bank-statements and /bank-entries.
type bankEntries struct{ store BankStore }

// maxBankLines is how many entries of a file an answer tells of. All are counted, and
// what is kept is listed by the statement.
const maxBankLines = 10_000

func (h *bankEntries) ImportBankStatement(ctx context.Context, r ImportBankStatementRequestObject) (ImportBankStatementResponseObject, error) {
	kind, err := statementFormat(r.ContentType)
	if err != nil {
		return nil, err
	}
	columns, err := csvFormat(kind, &r.Params)
	if err != nil {
		return nil, err
	}
	file, err := spool(bodyReader{r.Body})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// What breaks off is found before anything of it is booked.
	entries, err := statementEntries(file, kind, columns)
	if err != nil {
		return nil, err
	}
	for _, err := range entries {
		if err != nil && !isEntryError(err) {
			return nil, err
		}
	}
	if err := file.rewind(); err != nil {
		return nil, err
	}
	if entries, err = statementEntries(file, kind, columns); err != nil {
		return nil, err
	}
	profiles := principalOf(ctx).Can(operator.ProfilesRead)
	body := BankImport{DryRun: r.Params.DryRun, Format: BankImportFormat(kind), Lines: []BankImportLine{}}
	statement := &bank.Statement{Name: cmp.Or(r.Params.Name, "API"), Format: kind}
	err = bank.Import(ctx, h.store, statement, entries, r.Params.DryRun, func(line *bank.Line) error {
		if len(body.Lines) == maxBankLines {
			body.Truncated = true
			return nil
		}
		body.Lines = append(body.Lines, bankLineOf(line, profiles))
		return nil
	})
	if err != nil {
		return nil, err
	}
	n := statement.Counts
	body.StatementID = idOrNull(statement.ID)
	body.Counts = BankImportCounts{
		Entries: n.Entries, Booked: n.Booked, Proposed: n.Proposed, Unmatched: n.Unmatched, Ignored: n.Ignored, Pending: n.Pending, Known: n.Known, Wrong: n.Wrong,
	}
	return ImportBankStatement200JSONResponse(body), nil
}

// statementFormat is the format that a media type stands for.
func statementFormat(contentType string) (string, error) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
	case mediaType == "application/xml", mediaType == "text/xml":
		return bank.FormatCAMT, nil
	case mediaType == "text/csv":
		return bank.FormatCSV, nil
	}
	return "", problemf(http.StatusUnsupportedMediaType, "unsupported_media_type", "want Content-Type: application/xml (CAMT.053) or text/csv")
}

// csvFormat reads how a CSV is to be read.
func csvFormat(kind string, p *ImportBankStatementParams) (f bank.CSVFormat, err error) {
	var settings []string
	for _, s := range []struct{ name, value string }{
		{"date", p.CsvDate}, {"amount", p.CsvAmount}, {"credit", p.CsvCredit}, {"debit", p.CsvDebit}, {"direction", p.CsvDirection},
		{"value_date", p.CsvValueDate}, {"currency_column", p.CsvCurrencyColumn}, {"reference", p.CsvReference}, {"name", p.CsvName}, {"iban", p.CsvIban},
		{"creditor_reference", p.CsvCreditorReference}, {"end_to_end_id", p.CsvEndToEndID}, {"state", p.CsvState}, {"currency", p.CsvCurrency},
		{"account", p.CsvAccount}, {"delimiter", p.CsvDelimiter}, {"decimal", p.CsvDecimal}, {"date_order", p.CsvDateOrder}, {"charset", p.CsvCharset},
		{"remittance", p.CsvRemittance},
	} {
		if s.value == "" {
			continue
		}
		if kind != bank.FormatCSV {
			return f, invalidField("csv_"+s.name, "it is for text/csv")
		}
		values := []string{s.value}
		if s.name == "remittance" {
			values = strings.Split(s.value, "|")
		}
		for _, value := range values {
			setting := s.name + "=" + value
			if _, err := bank.ParseCSVFormat([]string{setting}); err != nil {
				return f, invalidField("csv_"+s.name, "%v", err)
			}
			settings = append(settings, setting)
		}
	}
	if f, err = bank.ParseCSVFormat(settings); err == nil && kind == bank.FormatCSV {
		err = f.Validate()
	}
	if err != nil {
		return f, invalidField("csv", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return f, nil
}

// statementEntries are the entries of a file. What is wrong with the file as a whole is a
// problem.
func statementEntries(r io.Reader, kind string, columns bank.CSVFormat) (iter.Seq2[bank.Entry, error], error) {
	entries, _, err := bank.Open(r, kind, columns)
	if err != nil {
		return nil, statementProblem(err)
	}
	return func(yield func(bank.Entry, error) bool) {
		for e, err := range entries {
			if err != nil && !isEntryError(err) {
				err = statementProblem(err)
			}
			if !yield(e, err) {
				return
			}
		}
	}, nil
}

func isEntryError(err error) bool {
	var wrong *bank.EntryError
	return errors.As(err, &wrong)
}

func statementProblem(err error) error {
	if errors.Is(err, bank.ErrTooLarge) {
		return problemf(http.StatusRequestEntityTooLarge, "too_large", "%v", err)
	}
	return invalidField("file", "%v", err)
}

// bankLineOf is what was done with an entry, as the API shows it; profiles: with what is
// known of the payer.
func bankLineOf(l *bank.Line, profiles bool) BankImportLine {
	body := BankImportLine{Line: l.Entry.Line, Outcome: BankImportLineOutcome(l.Outcome), Allocations: []BankAllocation{}}
	if profiles || l.Outcome != bank.OutcomeKnown { // that may be what a person has written
		body.Reason = l.Reason
	}
	body.BookedOn, body.UserID, body.PaymentID = dateOrNull(l.BookedOn), idOrNull(l.UserID), idOrNull(l.PaymentID)
	body.EntryID = orNull(l.ID, !l.CreatedAt.IsZero())
	if l.Outcome == bank.OutcomeWrong {
		return body
	}
	amount := moneyOf(l.Currency, l.Amount)
	body.Reference, body.Amount = l.Reference, &amount
	if profiles {
		body.Name, body.Iban, body.Remittance = l.Name, l.IBAN, l.Remittance
	}
	for _, a := range l.Allocations {
		body.Allocations = append(body.Allocations, BankAllocation{InvoiceID: a.InvoiceID, Number: a.Number, Amount: moneyOf(l.Currency, a.Amount)})
	}
	return body
}

func (h *bankEntries) ListBankEntries(ctx context.Context, r ListBankEntriesRequestObject) (ListBankEntriesResponseObject, error) {
	p := r.Params
	filter := bank.Filter{UserID: p.UserID, StatementID: p.StatementID, BookedFrom: dayFilter(p.BookedFrom), BookedBefore: dayFilter(p.BookedBefore)}
	switch p.State {
	case "":
	case ListBankEntriesParamsStateWaiting:
		filter.States = bank.Waiting()
	default:
		filter.States = []bank.State{bank.State(p.State)}
	}
	found, next, err := h.store.ListBankEntriesPage(ctx, filter, page(p.Cursor, p.Limit, ""))
	if err != nil {
		return nil, err
	}
	list := BankEntryList{Items: make([]BankEntry, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = bankEntryOf(ctx, &found[i])
	}
	return ListBankEntries200JSONResponse(list), nil
}

func (h *bankEntries) GetBankEntry(ctx context.Context, r GetBankEntryRequestObject) (GetBankEntryResponseObject, error) {
	entry, err := h.store.BankEntryByID(ctx, r.BankEntryID)
	if err != nil {
		return nil, err
	}
	return GetBankEntry200JSONResponse(bankEntryOf(ctx, entry)), nil
}

func (h *bankEntries) AssignBankEntry(ctx context.Context, r AssignBankEntryRequestObject) (AssignBankEntryResponseObject, error) {
	entry, err := h.assign(ctx, r.BankEntryID, *r.Body)
	if err != nil {
		if _, again := repeated(h.store.CheckKey(ctx)); !again {
			return nil, err
		}
		if entry, err = h.store.BankEntryByID(ctx, r.BankEntryID); err != nil {
			return nil, err
		}
	}
	return AssignBankEntry200JSONResponse(bankEntryOf(ctx, entry)), nil
}

func (h *bankEntries) assign(ctx context.Context, entryID uuid.UUID, in BankEntryAssignment) (*bank.Record, error) {
	if (in.InvoiceID == uuid.Nil) == (in.UserID == uuid.Nil) {
		return nil, invalidField("invoice_id", "want either an invoice or a user")
	}
	if in.UserID != uuid.Nil {
		return h.store.AssignBankEntry(ctx, entryID, in.UserID, nil)
	}
	entry, err := h.store.BankEntryByID(ctx, entryID)
	if err != nil {
		return nil, err
	}
	invoice, err := h.store.InvoiceByID(ctx, in.InvoiceID)
	if err != nil {
		return nil, err
	}
	if invoice.Kind != billing.KindInvoice || invoice.State != billing.InvoiceIssued && invoice.State != billing.InvoicePaid {
		return nil, billing.Refuse(billing.CodeInvoiceState, "only what was issued, and is no credit note, is paid: it is %s", invoice.State)
	}
	var allocations []billing.Allocation
	if part := min(entry.Amount, invoice.Open()); part > 0 {
		allocations = []billing.Allocation{{InvoiceID: invoice.ID, Amount: part}}
	}
	made, err := h.store.AssignBankEntry(ctx, entryID, invoice.UserID, allocations)
	if fields := billingFields(err, map[string]string{"allocations": "invoice_id"}); len(fields) > 0 {
		return nil, invalid(fields...)
	}
	return made, err
}

func (h *bankEntries) DismissBankEntry(ctx context.Context, r DismissBankEntryRequestObject) (DismissBankEntryResponseObject, error) {
	entry, err := h.store.DismissBankEntry(ctx, r.BankEntryID, strings.TrimSpace(r.Body.Reason))
	if _, again := repeated(err); again {
		entry, err = h.store.BankEntryByID(ctx, r.BankEntryID)
	}
	if err != nil {
		return nil, err
	}
	return DismissBankEntry200JSONResponse(bankEntryOf(ctx, entry)), nil
}

// bankEntryOf is an entry as the API shows it to the caller.
func bankEntryOf(ctx context.Context, e *bank.Record) BankEntry {
	body := BankEntry{
		ID: e.ID, State: BankEntryState(e.State), Reference: e.Reference, StatementID: e.StatementID, Line: e.Line, Account: e.Account,
		BookedOn: dateOf(e.BookedOn), ValueOn: dateOrNull(e.ValueOn), Amount: moneyOf(e.Currency, e.Amount), Reversal: e.Reversal,
		CreditorReferences: append([]string{}, e.CreditorReferences...), EndToEndID: e.EndToEndID,
		UserID: idOrNull(e.UserID), Username: e.Username, PaymentID: idOrNull(e.PaymentID), CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
	}
	if principalOf(ctx).Can(operator.ProfilesRead) {
		body.Name, body.Iban, body.Remittance, body.Reason = e.Name, e.IBAN, e.Remittance, e.Reason
	}
	return body
}
