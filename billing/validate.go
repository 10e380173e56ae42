package billing

import (
	"errors"
	"fmt"
)

// FieldError says what is wrong with one field of what somebody has entered. Several of
// them come joined.
type FieldError struct {
	Field   string // as in the tables and the API, with the place in a list: "usage[0].per"
	Message string // a sentence for the person who entered it
}

// Error returns the message.
func (e *FieldError) Error() string { return e.Message }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// Validate reports everything that is wrong with the rate, as joined [FieldError]s.
func (r *Rate) Validate() error {
	var errs []error
	if _, err := ParseCurrency(string(r.Currency)); err != nil {
		errs = append(errs, fieldErrorf("currency", "%s", err))
	}
	return errors.Join(append(errs, r.Terms.Validate())...)
}

// Validate reports everything that is wrong with the terms, as joined [FieldError]s.
func (t *Terms) Validate() error {
	var errs []error
	fail := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	for _, amount := range []struct {
		field string
		value Amount
	}{{"price", t.Price}, {"setup", t.Setup}} {
		if amount.value < 0 {
			fail(amount.field, "the %s must not be negative", amount.field)
		}
	}
	calendar := t.Every.Unit == Month || t.Every.Unit == Quarter || t.Every.Unit == Year
	if !calendar && t.Every.Unit != Day && t.Every.Unit != Week {
		fail("every.unit", "%q is no unit of a period: want day, week, month, quarter or year", t.Every.Unit)
	}
	if t.Every.Count < 1 || t.Every.Count > 1000 {
		fail("every.count", "a period has at least one unit, and no more than 1000")
	}
	switch {
	case t.BillingDay < 0 || t.BillingDay > 31:
		fail("billing_day", "a billing day is from 1 to 31; 0: the day of the month on which the subscription began")
	case t.BillingDay > 0 && !calendar:
		fail("billing_day", "a fixed billing day goes with months, quarters and years only")
	}
	if t.Timing != InAdvance && t.Timing != InArrears {
		fail("timing", "%q is no timing: want advance or arrears", t.Timing)
	}
	if t.TrialDays < 0 || t.DueDays < 0 {
		fail("trial_days", "numbers of days must not be negative")
	}
	if t.Prepaid != Postpaid && t.Prepaid != PrepaidDaily && t.Prepaid != PrepaidUsage {
		fail("prepaid", "%q is no mode of prepaid plans: want daily, usage or nothing", t.Prepaid)
	}
	for i := range t.Usage {
		errs = append(errs, t.Usage[i].validate(fmt.Sprintf("usage[%d].", i)))
	}
	return errors.Join(errs...)
}

func (u *UsageTerms) validate(at string) error {
	var errs []error
	fail := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(at+field, format, args...)) }
	switch u.Metric {
	case MetricSeconds, MetricOctets, MetricUpload, MetricDownload:
	default:
		fail("metric", "%q is no metric: want seconds, octets, upload or download", u.Metric)
	}
	if u.Per == 0 {
		fail("per", "a price is for at least one unit")
	}
	if u.Rollover < 0 {
		fail("rollover", "the number of periods must not be negative")
	}
	if u.Minimum < 0 {
		fail("minimum", "the minimum must not be negative")
	}
	if len(u.Tiers) == 0 {
		fail("tiers", "usage needs at least one tier with a price")
	}
	for i, tier := range u.Tiers {
		last := i == len(u.Tiers)-1
		if (tier.UpTo == 0) != last || !last && i > 0 && tier.UpTo <= u.Tiers[i-1].UpTo {
			fail(fmt.Sprintf("tiers[%d].up_to", i), "tiers are by ascending up_to, and the last one has none")
		}
		if tier.Price.Sign() < 0 {
			fail(fmt.Sprintf("tiers[%d].price", i), "a price must not be negative")
		}
	}
	return errors.Join(errs...)
}

// Validate reports everything that is wrong with the tax rate, as joined [FieldError]s.
func (r *TaxRate) Validate() error {
	var errs []error
	fail := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	if r.Class == "" {
		fail("class", "a tax rate needs a class")
	}
	if r.Name == "" {
		fail("name", "a tax rate needs a name, which stands on invoices")
	}
	if r.Percent.Sign() < 0 {
		fail("percent", "the percentage must not be negative")
	}
	switch r.Category { // UNCL 5305, of which EN 16931 has these
	case "S":
		if r.Percent.Sign() == 0 {
			fail("percent", "the category S (standard rate) has a percentage greater than 0")
		}
	case "Z", "E", "AE", "K", "G", "O":
		if r.Percent.Sign() > 0 {
			fail("percent", "the category %s has no percentage", r.Category)
		}
		if r.Category != "Z" && r.ExemptionReason == "" {
			fail("exemption_reason", "the category %s needs a reason why there is no tax", r.Category)
		}
	case "L", "M":
	default:
		fail("category", "%q is no category of tax: want one of S, Z, E, AE, K, G, O, L, M", r.Category)
	}
	if r.From.IsZero() {
		fail("from", "a tax rate needs a day from which it applies")
	}
	return errors.Join(errs...)
}
