package billing

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawTerms makes terms that are valid.
func drawTerms(t *rapid.T, name string) Terms {
	terms := Terms{
		Price:   Amount(rapid.IntRange(0, 20000).Draw(t, name+" price")),
		Setup:   Amount(rapid.IntRange(0, 2000).Draw(t, name+" setup")),
		Every:   Interval{rapid.SampledFrom([]IntervalUnit{Day, Week, Month, Quarter, Year}).Draw(t, name+" unit"), rapid.IntRange(1, 3).Draw(t, name+" count")},
		Timing:  rapid.SampledFrom([]Timing{InAdvance, InArrears}).Draw(t, name+" timing"),
		Prepaid: rapid.SampledFrom([]PrepaidMode{Postpaid, Postpaid, Postpaid, PrepaidDaily, PrepaidUsage}).Draw(t, name+" prepaid"),

		TrialDays:    rapid.SampledFrom([]int{0, 0, 7, 40}).Draw(t, name+" trial"),
		WholePeriods: rapid.IntRange(0, 4).Draw(t, name+" whole") == 0,
		TaxClass:     rapid.SampledFrom([]string{"", "standard", "reduced", "exempt"}).Draw(t, name+" tax"),
	}
	if terms.Every.months() > 0 {
		terms.BillingDay = rapid.SampledFrom([]int{0, 0, 1, 15, 31}).Draw(t, name+" billing day")
	}
	terms.TaxIncluded = terms.TaxClass != "" && (terms.Prepaid != Postpaid || rapid.Bool().Draw(t, name+" included"))
	if terms.Prepaid != Postpaid {
		terms.Timing, terms.WholePeriods = InAdvance, false
	}
	least := 0
	if terms.Prepaid == PrepaidUsage {
		terms.Price, least = 0, 1
	}
	for i := range rapid.IntRange(least, 2).Draw(t, name+" usage terms") {
		terms.Usage = append(terms.Usage, drawUsageTerms(t, name, i))
	}
	require.NoError(t, terms.Validate("EUR"))
	return terms
}

func drawUsageTerms(t *rapid.T, name string, i int) UsageTerms {
	u := UsageTerms{
		Metric:    []Metric{MetricOctets, MetricSeconds}[i],
		Allowance: rapid.Uint64Range(0, 3000).Draw(t, name+" allowance"),
		Step:      rapid.SampledFrom([]uint64{0, 1, 100}).Draw(t, name+" step"),
		Per:       rapid.SampledFrom([]uint64{1, 7, 1000}).Draw(t, name+" per"),
		Minimum:   Amount(rapid.SampledFrom([]int{0, 0, 500}).Draw(t, name+" minimum")),
	}
	if u.Allowance > 0 {
		u.Rollover = rapid.IntRange(0, 3).Draw(t, name+" rollover")
	}
	for n := range rapid.IntRange(0, 2).Draw(t, name+" tiers") {
		u.Tiers = append(u.Tiers, Tier{uint64(n+1) * 400, dec(rapid.SampledFrom([]string{"0", "0.013", "1.5"}).Draw(t, name+" tier price"))})
	}
	u.Tiers = append(u.Tiers, Tier{0, dec(rapid.SampledFrom([]string{"0.007", "0.25"}).Draw(t, name+" last price"))})
	return u
}

func drawRate(t *rapid.T, name string) Rate {
	return Rate{ID: makeID("drawn rate", name), PlanName: name, Currency: "EUR", Terms: drawTerms(t, name)}
}

var (
	firstDay = day("2027-10-31") // before a leap year
	lastDay  = day("2029-03-01")
)

// drawUsage makes usage of some days between the first and the last.
func drawUsage(t *rapid.T, name string) []DayUsage {
	var usage []DayUsage
	d := firstDay
	for range rapid.IntRange(0, 30).Draw(t, name+" days") {
		d = d.AddDays(rapid.IntRange(1, 25).Draw(t, name+" gap"))
		if d.Before(lastDay) {
			n := rapid.Uint64Range(0, 900).Draw(t, name+" used")
			usage = append(usage, DayUsage{Day: d, Seconds: n, Upload: n / 3, Download: n})
		}
	}
	return usage
}

