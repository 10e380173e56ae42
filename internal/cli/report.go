package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/report"
	"radiusd/store"
)

func (a *app) reportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "report",
		Short: "Report usage, sessions, addresses, and money",
		Long: `Reports on what is in ClickHouse or, if none is configured, in the store; reports
on money (revenue, tax, receivables, churn, allowance) on what is in the store.

Times are a day, which is when it begins in the time zone of the configuration, a
time in RFC 3339, or one of now, today, yesterday, tomorrow, week (its Monday) and
month (its first day); an end is not part of the report.`,
		Example: `  radiusd report usage --by nas --period day --from 2026-11-01 --to 2026-12-01
  radiusd report top-users --limit 10
  radiusd report revenue --by plan --from 2026-01-01
  radiusd report address 198.51.100.7 --at 2026-11-20T08:15:00Z`,
	}
	for _, r := range report.Catalogue() {
		c.AddCommand(a.reportCommandOf(r, a.runReport, true))
	}
	for _, r := range report.BillingCatalogue() {
		c.AddCommand(a.reportCommandOf(r.Report, func(ctx context.Context, _ *report.Report, given report.Arguments, _ string) error {
			return a.runBillingReport(ctx, &r, given)
		}, false))
	}
	return c
}

// Where reports are read.
const (
	sourceAuto       = "auto"
	sourceClickHouse = "clickhouse"
	sourceSQL        = "sql"
)

// reportCommandOf makes the command of a report from what the catalogue says
// about it. sources says that the report can be read in more than one place.
func (a *app) reportCommandOf(r report.Report, run func(context.Context, *report.Report, report.Arguments, string) error, sources bool) *cobra.Command {
	given, source := report.Arguments{}, ""
	values := map[string]*reportFlag{}
	use, positional := r.Name, []string{}
	for _, p := range r.Parameters {
		if p.Positional {
			use += " " + p.Placeholder
			positional = append(positional, p.Placeholder)
		}
	}
	c := &cobra.Command{
		Use:               use,
		Short:             r.Title,
		Long:              r.Text + "\n\n" + columnText(r),
		Example:           "  radiusd report " + strings.Join(r.Examples, "\n  radiusd report "),
		Args:              arguments(positional...),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			for _, p := range r.Parameters {
				switch flag := values[p.Name]; {
				case p.Positional:
					given[p.Name], args = args[0], args[1:]
				case c.Flags().Changed(p.Name) && flag.text == "":
					return usagef("--%s is empty", p.Name)
				case flag.text != p.Default:
					given[p.Name] = flag.text
				}
			}
			if sources && !slices.Contains([]string{sourceAuto, sourceClickHouse, sourceSQL}, source) {
				return usagef("--source: %q is not one of auto, clickhouse, sql", source)
			}
			return run(c.Context(), &r, given, source)
		},
	}
	for _, p := range r.Parameters {
		if p.Positional {
			continue
		}
		usage := p.Says
		if p.Kind == report.KindChoice {
			usage += ": " + strings.Join(p.Choices, ", ")
		}
		values[p.Name] = &reportFlag{p.Default, p.Placeholder}
		c.Flags().Var(values[p.Name], p.Name, usage)
		switch {
		case p.Kind == report.KindChoice:
			completeFlag(c, p.Name, p.Choices...)
		case p.Kind == report.KindTime:
			completeFlag(c, p.Name, "now", "today", "yesterday", "tomorrow", "week", "month")
		case p.Name == "user":
			completeFlagFunc(c, p.Name, a.completeUsers)
		case p.Name == "plan":
			completeFlagFunc(c, p.Name, a.completePlans)
		}
	}
	if sources {
		c.Flags().StringVar(&source, "source", sourceAuto, "read `WHERE`: clickhouse, sql, or auto: ClickHouse if there is one")
		completeFlag(c, "source", sourceAuto, sourceClickHouse, sourceSQL)
	}
	a.outputFlag(c)
	return c
}

// reportFlag is a flag whose text the catalogue understands.
type reportFlag struct{ text, placeholder string }

func (f *reportFlag) String() string        { return f.text }
func (f *reportFlag) Set(text string) error { f.text = text; return nil }
func (f *reportFlag) Type() string          { return f.placeholder }

