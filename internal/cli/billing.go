package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// eachCursorPage gives the rows of a list in pages, at most limit; 0: all.
func eachCursorPage[T any](limit int, list func(aaa.Page) ([]T, string, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		page := aaa.Page{Limit: aaa.MaxPageLimit}
		for given := 0; ; {
			if limit > 0 {
				page.Limit = min(aaa.MaxPageLimit, limit-given)
			}
			rows, next, err := list(page)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range rows {
				if !yield(&rows[i], nil) {
					return
				}
			}
			if given += len(rows); next == "" || given == limit {
				return
			}
			page.Cursor = next
		}
	}
}

// today returns the present day in the configured time zone.
func (a *app) today(cfg *config.Config) billing.Date { return billing.DateOf(a.now(), cfg.Location()) }

// dayFlag reads a flag that names a day; otherwise is what an empty one means.
func dayFlag(flag, text string, otherwise billing.Date) (billing.Date, error) {
	if text == "" {
		return otherwise, nil
	}
	day, err := billing.ParseDate(text)
	if err != nil {
		return day, usagef("--%s: %v", flag, err)
	}
	return day, nil
}

// wordFlag gives a command a flag that takes one of some words, or nothing.
func wordFlag(c *cobra.Command, p *string, flag, usage string, words ...string) {
	c.Flags().StringVar(p, flag, "", usage+": "+strings.Join(words, ", "))
	completeFlag(c, flag, words...)
	next := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if *p != "" && !slices.Contains(words, *p) {
			return usagef("--%s: %q is not one of %s", flag, *p, strings.Join(words, ", "))
		}
		if next != nil {
			return next(c, args)
		}
		return nil
	}
}

// userNamed returns the user of that name, or an error with those that may have been
// meant.
func userNamed(ctx context.Context, s *store.Store, name string) (*aaa.User, error) {
	user, err := s.UserByName(ctx, name)
	return user, missing(err, name, func() []string { return nearUsers(ctx, s, name) })
}

// accountNamed is userNamed that also takes an id, by which those are named who were
// deleted and are in the books still: of these it returns nothing but ID and Name.
func accountNamed(ctx context.Context, s *store.Store, name string) (*aaa.User, error) {
	user, err := userNamed(ctx, s, name)
	if !errors.Is(err, aaa.ErrNotFound) {
		return user, err
	}
	userID, badID := uuid.Parse(name)
	if badID != nil {
		return nil, fmt.Errorf("%w; one that was deleted is named by the user_id of an invoice (radiusd invoice show NUMBER)", err)
	}
	if found, _, err := s.UserByID(ctx, userID); !errors.Is(err, aaa.ErrNotFound) {
		return found, err
	}
	balances, failed := s.Balances(ctx, userID)
	if failed != nil {
		return nil, failed
	}
	if len(balances) == 0 {
		return nil, err
	}
	return &aaa.User{ID: userID, Name: name}, nil
}

// offeredRate returns what a plan, by its name, costs now.
func offeredRate(ctx context.Context, s *store.Store, name string) (*billing.Rate, error) {
	plan, err := s.PlanByName(ctx, name)
	if err != nil {
		return nil, missing(err, name, func() []string { return planNames(ctx, s) })
	}
	rate, err := s.OfferedRate(ctx, plan.ID)
	return rate, noPrice(err, plan.Name)
}

// idArgument reads an id that was given as an argument.
func idArgument(kind, text string) (uuid.UUID, error) {
	parsed, err := uuid.Parse(text)
	if err != nil {
		article := "a"
		if strings.ContainsAny(kind[:1], "aeiou") {
			article = "an"
		}
		return uuid.Nil, usagef("%q is no id of %s %s", text, article, kind)
	}
	return parsed, nil
}

