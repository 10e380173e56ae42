package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// showInvoice writes an invoice and its lines.
func (a *app) showInvoice(invoice *billing.Invoice) error {
	if a.format == formatJSON {
		columns := append(invoiceColumns[:len(invoiceColumns):len(invoiceColumns)], column[billing.Invoice]{
			name: "lines", value: func(i *billing.Invoice) any { return lineObjects(i) }})
		return writeOne(a, columns, invoice)
	}
	if a.format == formatCSV {
		return writeList(a, lineColumns(invoice.Currency), sliceRows(invoice.Lines))
	}
	if err := writeOne(a, invoiceColumns, invoice); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	return writeList(a, lineColumns(invoice.Currency), sliceRows(invoice.Lines))
}

// madeInvoice writes an invoice that a command has made: as showInvoice, but in CSV the
// invoice rather than its lines, for its number and id.
func (a *app) madeInvoice(invoice *billing.Invoice) error {
	if a.format == formatCSV {
		return writeOne(a, invoiceColumns, invoice)
	}
	return a.showInvoice(invoice)
}

func (a *app) invoiceDraftCommand() *cobra.Command {
	var currency string
	c := &cobra.Command{
		Use:   "draft USER",
		Short: "Draft an invoice of what is on none yet",
		Long: `Drafts an invoice of the charges of a user that are on none yet, such as those made
by hand (radiusd charge add), without waiting for a billing run. A draft is owed by
nobody and has no number until it is issued; billing runs leave it as it is. If some
charges are taxed and some are not, each kind has a draft of its own: draft again.`,
		Example: `  radiusd charge add alice 25.00 --description 'Visit of a technician' --tax standard
  radiusd invoice draft alice
  radiusd invoice list --state draft
  radiusd invoice issue 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa`,
		Args:              arguments("USER"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				user, err := userNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				in, err := currencyOf(c, s, user, currency)
				if err != nil {
					return err
				}
				o, err := runOptions(c.Context(), s, a.today(cfg), cfg.Location(), a.now())
				if err != nil {
					return err
				}
				draft, err := s.DraftInvoice(c.Context(), user.ID, in, o)
				if err != nil {
					return err
				}
				return a.madeInvoice(draft)
			})
		},
	}
	c.Flags().StringVar(&currency, "currency", "", "`CURRENCY`; empty: that of the user's account")
	a.outputFlag(c)
	return c
}

func (a *app) invoiceIssueCommand() *cobra.Command {
	var on, due string
	c := &cobra.Command{
		Use:   "issue ID",
		Short: "Issue an invoice that was drafted",
		Long: `Gives a draft the next number of its series. From then on it is owed and never
changes, and the credit that the user has pays it.`,
		Example: `  radiusd invoice issue 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa
  radiusd invoice issue 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --due-on 2026-12-31`,
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(cfg *config.Config, s *store.Store, draft *billing.Invoice) error {
				issued, err := dayFlag("on", on, a.today(cfg))
				if err != nil {
					return err
				}
				until, err := dayFlag("due-on", due, draft.DueAfter(issued))
				if err != nil {
					return err
				}
				invoice, err := s.IssueInvoice(c.Context(), draft.ID, issued, until)
				if err != nil {
					return err
				}
				return a.madeInvoice(invoice)
			})
		},
	}
	c.Flags().StringVar(&on, "on", "", "`DAY` of its issue; empty: today")
	c.Flags().StringVar(&due, "due-on", "", "`DAY` on which it is due; empty: as long after its issue as the draft has it")
	a.outputFlag(c)
	return c
}

func (a *app) invoiceDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete ID",
		Short:             "Delete a draft; its charges are on no invoice again",
		Example:           "  radiusd invoice delete 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(_ *config.Config, s *store.Store, draft *billing.Invoice) error {
				return s.DeleteDraft(c.Context(), draft.ID)
			})
		},
	}
}

func (a *app) invoiceCreditCommand() *cobra.Command {
	var note string
	var lines []string
	c := &cobra.Command{
		Use:   "credit NUMBER",
		Short: "Issue a credit note over an invoice, or some of it",
		Long: `Issues a credit note over all of an invoice that no other one has given back, or
over lines of it: all that is left of a line, or an amount of its price as it stands
on the invoice (without the tax, unless the price contains it). It pays what is open
of the invoice or was written off; the rest is the user's credit.`,
		Example: `  radiusd invoice credit INV-000001 --note 'Cancelled within 14 days'
  radiusd invoice show INV-000001
  radiusd invoice credit INV-000001 --line 2
  radiusd invoice credit INV-000001 --line 1=5.00 --line 2 --note 'Outage of 3 November'`,
		Args:              arguments("NUMBER"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withInvoice(c, args[0], func(cfg *config.Config, s *store.Store, invoice *billing.Invoice) error {
				parts, err := creditedLines(lines, invoice.Currency)
				if err != nil {
					return err
				}
				made, err := s.CreditInvoice(c.Context(), invoice.ID, parts, a.today(cfg), note)
				if err != nil {
					return err
				}
				return a.madeInvoice(made)
			})
		},
	}
	c.Flags().StringArrayVar(&lines, "line", nil, "only this `LINE`, or LINE=AMOUNT of it (repeated)")
	c.Flags().StringVar(&note, "note", "", "`TEXT` on the credit note")
	a.outputFlag(c)
	return c
}

// creditedLines reads which lines are credited, and how much of each; 0: all that is left.
func creditedLines(texts []string, of billing.Currency) (parts map[int]billing.Amount, err error) {
	for _, text := range texts {
		number, amount, some := strings.Cut(text, "=")
		line, err := strconv.Atoi(number)
		if err != nil || line < 1 {
			return nil, usagef("--line: %q is no number of a line, nor LINE=AMOUNT", text)
		}
		if _, twice := parts[line]; twice {
			return nil, usagef("--line: line %d is there twice", line)
		}
		var part billing.Amount
		if some {
			if part, err = of.Parse(amount); err == nil && part == 0 {
				err = fmt.Errorf("%s of line %d is nothing", amount, line)
			}
			if err != nil {
				return nil, usagef("--line: %v", err)
			}
		}
		if parts == nil {
			parts = map[int]billing.Amount{}
		}
		parts[line] = part
	}
	return parts, nil
}
