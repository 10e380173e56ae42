package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/store"
	"radiusd/store/clickhouse"
)

func (a *app) benchVerifyCommand() *cobra.Command {
	var wait time.Duration
	limit := 20
	c := &cobra.Command{
		Use:   "verify LOG",
		Short: "Compare the log of a load with the stores",
		Long: `Reads what the configured stores, SQL and ClickHouse, have of a load, and compares
it with the log that 'radiusd bench acct --log' has written: every acknowledged
record must be there exactly once, as it was sent, and nothing that was not sent;
each session must have one row with the greatest counters of its records. A record
that was sent and never answered may be there or not.

Where NASes that restart (--reboot) send to several servers and return no Class, a
server may write a record before it hears of the restart, and take it for one of an
older session of the same id; such records are told here as wrong. With --login
there are none.

What is missing, doubled or wrong is printed, and the exit code is 1.`,
		Example: `  radiusd bench verify acknowledged.csv
  radiusd bench verify acknowledged.csv --wait 1m --config /etc/radiusd/radiusd.yaml -o json`,
		Args: arguments("LOG"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return []cobra.Completion{"csv"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 || wait < 0 {
				return usagef("--limit and --wait must not be negative")
			}
			book, err := readAckBook(args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				stores := []namedStore{{s.Engine(), s}}
				if cfg.ClickHouse.URL != "" {
					h, err := clickhouse.Open(c.Context(), clickhouse.Options{
						URL: cfg.ClickHouse.URL, Cluster: cfg.ClickHouse.Cluster, Location: cfg.Location(), Logger: a.logger(cfg, nil),
					})
					if err != nil {
						return err
					}
					defer h.Close()
					stores = append(stores, namedStore{"clickhouse", h})
				}
				return a.verify(c.Context(), book, stores, wait, limit)
			})
		},
	}
	c.Flags().DurationVar(&wait, "wait", 10*time.Second, "how long to wait until a store has everything that was acknowledged; 0s compares at once")
	c.Flags().IntVar(&limit, "limit", limit, "describe at most `N` differences in each store")
	a.outputFlag(c)
	return c
}

type namedStore struct {
	name  string
	store benchStore
}

// verify compares the stores with the log and reports what differs.
func (a *app) verify(ctx context.Context, book *ackBook, stores []namedStore, wait time.Duration, limit int) error {
	var list []ackComparison
	until := a.now().Add(wait)
	for _, s := range stores {
		c, err := a.compareWhenThere(ctx, book, s, until, limit)
		if err != nil {
			return err
		}
		list = append(list, *c)
	}
	if err := writeList(a, ackComparisonColumns, sliceRows(list)); err != nil {
		return err
	}
	var bad []string
	for i := range list {
		for _, problem := range list[i].problems {
			fmt.Fprintln(a.stderr, problem)
		}
		if !list[i].ok() {
			bad = append(bad, list[i].store)
		}
	}
	if bad != nil {
		return fmt.Errorf("what is stored is not what was acknowledged, in %s", strings.Join(bad, " and "))
	}
	return nil
}

// compareWhenThere compares a store with the log when it has all that was
// acknowledged, or when the time is up.
func (a *app) compareWhenThere(ctx context.Context, book *ackBook, s namedStore, until time.Time, limit int) (*ackComparison, error) {
	for {
		n, err := s.store.CountRecordsOf(ctx, book.prefix)
		if err != nil {
			return nil, err
		}
		late := !a.now().Before(until)
		if n >= book.acknowledged || late { // with what was not acknowledged, it may be enough and not all
			c, err := book.compare(ctx, s.name, s.store, limit)
			if err != nil || c.ok() || late {
				return c, err
			}
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var ackComparisonColumns = []column[ackComparison]{
	{name: "store", value: func(c *ackComparison) any { return c.store }},
	{name: "acknowledged", value: func(c *ackComparison) any { return c.acknowledged }},
	{name: "unanswered", value: func(c *ackComparison) any { return c.unanswered }},
	{name: "stored", value: func(c *ackComparison) any { return c.stored }},
	{name: "missing", value: func(c *ackComparison) any { return c.missing }},
	{name: "doubled", value: func(c *ackComparison) any { return c.doubled }},
	{name: "wrong", value: func(c *ackComparison) any { return c.wrong }},
	{name: "not_sent", value: func(c *ackComparison) any { return c.unknown }},
	{name: "sessions", value: func(c *ackComparison) any { return c.sessions }},
	{name: "wrong_sessions", value: func(c *ackComparison) any { return c.wrongSessions }},
}
