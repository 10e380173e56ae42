package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/billing/checkout"
	"radiusd/config"
	"radiusd/store"
)

// paymentColumns show a payment or a refund.
var paymentColumns = []column[billing.Payment]{
	{name: "received_on", value: func(p *billing.Payment) any { return p.ReceivedOn.String() }},
	{name: "username", value: func(p *billing.Payment) any { return p.Username }},
	{name: "method", value: func(p *billing.Payment) any { return string(p.Method) }},
	{name: "amount", value: func(p *billing.Payment) any {
		if p.Refunds != uuid.Nil {
			return p.Currency.Format(-p.Amount)
		}
		return p.Currency.Format(p.Amount)
	}},
	{name: "currency", value: func(p *billing.Payment) any { return string(p.Currency) }},
	{name: "invoices", value: func(p *billing.Payment) any {
		texts := make([]string, 0, len(p.Allocations))
		for _, x := range p.Allocations {
			texts = append(texts, x.Number+" "+p.Currency.Format(x.Amount))
		}
		return texts
	}},
	{name: "reference", value: func(p *billing.Payment) any { return p.Reference }},
	{name: "expires_on", value: func(p *billing.Payment) any { return p.ExpiresOn.String() }, detail: true},
	{name: "expired", value: func(p *billing.Payment) any { return p.Currency.Format(p.Expired) }, detail: true},
	{name: "provider", value: func(p *billing.Payment) any { return p.Provider }, detail: true},
	{name: "refunds", value: func(p *billing.Payment) any { return p.Refunds }, detail: true},
	{name: "note", value: func(p *billing.Payment) any { return p.Note }, detail: true},
	{name: "created_at", value: func(p *billing.Payment) any { return p.CreatedAt }, detail: true},
	{name: "id", value: func(p *billing.Payment) any { return p.ID }},
}

func (a *app) paymentCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "payment",
		Short: "Book payments and refunds, and list them",
		Long: `A payment goes to the invoices that are named, or to the oldest open ones; what
is left is the user's credit, and goes to the next invoice.`,
		Example: `  radiusd payment add alice 29.90 --method cash
  radiusd payment add alice 29.90 --method bank --provider bank --reference 2026-11-03/17
  radiusd payment import statement.xml
  radiusd payment list --user alice`,
	}
	c.AddCommand(a.paymentAddCommand(), a.paymentListCommand(), a.paymentShowCommand(), a.paymentRefundCommand(),
		a.paymentImportCommand(), a.paymentEntriesCommand(), a.paymentAssignCommand(), a.paymentDismissCommand())
	return c
}

// paymentFlags say how money came or went.
type paymentFlags struct {
	method, provider, reference, on, note string
}

func (f *paymentFlags) register(c *cobra.Command) {
	f.method = "cash"
	wordFlag(c, &f.method, "method", "`METHOD`", "cash", "bank", "card")
	c.Flags().Lookup("method").DefValue = "cash"
	c.Flags().StringVar(&f.provider, "provider", "", "other `SYSTEM` that the reference is of")
	c.Flags().StringVar(&f.reference, "reference", "", "what it is called there: one `REFERENCE` is booked once")
	c.Flags().StringVar(&f.on, "on", "", "`DAY` it came; empty: today")
	c.Flags().StringVar(&f.note, "note", "", "`TEXT` for the books")
}

// payment is what the flags say.
func (f *paymentFlags) payment(a *app, cfg *config.Config) (p billing.Payment, err error) {
	p = billing.Payment{Method: billing.PaymentMethod(f.method), Provider: f.provider, Reference: f.reference, Note: f.note}
	if p.Method == "" {
		p.Method = billing.PaidCash
	}
	p.ReceivedOn, err = dayFlag("on", f.on, a.today(cfg))
	if err == nil && a.today(cfg).Before(p.ReceivedOn) {
		err = usagef("--on %s has not come yet", p.ReceivedOn)
	}
	return p, err
}

