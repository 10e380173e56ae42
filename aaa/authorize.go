package aaa

import (
	"encoding/binary"
	"strconv"
	"time"
)

// gather collects the policy that applies, from user over groups to plan. It
// decides nothing: it is pure, and the same for a decision and for explaining one.
func (a *Access) gather(x *exchange) {
	account := x.account
	if account == nil {
		return
	}
	if account.simultaneous > 0 {
		x.controls.simultaneousUse = int(account.simultaneous)
		x.controls.set |= controlSimultaneousUse
	}
	if rules := account.rules; rules != nil {
		x.controls.inherit(rules.policy.controls)
		x.require("user", &rules.policy)
		x.gatherGroups(rules)
	}
	if x.plan != nil {
		x.controls.inherit(x.plan.policy.controls)
		x.require("plan", &x.plan.policy)
	} else if x.broken == nil {
		x.broken = errNoPlan
	}
}

// require takes a policy whose checks must all hold.
func (x *exchange) require(level string, p *policy) {
	if p.err != nil && x.broken == nil {
		x.broken = p.err
	}
	if x.failed == nil && len(p.checks) > 0 {
		if x.failed = p.failed(&x.query); x.failed != nil {
			x.failedLevel = level
		}
	}
}

// gatherGroups takes the groups whose checks hold; others do not apply, as in
// FreeRADIUS. Fall-Through = No ends the list.
func (x *exchange) gatherGroups(rules *accountRules) {
	if rules.policy.last {
		return
	}
	for _, place := range rules.groups {
		group := x.catalog.group(place)
		if group == nil {
			continue // deleted
		}
		p := &group.policy
		if p.err != nil && x.broken == nil {
			x.broken = p.err
		}
		if p.failed(&x.query) != nil {
			continue
		}
		x.controls.inherit(p.controls)
		x.groups = append(x.groups, p)
		if p.last {
			return
		}
	}
}

// authorize decides whether a user who is authentic may come in now, and for how
// long.
func (a *Access) authorize(x *exchange) Decision {
	account := x.account
	if x.broken != nil {
		return x.refuseAt(stepUsable, ReasonInternal, x.broken.Error())
	}
	switch account.status {
	case UserActive:
	case UserSuspended:
		return x.refuseAt(stepStatus, ReasonSuspended, account.suspension.Detail())
	default:
		return x.refuseAt(stepStatus, ReasonDisabled, "")
	}
	if x.controls.authType == authTypeReject {
		return x.refuseAt(stepAuthType, ReasonCheckFailed, "Auth-Type := Reject")
	}
	if x.controls.set&controlMethods != 0 && !x.controls.methods.Has(x.method) {
		return x.refuseAt(stepMethod, ReasonMethodNotAllowed, "allowed: "+x.controls.methods.String())
	}
	x.allowance.now = x.now
	if account.scheme == schemeVoucher {
		if d := a.checkBegin(x); !d.Accepted() {
			return d
		}
	}
	if d := x.checkExpiry(); !d.Accepted() {
		return d
	}
	if x.failed != nil {
		return x.refuseAt(stepCheck, x.failed.reason, x.failedLevel+": "+x.failed.item.masked(x.query.dict))
	}
	if d := a.checkLoginHours(x); !d.Accepted() {
		return d
	}
	_, _ = x.random.Read(x.nonce[:])
	// The last step: a place that is taken is one that is used.
	return a.reserve(x)
}

func (x *exchange) checkExpiry() Decision {
	expires := x.account.expiresAt()
	if x.controls.set&controlExpiration != 0 && (expires.IsZero() || x.controls.expiration.Before(expires)) {
		expires = x.controls.expiration
	}
	if expires.IsZero() {
		return x.goOn()
	}
	if !x.limitUntil(expires, stepExpiry) {
		return x.refuseAt(stepExpiry, ReasonExpired, expires.UTC().Format(time.RFC3339))
	}
	return x.goOn()
}

func (a *Access) checkLoginHours(x *exchange) Decision {
	if x.controls.loginHours == nil {
		return x.goOn()
	}
	end, allowed := x.controls.loginHours.Until(x.now.In(a.options.Location))
	if !allowed || !end.IsZero() && !x.limitUntil(end, stepLoginHours) {
		return x.refuseAt(stepLoginHours, ReasonOutsideLoginHours, "")
	}
	return x.goOn()
}

