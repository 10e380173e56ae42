package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"radiusd/aaa"
)

var plans = entity[aaa.Plan]{
	table: "plans", kind: "plan",
	users: "SELECT count(*) FROM users WHERE plan_id = $1", inUse: "%d users have it",
	fields: func(_ *Store, p *aaa.Plan) []field {
		return []field{
			{"id", id{&p.ID}},
			{"name", text{&p.Name}},
			{"rate_up", whole[uint64]{&p.RateUp}},
			{"rate_down", whole[uint64]{&p.RateDown}},
			{"burst_up", whole[uint64]{&p.BurstUp}},
			{"burst_down", whole[uint64]{&p.BurstDown}},
			{"burst_threshold_up", whole[uint64]{&p.BurstThresholdUp}},
			{"burst_threshold_down", whole[uint64]{&p.BurstThresholdDown}},
			{"burst_time", seconds{&p.BurstTime}},
			{"policy_up", text{&p.PolicyUp}},
			{"policy_down", text{&p.PolicyDown}},
			{"session_timeout", seconds{&p.SessionTimeout}},
			{"idle_timeout", seconds{&p.IdleTimeout}},
			{"interim_interval", seconds{&p.InterimInterval}},
			{"address_pool", text{&p.AddressPool}},
			{"ipv6_pool", text{&p.IPv6Pool}},
			{"delegated_ipv6_pool", text{&p.DelegatedIPv6Pool}},
			{"address_list", text{&p.AddressList}},
			{"filter_id", text{&p.FilterID}},
			{"simultaneous_use", whole[int]{&p.SimultaneousUse}},
			{"login_hours", text{&p.LoginHours}},
			{"allowed_methods", word[aaa.MethodSet]{&p.AllowedMethods, aaa.ParseMethodSet}},
			{"quota_seconds", whole[uint64]{&p.QuotaSeconds}},
			{"quota_octets", whole[uint64]{&p.QuotaOctets}},
			{"quota_period", word[aaa.Period]{&p.QuotaPeriod, aaa.ParsePeriod}},
			{"created_at", moment{&p.CreatedAt}},
			{"updated_at", moment{&p.UpdatedAt}},
		}
	},
	valid: func(p *aaa.Plan) error { return p.Validate(nil) },
	head:  func(p *aaa.Plan) head { return head{&p.ID, p.Name, &p.CreatedAt, &p.UpdatedAt} },
	load: func(ctx context.Context, q querier, p *aaa.Plan) (err error) {
		p.Items, err = readItems(ctx, q, "plan_id", p.ID)
		return err
	},
	save: func(ctx context.Context, tx *writeTx, p *aaa.Plan) error {
		return writeItems(ctx, tx, "plan_id", p.ID, p.Items)
	},
	lists: func(p *aaa.Plan) ([]fact, error) {
		items, err := itemFact(p.Items)
		return []fact{items}, err
	},
}

// CreatePlan adds a plan and sets its times, and its ID if that is zero. It fails
// with ErrExists if the name is taken.
func (s *Store) CreatePlan(ctx context.Context, plan *aaa.Plan) error {
	return plans.create(ctx, s, plan)
}

// UpdatePlan lets fn change the plan and writes it whole. fn may be called more
// than once. It may change the name, but not the ID.
func (s *Store) UpdatePlan(ctx context.Context, name string, fn func(*aaa.Plan) error) error {
	return plans.change(ctx, s, "name", name, fn)
}

// ChangePlan is UpdatePlan of the plan of that id. An error of fn leaves it as it was.
func (s *Store) ChangePlan(ctx context.Context, planID uuid.UUID, fn func(*aaa.Plan) error) error {
	return plans.change(ctx, s, "id", planID.String(), fn)
}

// RemovePlan is DeletePlan of the plan of that id. An error of check, which sees it
// in the same transaction, leaves it; nil checks nothing.
func (s *Store) RemovePlan(ctx context.Context, planID uuid.UUID, check func(*aaa.Plan) error) error {
	return plans.remove(ctx, s, "id", planID.String(), check)
}

// DeletePlan fails with ErrInUse while users have the plan.
func (s *Store) DeletePlan(ctx context.Context, name string) error {
	return plans.remove(ctx, s, "name", name, nil)
}

// PlanByName returns a plan with its items.
func (s *Store) PlanByName(ctx context.Context, name string) (*aaa.Plan, error) {
	return plans.get(ctx, s, "name", name)
}

// PlanByID returns a plan with its items.
func (s *Store) PlanByID(ctx context.Context, planID uuid.UUID) (*aaa.Plan, error) {
	return plans.get(ctx, s, "id", planID.String())
}

// Plans returns all plans by name.
func (s *Store) Plans(ctx context.Context) (list []aaa.Plan, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		if list, err = plans.list(ctx, s, tx, "ORDER BY name", nil, nil); err != nil {
			return err
		}
		byID := make(map[uuid.UUID]*aaa.Plan, len(list))
		for i := range list {
			byID[list[i].ID] = &list[i]
		}
		return eachItem(ctx, tx, "plan_id", "plan_id IS NOT NULL", nil, func(owner uuid.UUID, item aaa.Item) {
			if plan := byID[owner]; plan != nil {
				plan.Items = append(plan.Items, item)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list plans: %w", s.explain(err))
	}
	return list, nil
}
