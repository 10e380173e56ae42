package billing

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCurrencyFormatAndParse(t *testing.T) {
	for _, c := range []struct {
		currency Currency
		amount   Amount
		text     string
	}{
		{"EUR", 1999, "19.99"},
		{"EUR", 5, "0.05"},
		{"EUR", -5, "-0.05"},
		{"EUR", 0, "0.00"},
		{"JPY", 1999, "1999"},
		{"JPY", -3, "-3"},
		{"KWD", 1999, "1.999"},
		{"KWD", 1, "0.001"},
		{"XXX", 100, "1.00"}, // one that is not in the table has hundredths
	} {
		t.Run(string(c.currency)+" "+c.text, func(t *testing.T) {
			require.Equal(t, c.text, c.currency.Format(c.amount))
			a, err := c.currency.Parse(c.text)
			require.NoError(t, err)
			require.Equal(t, c.amount, a)
		})
	}
	require.Equal(t, "-92233720368547758.08", Currency("EUR").Format(math.MinInt64))
}

func TestCurrencyParseTakesFewerDecimalsAndRefusesMore(t *testing.T) {
	for text, want := range map[string]Amount{"19.9": 1990, "20": 2000, "19.990": 1999, "-0.5": -50, "007": 700} {
		a, err := Currency("EUR").Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, a, text)
	}
	for text, message := range map[string]string{
		"19.999": "EUR has 2 decimals, \"19.999\" has more", "": "is no amount of money", "1,50": "is no amount of money",
		"1e3": "is no amount of money", "€5": "is no amount of money", ".5": "is no amount of money", "5.": "is no amount of money",
	} {
		_, err := Currency("EUR").Parse(text)
		require.ErrorContains(t, err, message, text)
	}
	_, err := Currency("JPY").Parse("1.5")
	require.ErrorContains(t, err, "JPY has 0 decimals")
}

func TestParseCurrency(t *testing.T) {
	c, err := ParseCurrency("CHF")
	require.NoError(t, err)
	require.Equal(t, 2, c.Digits())
	for _, bad := range []string{"", "EU", "eur", "EURO", "€UR", "E1R"} {
		_, err := ParseCurrency(bad)
		require.ErrorContains(t, err, "is no currency", bad)
	}
}

func TestAmountAddOverflows(t *testing.T) {
	a, err := Amount(math.MaxInt64 - 1).Add(1)
	require.NoError(t, err)
	require.Equal(t, Amount(math.MaxInt64), a)
	for _, pair := range [][2]Amount{{math.MaxInt64, 1}, {math.MinInt64, -1}, {1, math.MaxInt64}} {
		_, err := pair[0].Add(pair[1])
		require.ErrorIs(t, err, ErrOverflow)
	}
}

func FuzzCurrency(f *testing.F) {
	f.Add("EUR", int64(1999), "19.99")
	f.Add("JPY", int64(-5), "-5")
	f.Add("KWD", int64(math.MinInt64), "0.0015")
	f.Fuzz(func(t *testing.T, code string, n int64, text string) {
		c, err := ParseCurrency(code)
		if err != nil {
			return
		}
		a, err := c.Parse(c.Format(Amount(n)))
		if fits := n < 1e15 && n > -1e15; fits {
			require.NoError(t, err)
		}
		if err == nil {
			require.Equal(t, Amount(n), a)
		}
		if a, err = c.Parse(text); err == nil {
			again, err := c.Parse(c.Format(a))
			require.NoError(t, err)
			require.Equal(t, a, again)
		}
	})
}
