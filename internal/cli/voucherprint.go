package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"radiusd/aaa/userfile"
	"radiusd/billing"
	"radiusd/billing/document"
	"radiusd/config"
	"radiusd/operator"
	"radiusd/store"
)

// madeVoucherColumns show vouchers that were just made, with their codes.
var madeVoucherColumns = []column[billing.MadeVoucher]{
	{name: "serial", value: func(v *billing.MadeVoucher) any { return v.Serial }},
	{name: "code", value: func(v *billing.MadeVoucher) any { return v.Code }},
}

// sheetFlags say how vouchers are printed.
type sheetFlags struct {
	title, text, qr, locale, paper string
	columns, rows                  int
}

func (f *sheetFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.title, "title", "", "`TEXT` on top of each card; empty: the seller's name")
	c.Flags().StringVar(&f.text, "text", "", "`TEXT` that says how to use it")
	c.Flags().StringVar(&f.qr, "qr", "", "what a QR code says, a `URL` with {code} in it; empty: none")
	c.Flags().IntVar(&f.columns, "columns", 2, "`N` cards side by side, 1 to 4")
	c.Flags().IntVar(&f.rows, "rows", 5, "`N` rows of cards on a page, 1 to 12")
	wordFlag(c, &f.locale, "locale", "`LANGUAGE` of its words", document.Locales()...)
	wordFlag(c, &f.paper, "paper", "`SIZE` of its pages", string(document.A4), string(document.Letter))
}

// sheet is what the flags say for a batch, without codes.
func (f *sheetFlags) sheet(ctx context.Context, a *app, cfg *config.Config, s *store.Store, batch *billing.VoucherBatch) (document.VoucherSheet, error) {
	sheet := document.VoucherSheet{
		Title: f.title, Value: batch.Plan, Text: f.text, QR: f.qr, Columns: f.columns, Rows: f.rows,
		IssuedOn: a.today(cfg), Options: document.Options{Locale: f.locale, Paper: document.Paper(f.paper)},
	}
	if batch.Kind == billing.VoucherValue {
		sheet.Value = batch.Currency.Format(batch.Amount) + " " + string(batch.Currency)
	}
	sheet.Validity = formatSpan(batch.Validity)
	if until := batch.RedeemBefore; !until.IsZero() {
		sheet.Validity += " (< " + until.In(cfg.Location()).Format("2006-01-02 15:04") + ")"
	}
	if sheet.Title == "" {
		settings, _, err := s.BillingSettings(ctx)
		if err != nil {
			return sheet, err
		}
		sheet.Title = settings.Seller.Name
	}
	// What cannot be printed is to be known before there are codes.
	sheet.Codes = []string{billing.FormatCode("0123456789")}
	return sheet, document.WriteVoucherSheet(io.Discard, sheet)
}

// writeCodes prints the codes that were just made on a sheet. If that fails they are lost.
func (a *app) writeCodes(name string, sheet document.VoucherSheet, batch *billing.VoucherBatch, made []billing.MadeVoucher) error {
	sheet.Codes = make([]string, len(made))
	for i := range made {
		sheet.Codes[i] = made[i].Code
	}
	if err := a.toFile(name, func(w io.Writer) error { return document.WriteVoucherSheet(w, sheet) }); err != nil {
		return fmt.Errorf("the vouchers of batch %s were made and not printed, print them with new codes (radiusd voucher print): %w", printable(batch.Name), err)
	}
	return nil
}

