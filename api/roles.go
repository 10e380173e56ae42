package api

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"radiusd/operator"
)

// roles are the resources /roles and /permissions.
type roles struct {
	spec    *specification
	service *operator.Service
}

func (h *roles) ListRoles(ctx context.Context, _ ListRolesRequestObject) (ListRolesResponseObject, error) {
	found, err := h.service.Roles(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b operator.Role) int {
		switch {
		case a.BuiltIn && b.BuiltIn:
			return bytes.Compare(a.ID[:], b.ID[:]) // the mightiest first
		case a.BuiltIn:
			return -1
		case b.BuiltIn:
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	list := RoleList{Items: make([]Role, len(found))}
	for i := range found {
		list.Items[i] = roleOf(&found[i])
	}
	return ListRoles200JSONResponse(list), nil
}

func (h *roles) CreateRole(ctx context.Context, r CreateRoleRequestObject) (CreateRoleResponseObject, error) {
	set, err := permissionSet(r.Body.Permissions)
	if err != nil {
		return nil, err
	}
	made, err := h.service.CreateRole(ctx, principalOf(ctx), r.Body.Name, r.Body.Description, set)
	id, again := repeated(err)
	switch {
	case again:
	case err != nil:
		return nil, err
	default:
		id = made.ID
	}
	body, err := h.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return CreateRole201JSONResponse{Body: body, Headers: CreateRole201ResponseHeaders{ETag: etag(body), Location: location("roles", id)}}, nil
}

func (h *roles) GetRole(ctx context.Context, r GetRoleRequestObject) (GetRoleResponseObject, error) {
	body, err := h.read(ctx, r.RoleID)
	if err != nil {
		return nil, err
	}
	return GetRole200JSONResponse{Body: body, Headers: GetRole200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *roles) ReplaceRole(ctx context.Context, r ReplaceRoleRequestObject) (ReplaceRoleResponseObject, error) {
	body, err := h.change(ctx, r.RoleID, r.Params.IfMatch, func(RoleInput) (RoleInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplaceRole200JSONResponse{Body: body, Headers: ReplaceRole200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *roles) PatchRole(ctx context.Context, r PatchRoleRequestObject) (PatchRoleResponseObject, error) {
	body, err := h.change(ctx, r.RoleID, r.Params.IfMatch, func(present RoleInput) (RoleInput, error) {
		return patched(h.spec, "RoleInput", present, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return PatchRole200JSONResponse{Body: body, Headers: PatchRole200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *roles) DeleteRole(ctx context.Context, r DeleteRoleRequestObject) (DeleteRoleResponseObject, error) {
	err := h.service.DeleteRole(ctx, principalOf(ctx), r.RoleID, func(present *operator.Role) error {
		return checkMatch(r.Params.IfMatch, roleOf(present))
	})
	if err != nil {
		return nil, err
	}
	return DeleteRole204Response{}, nil
}

func (h *roles) ListPermissions(context.Context, ListPermissionsRequestObject) (ListPermissionsResponseObject, error) {
	list := PermissionList{Items: []Permission{}}
	for _, p := range operator.Permissions() {
		list.Items = append(list.Items, Permission{Name: string(p), Description: p.Description()})
	}
	return ListPermissions200JSONResponse(list), nil
}

// change makes a role what edit makes of its present input.
func (h *roles) change(ctx context.Context, id uuid.UUID, ifMatch string, edit func(RoleInput) (RoleInput, error)) (Role, error) {
	prepare := func(present *operator.Role, change *operator.RoleChange) error {
		body := roleOf(present)
		if err := checkMatch(ifMatch, body); err != nil {
			return err
		}
		input, err := edit(RoleInput{Name: body.Name, Description: body.Description, Permissions: body.Permissions})
		if err != nil {
			return err
		}
		set, err := permissionSet(input.Permissions)
		if err != nil {
			return err
		}
		change.Name, change.Description, change.Permissions = &input.Name, &input.Description, &set
		return nil
	}
	if _, err := h.service.ChangeRole(ctx, principalOf(ctx), id, operator.RoleChange{Prepare: prepare}); err != nil {
		return Role{}, err
	}
	return h.read(ctx, id)
}

func (h *roles) read(ctx context.Context, id uuid.UUID) (Role, error) {
	role, err := h.service.Role(ctx, id)
	if err != nil {
		return Role{}, err
	}
	return roleOf(role), nil
}

// roleOf is a role as the API shows it.
func roleOf(r *operator.Role) Role {
	return Role{
		ID: r.ID, Name: r.Name, Description: r.Description, BuiltIn: r.BuiltIn, Permissions: permissionNames(r.Permissions),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// permissionNames is a set of permissions as the API shows it.
func permissionNames(set operator.PermissionSet) []string {
	names := make([]string, 0, set.Len())
	for _, p := range set.List() {
		names = append(names, string(p))
	}
	return names
}

// permissionSet reads what permissionNames wrote.
func permissionSet(names []string) (operator.PermissionSet, error) {
	var set operator.PermissionSet
	var wrong []FieldError
	for i, name := range names {
		p, err := operator.ParsePermission(name)
		if err != nil {
			wrong = append(wrong, FieldError{Field: fmt.Sprintf("permissions[%d]", i), Message: err.Error()})
		}
		set |= operator.NewPermissionSet(p)
	}
	if len(wrong) > 0 {
		return 0, invalid(wrong...)
	}
	return set, nil
}