// world is an account whose bills are kept, and checked as they come.
type world struct {
	t        require.TestingT
	a        *Account
	settle   int
	lookBack int
	charges  []Charge
	invoices []Invoice
}

func newWorld(t require.TestingT, s Subscription, rates ...Rate) *world {
	w := &world{t: t, a: account(s), settle: 3, lookBack: 600}
	w.a.Credit = map[Currency]Amount{"EUR": 1e12}
	for _, r := range append(rates, s.Rate) {
		w.a.Rates[r.ID] = r
	}
	return w
}

func (w *world) options(asOf Date) RunOptions {
	o := options(asOf.String())
	o.LookBack, o.SettleDays = w.lookBack, w.settle
	return o
}

// known is the account with what the store would read for a run.
func (w *world) known(o RunOptions) *Account {
	since := UsageSince(w.a.Subscriptions, w.a.Rates, o)
	a := *w.a
	a.Usage, a.Rated = nil, nil
	if !since.IsZero() {
		a.Usage = Span{From: since, To: lastDay}.in(w.a.Usage)
		for _, c := range w.a.Rated {
			if since.Before(c.Period.To) {
				a.Rated = append(a.Rated, c)
			}
		}
	}
	return &a
}

func (w *world) apply(b *Bill) {
	apply(w.a, b)
	for _, i := range b.Invoices {
		if i.Kind == KindCreditNote {
			i.Total = -i.Total
		}
		w.a.Credit["EUR"] -= i.Total
	}
	w.charges = append(w.charges, b.Charges...)
	w.invoices = append(w.invoices, b.Invoices...)
}

func (w *world) run(asOf Date) {
	o := w.options(asOf)
	b, err := Compute(w.known(o), o)
	require.NoError(w.t, err)
	w.apply(b)
	if len(b.Charges) == 0 && len(b.Subscriptions) == 0 {
		return // it is repeated tomorrow
	}
	again, err := Compute(w.known(o), o)
	require.NoError(w.t, err)
	require.Equal(w.t, &Bill{}, again, "a run repeated on %s makes something new", asOf)
}

// runEvery runs each so many days, and on the last day.
func (w *world) runEvery(days int) {
	for d := firstDay; d.Before(lastDay); d = d.AddDays(days) {
		w.run(d)
	}
	w.run(lastDay)
}

// check tests what must hold of all charges and invoices.
func (w *world) check() {
	seen := make(map[uuid.UUID]Charge)
	for _, c := range w.charges {
		_, twice := seen[c.ID]
		require.False(w.t, twice, "an id is made twice: %+v", c)
		seen[c.ID] = c
		if c.Inputs.RateID != uuid.Nil {
			c = throughJSON(w.t, c)
			amount, err := Recompute(c, w.a.Rates[c.Inputs.RateID].Terms)
			require.NoError(w.t, err)
			require.Equal(w.t, c.Amount, amount, "%+v", c)
		}
		amount, err := c.UnitPrice.times(c.Currency, c.Quantity)
		require.NoError(w.t, err)
		require.Equal(w.t, c.Amount, amount, "quantity * price: %+v", c)
	}
	billed := make(map[uuid.UUID]bool)
	ids := make(map[uuid.UUID]bool)
	for _, i := range w.invoices {
		require.False(w.t, ids[i.ID], "two invoices of one id")
		ids[i.ID] = true
		checkSums(w.t, &i)
		for _, l := range i.Lines {
			require.False(w.t, billed[l.ChargeID], "a charge is on two lines")
			billed[l.ChargeID] = true
			amount := seen[l.ChargeID].Amount
			if i.Kind == KindCreditNote {
				amount = -amount
			}
			require.Equal(w.t, amount, l.Gross)
		}
	}
	require.Len(w.t, w.charges, len(billed)+len(w.a.Pending), "each charge is on an invoice or pending")
}

