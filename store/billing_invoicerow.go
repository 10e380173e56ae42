package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"radiusd/billing"
)

// invoiceRow is an invoice as it is written.
type invoiceRow struct {
	billing.Invoice
	sequence uint64 // of its number in the series; zero: a draft
}

func invoiceFields(i *invoiceRow) []field {
	return []field{
		{"id", id{&i.ID}},
		{"number", nullText{&i.Number}},
		{"series", text{&i.Series}},
		{"sequence", sequence{&i.sequence}},
		{"kind", term(&i.Kind)},
		{"state", term(&i.State)},
		{"user_id", id{&i.UserID}},
		{"currency", term(&i.Currency)},
		{"issued_on", civil{&i.IssuedOn}},
		{"due_on", civil{&i.DueOn}},
		{"period_from", civil{&i.Period.From}},
		{"period_to", civil{&i.Period.To}},
		{"corrects", nullID{&i.Corrects}},
		{"corrects_number", text{&i.CorrectsNumber}},
		{"net", money(&i.Net)},
		{"tax", money(&i.Tax)},
		{"total", money(&i.Total)},
		{"paid", money(&i.Paid)},
		{"seller", structured[billing.Party]{&i.Seller}},
		{"buyer", personal{structured[billing.Party]{&i.Buyer}}},
		{"note", personal{text{&i.Note}}},
		{"run_id", nullID{&i.RunID}},
		{"created_at", moment{&i.CreatedAt}},
		{"updated_at", moment{&i.UpdatedAt}},
	}
}

// lineRow and taxRow are what stands on an invoice.
type lineRow struct {
	billing.InvoiceLine
	invoiceID uuid.UUID
}

func lineFields(l *lineRow) []field {
	return []field{
		{"invoice_id", id{&l.invoiceID}},
		{"line", whole[int]{&l.Line}},
		{"charge_id", nullID{&l.ChargeID}},
		{"description", text{&l.Description}},
		{"period_from", civil{&l.Period.From}},
		{"period_to", civil{&l.Period.To}},
		{"quantity", decimal{&l.Quantity}},
		{"unit", text{&l.Unit}},
		{"unit_price", decimal{&l.UnitPrice}},
		{"net", money(&l.Net)},
		{"gross", money(&l.Gross)},
		{"tax_included", flag{&l.TaxIncluded}},
		{"tax_class", text{&l.TaxClass}},
		{"tax_category", text{&l.TaxCategory}},
		{"tax_percent", decimal{&l.TaxPercent}},
	}
}

type taxRow struct {
	billing.TaxTotal
	invoiceID uuid.UUID
	position  int // 1, 2, …
}

func taxFields(t *taxRow) []field {
	return []field{
		{"invoice_id", id{&t.invoiceID}},
		{"position", whole[int]{&t.position}},
		{"name", text{&t.Name}},
		{"category", text{&t.Category}},
		{"percent", decimal{&t.Percent}},
		{"net", money(&t.Net)},
		{"tax", money(&t.Tax)},
		{"exemption_reason", text{&t.ExemptionReason}},
	}
}

// insertInvoices writes invoices with their lines and taxes.
func (tx *writeTx) insertInvoices(ctx context.Context, invoices []*invoiceRow) error {
	var lines []lineRow
	var taxes []taxRow
	for _, i := range invoices {
		for _, line := range i.Lines {
			lines = append(lines, lineRow{line, i.ID})
		}
		for n, tax := range i.Taxes {
			taxes = append(taxes, taxRow{tax, i.ID, n + 1})
		}
	}
	if err := insertRows(ctx, tx, "invoices", source{len(invoices), func(n int) []field { return invoiceFields(invoices[n]) }}); err != nil {
		return err
	}
	var l lineRow
	if err := insertRows(ctx, tx, "invoice_lines", filled(lineFields(&l), len(lines), func(n int) { l = lines[n] })); err != nil {
		return err
	}
	var t taxRow
	return insertRows(ctx, tx, "invoice_taxes", filled(taxFields(&t), len(taxes), func(n int) { t = taxes[n] }))
}

