package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/internal/spelling"
	"radiusd/store"
)

// completeFlag completes a flag from fixed words.
func completeFlag(c *cobra.Command, flag string, words ...string) {
	completeFlagFunc(c, flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeFlagFunc completes a flag by a function.
func completeFlagFunc(c *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag does not exist
	}
}

// completeFile leaves the first argument to the shell, which knows files.
func completeFile(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeSecondFile leaves the second argument to the shell.
func completeSecondFile(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeThenFile completes the first argument and leaves the second to the shell.
func completeThenFile(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return complete(c, args, toComplete)
		}
		return completeSecondFile(c, args, toComplete)
	}
}

// first completes the first argument only.
func first(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, toComplete)
	}
}

// hint returns ": did you mean x?", or "" if nothing is near.
func hint(word string, names []string) string {
	if h := spelling.Hint(word, names); h != "" {
		return ": " + strings.TrimSuffix(h, "?")
	}
	return ""
}

// completeNames completes from names in the store. It never makes a store, and
// says nothing if there is none.
func (a *app) completeNames(c *cobra.Command, toComplete string, names func(context.Context, *store.Store) []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, databaseFile)); cfg.Store.URL == "" && err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	s, err := openStore(c.Context(), cfg, "", false, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer s.Close()
	var found []cobra.Completion
	for _, name := range names(c.Context(), s) {
		if strings.HasPrefix(name, toComplete) {
			found = append(found, name)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

// completionLimit is how many users a completion offers at most.
const completionLimit = 200

// completeUsers completes the name of a user.
func (a *app) completeUsers(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, func(ctx context.Context, s *store.Store) []string {
		list, _ := s.ListUsers(ctx, store.UserFilter{Prefix: toComplete, Limit: completionLimit})
		return namesOf(list, func(u *aaa.User) string { return u.Name })
	})
}

// completePlans completes the name of a plan.
func (a *app) completePlans(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, planNames)
}

// completeGroups completes the name of a group.
func (a *app) completeGroups(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, groupNames)
}

// completeNASes completes the name or address of a NAS.
func (a *app) completeNASes(c *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.completeNames(c, toComplete, nasNames)
}

// completeTemplates completes the name of a reply template.
func (a *app) completeTemplates(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := a.loadConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names, err := templateNames(cfg)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return append(names, "none"), cobra.ShellCompDirectiveNoFileComp
}
