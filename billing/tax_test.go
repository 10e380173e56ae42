package billing

import (
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// taxed makes an invoice of prices in tax classes; a class with a + contains its tax.
func taxed(t *testing.T, lines ...any) *Invoice { return taxedIn(t, "EUR", lines...) }

func taxedIn(t *testing.T, currency Currency, lines ...any) *Invoice {
	i := &Invoice{Currency: currency}
	for n := 0; n < len(lines); n += 2 {
		class, included := strings.CutSuffix(lines[n].(string), "+")
		i.Lines = append(i.Lines, InvoiceLine{Line: n/2 + 1, ChargeID: makeID("line", n), TaxClass: class, TaxIncluded: included, Gross: Amount(lines[n+1].(int))})
	}
	require.NoError(t, i.tax(testTaxes, day("2026-11-01")))
	return i
}

func TestTax(t *testing.T) {
	for name, c := range map[string]struct {
		lines           []any
		nets            []Amount
		net, tax, total Amount
	}{
		"added, rounded on the sum: 3 * 0.33 = 0.99, 0.1881 is 0.19; each by itself 0.06, 0.18": {
			[]any{"standard", 33, "standard", 33, "standard", 33}, []Amount{33, 33, 33}, 99, 19, 118},
		"a half, up: 0.50 * 19 % = 0.095 is 0.10": {
			[]any{"standard", 50}, []Amount{50}, 50, 10, 60},
		"included: 11.90 * 19 / 119 = 1.90": {
			[]any{"standard+", 1190}, []Amount{1000}, 1000, 190, 1190},
		"included, on the sum: 3 * 1.00 * 19 / 119 = 0.479; nets of 0.8403 each, 0.84 * 3 = 2.52": {
			[]any{"standard+", 100, "standard+", 100, "standard+", 100}, []Amount{84, 84, 84}, 252, 48, 300},
		"the largest remainder gets the cent: 0.10, 0.10, 0.11 and 0.31 * 19 / 119 = 0.0495, net 0.26; 0.0840, 0.0840, 0.0924 are 0.08, 0.08, 0.09, the first of the equal ones 0.09": {
			[]any{"standard+", 10, "standard+", 10, "standard+", 11}, []Amount{9, 8, 9}, 26, 5, 31},
		"two rates: 10.00 * 19 % + 10.00 * 7 %": {
			[]any{"reduced", 1000, "standard", 1000}, []Amount{1000, 1000}, 2000, 260, 2260},
		"added and included of one rate: 1.90 + 1.90": {
			[]any{"standard", 1000, "standard+", 1190}, []Amount{1000, 1000}, 2000, 380, 2380},
		"exempt and not taxed": {
			[]any{"exempt", 1000, "", 500}, []Amount{1000, 500}, 1500, 0, 1500},
		"a credit among them: (30.00 - 20.00) * 19 %": {
			[]any{"standard", 3000, "standard", -2000}, []Amount{3000, -2000}, 1000, 190, 1190},
		"an included credit: 35.70 - 23.81 = 11.89, tax 1.8984, net 9.99; 30.00 and -20.0084, which is -20.01": {
			[]any{"standard+", 3570, "standard+", -2381}, []Amount{3000, -2001}, 999, 190, 1189},
	} {
		t.Run(name, func(t *testing.T) {
			i := taxed(t, c.lines...)
			var nets []Amount
			for _, l := range i.Lines {
				nets = append(nets, l.Net)
			}
			require.Equal(t, c.nets, nets)
			require.Equal(t, []Amount{c.net, c.tax, c.total}, []Amount{i.Net, i.Tax, i.Total})
		})
	}
	require.Equal(t, []TaxTotal{
		{Name: "VAT", Category: "S", Percent: dec("19"), Net: 1000, Tax: 190},
		{Name: "VAT", Category: "S", Percent: dec("7"), Net: 1000, Tax: 70},
		{Name: "VAT", Category: "E", Net: 300, ExemptionReason: "Article 132"},
		{Name: "Not taxed", Category: "O", Net: 5, ExemptionReason: "Not subject to tax"},
	}, taxed(t, "", 5, "exempt", 300, "reduced", 1000, "standard", 1000).Taxes, "the highest rate first")
}

// TestTaxInCurrenciesOfNoneAndThreeDecimals: tax is rounded to the unit that the currency has,
// a half of it up.
func TestTaxInCurrenciesOfNoneAndThreeDecimals(t *testing.T) {
	for name, c := range map[string]struct {
		currency        Currency
		lines           []any
		net, tax, total string
	}{
		"1985 yen * 19 % = 377.15":                            {"JPY", []any{"standard", 1985}, "1985", "377", "2362"},
		"50 yen * 19 % = 9.5, a half":                         {"JPY", []any{"standard", 50}, "50", "10", "60"},
		"3 * 33 yen on the sum: 99 * 19 % = 18.81; each 6":    {"JPY", []any{"standard", 33, "standard", 33, "standard", 33}, "99", "19", "118"},
		"included in 1985 yen: 1985 * 19 / 119 = 316.9":       {"JPY", []any{"standard+", 1985}, "1668", "317", "1985"},
		"9.999 dinars * 7 % = 0.69993":                        {"KWD", []any{"reduced", 9999}, "9.999", "0.700", "10.699"},
		"0.050 dinars * 19 % = 0.0095, a half":                {"KWD", []any{"standard", 50}, "0.050", "0.010", "0.060"},
		"included in 11.901 dinars: 11.901 * 19/119 = 1.9002": {"KWD", []any{"standard+", 11901}, "10.001", "1.900", "11.901"},
	} {
		t.Run(name, func(t *testing.T) {
			i := taxedIn(t, c.currency, c.lines...)
			require.Equal(t, []string{c.net, c.tax, c.total}, []string{c.currency.Format(i.Net), c.currency.Format(i.Tax), c.currency.Format(i.Total)})
		})
	}
}

func TestTaxOn(t *testing.T) {
	rates := []TaxRate{
		{Class: "standard", Percent: dec("19"), From: day("2007-01-01")},
		{Class: "standard", Percent: dec("16"), From: day("2020-07-01")},
		{Class: "standard", Percent: dec("19"), From: day("2021-01-01")},
	}
	for on, want := range map[string]string{"2020-06-30": "19", "2020-07-01": "16", "2020-12-31": "16", "2021-01-01": "19"} {
		r, err := TaxOn(rates, "standard", day(on))
		require.NoError(t, err)
		require.Equal(t, want, r.Percent.String(), on)
	}
	_, err := TaxOn(rates, "standard", day("2006-12-31"))
	require.ErrorContains(t, err, `tax class "standard" has no rate on 2006-12-31`)
	_, err = TaxOn(rates, "reduced", day("2026-01-01"))
	require.Error(t, err)

	a := account(subscribe(monthly(1000, func(t *Terms) { t.TaxClass = "unheard of" }), "2026-11-01"))
	_, err = Compute(a, options("2026-11-01"))
	require.ErrorContains(t, err, "unheard of", "no invoice with a wrong tax")
}

func TestApportion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *big.Rat {
			return big.NewRat(rapid.Int64Range(-1e6, 1e6).Draw(t, "part"), 119)
		}), 1, 20).Draw(t, "parts")
		sum := new(big.Rat)
		for _, p := range parts {
			sum.Add(sum, p)
		}
		total, err := round(sum)
		require.NoError(t, err)
		var got Amount
		for i, a := range apportion(total, parts) {
			got += a
			off := new(big.Rat).Sub(a.rat(), parts[i])
			require.True(t, off.Abs(off).Cmp(big.NewRat(1, 1)) <= 0, "a part is off by more than a cent")
		}
		require.Equal(t, total, got)
	})
}

