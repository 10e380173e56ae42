package billing

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseDecimal(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.000": "0", "7": "7", "007.50": "7.5", "-0.0125": "-0.0125", "0.1": "0.1",
		"999999999999999.999999999999": "999999999999999.999999999999",
	} {
		d, err := ParseDecimal(text)
		require.NoError(t, err, text)
		require.Equal(t, want, d.String(), text)
	}
	for _, bad := range []string{"", "-", ".", "1.", ".5", "1e3", "+1", "1_000", "1,5", " 1", "--1", "0x1", "1/2", "1000000000000000", "0.0000000000001", "∞"} {
		_, err := ParseDecimal(bad)
		require.ErrorContains(t, err, "is no decimal number", bad)
	}
	require.True(t, dec("1.50") == dec("01.5"), "equal numbers are ==")
	require.Equal(t, []int{-1, 0, 1}, []int{dec("-2").Sign(), dec("0").Sign(), dec("0.1").Sign()})
	require.Equal(t, []Decimal{dec("-2"), dec("2"), dec("0")}, []Decimal{dec("2").neg(), dec("-2").neg(), dec("0").neg()})
}

func TestDecimalIsTextInJSON(t *testing.T) {
	b, err := json.Marshal(Tier{Price: dec("0.0125")})
	require.NoError(t, err)
	require.JSONEq(t, `{"price":"0.0125"}`, string(b))
	var tier Tier
	require.NoError(t, json.Unmarshal([]byte(`{"price":"1.50"}`), &tier))
	require.Equal(t, dec("1.5"), tier.Price)
	require.Error(t, json.Unmarshal([]byte(`{"price":"a"}`), &tier))
}

// TestDecimalOf has its arithmetic in the names.
func TestDecimalOf(t *testing.T) {
	for name, c := range map[string]struct {
		price         string
		currency      Currency
		quantity, per uint64
		want          Amount
	}{
		"0.01 EUR for each 100 MiB of 1500 MiB: 0.01 * 15 = 0.15":               {"0.01", "EUR", 1500, 100, 15},
		"0.005 EUR: half a cent, away from zero, is 0.01":                       {"0.005", "EUR", 1, 1, 1},
		"-0.005 EUR: away from zero is -0.01":                                   {"-0.005", "EUR", 1, 1, -1},
		"0.00499 EUR: less than half a cent":                                    {"0.00499", "EUR", 1, 1, 0},
		"100 JPY for each 3 of 1: 33.33 is 33":                                  {"100", "JPY", 1, 3, 33},
		"100 JPY for each 3 of 2: 66.67 is 67":                                  {"100", "JPY", 2, 3, 67},
		"0.0125 KWD of 10: 0.125, which has its place":                          {"0.0125", "KWD", 10, 1, 125},
		"0.0125 KWD of 1: 0.0125, a half, is 0.013":                             {"0.0125", "KWD", 1, 1, 13},
		"0.10 EUR a GiB of 1 octet less than 1.5 GiB: 0.1499999999 is 0.15":     {"0.1", "EUR", 1610612735, 1 << 30, 15},
		"the largest quantity, at a millionth for each million: 18446744.07":    {"1", "EUR", math.MaxUint64, 1e12, 1844674407},
		"0.30 EUR of 3 in units of 1: 0.90, where binary fractions give 0.8999": {"0.3", "EUR", 3, 1, 90},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := dec(c.price).Of(c.currency, c.quantity, c.per)
			require.NoError(t, err)
			require.Equal(t, c.want, a)
		})
	}
	_, err := dec("1").Of("EUR", math.MaxUint64, 1)
	require.ErrorIs(t, err, ErrOverflow)
	_, err = dec("1").Of("EUR", 1, 0)
	require.Error(t, err)
}

func TestPercentAndShare(t *testing.T) {
	for _, c := range []struct {
		percent string
		of      Amount
		want    Amount
	}{
		{"19", 4490, 853},   // 853.1
		{"19", 50, 10},      // 9.5
		{"19", -50, -10},    // -9.5
		{"7.7", 1000, 77},   // 77
		{"8.25", 999, 82},   // 82.4175
		{"100", 7, 7},       // 7
		{"0", 12345, 0},     // 0
		{"0.5", 100, 1},     // 0.5
		{"0.49", 100, 0},    // 0.49
		{"33.3333", 3, 1},   // 0.999999
		{"19", 1e14, 19e12}, // no float in between
	} {
		a, err := dec(c.percent).Percent(c.of)
		require.NoError(t, err)
		require.Equal(t, c.want, a, "%s %% of %d", c.percent, c.of)
	}
	for _, c := range []struct {
		of          Amount
		part, whole int64
		want        Amount
	}{
		{2990, 15, 30, 1495}, {2990, 10, 31, 965}, // 964.516
		{1, 1, 2, 1}, {-1, 1, 2, -1}, {1, 1, 3, 0}, {100, 2, 3, 67},
	} {
		a, err := share(c.of, c.part, c.whole)
		require.NoError(t, err)
		require.Equal(t, c.want, a, "%+v", c)
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.0125", "007.500", "999999999999999.999999999999", "1.", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			require.Zero(t, d)
			return
		}
		again, err := ParseDecimal(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
		require.Zero(t, d.rat().Cmp(again.rat()))
		require.Equal(t, d.rat().Sign(), d.Sign())
		require.Equal(t, d, d.neg().neg())
	})
}
