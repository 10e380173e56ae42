package cli

import (
	"fmt"
	"math"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// chargeColumns show a charge.
var chargeColumns = []column[billing.Charge]{
	{name: "created_at", value: func(x *billing.Charge) any { return x.CreatedAt }},
	{name: "kind", value: func(x *billing.Charge) any { return string(x.Kind) }},
	{name: "description", value: func(x *billing.Charge) any { return x.Description }},
	{name: "from", value: func(x *billing.Charge) any { return x.Period.From.String() }},
	{name: "to", value: func(x *billing.Charge) any { return x.Period.To.String() }},
	{name: "amount", value: func(x *billing.Charge) any { return x.Currency.Format(x.Amount) }},
	{name: "currency", value: func(x *billing.Charge) any { return string(x.Currency) }},
	{name: "quantity", value: func(x *billing.Charge) any { return x.Quantity.String() }, detail: true},
	{name: "unit", value: func(x *billing.Charge) any { return x.Unit }, detail: true},
	{name: "unit_price", value: func(x *billing.Charge) any { return x.UnitPrice.String() }, detail: true},
	{name: "tax_class", value: func(x *billing.Charge) any { return x.TaxClass }, detail: true},
	{name: "tax_included", value: func(x *billing.Charge) any { return x.TaxIncluded }, detail: true},
	{name: "user_id", value: func(x *billing.Charge) any { return x.UserID }, detail: true},
	{name: "subscription_id", value: func(x *billing.Charge) any { return x.SubscriptionID }, detail: true},
	{name: "invoice_id", value: func(x *billing.Charge) any { return x.InvoiceID }},
	{name: "id", value: func(x *billing.Charge) any { return x.ID }},
}

// dayUsageColumns show what was used on a day.
var dayUsageColumns = []column[billing.DayUsage]{
	{name: "day", value: func(d *billing.DayUsage) any { return d.Day.String() }},
	{name: "seconds", value: func(d *billing.DayUsage) any { return d.Seconds }},
	{name: "upload", value: func(d *billing.DayUsage) any { return d.Upload }, human: func(d *billing.DayUsage) string { return formatOctets(d.Upload) }},
	{name: "download", value: func(d *billing.DayUsage) any { return d.Download }, human: func(d *billing.DayUsage) string { return formatOctets(d.Download) }},
}

// chargeRecordColumns are recordColumns that say of which session each record is.
var chargeRecordColumns = append([]column[aaa.Record]{{name: "session_id", value: func(r *aaa.Record) any { return r.SessionID }}}, recordColumns...)

func (a *app) chargeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "charge",
		Short: "List charges, open them down to sessions and records, and make some",
		Long: `A charge is a line of a bill before it is on one. Billing runs make them; charge
add makes one by hand, which the next run puts on an invoice, or radiusd invoice
draft.`,
		Example: `  radiusd charge list --user alice --pending
  radiusd charge show 5b0c61a5-4d31-5a0e-9c55-0d9cbb8b4d11
  radiusd charge add alice 25.00 --description 'Visit of a technician' --tax standard`,
	}
	c.AddCommand(a.chargeListCommand(), a.chargeShowCommand(), a.chargeAddCommand(), a.chargeDeleteCommand())
	return c
}