// What is not taxed has an invoice of its own (EN 16931 BR-O-11).
func TestWhatIsNotTaxedStandsAlone(t *testing.T) {
	charge := func(amount Amount, class string) Charge {
		c, err := NewManualCharge(userID, "EUR", amount, "by hand")
		require.NoError(t, err)
		c.ID, c.TaxClass = makeID("charge", int(amount)), class
		return c
	}
	a := account(subscribe(monthly(2990), "2026-11-01"))
	a.Pending = []Charge{charge(500, ""), charge(700, "outside")}
	o := options("2026-11-01")
	o.Taxes = append(slices.Clone(o.Taxes), TaxRate{Class: "outside", Name: "None", Category: "O", ExemptionReason: "Late fee", From: day("2000-01-01")})
	b, err := Compute(a, o)
	require.NoError(t, err)
	require.Len(t, b.Invoices, 2)
	// 29.90 and 19 %: 5.681; 5.00 and 7.00 of another kind
	require.Equal(t, []Amount{2990, 568, 1200, 0}, []Amount{b.Invoices[0].Net, b.Invoices[0].Tax, b.Invoices[1].Net, b.Invoices[1].Tax})
	require.NotEqual(t, b.Invoices[0].ID, b.Invoices[1].ID)
	draft, err := NewDraft(a, "EUR", o)
	require.NoError(t, err)
	require.Equal(t, Amount(1200), draft.Total)

	credit, free := charge(-500, ""), monthly(1000, func(t *Terms) { t.TaxClass = "" })
	var field *FieldError
	require.ErrorAs(t, CheckCredit(&credit, a.Subscriptions), &field)
	require.Equal(t, "tax_class", field.Field)
	require.Contains(t, field.Message, "give it the tax class standard")
	require.NoError(t, CheckCredit(&credit, append(a.Subscriptions, subscribe(free, "2026-11-01"))))
	require.NoError(t, CheckCredit(&credit, nil))
	taxed := charge(-500, "standard")
	require.NoError(t, CheckCredit(&taxed, a.Subscriptions))
	a.Subscriptions[0].State = SubscriptionEnded
	require.NoError(t, CheckCredit(&credit, a.Subscriptions))
}

