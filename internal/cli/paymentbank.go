package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/bank"
	"radiusd/config"
	"radiusd/store"
)

// bankLineColumns show what an import did with the entries of a file.
var bankLineColumns = []column[bank.Line]{
	{name: "line", value: func(l *bank.Line) any { return l.Entry.Line }},
	{name: "outcome", value: func(l *bank.Line) any { return string(l.Outcome) }},
	{name: "booked_on", value: func(l *bank.Line) any { return l.BookedOn.String() }},
	{name: "amount", value: func(l *bank.Line) any { return entryAmount(&l.Record) }},
	{name: "currency", value: func(l *bank.Line) any { return string(l.Currency) }},
	{name: "name", value: func(l *bank.Line) any { return l.Name }},
	{name: "invoices", value: func(l *bank.Line) any {
		texts := make([]string, 0, len(l.Allocations))
		for _, x := range l.Allocations {
			texts = append(texts, x.Number+" "+l.Currency.Format(x.Amount))
		}
		return texts
	}},
	{name: "reason", value: func(l *bank.Line) any { return l.Reason }},
	{name: "reference", value: func(l *bank.Line) any { return l.Reference }, detail: true},
	{name: "remittance", value: func(l *bank.Line) any { return l.Remittance }, detail: true},
	{name: "state", value: func(l *bank.Line) any { return string(l.State) }, detail: true},
	{name: "payment_id", value: func(l *bank.Line) any { return l.PaymentID }, detail: true},
	{name: "id", value: func(l *bank.Line) any { return l.ID }, detail: true},
}

// bankEntryColumns show an entry of a bank statement.
var bankEntryColumns = []column[bank.Record]{
	{name: "booked_on", value: func(r *bank.Record) any { return r.BookedOn.String() }},
	{name: "state", value: func(r *bank.Record) any { return string(r.State) }},
	{name: "amount", value: func(r *bank.Record) any { return entryAmount(r) }},
	{name: "currency", value: func(r *bank.Record) any { return string(r.Currency) }},
	{name: "name", value: func(r *bank.Record) any { return r.Name }},
	{name: "remittance", value: func(r *bank.Record) any { return r.Remittance }},
	{name: "username", value: func(r *bank.Record) any { return r.Username }},
	{name: "reason", value: func(r *bank.Record) any { return r.Reason }},
	{name: "id", value: func(r *bank.Record) any { return r.ID }},
	{name: "reference", value: func(r *bank.Record) any { return r.Reference }, detail: true},
	{name: "iban", value: func(r *bank.Record) any { return r.IBAN }, detail: true},
	{name: "creditor_references", value: func(r *bank.Record) any { return r.CreditorReferences }, detail: true},
	{name: "end_to_end_id", value: func(r *bank.Record) any { return r.EndToEndID }, detail: true},
	{name: "account", value: func(r *bank.Record) any { return r.Account }, detail: true},
	{name: "value_on", value: func(r *bank.Record) any { return r.ValueOn.String() }, detail: true},
	{name: "payment_id", value: func(r *bank.Record) any { return r.PaymentID }, detail: true},
	{name: "statement_id", value: func(r *bank.Record) any { return r.StatementID }, detail: true},
	{name: "line", value: func(r *bank.Record) any { return r.Line }, detail: true},
	{name: "created_at", value: func(r *bank.Record) any { return r.CreatedAt }, detail: true},
}

// entryAmount is an amount with its currency's decimals; empty: there is none.
func entryAmount(r *bank.Record) string {
	if r.Currency == "" {
		return ""
	}
	return r.Currency.Format(r.Amount)
}