// columnText lists the columns of a report.
func columnText(r report.Report) string {
	var b strings.Builder
	b.WriteString("Columns:\n")
	for _, c := range r.AllColumns() {
		b.WriteString(strings.TrimRight(fmt.Sprintf("  %-19s %s", c.Name, c.Says), " ") + "\n")
	}
	return strings.TrimSpace(b.String())
}

// runReport runs a report and writes its rows.
func (a *app) runReport(ctx context.Context, r *report.Report, given report.Arguments, source string) error {
	cfg, err := a.loadConfig()
	if err != nil {
		return err
	}
	environment := report.Environment{Zone: cfg.Location(), Now: a.now()}
	if err := reportArgument(r, r.Check(given, environment)); err != nil {
		return err
	}
	write := func(source report.Source) error {
		rows := func(fn func(report.Row) error) error { return r.Run(ctx, source, given, environment, fn) }
		return writeList(a, columnsOf(r.Columns(given)), reportRows(rows))
	}
	if cfg.ClickHouse.URL == "" && source == sourceClickHouse {
		return usagef("--source: the configuration names no ClickHouse (clickhouse.url)")
	}
	if cfg.ClickHouse.URL != "" && source != sourceSQL {
		history, away, err := openReports(ctx, cfg, a.logger(cfg, nil))
		if err == nil && away == nil {
			defer history.Close()
			return write(history)
		}
		if err == nil && source == sourceClickHouse {
			err = away
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "warning: %v; reading the store instead\n", away)
	}
	return a.withStore(ctx, func(_ *config.Config, s *store.Store) error { return write(s) })
}

// runBillingReport runs a report on money and writes its rows.
func (a *app) runBillingReport(ctx context.Context, r *report.BillingReport, given report.Arguments) error {
	return a.withStore(ctx, func(cfg *config.Config, s *store.Store) error {
		environment := report.Environment{Zone: cfg.Location(), Now: a.now()}
		if err := reportArgument(&r.Report, r.Check(given, environment)); err != nil {
			return err
		}
		rows := func(fn func(report.Row) error) error { return r.Run(ctx, s, given, environment, fn) }
		return writeList(a, columnsOf(r.Columns(given)), reportRows(rows))
	})
}

// reportArgument names the flag or argument that a report does not take.
func reportArgument(r *report.Report, err error) error {
	var wrong *report.ArgumentError
	if !errors.As(err, &wrong) {
		return err
	}
	if p, ok := r.Parameter(wrong.Parameter); ok && p.Positional {
		return usagef("%s", wrong.Message)
	}
	return usagef("--%s: %s", wrong.Parameter, wrong.Message)
}

// reportRows gives the rows of a report as they come.
func reportRows(run func(fn func(report.Row) error) error) iter.Seq2[*report.Row, error] {
	errEnough := errors.New("no more rows are wanted")
	return func(yield func(*report.Row, error) bool) {
		err := run(func(row report.Row) error {
			if !yield(&row, nil) {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// columnsOf writes the columns of a report as those of any list: with units
// for people, and plain numbers for programs.
func columnsOf(described []report.Column) []column[report.Row] {
	columns := make([]column[report.Row], len(described))
	for i, d := range described {
		columns[i] = column[report.Row]{name: d.Name, detail: d.Detail, value: func(row *report.Row) any { return (*row)[i] }}
		switch d.Unit {
		case report.UnitOctets:
			columns[i].human = func(row *report.Row) string { return formatOctets((*row)[i].(uint64)) }
		case report.UnitSeconds:
			columns[i].human = func(row *report.Row) string { return formatOnline((*row)[i].(uint64)) }
		case report.UnitStart:
			columns[i].human = func(row *report.Row) string { return (*row)[i].(report.Start).Label() }
		}
	}
	return columns
}

// formatOnline writes an amount of seconds for people.
func formatOnline(seconds uint64) string {
	const longest = 1 << 33
	if seconds > longest {
		return fmt.Sprintf("%dd", seconds/86400)
	}
	d := time.Duration(seconds) * time.Second
	if d >= 24*time.Hour {
		d = d.Round(time.Minute)
		return strings.TrimSpace(fmt.Sprintf("%dd %s", d/(24*time.Hour), formatSpan(d%(24*time.Hour))))
	}
	return formatSpan(d)
}
