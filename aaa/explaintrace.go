package aaa

import (
	"slices"

	"radiusd/dictionary"
)

// decisionStep is a place in a decision. They are in the order in which a decision
// comes to them.
type decisionStep uint8

const (
	stepIdentify     decisionStep = iota
	stepAuthenticate              // the proof
	stepUsable                    // items and plan can be used
	stepStatus
	stepAuthType
	stepMethod
	stepExpiry
	stepCheck
	stepLoginHours
	stepSeconds // of the first period; then its octets, and so on by period
	stepOctets
	stepSessions = stepSeconds + 2*decisionStep(PeriodCount)
	stepReply    = stepSessions + 1
)

// trace is what Explain tells a decision, and wants to know of it beyond what the
// exchange still shows at its end. There is none in a server.
type trace struct {
	assumed bool               // the password is taken to be right
	used    [PeriodCount]Usage // in periods with a quota, if it came to them
}

// assumed reports whether the password is taken to be right.
func (x *exchange) assumed() bool { return x.trace != nil && x.trace.assumed }

// controlOrigin is the level of policy that has set controls.
type controlOrigin struct {
	source string
	set    controlSet
}

// origins tells whose the controls are that are in force, as gather has put them
// together.
func (x *exchange) origins() []controlOrigin {
	var list []controlOrigin
	var c controls
	inherit := func(source string, lower *controls) {
		before := c.set
		c.inherit(lower)
		list = append(list, controlOrigin{source, c.set &^ before})
	}
	if x.account.simultaneous > 0 {
		inherit("user", &controls{set: controlSimultaneousUse})
	}
	if x.account.rules != nil {
		inherit("user", x.account.rules.policy.controls)
		for _, group := range x.applied() {
			inherit("group "+group.group.Name, group.policy.controls)
		}
	}
	if x.plan != nil {
		inherit("plan "+x.plan.plan.Name, x.plan.policy.controls)
	}
	return list
}

// applied returns the groups that apply, highest precedence first.
func (x *exchange) applied() (list []*groupEntry) {
	for _, p := range x.groups {
		for _, place := range x.account.rules.groups {
			if group := x.catalog.group(place); group != nil && &group.policy == p {
				list = append(list, group)
				break
			}
		}
	}
	return list
}

// replyTrace is what becomes of each pair that levels of policy reply.
type replyTrace struct {
	dict    *dictionary.Dictionary
	sources []string // by level, the first for level 1
	owners  []int    // for each pair of the list, its step
	steps   []ExplainStep
}

// add is replyList.add, pair by pair.
func (t *replyTrace) add(l *replyList, pairs []dictionary.Pair) {
	source := t.sources[l.level-1]
	for _, pair := range pairs {
		step := ExplainStep{Stage: StageReply, Source: source, Rule: pairText(t.dict, pair), Outcome: OutcomeSets}
		if !l.takes(pair) {
			step.Outcome, step.Detail = t.refusal(l, pair)
			t.steps = append(t.steps, step)
			continue
		}
		before := slices.Clone(l.pairs)
		l.put(pair)
		t.drop(before, l.pairs, source)
		t.owners = append(t.owners, len(t.steps))
		t.steps = append(t.steps, step)
	}
}

// refusal says why the list does not take a pair.
func (t *replyTrace) refusal(l *replyList, pair dictionary.Pair) (ExplainOutcome, string) {
	if i := l.index(pair, 0); i >= 0 {
		if l.levels[i] == l.level {
			return OutcomeSkipped, "because it is there already"
		}
		return OutcomeShutOut, "by " + t.sources[l.levels[i]-1]
	}
	for _, c := range l.closed {
		if c.attr == pair.Attr && c.tag == pair.Tag && c.level < l.level {
			return OutcomeShutOut, "by " + t.sources[c.level-1]
		}
	}
	return OutcomeSkipped, ""
}

// drop marks the pairs of before that are not there any more; the last of after is new.
func (t *replyTrace) drop(before, after []dictionary.Pair, source string) {
	kept := t.owners[:0]
	j := 0
	for i, pair := range before {
		if j < len(after)-1 && after[j].Attr == pair.Attr && after[j].Tag == pair.Tag {
			kept = append(kept, t.owners[i])
			j++
			continue
		}
		step := &t.steps[t.owners[i]]
		step.Outcome, step.Detail = OutcomeReplaced, "by a later := of "+source
	}
	t.owners = kept
}
