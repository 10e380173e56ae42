package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/aaa/userfile"
	"radiusd/config"
	"radiusd/store"
)

func (a *app) planCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "plan",
		Short: "Add, change, list and delete plans",
		Long: `A plan is what users have bought: speed, limits and allowances. Reply templates
turn it into the attributes of each NAS's vendor.`,
		Example: `  radiusd plan add home --rate-up 10M --rate-down 50M --simultaneous-use 1
  radiusd plan add prepaid --quota 100GB --period month --session-timeout 12h
  radiusd plan show home`,
	}
	c.AddCommand(a.planAddCommand(), a.planListCommand(), a.planShowCommand(), a.planSetCommand(), a.planPriceCommand(), a.planPricesCommand(), a.planDeleteCommand())
	return c
}

// planField is one field of a plan: its column, its flag, and how it is read and
// written.
type planField struct {
	column, flag, usage string
	value               func(*aaa.Plan) any
	human               func(*aaa.Plan) string
	set                 func(*aaa.Plan, string) error
	detail              bool     // not in a table of plans
	complete            []string // words for the shell
}

// rateField is a field in bit/s.
func rateField(column, usage string, detail bool, at func(*aaa.Plan) *uint64) planField {
	return planField{
		column: column, flag: strings.ReplaceAll(column, "_", "-"), usage: usage + ": bit/s `RATE`, as in 512k, 10M or 1G", detail: detail,
		value: func(p *aaa.Plan) any { return *at(p) },
		human: func(p *aaa.Plan) string { return formatRate(*at(p)) },
		set: func(p *aaa.Plan, text string) (err error) {
			*at(p), err = parseRate(text)
			return err
		},
	}
}

// spanField is a duration, in whole seconds where scripts read it.
func spanField(column, usage string, detail bool, at func(*aaa.Plan) *time.Duration) planField {
	return planField{
		column: column, flag: strings.ReplaceAll(column, "_", "-"), usage: usage + ", as in 30m, 12h or 30d", detail: detail,
		value: func(p *aaa.Plan) any { return int64(*at(p) / time.Second) },
		human: func(p *aaa.Plan) string { return formatSpan(*at(p)) },
		set: func(p *aaa.Plan, text string) (err error) {
			*at(p), err = parseSpan(text)
			return err
		},
	}
}

// textField is a name that goes to the NAS as it is.
func textField(column, usage string, at func(*aaa.Plan) *string) planField {
	return planField{
		column: column, flag: strings.ReplaceAll(column, "_", "-"), usage: usage, detail: true,
		value: func(p *aaa.Plan) any { return *at(p) },
		set: func(p *aaa.Plan, text string) error {
			if *at(p) = text; text == "none" {
				*at(p) = ""
			}
			return nil
		},
	}
}

