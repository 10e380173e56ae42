package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/dictionary"
	"radiusd/operator"
)

// UserStore keeps users with their profiles; see PlanStore for what is the same.
type UserStore interface {
	// ListUsersPage and UserRowByID do not open secrets.
	ListUsersPage(ctx context.Context, filter aaa.UserFilter, page aaa.Page) (users []aaa.UserRow, next string, err error)
	UserRowByID(ctx context.Context, id uuid.UUID) (*aaa.UserRow, error)
	CountUsers(ctx context.Context, filter aaa.UserFilter) (aaa.Count, error)
	CreateUserWithProfile(ctx context.Context, user *aaa.User, profile *aaa.Profile) error
	ChangeUser(ctx context.Context, id uuid.UUID, fn func(*aaa.User, *aaa.Profile) error) error
	// ReplaceUser is ChangeUser that leaves the user in groups that billing has put it into.
	ReplaceUser(ctx context.Context, id uuid.UUID, fn func(*aaa.User, *aaa.Profile) error) error
	RemoveUser(ctx context.Context, id uuid.UUID, options aaa.CloseOptions, check func(*aaa.User, *aaa.Profile) error) error
}

// users is the resource /users.
type users struct {
	spec  *specification
	dict  *dictionary.Dictionary
	store UserStore
	// hashing is for passwords.
	hashing turns
	// actions applies changes to open sessions.
	actions *actions
}

