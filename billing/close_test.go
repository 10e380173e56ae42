package billing

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestClose: whoever goes for good is billed for what was had until that day, no more and
// no less, and nothing comes after it.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		rate   Rate
		start  string
		billed string // a run was made then; empty: none was
		closed string
		usage  []DayUsage
		total  Amount
		kind   InvoiceKind
		change func(*Subscription)
		credit Amount
	}{
		// June 30.00: ten days of it are 10.00, and 19 % 1.90.
		"in advance, not billed yet": {rate: monthly(3000), start: "2026-06-01", closed: "2026-06-10", total: 1190, kind: KindInvoice},
		// The other twenty go back: 20.00 and 3.80.
		"in advance, billed": {rate: monthly(3000), start: "2026-06-01", billed: "2026-06-01", closed: "2026-06-10", total: 2380, kind: KindCreditNote},
		"in arrears": {rate: monthly(3000, func(t *Terms) { t.Timing = InArrears }), start: "2026-06-01", billed: "2026-06-09", closed: "2026-06-10",
			total: 1190, kind: KindInvoice},
		// June 10.00, a third of it 3.33; of the allowance of 100 a third too, 33: 300 - 33 at 0.10
		// are 26.70. 30.03 and 19 % 5.71.
		"usage until the same day, at once": {rate: traffic(), start: "2026-06-01", closed: "2026-06-10",
			usage: []DayUsage{octets("2026-06-03", 100), octets("2026-06-10", 200)}, total: 3574, kind: KindInvoice},
		"in the trial": {rate: monthly(3000, func(t *Terms) { t.TrialDays = 30 }), start: "2026-06-01", closed: "2026-06-10"},
		"not begun":    {rate: monthly(3000), start: "2026-07-01", closed: "2026-06-10"},
		// 3.00 a day, of which the tenth was charged in the morning, and waits with the others.
		"prepaid by the day": {rate: monthly(9000, func(t *Terms) { t.Prepaid = PrepaidDaily }), start: "2026-06-01", billed: "2026-06-10", closed: "2026-06-10",
			credit: 100000, total: 3570, kind: KindInvoice},
		"ends before":   {rate: monthly(3000), start: "2026-06-01", closed: "2026-06-10", change: func(s *Subscription) { s.End = day("2026-06-06") }, total: 595, kind: KindInvoice},
		"whole periods": {rate: monthly(3000, func(t *Terms) { t.WholePeriods = true }), start: "2026-06-01", billed: "2026-06-01", closed: "2026-06-10"},
	} {
		t.Run(name, func(t *testing.T) {
			s := subscribe(c.rate, c.start)
			if c.change != nil {
				c.change(&s)
			}
			a := account(s)
			a.Usage = c.usage
			a.Credit = map[Currency]Amount{"EUR": c.credit}
			if c.billed != "" {
				b, err := Compute(a, options(c.billed))
				require.NoError(t, err)
				apply(a, b)
				a.Billed = []Billed{{s.ID, "EUR", "2026-000001"}}
			}
			o := options(c.closed)
			o.SettleDays = 3
			bill, err := Close(a, o)
			require.NoError(t, err)
			require.Len(t, bill.Subscriptions, 1)
			require.Equal(t, SubscriptionEnded, bill.Subscriptions[0].State)
			if c.total == 0 {
				require.Empty(t, bill.Invoices)
				require.Empty(t, bill.Charges)
			} else {
				require.Len(t, bill.Invoices, 1)
				i := bill.Invoices[0]
				require.Equal(t, []any{c.kind, c.total, day(c.closed)}, []any{i.Kind, i.Total, i.IssuedOn})
				for _, charge := range bill.Charges {
					require.Equal(t, i.ID, charge.InvoiceID)
				}
			}
			apply(a, bill)
			later, err := Compute(a, options("2027-01-01"))
			require.NoError(t, err)
			require.Empty(t, later.Charges)
			require.Empty(t, later.Invoices)
			require.Empty(t, a.Pending)
		})
	}
}

// TestCloseBillsWhatWaits: charges by hand are billed too, of all currencies.
func TestCloseBillsWhatWaits(t *testing.T) {
	a := account()
	for _, currency := range []Currency{"EUR", "USD"} {
		c, err := NewManualCharge(userID, currency, 500, "cable")
		require.NoError(t, err)
		c.ID = makeID("cable", string(currency))
		a.Pending = append(a.Pending, c)
	}
	bill, err := Close(a, options("2026-06-10"))
	require.NoError(t, err)
	require.Len(t, bill.Invoices, 2)
	require.Empty(t, bill.Subscriptions)
}
