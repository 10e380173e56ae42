package billing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTermsValidate(t *testing.T) {
	require.NoError(t, monthly(2990).Terms.Validate("EUR"))
	for want, edit := range map[string]func(*Terms){
		"price is -0.01: it must not be negative":                                             func(t *Terms) { t.Price = -1 },
		"setup is 2000000000000.00: it must be at most 1000000000000.00":                      func(t *Terms) { t.Setup = 2e14 },
		`every has the unit "fortnight"`:                                                      func(t *Terms) { t.Every.Unit = "fortnight" },
		"every has a count that is 0: it must be from 1 to 1200":                              func(t *Terms) { t.Every.Count = 0 },
		"billing_day is 32":                                                                   func(t *Terms) { t.BillingDay = 32 },
		"billing_day goes with periods of months, quarters or years, not with those of weeks": func(t *Terms) { t.BillingDay, t.Every.Unit = 1, Week },
		`timing is "later"`:                                                                   func(t *Terms) { t.Timing = "later" },
		"trial_days is -1":                                                                    func(t *Terms) { t.TrialDays = -1 },
		"due_days is 9999":                                                                    func(t *Terms) { t.DueDays = 9999 },
		"tax_included needs a tax_class":                                                      func(t *Terms) { t.TaxIncluded, t.TaxClass = true, "" },
		`prepaid is "maybe"`:                                                                  func(t *Terms) { t.Prepaid = "maybe" },
		"whole_periods contradicts prepaid daily":                                             func(t *Terms) { t.Prepaid, t.WholePeriods, t.TaxIncluded = PrepaidDaily, true, true },
		"the prices of a prepaid plan must include the tax":                                   func(t *Terms) { t.Prepaid = PrepaidDaily },
		"timing must be advance for a prepaid plan":                                           func(t *Terms) { t.Prepaid, t.Timing, t.TaxIncluded = PrepaidDaily, InArrears, true },
		"price must be 0 with prepaid usage": func(t *Terms) {
			t.Prepaid, t.TaxIncluded = PrepaidUsage, true
			t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{}}}}
		},
		"prepaid usage needs usage terms":                   func(t *Terms) { t.Prepaid, t.TaxIncluded, t.Price = PrepaidUsage, true, 0 },
		"usage 1: tiers are missing":                        func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1}} },
		`metric is "miles"`:                                 func(t *Terms) { t.Usage = []UsageTerms{{Metric: "miles", Per: 1, Tiers: []Tier{{}}}} },
		"per is 0":                                          func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Tiers: []Tier{{}}}} },
		"rollover needs an allowance":                       func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Rollover: 1, Tiers: []Tier{{}}}} },
		"the price of tier 1 is -1":                         func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{0, dec("-1")}}}} },
		"tier 1 is the last one: it must not have an up_to": func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{5, dec("1")}}}} },
		"tier 1 needs an up_to":                             func(t *Terms) { t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{}, {}}}} },
		"tier 2 ends at 5: it must end beyond the one before it": func(t *Terms) {
			t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Tiers: []Tier{{UpTo: 5}, {UpTo: 5}, {}}}}
		},
		"minimum is -0.05": func(t *Terms) {
			t.Usage = []UsageTerms{{Metric: MetricOctets, Per: 1, Minimum: -5, Tiers: []Tier{{}}}}
		},
	} {
		terms := monthly(2990).Terms
		edit(&terms)
		err := terms.Validate("EUR")
		require.ErrorContains(t, err, want)
		require.Len(t, strings.Split(err.Error(), "\n"), 1, "one thing is wrong: %v", err)
	}
	require.ErrorContains(t, monthly(1).Terms.Validate("euro"), `"euro" is no currency`)
	err := Terms{Price: -1}.Validate("EUR")
	require.ErrorContains(t, err, "price")
	require.ErrorContains(t, err, "every")
	require.ErrorContains(t, err, "timing", "all problems at once")
}

func TestTaxRateValidate(t *testing.T) {
	for _, r := range testTaxes {
		require.NoError(t, r.Validate())
	}
	for want, edit := range map[string]func(*TaxRate){
		"class is missing":                             func(r *TaxRate) { r.Class = " " },
		"name is missing":                              func(r *TaxRate) { r.Name = "" },
		"from is missing":                              func(r *TaxRate) { r.From = Date{} },
		"percent is 100.1":                             func(r *TaxRate) { r.Percent = dec("100.1") },
		"percent is -1":                                func(r *TaxRate) { r.Percent, r.Category = dec("-1"), "L" },
		"percent is -5: it must be from 0 to 100":      func(r *TaxRate) { r.Percent = dec("-5") },
		`category is "VAT"`:                            func(r *TaxRate) { r.Category = "VAT" },
		"percent is 19: in category Z it is 0":         func(r *TaxRate) { r.Category = "Z" },
		"percent is 0: in category S there":            func(r *TaxRate) { r.Percent = dec("0") },
		"exemption_reason is missing":                  func(r *TaxRate) { r.Percent, r.Category = dec("0"), "AE" },
		"exemption_reason does not go with category S": func(r *TaxRate) { r.ExemptionReason = "none" },
	} {
		r := testTaxes[0]
		edit(&r)
		err := r.Validate()
		require.ErrorContains(t, err, want)
		require.Len(t, strings.Split(err.Error(), "\n"), 1, "one thing is wrong: %v", err)
	}
}
