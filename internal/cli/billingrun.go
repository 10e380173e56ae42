package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

func (a *app) billingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "billing",
		Short: "Bill subscribers, and see to the books",
		Long: `A billing run charges what is due of subscriptions and of usage, and issues an
invoice for each subscriber who owes something. It may be repeated, and killed
at any point: whoever runs it again has the same charges, invoices and numbers.`,
		Example: `  radiusd billing set --seller-name 'Example Net' --seller-country AT --series INV
  radiusd billing run
  radiusd billing status
  radiusd billing check`,
	}
	c.AddCommand(a.billingRunCommand(), a.billingPreviewCommand(), a.billingStatusCommand(), a.billingCheckCommand(), a.billingShowCommand(), a.billingSetCommand(), a.dunningCommand())
	return c
}

// runColumns show a billing run.
var runColumns = []column[billing.Run]{
	{name: "as_of", value: func(r *billing.Run) any { return r.AsOf.String() }},
	{name: "started_at", value: func(r *billing.Run) any { return r.StartedAt }},
	{name: "finished_at", value: func(r *billing.Run) any { return r.FinishedAt }},
	{name: "accounts", value: func(r *billing.Run) any { return r.Accounts }},
	{name: "charges", value: func(r *billing.Run) any { return r.Charges }},
	{name: "invoices", value: func(r *billing.Run) any { return r.Invoices }},
	{name: "failed", value: func(r *billing.Run) any { return r.Failed }},
	{name: "id", value: func(r *billing.Run) any { return r.ID }, detail: true},
}

func (a *app) billingRunCommand() *cobra.Command {
	var asOf string
	c := &cobra.Command{
		Use:   "run",
		Short: "Charge what is due, and issue invoices",
		Long: `Charges what is due on the day and before, and issues invoices. A run that was
killed goes on where it was; those of earlier days are finished first. Accounts
that cannot be billed are left as they were and told of; the exit code is then 1.`,
		Example: `  radiusd billing run
  radiusd billing run --as-of 2026-12-01`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				day, err := dayFlag("as-of", asOf, a.today(cfg))
				if err != nil {
					return err
				}
				if a.today(cfg).Before(day) {
					return usagef("--as-of %s has not come yet", day)
				}
				unfinished, err := s.UnfinishedRuns(ctx, day)
				if err != nil {
					return err
				}
				for _, earlier := range unfinished {
					run, err := a.billDay(ctx, cfg, s, earlier)
					if err != nil {
						return fmt.Errorf("for %s: %w", earlier, err)
					}
					fmt.Fprintf(a.stderr, "finished the run for %s: %d accounts, %d invoices, %d failed\n", earlier, run.Accounts, run.Invoices, run.Failed)
				}
				run, err := a.billDay(ctx, cfg, s, day)
				if err != nil {
					return err
				}
				if err := writeOne(a, runColumns, &run); err != nil {
					return err
				}
				if run.Failed == 0 {
					return nil
				}
				failures, err := s.RunFailures(ctx, run.ID)
				if err != nil {
					return err
				}
				const shown = 20
				for i := range failures[:min(shown, len(failures))] {
					fmt.Fprintf(a.stderr, "%s: %s\n", printable(failures[i].Username), failures[i].Error)
				}
				return fmt.Errorf("%d accounts could not be billed", run.Failed)
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "the `DAY` the run is for; empty: today")
	a.outputFlag(c)
	return c
}

// billDay does the billing run for a day, or what is left of it.
func (a *app) billDay(ctx context.Context, cfg *config.Config, s *store.Store, day billing.Date) (billing.Run, error) {
	o, err := runOptions(ctx, s, day, cfg.Location(), a.now())
	if err != nil {
		return billing.Run{}, err
	}
	p := a.newProgress("accounts", -1)
	run, err := billing.BillAll(ctx, s, o, func(run billing.Run) { p.set(int64(run.Accounts)) })
	switch {
	case errors.Is(err, billing.ErrRunning):
		p.abandon()
		return run, fmt.Errorf("%w: see radiusd billing status", err)
	case err != nil:
		p.abandon()
		return run, fmt.Errorf("the run stopped after %d accounts and goes on there when it is run again: %w", run.Accounts, err)
	}
	p.done(int64(run.Accounts))
	return run, nil
}

// previewed is what a run would make of an account in a currency.
type previewed struct {
	account *billing.Account
	invoice billing.Invoice
	charges int
	err     error
}

