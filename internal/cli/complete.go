package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"radiusd/internal/spelling"
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

// completeUsers completes the name of a user.
func (a *app) completeUsers(_ *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}
