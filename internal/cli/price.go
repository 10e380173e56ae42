package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"radiusd/aaa"
	"radiusd/billing"
	"radiusd/config"
	"radiusd/store"
)

// priceColumns show a rate.
var priceColumns = []column[billing.Rate]{
	{name: "plan", value: func(r *billing.Rate) any { return r.PlanName }},
	{name: "version", value: func(r *billing.Rate) any { return r.Version }},
	{name: "currency", value: func(r *billing.Rate) any { return string(r.Currency) }},
	{name: "price", value: func(r *billing.Rate) any { return r.Currency.Format(r.Terms.Price) }},
	{name: "every", value: func(r *billing.Rate) any { return formatInterval(r.Terms.Every) }},
	{name: "timing", value: func(r *billing.Rate) any { return string(r.Terms.Timing) }},
	{name: "setup", value: func(r *billing.Rate) any { return r.Currency.Format(r.Terms.Setup) }, detail: true},
	{name: "trial_days", value: func(r *billing.Rate) any { return r.Terms.TrialDays }, detail: true},
	{name: "billing_day", value: func(r *billing.Rate) any { return r.Terms.BillingDay }, detail: true},
	{name: "prepaid", value: func(r *billing.Rate) any { return string(r.Terms.Prepaid) }, detail: true},
	{name: "tax_class", value: func(r *billing.Rate) any { return r.Terms.TaxClass }},
	{name: "tax_included", value: func(r *billing.Rate) any { return r.Terms.TaxIncluded }, detail: true},
	{name: "due_days", value: func(r *billing.Rate) any { return r.Terms.DueDays }, detail: true},
	{name: "usage", value: func(r *billing.Rate) any { return usageTexts(r.Terms.Usage) }},
	{name: "created_at", value: func(r *billing.Rate) any { return r.CreatedAt }, detail: true},
	{name: "retired_at", value: func(r *billing.Rate) any { return r.RetiredAt }},
	{name: "id", value: func(r *billing.Rate) any { return r.ID }, detail: true},
}

// priceFlags are the terms of a plan as flags.
type priceFlags struct {
	terms, currency, price, setup, every, prepaid, tax string
	usage                                              []string
	trialDays, billingDay, dueDays                     int
	arrears, taxIncluded, wholePeriods                 bool
}

func (a *app) planPriceCommand() *cobra.Command {
	f := &priceFlags{}
	c := &cobra.Command{
		Use:   "price NAME",
		Short: "Set what a plan costs, or show it",
		Long: `Sets what a plan costs from now on; without flags it shows it. Each price is a new
version of the plan's terms: who has subscribed keeps the version they bought until
they are moved (radiusd subscription change).

--usage charges for what is used beyond the price, and is repeated for each metric
(seconds, octets, upload, download), in words of NAME=VALUE:

  allowance=100GiB     free of charge in each period; rollover=1 carries what is
                       left into so many periods
  price=0.10           for each unit; or in tiers, up to an amount: 500GiB:0.10,0.05
  per=1GiB             the unit of the price (1GiB for octets, 1h for seconds)
  step=1MiB            round usage up to a multiple
  minimum=1.00         charge at least, if there is any
  hours=Wk0800-1800    only at these times, as a plan's login hours
  name='Data'          on the invoice`,
		Example: `  radiusd plan price home --currency EUR --price 29.90 --every month --tax standard --due-days 14
  radiusd plan price metered --currency EUR --price 9.90 --usage 'octets allowance=100GiB price=0.10 per=1GiB'
  radiusd plan price hotspot --currency USD --price 5 --every '7 days' --tax-included
  radiusd plan price home
  radiusd plan price complicated --currency EUR --terms terms.json`,
		Args:              arguments("NAME"),
		ValidArgsFunction: first(a.completePlans),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				plan, err := s.PlanByName(c.Context(), args[0])
				if err != nil {
					return missing(err, args[0], func() []string { return planNames(c.Context(), s) })
				}
				if !c.Flags().Changed("price") && !c.Flags().Changed("terms") {
					rate, err := s.OfferedRate(c.Context(), plan.ID)
					if err != nil {
						return noPrice(err, plan.Name)
					}
					return writeOne(a, priceColumns, rate)
				}
				rate, err := f.rate(plan)
				if err != nil {
					return err
				}
				if err := invalid(rate.Terms.Validate(rate.Currency)); err != nil {
					return err
				}
				if err := s.CreateRate(c.Context(), rate); err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "plan %s costs %s %s every %s from now on (version %d)\n",
					printable(plan.Name), rate.Currency.Format(rate.Terms.Price), rate.Currency, formatInterval(rate.Terms.Every), rate.Version)
				return a.warnOfTaxClass(c.Context(), s, rate.Terms.TaxClass)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.currency, "currency", "", "`CURRENCY` of all amounts, as EUR")
	flags.StringVar(&f.price, "price", "", "`AMOUNT` for each period")
	flags.StringVar(&f.every, "every", "month", "length of a `PERIOD`: day, week, month, quarter, year, or so many, as in '30 days'")
	flags.BoolVar(&f.arrears, "arrears", false, "charge after each period rather than before")
	flags.StringVar(&f.setup, "setup", "", "`AMOUNT` to be paid once, with the first period")
	flags.IntVar(&f.trialDays, "trial-days", 0, "`DAYS` free of charge at the beginning")
	flags.IntVar(&f.billingDay, "billing-day", 0, "`DAY` of the month on which all periods begin; 0: that of the first day")
	flags.BoolVar(&f.wholePeriods, "whole-periods", false, "charge broken periods in full rather than by the day")
	flags.StringVar(&f.prepaid, "prepaid", "", "`MODE`: daily (the price accrues by the day) or usage (pay as you go); empty: postpaid")
	flags.StringVar(&f.tax, "tax", "", "tax `CLASS` (radiusd tax list); empty: not taxed")
	flags.BoolVar(&f.taxIncluded, "tax-included", false, "all amounts contain the tax")
	flags.IntVar(&f.dueDays, "due-days", 0, "`DAYS` after which an invoice is due")
	flags.StringArrayVar(&f.usage, "usage", nil, "charge for usage: `TERMS` as described above (repeated)")
	flags.StringVar(&f.terms, "terms", "", "take all terms from a JSON `FILE`, as the API has them, instead of flags")
	completeFlag(c, "every", "day", "week", "month", "quarter", "year")
	completeFlag(c, "prepaid", "daily", "usage")
	a.outputFlag(c)
	return c
}

