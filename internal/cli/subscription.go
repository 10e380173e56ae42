package cli

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// subscriptionColumns show a subscription.
var subscriptionColumns = []column[billing.Subscription]{
	{name: "username", value: func(x *billing.Subscription) any { return x.Username }},
	{name: "plan", value: func(x *billing.Subscription) any { return x.Rate.PlanName }},
	{name: "version", value: func(x *billing.Subscription) any { return x.Rate.Version }},
	{name: "state", value: func(x *billing.Subscription) any { return string(x.State) }},
	{name: "price", value: func(x *billing.Subscription) any {
		return x.Rate.Currency.Format(x.Rate.Terms.Price)
	}},
	{name: "currency", value: func(x *billing.Subscription) any { return string(x.Rate.Currency) }},
	{name: "every", value: func(x *billing.Subscription) any { return formatInterval(x.Rate.Terms.Every) }},
	{name: "start", value: func(x *billing.Subscription) any { return x.Start.String() }},
	{name: "end", value: func(x *billing.Subscription) any { return x.End.String() }},
	{name: "charged_until", value: func(x *billing.Subscription) any { return x.ChargedUntil.String() }},
	{name: "rated_until", value: func(x *billing.Subscription) any { return x.RatedUntil.String() }, detail: true},
	{name: "next_rate_id", value: func(x *billing.Subscription) any { return x.NextRateID }, detail: true},
	{name: "next_from", value: func(x *billing.Subscription) any { return x.NextFrom.String() }, detail: true},
	{name: "created_at", value: func(x *billing.Subscription) any { return x.CreatedAt }, detail: true},
	{name: "updated_at", value: func(x *billing.Subscription) any { return x.UpdatedAt }, detail: true},
	{name: "id", value: func(x *billing.Subscription) any { return x.ID }},
}

func (a *app) subscriptionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "subscription",
		Short: "Subscribe users to plans, and list subscriptions",
		Long: `A subscription is a user's plan with the terms it was bought at: a billing run
charges for it until it ends. A new price of the plan leaves it as it is.`,
		Example: `  radiusd subscription add alice home
  radiusd subscription list --user alice
  radiusd subscription list --state active --plan home -o csv`,
	}
	c.AddCommand(a.subscriptionAddCommand(), a.subscriptionListCommand(), a.subscriptionShowCommand(), a.subscriptionChangeCommand(), a.subscriptionCancelCommand(), a.subscriptionResumeCommand())
	return c
}

func (a *app) subscriptionAddCommand() *cobra.Command {
	var from, end string
	c := &cobra.Command{
		Use:   "add USER PLAN",
		Short: "Subscribe a user to a plan at its present price",
		Example: `  radiusd subscription add alice home
  radiusd subscription add bob metered --from 2026-12-01 --until 2027-03-01`,
		Args:              arguments("USER", "PLAN"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				user, err := userNamed(ctx, s, args[0])
				if err != nil {
					return err
				}
				rate, err := offeredRate(ctx, s, args[1])
				if err != nil {
					return err
				}
				x := billing.Subscription{UserID: user.ID, Rate: billing.Rate{ID: rate.ID}}
				if x.Start, err = dayFlag("from", from, a.today(cfg)); err != nil {
					return err
				}
				if x.End, err = dayFlag("until", end, billing.Date{}); err != nil {
					return err
				}
				if err := s.CreateSubscription(ctx, &x); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s has %s from %s on, for %s %s every %s (subscription %s)\n", printable(x.Username), printable(rate.PlanName), x.Start,
					rate.Currency.Format(rate.Terms.Price), rate.Currency, formatInterval(rate.Terms.Every), x.ID)
				return nil
			})
		},
	}
	c.Flags().StringVar(&from, "from", "", "first `DAY`, as 2026-12-01; empty: today")
	c.Flags().StringVar(&end, "until", "", "the `DAY` after the last one; empty: it goes on")
	return c
}

func (a *app) subscriptionListCommand() *cobra.Command {
	var user, plan, state string
	var limit int
	c := &cobra.Command{
		Use:   "list",
		Short: "List subscriptions, the newest first",
		Example: `  radiusd subscription list
  radiusd subscription list --user alice
  radiusd subscription list --state active --plan home -o csv`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				ctx := c.Context()
				filter := billing.SubscriptionFilter{State: billing.SubscriptionState(state)}
				if user != "" {
					found, err := userNamed(ctx, s, user)
					if err != nil {
						return err
					}
					filter.UserID = found.ID
				}
				if plan != "" {
					found, err := s.PlanByName(ctx, plan)
					if err != nil {
						return missing(err, plan, func() []string { return planNames(ctx, s) })
					}
					filter.PlanID = found.ID
				}
				return writeList(a, subscriptionColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Subscription, string, error) {
					return s.ListSubscriptionsPage(ctx, filter, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().StringVar(&plan, "plan", "", "only those to the plan `NAME`")
	wordFlag(c, &state, "state", "only those in the `STATE`", "trial", "active", "grace", "suspended", "ended")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	completeFlagFunc(c, "user", a.completeUsers)
	completeFlagFunc(c, "plan", a.completePlans)
	a.outputFlag(c)
	return c
}

func (a *app) subscriptionShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show ID",
		Short:             "Show a subscription",
		Example:           "  radiusd subscription show 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withSubscription(c, args[0], func(_ *config.Config, s *store.Store, subscriptionID uuid.UUID) error {
				x, err := s.SubscriptionByID(c.Context(), subscriptionID)
				if err != nil {
					return err
				}
				return writeOne(a, subscriptionColumns, x)
			})
		},
	}
	a.outputFlag(c)
	return c
}

