package aaa

import (
	"slices"
	"time"

	"radiusd/dictionary"
)

// decisionStep is a place in a decision. Places follow each other as they are come to.
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
	stepUsage   // usage and sessions are asked for
	stepSeconds // of the first period; then its octets, and so on by period
	stepOctets
	stepSessions = stepSeconds + 2*decisionStep(PeriodCount)
	stepReply    = stepSessions + 1
)

// trace is what Explain wants to know of a decision beyond what the exchange still
// shows at its end. There is none in a server.
type trace struct {
	assumed bool // the password is taken to be right
	at      decisionStep
	known   controlSet
	origins []controlOrigin
	used    [PeriodCount]Usage

	limited        allowance
	untilAt, octAt decisionStep // what made the allowance what it is; zero: nothing
}

// controlOrigin is the level of policy that has set controls.
type controlOrigin struct {
	source string
	set    controlSet
}

// assumed reports whether the password is taken to be right.
func (x *exchange) assumed() bool { return x.trace != nil && x.trace.assumed }

// reach notes that the decision has come to a step.
func (x *exchange) reach(step decisionStep) {
	if x.trace != nil {
		x.trace.reach(x, step)
	}
}

// gathered notes that the controls of another level are in x.controls; name is that of
// the group or plan.
func (x *exchange) gathered(level, name string) {
	if x.trace != nil {
		x.trace.gathered(x, level+name)
	}
}

func (t *trace) reach(x *exchange, step decisionStep) {
	if !x.allowance.until.Equal(t.limited.until) {
		t.untilAt = t.at
	}
	if x.allowance.hasOctets && (!t.limited.hasOctets || x.allowance.octets != t.limited.octets) {
		t.octAt = t.at
	}
	t.limited, t.at = x.allowance, step
}

func (t *trace) gathered(x *exchange, source string) {
	if added := x.controls.set &^ t.known; added != 0 {
		t.origins = append(t.origins, controlOrigin{source, added})
		t.known = x.controls.set
	}
}

// origin returns whose control is in force; empty: it is not set.
func (t *trace) origin(control controlSet) string {
	for _, o := range t.origins {
		if o.set&control != 0 {
			return o.source
		}
	}
	return ""
}

// limiter names what ends the session at the allowance's end.
func (t *trace) limiter(account *account, until time.Time) (source, detail string) {
	detail = "until " + until.Format(time.RFC3339)
	switch {
	case t.untilAt == stepExpiry && until.Equal(account.expiresAt()):
		return "user", detail + ", when the user expires"
	case t.untilAt == stepExpiry:
		return t.origin(controlExpiration), detail + ", by Expiration"
	case t.untilAt == stepLoginHours:
		return t.origin(controlLoginHours), detail + ", when the login hours end"
	}
	period := Period((t.untilAt - stepSeconds) / 2)
	return t.origin(controlSeconds << period), "what is left of the quota, period " + period.String()
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