// checkQuotas compares what the user has used in each period that has a quota.
func (x *exchange) checkQuotas(used *[PeriodCount]Usage) Decision {
	c := &x.controls
	if c.set < controlSeconds {
		return x.goOn()
	}
	for p := range periodCount {
		period, used := Period(p), used[p]
		if c.set&(controlSeconds<<p) != 0 {
			if used.Seconds >= c.seconds[p] {
				return x.refuseAt(stepSeconds+decisionStep(2*p), ReasonTimeQuotaExhausted, quotaDetail(used.Seconds, c.seconds[p], "s", period))
			}
			left := min(c.seconds[p]-used.Seconds, maxSessionSeconds)
			x.limitUntil(x.now.Add(time.Duration(left)*time.Second), stepSeconds+decisionStep(2*p))
		}
		if c.set&(controlOctets<<p) != 0 {
			if used.Octets() >= c.octets[p] {
				return x.refuseAt(stepOctets+decisionStep(2*p), ReasonDataQuotaExhausted, quotaDetail(used.Octets(), c.octets[p], "octets", period))
			}
			left := c.octets[p] - used.Octets()
			if !x.allowance.hasOctets || left < x.allowance.octets {
				x.allowance.octets, x.allowance.hasOctets = left, true
			}
		}
	}
	return x.goOn()
}

// maxSessionSeconds is the longest Session-Timeout.
const maxSessionSeconds = 1<<32 - 1

func quotaDetail(used, limit uint64, unit string, period Period) string {
	return strconv.FormatUint(used, 10) + " of " + strconv.FormatUint(limit, 10) + " " + unit + " used, period " + period.String()
}

// limitUntil cuts the session to end at a time, and reports whether that is at
// least a second away.
func (x *exchange) limitUntil(end time.Time, by decisionStep) bool {
	if end.Sub(x.now) < time.Second {
		return false
	}
	if x.allowance.until.IsZero() || end.Before(x.allowance.until) {
		x.allowance.until, x.limitedBy = end, by
	}
	return true
}

// reserve asks for what the user has used, takes one of the places for
// simultaneous sessions, and keeps the nonce of a session that is authenticated
// again. Nobody is asked about a user to whom none of it applies. Where the answer
// may take long, the decision is put off.
func (a *Access) reserve(x *exchange) Decision {
	limit := x.controls.simultaneousUse
	sessionID := x.acctSessionID()
	quotas := x.controls.set >= controlSeconds
	limits := a.options.Limits
	switch {
	case limits == nil && quotas:
		return x.refuseAt(stepSeconds, ReasonInternal, "usage is not counted here")
	case limits == nil && limit > 0:
		return x.refuseAt(stepSessions, ReasonInternal, "sessions are not counted here")
	case limits == nil, limit == 0 && !quotas && len(sessionID) == 0:
		return x.goOn()
	case !x.mayBlock && limits.Waits():
		x.deferred = true
		return x.goOn()
	}
	r := Reservation{
		Username:      x.account.name(),
		Limit:         limit,
		Nonce:         x.nonce,
		AcctSessionID: sessionID,
		NASAddr:       x.nasAddr(),
		At:            x.now,
	}
	if quotas {
		x.controls.quotas(&r.Quotas)
	}
	if x.nas != nil {
		r.NASID = x.nas.ID
	}
	if limit > 0 {
		r.NASPortID, r.CallingStationID = x.nasPort(), x.station()
	}
	grant := limits.Reserve(r)
	if x.trace != nil {
		x.trace.used = grant.Used
	}
	if d := x.checkQuotas(&grant.Used); !d.Accepted() {
		return d
	}
	if !grant.Reserved {
		return x.refuseAt(stepSessions, ReasonSimultaneousUse, "limit "+strconv.Itoa(limit))
	}
	x.reserved = limit > 0 && grant.Nonce == x.nonce
	x.nonce = grant.Nonce
	return x.goOn()
}

// acctSessionID is Acct-Session-Id as accounting has it; empty: not sent.
func (x *exchange) acctSessionID() []byte {
	value := x.sent.acctSessionID
	if !isPlainText(value) {
		return []byte(plainText(string(value)))
	}
	return value
}

// nasPort is NAS-Port-Id, or NAS-Port in decimal.
func (x *exchange) nasPort() []byte {
	if port := x.sent.nasPort; x.sent.nasPortID == nil && len(port) == 4 {
		return strconv.AppendUint(x.portBuffer[:0], uint64(binary.BigEndian.Uint32(port)), 10)
	}
	return x.sent.nasPortID
}

// station is Calling-Station-Id in normal form.
func (x *exchange) station() []byte {
	if mac, ok := AppendMAC(x.stationBuffer[:0], x.sent.callingStationID); ok {
		return mac
	}
	return x.sent.callingStationID
}
