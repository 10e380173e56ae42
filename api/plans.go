package api

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/operator"
)

// PlanStore keeps plans. Creates and changes are checked by the store only for what
// needs the other rows; the rest is checked here.
type PlanStore interface {
	ListPlansPage(ctx context.Context, filter aaa.PlanFilter, page aaa.Page) (plans []aaa.Plan, next string, err error)
	CountPlans(ctx context.Context, filter aaa.PlanFilter) (aaa.Count, error)
	PlanByID(ctx context.Context, id uuid.UUID) (*aaa.Plan, error)
	CreatePlan(ctx context.Context, plan *aaa.Plan) error
	ChangePlan(ctx context.Context, id uuid.UUID, fn func(*aaa.Plan) error) error
	// RemovePlan deletes the plan unless check, which sees it in the same transaction,
	// fails.
	RemovePlan(ctx context.Context, id uuid.UUID, check func(*aaa.Plan) error) error
}

// plans is the resource /plans.
type plans struct {
	spec  *specification
	dict  *dictionary.Dictionary
	store PlanStore
}

func (h *plans) ListPlans(ctx context.Context, r ListPlansRequestObject) (ListPlansResponseObject, error) {
	filter := aaa.PlanFilter{Query: r.Params.Q}
	found, next, err := h.store.ListPlansPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := PlanList{Items: make([]Plan, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = h.show(ctx, &found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountPlans(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListPlans200JSONResponse(list), nil
}

func (h *plans) CreatePlan(ctx context.Context, r CreatePlanRequestObject) (CreatePlanResponseObject, error) {
	plan := &aaa.Plan{}
	if err := h.fill(plan, *r.Body); err != nil {
		return nil, err
	}
	err := h.store.CreatePlan(ctx, plan)
	if id, again := repeated(err); again {
		plan, err = h.store.PlanByID(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	body := planOf(plan)
	return CreatePlan201JSONResponse{Body: body, Headers: CreatePlan201ResponseHeaders{ETag: etag(body), Location: location("plans", body.ID)}}, nil
}

func (h *plans) GetPlan(ctx context.Context, r GetPlanRequestObject) (GetPlanResponseObject, error) {
	plan, err := h.store.PlanByID(ctx, r.PlanID)
	if err != nil {
		return nil, err
	}
	body := h.show(ctx, plan)
	return GetPlan200JSONResponse{Body: body, Headers: GetPlan200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *plans) ReplacePlan(ctx context.Context, r ReplacePlanRequestObject) (ReplacePlanResponseObject, error) {
	body, err := h.change(ctx, r.PlanID, r.Params.IfMatch, func(PlanInput) (PlanInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplacePlan200JSONResponse{Body: body, Headers: ReplacePlan200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *plans) PatchPlan(ctx context.Context, r PatchPlanRequestObject) (PatchPlanResponseObject, error) {
	body, err := h.change(ctx, r.PlanID, r.Params.IfMatch, func(present PlanInput) (PlanInput, error) {
		return patched(h.spec, "PlanInput", present, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return PatchPlan200JSONResponse{Body: body, Headers: PatchPlan200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *plans) DeletePlan(ctx context.Context, r DeletePlanRequestObject) (DeletePlanResponseObject, error) {
	err := h.store.RemovePlan(ctx, r.PlanID, func(plan *aaa.Plan) error { return checkMatch(r.Params.IfMatch, planOf(plan)) })
	if err != nil {
		return nil, err
	}
	return DeletePlan204Response{}, nil
}

// change makes a plan what edit makes of its present input.
func (h *plans) change(ctx context.Context, id uuid.UUID, ifMatch string, edit func(PlanInput) (PlanInput, error)) (Plan, error) {
	var body Plan
	err := h.store.ChangePlan(ctx, id, func(plan *aaa.Plan) error {
		body = planOf(plan)
		if err := checkMatch(ifMatch, body); err != nil {
			return err
		}
		input, err := edit(planInputOf(body))
		if err != nil {
			return err
		}
		return h.fill(plan, input)
	})
	if err != nil {
		return body, err
	}
	plan, err := h.store.PlanByID(ctx, id)
	if err != nil {
		return body, err
	}
	return planOf(plan), nil
}

// fill makes the plan what the input says.
func (h *plans) fill(plan *aaa.Plan, in PlanInput) error {
	methods := make([]string, len(in.AllowedMethods))
	for i, m := range in.AllowedMethods {
		methods[i] = string(m)
	}
	allowed, err := aaa.ParseMethodSet(strings.Join(methods, ","))
	if err != nil {
		return invalidField("allowed_methods", "%v", err)
	}
	period := aaa.PeriodEver
	if in.QuotaPeriod != "" {
		if period, err = aaa.ParsePeriod(string(in.QuotaPeriod)); err != nil {
			return invalidField("quota_period", "%v", err)
		}
	}
	*plan = aaa.Plan{
		ID: plan.ID, CreatedAt: plan.CreatedAt, UpdatedAt: plan.UpdatedAt,
		Name:   in.Name,
		RateUp: uint64(in.RateUp), RateDown: uint64(in.RateDown),
		BurstUp: uint64(in.BurstUp), BurstDown: uint64(in.BurstDown),
		BurstThresholdUp: uint64(in.BurstThresholdUp), BurstThresholdDown: uint64(in.BurstThresholdDown),
		BurstTime: seconds(in.BurstTime),
		PolicyUp:  in.PolicyUp, PolicyDown: in.PolicyDown,
		SessionTimeout: seconds(in.SessionTimeout), IdleTimeout: seconds(in.IdleTimeout), InterimInterval: seconds(in.InterimInterval),
		AddressPool: in.AddressPool, IPv6Pool: in.Ipv6Pool, DelegatedIPv6Pool: in.DelegatedIpv6Pool,
		AddressList: in.AddressList, FilterID: in.FilterID,
		SimultaneousUse: in.SimultaneousUse, LoginHours: in.LoginHours, AllowedMethods: allowed,
		QuotaSeconds: uint64(in.QuotaSeconds), QuotaOctets: uint64(in.QuotaOctets), QuotaPeriod: period,
		Items: toItems(in.CheckItems, in.ReplyItems),
	}
	return nameItems(plan.Validate(h.dict), in.CheckItems)
}

// show is planOf without what the caller may not see.
func (h *plans) show(ctx context.Context, p *aaa.Plan) Plan {
	body := planOf(p)
	hideSecrets(ctx, h.dict, operator.PlansWrite, body.CheckItems, body.ReplyItems)
	return body
}

// planOf is a plan as the API shows it.
func planOf(p *aaa.Plan) Plan {
	methods := []Method{}
	for name := range strings.SplitSeq(p.AllowedMethods.String(), ",") {
		if name != "" {
			methods = append(methods, Method(name))
		}
	}
	return Plan{
		ID: p.ID, Name: p.Name, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		RateUp: int64(p.RateUp), RateDown: int64(p.RateDown),
		BurstUp: int64(p.BurstUp), BurstDown: int64(p.BurstDown),
		BurstThresholdUp: int64(p.BurstThresholdUp), BurstThresholdDown: int64(p.BurstThresholdDown),
		BurstTime: inSeconds(p.BurstTime),
		PolicyUp:  p.PolicyUp, PolicyDown: p.PolicyDown,
		SessionTimeout: inSeconds(p.SessionTimeout), IdleTimeout: inSeconds(p.IdleTimeout), InterimInterval: inSeconds(p.InterimInterval),
		AddressPool: p.AddressPool, Ipv6Pool: p.IPv6Pool, DelegatedIpv6Pool: p.DelegatedIPv6Pool,
		AddressList: p.AddressList, FilterID: p.FilterID,
		SimultaneousUse: p.SimultaneousUse, LoginHours: p.LoginHours, AllowedMethods: methods,
		QuotaSeconds: int64(p.QuotaSeconds), QuotaOctets: int64(p.QuotaOctets), QuotaPeriod: Period(p.QuotaPeriod.String()),
		CheckItems: itemsOf(p.Items, aaa.CheckItem), ReplyItems: itemsOf(p.Items, aaa.ReplyItem),
	}
}

// planInputOf is the input that would make the plan what it is.
func planInputOf(p Plan) PlanInput {
	return PlanInput{
		Name: p.Name, RateUp: p.RateUp, RateDown: p.RateDown, BurstUp: p.BurstUp, BurstDown: p.BurstDown,
		BurstThresholdUp: p.BurstThresholdUp, BurstThresholdDown: p.BurstThresholdDown, BurstTime: p.BurstTime,
		PolicyUp: p.PolicyUp, PolicyDown: p.PolicyDown,
		SessionTimeout: p.SessionTimeout, IdleTimeout: p.IdleTimeout, InterimInterval: p.InterimInterval,
		AddressPool: p.AddressPool, Ipv6Pool: p.Ipv6Pool, DelegatedIpv6Pool: p.DelegatedIpv6Pool,
		AddressList: p.AddressList, FilterID: p.FilterID, SimultaneousUse: p.SimultaneousUse,
		LoginHours: p.LoginHours, AllowedMethods: p.AllowedMethods,
		QuotaSeconds: p.QuotaSeconds, QuotaOctets: p.QuotaOctets, QuotaPeriod: p.QuotaPeriod,
		CheckItems: p.CheckItems, ReplyItems: p.ReplyItems,
	}
}