// issue gives invoices that are not written yet, or are drafts, the next numbers of their
// series, in their order. The series are locked until the transaction ends, so numbers
// have no gaps.
func (tx *writeTx) issue(ctx context.Context, invoices []*invoiceRow) error {
	last := map[string]uint64{}
	var order []string
	for _, i := range invoices {
		if i.Series == "" {
			return &billing.FieldError{Field: "series", Message: "an invoice needs a series for its number"}
		}
		if _, known := last[i.Series]; !known {
			last[i.Series] = 0
			order = append(order, i.Series)
		}
	}
	slices.Sort(order)
	for _, series := range order {
		if _, err := tx.ExecContext(ctx, "INSERT INTO invoice_series (series, last) VALUES ($1, 0) ON CONFLICT (series) DO NOTHING", text{&series}); err != nil {
			return err
		}
		var n uint64
		if err := tx.QueryRowContext(ctx, "SELECT last FROM invoice_series WHERE series = $1"+tx.forUpdate(), text{&series}).Scan(whole[uint64]{&n}); err != nil {
			return err
		}
		last[series] = n
	}
	now := tx.store.timestamp()
	for _, i := range invoices {
		n := last[i.Series] + 1
		if err := i.Issue(billing.InvoiceNumber(i.Series, int64(n)), now); err != nil {
			return err
		}
		i.sequence, last[i.Series] = n, n
	}
	for _, series := range order {
		n := last[series]
		if _, err := tx.ExecContext(ctx, "UPDATE invoice_series SET last = $2 WHERE series = $1", text{&series}, whole[uint64]{&n}); err != nil {
			return err
		}
	}
	return nil
}

// InvoiceEvent is the payload of events about invoices.
type InvoiceEvent struct {
	InvoiceID uuid.UUID            `json:"invoice_id"`
	Number    string               `json:"number"`
	Kind      billing.InvoiceKind  `json:"kind"`
	State     billing.InvoiceState `json:"state"`
	UserID    uuid.UUID            `json:"user_id"`
	Currency  billing.Currency     `json:"currency"`
	Total     billing.Amount       `json:"total"` // in minor units, like Paid
	Paid      billing.Amount       `json:"paid"`
	DueOn     billing.Date         `json:"due_on"`
}

// emitInvoice tells other systems about an invoice.
func (tx *writeTx) emitInvoice(kind string, i *billing.Invoice) error {
	return tx.emit(kind, "invoice", i.ID, InvoiceEvent{i.ID, i.Number, i.Kind, i.State, i.UserID, i.Currency, i.Total, i.Paid, i.DueOn})
}

// invoicesWhere reads invoices without lines and taxes. rest is what follows FROM the
// table.
func invoicesWhere(ctx context.Context, q querier, rest string, args []any) (list []*invoiceRow, err error) {
	var i invoiceRow
	fields := invoiceFields(&i)
	err = eachRow(ctx, q, "SELECT "+names(fields)+" FROM invoices "+rest, args, targets(fields), func() error {
		row := i
		list = append(list, &row)
		return nil
	})
	return list, err
}

func findInvoice(ctx context.Context, q querier, invoiceID uuid.UUID, lock string) (*invoiceRow, error) {
	list, err := invoicesWhere(ctx, q, "WHERE id = $1"+lock, []any{invoiceID.String()})
	if err == nil && len(list) == 0 {
		err = notFound("invoice", invoiceID.String())
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// readLines reads what stands on invoices.
func (s *Store) readLines(ctx context.Context, tx *sql.Tx, invoices []*invoiceRow) error {
	if len(invoices) == 0 {
		return nil
	}
	ids, byID := make([]uuid.UUID, len(invoices)), make(map[uuid.UUID]*invoiceRow, len(invoices))
	for n, i := range invoices {
		ids[n], byID[i.ID] = i.ID, i
	}
	chunks := &writeTx{Tx: tx, postgres: s.pool != nil}
	return eachChunk(chunks, "invoice_id", "uuid", texts(ids), func(which string, args []any) error {
		var l lineRow
		fields := lineFields(&l)
		err := eachRow(ctx, tx, "SELECT "+names(fields)+" FROM invoice_lines WHERE "+which+" ORDER BY invoice_id, line", args, targets(fields), func() error {
			byID[l.invoiceID].Lines = append(byID[l.invoiceID].Lines, l.InvoiceLine)
			return nil
		})
		if err != nil {
			return err
		}
		var t taxRow
		fields = taxFields(&t)
		return eachRow(ctx, tx, "SELECT "+names(fields)+" FROM invoice_taxes WHERE "+which+" ORDER BY invoice_id, position", args, targets(fields), func() error {
			byID[t.invoiceID].Taxes = append(byID[t.invoiceID].Taxes, t.TaxTotal)
			return nil
		})
	})
}

// savePaid writes what has changed of invoices by allocations.
func (tx *writeTx) savePaid(ctx context.Context, invoices []*invoiceRow) error {
	return updateRows(ctx, tx, "invoices", source{len(invoices), func(n int) []field {
		i := invoices[n]
		return []field{{"id", id{&i.ID}}, {"state", term(&i.State)}, {"paid", money(&i.Paid)}, {"updated_at", moment{&i.UpdatedAt}}}
	}})
}

// amountOf writes an amount for people.
func amountOf(c billing.Currency, a billing.Amount) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", c.Format(a), c))
}