func (a *app) chargeListCommand() *cobra.Command {
	var user, kind, invoice string
	var pending bool
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List charges, the newest first",
		Example: `  radiusd charge list --user alice --pending
  radiusd charge list --invoice INV-000001
  radiusd charge list --kind usage -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) (err error) {
				filter := billing.ChargeFilter{Kind: billing.ChargeKind(kind)}
				if pending {
					filter.Pending = &pending
				}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				if invoice != "" {
					found, err := s.InvoiceByNumber(c.Context(), invoice)
					if err != nil {
						return err
					}
					filter.InvoiceID = found.ID
				}
				return writeList(a, chargeColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Charge, string, error) {
					return s.ListChargesPage(c.Context(), filter, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().StringVar(&invoice, "invoice", "", "only those on the invoice `NUMBER`")
	c.Flags().BoolVar(&pending, "pending", false, "only those that are on no invoice yet")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	wordFlag(c, &kind, "kind", "only those of the `KIND`", "setup", "period", "usage", "adjustment", "proration", "manual")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

func (a *app) chargeShowCommand() *cobra.Command {
	limit := 20
	var records bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show how a charge was computed, and from which sessions",
		Long: `Shows a charge, how its amount follows from what it was computed from, what is
known now of the usage on its days, and the sessions of its period. With
--records their accounting records are listed as well.`,
		Example: `  radiusd charge show 5b0c61a5-4d31-5a0e-9c55-0d9cbb8b4d11
  radiusd charge show 5b0c61a5-4d31-5a0e-9c55-0d9cbb8b4d11 --records --limit 0 -o json`,
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			chargeID, err := idArgument("charge", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				opened, err := openCharge(c, s, chargeID, limit, records)
				if err != nil {
					return err
				}
				if opened.more {
					fmt.Fprintf(a.stderr, "more sessions are not shown, --limit 0 shows all\n")
				}
				return a.writeCharge(opened, records)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", limit, "at most `N` sessions; 0: all")
	c.Flags().BoolVar(&records, "records", false, "with the accounting records of the sessions")
	a.outputFlag(c)
	return c
}

// openedCharge is a charge with all that it comes from.
type openedCharge struct {
	charge   *billing.Charge
	how      string
	usage    []billing.DayUsage
	sessions []aaa.Session
	more     bool // there are sessions beyond the limit
	records  []aaa.Record
}

// openCharge reads a charge with all that it comes from.
func openCharge(c *cobra.Command, s *store.Store, chargeID uuid.UUID, limit int, records bool) (*openedCharge, error) {
	ctx := c.Context()
	x := &openedCharge{}
	var err error
	if x.charge, err = s.ChargeByID(ctx, chargeID); err != nil {
		return nil, err
	}
	terms := billing.Terms{}
	if x.charge.Inputs.RateID != uuid.Nil {
		rate, err := s.RateByID(ctx, x.charge.Inputs.RateID)
		if err != nil {
			return nil, err
		}
		terms = rate.Terms
	}
	if x.how, err = billing.Explain(*x.charge, terms); err != nil {
		return nil, err
	}
	if x.charge.Inputs.Metric == "" { // not for usage
		return x, nil
	}
	if x.usage, err = s.ChargeUsage(ctx, chargeID); err != nil {
		return nil, err
	}
	most := limit
	if limit > 0 {
		most = limit + 1 // to know whether there are more
	}
	pages := eachCursorPage(most, func(page aaa.Page) ([]aaa.Session, string, error) { return s.ChargeSessions(ctx, chargeID, page) })
	for session, err := range pages {
		if err != nil {
			return nil, err
		}
		if limit > 0 && len(x.sessions) == limit {
			x.more = true
			break
		}
		x.sessions = append(x.sessions, *session)
		if !records {
			continue
		}
		of, err := s.SessionRecords(ctx, session.ID, math.MaxInt32)
		if err != nil {
			return nil, err
		}
		x.records = append(x.records, of...)
	}
	return x, nil
}

func (a *app) writeCharge(x *openedCharge, records bool) error {
	steps := strings.Split(strings.TrimSpace(x.how), "\n")
	if a.format == formatJSON {
		columns := append(chargeColumns[:len(chargeColumns):len(chargeColumns)],
			column[billing.Charge]{name: "computation", value: func(*billing.Charge) any { return steps }},
			column[billing.Charge]{name: "usage", value: func(*billing.Charge) any { return rawList(dayUsageColumns, x.usage) }},
			column[billing.Charge]{name: "sessions", value: func(*billing.Charge) any { return rawList(sessionColumns, x.sessions) }})
		if records {
			columns = append(columns, column[billing.Charge]{name: "records", value: func(*billing.Charge) any { return rawList(chargeRecordColumns, x.records) }})
		}
		return writeOne(a, columns, x.charge)
	}
	if err := writeOne(a, chargeColumns, x.charge); err != nil || a.format != formatTable {
		return err
	}
	fmt.Fprintln(a.stdout, "\ncomputation:")
	for _, step := range steps {
		fmt.Fprintln(a.stdout, "  "+printable(step))
	}
	if x.charge.Inputs.Metric == "" {
		return nil
	}
	if err := section(a, "usage as it is known now", dayUsageColumns, x.usage); err != nil {
		return err
	}
	if err := section(a, "sessions", sessionColumns, x.sessions); err != nil || !records {
		return err
	}
	return section(a, "records", chargeRecordColumns, x.records)
}

func (a *app) chargeAddCommand() *cobra.Command {
	var taxed billing.Charge // what flags say of the tax
	var description, currency, from, until string
	c := &cobra.Command{
		Use:   "add USER AMOUNT",
		Short: "Charge a user by hand",
		Long: `Charges a user for something; the next billing run puts it on an invoice. An amount
below zero is a credit (write -- before it): it is set off against the next invoice,
and prepaid days and orders are paid from it at once. It does not pay an invoice
that is issued already: to give back what was invoiced, use radiusd invoice credit.
What is not taxed has an invoice of its own; a credit needs the tax class of what it
is set off against.`,
		Example: `  radiusd charge add alice 25.00 --description 'Visit of a technician' --tax standard
  radiusd charge add --description 'Outage of 3 November' --tax standard alice -- -5.00`,
		Args:              arguments("USER", "AMOUNT"),
		Annotations:       map[string]string{belowZero: "a credit is written behind all flags and --, as in radiusd charge add --description Outage alice -- -5.00"},
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			if description == "" {
				return usagef("--description is missing: want what stands on the invoice")
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				user, err := userNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				of, err := currencyOf(c, s, user, currency)
				if err != nil {
					return err
				}
				amount, err := of.Parse(args[1])
				if err != nil {
					return usagef("%v", err)
				}
				charge, err := billing.NewManualCharge(user.ID, of, amount, description)
				if err != nil {
					return usagef("%v", err)
				}
				charge.TaxClass, charge.TaxIncluded = taxed.TaxClass, taxed.TaxIncluded
				if charge.Period.From, err = dayFlag("from", from, billing.Date{}); err != nil {
					return err
				}
				if charge.Period.To, err = dayFlag("until", until, billing.Date{}); err != nil {
					return err
				}
				if (charge.Period.From.IsZero()) != (charge.Period.To.IsZero()) {
					return usagef("--from and --until go together")
				}
				if err := s.CreateCharge(c.Context(), &charge); err != nil {
					return err
				}
				if err := a.warnOfTaxClass(c.Context(), s, charge.TaxClass); err != nil {
					return err
				}
				return writeOne(a, chargeColumns, &charge)
			})
		},
	}
	c.Flags().StringVar(&description, "description", "", "`TEXT` on the invoice")
	c.Flags().StringVar(&taxed.TaxClass, "tax", "", "`CLASS` of tax (radiusd tax list); empty: none")
	c.Flags().BoolVar(&taxed.TaxIncluded, "tax-included", false, "the amount contains the tax")
	c.Flags().StringVar(&currency, "currency", "", "`CURRENCY`; empty: that of the user's account")
	c.Flags().StringVar(&from, "from", "", "first `DAY` it is for")
	c.Flags().StringVar(&until, "until", "", "`DAY` after the last one it is for")
	a.outputFlag(c)
	return c
}

func (a *app) chargeDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete ID",
		Short:             "Take back a charge made by hand that is on no invoice yet",
		Example:           "  radiusd charge delete 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			chargeID, err := idArgument("charge", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error { return s.DeleteCharge(c.Context(), chargeID) })
		},
	}
}
