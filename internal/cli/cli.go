// Package cli is the commands of radiusd: it turns the configuration into
// stores, listeners and loggers, and what they return into output.
//
// Results go to standard output, logs and errors to standard error. The exit
// code is 0, 1 when the operation failed (one line says why), or 2 when the
// command line or the configuration is wrong.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"radiusd/config"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs the command line args, without the program's name, and returns the
// exit code. environ is as [os.Environ] gives it. Cancelling ctx asks the command
// to end.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := &app{program: "radiusd", stdin: stdin, stdout: stdout, stderr: stderr, environ: environ, now: time.Now}
	return a.run(ctx, a.rootCommand(), args)
}

func (a *app) run(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.exit(root.ExecuteContext(a.withLocalActor(ctx)))
}

// app is one run of a command line.
type app struct {
	program        string // its name, for errors
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	now            func() time.Time

	// Global flags.
	configPath, logLevel, logFormat string
	// format is how a result is written: table, json or csv.
	format string
}

// exit reports err and returns the exit code it stands for.
func (a *app) exit(err error) int {
	var usage *usageError
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitFailed
	case errors.As(err, &problems):
		fmt.Fprintln(a.stderr, err)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "%s: %v\n", a.program, usage)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(a.stderr, "%s: interrupted\n", a.program)
		return exitFailed
	default:
		fmt.Fprintf(a.stderr, "%s: %s\n", a.program, oneLine(err))
		return exitFailed
	}
}

// oneLine writes joined errors in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// errReported is an error whose text is already part of the output.
var errReported = errors.New("reported")

// usageError is a command line that cannot be understood: exit code 2.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "radiusd",
		Short: "RADIUS server with users, accounting and tools built in",
		Long: `radiusd authenticates, authorizes and accounts the users of network access
servers (NASes) by RADIUS, and keeps users, plans, NASes and sessions itself.

Data commands (user, plan, group, nas, session, report) work on the store that the
configuration names, while the server runs and while it does not; a running
server follows within a second.`,
		Example: `  radiusd serve --demo
  radiusd nas add 192.0.2.1 --secret-stdin --vendor mikrotik
  radiusd user add alice --password-stdin --plan home
  radiusd test auth alice s3cret
  radiusd session list --online`,
	}
	a.prepareRoot(root)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server:"}, &cobra.Group{ID: "data", Title: "Data:"}, &cobra.Group{ID: "tools", Title: "Tools:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("server", a.serverCommands()...)
	add("data", a.dataCommands()...)
	add("tools", a.toolCommands()...)
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")
	prepare(root)
	return root
}

// prepareRoot gives the root of a tree the global flags.
func (a *app) prepareRoot(root *cobra.Command) {
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configPath, "config", "", "configuration `FILE` (default $RADIUSD_CONFIG, radiusd.yaml, /etc/radiusd/radiusd.yaml)")
	flags.StringVar(&a.logLevel, "log-level", "", "least `LEVEL` to log: debug, info, warn, error (default log.level)")
	flags.StringVar(&a.logFormat, "log-format", "", "log as `FORMAT`: auto, text, json (default log.format)")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	completeFlag(root, "log-level", "debug", "info", "warn", "error")
	completeFlag(root, "log-format", "auto", "text", "json")
}

// prepare gives every command of the tree the same treatment of a wrong command
// line: one line, exit code 2.
func prepare(c *cobra.Command) {
	c.SetFlagErrorFunc(flagError)
	if c.Name() == "set" { // a flag that is not given changes nothing, so none has a default
		c.Flags().VisitAll(func(f *pflag.Flag) {
			switch _, err := strconv.Atoi(f.DefValue); {
			case err == nil:
				f.DefValue = "0"
			case f.DefValue != "[]" && f.DefValue != "false":
				f.DefValue = ""
			}
		})
	}
	if !c.Runnable() && c.HasSubCommands() {
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, sub := range c.Commands() {
				names = append(names, sub.Name())
			}
			return usagef("%s has no command %q%s; see %s --help", c.CommandPath(), args[0], hint(args[0], names), c.CommandPath())
		}
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// belowZero is the annotation of a command that takes an amount: what to do about one below
// zero, which looks like flags.
const belowZero = "below-zero"

// flagError words what is wrong with the flags of a command line.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if short := unknown.GetSpecifiedShortnames(); short != "" && strings.ContainsRune("0123456789.", rune(short[0])) {
			advice := cmp.Or(c.Annotations[belowZero], "what begins with - and is no flag goes behind all flags and --")
			return usagef("-%s: %s; see %s --help", short, advice, c.CommandPath())
		}
	}
	return usagef("%v; see %s --help", err, c.CommandPath())
}

// arguments checks the number of positional arguments, which are named for the
// error. A last name in brackets may be left out, one that ends in … repeated.
func arguments(names ...string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.HasSuffix(strings.Trim(name, "[]"), "…") {
			most = int(^uint(0) >> 1)
		}
	}
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s: missing %s; see %s --help", c.CommandPath(), strings.Join(names[len(args):least], " and "), c.CommandPath())
		case len(args) > most:
			return usagef("%s: unexpected argument %q; see %s --help", c.CommandPath(), args[most], c.CommandPath())
		}
		return nil
	}
}

// configFiles is where a configuration is looked for when nothing names one.
var configFiles = [...]string{"radiusd.yaml", "/etc/radiusd/radiusd.yaml"}

// configFile returns the path of the configuration; empty for none.
func (a *app) configFile() string {
	if a.configPath != "" {
		return a.configPath
	}
	if path := a.getenv("RADIUSD_CONFIG"); path != "" {
		return path
	}
	for _, path := range configFiles {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// getenv returns the value of a variable; empty if it is not set.
func (a *app) getenv(name string) string {
	for _, entry := range slices.Backward(a.environ) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// loadConfig loads the configuration that the global flags and the environment
// name, with further overrides on top. It may be called again for a reload.
func (a *app) loadConfig(overrides ...config.Override) (*config.Config, error) {
	for _, flag := range []struct{ key, value, name string }{
		{"log.level", a.logLevel, "--log-level"}, {"log.format", a.logFormat, "--log-format"},
	} {
		if flag.value != "" {
			overrides = append(overrides, config.Override{Key: flag.key, Value: flag.value, Flag: flag.name})
		}
	}
	return config.Load(a.configFile(), a.environ, overrides...)
}

// logger returns a logger to standard error; level can be changed later.
func (a *app) logger(c *config.Config, level *slog.LevelVar) *slog.Logger {
	if level == nil {
		level = new(slog.LevelVar)
	}
	level.Set(c.Log.Level)
	text := c.Log.Format == "text" || c.Log.Format == "auto" && isTerminal(a.stderr)
	if text {
		return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{
			Level: level, TimeFormat: "15:04:05.000", NoColor: !a.colour(a.stderr),
		}))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(file.Fd()))
}

// colour reports whether w takes colours: a terminal, and NO_COLOR is not set
// (no-color.org).
func (a *app) colour(w io.Writer) bool { return isTerminal(w) && a.getenv("NO_COLOR") == "" }
