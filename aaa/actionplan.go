package aaa

import (
	"fmt"
	"slices"
	"strings"

	"radiusd/dictionary"
)

// PlanChange is a user's change from one plan to another, as it matters to the
// sessions that are open.
type PlanChange struct {
	User   *User
	Groups []Group // those of the user, in the order in which they apply
	// Old is the plan that the sessions have; nil: none, or it is not known. New is the
	// one that they are to have; nil: none.
	Old, New *Plan
}

// PlannedAction is what a plan change asks for in one session.
type PlannedAction struct {
	// Needed says that there is something to do. It is false if the plans do not
	// differ in anything that a NAS is told.
	Needed bool
	Kind   ActionKind
	// Attributes are what a CoA-Request has to change.
	Attributes []Item
	// Reason says why the session must be ended rather than changed; empty for
	// [ActionCoA].
	Reason string
}

// PlanChange says how a session on the NAS gets what a login under the new plan
// would give it: by a CoA-Request with those attributes of the plan that nothing of
// the user or its groups overrides, or, where the NAS takes none or an attribute is
// to go away, which no CoA-Request can say, by ending it, so that the user logs in
// again. What depends on what the user has left of a quota, and pools, which are
// looked at only when an address is given out, are not changed.
func (t *Templates) PlanChange(dict *dictionary.Dictionary, nas *NAS, c PlanChange) (PlannedAction, error) {
	template := t.forNAS(nas)
	if c.New == nil {
		c.New = &Plan{Name: "none"}
	}
	after, err := c.replies(dict, template, c.New)
	if err != nil {
		return PlannedAction{}, fmt.Errorf("plan %q: %w", c.New.Name, err)
	}
	var before []dictionary.Pair
	if c.Old != nil {
		if before, err = c.replies(dict, template, c.Old); err != nil {
			return PlannedAction{}, fmt.Errorf("plan %q: %w", c.Old.Name, err)
		}
	}
	if c.Old != nil && slices.EqualFunc(before, after, samePair) || len(before)+len(after) == 0 {
		return PlannedAction{}, nil
	}
	var lost []string
	for _, pair := range before {
		if !slices.ContainsFunc(after, func(p dictionary.Pair) bool { return p.Attr == pair.Attr && p.Tag == pair.Tag }) {
			lost = append(lost, pair.Attr.Name)
		}
	}
	end := PlannedAction{Needed: true, Kind: ActionDisconnect}
	if template.coa.disconnectOnly {
		end.Reason = "the NAS takes no CoA-Requests"
		return end, nil
	}
	if len(lost) > 0 {
		end.Reason = "the new plan has no " + strings.Join(slices.Compact(lost), ", ") + ", and a CoA-Request cannot take it away"
		return end, nil
	}
	change := PlannedAction{Needed: true, Kind: ActionCoA}
	for _, pair := range after {
		name := pair.Attr.Name
		if pair.Tag > 0 {
			name += fmt.Sprintf(":%d", pair.Tag)
		}
		change.Attributes = append(change.Attributes, Item{Kind: ReplyItem, Attribute: name, Op: "+=", Value: pair.Text()})
	}
	return change, nil
}

func samePair(a, b dictionary.Pair) bool {
	return a.Attr == b.Attr && a.Tag == b.Tag && string(a.Value) == string(b.Value)
}

// replies returns what of the plan reaches a session of the user, and can be changed
// in one.
func (c *PlanChange) replies(dict *dictionary.Dictionary, t *template, plan *Plan) ([]dictionary.Pair, error) {
	var list replyList
	if c.User != nil {
		own := compilePolicy(dict, c.User.Items)
		list.add(own.replies)
		for i := range c.Groups {
			if own.last {
				break
			}
			group := compilePolicy(dict, c.Groups[i].Items)
			list.add(group.replies)
			own.last = group.last
		}
	}
	higher := list.level
	own := compilePolicy(dict, plan.Items)
	if own.err != nil {
		return nil, own.err
	}
	list.add(own.replies)
	var made pairList
	if err := made.addTemplate(t, &templateInput{plan: plan, left: new(allowance)}, false); err != nil {
		return nil, err
	}
	list.add(made.pairs)
	var pairs []dictionary.Pair
	for i, pair := range list.pairs {
		if list.levels[i] > higher && t.coa.changes(pair.Attr) {
			pairs = append(pairs, pair)
		}
	}
	return pairs, nil
}
