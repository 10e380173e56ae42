package cli

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// statementColumns show an entry of a statement. The balances at its ends have no amount.
var statementColumns = []column[billing.StatementEntry]{
	{name: "at", value: func(e *billing.StatementEntry) any { return e.At }},
	{name: "kind", value: func(e *billing.StatementEntry) any { return string(e.Kind) }},
	{name: "memo", value: func(e *billing.StatementEntry) any { return e.Memo }},
	{name: "amount", value: func(e *billing.StatementEntry) any {
		if e.Posting == 0 {
			return ""
		}
		return e.Currency.Format(e.Amount)
	}},
	{name: "balance", value: func(e *billing.StatementEntry) any { return e.Currency.Format(e.Balance) }},
	{name: "currency", value: func(e *billing.StatementEntry) any { return string(e.Currency) }},
	{name: "subject_id", value: func(e *billing.StatementEntry) any { return e.SubjectID }, detail: true},
	{name: "transaction_id", value: func(e *billing.StatementEntry) any { return e.TransactionID }, detail: true},
}

func (a *app) statementCommand() *cobra.Command {
	var from, to, currency string
	c := &cobra.Command{
		Use:   "statement USER",
		Short: "Show what a user was charged and has paid",
		Long: `Shows what a user owed at the beginning of the first day (kind "opening"), all that
was posted to the account since with what was owed after it, and what is owed at the
end of the last day ("closing"). Less than nothing is credit. What is still to be
paid: radiusd invoice list --user USER --state issued.`,
		Example: `  radiusd statement alice
  radiusd statement alice --from 2026-10-01 --to 2026-12-31 -o csv`,
		Args:              arguments("USER"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				user, err := accountNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				filter := billing.StatementFilter{UserID: user.ID, Currency: billing.Currency(currency)}
				first, err := dayFlag("from", from, billing.Date{})
				if err != nil {
					return err
				}
				last, err := dayFlag("to", to, billing.Date{})
				if err != nil {
					return err
				}
				if !first.IsZero() {
					filter.From = first.Start(cfg.Location())
				}
				if !last.IsZero() {
					filter.Before = last.AddDays(1).Start(cfg.Location())
				}
				return writeList(a, statementColumns, statementRows(c.Context(), s, filter))
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "the first `DAY`; empty: from the beginning")
	c.Flags().StringVar(&to, "to", "", "the last `DAY`; empty: until now")
	c.Flags().StringVar(&currency, "currency", "", "only this `CURRENCY`, as EUR")
	a.outputFlag(c)
	return c
}

// statementRows gives a statement, the oldest entry first, between its balances.
func statementRows(ctx context.Context, s *store.Store, filter billing.StatementFilter) iter.Seq2[*billing.StatementEntry, error] {
	return func(yield func(*billing.StatementEntry, error) bool) {
		opening, closing, err := s.StatementBalances(ctx, filter)
		if err != nil {
			yield(nil, err)
			return
		}
		ends := func(kind billing.TransactionKind, balances map[billing.Currency]billing.Amount) bool {
			for _, currency := range slices.Sorted(maps.Keys(balances)) {
				e := billing.StatementEntry{Kind: kind, Currency: currency, Balance: balances[currency], At: filter.From}
				if kind == "closing" {
					e.At = filter.Before
				}
				if !yield(&e, nil) {
					return false
				}
			}
			return true
		}
		if !ends("opening", opening) {
			return
		}
		entries := eachCursorPage(0, func(page aaa.Page) ([]billing.StatementEntry, string, error) {
			page.Sort = "at"
			return s.StatementPage(ctx, filter, page)
		})
		for e, err := range entries {
			if !yield(e, err) || err != nil {
				return
			}
			closing[e.Currency] = e.Balance // also what was posted meanwhile
		}
		ends("closing", closing)
	}
}
