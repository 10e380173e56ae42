package store

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"radiusd/aaa"
)

// PolicyOf returns what applies to the user besides its own items: its plan, nil if it
// has none or it does not exist, and the groups that it is a member of.
func (s *Store) PolicyOf(ctx context.Context, user *aaa.User) (plan *aaa.Plan, groups []aaa.Group, err error) {
	if user.PlanID != uuid.Nil {
		if plan, err = s.PlanByID(ctx, user.PlanID); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, nil, err
		}
	}
	if len(user.Groups) == 0 {
		return plan, nil, nil
	}
	all, err := s.Groups(ctx)
	if err != nil {
		return nil, nil, err
	}
	return plan, slices.DeleteFunc(all, func(g aaa.Group) bool {
		return !slices.ContainsFunc(user.Groups, func(m aaa.Membership) bool { return m.GroupID == g.ID })
	}), nil
}
