package checkout

import (
	"fmt"
	"strings"

	"radiusd/billing"
)

// stripeDigits are the currencies whose amounts Stripe takes with other decimals than
// two (docs.stripe.com/currencies). ISK and UGX have none, but are sent as if they had
// two, which are 00.
var stripeDigits = map[billing.Currency]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "MGA": 0, "PYG": 0, "RWF": 0,
	"VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}

func digitsAtStripe(c billing.Currency) int {
	if n, ok := stripeDigits[c]; ok {
		return n
	}
	return 2
}

// toStripe returns an amount in Stripe's units. An amount that Stripe cannot charge is
// refused rather than rounded: of currencies with three decimals the last must be 0.
func toStripe(a billing.Amount, c billing.Currency) (int64, error) {
	if err := checkCurrency(c); err != nil {
		return 0, err
	}
	if a <= 0 {
		return 0, fmt.Errorf("the amount %s %s is not positive", c.Format(a), c)
	}
	n := int64(a)
	switch have, want := c.Digits(), digitsAtStripe(c); {
	case have < want: // ISK, UGX
		if n > (1<<62)/100 {
			return 0, billing.ErrOverflow
		}
		n *= 100
	case have > want: // MGA
		if n%100 != 0 {
			return 0, fmt.Errorf("%s %s cannot be charged by card: want whole %s", c.Format(a), c, c)
		}
		n /= 100
	case have == 3 && n%10 != 0:
		return 0, fmt.Errorf("%s %s cannot be charged by card: the last decimal must be 0", c.Format(a), c)
	}
	return n, nil
}

// fromStripe reads an amount in Stripe's units.
func fromStripe(n int64, code string) (billing.Amount, billing.Currency, error) {
	c, err := billing.ParseCurrency(strings.ToUpper(code))
	if err != nil {
		return 0, "", err
	}
	if err := checkCurrency(c); err != nil {
		return 0, "", err
	}
	if n < 0 {
		return 0, "", fmt.Errorf("the amount %d is negative", n)
	}
	switch have, want := c.Digits(), digitsAtStripe(c); {
	case have < want:
		if n%100 != 0 {
			return 0, "", fmt.Errorf("%d is no amount of whole %s", n, c)
		}
		n /= 100
	case have > want:
		if n > (1<<62)/100 {
			return 0, "", billing.ErrOverflow
		}
		n *= 100
	}
	return billing.Amount(n), c, nil
}

// checkCurrency refuses what Stripe has no rule for: with three decimals, or none, and
// not on its lists.
func checkCurrency(c billing.Currency) error {
	if _, err := billing.ParseCurrency(string(c)); err != nil {
		return err
	}
	_, listed := stripeDigits[c]
	if !listed && c.Digits() != 2 && c != "ISK" && c != "UGX" {
		return fmt.Errorf("%s cannot be charged by card", c)
	}
	return nil
}
