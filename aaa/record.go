package aaa

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
)

// AcctStatus is the Acct-Status-Type of a record (RFC 2866 §5.1).
type AcctStatus uint8

// The statuses that are recorded. Those of RFC 2867 and AcctFailed tell of tunnels
// and of sessions that did not come about: they are kept as records and belong to
// no Session.
const (
	AcctStart            AcctStatus = 1
	AcctStop             AcctStatus = 2
	AcctInterim          AcctStatus = 3
	AcctOn               AcctStatus = 7
	AcctOff              AcctStatus = 8
	AcctTunnelStart      AcctStatus = 9
	AcctTunnelStop       AcctStatus = 10
	AcctTunnelReject     AcctStatus = 11
	AcctTunnelLinkStart  AcctStatus = 12
	AcctTunnelLinkStop   AcctStatus = 13
	AcctTunnelLinkReject AcctStatus = 14
	AcctFailed           AcctStatus = 15
)

var acctStatusNames = [...]string{
	AcctStart: "start", AcctStop: "stop", AcctInterim: "interim", AcctOn: "on", AcctOff: "off",
	AcctTunnelStart: "tunnel-start", AcctTunnelStop: "tunnel-stop", AcctTunnelReject: "tunnel-reject",
	AcctTunnelLinkStart: "tunnel-link-start", AcctTunnelLinkStop: "tunnel-link-stop",
	AcctTunnelLinkReject: "tunnel-link-reject", AcctFailed: "failed",
}

// session reports whether records of this status tell of a session.
func (s AcctStatus) session() bool { return s == AcctStart || s == AcctInterim || s == AcctStop }

// boot reports whether records of this status tell of a whole NAS.
func (s AcctStatus) boot() bool { return s == AcctOn || s == AcctOff }

// String returns the status as it stands in accounting_records.
func (s AcctStatus) String() string {
	if int(s) < len(acctStatusNames) && acctStatusNames[s] != "" {
		return acctStatusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// ParseAcctStatus reads a status as String writes it.
func ParseAcctStatus(s string) (AcctStatus, error) {
	for status, name := range acctStatusNames {
		if name == s && s != "" {
			return AcctStatus(status), nil
		}
	}
	return 0, fmt.Errorf("unknown accounting status %q", s)
}

// Record is one Accounting-Request, decoded. Its times are UTC and whole
// microseconds. Two requests that mean the same
// (a retransmission with a new Acct-Delay-Time, RFC 2866 §5.2) have the same ID.
type Record struct {
	ID                 uuid.UUID // deterministic: the same meaning gives the same id
	SessionID          uuid.UUID // zero unless Status is AcctStart, AcctInterim or AcctStop
	Status             AcctStatus
	AcctSessionID      string
	AcctMultiSessionID string
	Username           string
	NASID              uuid.UUID  // the directory's NAS at receipt; zero if it is gone
	NASAddr            netip.Addr // nas_ip: NAS-IP-Address or NAS-IPv6-Address if sent, else the source
	NASIdentifier      string
	NASPort            uint32
	NASPortID          string
	FramedIP           netip.Addr // zero: not sent
	FramedIPv6         netip.Addr
	FramedIPv6Prefix   netip.Prefix
	DelegatedPrefix    netip.Prefix // Delegated-IPv6-Prefix
	CallingStationID   string       // raw, as CoA needs it
	CalledStationID    string       // raw
	Class              []byte       // raw: the one that this server made, else the first one sent
	// EventTime is Event-Timestamp if sent, else the time of receipt less
	// Acct-Delay-Time.
	EventTime  time.Time
	ReceivedAt time.Time
	ClockOff   bool // EventTime, or the Event-Timestamp that was sent, is implausibly far from ReceivedAt
	// EventDerived is true when no usable Event-Timestamp was sent: EventTime may
	// then differ by a second or so between two copies of the same record.
	EventDerived bool
	Delay        time.Duration // Acct-Delay-Time
	// Counters since the session's start. HasSeconds and HasOctets tell zero
	// from not sent.
	HasSeconds     bool
	HasOctets      bool
	SessionSeconds uint64
	InputOctets    uint64 // from the user; gigawords included (RFC 2869 §5.1)
	OutputOctets   uint64 // to the user
	InputPackets   uint64
	OutputPackets  uint64
	// HasGigawords is true when the NAS sent an Acct-*-Gigawords attribute: its
	// counters do not wrap at 32 bits.
	HasGigawords   bool
	TerminateCause string // dictionary name of Acct-Terminate-Cause; empty: not sent
	// Plan is the name of the user's plan when the record was taken in; empty: none.
	// Copies of a record may differ in it.
	Plan string
}

// Session is one use of the network, as the set of its records tells it.
type Session struct {
	ID                 uuid.UUID
	AcctSessionID      string
	AcctMultiSessionID string
	Username           string
	NASID              uuid.UUID
	NASAddr            netip.Addr
	NASIdentifier      string
	NASPort            uint32
	NASPortID          string
	FramedIP           netip.Addr
	FramedIPv6         netip.Addr
	FramedIPv6Prefix   netip.Prefix
	DelegatedPrefix    netip.Prefix
	CallingStationID   string // raw
	CalledStationID    string // raw
	Class              []byte
	Plan               string // of the user at the latest record; empty: none
	StartedAt          time.Time
	StartInferred      bool      // no Start seen: derived from event time less Acct-Session-Time
	UpdatedAt          time.Time // latest event time of its records; StoppedAt once a Stop was seen
	StoppedAt          time.Time // zero: open
	StopInferred       bool      // no Stop seen: reboot, liveness timeout or superseded
	SessionSeconds     uint64
	InputOctets        uint64
	OutputOctets       uint64
	InputPackets       uint64
	OutputPackets      uint64
	TerminateCause     string
	CounterWrapped     bool // a 32-bit wrap without gigawords was recognised
	// Provenance is what Merge must remember so that the session does not depend
	// on the order of its records. Stores keep it with the session, as it is.
	Provenance Provenance
}

// Open reports whether the session has not ended.
func (s *Session) Open() bool { return s.StoppedAt.IsZero() }

// Boot returns what the record, an Accounting-On or -Off, says of its NAS.
func (r *Record) Boot() Boot {
	return Boot{NASID: r.NASID, NASAddr: r.NASAddr, NASIdentifier: r.NASIdentifier, Status: r.Status, At: r.EventTime}
}