func (a *app) paymentAddCommand() *cobra.Command {
	f := &paymentFlags{}
	var currency, expires string
	var invoices []string
	c := &cobra.Command{
		Use:   "add USER AMOUNT",
		Short: "Book a payment",
		Long: `Books money that came from a user. With --provider and --reference the same
payment is booked once, however often it is reported. Who was deleted and owes
something still is named by the id that stands on the invoice as user_id.`,
		Example: `  radiusd payment add alice 29.90
  radiusd payment add alice 20 --expires-on 2027-06-30
  radiusd payment add alice 59.80 --invoice INV-000007 --invoice INV-000009 --method bank`,
		Args:              arguments("USER", "AMOUNT"),
		Annotations:       map[string]string{belowZero: "a payment is of more than nothing; to give money back use radiusd payment refund"},
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				ctx := c.Context()
				user, err := accountNamed(ctx, s, args[0])
				if err != nil {
					return err
				}
				payment, err := f.payment(a, cfg)
				if err != nil {
					return err
				}
				payment.UserID = user.ID
				if payment.ExpiresOn, err = dayFlag("expires-on", expires, billing.Date{}); err != nil {
					return err
				}
				if payment.Currency, err = currencyOf(c, s, user, currency); err != nil {
					return err
				}
				if payment.Amount, err = payment.Currency.Parse(args[1]); err != nil {
					return usagef("%v", err)
				}
				rest := payment.Amount
				for _, number := range invoices {
					invoice, err := s.InvoiceByNumber(ctx, number)
					if err != nil {
						return err
					}
					part := min(rest, invoice.Open())
					rest -= part
					payment.Allocations = append(payment.Allocations, billing.Allocation{InvoiceID: invoice.ID, Amount: part})
				}
				booked, err := s.RecordPayment(ctx, &payment)
				if err != nil {
					return err
				}
				if !booked {
					fmt.Fprintf(a.stderr, "this payment was booked before\n")
				}
				made, err := s.PaymentByID(ctx, payment.ID)
				if err != nil {
					return err
				}
				return writeOne(a, paymentColumns, made)
			})
		},
	}
	f.register(c)
	c.Flags().StringVar(&currency, "currency", "", "`CURRENCY`; empty: that of the user's account")
	c.Flags().StringVar(&expires, "expires-on", "", "last `DAY` on which what is left of it can be used")
	c.Flags().StringArrayVar(&invoices, "invoice", nil, "`NUMBER` of the invoice it is for (repeated); empty: the oldest ones")
	a.outputFlag(c)
	return c
}

// currencyOf returns the currency that a flag names, or else the only one the user has
// an account, a subscription or a charge on no invoice in.
func currencyOf(c *cobra.Command, s *store.Store, user *aaa.User, text string) (billing.Currency, error) {
	if text != "" {
		currency, err := billing.ParseCurrency(text)
		if err != nil {
			return "", usagef("--currency: %v", err)
		}
		return currency, nil
	}
	balances, err := s.Balances(c.Context(), user.ID)
	if err != nil {
		return "", err
	}
	found := slices.Collect(maps.Keys(balances))
	subscriptions, err := s.SubscriptionsOf(c.Context(), user.ID)
	if err != nil {
		return "", err
	}
	for i := range subscriptions {
		found = append(found, subscriptions[i].Rate.Currency)
	}
	pending := true
	charges, _, err := s.ListChargesPage(c.Context(), billing.ChargeFilter{UserID: user.ID, Pending: &pending}, aaa.Page{Limit: 100})
	if err != nil {
		return "", err
	}
	for i := range charges {
		found = append(found, charges[i].Currency)
	}
	slices.Sort(found)
	switch found = slices.Compact(found); len(found) {
	case 0:
		return "", usagef("%s has no subscription and no balance yet: say the currency with --currency", printable(user.Name))
	case 1:
		return found[0], nil
	}
	return "", usagef("%s has %d currencies: say which with --currency", printable(user.Name), len(found))
}

func (a *app) paymentListCommand() *cobra.Command {
	var user, method, from, before string
	var limit int
	c := &cobra.Command{
		Use:               "list",
		Short:             "List payments and refunds, the newest first",
		Example:           "  radiusd payment list --user alice\n  radiusd payment list --from 2026-11-01 --before 2026-12-01 -o csv",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) (err error) {
				filter := billing.PaymentFilter{Method: billing.PaymentMethod(method)}
				if filter.ReceivedFrom, err = dayFlag("from", from, billing.Date{}); err != nil {
					return err
				}
				if filter.ReceivedBefore, err = dayFlag("before", before, billing.Date{}); err != nil {
					return err
				}
				if filter.UserID, err = userFlag(c.Context(), s, user); err != nil {
					return err
				}
				return writeList(a, paymentColumns, eachCursorPage(limit, func(page aaa.Page) ([]billing.Payment, string, error) {
					return s.ListPaymentsPage(c.Context(), filter, page)
				}))
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "only those of the user `NAME`")
	c.Flags().StringVar(&from, "from", "", "only those that came on the `DAY` or later")
	c.Flags().StringVar(&before, "before", "", "only those that came before the `DAY`")
	c.Flags().IntVar(&limit, "limit", 0, "at most `N`; 0: all")
	wordFlag(c, &method, "method", "only those by the `METHOD`", "cash", "bank", "card", "voucher")
	completeFlagFunc(c, "user", a.completeUsers)
	a.outputFlag(c)
	return c
}

