package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// operators is the resource /operators.
type operators struct {
	spec    *specification
	service *operator.Service
}

func (h *operators) ListOperators(ctx context.Context, r ListOperatorsRequestObject) (ListOperatorsResponseObject, error) {
	const list, sort = "operators", "name"
	filter := operator.OperatorFilter{Search: r.Params.Q, Role: r.Params.Role}
	if r.Params.Status != "" {
		status, err := operator.ParseStatus(string(r.Params.Status))
		if err != nil {
			return nil, invalidField("status", "%v", err)
		}
		filter.Status = &status
	}
	selected := [...]string{r.Params.Q, r.Params.Role, string(r.Params.Status)}
	if r.Params.Cursor != "" {
		keys, err := aaa.ParseCursor(r.Params.Cursor, list, sort, selected)
		if err != nil || len(keys) != 1 || keys[0] == "" {
			return nil, aaa.ErrBadCursor
		}
		filter.After = keys[0]
	}
	limit := page(r.Params.Cursor, r.Params.Limit, "").Limit
	filter.Limit = limit + 1
	found, err := h.service.Operators(ctx, filter)
	if err != nil {
		return nil, err
	}
	body := OperatorList{Items: []Operator{}, NextCursor: nextCursor("")}
	if len(found) > limit {
		found = found[:limit]
		body.NextCursor = nextCursor(aaa.FormatCursor(list, sort, selected, found[limit-1].Name))
	}
	for i := range found {
		body.Items = append(body.Items, operatorOf(&found[i]))
	}
	return ListOperators200JSONResponse(body), nil
}

func (h *operators) CreateOperator(ctx context.Context, r CreateOperatorRequestObject) (CreateOperatorResponseObject, error) {
	made, err := h.service.CreateOperator(ctx, principalOf(ctx), operator.NewOperator{
		Name: r.Body.Name, DisplayName: r.Body.DisplayName, Email: r.Body.Email, Password: r.Body.Password,
		Roles: r.Body.Roles, Disabled: r.Body.Status == OperatorStatusDisabled,
		Subject: operator.Subject{Issuer: r.Body.OidcIssuer, ID: r.Body.OidcSubject},
	})
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
	return CreateOperator201JSONResponse{Body: body, Headers: CreateOperator201ResponseHeaders{ETag: etag(edited(body)), Location: location("operators", id)}}, nil
}

func (h *operators) GetOperator(ctx context.Context, r GetOperatorRequestObject) (GetOperatorResponseObject, error) {
	body, err := h.read(ctx, r.OperatorID)
	if err != nil {
		return nil, err
	}
	return GetOperator200JSONResponse{Body: body, Headers: GetOperator200ResponseHeaders{ETag: etag(edited(body))}}, nil
}

func (h *operators) ReplaceOperator(ctx context.Context, r ReplaceOperatorRequestObject) (ReplaceOperatorResponseObject, error) {
	body, err := h.change(ctx, r.OperatorID, r.Params.IfMatch, func(OperatorInput) (OperatorInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplaceOperator200JSONResponse{Body: body, Headers: ReplaceOperator200ResponseHeaders{ETag: etag(edited(body))}}, nil
}

func (h *operators) PatchOperator(ctx context.Context, r PatchOperatorRequestObject) (PatchOperatorResponseObject, error) {
	body, err := h.change(ctx, r.OperatorID, r.Params.IfMatch, func(present OperatorInput) (OperatorInput, error) {
		return patched(h.spec, "OperatorInput", present, *r.Body)
	})
	if err != nil {
		return nil, err
	}
	return PatchOperator200JSONResponse{Body: body, Headers: PatchOperator200ResponseHeaders{ETag: etag(edited(body))}}, nil
}

func (h *operators) DeleteOperator(ctx context.Context, r DeleteOperatorRequestObject) (DeleteOperatorResponseObject, error) {
	err := h.service.DeleteOperator(ctx, principalOf(ctx), r.OperatorID, func(present *operator.Operator) error {
		return checkMatch(r.Params.IfMatch, edited(operatorOf(present)))
	})
	if err != nil {
		return nil, err
	}
	return DeleteOperator204Response{}, nil
}

func (h *operators) SetOperatorPassword(ctx context.Context, r SetOperatorPasswordRequestObject) (SetOperatorPasswordResponseObject, error) {
	if err := h.service.SetPassword(ctx, principalOf(ctx), r.OperatorID, r.Body.Password); err != nil {
		return nil, err
	}
	return SetOperatorPassword204Response{}, nil
}

func (h *operators) ResetOperatorMFA(ctx context.Context, r ResetOperatorMFARequestObject) (ResetOperatorMFAResponseObject, error) {
	if err := h.service.ResetMFA(ctx, principalOf(ctx), r.OperatorID); err != nil {
		return nil, err
	}
	return ResetOperatorMFA204Response{}, nil
}

func (h *operators) SignOutOperator(ctx context.Context, r SignOutOperatorRequestObject) (SignOutOperatorResponseObject, error) {
	if err := h.service.SignOutEverywhere(ctx, principalOf(ctx), r.OperatorID); err != nil {
		return nil, err
	}
	return SignOutOperator204Response{}, nil
}

// change makes an operator what edit makes of his present input.
func (h *operators) change(ctx context.Context, id uuid.UUID, ifMatch string, edit func(OperatorInput) (OperatorInput, error)) (Operator, error) {
	prepare := func(present *operator.Operator, change *operator.OperatorChange) error {
		if err := checkMatch(ifMatch, edited(operatorOf(present))); err != nil {
			return err
		}
		input, err := edit(OperatorInput{
			Name: present.Name, DisplayName: present.DisplayName, Email: present.Email, Roles: present.Roles,
			Status: OperatorStatus(present.Status.String()), OidcIssuer: present.Subject.Issuer, OidcSubject: present.Subject.ID,
		})
		if err != nil {
			return err
		}
		status := operator.Active
		if input.Status != "" {
			if status, err = operator.ParseStatus(string(input.Status)); err != nil {
				return invalidField("status", "%v", err)
			}
		}
		change.Name, change.DisplayName, change.Email = &input.Name, &input.DisplayName, &input.Email
		change.Status, change.Roles = &status, &input.Roles
		change.Subject = &operator.Subject{Issuer: input.OidcIssuer, ID: input.OidcSubject}
		return nil
	}
	if _, err := h.service.ChangeOperator(ctx, principalOf(ctx), id, operator.OperatorChange{Prepare: prepare}); err != nil {
		return Operator{}, err
	}
	return h.read(ctx, id)
}

func (h *operators) read(ctx context.Context, id uuid.UUID) (Operator, error) {
	o, err := h.service.Operator(ctx, id)
	if err != nil {
		return Operator{}, err
	}
	return operatorOf(o), nil
}

// edited leaves out what changes with each sign-in: that is nobody's edit.
func edited(body Operator) Operator {
	body.LastSignInAt = timeOrNull(time.Time{})
	return body
}

// operatorOf is an operator as the API shows him.
func operatorOf(o *operator.Operator) Operator {
	return Operator{
		ID: o.ID, Name: o.Name, DisplayName: o.DisplayName, Email: o.Email, Roles: append([]string{}, o.Roles...),
		Status: OperatorStatus(o.Status.String()), OidcIssuer: o.Subject.Issuer, OidcSubject: o.Subject.ID,
		HasPassword: len(o.PasswordHash) > 0, Mfa: o.TOTP.Enabled(), LastSignInAt: timeOrNull(o.LastSignInAt),
		CreatedAt: o.CreatedAt, UpdatedAt: o.UpdatedAt,
	}
}
