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
	// Reserve takes one of limit places for a session that is about to begin.
	// The place is taken over by the session's Start, given back by its Stop, and
	// lapses by itself if neither comes. Of any number of concurrent calls, no
	// more than limit succeed. A device that reserves again on the same NAS
	// port replaces its own reservation or session rather than standing beside it,
	// and so does a session that asks again: see Reservation.AcctSessionID.
	//
	// The nonce is the one that the session is to carry in Class: that of the
	// reservation, or of the session that is running already. It is zero if that
	// one runs without a Class of ours, and is to stay so.
	Reserve(Reservation) (Nonce, bool)
	// Used returns what the user has used in the period that contains at,
	// open sessions included.
	Used(username string, period Period, at time.Time) Usage
}

// Reservation is one request for a place.
type Reservation struct {
	Username string
	// Limit is zero for a user without one: no place is taken then.
	Limit int
	Nonce Nonce // for a session that is new
	// AcctSessionID is the one in the Access-Request, as in Record; empty: not sent. When the user
	// has a session of that id on that NAS, it is being authenticated again (by
	// MAC address, or with Termination-Action): with another nonce it would be torn
	// in two, and what it has used be counted twice. It belongs to the caller.
	AcctSessionID    []byte
	NASID            uuid.UUID // the directory's NAS
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