func (h *users) ListUsers(ctx context.Context, r ListUsersRequestObject) (ListUsersResponseObject, error) {
	p := r.Params
	filter, err := userFilter(ctx, p.Q, p.Status, p.PlanID, p.GroupID, p.BatchID)
	if err != nil {
		return nil, err
	}
	filter.Online = p.Online
	filter.ExpiresFrom, filter.ExpiresBefore = p.ExpiresFrom, p.ExpiresBefore
	filter.CreatedFrom, filter.CreatedBefore = p.CreatedFrom, p.CreatedBefore
	found, next, err := h.store.ListUsersPage(ctx, filter, page(p.Cursor, p.Limit, p.Sort))
	if err != nil {
		return nil, err
	}
	list := UserList{NextCursor: nextCursor(next)}
	list.Items = h.represent(ctx, found)
	if p.Count {
		if list.Total, err = total(h.store.CountUsers(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListUsers200JSONResponse(list), nil
}

// userFilter is what lists and exports have in common. Who may not see profiles does
// not search in them.
func userFilter(ctx context.Context, q string, status UserStatus, planID, groupID, batchID uuid.UUID) (aaa.UserFilter, error) {
	filter := aaa.UserFilter{
		Query: q, NamesOnly: !principalOf(ctx).Can(operator.ProfilesRead),
		PlanID: planID, GroupID: groupID, BatchID: batchID,
	}
	if status != "" {
		s, err := aaa.ParseUserStatus(string(status))
		if err != nil {
			return filter, invalidField("status", "%v", err)
		}
		filter.Status = &s
	}
	return filter, nil
}

func (h *users) CreateUser(ctx context.Context, r CreateUserRequestObject) (CreateUserResponseObject, error) {
	user, profile := &aaa.User{}, &aaa.Profile{}
	credential, err := h.prepareUser(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	if err := h.fill(user, profile, *r.Body, credential); err != nil {
		return nil, err
	}
	err = h.store.CreateUserWithProfile(ctx, user, profile)
	id, again := repeated(err)
	if !again && err != nil {
		return nil, err
	}
	if !again {
		id = user.ID
	}
	body, _, err := h.read(ctx, id)
	if err != nil {
		return nil, err
	}
	return CreateUser201JSONResponse{Body: body, Headers: CreateUser201ResponseHeaders{ETag: etag(body), Location: location("users", id)}}, nil
}

func (h *users) GetUser(ctx context.Context, r GetUserRequestObject) (GetUserResponseObject, error) {
	body, _, err := h.read(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	return GetUser200JSONResponse{Body: body, Headers: GetUser200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *users) ReplaceUser(ctx context.Context, r ReplaceUserRequestObject) (ReplaceUserResponseObject, error) {
	body, batch, err := h.change(ctx, r.UserID, r.Params.IfMatch, r.Params.Apply, h.store.ReplaceUser, func(UserInput) (UserInput, error) { return *r.Body, nil })
	if err != nil {
		return nil, err
	}
	return ReplaceUser200JSONResponse{Body: body, Headers: ReplaceUser200ResponseHeaders{ETag: etag(body), ActionBatch: batch}}, nil
}

func (h *users) PatchUser(ctx context.Context, r PatchUserRequestObject) (PatchUserResponseObject, error) {
	patch := *r.Body
	body, batch, err := h.change(ctx, r.UserID, r.Params.IfMatch, r.Params.Apply, h.store.ChangeUser, func(present UserInput) (UserInput, error) {
		input, err := patched(h.spec, "UserInput", present, patch)
		if err != nil {
			return input, err
		}
		if profile, named := patch["profile"]; !named {
			input.Profile = nil // as it is
		} else if profile == nil {
			input.Profile = &Profile{}
		}
		if credential, named := patch["credential"]; named && credential == nil {
			input.Credential = &CredentialInput{Scheme: CredentialScheme(aaa.SchemeNone.String())}
		}
		return input, nil
	})
	if err != nil {
		return nil, err
	}
	return PatchUser200JSONResponse{Body: body, Headers: PatchUser200ResponseHeaders{ETag: etag(body), ActionBatch: batch}}, nil
}

func (h *users) DeleteUser(ctx context.Context, r DeleteUserRequestObject) (DeleteUserResponseObject, error) {
	unchanged, err := h.matching(ctx, r.UserID, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	err = h.store.RemoveUser(ctx, r.UserID, aaa.CloseOptions{WithoutUsageAtHours: r.Params.WithoutUsageAtHours}, func(user *aaa.User, _ *aaa.Profile) error { return unchanged(user) })
	if err != nil {
		return nil, err
	}
	return DeleteUser204Response{}, nil
}

// userChange is ChangeUser or ReplaceUser of a UserStore.
type userChange func(ctx context.Context, id uuid.UUID, fn func(*aaa.User, *aaa.Profile) error) error

// change makes a user what edit makes of its present input, and applies that to the open
// sessions if asked to: then batch is the id of what was queued. edit may be called more
// than once.
func (h *users) change(ctx context.Context, id uuid.UUID, ifMatch string, applies bool, write userChange, edit func(UserInput) (UserInput, error)) (body User, batch string, err error) {
	if applies {
		if err := principalOf(ctx).Require(operator.SessionsAct); err != nil {
			return body, "", err
		}
	}
	unchanged, err := h.matching(ctx, id, ifMatch)
	if err != nil {
		return body, "", err
	}
	// A credential is never a part of what is there, so that edit gives the same one
	// now. To hash a password takes its time, for which a transaction must not wait.
	row, err := h.store.UserRowByID(ctx, id)
	if err != nil {
		return body, "", err
	}
	input, err := edit(userInputOf(userOfRow(row), &row.Profile))
	if err != nil {
		return body, "", err
	}
	credential, err := h.prepareUser(ctx, &input)
	if err != nil {
		return body, "", err
	}
	var oldPlan uuid.UUID
	err = write(ctx, id, func(user *aaa.User, profile *aaa.Profile) error {
		oldPlan = user.PlanID
		if err := unchanged(user); err != nil {
			return err
		}
		input, err := edit(userInputOf(user, profile))
		if err != nil {
			return err
		}
		return h.fill(user, profile, input, credential)
	})
	if err != nil {
		return body, "", err
	}
	if applies {
		queued, err := h.actions.applyPlan(ctx, id, oldPlan)
		if err != nil {
			return body, "", err
		}
		batch = queued.ID.String()
	}
	body, _, err = h.read(ctx, id)
	return body, batch, err
}

// matching holds If-Match, if it was sent, against the user as the client sees it. The
// names of plans and groups are a part of that, which a transaction on the user does not
// read; so what it returns holds the user there against the one that was looked at here.
func (h *users) matching(ctx context.Context, id uuid.UUID, ifMatch string) (unchanged func(*aaa.User) error, err error) {
	if ifMatch == "" {
		return func(*aaa.User) error { return nil }, nil
	}
	body, updatedAt, err := h.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := checkMatch(ifMatch, body); err != nil {
		return nil, err
	}
	return func(user *aaa.User) error {
		if !namesTag(ifMatch, "*") && !user.UpdatedAt.Equal(updatedAt) {
			return errChanged
		}
		return nil
	}, nil
}

// read returns a user as the API shows it, and when it was changed.
func (h *users) read(ctx context.Context, id uuid.UUID) (body User, updatedAt time.Time, err error) {
	row, err := h.store.UserRowByID(ctx, id)
	if err != nil {
		return body, updatedAt, err
	}
	return h.represent(ctx, []aaa.UserRow{*row})[0], row.UpdatedAt, nil
}

// prepareUser makes the credential of an input; nil: it has none. It refuses what the
// principal may not set.
func (h *users) prepareUser(ctx context.Context, in *UserInput) (*aaa.Credential, error) {
	if in.Profile != nil {
		if err := principalOf(ctx).Require(operator.ProfilesWrite); err != nil {
			return nil, err
		}
	}
	if in.Credential == nil {
		return nil, nil
	}
	return h.credential(ctx, "credential.", *in.Credential)
}

// credential is credentialOf, a few at a time.
func (h *users) credential(ctx context.Context, at string, in CredentialInput) (*aaa.Credential, error) {
	done, err := h.hashing.take(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return credentialOf(at, in)
}
