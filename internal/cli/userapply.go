package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/config"
	"radiusd/operator"
	"radiusd/store"
)

// applyUser lets the open sessions of a user that was changed have what a login would give
// now, if that is wanted, and else says that there are such. before is what the user was.
func (a *app) applyUser(ctx context.Context, cfg *config.Config, s *store.Store, before *aaa.User, wanted bool) error {
	user, err := s.UserRowByID(ctx, before.ID)
	if err != nil {
		return err
	}
	if !wanted && user.PlanID == before.PlanID && user.Status == before.Status && user.ExpiresAt.Equal(before.ExpiresAt) {
		return nil // nothing that a session would notice
	}
	tools, err := openActionTools(ctx, cfg, s)
	if err != nil {
		return err
	}
	planner := aaa.NewActionPlanner(tools.dict, tools.templates, s)
	sessions, err := planner.SelectUser(ctx, user.ID, aaa.SessionFilter{})
	if err != nil {
		return err
	}
	old, plan, err := plansOf(ctx, s, before, user)
	if err != nil {
		return err
	}
	if wanted && before.PlanID == user.PlanID {
		old = nil // what the sessions were last seen with, and all of it again
	}
	actions, err := planner.ApplyPlan(ctx, user, old, plan, sessions, a.now())
	if err != nil {
		return err
	}
	needed := 0
	for i := range actions {
		if actions[i].State != aaa.ActionSkipped {
			needed++
		}
	}
	switch {
	case !wanted && needed > 0:
		fmt.Fprintf(a.stderr, "%s online as before the change: radiusd user set %s --apply\n", plural(needed, "session is", "sessions are"), printable(user.Name))
		return nil
	case !wanted:
		return nil
	case needed == 0:
		fmt.Fprintln(a.stdout, "no open session needs a change")
		return nil
	}
	filter := aaa.SessionFilter{Username: user.Name}
	choice := sessionChoice{rate: 50, timeout: 30 * time.Second}
	batch := aaa.ActionBatch{Kind: aaa.ActionCoA, Filter: filter.Words(""), Rate: choice.rate, Actor: localActor()}
	if plan != nil {
		batch.Filter += ", to get plan " + plan.Name
	}
	if err := s.QueueActions(operator.WithActor(ctx, operator.Actor{Kind: operator.ActorLocal, Name: batch.Actor}), &batch, actions); err != nil {
		return err
	}
	if err := a.send(ctx, cfg, s, &tools, &batch, &choice); err != nil {
		return err
	}
	var outcomes []string
	for state, n := range batch.Totals {
		if n > 0 {
			outcomes = append(outcomes, fmt.Sprintf("%d %s", n, aaa.ActionState(state)))
		}
	}
	fmt.Fprintf(a.stdout, "%s asked for: %s; see radiusd session actions --batch %s\n",
		plural(needed, "change was", "changes were"), strings.Join(outcomes, ", "), batch.ID)
	if batch.Totals.Troubled() > 0 {
		return errReported
	}
	return nil
}

// plansOf returns the plan that the user had and the one that it has; nil: none.
func plansOf(ctx context.Context, s *store.Store, before *aaa.User, user *aaa.UserRow) (old, plan *aaa.Plan, err error) {
	read := func(id uuid.UUID) (*aaa.Plan, error) {
		if id == uuid.Nil {
			return nil, nil
		}
		p, err := s.PlanByID(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		return p, err
	}
	if plan, err = read(user.PlanID); err != nil || before.PlanID == user.PlanID {
		return plan, plan, err
	}
	old, err = read(before.PlanID)
	return old, plan, err
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
