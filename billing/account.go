package billing

import (
	"time"

	"github.com/google/uuid"
)

// Account is all that a billing run needs to know of one user.
type Account struct {
	UserID        uuid.UUID
	Username      string
	Buyer         Party
	Subscriptions []Subscription // those that have not ended, and those with something to charge still
	// Former are the others that have ended, by their last states: what was used on their
	// days was theirs to charge for.
	Former []Subscription
	// Rates are by their ids those that the subscriptions change to (NextRateID), had
	// before (Past), and that the charges in Rated were made at. It may have more, and may
	// be shared: it is not written.
	Rates map[uuid.UUID]Rate
	// Credit is what the ledger holds for the user, negative what the user owes it. What
	// is pending has not been taken from it yet.
	Credit map[Currency]Amount
	// Ended is what of it has ended before the day and is taken after the run, but for what
	// is charged until then.
	Ended map[Currency]Amount
	// GivenBack is what was given back of charges for the price of days, where a subscription
	// ends or changes.
	GivenBack []GivenBack
	// Usage is what was used on each day since the earliest day that Compute may look at
	// (see UsageSince), in order.
	Usage []DayUsage
	// Hours is the same cut by the hours of the terms (see HoursOf).
	Hours HourUsage
	// HoursErr is why Hours could not be read: the account cannot be billed.
	HoursErr error
	// Rated are the usage and adjustment charges whose period ends after UsageSince, in
	// order of their making.
	Rated []Charge
	// Pending are charges that are on no invoice yet. Those of Rated may be among them.
	Pending []Charge
	// Billed says what the issued invoices were about, the oldest first, of a user without a
	// subscription that goes on.
	Billed []Billed
}

// HourUsage is usage cut by hours, as UsageTerms.Hours has them, into parts that have
// nothing in common, so that what several hours contain is not counted twice.
type HourUsage struct {
	// Texts are all hours that it was cut by.
	Texts []string
	Parts []HourPart // those in which anything was used
}

// HourPart is what was used while it was certain hours, and none of the others.
type HourPart struct {
	Texts []string   // one at least
	Days  []DayUsage // in order
}

// Billed is that charges of a subscription stand on an invoice that is not void.
type Billed struct {
	SubscriptionID uuid.UUID // zero: none, as of a charge made by hand
	Currency       Currency
	Number         string
}

// GivenBack is what credit notes that were made by hand, or the voiding of its invoice, have
// given back of a charge for the price of days.
type GivenBack struct {
	SubscriptionID uuid.UUID
	Period         Span // of the charge, up to the days that were charged again
	Charged        Amount
	Amount         Amount // of that
}

// RunOptions are what is the same for all accounts of a run.
type RunOptions struct {
	// AsOf is the day the run is for: it charges what is due on it and before.
	AsOf     Date
	Location *time.Location
	Taxes    []TaxRate
	Seller   Party
	// Series and CreditSeries are what the numbers of invoices and of credit notes begin
	// with.
	Series, CreditSeries string
	// SettleDays is how long after a period its usage is rated, so that late records
	// are in; what comes later still becomes an adjustment.
	SettleDays int
	// LookBack is how many days back rated usage is looked at again for records that
	// came late.
	LookBack int
	// DueDays are from the issue of an invoice until it is due if no subscription on it
	// says so.
	DueDays int
	RunID   uuid.UUID
	// WithoutUsageAtHours leaves out usage whose charge depends on hours that cannot be told
	// (Account.HoursErr). It is for Close: nothing comes after it that could make up for it.
	WithoutUsageAtHours bool
	Now                 time.Time // of created_at, and which day is today
}

// over reports whether the run is for a day before the present one. The credit that it
// finds is that of today, which says nothing of who was to be served then.
func (o *RunOptions) over() bool { return o.AsOf.Before(DateOf(o.Now, o.Location)) }

// Bill is what a run makes of an account. An account without anything due has an empty
// one.
type Bill struct {
	// Charges are new.
	Charges []Charge
	// Subscriptions are those that changed: what has been charged, state, rate.
	Subscriptions []Subscription
	// Invoices are to be issued, without numbers: at most one for each currency, and one
	// for what is outside of the scope of the tax. They have all charges that were pending
	// or are new.
	Invoices []Invoice
}
