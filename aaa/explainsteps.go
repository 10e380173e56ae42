package aaa

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"radiusd/dictionary"
	"radiusd/radius"
)

// explanation is an Explanation in the making. What decides has decided: here it is
// only told, from what the exchange and its trace still show.
type explanation struct {
	*Access
	x        *exchange
	ended    decisionStep
	origins  []controlOrigin
	reply    *radius.Reply
	decision Decision
	limits   *explainLimits
	steps    []ExplainStep
	controls []controlRule
	unusable bool // the item that cannot be used has been told
}

// controlRule is a rule that sets controls, in order of precedence.
type controlRule struct {
	set controlSet
	ExplainStep
}

func (e *explanation) make() *Explanation {
	x := e.x
	made := &Explanation{
		Accepted: e.decision.Accepted(), Reason: e.decision.Reason, Method: e.decision.Method, Detail: e.decision.Detail,
		At: x.now, Username: string(storable(x.username)), Template: e.options.Templates.forNAS(x.nas).name,
		Request: e.attributesText(x.attributes, x.shown),
	}
	if x.plan != nil {
		made.Plan = x.plan.plan.Name
	}
	e.identify(made.Template)
	var merged replyTrace
	if x.account != nil {
		e.origins = x.origins()
		e.authenticate()
		e.check()
		e.limit()
		e.quota()
		if e.reply.Code() == radius.AccessAccept || e.ended == stepReply {
			merged = e.merge()
			e.steps = append(e.steps, merged.steps...)
			if e.refused(stepReply) {
				e.add(StageReply, "server", "reply", OutcomeFails, e.decision.Detail).Refuses = true
			}
		}
	}
	made.Steps, made.Reply = e.steps, e.attributes(&merged)
	return made
}

func (e *explanation) add(stage ExplainStage, source, rule string, outcome ExplainOutcome, detail string) *ExplainStep {
	e.steps = append(e.steps, ExplainStep{Stage: stage, Source: source, Rule: rule, Outcome: outcome, Detail: detail})
	return &e.steps[len(e.steps)-1]
}

// refused reports whether the decision was made against the user at the step.
func (e *explanation) refused(at decisionStep) bool { return !e.decision.Accepted() && e.ended == at }

// settle says what became of the rule that a step of the decision looks at.
func (e *explanation) settle(s *ExplainStep, at decisionStep) {
	switch {
	case e.refused(at):
		s.Outcome, s.Refuses = OutcomeFails, true
		s.Detail = cmp.Or(s.Detail, e.decision.Detail)
	case !e.decision.Accepted() && e.ended < at:
		s.Outcome, s.Detail = OutcomeSkipped, "because the login is refused before"
	default:
		s.Outcome = OutcomeHolds
	}
}

// because is the detail of a rule that is skipped.
func because(text string) string { return "because " + text }

func (e *explanation) identify(template string) {
	x := e.x
	if x.nas != nil {
		e.add(StageIdentify, "NAS "+x.nas.Name, "NAS "+x.nas.Prefix.String(), OutcomeHolds, "reply template "+template)
	}
	s := e.add(StageIdentify, "user", "User-Name = "+strconv.Quote(string(storable(x.username))), OutcomeHolds, "")
	switch {
	case e.refused(stepIdentify):
		s.Source, s.Outcome, s.Detail, s.Refuses = "server", OutcomeFails, e.decision.Detail, true
	case x.account == nil:
		s.Outcome, s.Detail, s.Refuses = OutcomeFails, cmp.Or(e.decision.Detail, "this is not the user"), true
	case x.renamed:
		s.Detail = "the user is " + strconv.Quote(x.account.name())
	}
}

func (e *explanation) authenticate() {
	x := e.x
	s := e.add(StageAuthenticate, "user", "method "+x.method.String()+", credential "+x.account.scheme.String(), OutcomeHolds, "the password is right")
	switch {
	case e.refused(stepAuthenticate):
		s.Outcome, s.Refuses, s.Detail = OutcomeFails, true, e.decision.Detail
		if e.decision.Reason == ReasonWrongPassword {
			s.Detail = "the password is wrong"
		}
	case x.controls.authType == authTypeAccept:
		s.Outcome, s.Detail = OutcomeSkipped, because("Auth-Type := Accept needs no password")
	case x.trace.assumed:
		s.Detail = "the password is taken to be right"
	case x.account.scheme == SchemeMAC && x.method == MethodMAC:
		s.Detail = "the address is the device's"
	}
}

