package billing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"radiusd/billing"
)

// TestRFReference has the example that is printed about ISO 11649, and one by hand:
// INV000123RF00 is 18 23 31 000123 27 15 00 in digits; 182331000123271500 mod 97 = 25,
// so the check digits are 98 - 25 = 73.
func TestRFReference(t *testing.T) {
	for _, c := range []struct{ name, number, want string }{
		{"digits alone", "539007547034", "RF18539007547034"},
		{"a series", "INV-000123", "RF73INV000123"},
		{"small letters", "inv-000123", "RF73INV000123"},
		{"slashes and spaces", "INV / 000.123", "RF73INV000123"},
		{"21 characters", "ABCDEFGHIJKLMNO123456", "RF53ABCDEFGHIJKLMNO123456"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := billing.RFReference(c.number)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			body, err := billing.ParseRFReference(got)
			require.NoError(t, err)
			require.Equal(t, c.want[4:], body)
		})
	}
	for _, c := range []struct{ name, number string }{
		{"nothing", ""}, {"only marks", "--"}, {"22 characters", "ABCDEFGHIJKLMNO1234567"},
		{"an umlaut", "RÜ-000001"}, {"another alphabet", "СЧ-000001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := billing.RFReference(c.number)
			require.ErrorContains(t, err, "ISO 11649")
		})
	}
}

func TestParseRFReference(t *testing.T) {
	body, err := billing.ParseRFReference(" rf18 5390 0754 7034 ")
	require.NoError(t, err)
	require.Equal(t, "539007547034", body)
	for _, c := range []struct{ name, text, want string }{
		{"a digit changed", "RF18539007547035", "check digits"},
		{"two digits swapped", "RF18539007547304", "check digits"},
		{"another beginning", "DE18539007547034", "no creditor reference"},
		{"no check digits", "RFAB539007547034", "no creditor reference"},
		{"nothing after them", "RF18", "no creditor reference"},
		{"too long", "RF18ABCDEFGHIJKLMNO1234567", "no creditor reference"},
		{"marks", "RF18-539007547034", "no creditor reference"},
		{"empty", "", "no creditor reference"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := billing.ParseRFReference(c.text)
			require.ErrorContains(t, err, c.want)
		})
	}
}
