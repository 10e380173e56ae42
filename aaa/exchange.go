package aaa

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"radiusd/radius"
)

// exchange is one Access-Request on its way through a decision. It is pooled and
// belongs to one call of serve.
type exchange struct {
	request    *radius.Request
	attributes radius.Attributes
	sent       sentAttributes
	nas        *NAS // nil only if the owner of the NAS is somebody else
	now        time.Time
	mayBlock   bool
	deferred   bool         // what is next takes long: try again off the listener
	reserved   bool         // a place was taken for nonce
	step       decisionStep // where the decision ended
	limitedBy  decisionStep // whose limit ends the session; zero: none
	trace      *trace       // nil but for Explain

	username []byte // as sent, or what stands in for it
	method   Method
	account  *account // &found; nil: unknown
	found    account
	renamed  bool   // the account's name is not the one that was sent
	byCode   bool   // the account is a voucher whose code was sent as User-Name
	begins   bool   // the account is a voucher whose first login it is
	shown    []byte // what is recorded instead of username, which has the form of a code; nil: username
	catalog  *catalog
	plan     *planEntry // nil: it does not exist

	controls      controls  // of all levels
	failed        *check    // the first check of user or plan that does not hold
	failedLevel   string    // whose check it is
	groups        []*policy // those that apply, highest precedence first
	broken        error     // an item or a plan that cannot be used
	authentic     bool      // the password was right
	allowance     allowance
	input         templateInput
	replies       replyList // merged, for users with items of their own
	fromTemplate  pairList  // what depends on the request
	wire          []byte    // scratch
	nonce         Nonce
	random        *rand.ChaCha8
	query         query
	mschap        msCHAP
	macBuffer     [17]byte
	stationBuffer [17]byte
	passwordBuff  [128]byte
	portBuffer    [10]byte
	classBuffer   [16]byte
}

// sentAttributes are the attributes of a request that a decision or its record may
// look at, found in one pass: the first of each type, nil if there is none.
type sentAttributes struct {
	userName, userPassword, chapPassword     []byte
	nasAddr, nasIPv6Addr, nasPort, nasPortID []byte
	callingStationID, calledStationID        []byte
	serviceType, acctSessionID, eapMessage   []byte
}

// first keeps a value unless there is one already.
func first(kept *[]byte, value []byte) {
	if *kept == nil {
		*kept = value
	}
}

// begin takes a request in.
func (x *exchange) begin(a *Access, r *radius.Request, mayBlock bool) {
	x.request = r
	x.attributes = r.Packet.Attributes()
	x.nas, _ = r.NAS.Owner.(*NAS)
	x.mayBlock = mayBlock
	if a.options.Now != nil {
		x.now = a.options.Now()
	} else {
		x.now = r.Received
	}
	x.query = query{attributes: x.attributes, nas: x.nas, source: r.Source.Addr(), dict: a.options.Dictionary}
}

// release forgets everything, secrets first of all, and keeps the memory of lists.
func (x *exchange) release() {
	clear(x.groups)
	clear(x.wire)
	groups, wire, random := x.groups[:0], x.wire[:0], x.random
	replies, fromTemplate := x.replies.emptied(), x.fromTemplate.emptied()
	*x = exchange{} // at once: with the kept ones in it, it would be made elsewhere and copied
	x.groups, x.wire, x.random = groups, wire, random
	x.replies, x.fromTemplate = replies, fromTemplate
}

// refuse is a decision against the user.
func (x *exchange) refuse(reason Reason, detail string) Decision {
	return Decision{Reason: reason, Method: x.method, Detail: detail}
}

// refuseAt is refuse that notes the step.
func (x *exchange) refuseAt(step decisionStep, reason Reason, detail string) Decision {
	x.step = step
	return x.refuse(reason, detail)
}

func (x *exchange) goOn() Decision { return Decision{Reason: ReasonAccepted, Method: x.method} }

// nasAddr is the NAS's address as it is recorded: NAS-IP-Address or
// NAS-IPv6-Address if sent, else the source.
func (x *exchange) nasAddr() netip.Addr {
	if addr, ok := netip.AddrFromSlice(x.sent.nasAddr); ok && !addr.IsUnspecified() {
		return addr.Unmap()
	}
	if addr, ok := netip.AddrFromSlice(x.sent.nasIPv6Addr); ok && !addr.IsUnspecified() {
		return addr.Unmap()
	}
	return x.request.Source.Addr().Unmap().WithZone("")
}