// taxColumns show a tax rate.
var taxColumns = []column[billing.TaxRate]{
	{name: "class", value: func(r *billing.TaxRate) any { return r.Class }},
	{name: "name", value: func(r *billing.TaxRate) any { return r.Name }},
	{name: "percent", value: func(r *billing.TaxRate) any { return r.Percent.String() }},
	{name: "from", value: func(r *billing.TaxRate) any { return r.From.String() }},
	{name: "category", value: func(r *billing.TaxRate) any { return r.Category }},
	{name: "exemption_reason", value: func(r *billing.TaxRate) any { return r.ExemptionReason }},
	{name: "id", value: func(r *billing.TaxRate) any { return r.ID }, detail: true},
}

func (a *app) taxCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tax",
		Short: "Set, list and delete tax rates",
		Long: `A tax class is what a plan's price names (radiusd plan price --tax); a tax rate
is what that class is taxed with from a day on. Invoices that are issued keep
their tax.`,
		Example: `  radiusd tax set standard 19 --name VAT
  radiusd tax set standard 20 --name VAT --from 2027-01-01
  radiusd tax list`,
	}
	c.AddCommand(a.taxSetCommand(), a.taxListCommand(), a.taxDeleteCommand())
	return c
}

// warnOfTaxClass says that a tax class, if it is one, has no rate on any day.
func (a *app) warnOfTaxClass(ctx context.Context, s *store.Store, class string) error {
	if class == "" {
		return nil
	}
	rates, err := s.TaxRates(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(rates, func(r billing.TaxRate) bool { return r.Class == class }) {
		fmt.Fprintf(a.stderr, "warning: tax class %s has no rate: what it is on cannot be billed until it has one (radiusd tax set %s PERCENT)\n", printable(class), printable(class))
	}
	return nil
}

func (a *app) taxSetCommand() *cobra.Command {
	rate := &billing.TaxRate{}
	var from string
	c := &cobra.Command{
		Use:   "set CLASS PERCENT",
		Short: "Set what a tax class is taxed with from a day on",
		Long: `Sets the percentage of a class from a day on. The category is that of the
European standard for invoices (EN 16931): S standard, Z zero rated, E exempt,
AE reverse charge, K within the EU, G export, O not subject to tax; all but S
and Z want a reason.`,
		Example: `  radiusd tax set standard 19 --name VAT
  radiusd tax set standard 20 --name VAT --from 2027-01-01
  radiusd tax set school 0 --name VAT --category E --reason 'Exempt: Article 132'`,
		Args:              arguments("CLASS", "PERCENT"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) (err error) {
				rate.Class = args[0]
				if rate.Percent, err = billing.ParseDecimal(args[1]); err != nil {
					return usagef("%v", err)
				}
				if rate.From, err = dayFlag("from", from, billing.Date{Year: 1970, Month: time.January, Day: 1}); err != nil {
					return err
				}
				if err := invalid(rate.Validate()); err != nil {
					return err
				}
				if err := s.SetTaxRate(c.Context(), rate); err != nil {
					return err
				}
				return writeOne(a, taxColumns, rate)
			})
		},
	}
	c.Flags().StringVar(&rate.Name, "name", "VAT", "`NAME` on invoices")
	c.Flags().StringVar(&from, "from", "", "first `DAY`, as 2027-01-01; empty: ever")
	c.Flags().StringVar(&rate.Category, "category", "S", "`CATEGORY` by EN 16931")
	c.Flags().StringVar(&rate.ExemptionReason, "reason", "", "`REASON` why there is no tax")
	completeFlag(c, "category", "S", "Z", "E", "AE", "K", "G", "O", "L", "M")
	a.outputFlag(c)
	return c
}

func (a *app) taxListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "list",
		Short:             "List tax rates",
		Example:           "  radiusd tax list",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				list, err := s.TaxRates(c.Context())
				if err != nil {
					return err
				}
				return writeList(a, taxColumns, sliceRows(list))
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) taxDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delete ID",
		Short: "Delete a tax rate",
		Long: `Deletes a tax rate by its id (radiusd tax list -o json). Invoices that are
issued keep their tax.`,
		Example:           "  radiusd tax delete 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				rateID, err := idArgument("tax rate", args[0])
				if err != nil {
					return err
				}
				return s.DeleteTaxRate(c.Context(), rateID)
			})
		},
	}
}