func (a *app) planPricesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:               "prices [NAME]",
		Short:             "List what plans cost and have cost",
		Example:           "  radiusd plan prices home",
		Args:              arguments("[NAME]"),
		ValidArgsFunction: first(a.completePlans),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withStore(c.Context(), func(_ *config.Config, s *store.Store) error {
				var filter billing.RateFilter
				if len(args) > 0 {
					plan, err := s.PlanByName(c.Context(), args[0])
					if err != nil {
						return missing(err, args[0], func() []string { return planNames(c.Context(), s) })
					}
					filter.PlanID = plan.ID
				}
				return writeList(a, priceColumns, eachCursorPage(0, func(page aaa.Page) ([]billing.Rate, string, error) {
					return s.ListRatesPage(c.Context(), filter, page)
				}))
			})
		},
	}
	a.outputFlag(c)
	return c
}

// noPrice says what to do about a plan that costs nothing yet.
func noPrice(err error, plan string) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("plan %s has no price: set one with radiusd plan price %s --currency EUR --price AMOUNT", printable(plan), printable(plan))
	}
	return err
}

// rate returns what the flags say.
func (f *priceFlags) rate(plan *aaa.Plan) (*billing.Rate, error) {
	currency, err := billing.ParseCurrency(strings.ToUpper(f.currency))
	if err != nil {
		return nil, usagef("--currency: %v", err)
	}
	rate := &billing.Rate{PlanID: plan.ID, PlanName: plan.Name, Currency: currency}
	if f.terms != "" {
		if f.price != "" || f.usage != nil {
			return nil, usagef("--terms has everything: it does not go with --price and --usage")
		}
		text, err := os.ReadFile(f.terms)
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&rate.Terms); err != nil {
			return nil, fmt.Errorf("%s: %w", f.terms, err)
		}
		return rate, nil
	}
	t := &rate.Terms
	*t = billing.Terms{
		BillingDay: f.billingDay, Timing: billing.InAdvance, TrialDays: f.trialDays, WholePeriods: f.wholePeriods,
		TaxClass: f.tax, TaxIncluded: f.taxIncluded, Prepaid: billing.PrepaidMode(f.prepaid), DueDays: f.dueDays,
	}
	if f.arrears {
		t.Timing = billing.InArrears
	}
	if t.Price, err = currency.Parse(f.price); err != nil {
		return nil, usagef("--price: %v", err)
	}
	if f.setup != "" {
		if t.Setup, err = currency.Parse(f.setup); err != nil {
			return nil, usagef("--setup: %v", err)
		}
	}
	if t.Every, err = parseInterval(f.every); err != nil {
		return nil, usagef("--every: %v", err)
	}
	for _, text := range f.usage {
		usage, err := parseUsageTerms(currency, text)
		if err != nil {
			return nil, usagef("--usage %q: %v", text, err)
		}
		t.Usage = append(t.Usage, usage)
	}
	return rate, nil
}

