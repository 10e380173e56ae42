package report

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// ErrUnavailable means that a source cannot answer until an operator has mended
// something.
var ErrUnavailable = errors.New("the database of the reports cannot be used")

// Source answers the queries of reports. All methods block, call fn for each row
// in the order that the query says, end with the first error of fn, which they
// return, and hold no more in memory than the query's doc comment says. Sources
// are safe for concurrent use.
type Source interface {
	// Usage answers what was used.
	Usage(ctx context.Context, q UsageQuery, fn func(Usage) error) error
	// Concurrent answers how many sessions were open at once.
	Concurrent(ctx context.Context, q ConcurrentQuery, fn func(Concurrent) error) error
	// Holders answers who held an address.
	Holders(ctx context.Context, q HolderQuery, fn func(Holder) error) error
	// Counts answers how often something happened.
	Counts(ctx context.Context, q CountQuery, fn func(Count) error) error
}

// By is what rows are grouped by.
type By string

// What rows can be grouped by. Not every query takes all of them.
const (
	ByNothing By = "none"
	ByUser    By = "user"
	ByNAS     By = "nas"
	ByPlan    By = "plan"
)

// UsageQuery asks for usage by user, NAS or plan. Rows come by key: if there is a
// limit, the key with the most octets in the whole span first, else in the order
// of keys. The rows of a key come in order of time, and only for periods in which
// something was used. A source holds in memory the periods of at most Limit
// users, or of all NASes or plans.
//
// A step of a session's counters, from one record to the next, is spread evenly
// over the time between them. It belongs to the session's user and NAS, and to
// the plan that the user had when the later record was received.
type UsageQuery struct {
	Span
	By    By
	User  string     // only this user; empty: all
	NAS   netip.Addr // only this NAS (nas_ip); zero: all
	Plan  string     // only this plan; empty: all
	Limit int        // at most so many keys; zero: all
}

// Usage is what was used under a key in a period.
type Usage struct {
	Start time.Time // of the period
	Key   string    // user name, NAS address or plan; empty: none
	aaa.Usage
}

// ConcurrentQuery asks how many sessions were open, at the beginning of each
// step and at most within it. A session is open from its start on, and no more
// at its stop.
type ConcurrentQuery struct {
	From, To time.Time     // From may not be after To
	Step     time.Duration // greater than zero
	User     string        // only sessions of this user; empty: all
	NAS      netip.Addr    // only sessions on this NAS; zero: all
}

// Concurrent is how many sessions were open in a step.
type Concurrent struct {
	At       time.Time // when the step begins
	Sessions uint64    // open at that moment
	Most     uint64    // open at once within the step
}

// HolderQuery asks which sessions held an address: as their own, or within a
// prefix that was framed or delegated. The latest start comes first.
type HolderQuery struct {
	Address  netip.Addr
	From, To time.Time // a session that was open in between, both ends included
	Limit    int       // zero: all
}

// Holder is a session that held an address.
type Holder struct {
	SessionID        uuid.UUID
	AcctSessionID    string
	Username         string
	CallingStationID string // as sent
	NASAddr          netip.Addr
	NASPortID        string
	Held             netip.Prefix // what contains the address; an address is a prefix of full length
	StartedAt        time.Time
	StartInferred    bool      // no Start was seen
	UpdatedAt        time.Time // the latest record
	StoppedAt        time.Time // zero: open, or not known to have ended
	StopInferred     bool      // no Stop was seen
}

// Event is what a CountQuery counts.
type Event string

// What can be counted.
const (
	// Stops are sessions that ended, by terminate cause; a session counts when it
	// stopped.
	Stops Event = "stops"
	// Rejects are logins that were refused, by reason.
	Rejects Event = "rejects"
)

// CountQuery asks how often something happened for each cause or reason. Rows come
// in order of periods, and within one the greatest count first. A source holds in
// memory what a period has.
type CountQuery struct {
	Span
	Event Event
	By    By         // ByNothing; ByNAS; ByPlan for Stops; ByUser for Rejects
	User  string     // only this user; empty: all
	NAS   netip.Addr // only this NAS; zero: all
	Limit int        // at most so many rows of each period; zero: all
}

// Count is how often something happened in a period.
type Count struct {
	Start    time.Time // of the period
	Key      string    // what By says; empty: none
	Cause    string    // terminate cause or reject reason; empty: none was sent
	Inferred bool      // of Stops: no Stop was seen
	Count    uint64
}
