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

// orderColumns show an order.
var orderColumns = []column[billing.Order]{
	{name: "created_at", value: func(x *billing.Order) any { return x.CreatedAt }},
	{name: "username", value: func(x *billing.Order) any { return x.Username }},
	{name: "kind", value: func(x *billing.Order) any { return string(x.Kind) }},
	{name: "state", value: func(x *billing.Order) any { return string(x.State) }},
	{name: "amount", value: func(x *billing.Order) any { return x.Currency.Format(x.Amount) }},
	{name: "currency", value: func(x *billing.Order) any { return string(x.Currency) }},
	{name: "rate_id", value: func(x *billing.Order) any { return x.Details.RateID }, detail: true},
	{name: "start", value: func(x *billing.Order) any { return x.Details.Start.String() }, detail: true},
	{name: "at_period_end", value: func(x *billing.Order) any { return x.Details.AtPeriodEnd }, detail: true},
	{name: "expire_days", value: func(x *billing.Order) any { return x.Details.ExpireDays }, detail: true},
	{name: "subscription_id", value: func(x *billing.Order) any {
		if x.SubscriptionID != uuid.Nil {
			return x.SubscriptionID
		}
		return x.Details.SubscriptionID
	}, detail: true},
	{name: "payment_id", value: func(x *billing.Order) any { return x.PaymentID }, detail: true},
	{name: "from_credit", value: func(x *billing.Order) any { return x.FromCredit() }, detail: true},
	{name: "id", value: func(x *billing.Order) any { return x.ID }},
}

// orderEntryColumns show the history of an order.
var orderEntryColumns = []column[billing.OrderEntry]{
	{name: "at", value: func(e *billing.OrderEntry) any { return e.At }},
	{name: "state", value: func(e *billing.OrderEntry) any { return string(e.State) }},
	{name: "actor", value: func(e *billing.OrderEntry) any { return e.Actor }},
	{name: "note", value: func(e *billing.OrderEntry) any { return e.Note }},
}

func (a *app) orderCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "order",
		Short: "Take, list, pay and cancel what users order",
		Long: `An order is for a plan, a change of a subscription, or credit (top_up). Paying it
completes it, and so does the user's credit if it is for a plan or a change; one
that costs nothing is completed at once.`,
		Example: `  radiusd order add alice top_up --amount 20.00 --expire-days 90
  radiusd order add alice plan --plan fibre --amount 29.90
  radiusd order list --state open`,
	}
	c.AddCommand(a.orderListCommand(), a.orderShowCommand(), a.orderAddCommand(), a.orderPayCommand(), a.orderCheckoutCommand(), a.orderCompleteCommand(), a.orderCancelCommand())
	return c
}

