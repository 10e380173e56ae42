package aaa

import (
	"net/netip"
	"time"
)

// Limits is what an Access-Request has to ask of the live sessions: a place
// among the user's simultaneous sessions and what the user has used so far. It
// is in memory for one node; several nodes share it through Redis.
type Limits interface {
	// Reserve takes one of limit places for a session that is about to begin.
	// The place is taken over by the session's Start, given back by its Stop, and
	// lapses by itself if neither comes. Of any number of concurrent calls, no
	// more than limit succeed. A device that reserves again on the same NAS
	// port replaces its own reservation or session rather than standing beside it.
	Reserve(Reservation) bool
	// Used returns what the user has used in the period that contains at,
	// open sessions included.
	Used(username string, period Period, at time.Time) Usage
}

// Reservation is one request for a place.
type Reservation struct {
	Username         string
	Limit            int // at least one
	Nonce            Nonce
	NASAddr          netip.Addr
	NASPortID        string // or the decimal NAS-Port
	CallingStationID string // in normal form
	At               time.Time
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
