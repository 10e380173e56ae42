package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/document"
	"radiusd/config"
	"radiusd/store"
)

// invoiceColumns show an invoice or a credit note.
var invoiceColumns = []column[billing.Invoice]{
	{name: "number", value: func(i *billing.Invoice) any { return i.Number }, human: func(i *billing.Invoice) string {
		if i.State == billing.InvoiceDraft { // it has none yet, and commands take this
			return i.ID.String()
		}
		return i.Number
	}},
	{name: "kind", value: func(i *billing.Invoice) any { return string(i.Kind) }},
	{name: "state", value: func(i *billing.Invoice) any { return string(i.State) }},
	{name: "username", value: func(i *billing.Invoice) any { return i.Buyer.Username }},
	{name: "issued_on", value: func(i *billing.Invoice) any { return i.IssuedOn.String() }},
	{name: "due_on", value: func(i *billing.Invoice) any { return i.DueOn.String() }},
	{name: "currency", value: func(i *billing.Invoice) any { return string(i.Currency) }},
	{name: "net", value: func(i *billing.Invoice) any { return i.Currency.Format(i.Net) }},
	{name: "tax", value: func(i *billing.Invoice) any { return i.Currency.Format(i.Tax) }},
	{name: "total", value: func(i *billing.Invoice) any { return i.Currency.Format(i.Total) }},
	{name: "paid", value: func(i *billing.Invoice) any { return i.Currency.Format(i.Paid) }},
	{name: "corrects", value: func(i *billing.Invoice) any { return i.CorrectsNumber }, detail: true},
	{name: "user_id", value: func(i *billing.Invoice) any { return i.UserID }, detail: true},
	{name: "note", value: func(i *billing.Invoice) any { return i.Note }, detail: true},
	{name: "created_at", value: func(i *billing.Invoice) any { return i.CreatedAt }, detail: true},
	{name: "id", value: func(i *billing.Invoice) any { return i.ID }, detail: true},
}

// lineColumns show a line of an invoice.
func lineColumns(c billing.Currency) []column[billing.InvoiceLine] {
	return []column[billing.InvoiceLine]{
		{name: "line", value: func(l *billing.InvoiceLine) any { return l.Line }},
		{name: "description", value: func(l *billing.InvoiceLine) any { return l.Description }},
		{name: "from", value: func(l *billing.InvoiceLine) any { return l.Period.From.String() }},
		{name: "to", value: func(l *billing.InvoiceLine) any { return l.Period.To.String() }},
		{name: "quantity", value: func(l *billing.InvoiceLine) any { return l.Quantity.String() }},
		{name: "unit", value: func(l *billing.InvoiceLine) any { return l.Unit }},
		{name: "net", value: func(l *billing.InvoiceLine) any { return c.Format(l.Net) }},
		{name: "gross", value: func(l *billing.InvoiceLine) any { return c.Format(l.Gross) }, detail: true},
		{name: "tax_percent", value: func(l *billing.InvoiceLine) any { return l.TaxPercent.String() }},
		{name: "charge_id", value: func(l *billing.InvoiceLine) any { return l.ChargeID }},
	}
}

func (a *app) invoiceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "invoice",
		Short: "List invoices and credit notes, make, print and correct them",
		Long: `Invoices come from billing runs (radiusd billing run), or are drafted by hand and
issued. One that is issued never changes: what is wrong with it is corrected by a
credit note, or, while nothing was paid of it, by voiding it. Either keeps its
number.`,
		Example: `  radiusd invoice list --user alice
  radiusd invoice list --overdue -o csv
  radiusd invoice show INV-000001
  radiusd invoice pdf INV-000001 invoice.pdf`,
	}
	c.AddCommand(a.invoiceListCommand(), a.invoiceShowCommand(), a.invoicePDFCommand(), a.invoiceXMLCommand(), a.invoiceDraftCommand(), a.invoiceIssueCommand(),
		a.invoiceDeleteCommand(), a.invoiceVoidCommand(), a.invoiceCreditCommand(), a.invoiceWriteOffCommand(), a.invoiceReinstateCommand(), a.invoiceSendCommand(), a.invoiceMailsCommand(), a.invoiceCheckoutCommand())
	return c
}

