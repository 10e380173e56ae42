package cli

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/store"
)

func (a *app) dunningCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dunning",
		Short: "Remind, restrict and suspend who does not pay",
		Long: `Dunning takes steps about invoices so many days after they were due: it reminds
by mail, restricts the service, suspends the user, ends the subscription. It runs
after the nightly billing run. Each step is taken once for an invoice, and what was
done to the service is undone when it is paid. Nothing is done until steps are set.`,
		Example: `  radiusd billing dunning set --steps '7 remind, 14 remind, 21 restrict, 30 suspend, 60 end' --restrict-group debtors
  radiusd billing dunning preview
  radiusd billing dunning run
  radiusd billing dunning list`,
	}
	c.AddCommand(a.dunningSetCommand(), a.dunningShowCommand(), a.dunningPreviewCommand(), a.dunningRunCommand(), a.dunningListCommand())
	return c
}

// shownDunning is the settings with the name of the group.
type shownDunning struct {
	billing.Dunning
	group string
}

var dunningColumns = []column[shownDunning]{
	{name: "steps", value: func(d *shownDunning) any { return stepTexts(d.Steps) }},
	{name: "grace_days", value: func(d *shownDunning) any { return d.GraceDays }},
	{name: "restrict_group", value: func(d *shownDunning) any { return d.group }},
	{name: "restrict_priority", value: func(d *shownDunning) any { return d.RestrictPriority }},
	{name: "restrict_live", value: func(d *shownDunning) any { return string(d.RestrictLive) }},
}

func stepTexts(steps []billing.DunningStep) []string {
	texts := make([]string, len(steps))
	for i, s := range steps {
		texts[i] = s.String()
	}
	return texts
}

func (a *app) writeDunning(ctx context.Context, s *store.Store, d billing.Dunning) error {
	shown := shownDunning{Dunning: d}
	if d.RestrictGroup != uuid.Nil {
		group, err := s.GroupByID(ctx, d.RestrictGroup)
		if err != nil {
			return err
		}
		shown.group = group.Name
	}
	return writeOne(a, dunningColumns, &shown)
}

func (a *app) dunningSetCommand() *cobra.Command {
	var steps, group, live string
	var grace, priority int
	c := &cobra.Command{
		Use:   "set",
		Short: "Set what is done about invoices that are not paid",
		Long: `Sets what is given and leaves the rest. Steps are days after the invoice was due
and what is done then: remind, restrict, suspend or end; a number behind it is the
text of the mail (reminder_2), which reminders have by themselves. An empty list
of steps turns dunning off. What was done already stays until it is paid.

Users who are restricted join the group of --restrict-group, whose reply items come
before those of groups with a higher priority. Their open sessions are ended, or
with --restrict-live coa changed by what the group replies, where that can be said.`,
		Example: `  radiusd group add debtors --reply 'Filter-Id := walled-garden'
  radiusd billing dunning set --steps '7 remind, 14 remind, 21 restrict, 30 suspend, 60 end' --restrict-group debtors
  radiusd billing dunning set --grace-days 3
  radiusd billing dunning set --steps ''`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			list, err := billing.ParseDunningSteps(steps)
			if err != nil {
				return usagef("--steps: %v", err)
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				var groupID uuid.UUID
				if group != "" {
					found, err := s.GroupByName(c.Context(), group)
					if err != nil {
						return missing(err, group, func() []string { return groupNames(c.Context(), s) })
					}
					groupID = found.ID
				}
				settings, _, err := s.UpdateDunningSettings(c.Context(), func(d *billing.Dunning, _ time.Time) error {
					given := c.Flags().Changed
					if given("steps") {
						d.Steps = list
					}
					if given("grace-days") {
						d.GraceDays = grace
					}
					if given("restrict-group") {
						d.RestrictGroup = groupID
					}
					if given("restrict-priority") {
						d.RestrictPriority = priority
					}
					if given("restrict-live") {
						d.RestrictLive = billing.DunningLive(live)
					}
					return invalid(d.Validate())
				})
				if err != nil {
					return err
				}
				return a.writeDunning(c.Context(), s, settings)
			})
		},
	}
	c.Flags().StringVar(&steps, "steps", "", "`STEPS`, as '7 remind, 30 suspend'; empty: none")
	c.Flags().IntVar(&grace, "grace-days", 0, "`DAYS` after the due day that do not count")
	c.Flags().StringVar(&group, "restrict-group", "", "`GROUP` that restricted users join")
	c.Flags().IntVar(&priority, "restrict-priority", 0, "`PRIORITY` of that group: lower ones come first")
	wordFlag(c, &live, "restrict-live", "what becomes of open sessions", string(billing.LiveDisconnect), string(billing.LiveCoA), string(billing.LiveKeep))
	completeFlagFunc(c, "restrict-group", a.completeGroups)
	a.outputFlag(c)
	return c
}