func (a *app) paymentImportCommand() *cobra.Command {
	var format string
	var settings []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Import a bank statement: CAMT.053 or CSV",
		Long: `Reads the entries of a bank statement from a file, or standard input if it is -,
and books those that name an invoice, by its reference (RF…, as invoices print it)
or its number. Each entry is booked once, however often it is imported, and also
if statements overlap.

What an import does with an entry:
  booked     as a payment of the invoices it names
  proposed   it is likely to be for an invoice, and a person is to decide
  unmatched  nobody knows what it is for
  ignored    it is no payment of a customer
  pending    the bank has not booked it; it is not kept
  known      it was imported before
  wrong      it could not be read; the others were

Entries that are proposed or unmatched are kept: see radiusd payment entries
--unmatched and radiusd payment assign. Those that match when the statement is
imported again are booked then.

For CSV, --csv says what the columns are called in the file's header, as in
--csv date=Buchungstag, and how to read it. Names of columns: date, amount (or
credit and debit), direction, value_date, currency_column, reference, name, iban,
remittance (repeated), creditor_reference, end_to_end_id, state. What else there
is to say: currency and account of rows that do not tell, and, if they are not to
be found out, delimiter, decimal, date_order (DD.MM.YYYY) and charset.`,
		Example: `  radiusd payment import statement.xml --dry-run
  radiusd payment import statement.xml
  radiusd payment import export.csv --csv date=Date --csv amount=Amount --csv currency=EUR --csv name=Payer --csv remittance=Text`,
		Args: arguments("FILE"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []cobra.Completion{"xml", "csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			columns, err := bank.ParseCSVFormat(settings)
			if err != nil {
				return usagef("--csv: %v", err)
			}
			name := args[0]
			in := a.stdin
			if name != "-" {
				file, err := os.Open(name)
				if err != nil {
					return fmt.Errorf("read %s: %w", name, reason(err))
				}
				defer file.Close()
				in = file
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				entries, kind, err := bank.Open(in, format, columns)
				if err != nil {
					return usagef("%s: %s", name, oneLine(err))
				}
				statement := &bank.Statement{Name: filepath.Base(name), Format: kind}
				if err := writeList(a, bankLineColumns, bankLines(c.Context(), s, statement, entries, dryRun)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				fmt.Fprintln(a.stderr, importSummary(&statement.Counts, dryRun))
				return nil
			})
		},
	}
	wordFlag(c, &format, "format", "`FORMAT`; empty: found out", bank.FormatCAMT, bank.FormatCSV)
	c.Flags().StringArrayVar(&settings, "csv", nil, "`NAME=VALUE`: a column of the CSV, or how to read it (repeated)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	completeFlagFunc(c, "csv", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		for _, name := range bank.CSVSettings() {
			names = append(names, name+"=")
		}
		return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
	a.outputFlag(c)
	return c
}

