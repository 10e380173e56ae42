package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"radiusd/operator"
)

var roles = entity[operator.Role]{
	table: "roles", kind: "role",
	users: "SELECT count(*) FROM operator_roles WHERE role_id = $1", inUse: "%d operators have it",
	fields: func(_ *Store, r *operator.Role) []field {
		return []field{
			{"id", id{&r.ID}},
			{"name", text{&r.Name}},
			{"description", text{&r.Description}},
			{"permissions", word[operator.PermissionSet]{&r.Permissions, operator.StoredPermissionSet}},
			{"built_in", flag{&r.BuiltIn}},
			{"created_at", moment{&r.CreatedAt}},
			{"updated_at", moment{&r.UpdatedAt}},
		}
	},
	valid: func(r *operator.Role) error { return r.Validate() },
	head:  func(r *operator.Role) head { return head{&r.ID, r.Name, &r.CreatedAt, &r.UpdatedAt} },
	load: func(_ context.Context, _ querier, r *operator.Role) error {
		completeRole(r)
		return nil
	},
}

// completeRole sets what a built-in role allows: the program knows, not the database.
func completeRole(r *operator.Role) {
	if r.BuiltIn {
		r.Permissions = operator.BuiltInPermissions(r.ID)
	}
}

// CreateRole implements operator.RoleStore.
func (s *Store) CreateRole(ctx context.Context, r *operator.Role) error {
	r.BuiltIn = false
	return operatorError(roles.create(ctx, s, r))
}

// ChangeRole implements operator.RoleStore.
func (s *Store) ChangeRole(ctx context.Context, roleID uuid.UUID, fn func(*operator.Role) error) error {
	return operatorError(roles.change(ctx, s, "id", roleID.String(), func(r *operator.Role) error {
		if r.BuiltIn {
			return fmt.Errorf("role %q: %w", r.Name, operator.ErrBuiltIn)
		}
		err := fn(r)
		r.BuiltIn = false
		return err
	}))
}

// RemoveRole implements operator.RoleStore.
func (s *Store) RemoveRole(ctx context.Context, roleID uuid.UUID, check func(*operator.Role) error) error {
	e := roles
	e.removing = func(_ context.Context, _ *writeTx, r *operator.Role) error {
		if r.BuiltIn {
			return fmt.Errorf("role %q: %w", r.Name, operator.ErrBuiltIn)
		}
		return check(r)
	}
	return operatorError(e.remove(ctx, s, "id", roleID.String(), nil))
}

// Roles implements operator.RoleStore.
func (s *Store) Roles(ctx context.Context) (list []operator.Role, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		list, err = roles.list(ctx, s, tx, "ORDER BY name", nil, nil)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list roles: %w", s.explain(err))
	}
	for i := range list {
		completeRole(&list[i])
	}
	return list, nil
}

// RoleByID implements operator.RoleStore.
func (s *Store) RoleByID(ctx context.Context, roleID uuid.UUID) (*operator.Role, error) {
	r, err := roles.get(ctx, s, "id", roleID.String())
	return r, operatorError(err)
}
