package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
	"radiusd/store/redis"
)

// withLive calls fn with the view of the sessions that the nodes share.
func (a *app) withLive(fn func(*redis.View) error) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	if cfg.Redis.URL == "" {
		return errors.New("no Redis is configured (redis.url): without --live, what the store knows is shown")
	}
	logging.Disable() // of the library: what matters comes as an error
	view, err := redis.NewView(redisOptions(cfg))
	if err != nil {
		return err
	}
	return errors.Join(fn(view), view.Close())
}

// liveFilter picks sessions of the shared view.
type liveFilter struct {
	user  string
	nas   netip.Prefix // invalid: all
	limit int          // 0: all
}

// parseLiveNAS reads an address or a prefix; names are known to the store only.
func parseLiveNAS(text string) (prefix netip.Prefix, err error) {
	if text == "" {
		return prefix, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	if prefix, err = netip.ParsePrefix(text); err != nil {
		return prefix, usagef("--nas: with --live, want an address or a prefix rather than %q", text)
	}
	return prefix.Masked(), nil
}

// livePage is how many sessions are read at once.
const livePage = 500

// eachLive gives the sessions that the filter picks, in no order.
func eachLive(ctx context.Context, view *redis.View, filter liveFilter) iter.Seq2[*aaa.Session, error] {
	return func(yield func(*aaa.Session, error) bool) {
		given := 0
		give := func(sessions []aaa.Session, err error) bool {
			if err != nil {
				yield(nil, err)
				return false
			}
			for i := range sessions {
				s := &sessions[i]
				if filter.nas.IsValid() && !filter.nas.Contains(s.NASAddr) {
					continue
				}
				if filter.limit > 0 && given == filter.limit || !yield(s, nil) {
					return false
				}
				given++
			}
			return true
		}
		if filter.user != "" {
			give(view.UserSessions(ctx, filter.user))
			return
		}
		var page []redis.Online
		goOn := true
		err := view.EachOnline(ctx, func(o redis.Online) bool {
			if filter.nas.IsValid() && !filter.nas.Contains(o.NASAddr) {
				return true
			}
			if page = append(page, o); len(page) == livePage {
				goOn = give(view.Sessions(ctx, page))
				page = page[:0]
			}
			return goOn
		})
		if err != nil {
			yield(nil, err)
		} else if goOn && len(page) > 0 {
			give(view.Sessions(ctx, page))
		}
	}
}

// sessionCount is a row of session count.
type sessionCount struct {
	key   string
	count int64
}

const (
	countByNAS  = "nas"
	countByUser = "user"
)

func (a *app) sessionCountCommand() *cobra.Command {
	by, live := "", false
	c := &cobra.Command{
		Use:   "count",
		Short: "Count the open sessions",
		Example: `  radiusd session count
  radiusd session count --by nas
  radiusd session count --by user --live -o csv`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains([]string{"", countByNAS, countByUser}, by) {
				return usagef("--by: %q is not one of nas, user", by)
			}
			count := a.countStored
			if live {
				count = a.countLive
			}
			counts, err := count(c.Context(), by)
			if err != nil {
				return err
			}
			return writeCounts(a, by, counts)
		},
	}
	c.Flags().StringVar(&by, "by", "", "a count for each `KEY`: nas (its address) or user")
	c.Flags().BoolVar(&live, "live", false, "of what all nodes know at this moment, from Redis, rather than of the store")
	completeFlagFunc(c, "by", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{countByNAS, countByUser}, cobra.ShellCompDirectiveNoFileComp
	})
	a.outputFlag(c)
	return c
}

// countKey is what a session is counted under.
func countKey(by string, nas netip.Addr, user string) string {
	switch {
	case by == countByUser:
		return user
	case by == countByNAS && nas.IsValid():
		return nas.String()
	}
	return ""
}

func (a *app) countLive(ctx context.Context, by string) (counts map[string]int64, err error) {
	counts = make(map[string]int64)
	err = a.withLive(func(view *redis.View) error {
		if by == "" {
			counts[""], err = view.OnlineCount(ctx)
			return err
		}
		return view.EachOnline(ctx, func(o redis.Online) bool { counts[countKey(by, o.NASAddr, o.Username)]++; return true })
	})
	return counts, err
}

func (a *app) countStored(ctx context.Context, by string) (counts map[string]int64, err error) {
	counts = make(map[string]int64)
	err = a.withStore(ctx, func(_ *config.Config, s *store.Store) error {
		for session, err := range eachSession(ctx, s, store.SessionFilter{Online: true}) {
			if err != nil {
				return err
			}
			counts[countKey(by, session.NASAddr, session.Username)]++
		}
		return nil
	})
	return counts, err
}

// writeCounts writes the counts, the greatest first.
func writeCounts(a *app, by string, counts map[string]int64) error {
	sessions := column[sessionCount]{name: "sessions", value: func(c *sessionCount) any { return c.count }}
	if by == "" {
		return writeOne(a, []column[sessionCount]{sessions}, &sessionCount{count: counts[""]})
	}
	list := make([]sessionCount, 0, len(counts))
	for key, n := range counts {
		list = append(list, sessionCount{key, n})
	}
	slices.SortFunc(list, func(a, b sessionCount) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.key, b.key))
	})
	name := map[string]string{countByNAS: "nas_ip", countByUser: "username"}[by]
	columns := []column[sessionCount]{{name: name, value: func(c *sessionCount) any { return c.key }}, sessions}
	return writeList(a, columns, func(yield func(*sessionCount, error) bool) {
		for i := range list {
			if !yield(&list[i], nil) {
				return
			}
		}
	})
}

// listLive is session list --live.
func (a *app) listLive(ctx context.Context, user, nas string, limit int) error {
	prefix, err := parseLiveNAS(nas)
	if err != nil {
		return err
	}
	return a.withLive(func(view *redis.View) error {
		if _, err := view.OnlineCount(ctx); err != nil { // before the head of a table
			return fmt.Errorf("%w: without --live, what the store knows is shown", err)
		}
		return writeList(a, sessionColumns, eachLive(ctx, view, liveFilter{user: user, nas: prefix, limit: limit}))
	})
}
