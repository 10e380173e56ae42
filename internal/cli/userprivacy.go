package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
	"radiusd/store/clickhouse"
)

func (a *app) userExportDataCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export-data NAME",
		Short: "Write everything that the store holds about a user",
		Long: `Writes one JSON document with what the store holds about one person, as a request
for access to personal data asks for: user and profile, groups, items and plan,
sessions, accounting records, login decisions, usage and what was changed by whom.
Passwords are left out. What ClickHouse has of it is a copy.`,
		Example:           "  radiusd user export-data alice > alice.json",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				user, err := s.UserByName(c.Context(), args[0])
				if err != nil {
					return missing(err, args[0], func() []string { return nearUsers(c.Context(), s, args[0]) })
				}
				return s.ExportPerson(c.Context(), user.ID, a.stdout)
			})
		},
	}
}

func (a *app) userEraseCommand() *cobra.Command {
	yes := false
	var options aaa.EraseOptions
	c := &cobra.Command{
		Use:   "erase NAME",
		Short: "Erase a user's personal data for good",
		Long: `Deletes a user with its profile, and replaces the name by a pseudonym in sessions,
accounting records, login decisions and usage, which stay for billing; addresses,
stations and free texts in them are blanked, and so are names in the audit log. It
cannot be undone.

It is done in small steps while the servers run, also in ClickHouse. If it is
interrupted, a running server goes on with it, or the command when it is given again
with the pseudonym. Disconnect the user's sessions before. What comes late, out of a
journal or from a session that goes on, is erased within the hour, for 30 days.
Backups are not changed.`,
		Example: `  radiusd user erase alice --yes
  radiusd user erase alice --yes --keep-user
  radiusd user erase erased-6dq2l4vjpc7eqzb3y5mhkx2gta --yes`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				return a.eraseUser(c.Context(), cfg, s, args[0], options, yes)
			})
		},
	}
	yesFlag(c, &yes)
	c.Flags().BoolVar(&options.KeepUser, "keep-user", false, "keep the user, pseudonymised and disabled, for what refers to it")
	withoutUsageFlag(c, &options.CloseOptions)
	return c
}

func (a *app) eraseUser(ctx context.Context, cfg *config.Config, s *store.Store, name string, options aaa.EraseOptions, yes bool) error {
	e, err := s.ErasureByPseudonym(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	known := err == nil
	var user *aaa.User
	if !known {
		if user, err = s.UserByName(ctx, name); err != nil {
			return missing(err, name, func() []string { return nearUsers(ctx, s, name) })
		}
	}
	if err := a.confirm(yes, "Erase all personal data of user %s for good?", printable(name)); err != nil {
		return err
	}
	var erasers []aaa.PersonEraser
	if cfg.ClickHouse.URL != "" { // before the user is gone, that it can be reached
		history, err := clickhouse.Open(ctx, clickhouseOptions(cfg, "", a.logger(cfg, nil)))
		if err != nil {
			return err
		}
		defer history.Close()
		erasers = append(erasers, history)
	}
	if !known {
		if e, err = s.StartErasure(ctx, user.ID, options); err != nil {
			return err
		}
	}
	p := a.newProgress("rows erased", -1)
	e, err = s.RunErasure(ctx, e.ID, erasers, p.set)
	if err != nil {
		p.abandon()
		return fmt.Errorf("%w; a running server goes on with it, or radiusd user erase %s", err, e.Pseudonym)
	}
	p.done(e.Rows)
	fmt.Fprintf(a.stdout, "user %s is erased; %s stands for it\n", printable(name), e.Pseudonym)
	return nil
}
