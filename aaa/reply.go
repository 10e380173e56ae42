package aaa

import (
	"crypto/rand"
	"errors"

	"radiusd/dictionary"
	"radiusd/radius"
)

const eapFailure = 4 // RFC 3748 §4.2

var errNoPlan = errors.New("the user's plan does not exist")

// accept fills in an Access-Accept. An error leaves the reply to be rejected.
func (a *Access) accept(w *radius.Reply, x *exchange) error {
	w.SetCode(radius.AccessAccept)
	sessionTimeout, err := a.addPolicy(w, x)
	if err != nil {
		w.Reset()
		return err
	}
	if left := x.allowance.seconds(); left > 0 {
		left = min(left, maxSessionSeconds)
		if sessionTimeout == 0 || left < uint64(sessionTimeout) {
			sessionTimeout = uint32(left)
		}
	}
	if sessionTimeout > 0 {
		w.AddUint32(radius.TypeSessionTimeout, sessionTimeout)
	}
	if x.renamed && len(x.account.name()) <= radius.MaxValueLength {
		// Accounting is to have the name that the user has here (RFC 2865 §5.1).
		w.AddString(radius.TypeUserName, x.account.name())
	}
	w.Add(radius.TypeClass, AppendClass(x.classBuffer[:0], x.nonce))
	if x.authentic {
		switch x.method {
		case MethodMSCHAP:
			x.mschap.addMSCHAP(w)
		case MethodMSCHAPv2:
			x.mschap.addMSCHAPv2(w)
		}
	}
	return nil
}

// addPolicy adds what items and templates reply, except Session-Timeout, which it
// returns. A user without items of their own gets a copy of what was encoded for
// the plan.
func (a *Access) addPolicy(w *radius.Reply, x *exchange) (sessionTimeout uint32, err error) {
	template := a.options.Templates.forNAS(x.nas)
	own := x.account.rules != nil
	perRequest := template.perRequest && (x.allowance.hasOctets || !x.allowance.until.IsZero())
	if !own && x.plan == nil {
		return 0, nil
	}
	if !own && !perRequest {
		r := x.plan.reply(a.options.Dictionary, template)
		if r.err != nil {
			return 0, r.err
		}
		w.Append(r.wire)
		if len(r.hidden) > 0 {
			return r.sessionTimeout, a.addPairs(w, x, r.hidden)
		}
		return r.sessionTimeout, nil
	}
	pairs, err := x.replyPairs(template)
	if err != nil {
		return 0, err
	}
	pairs, sessionTimeout = takeSessionTimeout(pairs)
	return sessionTimeout, a.addPairs(w, x, pairs)
}

// replyPairs merges the replies of all levels.
func (x *exchange) replyPairs(t *template) ([]dictionary.Pair, error) {
	var list replyList
	if rules := x.account.rules; rules != nil {
		list.add(rules.policy.replies)
		for _, group := range x.groups {
			list.add(group.replies)
		}
	}
	if x.plan == nil {
		return list.pairs, nil
	}
	list.add(x.plan.policy.replies)
	pairs, err := t.pairs(nil, &templateInput{plan: &x.plan.plan, left: &x.allowance})
	if err != nil {
		return nil, err
	}
	list.add(pairs)
	return list.pairs, nil
}

// addPairs encodes pairs into the reply.
func (a *Access) addPairs(w *radius.Reply, x *exchange, pairs []dictionary.Pair) error {
	var cipher dictionary.Cipher
	for i := range pairs {
		if pairs[i].Attr.Encrypt != dictionary.EncryptNone {
			cipher = x.request.Cipher()
			break
		}
	}
	wire, err := a.options.Dictionary.AppendWire(nil, pairs, cipher)
	if err != nil {
		return err
	}
	w.Append(wire)
	return nil
}

// reject fills in an Access-Reject. It carries no service attributes (RFC 5080
// §2.6.1) and does not tell why, unless the operator wants authentic users to know.
func (a *Access) reject(w *radius.Reply, x *exchange, d Decision) {
	w.SetCode(radius.AccessReject)
	if x.authentic {
		if message := a.options.RejectMessages[d.Reason]; message != "" {
			w.AddString(radius.TypeReplyMessage, clip(message, radius.MaxValueLength))
		}
	}
	if len(x.mschap.response) == msCHAPResponseLength {
		var challenge [16]byte
		if _, err := rand.Read(challenge[:]); err == nil {
			version, length := "3", msCHAP2ChallengeLength
			if x.method == MethodMSCHAP {
				version, length = "2", msCHAPChallengeLength
			}
			w.AddVendor(vendorMicrosoft, msCHAPError, msCHAPErrorText(x.mschap.response[0], version, challenge[:length]))
		}
	}
	if eap, ok := x.attributes.Get(radius.TypeEAPMessage); ok && len(eap) >= 2 {
		w.Add(radius.TypeEAPMessage, []byte{eapFailure, eap[1], 0, 4}) // RFC 3579 §2.6.3
	}
	if a.options.RejectDelay > 0 {
		w.DelayUntil(a.options.RejectDelay)
	}
}