func TestCreditNotes(t *testing.T) {
	i := taxed(t, "standard+", 1000, "standard+", 333, "reduced", 777, "standard+", -100)
	i.ID, i.Number, i.Kind, i.State, i.UserID = makeID("invoice"), "2026-000001", KindInvoice, InvoiceIssued, userID
	for n := range i.Lines {
		i.Lines[n].Quantity, i.Lines[n].UnitPrice, i.Lines[n].Unit = one, Decimal{}, UnitPeriod
		price, err := i.Currency.decimal(i.Lines[n].Gross)
		require.NoError(t, err)
		i.Lines[n].UnitPrice = price
	}
	note := func(earlier []Invoice, parts map[int]Amount) (*Invoice, error) {
		n, err := NewCreditNote(makeID("note", len(earlier)), i, earlier, nil, parts, day("2027-01-01"), testNow)
		if err == nil {
			n.State = InvoiceIssued
		}
		return n, err
	}
	whole, err := note(nil, nil)
	require.NoError(t, err)
	require.Equal(t, []Amount{i.Net, i.Tax, i.Total}, []Amount{whole.Net, whole.Tax, whole.Total})
	require.Equal(t, i.Lines, whole.Lines)
	require.Equal(t, i.Number, whole.CorrectsNumber)
	_, err = note([]Invoice{*whole}, nil)
	require.ErrorContains(t, err, "nothing is left of invoice 2026-000001")

	// 3.33 of 10.00 with 19 % in them: tax 0.5317, net 2.80
	first, err := note(nil, map[int]Amount{1: 333})
	require.NoError(t, err)
	require.Equal(t, []Amount{280, 53, 333}, []Amount{first.Net, first.Tax, first.Total})
	second, err := note([]Invoice{*first}, map[int]Amount{1: 333, 3: 100})
	require.NoError(t, err)
	rest, err := note([]Invoice{*first, *second}, nil)
	require.NoError(t, err)
	require.Equal(t, i.Total, first.Total+second.Total+rest.Total, "all of it, and no cent more")
	require.Equal(t, i.Tax, first.Tax+second.Tax+rest.Tax)
	for _, n := range []*Invoice{whole, first, second, rest} {
		transaction := PostInvoice(n, testNow)
		require.NoError(t, transaction.Validate())
	}

	// All that is left of a line.
	left, err := note([]Invoice{*first}, map[int]Amount{1: 0})
	require.NoError(t, err)
	require.Equal(t, Amount(667), left.Total)
	_, err = note([]Invoice{*first, *left}, map[int]Amount{1: 0, 3: 100})
	require.ErrorContains(t, err, "nothing is left of line 1 of invoice 2026-000001")

	for want, parts := range map[string]map[int]Amount{
		"line 1 of invoice 2026-000001 has 6.67 left to credit, not 6.68":  {1: 668},
		"line 4 of invoice 2026-000001 has -1.00 left to credit, not 1.00": {4: 100},
		"has no line 9 to credit": {9: 1},
		"over more than nothing":  {4: -100},
	} {
		_, err := note([]Invoice{*first}, parts)
		require.ErrorContains(t, err, want)
	}
	// A run gave 5.00 of it back, on lines of its own.
	byRun := Invoice{Kind: KindCreditNote, State: InvoiceIssued, CorrectsNumber: i.Number, Total: 500}
	_, err = note([]Invoice{byRun}, nil)
	require.ErrorContains(t, err, "5.00 was given back by credit notes of runs already: "+i.Currency.Format(i.Total-500)+" is left")
	part, err := note([]Invoice{byRun}, map[int]Amount{1: 500})
	require.NoError(t, err)
	require.Equal(t, Amount(500), part.Total)

	i.State = InvoiceVoid
	_, err = note(nil, nil)
	require.ErrorContains(t, err, "a credit note is for an issued invoice")
}