// check tells of the items of user, groups and plan, and collects what sets controls.
func (e *explanation) check() {
	account := e.x.account
	if account.simultaneous > 0 {
		e.control(controlSimultaneousUse, "user", "simultaneous use "+strconv.Itoa(int(account.simultaneous)))
	}
	if account.rules != nil {
		e.items("user", &account.rules.policy)
		e.groups(account.rules)
	}
	plan := e.x.plan
	if plan == nil {
		s := e.add(StageCheck, "user", "plan", OutcomeFails, errNoPlan.Error())
		s.Refuses = e.refused(stepUsable) && !e.unusable
		return
	}
	source := "plan " + plan.plan.Name
	e.items(source, &plan.policy)
	own, err := planControls(&plan.plan)
	if err != nil {
		e.cannotBeUsed(source, "plan "+plan.plan.Name, err)
	}
	for _, limit := range plan.plan.limits() {
		if own.set&limit.set != 0 {
			e.control(limit.set, source, limit.text)
		}
	}
}

// cannotBeUsed tells of a rule that refuses whoever has it.
func (e *explanation) cannotBeUsed(source, rule string, err error) {
	s := e.add(StageCheck, source, rule, OutcomeFails, "cannot be used: "+err.Error())
	s.Refuses = e.refused(stepUsable) && !e.unusable
	e.unusable = true
}

func (e *explanation) control(set controlSet, source, rule string) *controlRule {
	e.controls = append(e.controls, controlRule{set, ExplainStep{Source: source, Rule: rule}})
	return &e.controls[len(e.controls)-1]
}

// groups tells which groups apply.
func (e *explanation) groups(rules *accountRules) {
	ended := ""
	if rules.policy.last {
		ended = "user"
	}
	for _, place := range rules.groups {
		group := e.x.catalog.group(place)
		if group == nil {
			e.add(StageCheck, "user", "group", OutcomeSkipped, because("it does not exist"))
			continue
		}
		p, rule := &group.policy, "group "+group.group.Name
		failed := p.failed(&e.x.query)
		switch {
		case slices.Contains(e.x.groups, p):
			e.add(StageCheck, "user", rule, OutcomeHolds, "it applies")
			e.items(rule, p)
			if p.last {
				ended = rule
			}
		case failed != nil && ended == "":
			e.add(StageCheck, "user", rule, OutcomeSkipped, because(itemText(e.options.Dictionary, *failed.item)+" does not hold"))
			e.comparisons(rule, p)
		default:
			e.add(StageCheck, "user", rule, OutcomeSkipped, because("of Fall-Through = No of "+ended))
		}
	}
}

// comparisons tells of the checks of a group that does not apply, and of its items
// that cannot be used, which count nevertheless.
func (e *explanation) comparisons(source string, p *policy) {
	for _, item := range p.items {
		switch one := compilePolicy(e.options.Dictionary, []Item{item}); {
		case one.err != nil:
			e.cannotBeUsed(source, itemText(e.options.Dictionary, item), one.err)
		case len(one.checks) > 0:
			e.compared(source, item, &one.checks[0])
		}
	}
}

// items tells of the items of a level that applies. Replies are told later, but for
// those that cannot be used.
func (e *explanation) items(source string, p *policy) {
	dict := e.options.Dictionary
	var so controls
	for i, item := range p.items {
		rule := itemText(dict, item)
		one := compilePolicy(dict, []Item{item})
		switch {
		case one.err != nil:
			e.cannotBeUsed(source, rule, one.err)
		case one.controls != nil:
			before := so
			_, _ = so.readControl(dict, item)
			c := e.control(one.controls.set, source, rule)
			if item.Op == "=" && so == before {
				c.Outcome, c.Detail = OutcomeSkipped, because("an item before it sets it")
			} else if setsAgain(dict, so, item, p.items[i+1:]) {
				c.Outcome, c.Detail = OutcomeReplaced, "by a later item of "+source
			}
		case len(one.checks) > 0:
			e.compared(source, item, &one.checks[0])
		case one.last:
			e.add(StageCheck, source, rule, OutcomeSets, "no group after it applies")
		case item.Kind == CheckItem:
			e.add(StageCheck, source, rule, OutcomeSkipped, because(item.Op+" compares nothing"))
		}
	}
}

// setsAgain reports whether one of the later items replaces what the item has set.
func setsAgain(dict *dictionary.Dictionary, so controls, item Item, later []Item) bool {
	for _, other := range later {
		before := so
		if other.Kind == CheckItem && strings.EqualFold(other.Attribute, item.Attribute) {
			if _, err := so.readControl(dict, other); err == nil && (other.Op != "=" || so != before) {
				return true
			}
		}
	}
	return false
}

