package aaa

import (
	"net/netip"
	"time"

	"radiusd/radius"
)

// exchange is one Access-Request on its way through a decision. It is pooled and
// belongs to one call of serve.
type exchange struct {
	request    *radius.Request
	attributes radius.Attributes
	nas        *NAS // nil only if the owner of the NAS is somebody else
	now        time.Time
	mayBlock   bool
	deferred   bool // what is next takes long: try again off the listener
	reserved   bool // a place was taken for nonce

	username []byte // as sent, or what stands in for it
	method   Method
	account  *account // &found; nil: unknown
	found    account
	renamed  bool // the account's name is not the one that was sent
	catalog  *catalog
	plan     *planEntry // nil: it does not exist

	controls     controls  // of all levels
	failed       *check    // the first check of user or plan that does not hold
	failedLevel  string    // whose check it is
	groups       []*policy // those that apply, highest precedence first
	broken       error     // an item or a plan that cannot be used
	authentic    bool      // the password was right
	allowance    allowance
	input        templateInput
	replies      replyList // merged, for users with items of their own
	wire         []byte    // scratch
	nonce        Nonce
	query        query
	mschap       msCHAP
	macBuffer    [17]byte
	passwordBuff [128]byte
	classBuffer  [16]byte
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
	*x = exchange{groups: x.groups[:0], wire: x.wire[:0], replies: x.replies.emptied()}
}

// refuse is a decision against the user.
func (x *exchange) refuse(reason Reason, detail string) Decision {
	return Decision{Reason: reason, Method: x.method, Detail: detail}
}

func (x *exchange) goOn() Decision { return Decision{Reason: ReasonAccepted, Method: x.method} }

// nasAddr is the NAS's address as it is recorded: NAS-IP-Address or
// NAS-IPv6-Address if sent, else the source.
func (x *exchange) nasAddr() netip.Addr {
	if addr, ok := x.attributes.Addr(radius.TypeNASIPAddress); ok && !addr.IsUnspecified() {
		return addr.Unmap()
	}
	if addr, ok := x.attributes.Addr(radius.TypeNASIPv6Address); ok && !addr.IsUnspecified() {
		return addr.Unmap()
	}
	return x.request.Source.Addr().Unmap().WithZone("")
}