func (a *app) orderListCommand() *cobra.Command {
	var user, state, kind string
	var limit int
	c := &cobra.Command{
		Use:               "list",
		Short:             "List orders, the newest first",
		Example:           "  radiusd order list --state open\n  radiusd order list --user alice -o json",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) (err error) {
				filter := billing.OrderFilter{State: billing.OrderState(state), Kind: billing.OrderKind(kind)}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				return writeList(a, orderColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Order, string, error) {
					return s.ListOrdersPage(c.Context(), filter, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	wordFlag(c, &state, "state", "only those in the `STATE`", "open", "paid", "completed", "cancelled")
	wordFlag(c, &kind, "kind", "only those of the `KIND`", "plan", "change", "top_up", "voucher")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

// withOrder runs fn on the order of an id.
func (a *app) withOrder(c *cobra.Command, text string, fn func(*config.Config, *store.Store, *billing.Order) error) error {
	orderID, err := idArgument("order", text)
	if err != nil {
		return err
	}
	return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
		x, err := s.OrderByID(c.Context(), orderID)
		if err != nil {
			return err
		}
		return fn(cfg, s, x)
	})
}

func (a *app) orderShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show ID",
		Short:             "Show an order and its history",
		Example:           "  radiusd order show 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOrder(c, args[0], func(_ *config.Config, _ *store.Store, x *billing.Order) error { return a.writeOrder(x) })
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) writeOrder(x *billing.Order) error {
	if a.format == formatJSON {
		columns := append(orderColumns[:len(orderColumns):len(orderColumns)], column[billing.Order]{
			name: "history", value: func(x *billing.Order) any { return rawList(orderEntryColumns, x.History) }})
		return writeOne(a, columns, x)
	}
	if err := writeOne(a, orderColumns, x); err != nil || a.format != formatTable {
		return err
	}
	return section(a, "history", orderEntryColumns, x.History)
}

func (a *app) orderAddCommand() *cobra.Command {
	var plan, subscription, amount, currency, start string
	var atPeriodEnd bool
	var expireDays int
	c := &cobra.Command{
		Use:   "add USER plan|change|top_up",
		Short: "Take an order",
		Long: `Takes an order of a plan (--plan), of a change of a subscription to what a plan
costs now (--subscription and --plan), or of credit. --amount is what has to be
paid for it to be completed; it becomes the user's credit, from which invoices
are paid. A plan or a change is completed from credit that the user has already,
as far as nothing else needs it, at once or when enough has come.`,
		Example: `  radiusd order add alice top_up --amount 20.00
  radiusd order add alice plan --plan fibre --amount 29.90
  radiusd order add alice change --subscription 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --plan fibre`,
		Args: arguments("USER", "KIND"),
		ValidArgsFunction: func(c *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []cobra.Completion{"plan", "change", "top_up"}, cobra.ShellCompDirectiveNoFileComp
			}
			return first(a.completeUsers)(c, args, toComplete)
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				user, err := userNamed(ctx, s, args[0])
				if err != nil {
					return err
				}
				x := billing.Order{UserID: user.ID, Kind: billing.OrderKind(args[1])}
				switch x.Kind {
				case billing.OrderPlan, billing.OrderChange, billing.OrderTopUp:
				default:
					return usagef("%q is no kind of order: want plan, change or top_up", args[1])
				}
				if x.Kind != billing.OrderTopUp {
					if plan == "" {
						return usagef("--plan is missing: want the plan that is ordered")
					}
					rate, err := offeredRate(ctx, s, plan)
					if err != nil {
						return err
					}
					x.Details.RateID, x.Currency = rate.ID, rate.Currency
				} else if x.Currency, err = currencyOf(c, s, user, currency); err != nil {
					return err
				}
				if subscription != "" {
					if x.Details.SubscriptionID, err = idArgument("subscription", subscription); err != nil {
						return err
					}
				}
				if amount != "" {
					if x.Amount, err = x.Currency.Parse(amount); err != nil {
						return usagef("--amount: %v", err)
					}
				}
				if x.Details.Start, err = dayFlag("from", start, billing.Date{}); err != nil {
					return err
				}
				if expireDays < 0 || expireDays > 3660 || expireDays > 0 && x.Kind != billing.OrderTopUp {
					return usagef("--expire-days: only credit ends, after 1 to 3660 days")
				}
				x.Details.AtPeriodEnd, x.Details.ExpireDays = atPeriodEnd, expireDays
				o, err := runOptions(ctx, s, a.today(cfg), cfg.Location(), a.now())
				if err != nil {
					return err
				}
				if err := s.CreateOrder(ctx, &x, o); err != nil {
					return err
				}
				return a.writeOrder(&x)
			})
		},
	}
	c.Flags().StringVar(&plan, "plan", "", "`PLAN` that is ordered, or changed to")
	c.Flags().StringVar(&subscription, "subscription", "", "`ID` of the subscription that is changed")
	c.Flags().StringVar(&amount, "amount", "", "`AMOUNT` that completes it when it is paid; empty: it is free")
	c.Flags().StringVar(&currency, "currency", "", "`CURRENCY` of credit; empty: that of the user's account")
	c.Flags().StringVar(&start, "from", "", "first `DAY`, as 2026-12-01; empty: that of the payment")
	c.Flags().BoolVar(&atPeriodEnd, "at-period-end", false, "change when the present period ends")
	c.Flags().IntVar(&expireDays, "expire-days", 0, "credit ends `N` days after the payment; 0: never")
	completeFlagFunc(c, "plan", a.completePlans)
	a.outputFlag(c)
	return c
}

func (a *app) orderPayCommand() *cobra.Command {
	f := &paymentFlags{}
	c := &cobra.Command{
		Use:               "pay ID",
		Short:             "Book the payment of an order, which completes it",
		Example:           "  radiusd order pay 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --method cash",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOrder(c, args[0], func(cfg *config.Config, s *store.Store, x *billing.Order) error {
				payment, err := f.payment(a, cfg)
				if err != nil {
					return err
				}
				payment.Amount, payment.Currency = x.Amount, x.Currency
				o, err := runOptions(c.Context(), s, a.today(cfg), cfg.Location(), a.now())
				if err != nil {
					return err
				}
				if x, err = s.PayOrder(c.Context(), x.ID, &payment, o); err != nil {
					return err
				}
				return a.writeOrder(x)
			})
		},
	}
	f.register(c)
	a.outputFlag(c)
	return c
}

func (a *app) orderCompleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "complete ID",
		Short: "Do what was ordered and paid",
		Long: `Completes an order that was paid by card and could not be completed then; why
stands in its history (radiusd order show). To keep the money as credit instead,
cancel it.`,
		Example:           "  radiusd order complete 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOrder(c, args[0], func(cfg *config.Config, s *store.Store, x *billing.Order) error {
				o, err := runOptions(c.Context(), s, a.today(cfg), cfg.Location(), a.now())
				if err != nil {
					return err
				}
				if x, err = s.CompleteOrder(c.Context(), x.ID, o); err != nil {
					return err
				}
				return a.writeOrder(x)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) orderCancelCommand() *cobra.Command {
	var note string
	c := &cobra.Command{
		Use:               "cancel ID",
		Short:             "Cancel an order that is not completed",
		Example:           "  radiusd order cancel 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa --note 'Moved away'",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withOrder(c, args[0], func(_ *config.Config, s *store.Store, x *billing.Order) error {
				if err := s.CancelOrder(c.Context(), x.ID, note); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "order %s is cancelled\n", x.ID)
				return nil
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "`TEXT` that says why")
	return c
}
