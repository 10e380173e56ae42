package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/config"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check and show the configuration",
		Example: `  radiusd config check --config /etc/radiusd/radiusd.yaml
  radiusd config show -o json`,
	}
	c.AddCommand(a.configCheckCommand(), a.configShowCommand())
	return c
}

func (a *app) configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Name everything that is wrong with the configuration",
		Long: `Reads the configuration as serve does, the files it names included, and prints
every problem with its file and line, environment variable or flag. The exit
code is 2 if there is one.`,
		Example:           "  radiusd config check --config /etc/radiusd/radiusd.yaml",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.loadConfig()
			for _, warning := range c.Warnings() {
				fmt.Fprintf(a.stderr, "warning: %s\n", warning)
			}
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				return err
			}
			if d, err := openDictionary(c); err != nil {
				problems = append(problems, &config.Problem{Origin: c.Origin("dictionary.files"), Key: "dictionary.files", Err: err})
			} else if _, err := aaa.LoadTemplates(d, c.Templates.Files...); err != nil {
				problems = append(problems, &config.Problem{Origin: c.Origin("templates.files"), Key: "templates.files", Err: err})
			}
			if len(problems) > 0 {
				return problems
			}
			name := c.Path()
			if name == "" {
				name = "no file: defaults"
			}
			fmt.Fprintf(a.stdout, "configuration is valid (%s)\n", name)
			return nil
		},
	}
}

func (a *app) configShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the values in force and where each comes from",
		Long: `Prints every setting with its effective value, passwords masked, and its origin:
default, a line of the file, an environment variable or a flag.`,
		Example: `  radiusd config show
  RADIUSD_LOG_LEVEL=debug radiusd config show -o json`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			c, loadErr := a.loadConfig()
			err := writeList(a, []column[config.Setting]{
				{name: "key", value: func(s *config.Setting) any { return s.Key }},
				{name: "value", value: func(s *config.Setting) any { return s.Value }},
				{name: "origin", value: func(s *config.Setting) any { return s.Origin }},
				{name: "env", value: func(s *config.Setting) any { return s.Env }, detail: true},
			}, sliceRows(c.Settings()))
			return errors.Join(err, loadErr)
		},
	}
	a.outputFlag(c)
	return c
}
