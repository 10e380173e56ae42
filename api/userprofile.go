package api

import (
	"context"

	"radiusd/aaa"
)

func (h *users) SetUserCredential(ctx context.Context, r SetUserCredentialRequestObject) (SetUserCredentialResponseObject, error) {
	credential, err := h.credential(ctx, "", *r.Body)
	if err != nil {
		return nil, err
	}
	err = h.store.ChangeUser(ctx, r.UserID, func(user *aaa.User, _ *aaa.Profile) error {
		user.Credential = *credential
		return user.Validate(nil)
	})
	if err != nil {
		return nil, err
	}
	return SetUserCredential204Response{}, nil
}

func (h *users) GetUserProfile(ctx context.Context, r GetUserProfileRequestObject) (GetUserProfileResponseObject, error) {
	row, err := h.store.UserRowByID(ctx, r.UserID)
	if err != nil {
		return nil, err
	}
	body := profileOf(&row.Profile)
	return GetUserProfile200JSONResponse{Body: body, Headers: GetUserProfile200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *users) ReplaceUserProfile(ctx context.Context, r ReplaceUserProfileRequestObject) (ReplaceUserProfileResponseObject, error) {
	next := toProfile(*r.Body)
	err := h.store.ChangeUser(ctx, r.UserID, func(_ *aaa.User, profile *aaa.Profile) error {
		if err := checkMatch(r.Params.IfMatch, profileOf(profile)); err != nil {
			return err
		}
		*profile = next // which the store checks
		return nil
	})
	if err != nil {
		return nil, err
	}
	body := profileOf(&next)
	return ReplaceUserProfile200JSONResponse{Body: body, Headers: ReplaceUserProfile200ResponseHeaders{ETag: etag(body)}}, nil
}