// planFields are the fields of a plan in the order they are shown.
var planFields = []planField{
	rateField("rate_up", "speed from the user", false, func(p *aaa.Plan) *uint64 { return &p.RateUp }),
	rateField("rate_down", "speed to the user", false, func(p *aaa.Plan) *uint64 { return &p.RateDown }),
	rateField("burst_up", "burst speed from the user", true, func(p *aaa.Plan) *uint64 { return &p.BurstUp }),
	rateField("burst_down", "burst speed to the user", true, func(p *aaa.Plan) *uint64 { return &p.BurstDown }),
	rateField("burst_threshold_up", "mean speed below which bursts are allowed, from the user", true, func(p *aaa.Plan) *uint64 { return &p.BurstThresholdUp }),
	rateField("burst_threshold_down", "the same to the user", true, func(p *aaa.Plan) *uint64 { return &p.BurstThresholdDown }),
	spanField("burst_time", "`TIME` over which the mean is taken", true, func(p *aaa.Plan) *time.Duration { return &p.BurstTime }),
	{column: "quota_octets", flag: "quota", usage: "`DATA` per period, both directions, as in 100GB",
		value: func(p *aaa.Plan) any { return p.QuotaOctets },
		human: func(p *aaa.Plan) string {
			if p.QuotaOctets == 0 {
				return ""
			}
			return formatOctets(p.QuotaOctets)
		},
		set: func(p *aaa.Plan, text string) (err error) {
			p.QuotaOctets, err = parseOctets(text)
			return err
		}},
	{column: "quota_seconds", flag: "quota-time", usage: "online `TIME` per period, as in 30h",
		value: func(p *aaa.Plan) any { return p.QuotaSeconds },
		human: func(p *aaa.Plan) string { return formatSpan(time.Duration(p.QuotaSeconds) * time.Second) },
		set: func(p *aaa.Plan, text string) error {
			span, err := parseSpan(text)
			p.QuotaSeconds = uint64(span / time.Second)
			return err
		}},
	{column: "quota_period", flag: "period", usage: "`PERIOD` of the quotas: ever, day, week, month",
		complete: []string{"ever", "day", "week", "month"},
		value:    func(p *aaa.Plan) any { return p.QuotaPeriod },
		set: func(p *aaa.Plan, text string) (err error) {
			p.QuotaPeriod, err = aaa.ParsePeriod(text)
			return err
		}},
	spanField("session_timeout", "longest session, `TIME`", false, func(p *aaa.Plan) *time.Duration { return &p.SessionTimeout }),
	spanField("idle_timeout", "`TIME` without traffic after which a session ends", true, func(p *aaa.Plan) *time.Duration { return &p.IdleTimeout }),
	spanField("interim_interval", "`TIME` between interim updates", true, func(p *aaa.Plan) *time.Duration { return &p.InterimInterval }),
	{column: "simultaneous_use", flag: "simultaneous-use", usage: "how many `SESSIONS` may be open at once",
		value: func(p *aaa.Plan) any { return p.SimultaneousUse },
		human: func(p *aaa.Plan) string {
			if p.SimultaneousUse == 0 {
				return ""
			}
			return fmt.Sprint(p.SimultaneousUse)
		},
		set: func(p *aaa.Plan, text string) (err error) {
			p.SimultaneousUse, err = userfile.ParseLimit(text)
			return err
		}},
	textField("login_hours", "when login is allowed, as in Wk0800-1800,Sa (FreeRADIUS's Login-Time)", func(p *aaa.Plan) *string { return &p.LoginHours }),
	{column: "allowed_methods", flag: "allowed-methods", usage: "comma-separated `METHODS` (pap, chap, mschap, mschapv2, mac, eap); none for all", detail: true,
		value: func(p *aaa.Plan) any { return p.AllowedMethods },
		set: func(p *aaa.Plan, text string) (err error) {
			if text == "none" {
				text = ""
			}
			p.AllowedMethods, err = aaa.ParseMethodSet(text)
			return err
		}},
	textField("policy_up", "QoS `PROFILE` on the NAS, from the user", func(p *aaa.Plan) *string { return &p.PolicyUp }),
	textField("policy_down", "QoS `PROFILE` on the NAS, to the user", func(p *aaa.Plan) *string { return &p.PolicyDown }),
	textField("address_pool", "address `POOL` on the NAS (Framed-Pool)", func(p *aaa.Plan) *string { return &p.AddressPool }),
	textField("ipv6_pool", "IPv6 `POOL` on the NAS (Framed-IPv6-Pool)", func(p *aaa.Plan) *string { return &p.IPv6Pool }),
	textField("delegated_ipv6_pool", "`POOL` of delegated prefixes (Delegated-IPv6-Prefix-Pool)", func(p *aaa.Plan) *string { return &p.DelegatedIPv6Pool }),
	textField("address_list", "firewall address `LIST` on the NAS", func(p *aaa.Plan) *string { return &p.AddressList }),
	textField("filter_id", "`FILTER` on the NAS (Filter-Id)", func(p *aaa.Plan) *string { return &p.FilterID }),
}

// planColumns are those of planFields with what else is told of a plan.
func planColumns(single bool) []column[aaa.Plan] {
	columns := []column[aaa.Plan]{{name: "name", value: func(p *aaa.Plan) any { return p.Name }}}
	for _, f := range planFields {
		columns = append(columns, column[aaa.Plan]{name: f.column, value: f.value, human: f.human, detail: f.detail})
	}
	if single {
		columns = append(columns,
			column[aaa.Plan]{name: "check_items", value: func(p *aaa.Plan) any { return itemTexts(p.Items, aaa.CheckItem) }},
			column[aaa.Plan]{name: "reply_items", value: func(p *aaa.Plan) any { return itemTexts(p.Items, aaa.ReplyItem) }})
	}
	return append(columns,
		column[aaa.Plan]{name: "created_at", value: func(p *aaa.Plan) any { return p.CreatedAt }, detail: true},
		column[aaa.Plan]{name: "updated_at", value: func(p *aaa.Plan) any { return p.UpdatedAt }, detail: true},
		column[aaa.Plan]{name: "id", value: func(p *aaa.Plan) any { return p.ID }, detail: true})
}

// planFlags are the flags of add and set.
type planFlags struct {
	itemFlags
	texts   []string // as given for planFields
	newName string
}

func (f *planFlags) registerPlan(a *app, c *cobra.Command, changing bool) {
	f.texts = make([]string, len(planFields))
	for i, field := range planFields {
		c.Flags().StringVar(&f.texts[i], field.flag, "", field.usage)
		if field.complete != nil {
			completeFlag(c, field.flag, field.complete...)
		}
	}
	if changing {
		c.Flags().StringVar(&f.newName, "rename", "", "new `NAME`")
	}
	f.itemFlags.register(a, c, changing)
}