// checkSums tests that no minor unit is lost on an invoice.
func checkSums(t require.TestingT, i *Invoice) {
	var net, taxNet, tax, gross Amount
	for _, l := range i.Lines {
		net += l.Net
		gross += l.Gross
		if !l.TaxIncluded {
			exclusive, err := l.TaxPercent.Percent(l.Net)
			require.NoError(t, err)
			gross += exclusive
		}
	}
	for _, x := range i.Taxes {
		taxNet, tax = taxNet+x.Net, tax+x.Tax
	}
	require.Equal(t, i.Net, net, "the lines' nets add up")
	require.Equal(t, i.Net, taxNet, "the rates' nets add up")
	require.Equal(t, i.Tax, tax, "the taxes add up")
	require.Equal(t, i.Total, i.Net+i.Tax)
	require.Positive(t, i.Total)
	require.LessOrEqual(t, abs(i.Total-gross), Amount(len(i.Lines)), "the total is that of the prices, but for what rounding each line would add")
}

// throughJSON is what becomes of a charge's inputs in the store.
func throughJSON(t require.TestingT, c Charge) Charge {
	b, err := json.Marshal(c.Inputs)
	require.NoError(t, err)
	c.Inputs = Inputs{}
	require.NoError(t, json.Unmarshal(b, &c.Inputs))
	return c
}

// sum adds up charges of some kinds.
func sum(charges []Charge, kinds ...ChargeKind) (sum Amount) {
	for _, c := range charges {
		if slices.Contains(kinds, c.Kind) {
			sum += c.Amount
		}
	}
	return sum
}

// facts are charges without what depends on the run, in the order of their ids.
func facts(charges []Charge) []Charge {
	charges = slices.Clone(charges)
	for i := range charges {
		charges[i].InvoiceID = uuid.Nil
	}
	slices.SortFunc(charges, func(a, b Charge) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return charges
}

// drawSubscription makes one that may be planned to change and to end.
func drawSubscription(t *rapid.T) (Subscription, Rate) {
	rate, next := drawRate(t, "first"), drawRate(t, "next")
	s := NewSubscription(makeID("drawn subscription"), userID, rate, firstDay.AddDays(rapid.IntRange(0, 60).Draw(t, "start")), testNow)
	if rapid.Bool().Draw(t, "changes") {
		s.NextRateID, s.NextFrom = next.ID, s.Start.AddDays(rapid.IntRange(0, 400).Draw(t, "change"))
	}
	if rapid.Bool().Draw(t, "ends") {
		s.End = s.Start.AddDays(rapid.IntRange(1, 400).Draw(t, "end"))
	}
	return s, next
}

// TestItDoesNotMatterHowOftenItRuns: each day or week, now and then, or once after more
// than a year, the charges are the same.
func TestItDoesNotMatterHowOftenItRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, next := drawSubscription(t)
		usage := drawUsage(t, "usage")
		lookBack := rapid.SampledFrom([]int{0, 0, 40}).Draw(t, "look back")
		var want []Charge
		for _, days := range []int{rapid.SampledFrom([]int{1, 3, 7, 14}).Draw(t, "often"), rapid.IntRange(20, 100).Draw(t, "seldom"), 1000} {
			w := newWorld(t, s, next)
			w.a.Usage, w.lookBack = usage, lookBack
			w.runEvery(days)
			w.run(lastDay.AddDays(w.settle + 400)) // whatever is not due on the last day
			w.check()
			if want == nil {
				want = facts(w.charges)
				continue
			}
			require.Equal(t, want, facts(w.charges), "a run each %d days", days)
		}
	})
}