// compared tells of a check of the request.
func (e *explanation) compared(source string, item Item, c *check) {
	var has []string
	c.values(&e.x.query, func(value []byte) bool {
		has = append(has, pairText(e.options.Dictionary, dictionary.Pair{Attr: c.attr, Op: dictionary.OpEq, Value: value}))
		return true
	})
	detail := "the request has none"
	if len(has) > 0 {
		detail = "the request has " + strings.Join(has, ", ")
	}
	outcome := OutcomeHolds
	if !c.holds(&e.x.query) {
		outcome = OutcomeFails
	}
	s := e.add(StageCheck, source, itemText(e.options.Dictionary, item), outcome, detail)
	if failed := e.x.failed; e.refused(stepCheck) && outcome == OutcomeFails && !strings.HasPrefix(source, "group ") {
		s.Refuses = *failed.item == item && strings.HasPrefix(source, e.x.failedLevel) && !slices.ContainsFunc(e.steps[:len(e.steps)-1], func(s ExplainStep) bool { return s.Refuses })
	}
}

// limit tells of what limits the user other than quotas.
func (e *explanation) limit() {
	x := e.x
	s := e.add(StageLimit, "user", "status "+x.account.status.String(), "", x.account.suspension.Detail())
	e.settle(s, stepStatus)
	e.apply(StageLimit, controlAuthType, stepAuthType, "")
	e.apply(StageLimit, controlMethods, stepMethod, "")
	e.expiry()
	e.apply(StageLimit, controlLoginHours, stepLoginHours, "")
	open := ""
	if e.limits.live != nil {
		open = strconv.Itoa(e.limits.live.Open(x.account.name())) + " open, limit " + strconv.Itoa(x.controls.simultaneousUse)
	}
	e.apply(StageLimit, controlSimultaneousUse, stepSessions, open)
}

// apply tells of the rules that set a control: the one that is in force, which a step
// of the decision looks at, and those that it takes the place of.
func (e *explanation) apply(stage ExplainStage, control controlSet, at decisionStep, detail string) {
	origin, settled := e.origin(control), false
	for i := range e.controls {
		c := &e.controls[i]
		if c.set&control == 0 || control == controlAuthType && c.set&controlMethods != 0 {
			continue // one that names a method is told as such
		}
		c.Stage = stage
		switch {
		case c.Outcome != "":
		case c.Source != origin || settled:
			c.Outcome, c.Detail = OutcomeReplaced, "by "+origin
		case control == controlAuthType && e.x.controls.authType != authTypeReject:
			c.Outcome, settled = OutcomeSets, true
		default:
			c.Detail = detail
			e.settle(&c.ExplainStep, at)
			settled = true
		}
		e.steps = append(e.steps, c.ExplainStep)
	}
}

// expiry tells of the user's expiry and of Expiration, of which the earlier counts.
func (e *explanation) expiry() {
	x := e.x
	own, item := x.account.expiresAt(), x.controls.expiration
	set := x.controls.set&controlExpiration != 0
	first := len(e.steps)
	if !own.IsZero() {
		s := e.add(StageLimit, "user", "expires "+own.Format(time.RFC3339), "", "")
		if set && item.Before(own) {
			s.Outcome, s.Detail = OutcomeReplaced, "by Expiration, which is earlier"
		} else {
			e.settle(s, stepExpiry)
		}
	}
	e.apply(StageLimit, controlExpiration, stepExpiry, "")
	if !set || own.IsZero() || item.Before(own) {
		return
	}
	for i := first + 1; i < len(e.steps); i++ {
		if s := &e.steps[i]; s.Outcome != OutcomeReplaced && s.Outcome != OutcomeSkipped {
			s.Outcome, s.Detail, s.Refuses = OutcomeReplaced, "by the user's expiry, which is no later", false
		}
	}
}

// quota tells of quotas, by period.
func (e *explanation) quota() {
	asked := e.ended >= stepSeconds
	c, used := &e.x.controls, &e.x.trace.used
	for p := range periodCount {
		seconds, octets := "", ""
		if asked {
			seconds = quotaDetail(used[p].Seconds, c.seconds[p], "s", Period(p))
			octets = quotaDetail(used[p].Octets(), c.octets[p], "octets", Period(p))
		}
		e.apply(StageQuota, controlSeconds<<p, stepSeconds+decisionStep(2*p), seconds)
		e.apply(StageQuota, controlOctets<<p, stepOctets+decisionStep(2*p), octets)
	}
}

