package api

import (
	"context"

	"github.com/google/uuid"

	"radiusd/aaa"
	"radiusd/operator"
)

// UserBatchStore makes and keeps batches of users; see PlanStore for what is the same.
type UserBatchStore interface {
	ListUserBatchesPage(ctx context.Context, filter aaa.BatchFilter, page aaa.Page) (batches []aaa.UserBatch, next string, err error)
	CountUserBatches(ctx context.Context, filter aaa.BatchFilter) (aaa.Count, error)
	UserBatchByID(ctx context.Context, id uuid.UUID) (*aaa.UserBatch, error)
	// CreateUserBatch makes the users, and returns their passwords.
	CreateUserBatch(ctx context.Context, batch *aaa.UserBatch, options aaa.BatchOptions) ([]aaa.MadeUser, error)
	// RemoveUserBatch removes the users too.
	RemoveUserBatch(ctx context.Context, id uuid.UUID, options aaa.CloseOptions, check func(*aaa.UserBatch) error) error
}

// userBatches is the resource /user-batches.
type userBatches struct{ store UserBatchStore }

func (h *userBatches) ListUserBatches(ctx context.Context, r ListUserBatchesRequestObject) (ListUserBatchesResponseObject, error) {
	filter := aaa.BatchFilter{Query: r.Params.Q}
	found, next, err := h.store.ListUserBatchesPage(ctx, filter, page(r.Params.Cursor, r.Params.Limit, r.Params.Sort))
	if err != nil {
		return nil, err
	}
	list := UserBatchList{Items: make([]UserBatch, len(found)), NextCursor: nextCursor(next)}
	for i := range found {
		list.Items[i] = userBatchOf(&found[i])
	}
	if r.Params.Count {
		if list.Total, err = total(h.store.CountUserBatches(ctx, filter)); err != nil {
			return nil, err
		}
	}
	return ListUserBatches200JSONResponse(list), nil
}

func (h *userBatches) CreateUserBatch(ctx context.Context, r CreateUserBatchRequestObject) (CreateUserBatchResponseObject, error) {
	batch := &aaa.UserBatch{
		Name: r.Body.Name, Prefix: r.Body.Prefix, Count: r.Body.Count,
		PlanID: orZero(r.Body.PlanID), GroupIDs: r.Body.GroupIds, ExpiresAt: orZero(r.Body.ExpiresAt),
		CreatedBy: operator.ActorOf(ctx).Name,
	}
	made, err := h.store.CreateUserBatch(ctx, batch, aaa.BatchOptions{NameLength: r.Body.NameLength, PasswordLength: r.Body.PasswordLength})
	if id, again := repeated(err); again {
		return nil, repeatedOnce(id)
	}
	if err != nil {
		return nil, err
	}
	body := UserBatchMade{Batch: userBatchOf(batch), Users: make([]MadeUser, len(made))}
	for i, user := range made {
		body.Users[i] = MadeUser{ID: user.ID, Username: user.Name, Password: user.Password}
	}
	return CreateUserBatch201JSONResponse{Body: body, Headers: CreateUserBatch201ResponseHeaders{Location: location("user-batches", batch.ID)}}, nil
}

func (h *userBatches) GetUserBatch(ctx context.Context, r GetUserBatchRequestObject) (GetUserBatchResponseObject, error) {
	batch, err := h.store.UserBatchByID(ctx, r.BatchID)
	if err != nil {
		return nil, err
	}
	body := userBatchOf(batch)
	return GetUserBatch200JSONResponse{Body: body, Headers: GetUserBatch200ResponseHeaders{ETag: etag(body)}}, nil
}

func (h *userBatches) DeleteUserBatch(ctx context.Context, r DeleteUserBatchRequestObject) (DeleteUserBatchResponseObject, error) {
	err := h.store.RemoveUserBatch(ctx, r.BatchID, aaa.CloseOptions{WithoutUsageAtHours: r.Params.WithoutUsageAtHours}, func(batch *aaa.UserBatch) error {
		return checkMatch(r.Params.IfMatch, userBatchOf(batch))
	})
	if err != nil {
		return nil, err
	}
	return DeleteUserBatch204Response{}, nil
}

// userBatchOf is a batch as the API shows it.
func userBatchOf(b *aaa.UserBatch) UserBatch {
	return UserBatch{
		ID: b.ID, Name: b.Name, Prefix: b.Prefix, Count: b.Count,
		PlanID: idOrNull(b.PlanID), GroupIds: append([]uuid.UUID{}, b.GroupIDs...), ExpiresAt: timeOrNull(b.ExpiresAt),
		CreatedBy: b.CreatedBy, CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
	}
}