func (a *app) invoiceListCommand() *cobra.Command {
	var user, state, kind, from, before string
	var overdue bool
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List invoices and credit notes, the newest first",
		Example: `  radiusd invoice list --user alice
  radiusd invoice list --overdue
  radiusd invoice list --from 2026-11-01 --before 2026-12-01 -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) (err error) {
				filter := billing.InvoiceFilter{State: billing.InvoiceState(state), Kind: billing.InvoiceKind(kind)}
				if overdue {
					filter.OverdueOn = a.today(cfg)
				}
				if filter.IssuedFrom, err = dayFlag("from", from, billing.Date{}); err != nil {
					return err
				}
				if filter.IssuedBefore, err = dayFlag("before", before, billing.Date{}); err != nil {
					return err
				}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				return writeList(a, invoiceColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Invoice, string, error) {
					return s.ListInvoicesPage(c.Context(), filter, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().StringVar(&from, "from", "", "only those issued on the `DAY` or later")
	c.Flags().StringVar(&before, "before", "", "only those issued before the `DAY`")
	c.Flags().BoolVar(&overdue, "overdue", false, "only those that should have been paid by now")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	wordFlag(c, &state, "state", "only those in the `STATE`", "draft", "issued", "paid", "void")
	wordFlag(c, &kind, "kind", "only those of the `KIND`", "invoice", "credit_note")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

// userFlag returns the id of the user that a flag names; zero: none.
func userFlag(ctx context.Context, s *store.Store, name string) (uuid.UUID, error) {
	if name == "" {
		return uuid.Nil, nil
	}
	user, err := accountNamed(ctx, s, name)
	if err != nil {
		return uuid.Nil, err
	}
	return user.ID, nil
}

// withInvoice runs fn on the invoice of a number, or of an id.
func (a *app) withInvoice(c *cobra.Command, number string, fn func(*config.Config, *store.Store, *billing.Invoice) error) error {
	return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
		read := func() (*billing.Invoice, error) { return s.InvoiceByNumber(c.Context(), number) }
		if parsed, err := uuid.Parse(number); err == nil {
			read = func() (*billing.Invoice, error) { return s.InvoiceByID(c.Context(), parsed) }
		}
		invoice, err := read()
		if err != nil {
			return err
		}
		return fn(cfg, s, invoice)
	})
}

func (a *app) invoiceShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show NUMBER",
		Short:             "Show an invoice and its lines",
		Example:           "  radiusd invoice show INV-000001",
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, _ *store.Store, invoice *billing.Invoice) error {
				return a.showInvoice(invoice)
			})
		},
	}
	a.outputFlag(c)
	return c
}

// lineObjects are an invoice's lines for JSON.
func lineObjects(invoice *billing.Invoice) []map[string]any {
	list := make([]map[string]any, 0, len(invoice.Lines))
	for i := range invoice.Lines {
		object := map[string]any{}
		for _, column := range lineColumns(invoice.Currency) {
			object[column.name] = plain(column.value(&invoice.Lines[i]))
		}
		list = append(list, object)
	}
	return list
}

// toFile runs write on a new file that takes the name's place when all is written, or
// on the output for "-".
func (a *app) toFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(a.stdout)
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".radiusd-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, reason(err))
	}
	defer os.Remove(file.Name()) // nothing is there any more when it has its name
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write %s: %w", name, reason(err))
	}
	return os.Rename(file.Name(), name)
}

// canWrite fails if toFile could not begin a file of that name.
func canWrite(name string) error {
	if name == "-" {
		return nil
	}
	if at, err := os.Stat(name); err == nil && at.IsDir() {
		return fmt.Errorf("write %s: is a directory", name)
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".radiusd-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, reason(err))
	}
	file.Close()
	return os.Remove(file.Name())
}

func (a *app) invoicePDFCommand() *cobra.Command {
	var o document.Options
	var paper string
	c := &cobra.Command{
		Use:   "pdf NUMBER FILE",
		Short: "Print an invoice as PDF",
		Long:  "Writes the invoice or credit note as PDF to a file, or to standard output for -.",
		Example: `  radiusd invoice pdf INV-000001 invoice.pdf
  radiusd invoice pdf INV-000001 rechnung.pdf --locale de`,
		Args:              arguments("NUMBER", "FILE"),
		ValidArgsFunction: completeSecondFile,
		RunE: func(c *cobra.Command, args []string) error {
			o.Paper = document.Paper(paper)
			return a.withInvoice(c, args[0], func(_ *config.Config, _ *store.Store, invoice *billing.Invoice) error {
				return a.toFile(args[1], func(w io.Writer) error { return document.WritePDF(w, invoice, o) })
			})
		},
	}
	wordFlag(c, &o.Locale, "locale", "`LANGUAGE` of its words", document.Locales()...)
	wordFlag(c, &paper, "paper", "`SIZE` of its pages", string(document.A4), string(document.Letter))
	return c
}

func (a *app) invoiceXMLCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "xml NUMBER FILE",
		Short: "Write an invoice for machines",
		Long: `Writes the invoice or credit note as UBL 2.1 by EN 16931 to a file, or to standard
output for -. What it lacks for that, such as the seller's tax number, is an error.`,
		Example:           "  radiusd invoice xml INV-000001 invoice.xml",
		Args:              arguments("NUMBER", "FILE"),
		ValidArgsFunction: completeSecondFile,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, _ *store.Store, invoice *billing.Invoice) error {
				if err := document.Check(invoice); err != nil {
					return fmt.Errorf("%s is no invoice by EN 16931 yet: %s", invoice.Number, oneLine(err))
				}
				return a.toFile(args[1], func(w io.Writer) error { return document.WriteUBL(w, invoice) })
			})
		},
	}
}