// merge makes the replies of all levels once more, to see what becomes of each. The
// reply itself was made before, and not by this.
func (e *explanation) merge() replyTrace {
	x := e.x
	template := e.options.Templates.forNAS(x.nas)
	t := replyTrace{dict: e.options.Dictionary, sources: []string{"user"}}
	if x.account.rules == nil {
		x.account.rules = new(accountRules)
	}
	for _, group := range x.applied() {
		t.sources = append(t.sources, "group "+group.group.Name)
	}
	t.sources = append(t.sources, "plan "+x.plan.plan.Name, "template "+template.name, "template "+template.name)
	r := x.plan.reply(e.options.Dictionary, template)
	x.input = templateInput{plan: &x.plan.plan, left: &x.allowance}
	x.replies, x.fromTemplate = replyList{trace: &t}, pairList{}
	_ = x.mergeReplies(r) // an error has refused already
	return t
}

// attributes tells of the reply as it is.
func (e *explanation) attributes(merged *replyTrace) []ExplainReply {
	x, dict := e.x, e.options.Dictionary
	pairs, err := dict.ParseWire(e.reply.Attributes(), x.request.Cipher())
	if err != nil || e.reply.TooLong() {
		return nil
	}
	taken := make([]bool, len(x.replies.pairs))
	list := make([]ExplainReply, 0, len(pairs))
	for _, pair := range pairs {
		r := ExplainReply{Attribute: nameOf(dict, pair.Attr), Source: "server"}
		if pair.Tag != 0 {
			r.Attribute += ":" + strconv.Itoa(int(pair.Tag))
		}
		for i := range merged.owners {
			if own := &x.replies.pairs[i]; !taken[i] && own.Attr == pair.Attr && own.Tag == pair.Tag && string(own.Value) == string(pair.Value) {
				taken[i], r.Source = true, merged.steps[merged.owners[i]].Source
				break
			}
		}
		nonce, ours := ParseClass(pair.Value)
		switch {
		case pair.Attr.Name == "Message-Authenticator":
			continue
		case pair.Attr.Name == "Class" && ours && nonce == x.nonce:
			r.Source, r.Detail = "server", "made at login"
		case pair.Attr.Name == "Session-Timeout" && r.Source == "server":
			r.Source, r.Detail = e.limiter()
			r.Value = pair.Text()
		case masked(pair.Attr) || maskedText(string(pair.Value)):
			r.Secret = true
		default:
			r.Value = valueText(pair)
		}
		list = append(list, r)
	}
	return list
}

// origin returns whose control is in force; empty: it is not set.
func (e *explanation) origin(control controlSet) string {
	for _, o := range e.origins {
		if o.set&control != 0 {
			return o.source
		}
	}
	return ""
}

// limiter names what ends the session when it ends at the latest.
func (e *explanation) limiter() (source, detail string) {
	by, until := e.x.limitedBy, e.x.allowance.until
	detail = "until " + until.Format(time.RFC3339)
	switch {
	case by == stepExpiry && until.Equal(e.x.account.expiresAt()):
		return "user", detail + ", when the user expires"
	case by == stepExpiry:
		return e.origin(controlExpiration), detail + ", by Expiration"
	case by == stepLoginHours:
		return e.origin(controlLoginHours), detail + ", when the login hours end"
	}
	period := Period((by - stepSeconds) / 2)
	return e.origin(controlSeconds << period), "what is left of the quota, period " + period.String()
}

// itemText writes an item as it is stored, without a value that is a secret.
func itemText(dict *dictionary.Dictionary, item Item) string {
	if text := item.masked(dict); strings.HasSuffix(text, " …") {
		return text
	}
	return strings.TrimSpace(item.Attribute + " " + item.Op + " " + item.Value)
}

// pairText writes a pair as an operator does, without a value that is a secret.
func pairText(dict *dictionary.Dictionary, pair dictionary.Pair) string {
	if masked(pair.Attr) || maskedText(string(pair.Value)) {
		name := nameOf(dict, pair.Attr)
		if pair.Tag != 0 {
			name += ":" + strconv.Itoa(int(pair.Tag))
		}
		return name + " " + pair.Op.String() + " …"
	}
	return pair.String()
}

// valueText is the value of a pair as Pair.String writes it.
func valueText(pair dictionary.Pair) string {
	_, value, _ := strings.Cut(pair.String(), " "+pair.Op.String()+" ")
	return value
}
