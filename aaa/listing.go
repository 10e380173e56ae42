package aaa

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/radius"
)

var (
	// ErrBadCursor means that a cursor is damaged, or belongs to a list with another
	// filter or sort.
	ErrBadCursor = errors.New("the cursor does not belong to this list")
	// ErrBadSort means that a list cannot be sorted so.
	ErrBadSort = errors.New("the list cannot be sorted so")
)

// The number of rows on a page.
const (
	DefaultPageLimit = 100
	MaxPageLimit     = 1000
)

// Page says which page of a list is wanted. The zero value is the first one, in the
// list's own order.
//
// Pages go by the key of their last row, never by its number: a row that is there from
// the first page to the last comes exactly once, whatever is added or deleted
// meanwhile. One whose sort key changes may be missed, or come twice.
type Page struct {
	// Cursor is what the page before gave; empty: the first page. It belongs to its
	// list, sort and filter, and holds for Limit of any size.
	Cursor string
	// Limit is how many rows there are at most; zero: DefaultPageLimit. More than
	// MaxPageLimit is MaxPageLimit.
	Limit int
	// Sort is one of the list's fields, with "-" before it for descending order;
	// empty: the first that the list has.
	Sort string
}

// PageLimit returns Limit within its bounds.
func (p Page) PageLimit() int {
	if p.Limit <= 0 {
		return DefaultPageLimit
	}
	return min(p.Limit, MaxPageLimit)
}

// ParseSort reads Sort, of which sorts has what is allowed. It fails with ErrBadSort.
func (p Page) ParseSort(sorts []string) (field string, descending bool, err error) {
	text := p.Sort
	if text == "" {
		text = sorts[0]
	}
	field, descending = strings.CutPrefix(text, "-")
	if !slices.ContainsFunc(sorts, func(s string) bool { return strings.TrimPrefix(s, "-") == field }) {
		return "", false, ErrBadSort
	}
	return field, descending, nil
}

// The sorts of lists. The first is what a list is sorted by unless something else is
// asked for; the sign there is only the direction of that.

// UserSorts are the sorts of users. Who never expires comes last by expires_at.
func UserSorts() []string { return []string{"username", "created_at", "updated_at", "expires_at"} }

// UserMatchSorts are the sorts of users where UserFilter.Query is set: those come
// first whose name begins with it, by name; then full names, electronic mail, telephone.
func UserMatchSorts() []string { return []string{"match"} }

// PlanSorts are the sorts of plans.
func PlanSorts() []string { return []string{"name", "created_at"} }

// GroupSorts are the sorts of groups.
func GroupSorts() []string { return []string{"name", "created_at"} }

// NASSorts are the sorts of NASes. Addresses are in the order of their text in SQLite.
func NASSorts() []string { return []string{"address", "name", "created_at"} }

// BatchSorts are the sorts of batches of users.
func BatchSorts() []string { return []string{"-created_at", "name"} }

// SessionSorts are the sorts of sessions. By stopped_at, there are only past ones.
func SessionSorts() []string { return []string{"-started_at", "stopped_at"} }

// RecordSorts are the sorts of accounting records.
func RecordSorts() []string { return []string{"-event_time"} }

// AuthSorts are the sorts of auth records.
func AuthSorts() []string { return []string{"-at"} }

// UserFilter selects users: those to whom all of it applies. A zero field selects all.
type UserFilter struct {
	// Query is what the user's name begins with, octet by octet, or the full name, the
	// electronic mail or the telephone number of the profile, whatever the case. Case
	// is known of ASCII in SQLite, and as the database's locale says in Postgres.
	Query string
	// NamesOnly looks for the Query in users' names alone, for who may not see profiles.
	NamesOnly bool

	Status  *UserStatus
	PlanID  uuid.UUID
	GroupID uuid.UUID
	BatchID uuid.UUID
	Scheme  *Scheme
	Online  *bool // whether a session is open
	// From is contained, Before is not. Who never expires is in no span of expiries.
	ExpiresFrom, ExpiresBefore time.Time
	CreatedFrom, CreatedBefore time.Time
}

// PlanFilter selects plans.
type PlanFilter struct {
	Query string // what the name begins with, octet by octet
}

// GroupFilter selects groups.
type GroupFilter struct {
	Query string // what the name begins with, octet by octet
}

// NASFilter selects NASes.
type NASFilter struct {
	Query    string     // what the name begins with, octet by octet
	Contains netip.Addr // an address of the NAS, or of its prefix
	Vendor   *string
}

// SessionFilter selects sessions. Times: From is contained, Before is not.
type SessionFilter struct {
	Online   *bool // open or past
	Username string
	NASAddr  netip.Addr // nas_ip
	NASID    uuid.UUID  // of the directory
	// Address is a framed address, or one within a framed or delegated prefix.
	Address                    netip.Addr
	CallingStationID           string // as sent
	Plan                       string // name
	TerminateCause             string
	StartedFrom, StartedBefore time.Time
	StoppedFrom, StoppedBefore time.Time
}

// DefaultSpan is how far records are listed back unless the filter says more.
const DefaultSpan = 7 * 24 * time.Hour

// RecordFilter selects accounting records.
type RecordFilter struct {
	SessionID uuid.UUID
	Username  string // of sessions
	NASAddr   netip.Addr
	Status    *AcctStatus
	// From and Before bound the event time; zero Before: no bound, zero From:
	// DefaultSpan before Before, or before now.
	From, Before time.Time
}

// AuthFilter selects auth records.
type AuthFilter struct {
	Username         string // as sent
	Accepted         *bool
	Reason           *Reason
	NASAddr          netip.Addr
	NASID            uuid.UUID
	CallingStationID string // as sent
	// From and Before are as in RecordFilter.
	From, Before time.Time
}

// MaxCount is where counting ends.
const MaxCount = 1_000_000

// Count is how many rows there are.
type Count struct {
	N       int
	AtLeast bool // there are more
}

// UserRow is a user as it is listed: with everything but the secret, which is not
// even opened.
type UserRow struct {
	ID              uuid.UUID
	Name            string
	Status          UserStatus
	Suspension      Suspension // why, if Status is UserSuspended
	Scheme          Scheme
	PlanID          uuid.UUID // zero: no plan
	Plan            string    // its name
	Groups          []Membership
	GroupNames      []string  // of Groups
	ExpiresAt       time.Time // zero: never
	SimultaneousUse int
	Items           []Item
	Profile         Profile
	BatchID         uuid.UUID // zero: made one by one
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

// NASRow is a NAS as it is listed: with everything but its secrets, which are not
// even opened.
type NASRow struct {
	ID                          uuid.UUID
	Name                        string
	Prefix                      netip.Prefix
	HasPreviousSecret           bool
	Vendor                      string
	CoAPort                     uint16
	RequireMessageAuthenticator radius.Requirement
	LimitProxyState             bool
	CreatedAt                   time.Time
	UpdatedAt                   time.Time
}
