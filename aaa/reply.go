package aaa

import (
	"cmp"
	"errors"

	"radiusd/dictionary"
	"radiusd/radius"
)

const eapFailure = 4 // RFC 3748 §4.2

var errNoPlan = errors.New("the user's plan does not exist")

// accept fills in an Access-Accept. An error leaves the reply to be rejected.
func (a *Access) accept(w *radius.Reply, x *exchange) error {
	x.step = stepReply
	w.SetCode(radius.AccessAccept)
	if x.nonce != (Nonce{}) {
		// Before a Class from items: it is what accounting finds the session by.
		w.Add(radius.TypeClass, AppendClass(x.classBuffer[:0], x.nonce))
	}
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
	if x.renamed && len(x.account.name()) <= radius.MaxValueLength && !w.Attributes().Has(radius.TypeUserName) {
		// Accounting is to have the name that the user has here (RFC 2865 §5.1).
		w.AddString(radius.TypeUserName, x.account.name())
	}
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
	r := x.plan.reply(a.options.Dictionary, template)
	if r.err != nil {
		return 0, r.err
	}
	x.input = templateInput{plan: &x.plan.plan, left: &x.allowance}
	if x.account.rules == nil {
		return r.sessionTimeout, a.addPlan(w, x, r)
	}
	if err := x.mergeReplies(r); err != nil {
		return 0, err
	}
	pairs, sessionTimeout := takeSessionTimeout(x.replies.pairs)
	return sessionTimeout, a.addPairs(w, x, pairs)
}

// addPlan adds what the plan replies to users without items of their own.
func (a *Access) addPlan(w *radius.Reply, x *exchange, r *planReply) error {
	w.Append(r.wire)
	if len(r.perRequest) == 0 {
		return a.addPairs(w, x, r.hidden)
	}
	for _, line := range r.perRequest {
		if err := x.fromTemplate.addLine(r.template, line, &x.input); err != nil {
			return err
		}
	}
	x.replies.add(x.fromTemplate.pairs)
	x.replies.pairs = append(x.replies.pairs, r.hidden...)
	return a.addPairs(w, x, x.replies.pairs)
}

// mergeReplies collects the replies of all levels in x.replies: user, groups, plan
// and template.
func (x *exchange) mergeReplies(r *planReply) error {
	x.replies.add(x.account.rules.policy.replies)
	for _, group := range x.groups {
		x.replies.add(group.replies)
	}
	x.replies.add(x.plan.policy.replies)
	x.replies.add(r.fromTemplate)
	if err := x.fromTemplate.addTemplate(r.template, &x.input, true); err != nil {
		return err
	}
	x.replies.add(x.fromTemplate.pairs)
	return nil
}

// addPairs encodes pairs into the reply.
func (a *Access) addPairs(w *radius.Reply, x *exchange, pairs []dictionary.Pair) error {
	if len(pairs) == 0 {
		return nil
	}
	var cipher dictionary.Cipher
	for i := range pairs {
		if pairs[i].Attr.Encrypt != dictionary.EncryptNone {
			cipher = x.request.Cipher()
			break
		}
	}
	var err error
	if x.wire, err = a.options.Dictionary.AppendWire(x.wire[:0], pairs, cipher); err != nil {
		return err
	}
	w.Append(x.wire)
	return nil
}

// reject fills in an Access-Reject. It carries no service attributes (RFC 5080
// §2.6.1) and does not tell why, unless the operator wants authentic users to know, or
// billing has suspended them.
func (a *Access) reject(w *radius.Reply, x *exchange, d Decision) {
	w.SetCode(radius.AccessReject)
	if x.authentic || d.Reason == ReasonThrottled {
		message := a.options.RejectMessages[d.Reason]
		if d.Reason == ReasonSuspended {
			message = cmp.Or(x.account.suspension.message(), message)
		}
		if message == "" {
			message = x.voucherMessage(d.Reason)
		}
		if message != "" {
			w.AddString(radius.TypeReplyMessage, clip(message, radius.MaxValueLength))
		}
	}
	if len(x.mschap.response) == radius.MSCHAPResponseLength {
		var challenge [16]byte
		var text [64]byte
		_, _ = x.random.Read(challenge[:])
		version, length := "3", msCHAP2ChallengeLength
		if x.method == MethodMSCHAP {
			version, length = "2", msCHAPChallengeLength
		}
		w.AddVendor(radius.VendorMicrosoft, radius.MSCHAPError, appendMSCHAPError(text[:0], x.mschap.response[0], version, challenge[:length]))
	}
	if eap := x.sent.eapMessage; len(eap) >= 2 {
		w.Add(radius.TypeEAPMessage, []byte{eapFailure, eap[1], 0, 4}) // RFC 3579 §2.6.3
	}
	if a.options.RejectDelay > 0 {
		w.DelayUntil(a.options.RejectDelay)
	}
}
