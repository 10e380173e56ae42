package aaa

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"radiusd/dictionary"
)

// catalog is the plans, groups and NASes as of one moment. It never changes; a
// reload publishes another. Accounts refer to plans and groups by place, and a
// place belongs to one id for the life of the directory.
type catalog struct {
	plans  []*planEntry // by place; nil: not there any more
	groups []*groupEntry
	nas    *nasTable
	counts struct{ plans, groups int }
}

// planEntry is a plan, compiled.
type planEntry struct {
	plan    Plan
	policy  policy // err holds what is wrong with the plan's own fields too
	replies atomic.Pointer[[]planReply]
}

// groupEntry is a group, compiled.
type groupEntry struct {
	group  Group
	policy policy
}

// places gives out places to ids. Any number of goroutines may use it.
type places struct {
	mu   sync.RWMutex
	byID map[uuid.UUID]uint32
	ids  []uuid.UUID // by place; place zero means none
}

func newPlaces() *places {
	return &places{byID: map[uuid.UUID]uint32{}, ids: make([]uuid.UUID, 1)}
}

func (p *places) of(id uuid.UUID) uint32 {
	if id == uuid.Nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	place, ok := p.byID[id]
	if !ok {
		place = uint32(len(p.ids))
		p.ids = append(p.ids, id)
		p.byID[id] = place
	}
	return place
}

// id returns the id that has the place.
func (p *places) id(place uint32) uuid.UUID {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.ids[place]
}

// plan returns the plan at a place, and nil if there is none.
func (c *catalog) plan(place uint32) *planEntry {
	if int(place) >= len(c.plans) {
		return nil
	}
	return c.plans[place]
}

// group returns the group at a place, and nil if there is none.
func (c *catalog) group(place uint32) *groupEntry {
	if int(place) >= len(c.groups) {
		return nil
	}
	return c.groups[place]
}

// with returns c with the plans and groups that only an older catalog has.
func (c *catalog) with(older *catalog) *catalog {
	both := *c
	both.plans = fillPlaces(c.plans, older.plans)
	both.groups = fillPlaces(c.groups, older.groups)
	return &both
}

func fillPlaces[T any](list, older []*T) []*T {
	both := slices.Clone(list)
	for place, entry := range older {
		if entry != nil && (place >= len(both) || both[place] == nil) {
			both = setPlace(both, uint32(place), entry)
		}
	}
	return both
}

// compilePlan compiles a plan; one that has not changed keeps its entry, and
// with it the replies that are encoded already.
func compilePlan(dict *dictionary.Dictionary, plan Plan, old *planEntry) *planEntry {
	if old != nil && reflect.DeepEqual(old.plan, plan) {
		return old
	}
	e := &planEntry{plan: plan, policy: compilePolicy(dict, plan.Items)}
	own, err := planControls(&plan)
	if e.policy.controls == nil {
		e.policy.controls = new(controls)
	}
	e.policy.controls.inherit(&own) // an item of the plan wins over its field
	e.policy.err = errors.Join(err, e.policy.err)
	return e
}

func compileGroup(dict *dictionary.Dictionary, group Group, old *groupEntry) *groupEntry {
	if old != nil && reflect.DeepEqual(old.group, group) {
		return old
	}
	return &groupEntry{group: group, policy: compilePolicy(dict, group.Items)}
}