// parseInterval reads month, 3 months or "30 days".
func parseInterval(text string) (billing.Interval, error) {
	words := strings.Fields(text)
	interval := billing.Interval{Count: 1}
	if len(words) == 2 {
		n, err := strconv.Atoi(words[0])
		if err != nil {
			return interval, fmt.Errorf("%q is no length of time: want month, or '30 days'", text)
		}
		interval.Count, words = n, words[1:]
	}
	if len(words) != 1 {
		return interval, fmt.Errorf("%q is no length of time: want month, or '30 days'", text)
	}
	interval.Unit = billing.IntervalUnit(strings.TrimSuffix(words[0], "s"))
	return interval, nil
}

// formatInterval writes an interval as parseInterval reads it.
func formatInterval(i billing.Interval) string {
	if i.Count == 1 {
		return string(i.Unit)
	}
	return fmt.Sprintf("%d %ss", i.Count, i.Unit)
}

// parseUsageTerms reads terms such as 'octets allowance=100GiB price=0.10 per=1GiB'.
func parseUsageTerms(currency billing.Currency, text string) (u billing.UsageTerms, err error) {
	words, err := splitWords(text)
	if err != nil {
		return u, err
	}
	if len(words) == 0 {
		return u, errors.New("want a metric and its price")
	}
	u.Metric, u.Per = billing.Metric(words[0]), 1<<30
	quantity := parseOctets
	if u.Metric == billing.MetricSeconds {
		u.Per = 3600
		quantity = func(s string) (uint64, error) {
			d, err := parseSpan(s)
			return uint64(d / time.Second), err
		}
	}
	for _, word := range words[1:] {
		name, value, found := strings.Cut(word, "=")
		if !found {
			return u, fmt.Errorf("%q: want NAME=VALUE", word)
		}
		switch name {
		case "allowance":
			u.Allowance, err = quantity(value)
		case "rollover":
			u.Rollover, err = strconv.Atoi(value)
		case "per":
			u.Per, err = quantity(value)
		case "step":
			u.Step, err = quantity(value)
		case "price":
			u.Tiers, err = parseTiers(value, quantity)
		case "minimum":
			u.Minimum, err = currency.Parse(value)
		case "hours":
			u.Hours = value
			_, err = aaa.ParseLoginHours(value)
		case "name":
			u.Name = value
		default:
			err = errors.New("want allowance, rollover, price, per, step, minimum, hours or name")
		}
		if err != nil {
			return u, fmt.Errorf("%s: %w", name, err)
		}
	}
	return u, nil
}

// parseTiers reads 0.10, or 500GiB:0.10,0.05.
func parseTiers(text string, quantity func(string) (uint64, error)) (tiers []billing.Tier, err error) {
	for part := range strings.SplitSeq(text, ",") {
		var tier billing.Tier
		upTo, price, found := strings.Cut(part, ":")
		if !found {
			upTo, price = "", part
		}
		if found {
			if tier.UpTo, err = quantity(upTo); err != nil {
				return nil, err
			}
		}
		if tier.Price, err = billing.ParseDecimal(price); err != nil {
			return nil, err
		}
		tiers = append(tiers, tier)
	}
	return tiers, nil
}

// splitWords splits at spaces that are not within single quotes.
func splitWords(text string) (words []string, err error) {
	quoted := false
	fields := strings.FieldsFunc(text, func(r rune) bool {
		if r == '\'' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
	if quoted {
		return nil, errors.New("a quote is not closed")
	}
	for _, field := range fields {
		words = append(words, strings.ReplaceAll(field, "'", ""))
	}
	return words, nil
}

// usageTexts writes usage terms for people.
func usageTexts(list []billing.UsageTerms) []string {
	texts := make([]string, 0, len(list))
	for i := range list {
		u := &list[i]
		quantity := formatBinary
		if u.Metric == billing.MetricSeconds {
			quantity = func(n uint64) string { return formatSpan(time.Duration(n) * time.Second) }
		}
		text := string(u.Metric) + ":"
		if u.Allowance > 0 {
			text += " " + quantity(u.Allowance) + " free, then"
		}
		for j, tier := range u.Tiers {
			if j > 0 {
				text += ","
			}
			text += " " + tier.Price.String()
			if tier.UpTo > 0 {
				text += " up to " + quantity(tier.UpTo)
			}
		}
		texts = append(texts, text+" per "+quantity(u.Per))
	}
	return texts
}

// formatBinary writes octets as a price has them, in GiB or MiB where they are such.
func formatBinary(n uint64) string {
	switch {
	case n > 0 && n%(1<<30) == 0:
		return fmt.Sprintf("%dGiB", n>>30)
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return formatOctets(n)
}