// apply changes the plan as the given flags say and validates it.
func (f *planFlags) applyTo(c *cobra.Command, cfg *config.Config, plan *aaa.Plan) error {
	for i, field := range planFields {
		if !c.Flags().Changed(field.flag) {
			continue
		}
		if err := field.set(plan, f.texts[i]); err != nil {
			return usagef("--%s: %v", field.flag, err)
		}
	}
	if f.newName != "" {
		plan.Name = f.newName
	}
	var err error
	if plan.Items, err = f.itemFlags.apply(plan.Items); err != nil {
		return err
	}
	d, err := openDictionary(cfg)
	if err != nil {
		return err
	}
	return invalid(plan.Validate(d))
}

func (a *app) planAddCommand() *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a plan",
		Long:  "Adds a plan. What is not given is not limited.",
		Example: `  radiusd plan add home --rate-up 10M --rate-down 50M --simultaneous-use 1
  radiusd plan add prepaid --rate-down 20M --quota 100GB --period month
  radiusd plan add office --login-hours 'Wk0800-1800' --reply 'Framed-Pool := office'`,
		Args:              arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				plan := &aaa.Plan{Name: args[0]}
				if err := f.applyTo(c, cfg, plan); err != nil {
					return err
				}
				if err := s.CreatePlan(c.Context(), plan); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "plan %s added\n", printable(plan.Name))
				return nil
			})
		},
	}
	f.registerPlan(a, c, false)
	return c
}

func (a *app) planSetCommand() *cobra.Command {
	f := &planFlags{}
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a plan",
		Long: `Changes what the flags say and leaves all else as it is; none takes a limit away.
It is in force for the next login; open sessions keep what they were granted.`,
		Example: `  radiusd plan set home --rate-down 100M
  radiusd plan set home --quota none`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completePlans),
		RunE: func(c *cobra.Command, args []string) error {
			if !anyChanged(c) {
				return usagef("%s: nothing to change; see %s --help", c.CommandPath(), c.CommandPath())
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				err := s.UpdatePlan(c.Context(), args[0], func(plan *aaa.Plan) error { return f.applyTo(c, cfg, plan) })
				if err != nil {
					return missing(err, args[0], func() []string { return planNames(c.Context(), s) })
				}
				fmt.Fprintf(a.stdout, "plan %s changed\n", printable(args[0]))
				return nil
			})
		},
	}
	f.registerPlan(a, c, true)
	return c
}

func (a *app) planListCommand() *cobra.Command {
	return listCommand(a, "List plans", "radiusd plan list -o json", planColumns(false),
		func(ctx context.Context, s *store.Store) ([]aaa.Plan, error) { return s.Plans(ctx) })
}

func (a *app) planShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a plan",
		Example:           "  radiusd plan show home",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completePlans),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				plan, err := s.PlanByName(c.Context(), args[0])
				if err != nil {
					return missing(err, args[0], func() []string { return planNames(c.Context(), s) })
				}
				return writeOne(a, planColumns(true), plan)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) planDeleteCommand() *cobra.Command {
	return a.deleteCommand("plan", "A plan that users have cannot be deleted.", a.completePlans,
		func(ctx context.Context, s *store.Store, name string) error {
			_, err := s.PlanByName(ctx, name)
			return missing(err, name, func() []string { return planNames(ctx, s) })
		},
		func(ctx context.Context, s *store.Store, name string) error { return s.DeletePlan(ctx, name) })
}

// listCommand is a command that lists everything of one kind.
func listCommand[T any](a *app, short, example string, columns []column[T], list func(context.Context, *store.Store) ([]T, error)) *cobra.Command {
	c := &cobra.Command{
		Use:               "list",
		Short:             short,
		Example:           "  " + example,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				rows, err := list(c.Context(), s)
				if err != nil {
					return err
				}
				return writeList(a, columns, sliceRows(rows))
			})
		},
	}
	a.outputFlag(c)
	return c
}

// deleteCommand is a command that deletes one thing of a kind after asking. find
// is an error if there is none.
func (a *app) deleteCommand(kind, long string, complete cobra.CompletionFunc, find, remove func(context.Context, *store.Store, string) error) *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a " + kind,
		Long:              "Deletes a " + kind + ". " + long,
		Example:           "  radiusd " + strings.ToLower(kind) + " delete office --yes",
		Args:              arguments("NAME"),
		ValidArgsFunction: first(complete),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				if err := find(c.Context(), s, args[0]); err != nil {
					return err
				}
				if err := a.confirm(yes, "Delete %s %s?", kind, printable(args[0])); err != nil {
					return err
				}
				if err := remove(c.Context(), s, args[0]); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s %s deleted\n", kind, printable(args[0]))
				return nil
			})
		},
	}
	yesFlag(c, &yes)
	return c
}
