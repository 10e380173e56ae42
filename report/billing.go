package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"radiusd/billing"
)

// BillingReport is a report on money. It has what every report has, and runs on a
// BillingSource.
type BillingReport struct {
	Report
	run func(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error
}

// BillingCatalogue lists the reports on money in the order they are to be shown.
func BillingCatalogue() []BillingReport { return slices.Clone(billingCatalogue) }

// Run is as that of Report. A row is of one currency: nothing is added up across them.
func (r *BillingReport) Run(ctx context.Context, source BillingSource, given Arguments, environment Environment, fn func(Row) error) error {
	wrapped := r.Report
	wrapped.run = func(ctx context.Context, _ Source, a *arguments, fn func(Row) error) error {
		return r.run(ctx, source, a, fn)
	}
	return wrapped.Run(ctx, nil, given, environment, fn)
}

// Check reads the arguments without running the report. The error is an *ArgumentError.
func (r *BillingReport) Check(given Arguments, environment Environment) error {
	return r.Run(context.Background(), nil, given, environment, nil)
}

// Parameters of several reports on money.
var (
	onDay    = Parameter{Name: "on", Kind: KindTime, Default: "today", Placeholder: "DAY", Says: "how it was when the day ended"}
	dateOf   = Parameter{Name: "date", Kind: KindChoice, Default: "issued", Placeholder: "WHICH", Choices: []string{"issued", "posted"}, Says: "go by the date of the documents, or by the day on which the ledger has them"}
	currency = Column{Name: "currency", Unit: UnitText}
)

func billingPeriod(standard Period) Parameter {
	return Parameter{Name: "period", Kind: KindChoice, Default: string(standard), Placeholder: "PERIOD",
		Choices: []string{string(Total), string(Day), string(Week), string(Month), string(Quarter), string(Year)}, Says: "how the time is divided"}
}

var billingCatalogue = []BillingReport{
	{Report: Report{
		Name:  "revenue",
		Title: "What was invoiced and credited, by plan or tax class",
		Text: `What invoices brought in, without tax, by the plan or the tax class of their lines.
Credit notes are taken off on the day of their issue, and voided invoices on the
day they were voided, so a month that is over stays as it was. Charges that were
made by hand are of no plan.`,
		Examples:   []string{"revenue", "revenue --by plan --period month --from 2026-01-01 --to 2027-01-01", "revenue --by tax-class --period quarter --from 2026-01-01 -o csv"},
		Parameters: []Parameter{byOr(ByNothing, ByPlan, ByTaxClass), billingPeriod(Month), fromMonth, toTomorrow, dateOf},
		columns: []Column{startColumn, {Name: "plan", Unit: UnitText, only: ByPlan, Says: "empty: none"}, {Name: "tax_class", Unit: UnitText, only: ByTaxClass, Says: "empty: none"}, currency,
			{Name: "invoiced", Unit: UnitMoney, Says: "on invoices, without tax"},
			{Name: "credited", Unit: UnitMoney, Says: "on credit notes, and voided"},
			{Name: "revenue", Unit: UnitMoney, Says: "the one less the other"}},
	}, run: runRevenue},
	{Report: Report{
		Name:  "tax",
		Title: "Tax by period and rate",
		Text: `The tax on invoices less that on credit notes, by rate, with the amounts that it is
on. Voided invoices are taken off on the day they were voided.`,
		Examples:   []string{"tax", "tax --period quarter --from 2026-01-01 --to 2027-01-01 -o csv"},
		Parameters: []Parameter{billingPeriod(Month), fromMonth, toTomorrow, dateOf},
		columns: []Column{startColumn, {Name: "name", Unit: UnitText}, {Name: "category", Unit: UnitText, Says: "by EN 16931"}, {Name: "percent", Unit: UnitText}, currency,
			{Name: "net", Unit: UnitMoney, Says: "what the tax is on"}, {Name: "tax", Unit: UnitMoney}},
	}, run: runTax},
	{Report: Report{
		Name:  "receivables",
		Title: "What is owed, by how long it is overdue",
		Text: `What was open of invoices when a day ended, by the days since they were due. What
customers had paid and was on no invoice is their credit; open less credit is what
the ledger says that they owed.`,
		Examples:   []string{"receivables", "receivables --by user -o csv", "receivables --on 2026-12-31"},
		Parameters: []Parameter{byOr(ByNothing, ByUser), onDay, onlyUser},
		columns: []Column{{Name: "username", Unit: UnitText, only: ByUser}, currency,
			{Name: "not_due", Unit: UnitMoney, Says: "due later than the day"},
			{Name: "days_0_30", Unit: UnitMoney, Says: "due on the day, or up to 30 days before"},
			{Name: "days_31_60", Unit: UnitMoney}, {Name: "days_61_90", Unit: UnitMoney}, {Name: "days_over_90", Unit: UnitMoney},
			{Name: "open", Unit: UnitMoney, Says: "all of them"}, {Name: "credit", Unit: UnitMoney, Says: "on no invoice"}, {Name: "balance", Unit: UnitMoney, Says: "in the ledger"}},
	}, run: runReceivables},
	{Report: Report{
		Name:  "churn",
		Title: "Subscriptions that began and ended",
		Text: `How many subscriptions were in force when a period began and when it was over, and
how many began and ended in it. One ends on the day after its last one. A change
to another plan is neither a beginning nor an end; a subscription counts with the
plan it has now. One that ended before it began does not count.`,
		Examples:   []string{"churn", "churn --by plan --period month --from 2026-01-01 --to 2027-01-01"},
		Parameters: []Parameter{byOr(ByNothing, ByPlan), billingPeriod(Month), fromMonth, toTomorrow},
		columns: []Column{startColumn, {Name: "plan", Unit: UnitText, only: ByPlan},
			{Name: "at_start", Unit: UnitCount}, {Name: "started", Unit: UnitCount}, {Name: "ended", Unit: UnitCount}, {Name: "at_end", Unit: UnitCount},
			{Name: "churn_percent", Unit: UnitText, Says: "ended, of those at the start; empty: there were none"}},
	}, run: runChurn},
	{Report: Report{
		Name:  "allowance",
		Title: "Usage against allowances",
		Text: `What each subscription with an allowance has used of it in the period that contains
the day, until that day ended. Of several subscriptions of a user each has what it
is charged for. What was carried over from earlier periods is not counted as
allowance here, and a broken period has its part of it; charges for certain hours
only are left out, as are users whose records are gone, by which such hours are told
from the rest.`,
		Examples:   []string{"allowance", "allowance --user alice", "allowance --on 2026-11-30 -o csv"},
		Parameters: []Parameter{onDay, onlyUser},
		columns: []Column{{Name: "username", Unit: UnitText}, {Name: "plan", Unit: UnitText}, {Name: "from", Unit: UnitText, Says: "first day of the period"}, {Name: "to", Unit: UnitText, Says: "day after its last"},
			{Name: "metric", Unit: UnitText, Says: "seconds, octets, upload or download"}, {Name: "used", Unit: UnitCount, Says: "seconds or octets"}, {Name: "allowance", Unit: UnitCount},
			{Name: "percent", Unit: UnitText, Says: "used, of the allowance"}, {Name: "beyond", Unit: UnitCount, Says: "used beyond it"}},
	}, run: runAllowance},
}

// day reads a time that is a day.
func (a *arguments) day(name string) billing.Date {
	at := a.moment(name)
	day := billing.DateOf(at, a.zone)
	if a.err == nil && !startOf(day, a.zone).Equal(at) {
		a.fail(name, "%s is not when a day begins: want a day, like 2026-12-31", a.text(name))
	}
	return day
}

// daysOf reads from and to as days.
func (a *arguments) daysOf(period Period) (Span, billing.Span) {
	days := billing.Span{From: a.day("from"), To: a.day("to")}
	return a.spanOf(period), days
}

// rowKey is what a row of sums is of.
type rowKey struct {
	period   int
	key      string
	category string
	percent  string
	currency billing.Currency
}

func compareKeys(a, b rowKey) int {
	return cmp.Or(a.period-b.period, strings.Compare(a.key, b.key), strings.Compare(a.category, b.category),
		strings.Compare(a.percent, b.percent), strings.Compare(string(a.currency), string(b.currency)))
}

// sums adds up amounts by key; an overflow is an error.
type sums[K comparable] map[K][]billing.Amount

func (s sums[K]) add(k K, amounts ...billing.Amount) error {
	if s[k] == nil {
		s[k] = make([]billing.Amount, len(amounts))
	}
	for i, a := range amounts {
		sum, err := s[k][i].Add(a)
		if err != nil {
			return err
		}
		s[k][i] = sum
	}
	return nil
}

// documents adds up parts of documents by period.
func documents(ctx context.Context, source BillingSource, a *arguments, q DocumentQuery, add func(rowKey, DocumentPart) error, fn func(rowKey, Start) error) error {
	period := Period(a.choice("period"))
	span, days := a.daysOf(period)
	q.From, q.To, q.Posted = days.From, days.To, a.choice("date") == "posted"
	if a.err != nil || fn == nil {
		return a.err
	}
	starts, err := span.Starts()
	if err != nil {
		return err
	}
	seen := map[rowKey]bool{}
	err = source.Documents(ctx, q, func(p DocumentPart) error {
		k := rowKey{periodOf(starts, startOf(p.Day, a.zone)), p.Key, p.Category, p.Percent, p.Currency}
		seen[k] = true
		return add(k, p)
	})
	if err != nil {
		return err
	}
	keys := make([]rowKey, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		if err := fn(k, a.start(starts[k.period])); err != nil {
			return err
		}
	}
	return nil
}

func runRevenue(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error {
	totals := sums[rowKey]{}
	by := By(a.choice("by"))
	add := func(k rowKey, p DocumentPart) error {
		if p.Back {
			return totals.add(k, 0, -p.Net, p.Net)
		}
		return totals.add(k, p.Net, 0, p.Net)
	}
	return documents(ctx, source, a, DocumentQuery{By: by}, add, rowsOf(fn, func(k rowKey, start Start) Row {
		row := Row{start}
		if by != ByNothing {
			row = append(row, k.key)
		}
		return append(append(row, string(k.currency)), moneyOf(k.currency, totals[k]...)...)
	}))
}

func runTax(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error {
	totals := sums[rowKey]{}
	add := func(k rowKey, p DocumentPart) error { return totals.add(k, p.Net, p.Tax) }
	return documents(ctx, source, a, DocumentQuery{Taxes: true, By: byTaxRate}, add, rowsOf(fn, func(k rowKey, start Start) Row {
		return append(Row{start, k.key, k.category, k.percent, string(k.currency)}, moneyOf(k.currency, totals[k]...)...)
	}))
}

// rowsOf gives rows made of keys to fn; nil if that is.
func rowsOf(fn func(Row) error, row func(rowKey, Start) Row) func(rowKey, Start) error {
	if fn == nil {
		return nil
	}
	return func(k rowKey, start Start) error { return fn(row(k, start)) }
}

func moneyOf(c billing.Currency, amounts ...billing.Amount) (row Row) {
	for _, amount := range amounts {
		row = append(row, Money{amount, c})
	}
	return row
}

// The columns of receivables, after those that say of whom.
const (
	notDue = iota
	days30
	days60
	days90
	daysMore
	openSum
	balanceSum
	receivableSums
)

// ageOf returns the column of what was due on a day.
func ageOf(due, on billing.Date) int {
	switch age := due.DaysUntil(on); {
	case age < 0:
		return notDue
	case age <= 30:
		return days30
	case age <= 60:
		return days60
	case age <= 90:
		return days90
	}
	return daysMore
}

func runReceivables(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error {
	by, on, user := By(a.choice("by")), a.day("on"), a.text("user")
	if a.err != nil || fn == nil {
		return a.err
	}
	totals := sums[rowKey]{}
	add := func(username string, c billing.Currency, columns ...int) func(billing.Amount) error {
		k := rowKey{currency: c}
		if by == ByUser {
			k.key = username
		}
		return func(amount billing.Amount) error {
			var row [receivableSums]billing.Amount
			for _, column := range columns {
				row[column] = amount
			}
			return totals.add(k, row[:]...)
		}
	}
	err := source.OpenInvoices(ctx, on, user, func(i OpenInvoice) error {
		return add(i.Username, i.Currency, ageOf(i.DueOn, on), openSum)(i.Open)
	})
	if err != nil {
		return err
	}
	err = source.CustomerBalances(ctx, on, user, func(b CustomerBalance) error {
		return add(b.Username, b.Currency, balanceSum)(b.Balance)
	})
	if err != nil {
		return err
	}
	keys := make([]rowKey, 0, len(totals))
	for k := range totals {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		sum := totals[k]
		if slices.Max(sum) == 0 && slices.Min(sum) == 0 {
			continue // nothing is owed either way
		}
		var row Row
		if by == ByUser {
			row = append(row, k.key)
		}
		row = append(append(row, string(k.currency)), moneyOf(k.currency, sum[:openSum+1]...)...)
		if err := fn(append(row, Money{sum[openSum] - sum[balanceSum], k.currency}, Money{sum[balanceSum], k.currency})); err != nil {
			return err
		}
	}
	return nil
}

func runChurn(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error {
	by, period := By(a.choice("by")), Period(a.choice("period"))
	span, days := a.daysOf(period)
	if a.err != nil || fn == nil {
		return a.err
	}
	starts, err := span.Starts()
	if err != nil {
		return err
	}
	type counts struct {
		before         uint64
		started, ended []uint64
	}
	plans := map[string]*counts{}
	err = source.Subscribed(ctx, days, func(x Subscribed) error {
		if !x.End.IsZero() && !x.Start.Before(x.End) {
			return nil
		}
		key := ""
		if by == ByPlan {
			key = x.Plan
		}
		c := plans[key]
		if c == nil {
			c = &counts{0, make([]uint64, len(starts)), make([]uint64, len(starts))}
			plans[key] = c
		}
		switch {
		case x.Start.Before(days.From):
			c.before++
		case x.Start.Before(days.To):
			c.started[periodOf(starts, startOf(x.Start, a.zone))]++
		}
		if !x.End.IsZero() && x.End.Before(days.To) {
			c.ended[periodOf(starts, startOf(x.End, a.zone))]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	names := make([]string, 0, len(plans))
	for name := range plans {
		names = append(names, name)
	}
	slices.Sort(names)
	for n, start := range starts {
		for _, name := range names {
			c := plans[name]
			row := Row{a.start(start)}
			if by == ByPlan {
				row = append(row, name)
			}
			after := c.before + c.started[n] - c.ended[n]
			if err := fn(append(row, c.before, c.started[n], c.ended[n], after, percent(c.ended[n], c.before))); err != nil {
				return err
			}
			c.before = after
		}
	}
	return nil
}

// percent is a part of a whole in percent with one decimal, halves away from zero; empty
// of nothing.
func percent(part, whole uint64) string {
	if whole == 0 {
		return ""
	}
	tenths := uint64(float64(part)/float64(whole)*1000 + 0.5)
	return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
}

func runAllowance(ctx context.Context, source BillingSource, a *arguments, fn func(Row) error) error {
	on, user := a.day("on"), a.text("user")
	if a.err != nil || fn == nil {
		return a.err
	}
	return source.Allowances(ctx, on, user, func(x Allowance) error {
		beyond := uint64(0)
		if x.Used > x.Allowance {
			beyond = x.Used - x.Allowance
		}
		return fn(Row{x.Username, x.Plan, x.Period.From.String(), x.Period.To.String(), string(x.Metric), x.Used, x.Allowance, percent(x.Used, x.Allowance), beyond})
	})
}
