package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/store"
	"radiusd/store/clickhouse"
)

func (a *app) migrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's schema up to date",
		Long: `The embedded store is brought up to date by itself; Postgres and ClickHouse by
serve, unless store.auto_migrate is false, and by this command. Servers of the
version before go on working meanwhile only if the release notes say so.`,
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
			log := a.logger(cfg, nil)
			options, madeKey, err := storeOptions(cfg, log)
			if err != nil {
				return err
			}
			applied := 0
			err = store.Migrate(c.Context(), options, func(m store.Migration) {
				applied++
				fmt.Fprintf(a.stdout, "applied %d %s\n", m.Version, m.Name)
			})
			if err == nil && cfg.ClickHouse.URL != "" {
				err = clickhouse.Migrate(c.Context(), clickhouseOptions(cfg, "", log), func(m clickhouse.Migration) {
					applied++
					fmt.Fprintf(a.stdout, "applied %d %s to ClickHouse\n", m.Version, m.Name)
				})
			}
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

// migrationStep is a step of the schema of one database.
type migrationStep struct {
	database  string
	version   int64
	name      string
	appliedAt time.Time // zero: pending
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
			steps, err := migrationSteps(c.Context(), cfg, a.logger(cfg, nil))
			if err != nil {
				return err
			}
			return writeList(a, []column[migrationStep]{
				{name: "database", value: func(m *migrationStep) any { return m.database }},
				{name: "version", value: func(m *migrationStep) any { return m.version }},
				{name: "name", value: func(m *migrationStep) any { return m.name }},
				{name: "state", value: func(m *migrationStep) any {
					if m.appliedAt.IsZero() {
						return "pending"
					}
					return "applied"
				}},
				{name: "applied_at", value: func(m *migrationStep) any { return m.appliedAt }},
			}, sliceRows(steps))
		},
	}
	a.outputFlag(c)
	return c
}

// migrationSteps lists the steps of all databases that the configuration names.
func migrationSteps(ctx context.Context, cfg *config.Config, log *slog.Logger) (steps []migrationStep, err error) {
	options, _, err := storeOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	stored, err := store.MigrationStatus(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, m := range stored {
		steps = append(steps, migrationStep{"store", m.Version, m.Name, m.AppliedAt})
	}
	if cfg.ClickHouse.URL == "" {
		return steps, nil
	}
	history, err := clickhouse.MigrationStatus(ctx, clickhouseOptions(cfg, "", log))
	for _, m := range history {
		steps = append(steps, migrationStep{"clickhouse", m.Version, m.Name, m.AppliedAt})
	}
	return steps, err
}
