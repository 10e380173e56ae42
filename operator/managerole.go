package operator

import (
	"context"
	"strings"

	"github.com/google/uuid"
)

// CreateRole adds a role made of permissions, all of which the principal must have.
func (s *Service) CreateRole(ctx context.Context, by Principal, name, description string, permissions PermissionSet) (*Role, error) {
	if err := by.Require(RolesWrite); err != nil {
		return nil, err
	}
	r := &Role{Name: name, Description: description, Permissions: permissions}
	if err := mayGrantSet(by, permissions); err != nil {
		return nil, err
	}
	if err := s.store.CreateRole(acting(ctx, by), r); err != nil {
		return nil, err
	}
	return r, nil
}

// RoleChange says what of a role is to change; nil leaves it.
type RoleChange struct {
	Name, Description *string
	Permissions       *PermissionSet
	// Prepare is as in OperatorChange.
	Prepare func(present *Role, change *RoleChange) error
}

// ChangeRole changes a role and returns it as it is then. The principal must have all
// permissions that it has before and after.
func (s *Service) ChangeRole(ctx context.Context, by Principal, id uuid.UUID, change RoleChange) (*Role, error) {
	if err := by.Require(RolesWrite); err != nil {
		return nil, err
	}
	defer s.directory.invalidate()
	var changed *Role
	err := s.store.ChangeRole(acting(ctx, by), id, func(r *Role) error {
		if err := mayGrantSet(by, r.Permissions); err != nil {
			return err
		}
		change := change
		if change.Prepare != nil {
			if err := change.Prepare(r, &change); err != nil {
				return err
			}
		}
		set(&r.Name, change.Name)
		set(&r.Description, change.Description)
		set(&r.Permissions, change.Permissions)
		if err := mayGrantSet(by, r.Permissions); err != nil {
			return err
		}
		changed = r
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

// DeleteRole deletes a role that nobody has. check, which may be nil, may refuse.
func (s *Service) DeleteRole(ctx context.Context, by Principal, id uuid.UUID, check func(*Role) error) error {
	if err := by.Require(RolesWrite); err != nil {
		return err
	}
	return s.store.RemoveRole(acting(ctx, by), id, func(r *Role) error {
		if check != nil {
			if err := check(r); err != nil {
				return err
			}
		}
		return mayGrantSet(by, r.Permissions)
	})
}

// Roles returns all roles by name.
func (s *Service) Roles(ctx context.Context) ([]Role, error) { return s.store.Roles(ctx) }

// Role returns a role.
func (s *Service) Role(ctx context.Context, id uuid.UUID) (*Role, error) {
	return s.store.RoleByID(ctx, id)
}

func mayGrantSet(by Principal, permissions PermissionSet) error {
	if missing := permissions.Without(by.Permissions); missing != 0 {
		return &ForbiddenError{Missing: missing, Reason: "nobody may grant what he may not"}
	}
	return nil
}

// Validate checks what a role may be given, and brings it into its form.
func (r *Role) Validate() error {
	r.Name = NormalizeName(r.Name)
	if err := ValidateName(r.Name); err != nil {
		return err
	}
	r.Description = strings.TrimSpace(r.Description)
	return validateText("description", r.Description, maxDisplayName)
}
