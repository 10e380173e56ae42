package cli

import (
	"context"
	"errors"
	"iter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// ledgerRow is a posting with its transaction.
type ledgerRow struct {
	transaction *billing.Transaction
	posting     billing.Posting
	username    string
}

// ledgerColumns show a posting.
var ledgerColumns = []column[ledgerRow]{
	{name: "at", value: func(r *ledgerRow) any { return r.transaction.At }},
	{name: "kind", value: func(r *ledgerRow) any { return string(r.transaction.Kind) }},
	{name: "memo", value: func(r *ledgerRow) any { return r.transaction.Memo }},
	{name: "account", value: func(r *ledgerRow) any { return string(r.posting.Account) }},
	{name: "username", value: func(r *ledgerRow) any { return r.username }},
	{name: "amount", value: func(r *ledgerRow) any { return r.transaction.Currency.Format(r.posting.Amount) }},
	{name: "currency", value: func(r *ledgerRow) any { return string(r.transaction.Currency) }},
	{name: "user_id", value: func(r *ledgerRow) any { return r.posting.UserID }, detail: true},
	{name: "subject_id", value: func(r *ledgerRow) any { return r.transaction.SubjectID }, detail: true},
	{name: "transaction_id", value: func(r *ledgerRow) any { return r.transaction.ID }, detail: true},
}

func (a *app) ledgerCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "List what is posted in the ledger",
		Long: `The ledger is double entry: the postings of a transaction add up to zero, a debit
is positive and a credit negative. Nothing in it is ever changed.`,
		Example: `  radiusd ledger list --user alice
  radiusd ledger list --account revenue --from 2026-11-01 --before 2026-12-01 -o csv`,
	}
	c.AddCommand(a.ledgerListCommand())
	return c
}

func (a *app) ledgerListCommand() *cobra.Command {
	var user, account, from, before string
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List postings, the newest first",
		Long: `Lists the postings of transactions. With --user or --account those of that account
alone are listed; without, all of each transaction.`,
		Example: `  radiusd ledger list --user alice
  radiusd ledger list --account revenue --from 2026-11-01 --before 2026-12-01 -o csv
  radiusd ledger list --limit 100`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				filter := billing.TransactionFilter{Account: billing.AccountName(account)}
				first, err := dayFlag("from", from, billing.Date{})
				if err != nil {
					return err
				}
				last, err := dayFlag("before", before, billing.Date{})
				if err != nil {
					return err
				}
				if !first.IsZero() {
					filter.From = first.Start(cfg.Location())
				}
				if !last.IsZero() {
					filter.Before = last.Start(cfg.Location())
				}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				return writeList(a, ledgerColumns, ledgerRows(c.Context(), s, filter, limit))
			})
		},
	}
	words := make([]string, 0, len(billing.Accounts()))
	for _, name := range billing.Accounts() {
		words = append(words, string(name))
	}
	c.Flags().StringVar(&user, "user", "", "only those to the account of the user `NAME`")
	c.Flags().StringVar(&from, "from", "", "only those of the `DAY` or later")
	c.Flags().StringVar(&before, "before", "", "only those before the `DAY`")
	c.Flags().IntVar(&limit, "limit", 0, "of at most `N` transactions; 0: all")
	wordFlag(c, &account, "account", "only those to the `ACCOUNT`", words...)
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

// ledgerRows gives the postings that a filter selects.
func ledgerRows(ctx context.Context, s *store.Store, filter billing.TransactionFilter, limit int) iter.Seq2[*ledgerRow, error] {
	names := map[uuid.UUID]string{}
	return func(yield func(*ledgerRow, error) bool) {
		pages := eachCursorPage(limit, func(page aaa.Page) ([]billing.Transaction, string, error) {
			return s.ListTransactionsPage(ctx, filter, page)
		})
		for t, err := range pages {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, p := range t.Postings {
				if filter.Account != "" && p.Account != filter.Account || filter.UserID != uuid.Nil && p.UserID != filter.UserID {
					continue
				}
				name, err := nameOf(ctx, s, names, p.UserID)
				if err != nil {
					yield(nil, err)
					return
				}
				if !yield(&ledgerRow{t, p, name}, nil) {
					return
				}
			}
		}
	}
}

// maxNames is how many names are kept.
const maxNames = 10_000

// nameOf returns the name of a user, which known keeps; empty: there is none, or the user
// has gone.
func nameOf(ctx context.Context, s *store.Store, known map[uuid.UUID]string, userID uuid.UUID) (string, error) {
	if userID == uuid.Nil {
		return "", nil
	}
	if name, ok := known[userID]; ok {
		return name, nil
	}
	name := ""
	switch user, _, err := s.UserByID(ctx, userID); {
	case err == nil:
		name = user.Name
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	if len(known) == maxNames {
		clear(known)
	}
	known[userID] = name
	return name, nil
}
