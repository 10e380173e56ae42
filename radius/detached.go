package radius

import (
	"errors"
	"net/netip"
	"time"
)

// Detached returns the reply to a request that came from no socket, for those who
// want to know what a handler would answer: Reply.Request gives the request, of which
// the packet is p, and Reply.Attributes what was added. The first of the NAS's secrets
// serves for what is encrypted; it needs one. Send, Discard, Hold and Defer are for a
// server alone and must not be called. It is an error if the request has more
// Proxy-State than a reply can carry.
func Detached(p Packet, nas *NAS, source netip.AddrPort, received time.Time) (*Reply, error) {
	if nas == nil || len(nas.Secrets) == 0 {
		return nil, errors.New("radius: a detached request needs a NAS with a secret")
	}
	w := new(Reply)
	request := Request{Packet: p, NAS: nas, Source: source, Received: received}
	if !w.start(new(listener), request, way{}, NewHasher(nas.Secrets[0])) {
		return nil, errors.New("radius: the request has more Proxy-State than a reply can carry")
	}
	w.key.code = p.Code()
	return w, nil
}

// TooLong reports whether something that was added did not fit, so that Send will
// discard the reply.
func (w *Reply) TooLong() bool { return w.overflow }