func (a *app) paymentShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "show ID",
		Short:             "Show a payment",
		Example:           "  radiusd payment show 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa",
		Args:              arguments("ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			paymentID, err := idArgument("payment", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				payment, err := s.PaymentByID(c.Context(), paymentID)
				if err != nil {
					return err
				}
				return writeOne(a, paymentColumns, payment)
			})
		},
	}
	a.outputFlag(c)
	return c
}

func (a *app) paymentRefundCommand() *cobra.Command {
	f := &paymentFlags{}
	chargedBack := false
	c := &cobra.Command{
		Use:   "refund ID AMOUNT",
		Short: "Give some of a payment back, or book that it was",
		Long: `Books a refund. What is on no invoice goes back first, and then what is on the
invoices that were paid last, which are open again unless other credit pays them.
What came by a page of the card provider is given back by that (--method card), and
booked once it was; with --reference it was given back there already, by that name.
What charges have used up that are on no invoice yet, such as prepaid days, goes
back only with --charged-back: the bank or the card's owner has taken it already.`,
		Example:           "  radiusd payment refund 019c1f0e-2f52-7d1c-9b7e-3d5a86f6c0aa 10.00",
		Args:              arguments("ID", "AMOUNT"),
		Annotations:       map[string]string{belowZero: "a refund is of more than nothing: of what goes back"},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			paymentID, err := idArgument("payment", args[0])
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				payment, err := s.PaymentByID(c.Context(), paymentID)
				if err != nil {
					return err
				}
				refund, err := f.payment(a, cfg)
				if err != nil {
					return err
				}
				refund.Refunds, refund.ChargedBack = payment.ID, chargedBack
				if !c.Flags().Changed("method") {
					refund.Method = payment.Method
				}
				if refund.Amount, err = payment.Currency.Parse(args[1]); err != nil {
					return usagef("%v", err)
				}
				provider, err := cardProvider(cfg)
				if err != nil {
					return err
				}
				if _, err := checkout.GiveBack(c.Context(), provider, s, &refund, ""); err != nil {
					return err
				}
				made, err := s.PaymentByID(c.Context(), refund.ID)
				if err != nil {
					return err
				}
				return writeOne(a, paymentColumns, made)
			})
		},
	}
	f.register(c)
	c.Flags().Lookup("method").DefValue = "as it came"
	c.Flags().BoolVar(&chargedBack, "charged-back", false, "the money is gone already, by a dispute or a returned direct debit")
	a.outputFlag(c)
	return c
}

// balance is what a user owes in a currency.
type balance struct {
	currency billing.Currency
	amount   billing.Amount
}

func (a *app) balanceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "balance USER",
		Short:             "Show what a user owes",
		Long:              "Shows what a user owes in each currency. Less than nothing is credit.",
		Example:           "  radiusd balance alice",
		Args:              arguments("USER"),
		ValidArgsFunction: first(a.completeUsers),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				user, err := accountNamed(c.Context(), s, args[0])
				if err != nil {
					return err
				}
				amounts, err := s.Balances(c.Context(), user.ID)
				if err != nil {
					return err
				}
				var list []balance
				for _, currency := range slices.Sorted(maps.Keys(amounts)) {
					list = append(list, balance{currency, amounts[currency]})
				}
				return writeList(a, []column[balance]{
					{name: "username", value: func(*balance) any { return user.Name }},
					{name: "currency", value: func(b *balance) any { return string(b.currency) }},
					{name: "owed", value: func(b *balance) any { return b.currency.Format(b.amount) }},
				}, sliceRows(list))
			})
		},
	}
	a.outputFlag(c)
	return c
}
