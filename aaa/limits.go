package aaa

import (
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// Limits is what an Access-Request has to ask of the live sessions: a place
// among the user's simultaneous sessions and what the user has used so far. It
// is in memory for one node; several nodes share it through Redis.
type Limits interface {
	// Reserve takes one of limit places for a session that is about to begin,
	// unless a quota is used up. The place is taken over by the session's Start,
	// given back by its Stop or by Release, and lapses by itself if none of them
	// comes. Of any number of concurrent calls, no more than limit succeed. A
	// device that reserves again on the same NAS port replaces its own reservation
	// or session rather than standing beside it, and so does a session that asks
	// again: see Reservation.AcctSessionID.
	Reserve(Reservation) Grant
	// Release gives a place back of which nothing will come: the answer was not
	// an Access-Accept after all. The nonce is the one that was reserved for.
	Release(username string, nonce Nonce)
	// Waits reports whether Reserve may wait for another server, so that it must
	// not be called on a listener. It may change from one moment to the next.
	Waits() bool
}

// Reservation is one request for a place.
type Reservation struct {
	Username string
	// Limit is zero for a user without one: no place is taken then.
	Limit int
	// Quotas by period, which must not be used up. What was used in the period that
	// contains At counts, open sessions included.
	Quotas [PeriodCount]Quota
	Nonce  Nonce // for a session that is new

	// What follows in octets belongs to the caller, and Limits keeps none of it.
	// AcctSessionID is the one in the Access-Request, as in Record; empty: not sent. When the user
	// has a session of that id on that NAS, it is being authenticated again (by
	// MAC address, or with Termination-Action): with another nonce it would be torn
	// in two, and what it has used be counted twice.
	AcctSessionID    []byte
	NASID            uuid.UUID // the directory's NAS
	NASAddr          netip.Addr
	NASPortID        []byte // or the decimal NAS-Port
	CallingStationID []byte // in normal form
	At               time.Time
}

// Grant is what came of a Reservation.
type Grant struct {
	// Reserved is false if all places are taken or a quota is used up: Used tells
	// which.
	Reserved bool
	// Nonce is the one that the session is to carry in Class: that of the
	// reservation, or of the session that is running already. It is zero if that
	// one runs without a Class of ours, and is to stay so.
	Nonce Nonce
	// Used is what the user has used, in the periods that have a quota.
	Used [PeriodCount]Usage
}

// Quota is how much a user may use in a period. The zero value does not limit.
type Quota struct {
	LimitsSeconds, LimitsOctets bool
	Seconds, Octets             uint64
}

// Limits reports whether there is a limit at all.
func (q *Quota) Limits() bool { return q.LimitsSeconds || q.LimitsOctets }

// UsedUp reports whether nothing is left of the quota after u.
func (q *Quota) UsedUp(u Usage) bool {
	return q.LimitsSeconds && u.Seconds >= q.Seconds || q.LimitsOctets && u.Octets() >= q.Octets
}

// Nonce identifies the session that an Access-Accept begins. It travels in Class.
type Nonce [12]byte

// Usage is what was used over some span.
type Usage struct {
	Seconds      uint64
	InputOctets  uint64 // from the user
	OutputOctets uint64 // to the user
}

// Octets returns input and output together.
func (u Usage) Octets() uint64 { return u.InputOctets + u.OutputOctets }