// TestLateUsageIsChargedAsIfItHadBeenInTime: usage comes in parts, of any day, before and
// after its period was charged; the sum is that of rating all of it at once.
func TestLateUsageIsChargedAsIfItHadBeenInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, next := drawSubscription(t)
		w := newWorld(t, s, next)
		all := map[Date]DayUsage{}
		add := func(parts []DayUsage) {
			for _, d := range parts {
				u := all[d.Day]
				all[d.Day] = DayUsage{d.Day, u.Seconds + d.Seconds, u.Upload + d.Upload, u.Download + d.Download}
			}
			w.a.Usage = nil
			for _, u := range all {
				w.a.Usage = append(w.a.Usage, u)
			}
			slices.SortFunc(w.a.Usage, func(a, b DayUsage) int { return a.Day.Compare(b.Day) })
		}
		d := firstDay
		for range rapid.IntRange(1, 6).Draw(t, "runs") {
			add(drawUsage(t, "part"))
			if len(w.a.Usage) > 0 && rapid.Bool().Draw(t, "corrected") { // a record was wrong: less was used
				u := w.a.Usage[rapid.IntRange(0, len(w.a.Usage)-1).Draw(t, "which")]
				all[u.Day] = DayUsage{Day: u.Day, Seconds: u.Seconds / 2}
				add(nil)
			}
			w.run(d)
			d = d.AddDays(rapid.IntRange(1, 120).Draw(t, "gap"))
		}
		w.run(lastDay)
		w.check()

		once := newWorld(t, s, next)
		once.a.Usage = w.a.Usage
		once.run(lastDay)
		require.Equal(t, sum(once.charges, ChargeUsage), sum(w.charges, ChargeUsage, ChargeAdjustment))
		require.Zero(t, sum(once.charges, ChargeAdjustment))
	})
}

// TestChangesLoseNothing: plans change, end and go on as people like; what was charged
// and credited is what a bill of the whole history made at once charges.
func TestChangesLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rates := []Rate{drawRate(t, "a"), drawRate(t, "b"), drawRate(t, "c")}
		s := NewSubscription(makeID("drawn subscription"), userID, rates[0], firstDay, testNow)
		w := newWorld(t, s, rates...)
		w.a.Usage = drawUsage(t, "usage")
		for d := firstDay; d.Before(lastDay); d = d.AddDays(rapid.IntRange(0, 45).Draw(t, "gap")) {
			o := w.options(d)
			var b *Bill
			var err error
			switch on := d.AddDays(rapid.SampledFrom([]int{-3, 0, 0, 5, 30}).Draw(t, "on")); rapid.IntRange(0, 4).Draw(t, "what") {
			case 0:
				b, err = Change(w.a, s.ID, rates[rapid.IntRange(0, 2).Draw(t, "to")], on, o)
			case 1:
				b, err = Cancel(w.a, s.ID, on, o)
			case 2:
				b, err = Resume(w.a, s.ID, o)
			default:
				w.run(d)
				continue
			}
			if err == nil { // else it was refused, and nothing happened
				w.apply(b)
			}
		}
		w.run(lastDay)
		w.check()

		whole := w.a.Subscriptions[0]
		chargedUntil := whole.ChargedUntil
		whole.ChargedUntil, whole.RatedUntil, whole.State = Date{}, Date{}, SubscriptionActive
		once := newWorld(t, whole, rates...)
		once.a.Usage = w.a.Usage
		once.run(lastDay)
		require.Equal(t, sum(once.charges, ChargePeriod), sum(w.charges, ChargePeriod, ChargeProration))
		require.Zero(t, sum(once.charges, ChargeProration))
		require.Equal(t, sum(once.charges, ChargeUsage), sum(w.charges, ChargeUsage, ChargeAdjustment))
		if len(once.charges) > 0 {
			require.Equal(t, once.a.Subscriptions[0].ChargedUntil, cmp.Or(chargedUntil, once.a.Subscriptions[0].ChargedUntil))
		}
	})
}

// TestRunsForDaysThatAreOverChangeNothing: credit comes now and then, and is used up; a run
// for a day before today finds all as today's has left it.
func TestRunsForDaysThatAreOverChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSubscription(makeID("drawn subscription"), userID, drawRate(t, "first"), firstDay, testNow)
		w := newWorld(t, s)
		w.a.Credit["EUR"] = 0
		w.a.Usage = drawUsage(t, "usage")
		for d, n := s.Start, rapid.IntRange(1, 60).Draw(t, "days"); n > 0; d, n = d.AddDays(1), n-1 {
			w.a.Credit["EUR"] += Amount(rapid.SampledFrom([]int{0, 0, 0, 100, 3000}).Draw(t, "paid"))
			w.run(d)
			o := w.options(d.AddDays(-rapid.IntRange(1, 3).Draw(t, "over")))
			o.Now = d.Start(time.UTC)
			b, err := Compute(w.known(o), o)
			require.NoError(t, err)
			require.Equal(t, &Bill{}, b, "a run for %s on %s", o.AsOf, d)
		}
	})
}