func (a *app) dunningShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show",
		Short:             "Show what is done about invoices that are not paid",
		Example:           "  radiusd billing dunning show",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				settings, _, err := s.DunningSettings(c.Context())
				if err != nil {
					return err
				}
				return a.writeDunning(c.Context(), s, settings)
			})
		},
	}
	a.outputFlag(c)
	return c
}

// dunningRow is an invoice in dunning, or a step that is to be taken about one.
type dunningRow struct {
	username    string
	invoice     *billing.Invoice
	daysOverdue int
	action      string
	on          string
	state       string
}

var dunningRowColumns = []column[dunningRow]{
	{name: "username", value: func(r *dunningRow) any { return r.username }},
	{name: "number", value: func(r *dunningRow) any { return r.invoice.Number }},
	{name: "due_on", value: func(r *dunningRow) any { return r.invoice.DueOn.String() }},
	{name: "days_overdue", value: func(r *dunningRow) any { return r.daysOverdue }},
	{name: "currency", value: func(r *dunningRow) any { return string(r.invoice.Currency) }},
	{name: "open", value: func(r *dunningRow) any { return r.invoice.Currency.Format(r.invoice.Open()) }},
	{name: "step", value: func(r *dunningRow) any { return r.action }},
}

// takenColumns tell of steps that were taken.
var takenColumns = append(dunningRowColumns[:len(dunningRowColumns):len(dunningRowColumns)],
	column[dunningRow]{name: "done_on", value: func(r *dunningRow) any { return r.on }},
	column[dunningRow]{name: "state", value: func(r *dunningRow) any { return r.state }},
)

// eachDunningRow gives rows of the accounts in dunning on a day.
func eachDunningRow(ctx context.Context, s *store.Store, day billing.Date, rows func(*billing.Dunning, *billing.DunningAccount) []dunningRow) iter.Seq2[*dunningRow, error] {
	return func(yield func(*dunningRow, error) bool) {
		settings, _, err := s.DunningSettings(ctx)
		stop := fmt.Errorf("enough")
		if err == nil {
			err = s.EachDunning(ctx, &settings, day, func(account *billing.DunningAccount) error {
				list := rows(&settings, account)
				for i := range list {
					if !yield(&list[i], nil) {
						return stop
					}
				}
				return nil
			})
		}
		if err != nil && err != stop {
			yield(nil, err)
		}
	}
}

func (a *app) dunningPreviewCommand() *cobra.Command {
	var asOf string
	c := &cobra.Command{
		Use:   "preview",
		Short: "Show the steps that a run would take",
		Long: `Shows what dunning would do on the day, also on a day to come, as far as payments
are known by now. It writes nothing.`,
		Example: `  radiusd billing dunning preview
  radiusd billing dunning preview --as-of 2026-12-01 -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				day, err := dayFlag("as-of", asOf, a.today(cfg))
				if err != nil {
					return err
				}
				return writeList(a, dunningRowColumns, eachDunningRow(c.Context(), s, day, func(d *billing.Dunning, account *billing.DunningAccount) (rows []dunningRow) {
					for _, due := range d.Due(account, day) {
						rows = append(rows, dunningRow{username: account.Username, invoice: due.Invoice, daysOverdue: due.DaysOverdue, action: d.Steps[due.Step].String()})
					}
					return rows
				}))
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "the `DAY` of the run; empty: today")
	a.outputFlag(c)
	return c
}

func (a *app) dunningListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the steps that were taken about invoices that are open",
		Long: `Lists what was done about invoices that are not paid yet. A step that is "done" is
in force until the invoice is paid; "waived": an operator has undone it.`,
		Example: `  radiusd billing dunning list
  radiusd billing dunning list -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				return writeList(a, takenColumns, eachDunningRow(c.Context(), s, a.today(cfg), func(d *billing.Dunning, account *billing.DunningAccount) (rows []dunningRow) {
					for i := range account.Invoices {
						for _, r := range account.Done {
							if r.InvoiceID == account.Invoices[i].ID {
								rows = append(rows, dunningRow{account.Username, &account.Invoices[i], d.DaysOverdue(&account.Invoices[i], a.today(cfg)),
									billing.DunningStep{AfterDays: r.AfterDays, Action: r.Action}.String(), r.On.String(), string(r.State)})
							}
						}
					}
					return rows
				}))
			})
		},
	}
	a.outputFlag(c)
	return c
}

