package aaa

import (
	"bytes"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// The causes of an inferred stop, as dictionary names of Acct-Terminate-Cause.
const (
	CauseReboot     = "NAS-Reboot"     // Accounting-On or Accounting-Off
	CauseSuperseded = "Port-Preempted" // the same device began a new session on the same port
	CauseLapsed     = "Lost-Service"   // nothing was heard for the liveness time
)

// longestSession bounds what Acct-Session-Time is believed for the start of a
// session whose Start was lost.
const longestSession = 10 * 365 * 24 * time.Hour

// Merge takes a record of the session into it. Whatever the order of the records
// and however often each comes, the session is the same in the end; only the
// recognition of 32-bit wraps wants them in order of time, see docs/accounting.md.
// A record of another session must not be given. The session keeps r's strings
// and Class.
//
// Merge knows only what the records of this session say. What other records say
// about it (a reboot, a session that supersedes it) is for Settle.
func (s *Session) Merge(r *Record) {
	if s.ID == uuid.Nil {
		s.ID, s.AcctSessionID = r.SessionID, r.AcctSessionID
	}
	s.mergeStart(r)
	s.mergeCounters(r)
	if r.Status == AcctStop {
		s.mergeStop(r)
	} else if !s.stopSeen() {
		s.UpdatedAt = later(s.UpdatedAt, r.EventTime)
		s.reopenIfOutlived()
	}
	s.mergeAttributes(r)
}

// stopSeen reports whether a Stop was received.
func (s *Session) stopSeen() bool { return !s.Open() && !s.StopInferred }

// mergeStart: the earliest Start decides; without one, the earliest time that
// another record gives for the beginning.
func (s *Session) mergeStart(r *Record) {
	if r.Status == AcctStart {
		if s.StartInferred || s.StartedAt.IsZero() || r.EventTime.Before(s.StartedAt) {
			s.StartedAt = r.EventTime
		}
		s.StartInferred = false
		return
	}
	if !s.StartInferred && !s.StartedAt.IsZero() {
		return
	}
	began := r.EventTime
	if r.HasSeconds && r.SessionSeconds < uint64(longestSession/time.Second) {
		began = began.Add(-time.Duration(r.SessionSeconds) * time.Second)
	}
	if s.StartedAt.IsZero() || began.Before(s.StartedAt) {
		s.StartedAt = began
	}
	s.StartInferred = true
}

// mergeStop: of several Stops the latest decides, and of two at the same time
// the greater cause.
func (s *Session) mergeStop(r *Record) {
	if s.stopSeen() && (r.EventTime.Before(s.StoppedAt) ||
		r.EventTime.Equal(s.StoppedAt) && r.TerminateCause <= s.TerminateCause) {
		return
	}
	s.StoppedAt, s.StopInferred, s.TerminateCause = r.EventTime, false, r.TerminateCause
	s.UpdatedAt = r.EventTime
}

// mergeCounters: counters are cumulative, so the greatest is the latest (RFC 2866
// §5.3). A record without counters changes none.
func (s *Session) mergeCounters(r *Record) {
	if r.HasOctets {
		in, out := r.InputOctets, r.OutputOctets
		if s.mayHaveWrapped(r) {
			in, inWrapped := unwrap(s.InputOctets, in)
			out, outWrapped := unwrap(s.OutputOctets, out)
			s.CounterWrapped = s.CounterWrapped || inWrapped || outWrapped
			s.InputOctets, s.OutputOctets = max(s.InputOctets, in), max(s.OutputOctets, out)
		} else {
			s.InputOctets, s.OutputOctets = max(s.InputOctets, in), max(s.OutputOctets, out)
		}
	}
	s.InputPackets = max(s.InputPackets, r.InputPackets)
	s.OutputPackets = max(s.OutputPackets, r.OutputPackets)
	if r.HasSeconds {
		s.SessionSeconds = max(s.SessionSeconds, r.SessionSeconds)
	}
}

// mayHaveWrapped reports whether a lower counter in r can mean that 32 bits ran
// over: the NAS has sent no gigawords, and r is later in the session than all
// before it. Both counters at zero are a NAS that sends no counters with this
// record, not a wrap.
func (s *Session) mayHaveWrapped(r *Record) bool {
	if r.HasGigawords || !r.HasSeconds || r.SessionSeconds <= s.SessionSeconds {
		return false
	}
	if r.InputOctets == 0 && r.OutputOctets == 0 {
		return false
	}
	// Above 32 bits without a wrap that was recognised: gigawords came before.
	return s.CounterWrapped || s.InputOctets < 1<<32 && s.OutputOctets < 1<<32
}

// unwrap gives the total that a 32-bit counter stands for, after it stood for
// total before. It has run over if it was in the upper half and is lower now.
func unwrap(total, counter uint64) (now uint64, wrapped bool) {
	const turn = 1 << 32
	turns, low := total&^(turn-1), total&(turn-1)
	if counter < low && low >= turn/2 {
		return turns + turn + counter, true
	}
	return turns + counter, false
}

func (s *Session) mergeAttributes(r *Record) {
	at, p := r.EventTime.UnixMicro(), &s.Provenance
	p.mergeString(attrUsername, at, &s.Username, r.Username)
	p.mergeString(attrMultiSessionID, at, &s.AcctMultiSessionID, r.AcctMultiSessionID)
	p.mergeID(attrNASID, at, &s.NASID, r.NASID)
	p.mergeAddr(attrNASAddr, at, &s.NASAddr, r.NASAddr)
	p.mergeString(attrNASIdentifier, at, &s.NASIdentifier, r.NASIdentifier)
	p.mergeUint32(attrNASPort, at, &s.NASPort, r.NASPort)
	p.mergeString(attrNASPortID, at, &s.NASPortID, r.NASPortID)
	p.mergeAddr(attrFramedIP, at, &s.FramedIP, r.FramedIP)
	p.mergeAddr(attrFramedIPv6, at, &s.FramedIPv6, r.FramedIPv6)
	p.mergePrefix(attrFramedIPv6Prefix, at, &s.FramedIPv6Prefix, r.FramedIPv6Prefix)
	p.mergePrefix(attrDelegatedPrefix, at, &s.DelegatedPrefix, r.DelegatedPrefix)
	p.mergeString(attrCallingStationID, at, &s.CallingStationID, r.CallingStationID)
	p.mergeString(attrCalledStationID, at, &s.CalledStationID, r.CalledStationID)
	p.mergeBytes(attrClass, at, &s.Class, r.Class)
	p.mergeString(attrPlan, at, &s.Plan, r.Plan)
}

// Settle ends or reopens the session according to what is known beside its own
// records: boots of its NAS and other sessions of its user; others than these are
// passed over. A stop that is inferred stands at the earliest of those events, and
// only while no record of the session is later. It reports whether the session
// changed. A session whose Stop was seen never does.
func (s *Session) Settle(boots []Boot, others []*Session) bool {
	if s.stopSeen() {
		return false
	}
	before, cause := s.StoppedAt, s.TerminateCause
	s.reopenIfOutlived()
	for i := range boots {
		if boots[i].Ends(s) {
			s.infer(boots[i].At, CauseReboot)
		}
	}
	for _, other := range others {
		if other.Supersedes(s) {
			s.infer(other.StartedAt, CauseSuperseded)
		}
	}
	return !s.StoppedAt.Equal(before) || s.TerminateCause != cause
}

// Lapse ends an open session at its last update because nothing was heard of it
// for too long. A later record reopens it.
func (s *Session) Lapse() {
	if s.Open() {
		s.infer(s.UpdatedAt, CauseLapsed)
	}
}

// infer notes a stop that no Stop told of, if none is known that is earlier.
func (s *Session) infer(at time.Time, cause string) {
	if s.Open() || at.Before(s.StoppedAt) || at.Equal(s.StoppedAt) && cause < s.TerminateCause {
		s.StoppedAt, s.StopInferred, s.TerminateCause = at, true, cause
	}
}

// reopenIfOutlived takes an inferred stop back that a record proves wrong.
func (s *Session) reopenIfOutlived() {
	if !s.StopInferred {
		return
	}
	wrong := s.StoppedAt.Before(s.UpdatedAt) || s.TerminateCause != CauseLapsed && !s.StoppedAt.After(s.StartedAt)
	if wrong {
		s.StoppedAt, s.StopInferred, s.TerminateCause = time.Time{}, false, ""
	}
}

// Ends reports whether the boot ends a session whose Stop was not seen: it is one
// of the session's NAS, later than its start, and nothing is known of the session
// after it (RFC 2866 §5.1). So a replayed Accounting-On ends no newer session. A
// boot without NAS-Identifier is one of everything behind the address, as far as it
// is the same NAS in the directory: behind NAT, many have the same private address.
func (b *Boot) Ends(s *Session) bool {
	return b.NASID == s.NASID && b.NASAddr == s.NASAddr && (b.NASIdentifier == "" || b.NASIdentifier == s.NASIdentifier) &&
		b.At.After(s.StartedAt) && !b.At.Before(s.UpdatedAt)
}

// Supersedes reports whether the session is a later one of the same user and
// device on the same port, begun when nothing was heard of the old one any more.
// Links of one multilink bundle stand beside each other (RFC 2866 §5.11).
func (s *Session) Supersedes(old *Session) bool {
	if s.ID == old.ID || s.StartInferred || !s.StartedAt.After(old.StartedAt) || s.StartedAt.Before(old.UpdatedAt) ||
		s.AcctMultiSessionID != "" && s.AcctMultiSessionID == old.AcctMultiSessionID {
		return false
	}
	device, ok := deviceOf(s)
	if !ok {
		return false
	}
	oldDevice, ok := deviceOf(old)
	return ok && device == oldDevice
}

// Port returns the NAS-Port-Id, or the decimal NAS-Port where there is none.
func (s *Session) Port() string {
	if s.NASPortID != "" {
		return s.NASPortID
	}
	return strconv.FormatUint(uint64(s.NASPort), 10)
}

// SameButCounters reports whether two states of a session differ in nothing but ID,
// UpdatedAt, SessionSeconds, the octets and packets, and Provenance.
func (s *Session) SameButCounters(o *Session) bool {
	return s.AcctSessionID == o.AcctSessionID && s.AcctMultiSessionID == o.AcctMultiSessionID && s.Username == o.Username &&
		s.NASID == o.NASID && s.NASAddr == o.NASAddr && s.NASIdentifier == o.NASIdentifier && s.NASPort == o.NASPort &&
		s.NASPortID == o.NASPortID && s.FramedIP == o.FramedIP && s.FramedIPv6 == o.FramedIPv6 &&
		s.FramedIPv6Prefix == o.FramedIPv6Prefix && s.DelegatedPrefix == o.DelegatedPrefix &&
		s.CallingStationID == o.CallingStationID && s.CalledStationID == o.CalledStationID && bytes.Equal(s.Class, o.Class) &&
		s.Plan == o.Plan && s.StartedAt.Equal(o.StartedAt) && s.StartInferred == o.StartInferred && s.StoppedAt.Equal(o.StoppedAt) &&
		s.StopInferred == o.StopInferred && s.TerminateCause == o.TerminateCause && s.CounterWrapped == o.CounterWrapped
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