// withSubscription runs fn on the subscription that an argument names.
func (a *app) withSubscription(c *cobra.Command, text string, fn func(*config.Config, *store.Store, uuid.UUID) error) error {
	subscriptionID, err := idArgument("subscription", text)
	if err != nil {
		return err
	}
	return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error { return fn(cfg, s, subscriptionID) })
}

// amendSubscription changes a subscription by one of billing's rules, and shows it.
func (a *app) amendSubscription(c *cobra.Command, text string, rule func(*config.Config, *store.Store, *billing.Subscription) (func(*billing.Account, billing.RunOptions) (*billing.Bill, error), error)) error {
	return a.withSubscription(c, text, func(cfg *config.Config, s *store.Store, subscriptionID uuid.UUID) error {
		ctx := c.Context()
		x, err := s.SubscriptionByID(ctx, subscriptionID)
		if err != nil {
			return err
		}
		amend, err := rule(cfg, s, x)
		if err != nil {
			return err
		}
		o, err := runOptions(ctx, s, a.today(cfg), cfg.Location(), a.now())
		if err != nil {
			return err
		}
		if err := s.BillAccount(ctx, x.UserID, o, amend); err != nil {
			return err
		}
		if x, err = s.SubscriptionByID(ctx, subscriptionID); err != nil {
			return err
		}
		return writeOne(a, subscriptionColumns, x)
	})
}

// changeDay is the day that --on and --at-period-end name.
func (a *app) changeDay(cfg *config.Config, x *billing.Subscription, on string, atPeriodEnd bool) (billing.Date, error) {
	if atPeriodEnd {
		if on != "" {
			return billing.Date{}, usagef("--on and --at-period-end exclude each other")
		}
		return x.PeriodEnd(a.today(cfg)), nil
	}
	return dayFlag("on", on, a.today(cfg))
}

func (a *app) subscriptionChangeCommand() *cobra.Command {
	var on string
	var atPeriodEnd bool
	c := &cobra.Command{
		Use:   "change ID PLAN",
		Short: "Move a subscription to another plan, or to its plan's present price",
		Long: `Moves a subscription to what a plan costs now, today or on a later day. Days
that were paid are credited, and the new ones charged; both stand on the next
invoice.`,
		Example: `  radiusd subscription change 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa fibre
  radiusd subscription change 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa fibre --at-period-end`,
		Args:              arguments("ID", "PLAN"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.amendSubscription(c, args[0], func(cfg *config.Config, s *store.Store, x *billing.Subscription) (func(*billing.Account, billing.RunOptions) (*billing.Bill, error), error) {
				to, err := offeredRate(c.Context(), s, args[1])
				if err != nil {
					return nil, err
				}
				day, err := a.changeDay(cfg, x, on, atPeriodEnd)
				return func(account *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
					return billing.Change(account, x.ID, *to, day, o)
				}, err
			})
		},
	}
	c.Flags().StringVar(&on, "on", "", "first `DAY` of the new plan; empty: today")
	c.Flags().BoolVar(&atPeriodEnd, "at-period-end", false, "when the present period is over")
	a.outputFlag(c)
	return c
}

func (a *app) subscriptionCancelCommand() *cobra.Command {
	var on string
	var atPeriodEnd bool
	c := &cobra.Command{
		Use:   "cancel ID",
		Short: "End a subscription",
		Long: `Ends a subscription, today or on a later day, which is the first one without
service: the user expires then. Days after it that were paid are credited.`,
		Example: `  radiusd subscription cancel 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --at-period-end
  radiusd subscription cancel 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --on 2027-01-01`,
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.amendSubscription(c, args[0], func(cfg *config.Config, _ *store.Store, x *billing.Subscription) (func(*billing.Account, billing.RunOptions) (*billing.Bill, error), error) {
				day, err := a.changeDay(cfg, x, on, atPeriodEnd)
				return func(account *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
					return billing.Cancel(account, x.ID, day, o)
				}, err
			})
		},
	}
	c.Flags().StringVar(&on, "on", "", "first `DAY` without service; empty: today")
	c.Flags().BoolVar(&atPeriodEnd, "at-period-end", false, "when the present period is over")
	a.outputFlag(c)
	return c
}

func (a *app) subscriptionResumeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "resume ID",
		Short:             "Take back the end of a subscription that has not come yet",
		Example:           "  radiusd subscription resume 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.amendSubscription(c, args[0], func(_ *config.Config, _ *store.Store, x *billing.Subscription) (func(*billing.Account, billing.RunOptions) (*billing.Bill, error), error) {
				return func(account *billing.Account, o billing.RunOptions) (*billing.Bill, error) {
					return billing.Resume(account, x.ID, o)
				}, nil
			})
		},
	}
	a.outputFlag(c)
	return c
}
