package billing

import (
	"time"

	"github.com/google/uuid"
)

// Subscription is a user's plan with the terms it was bought at.
type Subscription struct {
	ID       uuid.UUID // UUIDv7
	UserID   uuid.UUID
	Username string // as the user is called now; not written
	Rate     Rate   // written as rate_id
	State    SubscriptionState
	Start    Date // the first day
	// End is the day after the last one; no day: it goes on.
	End Date
	// Anchor is the first day that is paid for, Start or the day after the trial, and
	// where periods begin that are not on a fixed billing day. A change to a rate with
	// other periods sets it anew.
	Anchor Date
	// Past are the rates it had before Rate, in order. They are kept as JSON.
	Past []PastRate
	// Suspensions are the days all of which it waited for credit, in order; of the last
	// thousand times. One that has no end lasts, or lasted until the subscription ended.
	// They are kept as JSON.
	Suspensions []Span
	// ChargedUntil is the day up to which (and without) the price has been charged, and
	// RatedUntil the same for usage. They move forward with the charges, in one
	// transaction.
	ChargedUntil, RatedUntil Date
	// NextRateID replaces the rate on NextFrom, a change at the end of a period.
	NextRateID uuid.UUID
	NextFrom   Date
	// Revision counts the changes of rate and end. It is in the ids of charges, so that
	// days that are credited and charged again get new ones.
	Revision  int
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PastRate is a rate that a subscription had from a day until (and without) another.
type PastRate struct {
	RateID uuid.UUID `json:"rate_id"`
	From   Date      `json:"from"`
	Until  Date      `json:"until"`
	Anchor Date      `json:"anchor"` // of its periods
}

// SubscriptionState says where a subscription stands.
type SubscriptionState string

// The states of subscriptions.
const (
	SubscriptionTrial     SubscriptionState = "trial"
	SubscriptionActive    SubscriptionState = "active"
	SubscriptionGrace     SubscriptionState = "grace"     // active, and an invoice that it is on is overdue
	SubscriptionSuspended SubscriptionState = "suspended" // for want of credit
	SubscriptionEnded     SubscriptionState = "ended"
)

// Charge is a part of a bill: what for, how much, and from what it was computed. It
// never changes but for being put on an invoice.
type Charge struct {
	// ID is made from what is charged (subscription, kind, metric, period and how
	// often it was rated), so that computing it again makes the same one.
	ID             uuid.UUID
	UserID         uuid.UUID
	SubscriptionID uuid.UUID // zero: none, as a charge made by hand
	Kind           ChargeKind
	Description    string // as it stands on the invoice, beside the period
	Period         Span   // what it is for; zero: a moment
	Currency       Currency
	// Quantity of Unit at UnitPrice; for usage what is beyond the allowance.
	Quantity  Decimal
	Unit      string // UnitPeriod, or what usage is priced by: GiB, hour, 100 MB
	UnitPrice Decimal
	// Amount is signed: a credit is negative. It contains the tax if TaxIncluded.
	Amount      Amount
	TaxClass    string
	TaxIncluded bool
	// Inputs are what the amount was computed from.
	Inputs    Inputs
	InvoiceID uuid.UUID // zero: not on one yet
	CreatedAt time.Time
}

// ChargeKind says what a charge is for.
type ChargeKind string

// The kinds of charges.
const (
	ChargeSetup      ChargeKind = "setup"
	ChargePeriod     ChargeKind = "period"
	ChargeUsage      ChargeKind = "usage"
	ChargeAdjustment ChargeKind = "adjustment" // of usage that was rated before its records had all come
	ChargeProration  ChargeKind = "proration"  // credit for days that were paid and not had
	ChargeManual     ChargeKind = "manual"
)

// UnitPeriod is the unit of charges that are one thing at a price.
const UnitPeriod = "period"

// Inputs are what a charge was computed from, enough to compute it again. They are
// kept with the charge as JSON.
type Inputs struct {
	RateID uuid.UUID `json:"rate_id,omitzero"`
	// Days of Of days of a period were charged (or credited), after the First days that
	// the rate had been in force in it before.
	First int `json:"first,omitempty"`
	Days  int `json:"days,omitempty"`
	Of    int `json:"of,omitempty"`
	// Usage is what was used on each day of the charge's period, as known then, after
	// Prior, what had been used before in the same billing period, where that is charged
	// by the day.
	Metric    Metric     `json:"metric,omitempty"`
	Terms     int        `json:"terms,omitempty"` // which of the rate's usage terms: 0, 1, …
	Usage     []DayUsage `json:"usage,omitempty"`
	Prior     uint64     `json:"prior,omitempty"`
	Allowance uint64     `json:"allowance,omitempty"` // with what was carried over
	Carried   []Carried  `json:"carried,omitempty"`   // of that, the oldest first
	// Adjusts is the charge, and Before what had been charged for the same usage until
	// then; of a credit for days, what had been given back of them.
	Adjusts uuid.UUID `json:"adjusts,omitzero"`
	Before  Amount    `json:"before,omitempty"`
}

// Carried is allowance left over from an earlier period.
type Carried struct {
	Quantity uint64 `json:"quantity"`
	Periods  int    `json:"periods"` // in how many it can be used yet, with this one
}

// DayUsage is what a user used on a day (usage_daily), or at certain hours of it.
type DayUsage struct {
	Day      Date   `json:"day"`
	Seconds  uint64 `json:"seconds,omitempty"`
	Upload   uint64 `json:"upload,omitempty"`   // octets from the user
	Download uint64 `json:"download,omitempty"` // octets to the user
}
