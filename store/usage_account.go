package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"radiusd/aaa"
)

// UsageAccounts returns what each of the users has used, by day from since on and in
// sum, together with the counters that are contained in it of those of the user's
// sessions that are open or were stopped at or after recent. All of it is of the
// same moment. The accounts are in order of the names; a user of whom nothing is
// known is missing.
func (s *Store) UsageAccounts(ctx context.Context, usernames []string, since, recent time.Time) ([]aaa.UsageAccount, error) {
	a := accountReader{store: s, accounts: make(map[string]*aaa.UsageAccount, len(usernames))}
	err := s.read(ctx, func(tx *sql.Tx) error {
		chunks := &writeTx{Tx: tx, postgres: s.pool != nil}
		return eachChunk(chunks, "username", "text", usernames, func(which string, args []any) error {
			for _, read := range []func(context.Context, *sql.Tx, string, []any) error{
				a.sums,
				func(ctx context.Context, tx *sql.Tx, which string, args []any) error {
					return a.days(ctx, tx, which, args, since)
				},
				func(ctx context.Context, tx *sql.Tx, which string, args []any) error {
					return a.sessions(ctx, tx, which, args, recent)
				},
			} {
				if err := read(ctx, tx, which, slices.Clone(args)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read usage of %d users: %w", len(usernames), s.explain(err))
	}
	list := make([]aaa.UsageAccount, 0, len(a.accounts))
	for _, account := range a.accounts {
		list = append(list, *account)
	}
	slices.SortFunc(list, func(a, b aaa.UsageAccount) int { return strings.Compare(a.Username, b.Username) })
	return list, nil
}

// accountReader collects accounts in one transaction.
type accountReader struct {
	store    *Store
	accounts map[string]*aaa.UsageAccount
}

func (a *accountReader) of(username string) *aaa.UsageAccount {
	account := a.accounts[username]
	if account == nil {
		account = &aaa.UsageAccount{Username: username}
		a.accounts[username] = account
	}
	return account
}

func (a *accountReader) sums(ctx context.Context, tx *sql.Tx, which string, args []any) error {
	var u aaa.DailyUsage
	fields := usageFields(&u, a.store.location)
	return eachRow(ctx, tx, "SELECT username, "+strings.Join(a.store.usageSums(fields), ", ")+" FROM usage_daily WHERE "+which+" GROUP BY username",
		args, append([]any{fields[0].column}, targets(fields[2:])...), func() error {
			a.of(u.Username).Ever = u.Usage
			return nil
		})
}

func (a *accountReader) days(ctx context.Context, tx *sql.Tx, which string, args []any, since time.Time) error {
	var u aaa.DailyUsage
	fields := usageFields(&u, a.store.location)
	query := fmt.Sprintf("SELECT %s FROM usage_daily WHERE %s AND day >= $%d ORDER BY username, day", names(fields), which, len(args)+1)
	return eachRow(ctx, tx, query, append(args, since.In(a.store.location).Format(dayLayout)), targets(fields), func() error {
		account := a.of(u.Username)
		account.Days = append(account.Days, u)
		return nil
	})
}

func (a *accountReader) sessions(ctx context.Context, tx *sql.Tx, which string, args []any, recent time.Time) error {
	var x aaa.Session
	all := sessionFields(&x)
	fields := slices.DeleteFunc(all, func(f field) bool {
		return !slices.Contains([]string{"id", "username", "updated_at", "session_seconds", "input_octets", "output_octets"}, f.name)
	})
	query := fmt.Sprintf("SELECT %s FROM sessions WHERE %s AND (stopped_at IS NULL OR stopped_at >= $%d) ORDER BY id", names(fields), which, len(args)+1)
	return eachRow(ctx, tx, query, append(args, from(recent)), targets(fields), func() error {
		account := a.of(x.Username)
		account.Sessions = append(account.Sessions, aaa.SessionUsage{ID: x.ID, UpdatedAt: x.UpdatedAt,
			Usage: aaa.Usage{Seconds: x.SessionSeconds, InputOctets: x.InputOctets, OutputOctets: x.OutputOctets}})
		return nil
	})
}