func (a *app) voucherCreateCommand() *cobra.Command {
	f := &sheetFlags{}
	var plan, validity, value, currency, before, note, pdf string
	var count, length int
	c := &cobra.Command{
		Use:   "create BATCH",
		Short: "Make a batch of vouchers",
		Long: `Makes vouchers for a plan (--plan, --validity) or of value (--value, --currency),
and shows their codes, which are nowhere else to be had: with --pdf on a sheet of
cards, with -o as a list, or both.`,
		Example: `  radiusd voucher create march --plan day --validity 24h --count 100 --pdf march.pdf
  radiusd voucher create gift --value 10.00 --currency EUR --count 20 -o csv
  radiusd voucher create june --plan week --validity 7d --pdf - --redeem-before 2027-06-30`,
		Args:              arguments("BATCH"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) (err error) {
				ctx := c.Context()
				batch := &billing.VoucherBatch{Name: args[0], Kind: billing.VoucherPlan, Count: count, CodeLength: length, Note: note, CreatedBy: operator.ActorOf(ctx).Name}
				if plan != "" {
					found, err := s.PlanByName(ctx, plan)
					if err != nil {
						return missing(err, plan, func() []string { return planNames(ctx, s) })
					}
					batch.PlanID, batch.Plan = found.ID, found.Name
				}
				if validity != "" {
					if batch.Validity, err = parseSpan(validity); err != nil {
						return usagef("--validity: %v", err)
					}
				}
				if value != "" || currency != "" {
					batch.Kind = billing.VoucherValue
					if batch.Currency, err = billing.ParseCurrency(currency); err != nil {
						return usagef("--currency: %v", err)
					}
					if batch.Amount, err = batch.Currency.Parse(value); err != nil {
						return usagef("--value: %v", err)
					}
				}
				if before != "" {
					if batch.RedeemBefore, err = userfile.ParseExpiry(before, cfg.Location()); err != nil {
						return usagef("--redeem-before: %v", err)
					}
				}
				if err := invalid(batch.Validate(a.now())); err != nil {
					return err
				}
				sheet, err := f.sheet(ctx, a, cfg, s, batch)
				if pdf != "" && err != nil {
					return usagef("%v", err)
				}
				if pdf != "" {
					if err := canWrite(pdf); err != nil {
						return err
					}
				}
				made, err := s.CreateVoucherBatch(ctx, batch)
				if err != nil {
					return err
				}
				if pdf != "" {
					if err := a.writeCodes(pdf, sheet, batch, made); err != nil {
						return err
					}
				}
				if pdf != "" && !c.Flags().Changed("output") {
					if pdf != "-" {
						fmt.Fprintf(a.stdout, "%d vouchers made, printed in %s\n", len(made), pdf)
					}
					return nil
				}
				return writeList(a, madeVoucherColumns, sliceRows(made))
			})
		},
	}
	c.Flags().StringVar(&plan, "plan", "", "`PLAN` that a voucher is good for")
	c.Flags().StringVar(&validity, "validity", "", "how long from the first use on, `TIME` as in 24h or 7d")
	c.Flags().StringVar(&value, "value", "", "`AMOUNT` that a voucher is worth, as in 10.00")
	c.Flags().StringVar(&currency, "currency", "", "`CURRENCY` of the amount")
	c.Flags().IntVar(&count, "count", 1, "`N` vouchers, at most 10000")
	c.Flags().StringVar(&before, "redeem-before", "", "`WHEN` unused ones expire: a day, its end counts, or a time")
	c.Flags().IntVar(&length, "code-length", billing.DefaultCodeLength, "`N` characters of a code, of five bits each: 10 to 32")
	c.Flags().StringVar(&note, "note", "", "`TEXT` for operators")
	c.Flags().StringVar(&pdf, "pdf", "", "print the vouchers to `FILE`; -: standard output")
	f.register(c)
	completeFlagFunc(c, "plan", a.completePlans)
	a.outputFlag(c)
	return c
}

func (a *app) voucherPrintCommand() *cobra.Command {
	f := &sheetFlags{}
	var newCodes, yes bool
	c := &cobra.Command{
		Use:   "print BATCH FILE",
		Short: "Print the new vouchers of a batch, with new codes",
		Long: `Prints those vouchers of a batch that nobody has used as a sheet of cards (PDF), to
a file, or to standard output for -. Codes are not stored, so the vouchers get
new ones (--new-codes): those printed before are good for nothing from then on.`,
		Example: `  radiusd voucher print march march.pdf --new-codes
  radiusd voucher print march march.pdf --new-codes --yes --columns 3 --rows 8`,
		Args:              arguments("BATCH", "FILE"),
		ValidArgsFunction: completeThenFile(a.completeVoucherBatches),
		RunE: func(c *cobra.Command, args []string) error {
			if !newCodes {
				return usagef("the codes of vouchers are not stored: print them with new ones (--new-codes), which makes those printed before worthless")
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				batch, err := batchNamed(ctx, s, args[0])
				if err != nil {
					return err
				}
				sheet, err := f.sheet(ctx, a, cfg, s, batch)
				if err != nil {
					return usagef("%v", err)
				}
				if batch.Counts.New == 0 {
					return fmt.Errorf("batch %s has no new vouchers to print", printable(batch.Name))
				}
				if err := canWrite(args[1]); err != nil {
					return err
				}
				if err := a.confirm(yes, "Give the %d new vouchers of batch %s other codes?", batch.Counts.New, printable(batch.Name)); err != nil {
					return err
				}
				batch, made, err := s.RenewVoucherCodes(ctx, batch.ID)
				if err != nil {
					return err
				}
				if err := a.writeCodes(args[1], sheet, batch, made); err != nil {
					return err
				}
				if args[1] != "-" {
					fmt.Fprintf(a.stdout, "%d vouchers printed in %s\n", len(made), args[1])
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&newCodes, "new-codes", false, "give the vouchers other codes, which is needed to print them")
	yesFlag(c, &yes)
	f.register(c)
	return c
}
