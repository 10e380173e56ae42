package aaa

import (
	"encoding/binary"
	"sync"

	"github.com/google/uuid"

	"radiusd/journal"
	"radiusd/radius"
)

// AccountingJournal is what accounting asks of the journal.
type AccountingJournal interface {
	Append(record []byte, c journal.Committed) error
	Stats() journal.Stats
}

// Accounting answers Accounting-Requests: it appends them to the journal as they
// were received, and the answer leaves when they are on stable storage. What could
// not be stored is not answered, and the NAS repeats it (RFC 2866 §2, §4.1).
type Accounting struct {
	Journal AccountingJournal
}

// ServeRADIUS implements radius.Handler. It runs on the listener, does not block
// and does not allocate.
func (a *Accounting) ServeRADIUS(w *radius.Reply, r *radius.Request) {
	if discard := checkAccounting(r.Packet.Attributes()); discard != 0 {
		w.Discard(discard)
		return
	}
	e := Envelope{Received: r.Received, Source: r.Source.Addr().Unmap(), NASID: nasID(r.NAS), Packet: r.Packet}
	buf := envelopes.Get().(*[maxEnvelope]byte)
	record := e.AppendTo(buf[:0])
	w.Hold() // the request's octets are gone, and the committer may have w before Append returns
	if err := a.Journal.Append(record, (*heldReply)(w)); err != nil {
		w.Discard(radius.DiscardNotRecorded)
	}
	envelopes.Put(buf) // Append has copied the record
}

// Ready reports whether accounting can be recorded at present: what
// radius.Server.AcctReady wants, so that the NAS fails over (RFC 5997 §4.2).
func (a *Accounting) Ready() bool {
	s := a.Journal.Stats()
	return s.Err == nil && s.Bytes+maxEnvelope < s.MaxBytes
}

// heldReply is a reply that waits for its record to be durable.
type heldReply radius.Reply

// Committed implements journal.Committed.
func (w *heldReply) Committed(_ journal.Position, err error) {
	if err != nil {
		(*radius.Reply)(w).Discard(radius.DiscardNotRecorded)
		return
	}
	(*radius.Reply)(w).Send()
}

var envelopes = sync.Pool{New: func() any { return new([maxEnvelope]byte) }}

// nasID returns the id that the directory's NAS has, or zero.
func nasID(n *radius.NAS) uuid.UUID {
	if n != nil {
		if owner, ok := n.Owner.(*NAS); ok && owner != nil {
			return owner.ID
		}
	}
	return uuid.Nil
}

// checkAccounting looks for what makes an Accounting-Request impossible to record
// (RFC 2866 §4.1, §5.13). It is lenient where real NASes and tools need it: an
// Accounting-On or -Off without Acct-Session-Id is taken, and so is a request with
// none of NAS-IP-Address, NAS-IPv6-Address and NAS-Identifier, since its source
// address, which the shared secret vouches for, says which NAS it is.
func checkAccounting(attributes radius.Attributes) radius.Discard {
	var status AcctStatus
	var session bool
	for t, value := range attributes.All() {
		switch t {
		case radius.TypeUserPassword, radius.TypeCHAPPassword, radius.TypeReplyMessage, radius.TypeState:
			return radius.DiscardForbiddenAttribute
		case radius.TypeAcctStatusType:
			if len(value) == 4 && status == 0 {
				status = knownStatus(binary.BigEndian.Uint32(value))
			}
		case radius.TypeAcctSessionID:
			session = session || len(value) > 0
		}
	}
	if status == 0 || !session && status != AcctOn && status != AcctOff {
		return radius.DiscardMissingAttribute
	}
	return 0
}

// knownStatus returns zero for a number that no RFC gives a meaning.
func knownStatus(n uint32) AcctStatus {
	if n > uint32(AcctFailed) || acctStatusNames[n] == "" {
		return 0
	}
	return AcctStatus(n)
}