var previewColumns = []column[previewed]{
	{name: "username", value: func(p *previewed) any { return p.account.Username }},
	{name: "charges", value: func(p *previewed) any { return p.charges }},
	{name: "currency", value: func(p *previewed) any { return string(p.invoice.Currency) }},
	{name: "net", value: func(p *previewed) any { return p.invoice.Currency.Format(p.invoice.Net) }},
	{name: "tax", value: func(p *previewed) any { return p.invoice.Currency.Format(p.invoice.Tax) }},
	{name: "total", value: func(p *previewed) any { return p.invoice.Currency.Format(p.invoice.Total) }},
	{name: "due_on", value: func(p *previewed) any { return p.invoice.DueOn.String() }},
	{name: "error", value: func(p *previewed) any {
		if p.err == nil {
			return ""
		}
		return oneLine(p.err)
	}},
}

func (a *app) billingPreviewCommand() *cobra.Command {
	var asOf string
	c := &cobra.Command{
		Use:   "preview",
		Short: "Show the invoices that a run would issue",
		Long: `Shows what a billing run for the day would make, also for a day to come, as far as
usage is known by now. It writes nothing.`,
		Example: `  radiusd billing preview
  radiusd billing preview --as-of 2026-12-01 -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				day, err := dayFlag("as-of", asOf, a.today(cfg))
				if err != nil {
					return err
				}
				o, err := runOptions(c.Context(), s, day, cfg.Location(), a.now())
				if err != nil {
					return err
				}
				return writeList(a, previewColumns, eachPreview(c.Context(), s, o))
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "the `DAY` of the run; empty: today")
	a.outputFlag(c)
	return c
}

// eachPreview gives the invoices that a run would issue, and the accounts it would fail
// for.
func eachPreview(ctx context.Context, s *store.Store, o billing.RunOptions) iter.Seq2[*previewed, error] {
	return func(yield func(*previewed, error) bool) {
		const atOnce = 200
		for last := uuid.Nil; ; {
			accounts, err := s.PreviewBills(ctx, last, o, atOnce)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(accounts) == 0 {
				return
			}
			last = accounts[len(accounts)-1].UserID
			var list []previewed
			for _, account := range accounts {
				bill, err := billing.Compute(account, o)
				if err != nil {
					list = append(list, previewed{account: account, err: err})
					continue
				}
				for _, invoice := range bill.Invoices {
					list = append(list, previewed{account: account, invoice: invoice, charges: len(invoice.Lines)})
				}
			}
			for i := range list {
				if !yield(&list[i], nil) {
					return
				}
			}
		}
	}
}

func (a *app) billingStatusCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:               "status",
		Short:             "List billing runs, the newest first",
		Example:           "  radiusd billing status --limit 3",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				return writeList(a, runColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Run, string, error) {
					return s.ListRunsPage(c.Context(), page)
				}))
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "at most `N`; 0: all")
	a.outputFlag(c)
	return c
}

func (a *app) billingCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check that the books balance",
		Long: `Adds up the ledger again: every transaction and every account, what invoices say
was paid of them, and that the numbers of each series have no gap. It changes
nothing. The exit code is 1 if anything is wrong.`,
		Example:           "  radiusd billing check",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				complaints, err := s.CheckLedger(c.Context())
				if err != nil {
					return err
				}
				for _, complaint := range complaints {
					fmt.Fprintln(a.stdout, complaint)
				}
				if len(complaints) > 0 {
					return fmt.Errorf("the books do not balance: %d complaints", len(complaints))
				}
				fmt.Fprintln(a.stdout, "the books balance")
				return nil
			})
		},
	}
}

// billingSetting is one of the settings of billing.
type billingSetting struct {
	name, flag, usage string
	text              func(*billing.Settings) *string // nil: a number
	number            func(*billing.Settings) *int
	flagged           func(*billing.Settings) *bool // instead of both
}

var billingSettings = []billingSetting{
	{"seller_name", "seller-name", "`NAME` on invoices", func(s *billing.Settings) *string { return &s.Seller.Name }, nil, nil},
	{"seller_address", "seller-address", "`STREET` and number", func(s *billing.Settings) *string { return &s.Seller.Address }, nil, nil},
	{"seller_postcode", "seller-postcode", "`POSTCODE`", func(s *billing.Settings) *string { return &s.Seller.Postcode }, nil, nil},
	{"seller_city", "seller-city", "`CITY`", func(s *billing.Settings) *string { return &s.Seller.City }, nil, nil},
	{"seller_country", "seller-country", "`COUNTRY`, as AT", func(s *billing.Settings) *string { return &s.Seller.Country }, nil, nil},
	{"seller_tax_id", "seller-tax-id", "VAT `NUMBER`", func(s *billing.Settings) *string { return &s.Seller.TaxID }, nil, nil},
	{"seller_register", "seller-register", "entry in a company `REGISTER`", func(s *billing.Settings) *string { return &s.Seller.Register }, nil, nil},
	{"seller_email", "seller-email", "`ADDRESS` for questions", func(s *billing.Settings) *string { return &s.Seller.Email }, nil, nil},
	{"seller_phone", "seller-phone", "`NUMBER` for questions", func(s *billing.Settings) *string { return &s.Seller.Phone }, nil, nil},
	{"seller_iban", "seller-iban", "`IBAN` to pay to", func(s *billing.Settings) *string { return &s.Seller.IBAN }, nil, nil},
	{"seller_bic", "seller-bic", "`BIC` of its bank", func(s *billing.Settings) *string { return &s.Seller.BIC }, nil, nil},
	{"series", "series", "what the numbers of invoices begin with", func(s *billing.Settings) *string { return &s.Series }, nil, nil},
	{"credit_series", "credit-series", "what the numbers of credit notes begin with", func(s *billing.Settings) *string { return &s.CreditSeries }, nil, nil},
	{"due_days", "due-days", "`DAYS` after which an invoice is due, if the plan's price does not say", nil, func(s *billing.Settings) *int { return &s.DueDays }, nil},
	{"settle_days", "settle-days", "`DAYS` after a period until its usage is charged, so that late records are in", nil, func(s *billing.Settings) *int { return &s.SettleDays }, nil},
	{"look_back_days", "look-back-days", "for how many `DAYS` records may come late and still be charged", nil, func(s *billing.Settings) *int { return &s.LookBackDays }, nil},
	{"send_invoices", "send-invoices", "send invoices and credit notes by mail when they are issued", nil, nil, func(s *billing.Settings) *bool { return &s.SendInvoices }},
}

func billingSettingColumns() []column[billing.Settings] {
	var columns []column[billing.Settings]
	for _, f := range billingSettings {
		columns = append(columns, column[billing.Settings]{name: f.name, value: func(s *billing.Settings) any {
			switch {
			case f.text != nil:
				return *f.text(s)
			case f.flagged != nil:
				return *f.flagged(s)
			}
			return *f.number(s)
		}})
	}
	return columns
}

func (a *app) billingShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show",
		Short:             "Show who sells, and how bills are made",
		Example:           "  radiusd billing show",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				settings, _, err := s.BillingSettings(c.Context())
				if err != nil {
					return err
				}
				return writeOne(a, billingSettingColumns(), &settings)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) billingSetCommand() *cobra.Command {
	given := make([]string, len(billingSettings))
	numbers := make([]int, len(billingSettings))
	flags := make([]bool, len(billingSettings))
	c := &cobra.Command{
		Use:   "set",
		Short: "Set who sells, and how bills are made",
		Long: `Sets what is given and leaves the rest. Invoices that are issued keep what they
have.`,
		Example: `  radiusd billing set --seller-name 'Example Net' --seller-address 'Main Street 1' --seller-city Vienna --seller-country AT
  radiusd billing set --seller-iban AT611904300234573201 --due-days 14`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				settings, err := s.UpdateBillingSettings(c.Context(), func(settings *billing.Settings) error {
					for i, f := range billingSettings {
						switch {
						case !c.Flags().Changed(f.flag):
						case f.text != nil:
							*f.text(settings) = given[i]
						case f.flagged != nil:
							*f.flagged(settings) = flags[i]
						default:
							*f.number(settings) = numbers[i]
						}
					}
					return invalid(settings.Validate())
				})
				if err != nil {
					return err
				}
				return writeOne(a, billingSettingColumns(), &settings)
			})
		},
	}
	for i, f := range billingSettings {
		switch {
		case f.text != nil:
			c.Flags().StringVar(&given[i], f.flag, "", f.usage)
		case f.flagged != nil:
			c.Flags().BoolVar(&flags[i], f.flag, false, f.usage)
		default:
			c.Flags().IntVar(&numbers[i], f.flag, 0, f.usage)
		}
	}
	a.outputFlag(c)
	return c
}
