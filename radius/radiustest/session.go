package radiustest

import (
	"net/netip"
	"time"

	"radiusd/radius"
)

// Session is a user's session on a [NAS], as its Accounting-Requests tell of it. The
// zero value of a field leaves its attribute out; a test sets what it is about.
type Session struct {
	NAS              *NAS
	User             string
	ID               string // Acct-Session-Id
	Class            [][]byte
	CallingStationID string
	FramedIPAddress  netip.Addr
	Port             uint32
	// EventTime is sent as Event-Timestamp, Delay as Acct-Delay-Time.
	EventTime time.Time
	Delay     time.Duration
}

// Usage is what a session has used since it began, as seen by the NAS: Input is what
// the user sent.
type Usage struct {
	Time          time.Duration
	Input, Output uint64 // octets
}

// Session returns a session of a user on the NAS, with the Acct-Session-Id.
func (n *NAS) Session(user, id string) *Session {
	return &Session{NAS: n, User: user, ID: id}
}

// Accepted takes the Class attributes of an Access-Accept over, as a NAS does.
func (s *Session) Accepted(accept radius.Packet) {
	s.Class = nil
	for t, value := range accept.Attributes().All() {
		if t == radius.TypeClass {
			s.Class = append(s.Class, value)
		}
	}
}

// Start returns the Accounting-Request for the session's start.
func (s *Session) Start() *radius.Message { return s.message(radius.AcctStart) }

// Interim returns the Accounting-Request for what has been used so far.
func (s *Session) Interim(u Usage) *radius.Message {
	m := s.message(radius.AcctInterimUpdate)
	addUsage(m, u)
	return m
}

// Stop returns the Accounting-Request for the session's end, with the
// Acct-Terminate-Cause.
func (s *Session) Stop(u Usage, cause uint32) *radius.Message {
	m := s.message(radius.AcctStop)
	addUsage(m, u)
	m.AddUint32(radius.TypeAcctTerminateCause, cause)
	return m
}

// On returns the Accounting-Request that says that the NAS has started.
func (n *NAS) On() *radius.Message { return n.reboot(radius.AcctAccountingOn) }

// Off returns the Accounting-Request that says that the NAS is about to stop.
func (n *NAS) Off() *radius.Message { return n.reboot(radius.AcctAccountingOff) }

func (n *NAS) reboot(status uint32) *radius.Message {
	m := n.message(radius.AccountingRequest)
	m.AddUint32(radius.TypeAcctStatusType, status)
	m.AddString(radius.TypeAcctSessionID, "00000000")
	return m
}

func (s *Session) message(status uint32) *radius.Message {
	m := s.NAS.message(radius.AccountingRequest)
	m.AddUint32(radius.TypeAcctStatusType, status)
	addText := func(t radius.Type, value string) {
		if value != "" {
			m.AddString(t, value)
		}
	}
	addText(radius.TypeAcctSessionID, s.ID)
	addText(radius.TypeUserName, s.User)
	addText(radius.TypeCallingStationID, s.CallingStationID)
	if s.FramedIPAddress.IsValid() {
		m.AddAddr(radius.TypeFramedIPAddress, s.FramedIPAddress)
	}
	if s.Port != 0 {
		m.AddUint32(radius.TypeNASPort, s.Port)
	}
	for _, class := range s.Class {
		m.Add(radius.TypeClass, class)
	}
	if !s.EventTime.IsZero() {
		m.AddUint32(radius.TypeEventTimestamp, uint32(s.EventTime.Unix()))
	}
	if s.Delay != 0 {
		m.AddUint32(radius.TypeAcctDelayTime, uint32(s.Delay/time.Second))
	}
	return m
}

// addUsage adds the counters, with gigawords from 4 GiB on (RFC 2869 section 5.1).
func addUsage(m *radius.Message, u Usage) {
	m.AddUint32(radius.TypeAcctSessionTime, uint32(u.Time/time.Second))
	m.AddUint32(radius.TypeAcctInputOctets, uint32(u.Input))
	m.AddUint32(radius.TypeAcctOutputOctets, uint32(u.Output))
	if u.Input>>32 != 0 {
		m.AddUint32(radius.TypeAcctInputGigawords, uint32(u.Input>>32))
	}
	if u.Output>>32 != 0 {
		m.AddUint32(radius.TypeAcctOutputGigawords, uint32(u.Output>>32))
	}
}
