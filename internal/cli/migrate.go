package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"radiusd/store"
)

func (a *app) migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's schema up to date",
		Long: `The embedded store is brought up to date by itself; Postgres by serve, unless
store.auto_migrate is false, and by this command. Servers of the version before go
on working meanwhile only if the release notes say so.`,
		Example: `  radiusd migrate status
  radiusd migrate up`,
	}
	c.AddCommand(a.migrateUpCommand(), a.migrateStatusCommand())
	return c
}

func (a *app) migrateUpCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "up",
		Short:             "Apply the steps that are pending",
		Example:           "  radiusd migrate up --config /etc/radiusd/radiusd.yaml",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			options, madeKey, err := storeOptions(cfg, a.logger(cfg, nil))
			if err != nil {
				return err
			}
			applied := 0
			err = store.Migrate(c.Context(), options, func(m store.Migration) {
				applied++
				fmt.Fprintf(a.stdout, "applied %d %s\n", m.Version, m.Name)
			})
			if err != nil {
				return err
			}
			if applied == 0 {
				fmt.Fprintln(a.stdout, "the schema is up to date")
			}
			if madeKey == "" {
				return nil
			}
			// A key that was made for a database that has one already is no use.
			s, err := openStoreWith(c.Context(), options, madeKey, "", false)
			if err != nil {
				return err
			}
			return s.Close()
		},
	}
}

func (a *app) migrateStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "status",
		Short:             "List the steps of the schema",
		Example:           "  radiusd migrate status -o json",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			options, _, err := storeOptions(cfg, a.logger(cfg, nil))
			if err != nil {
				return err
			}
			steps, err := store.MigrationStatus(c.Context(), options)
			if err != nil {
				return err
			}
			return writeList(a, []column[store.Migration]{
				{name: "version", value: func(m *store.Migration) any { return m.Version }},
				{name: "name", value: func(m *store.Migration) any { return m.Name }},
				{name: "state", value: func(m *store.Migration) any {
					if m.AppliedAt.IsZero() {
						return "pending"
					}
					return "applied"
				}},
				{name: "applied_at", value: func(m *store.Migration) any { return m.AppliedAt }},
			}, sliceRows(steps))
		},
	}
	a.outputFlag(c)
	return c
}
