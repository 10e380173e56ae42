package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/operator"
	"radiusd/store"
)

// withLocalActor says, for the audit log, which user of the operating system runs a
// command.
func (a *app) withLocalActor(ctx context.Context) context.Context {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
		if by := a.getenv("SUDO_USER"); u.Uid == "0" && by != "" { // only root could forge it
			name += " (sudo by " + by + ")"
		}
	}
	return operator.WithActor(ctx, operator.Actor{Kind: operator.ActorLocal, Name: name})
}

// auditCommand looks into the audit log.
func (a *app) auditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "See who changed what, and that nobody has changed the log",
		Example: `  adminapi audit list
  adminapi audit verify`,
	}
	c.AddCommand(a.auditVerifyCommand(), a.auditListCommand())
	return c
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var expect string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that no entry was changed, deleted, inserted or cut off",
		Long: `Checks the chain of hashes that holds the audit log together, from its beginning to
its end, and names the first entry that is not as radiusd wrote it. The hashes are
made under a key derived from the master key, which the database does not have.

A database that was put back as a whole, to an earlier state of its own, is in order
in itself. To find that out, keep the mark that verify prints elsewhere and give it
with --expect the next time.

The exit code is 0 if all is in order, 1 if not.`,
		Example: `  adminapi audit verify
  adminapi audit verify --expect 1234:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			var mark operator.AuditMark
			if expect != "" {
				var err error
				if mark, err = operator.ParseAuditMark(expect); err != nil {
					return usagef("--expect: %v", err)
				}
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				bar := a.newProgress("entries", -1)
				report, err := s.VerifyAudit(c.Context(), mark, func(done, of uint64) { bar.of(int64(done), int64(of)) })
				if err != nil {
					return err
				}
				bar.done(int64(report.Entries))
				return writeOne(a, auditReportColumns, &report)
			})
		},
	}
	c.Flags().StringVar(&expect, "expect", "", "`SEQ:HASH` that an earlier verify has printed, which must still be in the log")
	a.outputFlag(c)
	return c
}

var auditReportColumns = []column[operator.AuditReport]{
	{name: "entries", value: func(r *operator.AuditReport) any { return r.Entries }},
	{name: "first", value: func(r *operator.AuditReport) any { return r.First }},
	{name: "last", value: func(r *operator.AuditReport) any { return r.Head.Seq }},
	{name: "mark", value: func(r *operator.AuditReport) any { return r.Head.String() }},
}

func (a *app) auditListCommand() *cobra.Command {
	var filter operator.AuditFilter
	var since, until string
	c := &cobra.Command{
		Use:   "list",
		Short: "List changes, the newest first",
		Example: `  adminapi audit list --action users. --name alice
  adminapi audit list --actor ann --since 2030-01-01 -o json`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) (err error) {
				if filter.Since, err = auditTime(since, cfg.Location()); err != nil {
					return usagef("--since: %v", err)
				}
				if filter.Until, err = auditTime(until, cfg.Location()); err != nil {
					return usagef("--until: %v", err)
				}
				return writeList(a, auditColumns, eachAuditEntry(c.Context(), s, filter))
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&filter.Action, "action", "", "only this `ACTION`, as users.update; users. for all of users")
	flags.StringVar(&filter.EntityKind, "kind", "", "only changes of this `KIND`: user, plan, group, nas, …")
	flags.StringVar(&filter.EntityName, "name", "", "only changes of what has this `NAME`")
	flags.StringVar(&filter.ActorName, "actor", "", "only changes by who has this `NAME`")
	flags.StringVar(&since, "since", "", "only changes since this `TIME`: RFC 3339 or a day")
	flags.StringVar(&until, "until", "", "only changes before this `TIME`")
	flags.IntVar(&filter.Limit, "limit", 100, "list `N` changes at most; 0: all")
	a.outputFlag(c)
	return c
}

// auditTime reads a time or a day; empty: the zero time.
func auditTime(text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, zone)
	if err != nil {
		return t, errors.New(strconv.Quote(text) + " is not a time like 2030-01-31T08:15:00Z or a day like 2030-01-31")
	}
	return t, nil
}

// eachAuditEntry gives the entries that the filter selects, page by page.
func eachAuditEntry(ctx context.Context, s *store.Store, filter operator.AuditFilter) iter.Seq2[*operator.AuditEntry, error] {
	const page = 1000
	return func(yield func(*operator.AuditEntry, error) bool) {
		rest := filter.Limit
		for {
			if filter.Limit = page; rest > 0 {
				filter.Limit = min(page, rest)
			}
			list, err := s.ListAudit(ctx, filter)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range list {
				if !yield(&list[i], nil) {
					return
				}
			}
			if rest -= len(list); len(list) < filter.Limit || rest == 0 {
				return
			}
			filter.Before = list[len(list)-1].Seq
		}
	}
}

var auditColumns = []column[operator.AuditEntry]{
	{name: "seq", value: func(e *operator.AuditEntry) any { return e.Seq }},
	{name: "at", value: func(e *operator.AuditEntry) any { return e.At }},
	{name: "actor_kind", label: "by", value: func(e *operator.AuditEntry) any { return e.Actor.Kind }},
	{name: "actor_name", label: "actor", value: func(e *operator.AuditEntry) any { return e.Actor.Name }},
	{name: "actor_id", value: func(e *operator.AuditEntry) any { return e.Actor.ID }, detail: true},
	{name: "addr", value: func(e *operator.AuditEntry) any { return e.Actor.Addr }},
	{name: "request_id", value: func(e *operator.AuditEntry) any { return e.Actor.RequestID }, detail: true},
	{name: "action", value: func(e *operator.AuditEntry) any { return e.Action }},
	{name: "entity_kind", value: func(e *operator.AuditEntry) any { return e.EntityKind }, detail: true},
	{name: "entity_id", value: func(e *operator.AuditEntry) any { return e.EntityID }, detail: true},
	{name: "entity_name", label: "name", value: func(e *operator.AuditEntry) any { return e.EntityName }},
	{name: "changes", value: func(e *operator.AuditEntry) any { return e.Changes },
		human: func(e *operator.AuditEntry) string { return string(e.Changes) }},
	{name: "id", value: func(e *operator.AuditEntry) any { return e.ID }, detail: true},
	{name: "hash", value: func(e *operator.AuditEntry) any { return fmt.Sprintf("%x", e.Hash) }, detail: true},
}