func TestInvoiceLinesAreInOrder(t *testing.T) {
	a := account(subscribe(monthly(1000), "2026-11-01"))
	a.Pending = []Charge{
		{ID: makeID("by hand"), Kind: ChargeManual, Description: "Router", Currency: "EUR", Amount: 5000, Quantity: one, UnitPrice: dec("50"), TaxClass: "standard"},
		{ID: makeID("dollars"), Kind: ChargeManual, Description: "Visit", Currency: "USD", Amount: 700, Quantity: one, UnitPrice: dec("7"), TaxClass: "reduced"},
	}
	b := run(t, a, "2026-12-01")
	require.Len(t, b.Invoices, 2, "one for each currency")
	var lines []string
	for _, l := range b.Invoices[0].Lines {
		lines = append(lines, l.Description)
	}
	require.Equal(t, []string{"Home", "Home", "Router"}, lines)
	require.Equal(t, Currency("USD"), b.Invoices[1].Currency)
	require.Empty(t, a.Pending)
	for _, c := range b.Charges {
		require.NotEqual(t, uuid.Nil, c.InvoiceID)
	}
}

func TestANegativeSumWaitsForTheNextInvoice(t *testing.T) {
	a := account(subscribe(monthly(1000), "2026-11-01"))
	run(t, a, "2026-11-01")
	a.Pending = []Charge{{ID: makeID("credit"), Kind: ChargeManual, Currency: "EUR", Amount: -400, Quantity: one.neg(), UnitPrice: dec("4"), TaxClass: "standard"}}
	require.Empty(t, run(t, a, "2026-11-15").Invoices)
	require.Len(t, a.Pending, 1)
	require.Equal(t, Amount(600), run(t, a, "2026-12-01").Invoices[0].Net)
}
