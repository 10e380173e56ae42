package aaa

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Plan is what a user has bought: speed, limits and allowances. Its fields reach
// a NAS as standard and vendor attributes through reply templates; Items add to
// or replace what the templates give.
type Plan struct {
	ID   uuid.UUID // UUIDv7
	Name string    // unique

	// Speed in bit/s as the subscriber sees it; zero: not limited.
	RateUp, RateDown   uint64
	BurstUp, BurstDown uint64 // zero: no burst
	// BurstThresholdUp and BurstThresholdDown are the mean rates in bit/s below
	// which a burst is allowed, over BurstTime.
	BurstThresholdUp, BurstThresholdDown uint64
	BurstTime                            time.Duration
	// PolicyUp and PolicyDown name QoS profiles that exist on the NAS, for
	// vendors that shape by profile rather than by rate.
	PolicyUp, PolicyDown string

	SessionTimeout  time.Duration // zero: none
	IdleTimeout     time.Duration // zero: none
	InterimInterval time.Duration // zero: the NAS decides

	AddressPool       string    // Framed-Pool
	IPv6Pool          string    // Framed-IPv6-Pool
	DelegatedIPv6Pool string    // Delegated-IPv6-Prefix-Pool; must differ from IPv6Pool
	AddressList       string    // firewall address list, for vendors that have them
	FilterID          string    // Filter-Id
	SimultaneousUse   int       // open sessions at once; zero: not limited
	LoginHours        string    // when login is allowed, as FreeRADIUS's Login-Time; empty: always
	AllowedMethods    MethodSet // zero: all
	QuotaSeconds      uint64    // online time per period; zero: not limited
	QuotaOctets       uint64    // input + output octets per period; zero: not limited
	QuotaPeriod       Period    // what the quotas refer to

	Items     []Item
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Period is the span a quota refers to, in the configured time zone.
type Period uint8

// The quota periods. The zero value is the user's whole life.
const (
	PeriodEver Period = iota
	PeriodDay
	PeriodWeek // from Monday, ISO 8601
	PeriodMonth
)

// PeriodCount is how many periods there are.
const PeriodCount = int(PeriodMonth) + 1

var periodNames = [...]string{"ever", "day", "week", "month"}

// String returns the period as it stands in the plans table.
func (p Period) String() string {
	if int(p) < len(periodNames) {
		return periodNames[p]
	}
	return fmt.Sprintf("period(%d)", uint8(p))
}

// ParsePeriod reads a period as String writes it.
func ParsePeriod(s string) (Period, error) {
	for i, name := range periodNames {
		if s == name {
			return Period(i), nil
		}
	}
	return 0, fmt.Errorf("unknown period %q: want ever, day, week or month", s)
}

// Group gives check and reply items to its members.
type Group struct {
	ID        uuid.UUID // UUIDv7
	Name      string    // unique
	Items     []Item
	CreatedAt time.Time
	UpdatedAt time.Time
}