// dunningRunColumns show what a run has done.
var dunningRunColumns = []column[store.DunningRun]{
	{name: "accounts", value: func(r *store.DunningRun) any { return r.Accounts }},
	{name: "reminded", value: func(r *store.DunningRun) any { return r.Reminded }},
	{name: "restricted", value: func(r *store.DunningRun) any { return r.Restricted }},
	{name: "suspended", value: func(r *store.DunningRun) any { return r.Suspended }},
	{name: "ended", value: func(r *store.DunningRun) any { return r.Ended }},
	{name: "mails", value: func(r *store.DunningRun) any { return r.Mails }},
	{name: "failed", value: func(r *store.DunningRun) any { return r.Failed }},
}

func (a *app) dunningRunCommand() *cobra.Command {
	var asOf string
	c := &cobra.Command{
		Use:   "run",
		Short: "Take the steps that are due",
		Long: `Brings each account to the step that it belongs to on the day. It may be repeated
and killed: no step is taken twice for an invoice. The figures count invoices, but
for accounts.`,
		Example: `  radiusd billing dunning run
  radiusd billing dunning run --as-of 2026-12-01`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				day, err := dayFlag("as-of", asOf, a.today(cfg))
				if err != nil {
					return err
				}
				if a.today(cfg).Before(day) {
					return usagef("--as-of %s has not come yet", day)
				}
				dict, err := openDictionary(cfg)
				if err != nil {
					return err
				}
				p := a.newProgress("accounts", -1)
				run, err := dunAll(c.Context(), s, dict, day, cfg.Location(), a.now(), func(run store.DunningRun) { p.set(int64(run.Accounts)) })
				if err != nil {
					p.abandon()
					return err
				}
				p.done(int64(run.Accounts))
				if err := writeOne(a, dunningRunColumns, &run); err != nil {
					return err
				}
				if run.Failed == 0 {
					return nil
				}
				for _, f := range run.Failures {
					fmt.Fprintf(a.stderr, "%s: %s\n", printable(f.Username), f.Error)
				}
				return fmt.Errorf("of %d accounts the steps could not be taken", run.Failed)
			})
		},
	}
	c.Flags().StringVar(&asOf, "as-of", "", "the `DAY` the run is for; empty: today")
	a.outputFlag(c)
	return c
}

// dunningAtOnce is how many accounts a transaction of dunning takes.
const dunningAtOnce = 200

// dunAll takes the steps that are due on a day.
func dunAll(ctx context.Context, s *store.Store, dict *dictionary.Dictionary, day billing.Date, zone *time.Location, now time.Time, progress func(store.DunningRun)) (run store.DunningRun, err error) {
	o := store.DunningOptions{Day: day, Change: groupChange(dict)}
	if o.Bill, err = runOptions(ctx, s, day, zone, now); err != nil {
		return run, err
	}
	for !run.Finished {
		if run, err = s.DunAccounts(ctx, run, o, dunningAtOnce); err != nil {
			return run, err
		}
		progress(run)
	}
	return run, nil
}

// groupChange says what a CoA-Request can change of what a group replies: all of it, or
// nothing, so that sessions are ended.
func groupChange(dict *dictionary.Dictionary) func(*aaa.Group) []aaa.Item {
	return func(group *aaa.Group) (items []aaa.Item) {
		for _, item := range group.Items {
			if item.Kind != aaa.ReplyItem || strings.EqualFold(item.Attribute, "Fall-Through") {
				continue
			}
			items = append(items, item)
		}
		if len(items) == 0 || aaa.ValidateChange(dict, items) != nil {
			return nil
		}
		return items
	}
}