func (a *app) invoiceVoidCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "void NUMBER",
		Short:             "Make an invoice owed by nobody",
		Long:              "Voids an issued invoice of which nothing was paid. It keeps its number.",
		Example:           "  radiusd invoice void INV-000001",
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, s *store.Store, invoice *billing.Invoice) error {
				if err := s.VoidInvoice(c.Context(), invoice.ID); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s is void\n", invoice.Number)
				return nil
			})
		},
	}
}

func (a *app) invoiceWriteOffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "write-off NUMBER",
		Short: "Give up what is open of an invoice",
		Long: `Gives up what is open of an invoice. Credit that the user gets later pays it
nevertheless, after what is open, and by so much the write-off is taken back: to let
somebody off, use invoice credit.`,
		Example:           "  radiusd invoice write-off INV-000001",
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, s *store.Store, invoice *billing.Invoice) error {
				if err := s.WriteOffInvoice(c.Context(), invoice.ID); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s %s of %s are written off\n", invoice.Currency.Format(invoice.Open()), invoice.Currency, invoice.Number)
				return nil
			})
		},
	}
}

func (a *app) invoiceReinstateCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "reinstate NUMBER",
		Short:             "Take back what was written off of an invoice",
		Example:           "  radiusd invoice reinstate INV-000001",
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, s *store.Store, invoice *billing.Invoice) error {
				if err := s.ReinstateInvoice(c.Context(), invoice.ID); err != nil {
					return err
				}
				again, err := s.InvoiceByID(c.Context(), invoice.ID)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s %s of %s are open again\n", again.Currency.Format(again.Open()), again.Currency, again.Number)
				return nil
			})
		},
	}
}
