package aaa

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"radiusd/dictionary"
	"radiusd/radius"
)

// DefaultCoAPort is where NASes take Disconnect- and CoA-Requests (RFC 5176
// section 2.1).
const DefaultCoAPort = 3799

// ActionAddress returns where the NAS takes requests about the session: its own
// address if it is one host; of a NAS that is a prefix, the address that the session
// came with, which must be in it, since what a NAS says of itself must not choose
// who gets a request under its secret.
func ActionAddress(nas *NAS, s *Session) (netip.AddrPort, error) {
	port := nas.CoAPort
	if port == 0 {
		port = DefaultCoAPort
	}
	prefix := unmapPrefix(nas.Prefix)
	address := s.NASAddr.Unmap()
	if prefix.IsSingleIP() {
		address = prefix.Addr()
	}
	if !address.IsValid() {
		return netip.AddrPort{}, errors.New("the session has no address of its NAS")
	}
	if !prefix.Contains(address) { // the NAS-IP-Address of another network, from behind NAT for one
		return netip.AddrPort{}, fmt.Errorf("the session came with the NAS-IP-Address %s, which is not in %s: add its NAS with the address that takes Disconnect-Requests",
			address, prefix)
	}
	return netip.AddrPortFrom(address, port), nil
}

// actionRequest returns the request for an action: the attributes that identify the
// session as the NAS's vendor expects, what is to be changed, and the time (RFC 5176
// section 6.3).
func (t *Templates) actionRequest(dict *dictionary.Dictionary, nas *NAS, s *Session, a *SessionAction, to netip.Addr, now time.Time) (*radius.Message, error) {
	coa := &t.forNAS(nas).coa
	m := &radius.Message{Code: radius.DisconnectRequest}
	pairs := coa.identification(s, to != s.NASAddr.Unmap())
	if len(pairs) == 0 {
		return nil, errors.New("the session has none of the attributes by which its NAS would find it")
	}
	if a.Kind == ActionCoA {
		if coa.disconnectOnly {
			return nil, errors.New("the NAS takes no CoA-Requests, only Disconnect-Requests")
		}
		m.Code = radius.CoARequest
		changes, err := compileChange(dict, a.Attributes)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, changes...)
	}
	var err error
	if m.Attributes, err = dict.AppendWire(nil, pairs, nil); err != nil {
		return nil, err
	}
	m.Attributes = radius.AppendTime(m.Attributes, radius.TypeEventTimestamp, now)
	return m, nil
}

// ValidateChange reports all attributes that a CoA-Request cannot have, joined;
// each is a [*CompileError]. Whoever queues an [ActionCoA] calls it first. Operators
// are as for reply items; ":=" and "=" are the same here.
func ValidateChange(dict *dictionary.Dictionary, attributes []Item) error {
	if len(attributes) == 0 {
		return errors.New("a CoA-Request needs an attribute to change")
	}
	_, err := compileChange(dict, attributes)
	return err
}

// compileChange returns the attributes as pairs: "+=" adds, the others replace what
// was given before.
func compileChange(dict *dictionary.Dictionary, attributes []Item) ([]dictionary.Pair, error) {
	var pairs []dictionary.Pair
	var errs []error
	for _, item := range attributes {
		item.Kind = ReplyItem
		pair, err := compileChanged(dict, item)
		if err != nil {
			errs = append(errs, &CompileError{item, err})
			continue
		}
		if pair.Op != dictionary.OpAdd {
			pairs = slices.DeleteFunc(pairs, func(p dictionary.Pair) bool { return p.Attr == pair.Attr && p.Tag == pair.Tag })
		}
		pair.Op = dictionary.OpEq
		pairs = append(pairs, pair)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if _, err := dict.AppendWire(nil, pairs, nil); err != nil {
		return nil, err
	}
	return pairs, nil
}

func compileChanged(dict *dictionary.Dictionary, item Item) (dictionary.Pair, error) {
	var p policy
	if err := p.addReply(dict, item); err != nil {
		return dictionary.Pair{}, err
	}
	if len(p.replies) == 0 { // Fall-Through
		return dictionary.Pair{}, errors.New("is for policy only")
	}
	return p.replies[0], changeAllowed(p.replies[0].Attr)
}
