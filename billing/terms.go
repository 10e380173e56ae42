package billing

import (
	"time"

	"github.com/google/uuid"
)

// Rate is one version of what a plan costs, a row of rates. It never changes: a new
// price is a new version, and who has subscribed keeps the version they bought until
// they are moved.
type Rate struct {
	ID        uuid.UUID // UUIDv7
	PlanID    uuid.UUID
	PlanName  string // as it is called now; not written
	Version   int    // 1, 2, … of the plan
	Currency  Currency
	Terms     Terms
	CreatedAt time.Time
	// RetiredAt is when it stopped being offered to new subscribers; zero: it is
	// offered. Of a plan one version is offered.
	RetiredAt time.Time
}

// Terms are what is charged for, in the currency of the rate.
type Terms struct {
	// Price is charged for each period; Setup once, with the first.
	Price Amount `json:"price"`
	Setup Amount `json:"setup,omitempty"`
	// Every is how long a period is. A fixed billing day goes with months, quarters
	// and years only.
	Every Interval `json:"every"`
	// BillingDay is the day of the month on which periods begin, cut to the last day
	// of short months; 0: the day of the month on which the subscription began.
	BillingDay int    `json:"billing_day,omitempty"`
	Timing     Timing `json:"timing"`
	// TrialDays are free of charge, the first period begins after them.
	TrialDays int `json:"trial_days,omitempty"`
	// WholePeriods charges a broken period in full; else by the day.
	WholePeriods bool `json:"whole_periods,omitempty"`
	// TaxClass names the tax rates that apply; empty: not taxed.
	TaxClass string `json:"tax_class,omitempty"`
	// TaxIncluded means that all prices here contain the tax.
	TaxIncluded bool `json:"tax_included,omitempty"`
	// Prepaid refuses service without credit; see PrepaidMode.
	Prepaid PrepaidMode `json:"prepaid,omitempty"`
	// DueDays are from the issue of an invoice until it is due.
	DueDays int `json:"due_days,omitempty"`
	// Usage is what is charged beyond the price.
	Usage []UsageTerms `json:"usage,omitempty"`
}

// Interval is a length of time in the calendar.
type Interval struct {
	Unit  IntervalUnit `json:"unit"`
	Count int          `json:"count"` // 1 or more
}

// IntervalUnit is a unit of an interval.
type IntervalUnit string

// The units of intervals.
const (
	Day     IntervalUnit = "day"
	Week    IntervalUnit = "week"
	Month   IntervalUnit = "month"
	Quarter IntervalUnit = "quarter"
	Year    IntervalUnit = "year"
)

// Timing says when a period is charged.
type Timing string

// The timings.
const (
	InAdvance Timing = "advance" // on its first day
	InArrears Timing = "arrears" // on the day after its last one
)

// PrepaidMode says how a prepaid plan takes its price out of the user's credit.
type PrepaidMode string

// The modes of prepaid plans.
const (
	Postpaid     PrepaidMode = ""
	PrepaidDaily PrepaidMode = "daily" // the price accrues by the day
	PrepaidUsage PrepaidMode = "usage" // pay as you go: usage alone, as it happens
)

// Metric is what usage is counted in.
type Metric string

// The metrics of usage.
const (
	MetricSeconds  Metric = "seconds"
	MetricOctets   Metric = "octets"   // in both directions
	MetricUpload   Metric = "upload"   // octets from the user (Acct-Input-Octets)
	MetricDownload Metric = "download" // octets to the user (Acct-Output-Octets)
)

// UsageTerms charge for usage of one metric in a period.
type UsageTerms struct {
	Metric Metric `json:"metric"`
	// Name stands on the invoice; empty: one made from the metric.
	Name string `json:"name,omitempty"`
	// Allowance is how much of a period is free of charge. In a broken period it is
	// as much less as the price is.
	Allowance uint64 `json:"allowance,omitempty"`
	// Rollover carries what was not used of the allowance into as many periods after
	// it; it is used before the newer one.
	Rollover int `json:"rollover,omitempty"`
	// Step is what usage beyond the allowance is rounded up to a multiple of; 0: 1.
	Step uint64 `json:"step,omitempty"`
	// Per is how many units a tier's price is for: 1073741824 for a price per GiB.
	Per uint64 `json:"per"`
	// Tiers are by ascending UpTo; the last one's is 0: without end. Each charges the
	// part of the usage beyond the allowance that lies in it.
	Tiers []Tier `json:"tiers"`
	// Minimum is charged at least, where there is any usage beyond the allowance.
	Minimum Amount `json:"minimum,omitempty"`
	// Hours confines the terms to certain times, in the form of FreeRADIUS's
	// Login-Time ("Wk0800-1800"); empty: always. Usage is cut at these times from the
	// sessions' records.
	Hours string `json:"hours,omitempty"`
}

// Tier is a price for a part of the usage.
type Tier struct {
	UpTo  uint64  `json:"up_to,omitempty"` // of the period's usage beyond the allowance; 0: without end
	Price Decimal `json:"price"`           // currency units for each Per units
}

// TaxRate is what a tax class is taxed with from a day on.
type TaxRate struct {
	ID       uuid.UUID
	Class    string  // as in Terms
	Name     string  // as on the invoice: VAT
	Percent  Decimal // 19
	Category string  // UNCL 5305, as EN 16931 wants it: S, Z, E, AE, …
	// ExemptionReason is required by EN 16931 where the category says that there is
	// no tax.
	ExemptionReason string
	From            Date
}