// bankLines imports entries and gives what was done with each.
func bankLines(ctx context.Context, books bank.Books, statement *bank.Statement, entries iter.Seq2[bank.Entry, error], dryRun bool) iter.Seq2[*bank.Line, error] {
	errEnough := errors.New("no more lines are wanted")
	return func(yield func(*bank.Line, error) bool) {
		err := bank.Import(ctx, books, statement, entries, dryRun, func(line *bank.Line) error {
			if !yield(line, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// importSummary counts what an import did.
func importSummary(n *bank.Counts, dryRun bool) string {
	var parts []string
	for _, part := range []struct {
		n    int
		word bank.Outcome
	}{{n.Booked, bank.OutcomeBooked}, {n.Proposed, bank.OutcomeProposed}, {n.Unmatched, bank.OutcomeUnmatched}, {n.Ignored, bank.OutcomeIgnored},
		{n.Pending, bank.OutcomePending}, {n.Known, bank.OutcomeKnown}, {n.Wrong, bank.OutcomeWrong}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	text := fmt.Sprintf("%d entries", n.Entries)
	if len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	if dryRun {
		text += " (nothing was written)"
	}
	return text
}

func (a *app) paymentEntriesCommand() *cobra.Command {
	var user, state, from, before string
	var unmatched bool
	var limit int
	c := &cobra.Command{
		Use:               "entries",
		Short:             "List entries of bank statements, the newest first",
		Long:              "Lists the entries of bank statements that were imported (radiusd payment import).",
		Example:           "  radiusd payment entries --unmatched\n  radiusd payment entries --from 2026-11-01 --before 2026-12-01 -o csv",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) (err error) {
				var filter bank.Filter
				if state != "" {
					filter.States = []bank.State{bank.State(state)}
				}
				if unmatched {
					filter.States = bank.Waiting()
				}
				if filter.BookedFrom, err = dayFlag("from", from, billing.Date{}); err != nil {
					return err
				}
				if filter.BookedBefore, err = dayFlag("before", before, billing.Date{}); err != nil {
					return err
				}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				return writeList(a, bankEntryColumns, eachCursorPage(limit, func(page aaa.Page) ([]bank.Record, string, error) {
					return s.ListBankEntriesPage(c.Context(), filter, page)
				}))
			})
		},
	}
	c.Flags().BoolVar(&unmatched, "unmatched", false, "only those that a person has to see to: unmatched and proposed")
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().StringVar(&from, "from", "", "only those that were booked on the `DAY` or later")
	c.Flags().StringVar(&before, "before", "", "only those that were booked before the `DAY`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	var states []string
	for _, state := range bank.States() {
		states = append(states, string(state))
	}
	wordFlag(c, &state, "state", "only those in the `STATE`", states...)
	c.MarkFlagsMutuallyExclusive("unmatched", "state")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

func (a *app) paymentAssignCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "assign ENTRY INVOICE|USER",
		Short: "Book an entry of a bank statement by hand",
		Long: `Books an entry of a bank statement (its id is in radiusd payment entries) as the
payment of an invoice, by its number, or of a user, whose oldest invoices it goes
to. What is too much is the user's credit.`,
		Example: `  radiusd payment assign 019c1f0e-2f52-5d1c-9b7e-3d5a86f6c0aa INV-000007
  radiusd payment assign 019c1f0e-2f52-5d1c-9b7e-3d5a86f6c0aa alice`,
		Args:              arguments("ENTRY", "INVOICE|USER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			entryID, err := idArgument("bank entry", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				ctx := c.Context()
				entry, err := s.BankEntryByID(ctx, entryID)
				if err != nil {
					return err
				}
				var userID uuid.UUID
				var allocations []billing.Allocation
				invoice, err := s.InvoiceByNumber(ctx, args[1])
				switch {
				case err == nil:
					userID = invoice.UserID
					if part := min(entry.Amount, invoice.Open()); part > 0 {
						allocations = []billing.Allocation{{InvoiceID: invoice.ID, Amount: part}}
					}
				case errors.Is(err, store.ErrNotFound):
					user, err := accountNamed(ctx, s, args[1])
					if errors.Is(err, store.ErrNotFound) {
						return fmt.Errorf("there is no invoice %s, and: %w", printable(args[1]), err)
					}
					if err != nil {
						return err
					}
					userID = user.ID
				default:
					return err
				}
				made, err := s.AssignBankEntry(ctx, entryID, userID, allocations)
				if err != nil {
					return err
				}
				payment, err := s.PaymentByID(ctx, made.PaymentID)
				if err != nil {
					return err
				}
				return writeOne(a, paymentColumns, payment)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) paymentDismissCommand() *cobra.Command {
	var note string
	c := &cobra.Command{
		Use:               "dismiss ENTRY",
		Short:             "Say that an entry of a bank statement is no payment of a customer",
		Example:           "  radiusd payment dismiss 019c1f0e-2f52-5d1c-9b7e-3d5a86f6c0aa --note 'Tax refund'",
		Args:              arguments("ENTRY"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			entryID, err := idArgument("bank entry", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				made, err := s.DismissBankEntry(c.Context(), entryID, note)
				if err != nil {
					return err
				}
				return writeOne(a, bankEntryColumns, made)
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "`TEXT` that says what it is")
	a.outputFlag(c)
	return c
}
