package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/store"
)

func (a *app) groupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "group",
		Short: "Add, change, list and delete groups",
		Long: `A group gives check and reply items to its members. Items of the user win over
those of groups, groups apply by their priority in the user, and the plan comes
last.`,
		Example: `  radiusd group add staff --check 'Service-Type == Framed-User' --reply 'Session-Timeout := 3600'
  radiusd user set alice --group staff:10`,
	}
	c.AddCommand(a.groupAddCommand(),
		listCommand(a, "List groups", "radiusd group list -o json", groupColumns(false),
			func(ctx context.Context, s *store.Store) ([]aaa.Group, error) { return s.Groups(ctx) }),
		a.groupShowCommand(), a.groupSetCommand(),
		a.deleteCommand("group", "A group that has members cannot be deleted.", a.completeGroups, findGroup,
			func(ctx context.Context, s *store.Store, name string) error { return s.DeleteGroup(ctx, name) }))
	return c
}

func findGroup(ctx context.Context, s *store.Store, name string) error {
	_, err := s.GroupByName(ctx, name)
	return missing(err, name, func() []string { return groupNames(ctx, s) })
}

func groupColumns(single bool) []column[aaa.Group] {
	return []column[aaa.Group]{
		{name: "name", value: func(g *aaa.Group) any { return g.Name }},
		{name: "check_items", value: func(g *aaa.Group) any { return itemTexts(g.Items, aaa.CheckItem) }},
		{name: "reply_items", value: func(g *aaa.Group) any { return itemTexts(g.Items, aaa.ReplyItem) }},
		{name: "created_at", value: func(g *aaa.Group) any { return g.CreatedAt }, detail: !single},
		{name: "updated_at", value: func(g *aaa.Group) any { return g.UpdatedAt }, detail: !single},
		{name: "id", value: func(g *aaa.Group) any { return g.ID }, detail: !single},
	}
}

func (a *app) groupShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a group",
		Example:           "  radiusd group show staff",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeGroups),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				group, err := s.GroupByName(c.Context(), args[0])
				if err != nil {
					return missing(err, args[0], func() []string { return groupNames(c.Context(), s) })
				}
				return writeOne(a, groupColumns(true), group)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) groupAddCommand() *cobra.Command {
	f := &itemFlags{}
	c := &cobra.Command{
		Use:               "add NAME",
		Short:             "Add a group",
		Example:           "  radiusd group add staff --reply 'Session-Timeout := 3600'",
		Args:              arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				items, err := f.apply(nil)
				if err != nil {
					return err
				}
				if err := validateItems(cfg, items); err != nil {
					return err
				}
				if err := s.CreateGroup(c.Context(), &aaa.Group{Name: args[0], Items: items}); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "group %s added\n", printable(args[0]))
				return nil
			})
		},
	}
	f.register(a, c, false)
	return c
}

func (a *app) groupSetCommand() *cobra.Command {
	f := &itemFlags{}
	newName := ""
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a group",
		Example: `  radiusd group set staff --add-reply 'Idle-Timeout := 600'
  radiusd group set staff --rename employees`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completeGroups),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				err := s.UpdateGroup(c.Context(), args[0], func(group *aaa.Group) (err error) {
					if newName != "" {
						group.Name = newName
					}
					if group.Items, err = f.apply(group.Items); err != nil {
						return err
					}
					return validateItems(cfg, group.Items)
				})
				if err != nil {
					return missing(err, args[0], func() []string { return groupNames(c.Context(), s) })
				}
				fmt.Fprintf(a.stdout, "group %s changed\n", printable(args[0]))
				return nil
			})
		},
	}
	f.register(a, c, true)
	c.Flags().StringVar(&newName, "rename", "", "new `NAME`")
	return c
}
